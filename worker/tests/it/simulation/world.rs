//! A job, its workers, and what must be true in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use futures::FutureExt as _;
use pf_state::{Stage, StateDir, place::Memory};
use pf_telemetry::Shutdown;
use pf_work::{
    Counts, WorkItem, WorkSink as _, memory,
    memory::MemoryQueue,
    settle::{Flaw, Outcome as Happened},
};
use pf_worker::{
    dead_letters::DeadLetters,
    delivery::{
        Account, ErrorBudget, Keeper, Leased, Letters, Settler, States, Untold, Weather, Witness,
        leasing::{Leasing, Taken, Until},
        letters::Place,
    },
    ending::Ending,
    indexer::{
        bulk::{Addressing, Budget, BulkEncoder, IdMode, Operation, Origin},
        sending::Sending,
    },
    metrics::Metrics,
    predicate::FieldPath,
};
use prometheus::IntGauge;
use tokio::{
    runtime::{Handle, Runtime},
    sync::{
        Mutex as AsyncMutex, Semaphore,
        mpsc::{Receiver, channel, unbounded_channel},
    },
    time::{sleep, timeout},
};

use super::{
    faults::{FaultyPlace, Link, Met, Queue},
    objects::{JOB, Kind, Nature, Object, Read},
    outages::{Outages, What},
    sink::{Index, REFUSED, Sink},
};

/// How long a lease holds.
pub(super) const VISIBILITY: Duration = Duration::from_secs(30);

/// Longer than any run takes that comes to its end.
const RUN_MAX: Duration = Duration::from_hours(24 * 30);

/// How long a worker of a round lives at most.
const ROUND: Duration = Duration::from_secs(400);

/// So many receives that nobody runs out of them.
const RECEIVES_UNBOUNDED: u32 = 1000;
/// So many tries an item has where its receives have no bound: one that ends its workers must come to an end.
const TRIES_MAX: u32 = 30;
/// As a policy says that was set with care.
const RECEIVES_FEW: u32 = 4;

/// Workers in the end: two objects that end their workers, each with as many tries, and each in some messages at once.
const LAST_WORKERS_MAX: u32 = 2 * TRIES_MAX * 5;

/// A body of so many bytes is sent.
const BODY_BYTES: usize = 400;

/// One run.
pub(super) struct World {
    pub(super) rng: Rng,
    objects: Vec<Object>,
    receives_max: u32,
    pub(super) outages: Outages,
    /// Whether the state directory is in the storage that has the outages.
    books_have_outages: bool,
    pub(super) queue: Arc<MemoryQueue>,
    memory: Arc<Memory>,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) met: Met,
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

