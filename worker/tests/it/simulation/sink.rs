//! A simulated index: documents by id, and a sink that puts them there as well as its link lets it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pf_worker::{
    batch::Reject,
    indexer::bulk::{Budget, Bulk, BulkSink, Delivered, End, Room, Verdict},
};
use prometheus::IntGauge;
use serde::Deserialize;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{
    faults::{Fate, Link},
    objects::Kind,
    outages::{Outages, What},
};

/// What one name stands for: indices that were written to one after another, the last of which is written to now.
#[derive(Debug)]
pub(super) struct Index {
    /// Documents by id.
    indices: Vec<BTreeMap<String, String>>,
    pub(super) duplicates: u64,
    /// Documents that were found in an index that is not written to any more.
    pub(super) found_earlier: u64,
    /// When it last took a document.
    pub(super) taken_at: Option<Instant>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            indices: vec![BTreeMap::new()],
            duplicates: 0,
            found_earlier: 0,
            taken_at: None,
        }
    }
}

impl Index {
    /// From now on another index is written to.
    pub(super) fn roll_over(&mut self) {
        self.indices.push(BTreeMap::new());
    }

    /// All documents that are there.
    pub(super) fn documents(&self) -> impl Iterator<Item = &str> {
        self.indices.iter().flat_map(BTreeMap::values).map(String::as_str)
    }

    /// Takes a document, unless it is there. An id is unique in one index only, so what may have been sent before is looked for
    /// in the others too: as `indexer/elasticsearch/earlier.rs` does.
    fn take(&mut self, id: String, source: &str, was_sent: bool) -> Option<Verdict> {
        let (current, earlier) = self.indices.split_last_mut()?;
        let found_earlier = earlier.iter().find_map(|index| index.get(&id)).filter(|_| was_sent);
        self.found_earlier += u64::from(found_earlier.is_some());
        if let Some(known) = found_earlier.or(current.get(&id)) {
            assert_eq!(known, source, "two records have the id {id}");
            self.duplicates += 1;
            return Some(Verdict::Duplicate);
        }
        current.insert(id, source.to_owned());
        self.taken_at = Some(Instant::now());
        None
    }
}

/// One worker's way to the index.
pub(super) struct Sink {
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) link: Link,
    pub(super) outages: Outages,
    pub(super) room: Budget,
    /// How long it takes for each document.
    pub(super) per_document: Duration,
    /// How many bulks it works on at once.
    pub(super) turns: Semaphore,
    /// The bytes that are on their way to it, of all lanes of its worker, and the most that ever were.
    pub(super) in_flight_bytes: IntGauge,
    pub(super) in_flight_bytes_peak: Arc<AtomicI64>,
}

#[derive(Deserialize)]
struct Action {
    create: Create,
}

#[derive(Deserialize)]
struct Create {
    #[serde(rename = "_id")]
    id: String,
}

#[derive(Deserialize)]
struct Source {
    kind: Kind,
}

/// Why the index doesn't take a document.
pub(super) const REFUSED: &str = "document_parsing_exception: refused";
/// Why it doesn't take one whose name another has.
pub(super) const CONFLICTING: &str = "another record has its _id";

impl Sink {
    fn apply(&self, bulk: &Bulk) -> Vec<(u32, Verdict)> {
        let mut index = self.index.lock().unwrap();
        let mut exceptions = Vec::new();
        for (place, document) in bulk.documents.iter().enumerate() {
            let place = place as u32;
            let text = std::str::from_utf8(&bulk.body[document.lines()]).unwrap();
            let (action, source) = text.split_once('\n').unwrap();
            let Action { create: Create { id } } = serde_json::from_str(action).unwrap();
            let source = source.strip_suffix('\n').unwrap();
            assert_eq!(source.as_bytes(), bulk.source(place));
            let verdict = match serde_json::from_str::<Source>(source).unwrap().kind {
                Kind::Unindexable => Some(Verdict::Rejected {
                    reason: REFUSED.to_owned(),
                }),
                Kind::Conflicting => Some(Verdict::Conflict {
                    reason: CONFLICTING.to_owned(),
                }),
                Kind::Redirected => Some(Verdict::Redirected),
                Kind::Dropped => Some(Verdict::Dropped),
                Kind::Good => index.take(id, source, bulk.sent_since(place).is_some()),
                Kind::Filtered | Kind::Undecodable => panic!("{source} is not to be sent"),
            };
            exceptions.extend(verdict.map(|verdict| (place, verdict)));
        }
        exceptions
    }
}

#[async_trait]
impl BulkSink for Sink {
    async fn room(&self, bytes: usize) -> Room {
        let room = self.room.room(bytes).await;
        self.in_flight_bytes_peak
            .fetch_max(self.in_flight_bytes.get(), Ordering::Relaxed);
        room
    }

    async fn deliver(&self, bulk: &Bulk) -> Delivered {
        let count = u32::try_from(bulk.documents.len()).unwrap();
        let turn = self.turns.acquire().await.unwrap();
        sleep(self.per_document * count).await;
        drop(turn);
        let not_done = |known: Vec<(u32, Verdict)>| {
            let mut exceptions: BTreeMap<u32, Verdict> = known.into_iter().collect();
            for place in 0..count {
                // Of some it is known what became of them, of the others nothing.
                if self.link.roll(2) == 0 || !exceptions.contains_key(&place) {
                    exceptions.insert(place, Verdict::Pending);
                }
            }
            Delivered {
                exceptions: exceptions.into_iter().collect(),
                end: End::Unavailable {
                    reason: "simulated".to_owned(),
                },
            }
        };
        if self.outages.is_out_of_reach(What::Sink).await {
            self.link.alive().await;
            return not_done(Vec::new());
        }
        match self.link.call().await {
            Fate::Done => Delivered {
                exceptions: self.apply(bulk),
                end: End::Done,
            },
            Fate::NotDone => not_done(Vec::new()),
            Fate::DoneButSaysNot => not_done(self.apply(bulk)),
        }
    }

    fn doubt(&self, _: &[Reject]) -> Option<String> {
        None
    }
}
