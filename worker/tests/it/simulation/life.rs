//! A worker's life: its parts as they ship, put together around a simulated queue, storage and sink.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use pf_state::StateDir;
use pf_telemetry::Shutdown;
use pf_worker::{
    dead_letters::DeadLetters,
    delivery::{
        Account, ErrorBudget, Keeper, Letters, Settler, States, Untold, Weather, Witness,
        leasing::{Leasing, Until},
        letters::Place,
    },
    ending::Ending,
    indexer::{
        bulk::{Addressing, Budget, BulkEncoder, IdMode, Operation},
        sending::Sending,
    },
    metrics::Metrics,
    predicate::FieldPath,
};
use prometheus::IntGauge;
use tokio::{
    runtime::Handle,
    sync::{
        Mutex as AsyncMutex, Semaphore,
        mpsc::{channel, unbounded_channel},
    },
    time::sleep,
};

use super::{
    faults::{FaultyPlace, Link, Met, Queue},
    lane::Lane,
    objects::Nature,
    outages::{Outages, What},
    sink::Sink,
    world::{TRIES_MAX, VISIBILITY, World},
};

/// A body of so many bytes is sent.
const BODY_BYTES: usize = 400;
/// What one worker is like.
pub(super) struct Temper {
    pub(super) link: Link,
    pub(super) lanes: usize,
    pub(super) polls: usize,
    /// How long the sink takes for each document.
    pub(super) per_document: Duration,
    pub(super) bodies: Bodies,
    /// The longest that reading a batch takes.
    pub(super) slowest_read: Duration,
    /// Chance in a thousand that reading a batch fails, as a storage out of reach.
    pub(super) read_failures_permille: u32,
    pub(super) until: Until,
}

/// The bodies that a worker sends.
#[derive(Debug, Clone)]
pub(super) struct Bodies {
    /// One of so many bytes is sent.
    pub(super) bytes: usize,
    /// So many bytes are on their way at most.
    pub(super) in_flight_bytes_max: usize,
    /// The most that ever were.
    pub(super) in_flight_bytes_peak: Arc<AtomicI64>,
    /// The sink works on so many at once.
    pub(super) turns: usize,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            bytes: BODY_BYTES,
            in_flight_bytes_max: 4 * BODY_BYTES,
            in_flight_bytes_peak: Arc::default(),
            turns: Semaphore::MAX_PERMITS,
        }
    }
}

/// How a worker's life ends.
pub(super) enum End {
    Killed { after: Duration },
    Drained { after: Duration },
    ByItself,
}

fn addressing() -> Arc<Addressing> {
    Arc::new(Addressing {
        operation: Operation::Create,
        id: IdMode::Deterministic,
        index: "logs".parse().unwrap(),
        routing: None,
        timestamp: FieldPath::list("@timestamp").unwrap().remove(0),
        left_out: Vec::new(),
        document_bytes_max: 1 << 20,
    })
}

