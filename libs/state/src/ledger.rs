//! The ledger: which items are settled, and what became of their records. Workers write it before they acknowledge.
//!
//! Each part has the set of its items as Roaring bitmaps in its header and the counts of each item in its lines. An item
//! may be settled more than once, because delivery is at least once; the union of all parts knows it once, whatever the
//! order: completed is stronger than given up, and of equals the first delivery, which wrote the most itself, stands.

mod bitmap;

use std::{cmp::Reverse, collections::BTreeMap};

use futures::TryStreamExt as _;
use pf_work::Counts;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{
    Result, StateDir,
    growing::{Entries, Growing},
    part::{Kind, Part},
};

const FOLDER: &str = "ledger/";

/// Items in a part. So many are put anew with each new one, in some 100 KB; ten million items are 2,500 parts.
const PART_ITEMS_MAX: usize = 4096;

/// Reasons that a [`Ledger`] keeps; all dead letters are counted.
pub const REASONS_MAX: usize = 100;

/// How an item ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Read to its end; every record is in the sink, filtered, dropped or a dead letter.
    Completed,
    /// Given up.
    DeadLetter {
        /// Why.
        reason: String,
    },
}

/// A settled item.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settled {
    /// The item's number in its job.
    pub seq: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What became of its records, from the item's start, also where this worker went on from a checkpoint.
    pub counts: Counts,
    /// Parquet: rows of the whole object, as its footer says. Over the ranges of an object, the records read add up to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_rows: Option<u64>,
}

impl Settled {
    /// The order in which one of several settlements of an item stands for it: the least.
    fn rank(&self) -> (&Outcome, u64, Reverse<Counts>) {
        (&self.outcome, self.counts.records_duplicate, Reverse(self.counts))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct About {
    job: String,
    worker: String,
    #[serde(with = "bitmap")]
    completed: RoaringTreemap,
    #[serde(with = "bitmap", default)]
    dead: RoaringTreemap,
    /// Items of which records are unaccounted for.
    #[serde(with = "bitmap", default)]
    unbalanced: RoaringTreemap,
    /// Sums over the lines.
    counts: Counts,
}

impl About {
    fn seqs(&self) -> RoaringTreemap {
        &self.completed | &self.dead
    }
}

#[derive(Debug, Clone, Default)]
struct Items(BTreeMap<u64, Settled>);

impl Items {
    fn settle(&mut self, settled: Settled) {
        let known = self.0.entry(settled.seq).or_insert_with(|| settled.clone());
        if settled.rank() < known.rank() {
            *known = settled;
        }
    }
}

impl Entries for Items {
    type About = About;
    type Entry = Settled;
    const KIND: Kind = Kind::Ledger;
    const FOLDER: &str = FOLDER;

    fn take(&mut self, more: &mut &[Settled]) {
        while self.0.len() < PART_ITEMS_MAX
            && let Some((first, rest)) = more.split_first()
        {
            self.settle(first.clone());
            *more = rest;
        }
    }

    fn about(&self, job: &str, worker: &str) -> About {
        let mut about = About {
            job: job.to_owned(),
            worker: worker.to_owned(),
            completed: RoaringTreemap::new(),
            dead: RoaringTreemap::new(),
            unbalanced: RoaringTreemap::new(),
            counts: Counts::default(),
        };
        for settled in self.0.values() {
            let set = match settled.outcome {
                Outcome::Completed => &mut about.completed,
                Outcome::DeadLetter { .. } => &mut about.dead,
            };
            set.insert(settled.seq);
            if !settled.counts.balances() {
                about.unbalanced.insert(settled.seq);
            }
            about.counts += settled.counts;
        }
        about
    }

    fn lines(&self) -> impl ExactSizeIterator<Item = &Settled> {
        self.0.values()
    }
}

/// One worker's side of a job's ledger. All calls may be made at the same time; they follow one another.
#[derive(Debug)]
pub struct LedgerWriter(Mutex<Growing<Items>>);

impl LedgerWriter {
    /// Notes items as settled. They are stored when this returns, and only then may they leave the queue. After an error
    /// some may be stored; noting them again, here or elsewhere, counts them once all the same.
    ///
    /// Each call is one put or more: give it everything that there is to note.
    pub async fn record(&self, settled: &[Settled]) -> Result<()> {
        self.0.lock().await.add(settled).await
    }
}

/// The union of all parts of a job's ledger.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    /// Items that are done.
    pub completed: RoaringTreemap,
    /// Items that were given up and never completed.
    pub dead: RoaringTreemap,
    /// Why, for the first [`REASONS_MAX`] of them.
    pub reasons: BTreeMap<u64, String>,
    /// Settled items whose records are not all accounted for. It is empty, or something is wrong with a worker.
    pub unbalanced: RoaringTreemap,
    /// Sums over all settled items, each once.
    pub counts: Counts,
    /// Settlements of items that were settled before: deliveries that were one too many.
    pub repeats: u64,
    /// Parts read.
    pub parts: u64,
}

impl Ledger {
    /// Items that are done or given up.
    pub fn settled(&self) -> RoaringTreemap {
        &self.completed | &self.dead
    }

