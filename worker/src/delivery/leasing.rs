//! Takes leases from the queue, as many as there is room for before the lanes, and until nothing is to come.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use pf_work::{Checkpoint, Lease, WorkSource, queue::Error, settle::Outcome};
use tokio::{
    sync::mpsc::{Sender, UnboundedSender},
    time::{Instant, sleep, timeout},
};

use super::{
    ErrorBudget, Keeper, Leased, States, Tracked, Untold,
    track::Done,
    tracked::{Event, Interval},
};
use crate::{
    ending::{Cause, Ending},
    input::{Input, reason},
    metrics::Metrics,
};

/// Messages that a queue gives at once, at most (SQS' bound).
const LEASES_MAX: usize = 10;

/// How long a poll waits at an empty queue. A worker that is asked to stop waits for its polls, so this isn't SQS' longest;
/// a poll every few seconds costs next to nothing.
const POLL: Duration = Duration::from_secs(5);

/// The same where the queue is our own, and the end of its input must be noticed.
const POLL_OWN: Duration = Duration::from_millis(20);

/// The first pause after a poll that failed; it doubles up to the longest one.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long a checkpoint is waited for, while nobody keeps the lease yet.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(5);

/// When there is nothing more to lease.
#[derive(Debug, Clone)]
pub enum Until {
    /// The input has ended, and everything of it is settled.
    Ended(Arc<Input>),
    /// The queue gave nothing, and we held nothing, for so long.
    Idle(Duration),
    /// Somebody asks to stop.
    Asked,
}

/// Who leases.
pub struct Leasing {
    /// Where from.
    pub queue: Arc<dyn WorkSource>,
    /// Polls at the same time.
    pub polls: usize,
    /// Until when.
    pub until: Until,
    /// Who keeps the leases.
    pub keeper: Arc<Keeper>,
    /// Where checkpoints are.
    pub states: Option<Arc<States>>,
    /// Items that are done already, and come only because the queue does not know.
    pub untold: Arc<Untold>,
    /// Who is told what becomes of items.
    pub settler: UnboundedSender<Event>,
    /// What may be rejected.
    pub budget: Arc<ErrorBudget>,
    /// The wish to stop, and whom to tell of a queue that refuses.
    pub ending: Arc<Ending>,
    /// What is counted.
    pub metrics: Metrics,
}

/// A leased item, and where its reading begins.
#[derive(Debug)]
pub struct Taken {
    /// The right to read it.
    pub leased: Leased,
    /// Where somebody else left off.
    pub checkpoint: Option<Checkpoint>,
}

impl Leasing {
    /// Leases items, has each made ready by `open`, and hands it on, until the end or until nobody takes them any more.
    pub async fn run<T>(self, lanes: Sender<T>, open: impl Fn(Taken) -> T) {
        let busy_at = Mutex::new(Instant::now());
        join_all((0..self.polls).map(|_| self.poll(&lanes, &open, &busy_at))).await;
    }

