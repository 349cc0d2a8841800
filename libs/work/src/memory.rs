//! A queue in memory: for work that is piped into a worker, and for tests that move the clock.
//!
//! All its times are tokio's, so a paused clock makes deadlines testable in milliseconds.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{
    Lease, WorkItem, WorkSink, WorkSource,
    queue::{Depth, Error, Failed, Receipt},
};

/// How a memory queue behaves.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long a lease holds unless it is extended.
    pub visibility: Duration,
    /// An item that was leased this often is moved to the dead letters instead of being leased again.
    pub receives_max: u32,
}

impl Default for Options {
    /// The values that SQS suggests: thirty seconds, and a handful of tries.
    fn default() -> Self {
        Self {
            visibility: Duration::from_secs(30),
            receives_max: 5,
        }
    }
}

/// An item that was given up, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The item.
    pub item: WorkItem,
    /// The reason.
    pub reason: String,
}

/// A queue that lives as long as its process.
#[derive(Debug)]
pub struct MemoryQueue {
    options: Options,
    state: Mutex<State>,
    /// Rung when something may have become leasable.
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Entry>,
    /// Not leasable before a time: released with a delay. Keyed by time and a number that tells equal times apart.
    delayed: BTreeMap<(Instant, u64), Entry>,
    /// By the number in the receipt.
    leased: BTreeMap<u64, (Entry, Instant)>,
    dead: Vec<DeadLetter>,
    next_number: u64,
}

#[derive(Debug)]
struct Entry {
    item: WorkItem,
    receive_count: u32,
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            state: Mutex::default(),
            bell: Notify::new(),
        }
    }

    /// How much is in it.
    pub fn depth(&self) -> Depth {
        let mut state = self.state();
        state.wake(Instant::now(), self.options.receives_max);
        Depth {
            visible: state.ready.len() as u64,
            in_flight: state.leased.len() as u64,
            delayed: state.delayed.len() as u64,
        }
    }

    /// What was given up so far.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.state().dead.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no call panics while it holds the queue's lock")
    }

    /// Settles one lease: takes it out if it still holds.
    fn take(&self, receipt: &Receipt) -> Result<Entry, Error> {
        let mut state = self.state();
        state.wake(Instant::now(), self.options.receives_max);
        let number: u64 = receipt.0.parse().map_err(|_| Error::LeaseLost)?;
        state
            .leased
            .remove(&number)
            .map(|(entry, _)| entry)
            .ok_or(Error::LeaseLost)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Makes leasable what has become so by `now`: leases that ran out, delays that are over.
    fn wake(&mut self, now: Instant, receives_max: u32) {
        let later = self.delayed.split_off(&(now, u64::MAX));
        let over = std::mem::replace(&mut self.delayed, later);
        self.ready.extend(over.into_values());
        let lost: Vec<u64> = self
            .leased
            .iter()
            .filter(|(_, (_, deadline))| *deadline <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in lost {
            if let Some((entry, _)) = self.leased.remove(&number) {
                self.ready.push_back(entry);
            }
        }
        for _ in 0..self.ready.len() {
            if let Some(entry) = self.ready.pop_front() {
                if entry.receive_count >= receives_max {
                    let reason = format!("leased {} times and never settled", entry.receive_count);
                    self.dead.push(DeadLetter {
                        item: entry.item,
                        reason,
                    });
                } else {
                    self.ready.push_back(entry);
                }
            }
        }
    }

    /// When something becomes leasable by time alone.
    fn next_wake(&self) -> Option<Instant> {
        let delayed = self.delayed.keys().next().map(|(at, _)| *at);
        let lost = self.leased.values().map(|(_, deadline)| *deadline).min();
        delayed.into_iter().chain(lost).min()
    }

    fn lease(&mut self, count: usize, deadline: Instant) -> Vec<Lease> {
        let mut leases = Vec::new();
        while leases.len() < count
            && let Some(mut entry) = self.ready.pop_front()
        {
            entry.receive_count += 1;
            let number = self.number();
            leases.push(Lease {
                item: entry.item.clone(),
                receipt: Receipt(number.to_string()),
                receive_count: entry.receive_count,
                lost_leases: entry.receive_count - 1,
                deadline,
            });
            self.leased.insert(number, (entry, deadline));
        }
        leases
    }
}

/// Does `act` for each receipt and names those that failed.
fn each(receipts: &[Receipt], mut act: impl FnMut(&Receipt) -> Result<(), Error>) -> Vec<Failed> {
    let results = receipts.iter().enumerate();
    results
        .filter_map(|(index, receipt)| act(receipt).err().map(|error| Failed { index, error }))
        .collect()
}

#[async_trait]
impl WorkSink for MemoryQueue {
    async fn offer(&self, items: &[WorkItem]) -> Result<Vec<Failed>, Error> {
        self.state()
            .ready
            .extend(items.iter().cloned().map(|item| Entry { item, receive_count: 0 }));
        self.bell.notify_waiters();
        Ok(Vec::new())
    }
}

#[async_trait]
impl WorkSource for MemoryQueue {
    async fn lease(&self, count: usize, wait: Duration) -> Result<Vec<Lease>, Error> {
        let until = Instant::now() + wait;
        loop {
            // Listening begins before looking, so that nothing is missed in between.
            let rung = self.bell.notified();
            let wake_at = {
                let now = Instant::now();
                let mut state = self.state();
                state.wake(now, self.options.receives_max);
                let leases = state.lease(count, now + self.options.visibility);
                if !leases.is_empty() || now >= until {
                    return Ok(leases);
                }
                state.next_wake().map_or(until, |at| at.min(until))
            };
            // Either way there is a reason to look again: the bell, or the time.
            timeout_at(wake_at, rung).await.ok();
        }
    }

    async fn extend(&self, receipts: &[Receipt], duration: Duration) -> Result<Vec<Failed>, Error> {
        let now = Instant::now();
        let mut state = self.state();
        state.wake(now, self.options.receives_max);
        Ok(each(receipts, |receipt| {
            let number: u64 = receipt.0.parse().map_err(|_| Error::LeaseLost)?;
            let (_, deadline) = state.leased.get_mut(&number).ok_or(Error::LeaseLost)?;
            *deadline = now + duration;
            Ok(())
        }))
    }

    async fn complete(&self, receipts: &[Receipt]) -> Result<Vec<Failed>, Error> {
        Ok(each(receipts, |receipt| self.take(receipt).map(drop)))
    }

    async fn release(&self, receipt: &Receipt, item: &WorkItem, delay: Duration) -> Result<(), Error> {
        self.take(receipt)?;
        let entry = Entry {
            item: item.clone(),
            receive_count: 0,
        };
        let mut state = self.state();
        let number = state.number();
        state.delayed.insert((Instant::now() + delay, number), entry);
        self.bell.notify_waiters();
        Ok(())
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), Error> {
        let entry = self.take(receipt)?;
        self.state().dead.push(DeadLetter {
            item: entry.item.given_up(),
            reason: reason.to_owned(),
        });
        Ok(())
    }
}
