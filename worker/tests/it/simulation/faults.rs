//! What goes wrong, and wrappers that make it go wrong around the real parts.
//!
//! A worker that is killed is one whose every call to the world outside never returns: from outside, nothing tells it from a
//! dead process, and everything that it did before stays done.

use std::{
    future::pending,
    ops::AddAssign,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use pf_state::{
    Place,
    place::{Memory, Names},
};
use pf_work::{
    Lease, WorkItem, WorkSink as _, WorkSource,
    memory::MemoryQueue,
    queue::{Error, Failed, Receipt},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    outages::{Outages, What},
    world::VISIBILITY,
};

/// How often each thing happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) kills: u64,
    pub(super) drains: u64,
    pub(super) resumed: u64,
    pub(super) lost_leases: u64,
    pub(super) duplicates: u64,
    pub(super) rejected: u64,
    pub(super) released: u64,
    pub(super) told_again: u64,
    pub(super) settled_again: u64,
    /// Outages that a worker noticed.
    pub(super) storms: u64,
    /// Items that were read alone.
    pub(super) alone: u64,
    /// Items that end their workers, given up by a worker.
    pub(super) killers_given_up: u64,
    /// The same, moved by the queue's policy.
    pub(super) killers_moved: u64,
    /// Items that could not be read though others could, given up.
    pub(super) unreadable: u64,
    /// Messages that are there twice as somebody gave back an item and could not take the old one away.
    pub(super) doubled: u64,
    /// Documents that an earlier attempt left in an index that is not written to any more.
    pub(super) found_earlier: u64,
}

impl Met {
    pub(super) fn all_kinds(mut self) -> bool {
        self.counts().iter().all(|count| **count > 0)
    }

    fn counts(&mut self) -> [&mut u64; 16] {
        let Self {
            kills,
            drains,
            resumed,
            lost_leases,
            duplicates,
            rejected,
            released,
            told_again,
            settled_again,
            storms,
            alone,
            killers_given_up,
            killers_moved,
            unreadable,
            doubled,
            found_earlier,
        } = self;
        [
            kills,
            drains,
            resumed,
            lost_leases,
            duplicates,
            rejected,
            released,
            told_again,
            settled_again,
            storms,
            alone,
            killers_given_up,
            killers_moved,
            unreadable,
            doubled,
            found_earlier,
        ]
    }
}

impl AddAssign for Met {
    fn add_assign(&mut self, mut other: Self) {
        for (count, more) in self.counts().into_iter().zip(other.counts()) {
            *count += *more;
        }
    }
}

/// One worker's connection to the world: how unreliable it is, and whether the worker still lives.
#[derive(Debug, Clone)]
pub(super) struct Link {
    rng: Arc<Mutex<Rng>>,
    is_dead: CancellationToken,
    doubled: Arc<AtomicU64>,
    /// Answers to leases are never lost: the queue's policy counts these, and nothing is to be done about it.
    pub(super) leases_well: bool,
    /// Leases are kept in time, whatever else goes wrong.
    pub(super) extends_well: bool,
    /// Chance in a thousand that a call fails, before or after it took effect.
    pub(super) failures_permille: u32,
    /// The longest that a call takes.
    pub(super) slowest: Duration,
}

/// What is to become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    NotDone,
    DoneButSaysNot,
}

impl Link {
    pub(super) fn new(rng: Rng, failures_permille: u32, slowest: Duration) -> Self {
        Self {
            rng: Arc::new(Mutex::new(rng)),
            is_dead: CancellationToken::new(),
            doubled: Arc::default(),
            leases_well: false,
            extends_well: false,
            failures_permille,
            slowest,
        }
    }

    pub(super) fn kill(&self) {
        self.is_dead.cancel();
    }

    /// Returns when it is killed.
    pub(super) async fn killed(&self) {
        self.is_dead.cancelled().await;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_dead.is_cancelled()
    }

    /// Messages that it left twice in the queue.
    pub(super) fn doubled(&self) -> u64 {
        self.doubled.load(Ordering::Relaxed)
    }

    /// Waits as long as a call takes, and says what becomes of it. Of a dead worker it never returns.
    pub(super) async fn call(&self) -> Fate {
        let (wait, fate) = {
            let mut rng = self.rng.lock().unwrap();
            let wait = Duration::from_micros(rng.u64(0..=self.slowest.as_micros() as u64));
            let fate = match rng.u32(0..1000) {
                roll if roll >= self.failures_permille => Fate::Done,
                roll if roll % 2 == 0 => Fate::NotDone,
                _ => Fate::DoneButSaysNot,
            };
            (wait, fate)
        };
        sleep(wait).await;
        self.alive().await;
        fate
    }

    /// What becomes of a call that does `act`: it may fail before, or though it was done.
    async fn through<T, E>(&self, act: impl Future<Output = Result<T, E>>, failed: impl Fn() -> E) -> Result<T, E> {
        let fate = self.call().await;
        if fate == Fate::NotDone {
            return Err(failed());
        }
        let done = act.await;
        self.alive().await;
        if fate == Fate::DoneButSaysNot {
            return Err(failed());
        }
        done
    }

