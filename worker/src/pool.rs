//! The lanes of a worker, and what runs ahead of them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use pf_storage::Storage;
use pf_work::{Lease, Settlement, WorkItem, WorkSource as _, settle, settle::Outcome};
use tokio::{runtime::Handle, sync::mpsc};

use crate::{
    args::Destination,
    indexer::output::{self, Output},
    input::{self, Input, reason},
    lane::{Lane, Shared},
    opened::{Opened, Opener},
    plan::Prefetch,
};

/// Stack of a lane's thread: nested records and schemas are walked by recursion, up to their limits.
const STACK_BYTES: usize = 8 << 20;

/// What ended the lanes early, if something did.
#[derive(Debug, Default)]
pub struct End {
    /// The reader of standard output has gone.
    pub output_closed: bool,
    /// A reason that every other item would meet too.
    pub failure: Option<String>,
    /// Items that were given back because of a stop.
    pub items_released: u64,
}

struct Leased {
    lease: Lease,
    opened: Result<Opened, String>,
}

/// What a pool works with.
pub struct Pool {
    /// Where items come from.
    pub input: Arc<Input>,
    /// What reads objects.
    pub storage: Storage,
    /// How many lanes.
    pub threads: usize,
    /// How far to read ahead.
    pub prefetch: Prefetch,
    /// Where documents go.
    pub destination: Destination,
    /// What all lanes share.
    pub shared: Arc<Shared>,
}

impl Pool {
    /// Runs until every item is settled, or until something ends it early. Blocks; `runtime` does the reading.
    pub fn run(self, runtime: &Handle) -> anyhow::Result<End> {
        let (sender, receiver) = mpsc::channel(self.prefetch.objects * self.threads);
        let opener = runtime.spawn(open_ahead(
            self.input.clone(),
            Opener {
                runtime: runtime.clone(),
                storage: self.storage.clone(),
                pieces_ahead: self.prefetch.pieces,
                metrics: self.shared.metrics.clone(),
            },
            self.shared.shutdown.clone(),
            sender,
        ));
        let receiver = Mutex::new(receiver);
        let end = Mutex::new(End::default());
        let stopped = AtomicBool::new(false);
        let lanes = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .stack_size(STACK_BYTES)
            .thread_name(|number| format!("lane-{number}"))
            .build()
            .context("cannot start the lanes' threads")?;
        lanes.in_place_scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|_| self.lane(runtime, &receiver, &end, &stopped));
            }
        });
        drop(receiver);
        runtime.block_on(opener).context("reading ahead panicked")??;
        Ok(end.into_inner().expect("no lane panics while it notes its end"))
    }

    fn lane(&self, runtime: &Handle, receiver: &Mutex<mpsc::Receiver<Leased>>, end: &Mutex<End>, stopped: &AtomicBool) {
        let mut lane = Lane::new(&self.shared, Output::new(self.destination));
        loop {
            // Taken once an object: no lane waits here while it has work.
            let next = receiver.lock().expect("no lane panics while it waits").blocking_recv();
            let Some(Leased { lease, opened }) = next else { return };
            if stopped.load(Ordering::Relaxed) || self.shared.shutdown.is_draining() {
                note(end, |end| end.items_released += 1);
                self.apply(runtime, &lease, &Settlement::Release { delay: Duration::ZERO });
                continue;
            }
            match lane.process(&lease.item, opened) {
                Ok(outcome) => self.settle(runtime, &lease, outcome, end, stopped),
                Err(error) => {
                    self.stop(end, stopped, |end| match &error {
                        output::Error::Closed => end.output_closed = true,
                        error => {
                            end.failure.get_or_insert_with(|| reason(error));
                        }
                    });
                    self.apply(runtime, &lease, &Settlement::Release { delay: Duration::ZERO });
                }
            }
        }
    }

    /// Decides what becomes of the item, and tells whoever must know.
    fn settle(&self, runtime: &Handle, lease: &Lease, outcome: Outcome, end: &Mutex<End>, stopped: &AtomicBool) {
        if outcome == Outcome::Interrupted {
            note(end, |end| end.items_released += 1);
        }
        let outcome = give_up_after(input::TRIES_MAX, lease.receive_count, outcome);
        let unavailable = match &outcome {
            Outcome::Unavailable { reason } => Some(reason.clone()),
            _ => None,
        };
        let settlement = settle(outcome, lease.receive_count);
        match (&settlement, unavailable) {
            (Settlement::ReleaseAndStop { reason }, _) => self.stop(end, stopped, |end| {
                end.items_released += 1;
                end.failure.get_or_insert_with(|| reason.clone());
            }),
            (Settlement::Release { delay }, Some(reason)) => {
                tracing::warn!(uri = lease.item.uri, "out of reach, tried again in {delay:?}: {reason}");
            }
            _ => {}
        }
        self.apply(runtime, lease, &settlement);
    }

    fn stop(&self, end: &Mutex<End>, stopped: &AtomicBool, change: impl FnOnce(&mut End)) {
        stopped.store(true, Ordering::Relaxed);
        note(end, change);
        self.shared.shutdown.drain();
    }

    /// Tells the queue.
    fn apply(&self, runtime: &Handle, lease: &Lease, settlement: &Settlement) {
        let queue = self.input.queue();
        let receipt = &lease.receipt;
        let told = runtime.block_on(async {
            match settlement {
                Settlement::Complete => {
                    self.shared.metrics.items_completed.inc();
                    self.input.settled();
                    queue.complete(std::slice::from_ref(receipt)).await.map(drop)
                }
                Settlement::DeadLetter { reason } => {
                    self.give_up(&lease.item, reason);
                    queue.dead_letter(receipt, reason).await
                }
                Settlement::Release { delay } => queue.release(receipt, *delay).await,
                Settlement::ReleaseAndStop { .. } => queue.release(receipt, Duration::ZERO).await,
            }
        });
        if let Err(error) = told {
            tracing::warn!(uri = lease.item.uri, "cannot settle a work item: {error}");
        }
    }

    fn give_up(&self, item: &WorkItem, reason: &str) {
        self.shared.metrics.items_failed.inc();
        self.input.settled();
        if let Err(error) = self.shared.dead_letters.item(item, reason) {
            tracing::error!(uri = item.uri, "cannot keep a dead letter: {error}");
        }
    }
}

