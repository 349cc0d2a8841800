//! Records that are given up: stored in the job's state directory, added to a file, or shown. Their items wait for it.
//!
//! A store takes everything that came while the one before was under way, so that many rejected records cost few writes.

use std::{collections::BTreeMap, io, sync::Arc};

use pf_state::{Delivery, RecordDeadLetter, Stage};
use pf_work::{Counts, Lease, settle::Outcome};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::{States, states::outcome, tracked::Hold};
use crate::{batch::Reject, dead_letters::DeadLetters, input::reason, metrics::Metrics};

/// Bytes of records that wait to be stored, over all lanes. Lanes wait while there is no room.
const BYTES_MAX: usize = 16 << 20;

/// What a letter takes beside its record: its address, reason and places.
const LETTER_BYTES: usize = 512;

/// Where letters are stored.
#[derive(Debug, Clone)]
pub enum Place {
    /// With all else that is known of the job.
    State(Arc<States>),
    /// On this machine.
    Local(Arc<DeadLetters>),
}

/// The lanes' side.
#[derive(Debug, Clone)]
pub struct Letters {
    sender: UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
    metrics: Metrics,
}

/// Letters on their way, and who waits for them.
#[derive(Debug)]
struct Waiting {
    hold: Hold,
    letters: Vec<RecordDeadLetter>,
    room: OwnedSemaphorePermit,
}

/// The storing side; [`Store::run`] must be run.
#[derive(Debug)]
pub struct Store {
    receiver: UnboundedReceiver<Waiting>,
    place: Place,
}

impl Letters {
    /// Letters to `place`.
    pub fn to(place: Place, metrics: Metrics) -> (Self, Store) {
        let (sender, receiver) = unbounded_channel();
        let letters = Self {
            sender,
            room: Arc::new(Semaphore::new(BYTES_MAX)),
            metrics,
        };
        (letters, Store { receiver, place })
    }

    /// Has rejected records stored, and acknowledges `hold` when they are. Waits only for room.
    pub async fn keep(&self, hold: Hold, stage: Stage, rejects: Vec<Reject>) {
        if rejects.is_empty() {
            hold.acknowledge(Counts::default());
            return;
        }
        let counter = match stage {
            Stage::Decode => &self.metrics.records_undecodable,
            Stage::Transform | Stage::Index | Stage::Other => &self.metrics.records_unindexable,
        };
        counter.inc_by(rejects.len() as u64);
        let bytes: usize = rejects.iter().map(|reject| reject.raw.len() + LETTER_BYTES).sum();
        let permits = u32::try_from(bytes.min(BYTES_MAX)).expect("the bound is a small number");
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
        let letters = rejects
            .into_iter()
            .map(|reject| letter(hold.tracked().lease(), stage, reject))
            .collect();
        let waiting = Waiting {
            letters,
            room: room.expect("the semaphore is never closed"),
            hold,
        };
        // Without a store the worker is gone; the hold is dropped, and its item is not settled.
        self.sender.send(waiting).ok();
    }
}

fn letter(lease: &Lease, stage: Stage, reject: Reject) -> RecordDeadLetter {
    let item = &lease.item;
    let Reject {
        ordinal,
        reason,
        raw,
        record_bytes,
    } = reject;
    RecordDeadLetter {
        seq: item.seq,
        uri: item.uri.clone(),
        etag: item.etag.clone(),
        ordinal,
        stage,
        reason,
        record_bytes: (record_bytes > raw.len() as u64).then_some(record_bytes),
        by: Delivery::of(item, lease.receive_count),
        raw,
    }
}

impl Store {
    /// Stores what comes, until no lane is left.
    pub async fn run(mut self) {
        while let Some(first) = self.receiver.recv().await {
            let mut waiting = vec![first];
            while let Ok(more) = self.receiver.try_recv() {
                waiting.push(more);
            }
            match &self.place {
                Place::State(states) => store(states, waiting).await,
                Place::Local(local) => keep(local, waiting).await,
            }
        }
    }
}

/// Stores letters with their jobs: those of one job in one call.
async fn store(states: &States, waiting: Vec<Waiting>) {
    let mut jobs: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
    for one in waiting {
        let job = one.hold.tracked().item().job.clone();
        jobs.entry(job).or_default().push(one);
    }
    for (job, waiting) in jobs {
        let (letters, holders) = taken_apart(waiting);
        match states.of(&job).letters.store(&letters).await {
            Ok(()) => acknowledge(holders),
            Err(error) => fail(holders, &outcome(&error)),
        }
    }
}

/// Adds letters to a file, or shows them.
async fn keep(local: &Arc<DeadLetters>, waiting: Vec<Waiting>) {
    let (letters, holders) = taken_apart(waiting);
    let local = Arc::clone(local);
    // A file may take its time.
    let kept = tokio::task::spawn_blocking(move || local.records(&letters)).await;
    match kept.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(()) => acknowledge(holders),
        Err(error) => {
            let reason = format!("cannot keep a dead letter: {}", reason(&error));
            fail(holders, &Outcome::Refused { reason });
        }
    }
}

/// Who waits for how many letters, and the room that these take until they are stored.
type Holders = Vec<(Hold, u64, OwnedSemaphorePermit)>;

/// All letters, and who waits for them.
fn taken_apart(waiting: Vec<Waiting>) -> (Vec<RecordDeadLetter>, Holders) {
    let mut all = Vec::new();
    let mut holders = Vec::new();
    for Waiting {
        hold,
        mut letters,
        room,
    } in waiting
    {
        holders.push((hold, letters.len() as u64, room));
        all.append(&mut letters);
    }
    (all, holders)
}

fn acknowledge(holders: Holders) {
    for (hold, records_rejected, _room) in holders {
        hold.acknowledge(Counts {
            records_rejected,
            ..Counts::default()
        });
    }
}

fn fail(holders: Holders, outcome: &Outcome) {
    for (hold, ..) in holders {
        hold.fail(outcome.clone());
    }
}