impl World {
    /// A worker's life.
    pub(super) fn worker(&self, name: String, temper: Temper, end: End) -> impl Future<Output = Met> + use<> {
        let Temper {
            link,
            lanes,
            polls,
            per_document,
            bodies,
            slowest_read,
            read_failures_permille,
            until,
        } = temper;
        let shutdown = Shutdown::new();
        let ending = Arc::new(Ending::new(shutdown.clone()));
        let metrics = Metrics::new(&prometheus::Registry::new());
        let queue = Arc::new(Queue {
            queue: Arc::clone(&self.queue),
            link: link.clone(),
        });
        let keeper = Arc::new(Keeper::new(
            queue.clone(),
            VISIBILITY,
            Arc::clone(&ending),
            metrics.clone(),
        ));
        let place = Arc::new(FaultyPlace {
            memory: Arc::clone(&self.memory),
            link: link.clone(),
            outages: self.books_have_outages.then(|| self.outages.clone()),
        });
        let states = Arc::new(States::new(name, move |job| StateDir::at(place.clone(), job)));
        let weather = Arc::new(Weather::default());
        let account = Arc::new(Account::kept());
        let budget = Arc::new(ErrorBudget::default());
        let (outages, objects) = (self.outages.clone(), self.objects.clone());
        let can_be_read = move |outages: &Outages, seq: u64| {
            let nature = objects[seq as usize].nature;
            nature != Nature::Unreadable && !outages.is_down(What::Storage)
        };
        let witness = Witness::new(move |item| ready(can_be_read(&outages, item.seq)).boxed());
        let outages = self.outages.clone();
        let witness = witness.or_books(move |_| ready(!outages.is_down(What::Storage)).boxed());
        let (letters, store) = Letters::to(Place::State(Arc::clone(&states)), metrics.clone());
        let (events, settler_events) = unbounded_channel();
        let untold = Arc::new(Untold::default());
        let settler = Settler {
            untold: Arc::clone(&untold),
            queue: queue.clone(),
            keeper: Arc::clone(&keeper),
            states: Some(Arc::clone(&states)),
            dead_letters: Arc::new(DeadLetters::shown()),
            tries_max: self.receives_max.min(TRIES_MAX),
            witness: Arc::new(witness),
            weather: Arc::clone(&weather),
            account: Arc::clone(&account),
            budget: Arc::clone(&budget),
            ending: Arc::clone(&ending),
            metrics: metrics.clone(),
        };
        let leasing = Leasing {
            untold,
            queue,
            polls,
            until,
            keeper: Arc::clone(&keeper),
            states: Some(states),
            tries_max: self.receives_max.min(TRIES_MAX),
            weather: Arc::clone(&weather),
            account: Arc::clone(&account),
            settler: events,
            budget,
            ending,
            metrics: metrics.clone(),
        };
        let in_flight_bytes = IntGauge::new("bytes", "on their way").unwrap();
        let sink = Arc::new(Sink {
            index: Arc::clone(&self.index),
            link: link.clone(),
            outages: self.outages.clone(),
            room: Budget::new(bodies.in_flight_bytes_max, Some(in_flight_bytes.clone())),
            per_document,
            turns: Semaphore::new(bodies.turns),
            in_flight_bytes,
            in_flight_bytes_peak: bodies.in_flight_bytes_peak,
        });
        let (sender, receiver) = channel(3);
        let receiver = Arc::new(AsyncMutex::new(receiver));
        let lane = Lane {
            objects: Arc::new(self.objects.clone()),
            letters: letters.clone(),
            shutdown: shutdown.clone(),
            link: link.clone(),
            outages: self.outages.clone(),
            weather: Arc::clone(&weather),
            storms: Arc::default(),
            alone: Arc::default(),
            keeper: Arc::clone(&keeper),
            slowest_read,
            read_failures_permille,
        };
        let (storms, alone) = (Arc::clone(&lane.storms), Arc::clone(&lane.alone));
        let sending = {
            let (letters, metrics) = (letters, metrics.clone());
            move || {
                Sending::new(
                    sink.clone(),
                    BulkEncoder::new(addressing()),
                    bodies.bytes,
                    letters.clone(),
                    metrics.clone(),
                    Handle::current(),
                )
            }
        };
        async move {
            let lanes = (0..lanes).map(|_| lane.clone().run(Arc::clone(&receiver), sending()));
            let lanes: Vec<_> = lanes.collect();
            drop((lane, sending, receiver));
            let work = async {
                tokio::join!(
                    leasing.run(sender, |taken| taken),
                    futures::future::join_all(lanes),
                    store.run(),
                    settler.run(settler_events)
                );
            };
            let ends = async {
                match end {
                    End::Killed { after } => {
                        sleep(after).await;
                        link.kill();
                        // What it does from now on, nobody hears of. Its memory goes with the run.
                        sleep(Duration::from_millis(1)).await;
                    }
                    End::Drained { after } => {
                        sleep(after).await;
                        shutdown.drain();
                        std::future::pending::<()>().await;
                    }
                    End::ByItself => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = ends => {}
                // By what it read.
                () = link.killed() => {}
                () = work => {
                    // Who ends by itself says truly whether everything that it leased is settled.
                    if matches!(end, End::ByItself) {
                        assert_eq!(account.owed_count(), 0, "nothing is owed");
                    }
                }
                () = keeper.run() => {}
            }
            assert_eq!(metrics.items_unbalanced.get(), 0, "a record is unaccounted for");
            Met {
                resumed: metrics.items_resumed.get(),
                lost_leases: metrics.leases_lost.get(),
                duplicates: metrics.records_duplicate.get(),
                rejected: metrics.records_rejected(),
                released: metrics.items_released.get(),
                told_again: metrics.items_told_again.get(),
                storms: storms.load(Ordering::Relaxed),
                alone: alone.load(Ordering::Relaxed),
                doubled: link.doubled(),
                ..Met::default()
            }
        }
    }
}
