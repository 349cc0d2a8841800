//! Takes leases from the queue, as many as there is room for before the lanes, and until nothing is to come.
//!
//! An item whose lease ended without a word before may have ended its worker. It is read alone: no other lease of this process is
//! under way, and nothing is read ahead. So one that ends its workers takes nobody with it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use pf_work::{
    Checkpoint, Lease, WorkSource,
    queue::Error,
    settle::{Flaw, Outcome, is_spent},
};
use tokio::{
    sync::{
        RwLock,
        mpsc::{Sender, UnboundedSender},
    },
    time::{Instant, sleep, timeout},
};

use super::{
    Account, ErrorBudget, Keeper, Leased, States, Tracked, Untold, Weather, states,
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

/// How long the state directory may take to say whose books it has, which is asked once for each job.
const BINDING_WAIT: Duration = Duration::from_secs(15);

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
    /// An item that failed so often for its own sake is not read again.
    pub tries_max: u32,
    /// Whether anything is in reach.
    pub weather: Arc<Weather>,
    /// The items that are not settled yet.
    pub account: Arc<Account>,
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

/// What the polls of a worker share.
struct Polls<'a, T, Open> {
    lanes: &'a Sender<T>,
    open: &'a Open,
    busy_at: Mutex<Instant>,
    /// Held by each poll while it leases, and by one alone while an item is read alone.
    gate: RwLock<()>,
    /// Items that are to be read alone are about: they are leased one at a time.
    is_careful: AtomicBool,
}

impl Leasing {
    /// Leases items, has each made ready by `open`, and hands it on, until the end, until nobody takes them any more, or until
    /// somebody asks to stop.
    pub async fn run<T>(self, lanes: Sender<T>, open: impl Fn(Taken) -> T) {
        let polls = Polls {
            lanes: &lanes,
            open: &open,
            busy_at: Mutex::new(Instant::now()),
            gate: RwLock::default(),
            is_careful: AtomicBool::default(),
        };
        join_all((0..self.polls).map(|_| self.poll(&polls))).await;
    }

