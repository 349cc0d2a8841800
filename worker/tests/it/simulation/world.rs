//! A job, and what happens to it: rounds of workers with troubles, and in the end workers to whom nothing happens.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use pf_state::place::Memory;
use pf_work::{WorkItem, WorkSink as _, memory, memory::MemoryQueue};
use pf_worker::delivery::leasing::Until;
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};

use super::{
    faults::{Link, Met},
    life::{Bodies, End, Temper},
    objects::{Nature, Object},
    outages::Outages,
    sink::Index,
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
pub(super) const TRIES_MAX: u32 = 30;
/// As a policy says that was set with care.
const RECEIVES_FEW: u32 = 4;

/// Workers in the end: two objects that end their workers, each with as many tries, and each in some messages at once.
const LAST_WORKERS_MAX: u32 = 2 * TRIES_MAX * 5;

/// One run.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) objects: Vec<Object>,
    pub(super) receives_max: u32,
    pub(super) outages: Outages,
    /// Whether the state directory is in the storage that has the outages.
    pub(super) books_have_outages: bool,
    /// Whether the sink writes to one index after another. Not where two workers may have an item at the same time, by copies of
    /// its message or as a lease ran out in the middle of a request: neither can know what the other sends to which index.
    rolls_over: bool,
    pub(super) queue: Arc<MemoryQueue>,
    pub(super) memory: Arc<Memory>,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) met: Met,
}

/// A runtime under a clock that goes on when nobody has anything to do.
pub(super) fn paused() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
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
            rolls_over: false,
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
                // A discoverer that dies and starts again may offer what is there already.
                let mut again = items[..self.rng.usize(0..=items.len())].to_vec();
                for item in &mut again {
                    item.returns += 1;
                }
                self.queue.offer(&again).await.unwrap();
            } else {
                self.rolls_over = self.rng.bool();
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

    /// Now and then another index is written to.
    fn rollovers(&mut self) -> impl Future<Output = ()> + use<> {
        let rollovers = if self.rolls_over { self.rng.u32(0..3) } else { 0 };
        let pauses: Vec<_> = (0..rollovers).map(|_| ROUND.mul_f64(self.rng.f64() / 2.)).collect();
        let index = Arc::clone(&self.index);
        async move {
            for pause in pauses {
                sleep(pause).await;
                index.lock().unwrap().roll_over();
            }
        }
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
            link.leases_well = is_counted || self.rolls_over;
            link.extends_well = self.rolls_over;
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
        let lives = futures::future::join_all(lives);
        let (lives, ()) = tokio::join!(lives, self.rollovers());
        for counts in lives {
            self.met += counts;
        }
    }
}