/// A runtime under a clock that goes on when nobody has anything to do.
pub(super) fn paused() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

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

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let count = rng.u64(1..30);
        let mut objects: Vec<Object> = (0..count).map(|seq| Object::new(seq, &mut rng)).collect();
        // Few receives are enough, whatever happens, where answers to leases are not lost: these are counted by the policy.
        let receives_max = [RECEIVES_UNBOUNDED, RECEIVES_FEW][rng.usize(0..2)];
        if rng.bool() {
            for _ in 0..rng.u32(1..3) {
                let odd = rng.usize(0..objects.len());
                objects[odd].nature = [Nature::Killer, Nature::Unreadable][rng.usize(0..2)];
            }
        }
        Self::of(rng, objects, receives_max)
    }

    /// A world of these objects, in which nothing has happened.
    pub(super) fn of(rng: Rng, objects: Vec<Object>, receives_max: u32) -> Self {
        let options = memory::Options {
            visibility: VISIBILITY,
            receives_max,
        };
        Self {
            rng,
            objects,
            receives_max,
            outages: Outages::default(),
            books_have_outages: false,
            queue: Arc::new(MemoryQueue::new(options)),
            memory: Arc::new(Memory::new()),
            index: Arc::default(),
            met: Met::default(),
        }
    }

    /// Runs to the end, and says what was met. Panics where something is not as it must be.
    pub(super) fn run(mut self) -> Met {
        fastrand::seed(self.rng.u64(..));
        paused().block_on(async {
            let items = self.offer().await;
            if self.rng.u32(0..4) == 0 {
                // A message may be there twice.
                self.queue
                    .offer(&items[..self.rng.usize(0..=items.len())])
                    .await
                    .unwrap();
            }
            self.books_have_outages = self.rng.bool();
            match self.rng.u32(0..4) {
                0 => self.drains_in_a_loop().await,
                _ => {
                    for _ in 0..self.rng.u32(0..5) {
                        self.round().await;
                    }
                }
            }
            self.outages.end();
            self.last_workers().await;
            self.check().await;
        });
        self.met
    }

    /// In the end there is always a worker to whom nothing happens, beside what its objects do.
    async fn last_workers(&mut self) {
        for _ in 0..LAST_WORKERS_MAX {
            let link = Link::new(self.rng.fork(), 0, Duration::from_millis(50));
            let last = Temper {
                link: link.clone(),
                lanes: 2,
                polls: 2,
                per_document: Duration::from_millis(1),
                bodies: Bodies::default(),
                slowest_read: Duration::from_millis(50),
                read_failures_permille: 0,
                until: Until::Idle(VISIBILITY * 40),
            };
            let name = format!("last-{}", self.rng.u32(..));
            let met = timeout(RUN_MAX, self.worker(name, last, End::ByItself)).await;
            self.met += met.expect("a job comes to its end");
            if !link.is_dead() {
                return;
            }
        }
        panic!("a job comes to its end after {LAST_WORKERS_MAX} workers");
    }

    /// A worker that is asked to stop again and again, long before it has read an object.
    async fn drains_in_a_loop(&mut self) {
        for number in 0..self.rng.u32(3..20) {
            let temper = Temper {
                link: Link::new(self.rng.fork(), 0, Duration::from_millis(500)),
                lanes: 2,
                polls: self.rng.usize(1..8),
                per_document: Duration::from_millis(10),
                bodies: Bodies::default(),
                slowest_read: Duration::from_secs(20),
                read_failures_permille: 0,
                until: Until::Asked,
            };
            let after = Duration::from_millis(self.rng.u64(1..30_000));
            self.met.drains += 1;
            let met = self
                .worker(format!("loop-{number}"), temper, End::Drained { after })
                .await;
            self.met += met;
        }
    }

    /// Puts all items into the queue.
    pub(super) async fn offer(&self) -> Vec<WorkItem> {
        let items: Vec<_> = self.objects.iter().map(Object::item).collect();
        self.queue.offer(&items).await.unwrap();
        items
    }

    /// Some workers at the same time, with troubles.
    async fn round(&mut self) {
        let mut lives = Vec::new();
        if self.rng.u32(0..3) == 0 {
            self.outages.plan(&mut self.rng, ROUND);
        }
        let is_counted = self.receives_max == RECEIVES_FEW;
        for number in 0..self.rng.u32(1..4) {
            let slow = |rng: &mut Rng, choices: &[u64]| Duration::from_millis(choices[rng.usize(0..choices.len())]);
            let rng = &mut self.rng;
            let failures = [0, 5, 50, 200][rng.usize(0..4)];
            // What takes too long loses leases, and these are counted too.
            let slowest_calls: &[u64] = if is_counted {
                &[5, 500]
            } else {
                &[5, 500, 5_000, 20_000]
            };
            let slowest_call = slow(rng, slowest_calls);
            let mut link = Link::new(rng.fork(), failures, slowest_call);
            link.leases_well = is_counted;
            let temper = Temper {
                link,
                lanes: rng.usize(1..4),
                polls: rng.usize(1..4),
                per_document: slow(rng, &[0, 10, 1_000]),
                bodies: Bodies::default(),
                slowest_read: slow(rng, &[1, 1_000, 20_000]),
                read_failures_permille: if is_counted { 0 } else { [0, 0, 50][rng.usize(0..3)] },
                until: Until::Asked,
            };
            let after = ROUND.mul_f64(rng.f64());
            // A worker that is killed from outside is one receive of what it has, and of few receives there are not many.
            let end = if rng.bool() && (!is_counted || self.met.kills == 0) {
                self.met.kills += 1;
                End::Killed { after }
            } else {
                self.met.drains += 1;
                End::Drained { after }
            };
            let name = format!("{number}-{}", rng.u32(..));
            lives.push(self.worker(name, temper, end));
        }
        for counts in futures::future::join_all(lives).await {
            self.met += counts;
        }
    }

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

    /// What must be true whatever happened.
    pub(super) async fn check(&mut self) {
        let state = StateDir::in_memory(Arc::clone(&self.memory), JOB);
        let ledger = state.ledger().await.unwrap();
        let depth = self.queue.depth();
        assert_eq!(
            (depth.visible, depth.in_flight, depth.delayed),
            (0, 0, 0),
            "the queue is empty"
        );

        let dead: BTreeMap<u64, String> = self
            .queue
            .dead_letters()
            .into_iter()
            .map(|letter| (letter.item.seq, letter.reason))
            .collect();
        let mut rejected = BTreeSet::new();
        let mut reader = state.read_dead_letters().await.unwrap();
        while let Some(letters) = reader.next().await.unwrap() {
            for letter in letters {
                let object = &self.objects[letter.seq as usize];
                let line = &object.lines[object.line_at(letter.ordinal)];
                assert_eq!(letter.raw, line.text.as_bytes());
                let (kind, reason) = match letter.stage {
                    Stage::Decode => (Kind::Undecodable, "not a JSON object"),
                    _ => (Kind::Unindexable, REFUSED),
                };
                assert_eq!((line.kind, letter.reason.as_str()), (kind, reason), "a true reason");
                assert!(rejected.insert((letter.seq, letter.ordinal)), "told once");
            }
        }

        let index = self.index.lock().unwrap();
        // By what they say, not by their ids: under two ids a record would be there twice.
        let mut documents = BTreeSet::new();
        for document in index.documents.values() {
            assert!(documents.insert(document.as_str()), "{document} is there twice");
        }
        let mut expected = Counts::default();
        for object in &self.objects {
            let seq = object.seq;
            let moved_by_policy = !ledger.settled().contains(seq);
            match object.nature {
                Nature::Healthy => assert!(
                    !moved_by_policy,
                    "item {seq} is healthy, and given up or forgotten: {:?}",
                    dead.get(&seq)
                ),
                Nature::Killer if moved_by_policy => {
                    assert!(dead.contains_key(&seq), "item {seq} is forgotten");
                    self.met.killers_moved += 1;
                }
                Nature::Killer => {
                    assert!(
                        ledger.reasons[&seq].contains("workers ended without a word"),
                        "{:?}",
                        ledger.reasons
                    );
                    self.met.killers_given_up += 1;
                }
                Nature::Unreadable => {
                    assert!(!moved_by_policy, "item {seq} was in nobody's way");
                    assert!(
                        ["other objects were read well", "other objects could"]
                            .iter()
                            .any(|told| ledger.reasons[&seq].contains(told)),
                        "{:?}",
                        ledger.reasons
                    );
                    self.met.unreadable += 1;
                }
            }
            if object.nature != Nature::Healthy {
                for line in &object.lines {
                    assert!(!documents.contains(line.text.as_str()), "nothing of it was read");
                }
                continue;
            }
            let is_completed = ledger.completed.contains(seq);
            assert!(
                !(is_completed && object.broken_at.is_some()),
                "a broken object is no success"
            );
            if let Some(reason) = ledger.reasons.get(&seq) {
                assert_eq!(reason, "corrupt: simulated", "item {seq}");
                // A worker may die between ledger and queue; then the policy moves the item, or another worker does.
                assert!(dead.contains_key(&seq), "what is given up is kept");
            }
            for line in object.readable() {
                let is_there = documents.remove(line.text.as_str());
                let is_letter = rejected.contains(&(seq, line.offset));
                let must = (
                    line.kind == Kind::Good,
                    matches!(line.kind, Kind::Undecodable | Kind::Unindexable),
                );
                assert_eq!((is_there, is_letter), must, "item {seq}, {line:?}");
                match line.kind {
                    Kind::Good => expected.records_out += 1,
                    Kind::Filtered => expected.records_filtered += 1,
                    Kind::Undecodable | Kind::Unindexable => expected.records_rejected += 1,
                }
                expected.records_in += 1;
            }
        }
        assert!(documents.is_empty(), "nothing else is there: {documents:?}");
        assert!(ledger.unbalanced.is_empty());
        let told = Counts {
            records_in: ledger.counts.records_in,
            records_out: ledger.counts.records_out,
            records_filtered: ledger.counts.records_filtered,
            records_rejected: ledger.counts.records_rejected,
            ..Counts::default()
        };
        assert_eq!(told, expected, "each item counts once");
        self.met.settled_again += ledger.repeats;
        self.met.duplicates += index.duplicates;
    }
}

