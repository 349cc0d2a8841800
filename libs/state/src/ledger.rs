//! The ledger: which items are settled, and what became of their records. Workers write it before they acknowledge.
//!
//! Each part has the set of its items as Roaring bitmaps in its header and the counts of each item in its lines. An item
//! may be settled more than once, because delivery is at least once; the union of all parts knows it once, whatever the
//! order: completed is stronger than given up, then counts who knows of conflicts, then who lost the fewest records on the way
//! (what one delivery gave up and another did not is in the sink), and of equals the first delivery, which wrote the most
//! itself. A part is of one life of the job.

mod bitmap;
mod reader;

use std::{cmp::Reverse, collections::BTreeMap};

use pf_work::Counts;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

pub use self::reader::LedgerReader;
use crate::{
    Delivery, Result, StateDir,
    growing::{Entries, Growing},
    part::Kind,
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
    /// Which delivery settled it.
    #[serde(flatten)]
    pub by: Delivery,
}

impl Settled {
    /// The order in which one of several settlements of an item stands for it: the least.
    ///
    /// Who knows of conflicts stands before who does not: a later delivery that may not look at what is stored, or is told to keep
    /// it, takes the other record's document for its own.
    fn rank(&self) -> (&Outcome, Reverse<u64>, u64, u64, Reverse<Counts>) {
        (
            &self.outcome,
            Reverse(self.counts.records_conflicting),
            self.counts.records_astray(),
            self.counts.records_duplicate,
            Reverse(self.counts),
        )
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct About {
    job: String,
    worker: String,
    /// The life of the job that all items are of, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    life: Option<String>,
    #[serde(with = "bitmap")]
    completed: RoaringTreemap,
    #[serde(with = "bitmap", default)]
    dead: RoaringTreemap,
    /// Items of which records are unaccounted for.
    #[serde(with = "bitmap", default)]
    unbalanced: RoaringTreemap,
    /// Items that have rejected records; absent where an older worker wrote.
    #[serde(with = "bitmap::optional", default, skip_serializing_if = "Option::is_none")]
    rejecting: Option<RoaringTreemap>,
    /// Sums over the lines.
    counts: Counts,
}

impl About {
    fn seqs(&self) -> RoaringTreemap {
        &self.completed | &self.dead
    }

    /// Items that may have rejected records.
    fn rejecting(&self) -> RoaringTreemap {
        match &self.rejecting {
            Some(rejecting) => rejecting.clone(),
            None if self.counts.records_rejected == 0 => RoaringTreemap::new(),
            None => self.seqs(),
        }
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
            && self
                .0
                .values()
                .next()
                .is_none_or(|known| known.by.life == first.by.life)
        {
            self.settle(first.clone());
            *more = rest;
        }
    }

    fn about(&self, job: &str, worker: &str) -> About {
        let mut about = About {
            job: job.to_owned(),
            worker: worker.to_owned(),
            life: self.0.values().next().and_then(|settled| settled.by.life.clone()),
            completed: RoaringTreemap::new(),
            dead: RoaringTreemap::new(),
            unbalanced: RoaringTreemap::new(),
            rejecting: None,
            counts: Counts::default(),
        };
        let mut rejecting = RoaringTreemap::new();
        for settled in self.0.values() {
            let set = match settled.outcome {
                Outcome::Completed => &mut about.completed,
                Outcome::DeadLetter { .. } => &mut about.dead,
            };
            set.insert(settled.seq);
            if !settled.counts.balances() {
                about.unbalanced.insert(settled.seq);
            }
            if settled.counts.records_rejected > 0 {
                rejecting.insert(settled.seq);
            }
            about.counts += settled.counts;
        }
        about.rejecting = Some(rejecting);
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
    /// Items that may have rejected records.
    pub rejecting: RoaringTreemap,
    /// Sums over all settled items, each once.
    pub counts: Counts,
    /// Of these, the sums over items that were settled for an earlier owner of the books.
    pub counts_before: Counts,
    /// Items that were settled for an earlier owner of the books.
    pub items_before: u64,
    /// Settlements of lives that these books do not have: another job of the name had the place before. They count nowhere.
    pub foreign: u64,
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

    /// Takes an item for given up that nobody settled: one that is in the dead-letter queue without a worker's doing. False
    /// where it is settled already.
    pub fn give_up(&mut self, seq: u64, reason: String) -> bool {
        let is_new = !self.completed.contains(seq) && self.dead.insert(seq);
        if is_new {
            self.reasons.insert(seq, reason);
            if self.reasons.len() > REASONS_MAX {
                self.reasons.pop_last();
            }
        }
        is_new
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
        self.read_ledger().await?.union().await
    }
}
