//! Objects that changed since they were discovered, as they are now, under the numbers that they had.
//!
//! What was read of the version before stays in the sink, under other ids: it is told how to find it. An object that was split
//! is offered anew only as a whole, because ranges of two versions are neither.

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use pf_storage::{Error, ObjectMeta, ObjectUri, Storage};
use pf_work::{ByteRange, WorkItem, identity};

/// Objects that are looked at at the same time.
const LOOKS_AT_ONCE: usize = 16;

/// Looks at objects, and counts items that can't be offered as their objects are.
#[derive(Debug)]
pub(crate) struct AsTheyAre<'a> {
    storage: &'a Storage,
    left_out: usize,
}

/// What became of one object.
enum Look {
    /// Its items, as they are to be offered.
    Offer(Vec<WorkItem>),
    /// So many can't be.
    LeaveOut(usize),
}

impl<'a> AsTheyAre<'a> {
    pub(crate) fn new(storage: &'a Storage) -> Self {
        Self { storage, left_out: 0 }
    }

    /// Items that were left out so far.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }

    /// Of some items, in order and with all of an object together, the wanted ones as their objects are now.
    pub(crate) async fn look(
        &mut self,
        items: Vec<WorkItem>,
        is_wanted: impl Fn(u64) -> bool,
    ) -> Result<Vec<WorkItem>> {
        let objects = of_objects(items).into_iter().filter_map(|items| {
            let all = items.len();
            let wanted: Vec<WorkItem> = items.into_iter().filter(|item| is_wanted(item.seq)).collect();
            (!wanted.is_empty()).then_some((wanted, all))
        });
        let storage = self.storage;
        let mut looks = stream::iter(objects)
            .map(|(wanted, all)| one(storage, wanted, all))
            .buffered(LOOKS_AT_ONCE);
        let mut offered = Vec::new();
        while let Some(look) = looks.try_next().await? {
            match look {
                Look::Offer(items) => offered.extend(items),
                Look::LeaveOut(count) => self.left_out += count,
            }
        }
        Ok(offered)
    }
}

/// The items of each object.
fn of_objects(items: Vec<WorkItem>) -> Vec<Vec<WorkItem>> {
    let mut objects: Vec<Vec<WorkItem>> = Vec::new();
    for item in items {
        let last = objects.last_mut().filter(|object| {
            let first = &object[0];
            item.range.is_some() && first.range.is_some() && first.uri == item.uri && first.etag == item.etag
        });
        match last {
            Some(object) => object.push(item),
            None => objects.push(vec![item]),
        }
    }
    objects
}

/// Of an object with `all` items, the wanted ones.
async fn one(storage: &Storage, wanted: Vec<WorkItem>, all: usize) -> Result<Look> {
    let count = wanted.len();
    let first = &wanted[0];
    let uri: ObjectUri = first.uri.parse()?;
    let now = match storage.head(&uri).await {
        Ok(now) => now,
        // One object that may not be looked at keeps no others.
        Err(error @ (Error::NotFound { .. } | Error::Denied { .. })) if !error.is_everyones() => {
            tracing::warn!("left out: {error}");
            return Ok(Look::LeaveOut(count));
        }
        Err(error) => return Err(error.into()),
    };
    let etag = Some(now.etag.clone()).filter(|etag| !etag.is_empty());
    if etag == first.etag && now.size_bytes == first.size_bytes {
        return Ok(Look::Offer(wanted));
    }
    if let Err(reason) = may_be_cut_anew(&wanted, all, now.size_bytes) {
        tracing::warn!(uri = first.uri, "left out: {reason}");
        return Ok(Look::LeaveOut(count));
    }
    tracing::warn!(
        uri = first.uri,
        "changed since it was discovered, and is offered as it is; what was indexed of the version before is found in \
         Elasticsearch 8.13 and later by: FROM your-index METADATA _id | WHERE STARTS_WITH(_id, \"{}-\") | KEEP _id | LIMIT 10000; \
         for OpenSearch see docs/elasticsearch.md, \"All documents of one object\"",
        identity::prefix_text(first)
    );
    Ok(Look::Offer(cut_anew(wanted, &now, etag.as_deref())))
}