/// A lane that reads simulated objects.
#[derive(Clone)]
struct Lane {
    objects: Arc<Vec<Object>>,
    letters: Letters,
    shutdown: Shutdown,
    link: Link,
    outages: Outages,
    weather: Arc<Weather>,
    storms: Arc<AtomicU64>,
    alone: Arc<AtomicU64>,
    keeper: Arc<Keeper>,
    slowest_read: Duration,
    read_failures_permille: u32,
}

impl Lane {
    async fn run(self, work: Arc<AsyncMutex<Receiver<Taken>>>, mut sending: Sending) {
        loop {
            let next = match work.try_lock() {
                Ok(mut work) => work.try_recv().ok(),
                Err(_) => None,
            };
            let next = if next.is_some() {
                next
            } else {
                sending.flush().await;
                work.lock().await.recv().await
            };
            let Some(Taken { leased, checkpoint }) = next else {
                break;
            };
            if self.weather.is_stormy() {
                self.storms.fetch_add(1, Ordering::Relaxed);
                sending.flush().await;
                tokio::select! {
                    () = self.weather.turn() => {}
                    () = self.shutdown.draining() => {}
                }
            }
            if self.shutdown.is_draining() {
                drop(leased);
                continue;
            }
            if let Some(stopped) = leased.tracked().stopped() {
                leased.end(stopped);
                continue;
            }
            if leased.is_suspect() {
                assert_eq!(self.keeper.held_count(), 1, "what may end its worker is read alone");
                self.alone.fetch_add(1, Ordering::Relaxed);
            }
            let object = &self.objects[leased.tracked().item().seq as usize];
            let from = match checkpoint.map(|checkpoint| checkpoint.position) {
                Some(pf_work::checkpoint::Position::Byte { offset }) => object.line_at(offset),
                _ => 0,
            };
            let outcome = self.read(object, from, &leased, &mut sending).await;
            leased.end(outcome);
        }
        sending.finish().await;
    }