    async fn poll<T>(&self, lanes: &Sender<T>, open: &impl Fn(Taken) -> T, busy_at: &Mutex<Instant>) {
        let mut pause = PAUSE_MIN;
        let shutdown = self.ending.shutdown();
        loop {
            // Only what finds a place is leased, for a lease that waits for one is a lease that somebody else can't have.
            let place = tokio::select! {
                biased;
                () = shutdown.draining() => return,
                place = lanes.reserve() => place,
            };
            let Ok(place) = place else { return };
            let places = lanes.try_reserve_many(lanes.capacity().min(LEASES_MAX - 1));
            let mut places: Vec<_> = std::iter::once(place).chain(places.into_iter().flatten()).collect();
            let wait = match self.until {
                Until::Ended(_) => POLL_OWN,
                Until::Idle(_) | Until::Asked => POLL,
            };
            // In this order: an item that is offered in between is seen.
            let is_last = matches!(&self.until, Until::Ended(input) if input.has_ended());
            let polled = tokio::select! {
                biased;
                () = shutdown.draining() => return,
                polled = self.queue.lease(places.len(), wait) => polled,
            };
            match polled {
                Ok(leases) if leases.is_empty() => {
                    drop(places);
                    if self.is_over(is_last, busy_at) {
                        return;
                    }
                }
                Ok(leases) => {
                    pause = PAUSE_MIN;
                    note_busy(busy_at);
                    let taken = join_all(leases.into_iter().map(|lease| self.take(lease))).await;
                    for taken in taken.into_iter().flatten() {
                        let opened = open(taken);
                        match places.pop() {
                            Some(place) => place.send(opened),
                            // One message may hold several items.
                            None if lanes.send(opened).await.is_err() => return,
                            None => {}
                        }
                    }
                }
                Err(Error::Refused { reason }) => {
                    self.ending.stop(Cause::Refused { reason });
                    return;
                }
                Err(error) => {
                    tracing::warn!("cannot lease work items, another try comes in {pause:?}: {error}");
                    // Nobody knows what is in it: that is no idleness.
                    note_busy(busy_at);
                    drop(places);
                    tokio::select! {
                        biased;
                        () = shutdown.draining() => return,
                        () = sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                    }
                }
            }
        }
    }

    /// Follows the item from here on. None: there is nothing to read.
    async fn take(&self, lease: Lease) -> Option<Taken> {
        self.metrics.leases.inc();
        if let Some(done) = self.untold.take(&lease.item) {
            self.metrics.items_told_again.inc();
            self.follow(lease, done).end(Outcome::Finished);
            return None;
        }
        let checkpoint = self.checkpoint(&lease).await;
        let done = checkpoint.as_ref().map_or_else(Done::default, |checkpoint| {
            self.metrics.items_resumed.inc();
            Done {
                position: Some(checkpoint.position),
                counts: checkpoint.counts,
            }
        });
        let leased = self.follow(lease, done);
        Some(Taken { leased, checkpoint })
    }

    fn follow(&self, lease: Lease, done: Done) -> Leased {
        let interval = self.states.as_ref().map(|_| Interval::of(&lease.item));
        let (settler, budget) = (self.settler.clone(), Arc::clone(&self.budget));
        let leased = Tracked::follow(lease, done, interval, settler, budget);
        self.keeper.keep(leased.tracked());
        leased
    }

    /// How far somebody else read it. Nobody did before the first lease.
    async fn checkpoint(&self, lease: &Lease) -> Option<Checkpoint> {
        let states = self.states.as_ref().filter(|_| lease.receive_count > 1)?;
        let item = &lease.item;
        let checkpoints = &states.of(&item.job).checkpoints;
        let found = timeout(CHECKPOINT_WAIT, checkpoints.get(item.seq, item.etag.as_deref()?)).await;
        let trouble = match found {
            Ok(Ok(checkpoint)) => return checkpoint,
            Ok(Err(error)) => reason(&error),
            Err(_) => format!("no answer within {CHECKPOINT_WAIT:?}"),
        };
        let (uri, seq) = (&item.uri, item.seq);
        tracing::warn!(
            uri,
            seq,
            "read from its start, as its checkpoint can't be read: {trouble}"
        );
        None
    }

    fn is_over(&self, is_last: bool, busy_at: &Mutex<Instant>) -> bool {
        let holds_nothing = self.keeper.held_count() == 0;
        match &self.until {
            Until::Ended(input) => is_last && holds_nothing && input.is_empty(),
            Until::Idle(idle) => {
                if !holds_nothing {
                    note_busy(busy_at);
                }
                let busy_at = *busy_at.lock().expect("nobody panics while looking at the time");
                holds_nothing && busy_at.elapsed() >= *idle
            }
            Until::Asked => false,
        }
    }
}

fn note_busy(busy_at: &Mutex<Instant>) {
    *busy_at.lock().expect("nobody panics while looking at the time") = Instant::now();
}