/// Whether the version that is there can take the place of the one that was discovered.
fn may_be_cut_anew(wanted: &[WorkItem], all: usize, size_bytes: u64) -> Result<(), String> {
    if wanted[0].range.is_none() {
        return Ok(());
    }
    if wanted.len() < all {
        return Err(format!(
            "it changed, and {} of its {all} ranges were read of the version before; list it anew with --again",
            all - wanted.len()
        ));
    }
    if size_bytes < all as u64 {
        return Err(format!(
            "it changed, and its {size_bytes} bytes are too few for its {all} ranges; list it anew with --again"
        ));
    }
    Ok(())
}

/// The same numbers for another version, in as many ranges as before.
fn cut_anew(items: Vec<WorkItem>, now: &ObjectMeta, etag: Option<&str>) -> Vec<WorkItem> {
    let parts = items.len() as u128;
    let cut = |part: u128| {
        let at = u128::from(now.size_bytes) * part / parts;
        u64::try_from(at).expect("it is no more than the size")
    };
    let anew = (0..).zip(items).map(|(part, item)| WorkItem {
        etag: etag.map(str::to_owned),
        size_bytes: now.size_bytes,
        last_modified: Some(now.last_modified),
        range: item.range.map(|_| ByteRange {
            start: cut(part),
            end: cut(part + 1),
        }),
        ..item
    });
    anew.collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn item(seq: u64, uri: &str, range: Option<(u64, u64)>) -> WorkItem {
        let json = format!(
            r#"{{"v":1,"job":"j","seq":{seq},"uri":"{uri}","etag":"1","size_bytes":100,"enqueued_at":"2024-01-01T00:00:00Z"}}"#
        );
        WorkItem {
            range: range.map(|(start, end)| ByteRange { start, end }),
            ..WorkItem::from_json(&json).unwrap()
        }
    }

    #[test]
    fn ranges_of_one_object_stay_together_and_whole_objects_are_each_their_own() {
        let objects = of_objects(vec![
            item(0, "s3://b/a", None),
            item(1, "s3://b/a", None),
            item(2, "s3://b/b", Some((0, 50))),
            item(3, "s3://b/b", Some((50, 100))),
            item(4, "s3://b/c", Some((0, 100))),
        ]);
        assert_eq!(objects.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2, 1]);
    }

    #[test]
    fn ranges_of_two_versions_are_never_mixed() {
        let ranges = [item(0, "s3://b/a", Some((0, 50))), item(1, "s3://b/a", Some((50, 100)))];
        assert_eq!(may_be_cut_anew(&ranges, 2, 2), Ok(()));
        assert!(
            may_be_cut_anew(&ranges[..1], 2, 80)
                .unwrap_err()
                .contains("1 of its 2 ranges")
        );
        assert!(may_be_cut_anew(&ranges, 2, 1).unwrap_err().contains("too few"));
        assert_eq!(may_be_cut_anew(&[item(0, "s3://b/a", None)], 1, 0), Ok(()));
    }

    proptest! {
        #[test]
        fn the_present_version_is_covered_by_ranges_that_are_not_empty(parts in 1_u64..20, more in any::<u32>()) {
            let size_bytes = parts + u64::from(more);
            let items = (0..parts).map(|seq| item(seq, "s3://b/a", Some((seq, seq + 1)))).collect();
            let now = ObjectMeta {
                archived: None,
                uri: "s3://b/a".parse().unwrap(),
                size_bytes,
                etag: "2".to_owned(),
                last_modified: Timestamp::UNIX_EPOCH,
            };
            let mut reach = 0;
            for (seq, item) in cut_anew(items, &now, Some("2")).into_iter().enumerate() {
                let range = item.range.unwrap();
                prop_assert_eq!((item.seq, range.start), (seq as u64, reach));
                prop_assert!(range.end > range.start);
                prop_assert!(WorkItem::from_json(&item.to_json()).is_ok());
                reach = range.end;
            }
            prop_assert_eq!(reach, size_bytes);
        }
    }
}