    async fn read(&self, object: &Object, mut from: usize, leased: &Leased, sending: &mut Sending) -> Happened {
        let origin = Origin::new(leased.tracked().item());
        loop {
            sleep(Duration::from_millis(
                self.link.roll(self.slowest_read.as_millis() as u32 + 1).into(),
            ))
            .await;
            self.link.alive().await;
            if object.nature == Nature::Killer {
                self.link.kill();
                self.link.alive().await;
            }
            let is_out_of_reach =
                self.outages.is_out_of_reach(What::Storage).await || object.nature == Nature::Unreadable;
            if is_out_of_reach || self.link.roll(1000) < self.read_failures_permille {
                return Happened::Unavailable {
                    reason: "simulated".to_owned(),
                };
            }
            let count = 1 + self.link.roll(8) as usize;
            let Some(read) = object.read(from, count) else {
                return match object.broken_at {
                    Some(_) => Happened::Broken {
                        flaw: Flaw::Corrupt,
                        reason: "corrupt: simulated".to_owned(),
                    },
                    None => Happened::Finished,
                };
            };
            let Read {
                batch,
                rejects,
                counts,
                position,
            } = read;
            from += counts.records_in as usize;
            let hold = leased.step(counts, Some(position));
            if !rejects.is_empty() {
                self.letters.keep(hold.another(), Stage::Decode, rejects).await;
            }
            sending.write(&origin, &batch, hold).await.unwrap();
            if let Some(outcome) = leased.tracked().stopped() {
                return outcome;
            }
            if self.shutdown.is_draining() {
                return Happened::Interrupted;
            }
        }
    }
}
