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
use pf_worker::indexer::bulk::{Budget, Bulk, BulkSink, Delivered, End, Room, Verdict};
use prometheus::IntGauge;
use serde::Deserialize;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{
    faults::{Fate, Link},
    outages::{Outages, What},
};

/// Documents by id, with how often each was offered.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) documents: BTreeMap<String, String>,
    pub(super) duplicates: u64,
    /// When it last took a document.
    pub(super) taken_at: Option<Instant>,
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
    refuse: bool,
}

/// Why the index doesn't take a document.
pub(super) const REFUSED: &str = "document_parsing_exception: refused";

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
            if serde_json::from_str::<Source>(source).unwrap().refuse {
                let reason = REFUSED.to_owned();
                exceptions.push((place, Verdict::Rejected { reason }));
            } else if let Some(known) = index.documents.get(&id) {
                assert_eq!(known, source, "two records have the id {id}");
                index.duplicates += 1;
                exceptions.push((place, Verdict::Duplicate));
            } else {
                index.documents.insert(id, source.to_owned());
                index.taken_at = Some(Instant::now());
            }
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
}
