//! What this worker owes: the items that it leased and of which its last word was no settlement that the queue took. A worker that
//! ends by itself ended well only if there are none.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard},
};

use pf_work::WorkItem;

/// An item: its job, the job's life, and its number there.
type Name = (String, Option<String>, u64);

/// The items that are owed. A worker that never ends by itself keeps no account.
#[derive(Debug, Default)]
pub struct Account {
    is_kept: bool,
    owed: Mutex<BTreeSet<Name>>,
}

impl Account {
    /// An account in which nothing is owed.
    pub fn kept() -> Self {
        Self {
            is_kept: true,
            ..Self::default()
        }
    }

    /// An item is leased.
    pub fn lease(&self, item: &WorkItem) {
        if self.is_kept {
            self.owed().insert(name(item));
        }
    }

    /// The queue took an item's settlement.
    pub fn settle(&self, item: &WorkItem) {
        if self.is_kept {
            self.owed().remove(&name(item));
        }
    }

    /// The jobs of which items are owed.
    pub fn jobs(&self) -> BTreeSet<String> {
        self.owed().iter().map(|(job, ..)| job.clone()).collect()
    }

    /// Somebody else settled these items of a job, as its ledger says.
    pub fn settled_elsewhere(&self, job: &str, is_settled: impl Fn(u64) -> bool) {
        self.owed().retain(|(owed, _, seq)| owed != job || !is_settled(*seq));
    }

    /// How many items are owed.
    pub fn owed_count(&self) -> usize {
        self.owed().len()
    }

    fn owed(&self) -> MutexGuard<'_, BTreeSet<Name>> {
        self.owed.lock().expect("no one panics while keeping account")
    }
}

fn name(item: &WorkItem) -> Name {
    (item.job.clone(), item.life.clone(), item.seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_leased_is_owed_until_it_is_settled_whoever_leased_it_when() {
        let item = |seq, life: &str| {
            let text = format!(
                r#"{{"v":1,"job":"j","life":"{life}","seq":{seq},"uri":"s3://b/k","size_bytes":1,"enqueued_at":"2024-01-01T00:00:00Z"}}"#
            );
            WorkItem::from_json(&text).unwrap()
        };
        let account = Account::kept();
        for (seq, life) in [(1, "a"), (1, "b"), (2, "a"), (1, "a")] {
            account.lease(&item(seq, life));
        }
        assert_eq!(account.owed_count(), 3);
        account.settle(&item(1, "a"));
        account.settle(&item(1, "a"));
        assert_eq!(account.owed_count(), 2, "another life's item is another item");
        account.settled_elsewhere("other", |_| true);
        assert_eq!((account.owed_count(), account.jobs().len()), (2, 1));
        account.settled_elsewhere("j", |seq| seq == 2);
        assert_eq!(account.owed_count(), 1);
        let careless = Account::default();
        careless.lease(&item(1, "a"));
        assert_eq!(careless.owed_count(), 0);
    }
}