    /// Takes an item for given up that nobody settled: one that is in the dead-letter queue without a worker's doing.
    pub fn give_up(&mut self, seq: u64, reason: String) {
        if !self.completed.contains(seq) && self.dead.insert(seq) {
            self.reasons.insert(seq, reason);
            if self.reasons.len() > REASONS_MAX {
                self.reasons.pop_last();
            }
        }
    }

    /// Counts an item that was not counted yet.
    fn count(&mut self, settled: Settled) {
        let Settled {
            seq,
            outcome,
            counts,
            object_rows: _,
        } = settled;
        if !counts.balances() {
            self.unbalanced.insert(seq);
        }
        self.counts += counts;
        match outcome {
            Outcome::Completed => {
                self.completed.insert(seq);
            }
            Outcome::DeadLetter { reason } => self.give_up(seq, reason),
        }
    }

    /// Of the items 0 to `items`, those that nobody settled.
    pub fn missing(&self, items: u64) -> RoaringTreemap {
        let mut all = RoaringTreemap::new();
        all.insert_range(0..items);
        all - self.settled()
    }
}

impl StateDir {
    /// A writer to the ledger for the process `worker`, a pod's name for example. Nothing is contacted yet.
    pub fn write_ledger(&self, worker: &str) -> LedgerWriter {
        LedgerWriter(Mutex::new(Growing::new(self, worker)))
    }

    /// Reads the whole ledger. Lines are only read of parts with items that were settled more than once or given up.
    pub async fn ledger(&self) -> Result<Ledger> {
        let names = self.names(FOLDER).await?;
        let mut headers = self.parts(names.clone(), |part: Part<About>| {
            checked(&part).map(|()| part.header.about)
        });
        let mut abouts = Vec::with_capacity(names.len());
        let mut settled = RoaringTreemap::new();
        let mut repeated = RoaringTreemap::new();
        let mut repeats = 0;
        while let Some(about) = headers.try_next().await? {
            let here = about.seqs();
            let again = &settled & &here;
            repeats += again.len();
            repeated |= again;
            settled |= here;
            abouts.push(about);
        }
        let mut ledger = Ledger {
            repeats,
            parts: names.len() as u64,
            ..Ledger::default()
        };
        let mut in_detail = Vec::new();
        let mut in_detail_names = Vec::new();
        for (name, about) in names.into_iter().zip(abouts) {
            if about.dead.is_empty() && about.unbalanced.is_empty() && about.completed.is_disjoint(&repeated) {
                ledger.counts += about.counts;
                ledger.completed |= about.completed;
            } else {
                in_detail.push(about.seqs());
                in_detail_names.push(name);
            }
        }
        let mut details = self.parts(in_detail_names, |mut part: Part<About>| part.rest::<Settled>());
        let mut best: BTreeMap<u64, Settled> = BTreeMap::new();
        for seqs in in_detail {
            let lines = details.try_next().await?.unwrap_or_default();
            // The part may have grown since its header was read; what is new is left for the next reading.
            for line in lines.into_iter().filter(|line| seqs.contains(line.seq)) {
                if !repeated.contains(line.seq) {
                    ledger.count(line);
                } else if best.get(&line.seq).is_none_or(|known| line.rank() < known.rank()) {
                    best.insert(line.seq, line);
                }
            }
        }
        for line in best.into_values() {
            ledger.count(line);
        }
        Ok(ledger)
    }
}

fn checked(part: &Part<About>) -> Result<()> {
    if part.header.kind == Kind::Ledger {
        Ok(())
    } else {
        Err(part.damaged("it is no part of a ledger"))
    }
}
