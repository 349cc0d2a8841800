//! Whether what was read of each object covers it: the lines of its ranges take all its bytes, or the records of its ranges are
//! as many as the file has rows. Pure; some dozen bytes for each object.

use pf_state::{Outcome, Settled};
use pf_work::WorkItem;
use roaring::RoaringTreemap;

/// Objects that are one item and are looked at. Beyond, only those that were split are: their items are read out of the ledger one
/// by one, and a whole object has no seams.
const WHOLE_MAX: usize = 1_000_000;

/// The objects of a job, in the order of their items.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    objects: Vec<Object>,
    whole: usize,
    /// The object whose ranges are being seen, and its version.
    last: Option<(String, Option<String>)>,
}

#[derive(Debug)]
struct Object {
    /// Its first item, and how many there are.
    first: u64,
    items: u64,
    size_bytes: u64,
    /// Where the ranges that were seen end, if they follow one another from the start.
    reach: Option<u64>,
    /// Items that are completed.
    completed: u64,
    records: u64,
    span_bytes: u64,
    rows: Option<u64>,
    /// The size that workers were told; it is another than the discoverer's where an object was redriven as it is.
    read_bytes: Option<u64>,
    /// Items whose worker told rows, and such whose worker did not tell what its lines take.
    with_rows: u64,
    without_spans: u64,
    /// Items that name another version of the object.
    is_mixed: bool,
}

/// An object that is not covered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Its first item.
    pub(crate) seq: u64,
    /// What is wrong.
    pub(crate) reason: String,
}

impl Coverage {
    /// Sees the next item of the manifest.
    pub(crate) fn see(&mut self, item: &WorkItem) {
        let range = item.byte_range();
        // The same object may have been listed again since, in another version.
        let is_next = self
            .last
            .as_ref()
            .is_some_and(|(uri, etag)| *uri == item.uri && *etag == item.etag);
        if item.range.is_some() && range.start > 0 && is_next {
            if let Some(object) = self.objects.last_mut() {
                object.items += 1;
                object.reach = object.reach.filter(|reach| *reach == range.start).map(|_| range.end);
            }
            return;
        }
        self.last = None;
        if item.range.is_some() {
            self.last = Some((item.uri.clone(), item.etag.clone()));
        } else if self.whole == WHOLE_MAX {
            return;
        } else {
            self.whole += 1;
        }
        self.objects.push(Object {
            first: item.seq,
            items: 1,
            size_bytes: item.size_bytes,
            reach: (range.start == 0).then_some(range.end),
            completed: 0,
            records: 0,
            span_bytes: 0,
            rows: None,
            read_bytes: None,
            with_rows: 0,
            without_spans: 0,
            is_mixed: false,
        });
    }

    /// The items whose settlements are wanted.
    pub(crate) fn wanted(&self) -> RoaringTreemap {
        let mut wanted = RoaringTreemap::new();
        for object in &self.objects {
            wanted.insert_range(object.first..object.first + object.items);
        }
        wanted
    }

    /// Sees the settlement that stands for an item.
    pub(crate) fn settled(&mut self, settled: &Settled) {
        let behind = self.objects.partition_point(|object| object.first <= settled.seq);
        let Some(object) = behind.checked_sub(1).map(|index| &mut self.objects[index]) else {
            return;
        };
        if settled.seq - object.first < object.items && settled.outcome == Outcome::Completed {
            object.add(settled);
        }
    }

    /// The objects that are not covered, of those that are completed.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = Gap> {
        self.objects.iter().filter_map(|object| {
            let reason = object.gap()?;
            Some(Gap {
                seq: object.first,
                reason,
            })
        })
    }
}

impl Object {
    fn add(&mut self, settled: &Settled) {
        let counts = &settled.counts;
        self.completed += 1;
        self.records = self.records.saturating_add(counts.records_in);
        self.span_bytes = self.span_bytes.saturating_add(counts.span_bytes);
        // An older worker, or one that read what has no lines in it.
        self.without_spans += u64::from(counts.span_bytes == 0 && counts.records_in > 0);
        self.with_rows += u64::from(settled.object_rows.is_some());
        self.is_mixed |= differs(&mut self.rows, settled.object_rows);
        self.is_mixed |= differs(&mut self.read_bytes, settled.by.object_bytes);
    }

