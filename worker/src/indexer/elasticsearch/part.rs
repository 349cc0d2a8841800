//! What one request carries of a bulk: all of it, half of it, or the documents that are to be sent again.

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

use crate::indexer::bulk::Bulk;

/// Documents of a bulk, by their places, ascending; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    places: Vec<u32>,
    /// Since when documents of it may have been taken by a request that brought no answer. What is made of a part keeps it.
    open_since: Option<Timestamp>,
}

impl Part {
    /// The documents at these places, ascending, in as few parts of at most `bytes_max` as there can be without changing the
    /// order. A document that is larger by itself is a part.
    pub(super) fn all_of(bulk: &Bulk, places: impl IntoIterator<Item = u32>, bytes_max: usize) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut bytes = 0;
        for place in places {
            let document_bytes = bulk.documents[place as usize].lines().len();
            match parts.last_mut() {
                Some(part) if bytes + document_bytes <= bytes_max => part.places.push(place),
                _ => {
                    bytes = 0;
                    parts.push(Self {
                        places: vec![place],
                        open_since: None,
                    });
                }
            }
            bytes += document_bytes;
        }
        parts
    }

    /// Since when documents of it may have been taken without a word.
    pub(super) fn open_since(&self) -> Option<Timestamp> {
        self.open_since
    }

    /// A request for it that was sent at `sent` brought no answer. Since when that is so, which is the first of such requests.
    pub(super) fn unanswered(&mut self, sent: Timestamp) -> Timestamp {
        *self.open_since.get_or_insert(sent)
    }

    /// Documents of it.
    fn with(&self, places: Vec<u32>) -> Option<Self> {
        (!places.is_empty()).then_some(Self {
            places,
            open_since: self.open_since,
        })
    }

    /// How large its body is.
    pub(super) fn bytes(&self, bulk: &Bulk) -> usize {
        let documents = self.places.iter().map(|place| &bulk.documents[*place as usize]);
        documents.map(|document| document.lines().len()).sum()
    }

    /// Without the documents at these places of the bulk, ascending.
    pub(super) fn without(&self, places: &[u32]) -> Option<Self> {
        let is_left = |place: &&u32| places.binary_search(place).is_err();
        self.with(self.places.iter().filter(is_left).copied().collect())
    }

    /// Those of its documents, by their places in it, ascending.
    pub(super) fn of_these(&self, places: &[u32]) -> Option<Self> {
        self.with(places.iter().map(|place| self.places[*place as usize]).collect())
    }

    /// How many documents.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The places in the bulk.
    pub(super) fn places(&self) -> &[u32] {
        &self.places
    }

    /// Both halves; none if there is only one document.
    pub(super) fn halves(&self) -> Option<(Self, Self)> {
        let (first, second) = self.places.split_at(self.places.len() / 2);
        Some((self.with(first.to_vec())?, self.with(second.to_vec())?))
    }

    /// The request's body: a piece of the bulk's, not copied, if the documents stand next to each other.
    pub(super) fn body(&self, bulk: &Bulk) -> Bytes {
        let runs = self.runs(bulk);
        match runs.as_slice() {
            [run] => bulk.body.to_bytes().slice(run.clone()),
            runs => {
                let mut body = Vec::with_capacity(runs.iter().map(ExactSizeIterator::len).sum());
                for run in runs {
                    body.extend_from_slice(&bulk.body[run.clone()]);
                }
                body.into()
            }
        }
    }

    /// The lines of documents, those next to each other taken together.
    fn runs(&self, bulk: &Bulk) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for place in &self.places {
            let lines = bulk.documents[*place as usize].lines();
            match runs.last_mut() {
                Some(run) if run.end == lines.start => run.end = lines.end,
                _ => runs.push(lines),
            }
        }
        runs
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::indexer::bulk::Document;

    /// A bulk of documents that are their own places, padded to sizes.
    pub(in crate::indexer::elasticsearch) fn bulk(sizes: &[usize]) -> Bulk {
        let mut bulk = Bulk::default();
        let body = bulk.body.text_mut();
        for (place, size) in sizes.iter().enumerate() {
            let action = body.len() as u32;
            body.extend_from_slice(format!("{{\"create\":{{\"_id\":\"{place}\"}}}}\n").as_bytes());
            let source = body.len() as u32;
            body.extend_from_slice(format!("{{\"a\":\"{}\"}}", "x".repeat(*size)).as_bytes());
            let end = body.len() as u32;
            body.push(b'\n');
            bulk.documents.push(Document {
                segment: 0,
                ordinal: place as u64,
                action,
                source: source..end,
            });
        }
        bulk
    }

    fn ids(body: &[u8]) -> Vec<u32> {
        let lines = std::str::from_utf8(body).unwrap().lines().step_by(2);
        let id = |line: &str| line.split('"').nth(5).unwrap().parse().unwrap();
        lines.map(id).collect()
    }

    #[test]
    fn a_part_that_is_one_piece_of_the_bulk_is_not_copied() {
        let bulk = bulk(&[1, 2, 3, 4]);
        let all = &Part::all_of(&bulk, 0..4, 1 << 20)[0];
        assert_eq!(all.body(&bulk).as_ptr(), bulk.body.as_ptr());
        let (_, second) = all.halves().unwrap();
        assert_eq!(
            second.body(&bulk).as_ptr(),
            bulk.body[bulk.documents[2].lines()].as_ptr()
        );
    }

    proptest! {
        #[test]
        fn every_document_is_in_exactly_one_part_and_no_part_is_too_large(
            sizes in proptest::collection::vec(0..200usize, 1..30),
            bytes_max in 1..1000usize,
            again in proptest::collection::vec(any::<bool>(), 30),
        ) {
            let bulk = bulk(&sizes);
            let parts = Part::all_of(&bulk, 0..sizes.len() as u32, bytes_max);
            let mut sent = Vec::new();
            for part in &parts {
                let body = part.body(&bulk);
                prop_assert!(body.len() <= bytes_max || part.len() == 1);
                prop_assert_eq!(body.len(), part.bytes(&bulk));
                prop_assert_eq!(&ids(&body), part.places());
                sent.extend(ids(&body));
                if let Some((first, second)) = part.halves() {
                    prop_assert_eq!([first.places(), second.places()].concat(), part.places());
                }
                let wanted: Vec<u32> = (0..part.len() as u32).filter(|place| again[*place as usize]).collect();
                if let Some(again) = part.of_these(&wanted) {
                    prop_assert_eq!(&ids(&again.body(&bulk)), again.places());
                    prop_assert_eq!(again.len(), wanted.len());
                    let rest = part.without(again.places()).map(|rest| rest.places).unwrap_or_default();
                    let mut all = [again.places(), &rest].concat();
                    all.sort_unstable();
                    prop_assert_eq!(all, part.places());
                }
            }
            prop_assert_eq!(sent, (0..sizes.len() as u32).collect::<Vec<_>>());
        }
    }
}