/// An item from standard input has no queue behind it, and nothing is wrong with its object: after the last try it is the
/// worker that gives up, and says so.
fn give_up_after(tries_max: u32, receive_count: u32, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Unavailable { reason } if receive_count >= tries_max => Outcome::Refused {
            reason: format!("given up after {receive_count} tries: {reason}"),
        },
        outcome => outcome,
    }
}

fn note(end: &Mutex<End>, change: impl FnOnce(&mut End)) {
    change(&mut end.lock().expect("no lane panics while it notes its end"));
}

/// Leases items and opens their objects, as far ahead as the channel has room.
async fn open_ahead(
    input: Arc<Input>,
    opener: Opener,
    shutdown: pf_telemetry::Shutdown,
    sender: mpsc::Sender<Leased>,
) -> anyhow::Result<()> {
    loop {
        let lease = tokio::select! {
            lease = input.lease() => lease.context("cannot lease a work item")?,
            () = shutdown.draining() => return Ok(()),
        };
        let Some(lease) = lease else { return Ok(()) };
        let opened = opener.open(&lease.item, None);
        if sender.send(Leased { lease, opened }).await.is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_try_of_an_item_that_is_out_of_reach_stops_the_worker_with_the_reason() {
        let unavailable = || Outcome::Unavailable {
            reason: "no route".to_owned(),
        };
        assert_eq!(give_up_after(5, 4, unavailable()), unavailable());
        let Outcome::Refused { reason } = give_up_after(5, 5, unavailable()) else {
            panic!("must be given up")
        };
        assert_eq!(reason, "given up after 5 tries: no route");
        assert_eq!(give_up_after(5, 5, Outcome::Finished), Outcome::Finished);
    }
}