    /// What is wrong with it, if something is. Where workers do not tell enough, nothing is.
    fn gap(&self) -> Option<String> {
        let size_bytes = self.read_bytes.unwrap_or(self.size_bytes);
        if self.reach != Some(self.size_bytes) {
            return Some(format!("its ranges do not cover its {} bytes", self.size_bytes));
        }
        if self.completed < self.items {
            return None;
        }
        if self.is_mixed {
            return Some("its ranges were read of several versions of it".to_owned());
        }
        if let Some(rows) = self.rows {
            let is_covered = self.with_rows < self.items || self.records == rows;
            return (!is_covered).then(|| format!("{} of its {rows} rows were read", self.records));
        }
        let is_covered = self.span_bytes == 0 || self.without_spans > 0 || self.span_bytes == size_bytes;
        (!is_covered).then(|| {
            format!(
                "the lines that were read take {} of its {size_bytes} bytes",
                self.span_bytes
            )
        })
    }
}

/// Takes what is told first; whether it differs from what is told now.
fn differs(known: &mut Option<u64>, told: Option<u64>) -> bool {
    match (*known, told) {
        (Some(known), Some(told)) => known != told,
        (None, Some(_)) => {
            *known = told;
            false
        }
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use pf_state::Delivery;
    use pf_work::{ByteRange, Counts};
    use proptest::prelude::*;

    use super::*;

    fn item(seq: u64, range: Option<(u64, u64)>) -> WorkItem {
        let uri = if range.is_some() {
            "s3://b/split"
        } else {
            "s3://b/whole"
        };
        let json = format!(
            r#"{{"v":1,"job":"j","seq":{seq},"uri":"{uri}","size_bytes":100,"enqueued_at":"2024-01-01T00:00:00Z"}}"#
        );
        WorkItem {
            range: range.map(|(start, end)| ByteRange { start, end }),
            ..WorkItem::from_json(&json).unwrap()
        }
    }

    fn settled(seq: u64, records_in: u64, span_bytes: u64, object_rows: Option<u64>) -> Settled {
        Settled {
            seq,
            outcome: Outcome::Completed,
            counts: Counts {
                records_in,
                records_out: records_in,
                span_bytes,
                ..Counts::default()
            },
            object_rows,
            by: Delivery::default(),
        }
    }

    /// An object in two ranges behind a whole one.
    fn gaps(all: &[Settled]) -> Vec<Gap> {
        let mut coverage = Coverage::default();
        for item in [item(0, None), item(1, Some((0, 60))), item(2, Some((60, 100)))] {
            coverage.see(&item);
        }
        assert_eq!(coverage.wanted().len(), 3);
        for settled in all {
            coverage.settled(settled);
        }
        coverage.gaps().collect()
    }

    #[test]
    fn lines_must_take_all_bytes_of_an_object() {
        assert_eq!(
            gaps(&[
                settled(0, 9, 100, None),
                settled(1, 5, 70, None),
                settled(2, 3, 30, None)
            ]),
            []
        );
        let found = gaps(&[settled(1, 5, 70, None), settled(2, 3, 29, None)]);
        assert_eq!((found.len(), found[0].seq), (1, 1));
        assert_eq!(found[0].reason, "the lines that were read take 99 of its 100 bytes");
        let found = gaps(&[settled(0, 1, 99, None)]);
        assert_eq!(found[0].seq, 0);
        assert_eq!(
            gaps(&[settled(1, 5, 99, None)]),
            [],
            "what is missing is told as missing"
        );
        assert_eq!(
            gaps(&[settled(1, 5, 100, None), settled(2, 0, 0, None)]),
            [],
            "no line begins in the second"
        );
        assert_eq!(gaps(&[settled(1, 5, 99, None), settled(2, 0, 0, None)]).len(), 1);
    }

    #[test]
    fn records_must_be_as_many_as_a_file_has_rows() {
        assert_eq!(gaps(&[settled(1, 5, 0, Some(8)), settled(2, 3, 0, Some(8))]), []);
        let found = gaps(&[settled(1, 5, 0, Some(8)), settled(2, 0, 0, Some(8))]);
        assert_eq!(found[0].reason, "5 of its 8 rows were read");
        assert_eq!(gaps(&[settled(1, 5, 0, Some(8)), settled(2, 3, 0, Some(9))]).len(), 1);
        assert_eq!(gaps(&[settled(0, 7, 0, Some(8))]).len(), 1);
    }

    #[test]
    fn an_older_worker_that_tells_neither_is_not_held_against_the_job() {
        assert_eq!(
            gaps(&[settled(0, 9, 0, None), settled(1, 5, 0, None), settled(2, 3, 0, None)]),
            []
        );
        assert_eq!(gaps(&[settled(1, 5, 60, None), settled(2, 3, 0, None)]), []);
        assert_eq!(gaps(&[settled(1, 5, 0, Some(8)), settled(2, 3, 0, None)]), []);
    }

    #[test]
    fn ranges_that_do_not_follow_one_another_are_told_at_once() {
        let mut coverage = Coverage::default();
        coverage.see(&item(0, Some((0, 50))));
        coverage.see(&item(1, Some((51, 100))));
        assert_eq!(coverage.gaps().count(), 1);
    }

    #[test]
    fn versions_of_an_object_from_two_listings_are_covered_each_by_itself() {
        let version = |etag: &str, seq, range| WorkItem {
            etag: Some(etag.to_owned()),
            ..item(seq, Some(range))
        };
        for etags in [["1", "2"], ["1", "1"]] {
            let mut coverage = Coverage::default();
            coverage.see(&version(etags[0], 0, (0, 60)));
            coverage.see(&version(etags[0], 1, (60, 100)));
            coverage.see(&version(etags[1], 2, (0, 50)));
            coverage.see(&version(etags[1], 3, (50, 100)));
            for (seq, bytes) in [(0, 60), (1, 40), (2, 50), (3, 50)] {
                coverage.settled(&settled(seq, 1, bytes, None));
            }
            assert_eq!(coverage.gaps().collect::<Vec<_>>(), [], "{etags:?}");
        }
        // Half of each is no whole.
        let mut coverage = Coverage::default();
        coverage.see(&version("1", 0, (0, 60)));
        coverage.see(&version("2", 1, (60, 100)));
        assert_eq!(coverage.gaps().count(), 2);
    }

    #[test]
    fn an_object_that_was_redriven_as_it_is_is_measured_by_what_it_is() {
        let as_it_is = |seq, span_bytes, bytes| Settled {
            by: Delivery {
                object_bytes: Some(bytes),
                ..Delivery::default()
            },
            ..settled(seq, 3, span_bytes, None)
        };
        assert_eq!(gaps(&[as_it_is(1, 70, 120), as_it_is(2, 50, 120)]), []);
        assert_eq!(
            gaps(&[as_it_is(1, 70, 120), as_it_is(2, 50, 100)]).len(),
            1,
            "two versions"
        );
    }

    proptest! {
        #[test]
        fn any_cut_of_an_object_that_is_read_whole_is_covered_and_any_byte_less_is_not(
            cuts in prop::collection::btree_set(1_u64..100, 0..10),
            missing in any::<prop::sample::Index>(),
        ) {
            let mut ends: Vec<u64> = cuts.into_iter().collect();
            ends.push(100);
            let starts = [0].into_iter().chain(ends.iter().copied());
            let ranges: Vec<(u64, u64)> = starts.zip(ends.iter().copied()).collect();
            let less = missing.index(ranges.len());
            for lost in [None, Some(less)] {
                let mut coverage = Coverage::default();
                for (seq, range) in ranges.iter().enumerate() {
                    coverage.see(&item(seq as u64, Some(*range)));
                }
                for (seq, (start, end)) in ranges.iter().enumerate() {
                    let span = end - start - u64::from(lost == Some(seq));
                    coverage.settled(&settled(seq as u64, u64::from(span > 0), span, None));
                }
                let is_told = coverage.gaps().count() == 1;
                // Of an object of one byte per range, a lost byte is a lost range, of which nothing else is known.
                prop_assert_eq!(is_told, lost.is_some());
            }
        }
    }
}
