//! The contract of delivery between the discoverer and the workers.
//!
//! - At least once. An item that was offered is leased to somebody until it is completed or dead-lettered. It may be
//!   leased twice, also at the same time, when a lease ran out; whoever processes it must be able to do so twice.
//! - No order is promised.
//! - A lease is the right to process an item until its deadline. The holder extends it while it works; the queue never
//!   does. A lease that ran out is lost: completing it may still succeed, but the item may be leased again already.
//! - An item that is given back counts as never leased. What is counted as leased before was lost: by a worker that died, or
//!   one that came too late.
//! - `Ok` of [`WorkSource::complete`] says that the queue took the completion, not that nobody else holds the item.
//! - Calls on several entries fail per entry: what failed is named, and everything that isn't named was done.
//!
//! [`crate::contract`] holds every queue to this.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::WorkItem;

/// The right to process a work item until a deadline.
#[derive(Debug, Clone)]
pub struct Lease {
    /// What to process.
    pub item: WorkItem,
    /// Names this lease towards the queue; another lease of the same item has another receipt.
    pub receipt: Receipt,
    /// How often the item was leased since it was last sent, this lease included: 1 for the first time.
    pub receive_count: u32,
    /// Of the leases before this one, those that ended without a word: their workers died, or lost them. 0 where the queue
    /// can't tell them from leases that were given back.
    pub lost_leases: u32,
    /// Until when the lease holds if nobody extends it.
    pub deadline: Instant,
}

impl Lease {
    /// How often a worker ended without a word while it had the item, as far as anybody knows.
    pub fn crashes(&self) -> u32 {
        self.item.crashes.saturating_add(self.lost_leases)
    }

    /// The item as it is to come back when it is given back. That counts even if nothing of it was read: the message that it
    /// leaves may stay in the queue beside the new one, and whoever has that one reads.
    pub fn given_back(&self) -> WorkItem {
        WorkItem {
            returns: self.item.returns.saturating_add(1),
            crashes: self.crashes(),
            ..self.item.clone()
        }
    }
}

/// A queue's name for one lease; only its queue can read it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// Why a queue did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The lease ran out, or was settled before. Somebody else may hold the item.
    #[error("the lease is lost")]
    LeaseLost,
    /// The queue is out of reach or overloaded, for now.
    #[error("the queue is unavailable: {reason}")]
    Unavailable {
        /// What it said.
        reason: String,
    },
    /// The queue refuses us: no such queue, no permission.
    #[error("the queue refuses: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
}

/// One entry of a call on several that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The entry's place in the call.
    pub index: usize,
    /// Why it failed.
    pub error: Error,
}

/// How much is in a queue, as its counters see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Items that can be leased now.
    pub visible: u64,
    /// Items that are leased.
    pub in_flight: u64,
    /// Items that can be leased later.
    pub delayed: u64,
}

/// Where work items are put.
#[async_trait]
pub trait WorkSink: Send + Sync {
    /// Offers items. What comes back was not taken and must be offered again; an error says that none is known to be taken.
    async fn offer(&self, items: &[WorkItem]) -> Result<Vec<Failed>, Error>;
}

/// Where work items are leased.
#[async_trait]
pub trait WorkSource: Send + Sync {
    /// Up to `count` leases, or a few more where one message of the queue holds several items; waits up to `wait` for the first one. None: there was nothing to lease in that time, which
    /// does not say that the queue is empty.
    async fn lease(&self, count: usize, wait: Duration) -> Result<Vec<Lease>, Error>;

    /// Holds the leases for `duration` from now.
    async fn extend(&self, receipts: &[Receipt], duration: Duration) -> Result<Vec<Failed>, Error>;

    /// Takes the items out of the queue: they are done.
    async fn complete(&self, receipts: &[Receipt]) -> Result<Vec<Failed>, Error>;

    /// Gives an item back, to be leased again after `delay`, as `item`: what changed of it meanwhile (how often it was given
    /// back, how often it failed) travels with it. It comes back as if it had never been leased, so that a queue that counts
    /// leases counts only those that ended without a word. Who loses the answer may find it in the queue twice.
    async fn release(&self, receipt: &Receipt, item: &WorkItem, delay: Duration) -> Result<(), Error>;

    /// Whether [`WorkSource::dead_letter`] has a place to keep items in. If not, who gives one up must keep it elsewhere
    /// before completing it.
    fn keeps_dead_letters(&self) -> bool {
        true
    }

    /// Takes an item out of the queue and keeps it with `reason` where it can be offered again, as
    /// [`given_up`](WorkItem::given_up) has it.
    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), Error>;
}
