//! Items that the ledger names as completed, though the queue could not be told. It gives them again, and then there is nothing
//! left to do but to tell it.
//!
//! Without this a worker whose leases ran out under a slow sink reads the same items again and again: whenever one is done, it
//! was leased anew meanwhile, and the queue takes only the newest lease's word.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use pf_work::WorkItem;

use super::track::Done;

/// Items that are remembered. One that is forgotten is read again, which has no other effect.
const ITEMS_MAX: usize = 10_000;

/// The items, by job and number.
#[derive(Debug, Default)]
pub struct Untold {
    items: Mutex<BTreeMap<(String, u64), (WorkItem, Done)>>,
}

impl Untold {
    /// Notes an item that the ledger names, and what became of its records.
    pub fn note(&self, item: &WorkItem, done: Done) {
        let mut items = self.items();
        if items.len() < ITEMS_MAX {
            items.insert((item.job.clone(), item.seq), (item.clone(), done));
        }
    }

    /// What became of the item's records, if it is one of these: the same bytes of the same object.
    pub fn take(&self, item: &WorkItem) -> Option<Done> {
        let mut items = self.items();
        let key = (item.job.clone(), item.seq);
        let (known, done) = items.get(&key)?;
        let is_same =
            known.life == item.life && known.uri == item.uri && known.etag == item.etag && known.range == item.range;
        let done = *done;
        items.remove(&key);
        is_same.then_some(done)
    }

    fn items(&self) -> MutexGuard<'_, BTreeMap<(String, u64), (WorkItem, Done)>> {
        self.items.lock().expect("no one panics while looking at items")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(etag: &str) -> WorkItem {
        let item = format!(
            r#"{{"v":1,"job":"j","seq":7,"uri":"s3://b/k","etag":"{etag}","size_bytes":1,"enqueued_at":"2024-01-01T00:00:00Z"}}"#
        );
        WorkItem::from_json(&item).unwrap()
    }

    #[test]
    fn an_item_is_known_once_and_only_as_the_object_that_it_was() {
        let untold = Untold::default();
        assert_eq!(untold.take(&item("a")), None);
        untold.note(&item("a"), Done::default());
        assert_eq!(untold.take(&item("a")), Some(Done::default()));
        assert_eq!(untold.take(&item("a")), None);
        untold.note(&item("a"), Done::default());
        assert_eq!(untold.take(&item("b")), None, "another object must be read");
    }
}