    /// Returns at once, or never.
    pub(super) async fn alive(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    pub(super) fn roll(&self, below: u32) -> u32 {
        self.rng.lock().unwrap().u32(0..below)
    }
}

/// The queue as one worker sees it.
pub(super) struct Queue {
    pub(super) queue: Arc<MemoryQueue>,
    pub(super) link: Link,
}

impl Queue {
    /// A call as a whole: what it does may happen though it says not.
    async fn call<T>(&self, act: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.link.through(act, unavailable).await
    }

    /// A call on several: each entry has a fate of its own. What is left is for the queue, by place.
    async fn each(&self, receipts: &[Receipt]) -> (Vec<Failed>, Vec<usize>) {
        self.link.call().await;
        let mut failed = Vec::new();
        let mut rest = Vec::new();
        for index in 0..receipts.len() {
            if self.link.roll(1000) < self.link.failures_permille {
                let error = unavailable();
                failed.push(Failed { index, error });
                // Half of those that fail are done all the same.
                if self.link.roll(2) == 0 {
                    continue;
                }
            }
            rest.push(index);
        }
        (failed, rest)
    }
}

fn unavailable() -> Error {
    Error::Unavailable {
        reason: "simulated".to_owned(),
    }
}

/// Puts what failed on its way and what failed at the queue together.
fn joined(mut failed: Vec<Failed>, at_queue: Vec<Failed>, rest: &[usize]) -> Vec<Failed> {
    for Failed { index, error } in at_queue {
        let index = rest[index];
        if failed.iter().all(|known| known.index != index) {
            failed.push(Failed { index, error });
        }
    }
    failed.sort_by_key(|failed| failed.index);
    failed
}

#[async_trait]
impl WorkSource for Queue {
    async fn lease(&self, count: usize, wait: Duration) -> Result<Vec<Lease>, Error> {
        if self.link.leases_well {
            self.link.alive().await;
            let leased = self.queue.lease(count, wait).await;
            self.link.alive().await;
            return leased;
        }
        // Leases whose answer is lost run out, as a server's do.
        self.call(self.queue.lease(count, wait)).await
    }

    async fn extend(&self, receipts: &[Receipt], duration: Duration) -> Result<Vec<Failed>, Error> {
        if self.link.extends_well {
            self.link.alive().await;
            return self.queue.extend(receipts, duration).await;
        }
        let (failed, rest) = self.each(receipts).await;
        let left: Vec<Receipt> = rest.iter().map(|index| receipts[*index].clone()).collect();
        let at_queue = self.queue.extend(&left, duration).await?;
        self.link.alive().await;
        Ok(joined(failed, at_queue, &rest))
    }

    async fn complete(&self, receipts: &[Receipt]) -> Result<Vec<Failed>, Error> {
        let (failed, rest) = self.each(receipts).await;
        let left: Vec<Receipt> = rest.iter().map(|index| receipts[*index].clone()).collect();
        let at_queue = self.queue.complete(&left).await?;
        self.link.alive().await;
        Ok(joined(failed, at_queue, &rest))
    }

    /// As on SQS: a new message, and then the old one goes. Who fails between leaves both.
    async fn release(&self, receipt: &Receipt, item: &WorkItem, delay: Duration) -> Result<(), Error> {
        match self.link.call().await {
            Fate::NotDone => Err(unavailable()),
            Fate::DoneButSaysNot if self.link.roll(2) == 0 => {
                self.queue.extend(std::slice::from_ref(receipt), VISIBILITY).await?;
                self.queue.offer(std::slice::from_ref(item)).await?;
                self.link.doubled.fetch_add(1, Ordering::Relaxed);
                Err(unavailable())
            }
            fate => {
                let released = self.queue.release(receipt, item, delay).await;
                self.link.alive().await;
                if fate == Fate::DoneButSaysNot {
                    return Err(unavailable());
                }
                released
            }
        }
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), Error> {
        self.call(self.queue.dead_letter(receipt, reason)).await
    }
}

/// The state directory's place as one worker sees it.
#[derive(Debug)]
pub(super) struct FaultyPlace {
    pub(super) memory: Arc<Memory>,
    pub(super) link: Link,
    /// Where it is in the storage of the objects, their outages are its own.
    pub(super) outages: Option<Outages>,
}

impl FaultyPlace {
    async fn call<T>(&self, act: impl Future<Output = pf_storage::Result<T>>) -> pf_storage::Result<T> {
        let unavailable = || pf_storage::Error::Unavailable {
            action: "write",
            uri: "memory:".to_owned(),
            attempts: 1,
            source: "simulated".into(),
        };
        if let Some(outages) = &self.outages
            && outages.is_out_of_reach(What::Storage).await
        {
            self.link.alive().await;
            return Err(unavailable());
        }
        self.link.through(act, unavailable).await
    }
}

#[async_trait]
impl Place for FaultyPlace {
    fn address(&self, name: &str) -> String {
        self.memory.address(name)
    }

    async fn get(&self, name: &str) -> pf_storage::Result<Option<Bytes>> {
        self.call(self.memory.get(name)).await
    }

    async fn put(&self, name: &str, bytes: Bytes) -> pf_storage::Result<()> {
        self.call(self.memory.put(name, bytes)).await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> pf_storage::Result<bool> {
        self.call(self.memory.create(name, bytes)).await
    }

    async fn delete(&self, name: &str) -> pf_storage::Result<()> {
        self.call(self.memory.delete(name)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> pf_storage::Result<Names> {
        self.call(self.memory.list(prefix, after)).await
    }
}
