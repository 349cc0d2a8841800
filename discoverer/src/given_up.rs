//! What the dead-letter queue says of a job: the items that are in it, of this life of the job and of no other.
//!
//! A queue that several jobs use, or one job after the other, keeps letters of all of them, and a name tells them not apart.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use pf_state::Books;
use pf_work::{ByteRange, WorkItem, sqs::Letters};

/// Letters by the number of their item.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    letters: HashMap<u64, Vec<Letter>>,
}

#[derive(Debug)]
struct Letter {
    uri: String,
    etag: Option<String>,
    range: Option<ByteRange>,
    /// With any it was offered anew, perhaps as the object was by then.
    returns: u32,
    reason: Arc<str>,
}

impl GivenUp {
    /// The letters of `job` in any of its books' lives.
    pub(crate) fn of(job: &str, books: &Books, read: Letters) -> Self {
        let mut letters: HashMap<u64, Vec<Letter>> = HashMap::new();
        let mut reasons: HashSet<Arc<str>> = HashSet::new();
        let mut strangers = 0_u64;
        for letter in read.letters {
            let Some(item) = letter.item.filter(|item| item.job == job) else {
                continue;
            };
            if !books.own(item.life.as_deref()) {
                strangers += 1;
                continue;
            }
            let reason = reasons.get(letter.reason.as_str()).cloned();
            let reason = reason.unwrap_or_else(|| Arc::from(letter.reason));
            reasons.insert(Arc::clone(&reason));
            letters.entry(item.seq).or_default().push(Letter {
                uri: item.uri,
                etag: item.etag,
                range: item.range,
                returns: item.returns,
                reason,
            });
        }
        if strangers > 0 {
            tracing::warn!(
                letters = strangers,
                "letters of another life of the job are in the dead-letter queue, and do not count"
            );
        }
        Self { letters }
    }

    /// Why the item is in the queue, if it is. A number alone is not enough.
    pub(crate) fn reason(&self, item: &WorkItem) -> Option<&str> {
        Some(&self.letters(item).next()?.reason)
    }

    /// How often the item had come back when it was given up, the last time.
    pub(crate) fn returns(&self, item: &WorkItem) -> Option<u32> {
        self.letters(item).map(|letter| letter.returns).max()
    }

    fn letters(&self, item: &WorkItem) -> impl Iterator<Item = &Letter> {
        let all = self.letters.get(&item.seq).into_iter().flatten();
        all.filter(|letter| {
            let is_same_version = letter.etag == item.etag && letter.range == item.range;
            letter.uri == item.uri && (is_same_version || letter.returns > 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use pf_state::Life;
    use pf_work::sqs::DeadLetter;

    use super::*;

    fn item(life: Option<&str>, etag: &str) -> WorkItem {
        let json = r#"{"v":1,"job":"j","seq":3,"uri":"s3://b/k","size_bytes":9,"enqueued_at":"2024-01-01T00:00:00Z"}"#;
        WorkItem {
            life: life.map(str::to_owned),
            etag: Some(etag.to_owned()),
            ..WorkItem::from_json(json).unwrap()
        }
    }

    fn given_up(letters: impl IntoIterator<Item = WorkItem>, lives: &[&str]) -> GivenUp {
        let books = Books {
            lives: lives
                .iter()
                .map(|id| Life {
                    id: (*id).to_owned(),
                    owner: "o".to_owned(),
                    since: Timestamp::UNIX_EPOCH,
                })
                .collect(),
        };
        let letters = letters.into_iter().map(|item| DeadLetter {
            body: item.to_json(),
            item: Some(item),
            reason: "poison".to_owned(),
            worker: None,
        });
        let letters = letters.collect();
        GivenUp::of("j", &books, Letters { letters, more: false })
    }

    /// Whether a letter of this item gives up the manifest's.
    fn counts(letter: WorkItem, lives: &[&str]) -> bool {
        given_up([letter], lives).reason(&item(None, "1")) == Some("poison")
    }

    #[test]
    fn the_last_letter_knows_how_often_its_item_came_back() {
        let letter = |returns| WorkItem {
            returns,
            ..item(Some("a"), "1")
        };
        let of_item = |letters: &[u32]| given_up(letters.iter().copied().map(letter), &["a"]).returns(&item(None, "1"));
        assert_eq!(
            [of_item(&[]), of_item(&[0]), of_item(&[2, 5, 3])],
            [None, Some(0), Some(5)]
        );
    }

    #[test]
    fn a_letter_counts_for_its_own_life_and_its_own_object() {
        assert!(counts(item(Some("a"), "1"), &["a"]));
        assert!(counts(item(Some("a"), "1"), &["a", "b"]), "books that were taken over");
        assert!(!counts(item(Some("b"), "1"), &["a"]));
        assert!(!counts(item(None, "1"), &["a"]), "whose is it?");
        assert!(counts(item(None, "1"), &[]), "books of an older program have no life");
        assert!(!counts(item(Some("a"), "2"), &["a"]), "another version of the object");
        let other = |change: fn(&mut WorkItem)| {
            let mut item = item(Some("a"), "1");
            change(&mut item);
            counts(item, &["a"])
        };
        assert!(!other(|item| item.uri.push('x')));
        assert!(!other(|item| item.range = Some(ByteRange { start: 0, end: 5 })));
        assert!(!other(|item| item.job.push('x')));
        assert!(other(|item| (item.returns, item.etag) = (1, None)), "redriven as it is");
    }
}