    /// What `wait` comes to, unless somebody asks to stop meanwhile.
    async fn unless_draining<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.ending.shutdown().draining() => None,
            done = wait => Some(done),
        }
    }

    async fn poll<T>(&self, polls: &Polls<'_, T, impl Fn(Taken) -> T>) {
        let mut pause = PAUSE_MIN;
        while let Some(is_probe) = self.unless_draining(self.wait_for_weather()).await {
            let is_careful = polls.is_careful.load(Ordering::Relaxed);
            // Whoever is careful, or leases a single item to try, has the gate for itself from the lease on.
            let (shared, alone) = if is_careful || is_probe {
                let Some(alone) = self.unless_draining(polls.gate.write()).await else {
                    return;
                };
                (None, Some(alone))
            } else {
                let Some(shared) = self.unless_draining(polls.gate.read()).await else {
                    return;
                };
                (Some(shared), None)
            };
            // Only what finds a place is leased, for a lease that waits for one is a lease that somebody else can't have.
            let Some(Ok(place)) = self.unless_draining(polls.lanes.reserve()).await else {
                return;
            };
            let is_outdated = is_careful != polls.is_careful.load(Ordering::Relaxed)
                || is_probe != self.weather.is_stormy()
                || is_probe && self.keeper.held_count() > 0;
            if is_outdated {
                // So much changed while it waited that it must look again.
                continue;
            }
            let more = if is_probe || is_careful {
                0
            } else {
                polls.lanes.capacity().min(LEASES_MAX - 1)
            };
            let more = polls.lanes.try_reserve_many(more);
            let mut places: Vec<_> = std::iter::once(place).chain(more.into_iter().flatten()).collect();
            let wait = match self.until {
                Until::Ended(_) => POLL_OWN,
                Until::Idle(_) | Until::Asked => POLL,
            };
            // In this order: an item that is offered in between is seen.
            let is_last = matches!(&self.until, Until::Ended(input) if input.has_ended());
            let leased = self.unless_draining(self.queue.lease(places.len(), wait)).await;
            let Some(leased) = leased else { return };
            match leased {
                Ok(leases) if leases.is_empty() => {
                    drop(places);
                    if is_careful {
                        polls.is_careful.store(false, Ordering::Relaxed);
                    }
                    if self.is_over(is_last, &polls.busy_at) {
                        return;
                    }
                }
                Ok(leases) => {
                    pause = PAUSE_MIN;
                    note_busy(&polls.busy_at);
                    let taken = join_all(leases.into_iter().map(|lease| self.take(lease))).await;
                    let (mut suspects, others): (Vec<Taken>, Vec<Taken>) =
                        taken.into_iter().flatten().partition(|taken| taken.leased.is_suspect());
                    for taken in others {
                        let opened = (polls.open)(taken);
                        match places.pop() {
                            Some(place) => place.send(opened),
                            // One message may hold several items.
                            None if polls.lanes.send(opened).await.is_err() => return,
                            None => {}
                        }
                    }
                    let was_careful = if suspects.is_empty() {
                        if is_careful {
                            polls.is_careful.store(false, Ordering::Relaxed);
                        }
                        continue;
                    } else {
                        polls.is_careful.swap(true, Ordering::Relaxed)
                    };
                    // One of them is read here, if no other poll of ours is about to. The others are given back, at no cost.
                    suspects.truncate(usize::from(is_careful || !was_careful));
                    drop(places);
                    if let Some(suspect) = suspects.pop() {
                        drop(shared);
                        let _alone = match alone {
                            Some(alone) => alone,
                            None => match self.unless_draining(polls.gate.write()).await {
                                Some(alone) => alone,
                                None => return,
                            },
                        };
                        let read = self.read_alone(suspect, polls);
                        if self.unless_draining(read).await != Some(true) {
                            return;
                        }
                        note_busy(&polls.busy_at);
                    }
                }
                Err(Error::Refused { reason }) => {
                    self.ending.stop(Cause::Refused { reason });
                    return;
                }
                Err(error) => {
                    tracing::warn!("cannot lease work items, another try comes in {pause:?}: {error}");
                    // Nobody knows what is in it: that is no idleness.
                    note_busy(&polls.busy_at);
                    drop((places, shared, alone));
                    if self.unless_draining(sleep(pause)).await.is_none() {
                        return;
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Waits until there is something to be had from leasing. Whether that is a single item: in an outage one is held, to be tried.
    async fn wait_for_weather(&self) -> bool {
        if !self.weather.is_stormy() {
            return false;
        }
        tokio::select! {
            () = self.weather.fair() => false,
            () = self.keeper.held_at_most(0) => true,
        }
    }

    /// Reads an item while nothing else of this process is under way. The caller has the gate for itself. Whether to go on.
    async fn read_alone<T>(&self, suspect: Taken, polls: &Polls<'_, T, impl Fn(Taken) -> T>) -> bool {
        self.keeper.held_at_most(1).await;
        let tracked = Arc::clone(suspect.leased.tracked());
        let (uri, seq, crashes) = (&tracked.item().uri, tracked.item().seq, tracked.lease().crashes());
        tracing::info!(
            uri,
            seq,
            crashes,
            "read alone, as its lease ended without a word before"
        );
        let Ok(place) = polls.lanes.reserve().await else {
            return false;
        };
        place.send((polls.open)(suspect));
        self.keeper.held_at_most(0).await;
        true
    }

    /// Follows the item from here on. None: there is nothing to read.
    async fn take(&self, lease: Lease) -> Option<Taken> {
        self.metrics.leases.inc();
        self.account.lease(&lease.item);
        if let Some(done) = self.untold.take(&lease.item) {
            self.metrics.items_told_again.inc();
            self.follow(lease, done, 0).end(Outcome::Finished);
            return None;
        }
        let checkpoint = match &self.states {
            None => None,
            Some(states) => match self.bound_checkpoint(states, &lease).await {
                Ok(checkpoint) => checkpoint,
                Err(outcome) => {
                    // What is wrong with the books is not the object's.
                    self.follow(lease, Done::default(), 0).hinder(outcome);
                    return None;
                }
            },
        };
        let crashes = crashes_since(&lease, checkpoint.as_ref());
        let failures = lease.item.tries.saturating_add(crashes);
        let done = checkpoint.as_ref().map_or_else(Done::default, |checkpoint| Done {
            position: Some(checkpoint.position),
            counts: checkpoint.counts,
        });
        if crashes > 0 && is_spent(failures, self.tries_max) {
            let failed = match lease.item.tries {
                0 => String::new(),
                tries => format!(", and {tries} times it could not be read while other objects could"),
            };
            let reason = format!(
                "given up unread after {failures} tries: {crashes} workers ended without a word while they had it, as one does \
                 that runs out of memory{failed}"
            );
            let outcome = Outcome::Broken {
                flaw: Flaw::Other,
                reason,
            };
            self.follow(lease, done, crashes).end(outcome);
            return None;
        }
        if checkpoint.is_some() {
            self.metrics.items_resumed.inc();
        }
        let leased = self.follow(lease, done, crashes);
        Some(Taken { leased, checkpoint })
    }

    fn follow(&self, lease: Lease, done: Done, crashes: u32) -> Leased {
        let interval = self.states.as_ref().map(|_| Interval::of(&lease.item));
        let (settler, budget) = (self.settler.clone(), Arc::clone(&self.budget));
        let leased = Tracked::follow(lease, done, crashes, interval, settler, budget);
        self.keeper.keep(leased.tracked());
        leased
    }

    /// The checkpoint of an item, if there is one, in books that are bound to what this worker does.
    async fn bound_checkpoint(&self, states: &States, lease: &Lease) -> Result<Option<Checkpoint>, Outcome> {
        match timeout(BINDING_WAIT, states.bind(&lease.item)).await {
            Ok(Ok(())) => Ok(self.checkpoint(states, lease).await),
            Ok(Err(error)) => Err(states::outcome(&error)),
            Err(_) => Err(Outcome::Unavailable {
                reason: format!("the state directory gave no answer within {BINDING_WAIT:?}"),
            }),
        }
    }

    /// How far somebody else read it. Nobody did before the first lease.
    async fn checkpoint(&self, states: &States, lease: &Lease) -> Option<Checkpoint> {
        let item = &lease.item;
        if !item.was_begun(lease.receive_count) {
            return None;
        }
        let checkpoints = &states.of(&item.job).checkpoints;
        let found = timeout(CHECKPOINT_WAIT, checkpoints.get(item.seq, item.etag.as_deref()?)).await;
        let trouble = match found {
            Ok(Ok(checkpoint)) => return checkpoint.filter(|checkpoint| checkpoint.is_of(item)),
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

/// How often an item ended its worker since the checkpoint was left.
fn crashes_since(lease: &Lease, checkpoint: Option<&Checkpoint>) -> u32 {
    let crashes = lease.crashes();
    let before = checkpoint.map_or(0, |checkpoint| checkpoint.crashes);
    // An item that somebody offered anew counts from 0.
    crashes.checked_sub(before).unwrap_or(crashes)
}

fn note_busy(busy_at: &Mutex<Instant>) {
    *busy_at.lock().expect("nobody panics while looking at the time") = Instant::now();
}
