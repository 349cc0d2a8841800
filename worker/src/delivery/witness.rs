//! Whether an object that can't be read fails for its own sake: another one, which was read well before, is looked at.
//!
//! Only so can a worker tell an object that always answers 503 from a storage that is down for everybody: the first is a try of
//! the item, the second costs it nothing.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use futures::future::BoxFuture;
use pf_work::WorkItem;
use tokio::time::timeout;

/// How long an answer is waited for. A storage that takes longer is in no state to speak against an object.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Buckets of which an object is remembered.
const BUCKETS_MAX: usize = 100;

/// Looks whether the books of an item's job can be read now, if they are where its object is.
pub type LookAtBooks = Box<dyn Fn(&WorkItem) -> BoxFuture<'static, bool> + Send + Sync>;

/// Looks whether an object can be read now.
pub type Look = Box<dyn Fn(WorkItem) -> BoxFuture<'static, bool> + Send + Sync>;

/// The last object of each bucket that was read well.
pub struct Witness {
    look: Look,
    look_at_books: Option<LookAtBooks>,
    /// By scheme and bucket.
    read_well: Mutex<BTreeMap<String, WorkItem>>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}

impl Witness {
    /// Nothing was read yet; `look` looks whether an object can be read.
    pub fn new(look: impl Fn(WorkItem) -> BoxFuture<'static, bool> + Send + Sync + 'static) -> Self {
        Self {
            look: Box::new(look),
            look_at_books: None,
            read_well: Mutex::default(),
        }
    }

    /// Where no other object was read yet, the books of the job are looked at: the last objects of a job may be all that is left.
    #[must_use]
    pub fn or_books(self, look: impl Fn(&WorkItem) -> BoxFuture<'static, bool> + Send + Sync + 'static) -> Self {
        Self {
            look_at_books: Some(Box::new(look)),
            ..self
        }
    }

    /// Notes an object that was read well.
    pub fn note(&self, item: &WorkItem) {
        if item.size_bytes == 0 {
            // To read nothing proves nothing.
            return;
        }
        let mut read_well = self.read_well();
        let bucket = bucket(&item.uri);
        if read_well.len() < BUCKETS_MAX || read_well.contains_key(bucket) {
            read_well.insert(bucket.to_owned(), item.clone());
        }
    }

    /// Whether something else of the same storage can be read while this object can't.
    pub async fn speaks_against(&self, failing: &WorkItem) -> bool {
        let other = self.read_well().get(bucket(&failing.uri)).cloned();
        let looking = match other.filter(|other| other.uri != failing.uri) {
            Some(other) => (self.look)(other),
            None => match &self.look_at_books {
                Some(look) => look(failing),
                None => return false,
            },
        };
        timeout(ANSWER_MAX, looking).await.unwrap_or(false)
    }

    fn read_well(&self) -> MutexGuard<'_, BTreeMap<String, WorkItem>> {
        self.read_well.lock().expect("no one panics while noting an object")
    }
}

/// Scheme and bucket of an address.
fn bucket(uri: &str) -> &str {
    let Some(start) = uri.find("://").map(|at| at + "://".len()) else {
        return uri;
    };
    let end = uri[start..].find('/').map_or(uri.len(), |at| start + at);
    &uri[..end]
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn item(uri: &str) -> WorkItem {
        let item =
            format!(r#"{{"v":1,"job":"j","seq":7,"uri":"{uri}","size_bytes":1,"enqueued_at":"2024-01-01T00:00:00Z"}}"#);
        WorkItem::from_json(&item).unwrap()
    }

    #[test]
    fn buckets_are_told_apart() {
        for (uri, expected) in [
            ("s3://b/k/l", "s3://b"),
            ("s3://b", "s3://b"),
            ("file:///a/b", "file://"),
            ("rubbish", "rubbish"),
        ] {
            assert_eq!(bucket(uri), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_another_object_of_the_same_bucket_that_answers_speaks_against_one() {
        let witness = Witness::new(|item| async move { item.uri.ends_with("well") }.boxed());
        let failing = item("s3://b/failing");
        assert!(!witness.speaks_against(&failing).await, "nothing was read yet");
        witness.note(&item("s3://other/well"));
        assert!(!witness.speaks_against(&failing).await, "another bucket says nothing");
        witness.note(&failing);
        assert!(!witness.speaks_against(&failing).await, "nor does the object itself");
        witness.note(&item("s3://b/gone"));
        assert!(
            !witness.speaks_against(&failing).await,
            "nor one that can't be read either"
        );
        witness.note(&item("s3://b/well"));
        assert!(witness.speaks_against(&failing).await);
        for can_be_read in [true, false] {
            let books = Witness::new(|_| async { true }.boxed()).or_books(move |_| async move { can_be_read }.boxed());
            assert_eq!(books.speaks_against(&failing).await, can_be_read, "else the books do");
        }
        let silent = Witness::new(|_| std::future::pending().boxed());
        silent.note(&item("s3://b/well"));
        assert!(!silent.speaks_against(&failing).await, "nor one that does not answer");
    }
}
