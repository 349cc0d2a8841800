//! Whole jobs under the scaler, thousands of seeds, in seconds: a queue that lies as SQS may, pods that start slowly and
//! vanish, a sink that is full at times. What must hold whatever happens is asserted, and the rule of KEDA with a horizontal
//! pod autoscaler is run on the same worlds, to compare.
//!
//! `PF_SCALER_SEEDS` says how many seeds, `PF_SCALER_SEED` which one alone.

use std::{collections::VecDeque, env, time::Duration};

use expect_test::expect;
use fastrand::Rng;

use super::{Depth, History, IDLE_TEST, Inputs, Mode, Wishes, decide};

const SEEDS: u64 = 2_000;

/// The world moves in steps of this many seconds.
const STEP: u64 = 5;

/// Both rules look at the queue this often, in seconds, and a little later at times.
const LOOK_EVERY: u64 = 15;

/// How long the counters may lag, in seconds (SQS: "about one minute", and then some).
const LAG_MAX: u64 = 90;

/// What an item is taken to be, in bytes.
const ITEM_BYTES: u64 = 1_000_000;

/// After this long without its worker a work item is visible again, in seconds.
const VISIBILITY: u64 = 120;

/// What a seed makes of the world.
#[derive(Debug, Clone)]
struct World {
    wishes: Wishes,
    items: u64,
    /// Items that are discovered in a second.
    discovery: u64,
    /// Seconds that an item takes.
    item_seconds: u64,
    lanes: u64,
    pod_start: u64,
    /// One pod in this many is lost each step.
    loss_one_in: u64,
    read_fails: f64,
    phantoms: f64,
    sink_full: f64,
}

impl World {
    fn new(rng: &mut Rng) -> Self {
        Self {
            wishes: Wishes {
                min: rng.u32(0..3),
                max: rng.u32(3..40),
                items_per_worker: rng.u32(1..40),
                scale_down_after: Duration::from_secs(rng.u64(0..300)),
                due: None,
                mode: Mode::Managed,
            },
            items: rng.u64(1..3_000),
            discovery: rng.u64(1..200),
            item_seconds: rng.u64(1..90),
            lanes: rng.u64(1..8),
            pod_start: rng.u64(1..90),
            loss_one_in: if rng.bool() { rng.u64(50..2_000) } else { u64::MAX },
            read_fails: if rng.bool() { 0.3 * rng.f64() } else { 0.0 },
            phantoms: if rng.bool() { 0.2 * rng.f64() } else { 0.0 },
            sink_full: if rng.u8(0..4) == 0 { 0.2 } else { 0.0 },
        }
    }

    /// What a job of this world may take at the very most, in seconds: a quarter of all workers all the time, and what the
    /// lags add at its start, its end and every time that the queue looked empty too soon.
    fn patience(&self) -> u64 {
        let of_one = self.items * self.item_seconds / self.lanes;
        let workers = u64::from(self.wishes.max).min(self.items.div_ceil(u64::from(self.wishes.items_per_worker)));
        let lost = if self.loss_one_in < u64::MAX { 4 } else { 1 };
        3_600 + self.items / self.discovery + lost * 6 * of_one / workers.div_ceil(2)
    }
}

#[derive(Debug, Clone)]
struct Pod {
    ready_at: u64,
    /// When each item in hand is done.
    busy_until: Vec<u64>,
}

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Ours,
    Keda,
}

/// What came of one job.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    seconds: u64,
    worker_seconds: u64,
    stopped_while_busy: u64,
    turns: u64,
}

#[derive(Debug, Clone)]
struct Run {
    world: World,
    rng: Rng,
    now: u64,
    undiscovered: u64,
    visible: u64,
    settled: u64,
    /// When items of lost workers are visible again.
    delayed: Vec<u64>,
    pods: Vec<Pod>,
    truth: VecDeque<Depth>,
    outcome: Outcome,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let world = World::new(&mut rng);
        Self {
            undiscovered: world.items,
            world,
            rng,
            now: 0,
            visible: 0,
            settled: 0,
            delayed: Vec::new(),
            pods: Vec::new(),
            truth: VecDeque::new(),
            outcome: Outcome::default(),
        }
    }

    fn is_done(&self) -> bool {
        self.settled == self.world.items
    }

    fn busy(&self) -> u32 {
        self.pods.iter().filter(|pod| !pod.busy_until.is_empty()).count() as u32
    }

    fn step(&mut self) {
        self.now += STEP;
        let found = self.undiscovered.min(self.world.discovery * STEP);
        self.undiscovered -= found;
        self.visible += found;
        let now = self.now;
        let back = self.delayed.len();
        self.delayed.retain(|at| *at > now);
        self.visible += (back - self.delayed.len()) as u64;
        let lost: Vec<bool> = self
            .pods
            .iter()
            .map(|_| self.rng.u64(0..self.world.loss_one_in) == 0)
            .collect();
        for at in (0..self.pods.len()).rev().filter(|at| lost[*at]) {
            // The Deployment puts another in its place.
            let pod = std::mem::replace(
                &mut self.pods[at],
                Pod {
                    ready_at: now + self.world.pod_start,
                    busy_until: Vec::new(),
                },
            );
            self.delayed.extend(pod.busy_until.iter().map(|_| now + VISIBILITY));
        }
        for pod in self.pods.iter_mut().filter(|pod| pod.ready_at <= now) {
            let held = pod.busy_until.len();
            pod.busy_until.retain(|until| *until > now);
            self.settled += (held - pod.busy_until.len()) as u64;
            while (pod.busy_until.len() as u64) < self.world.lanes && self.visible > 0 {
                self.visible -= 1;
                let seconds = self.rng.u64(1..=2 * self.world.item_seconds);
                pod.busy_until.push(now + seconds);
            }
        }
        self.outcome.worker_seconds += STEP * self.pods.len() as u64;
        self.truth.push_back(Depth {
            visible: self.visible,
            in_flight: self.pods.iter().map(|pod| pod.busy_until.len() as u64).sum(),
            delayed: self.delayed.len() as u64,
        });
        if self.truth.len() as u64 > LAG_MAX / STEP {
            self.truth.pop_front();
        }
    }

    /// What the queue says: each counter as it was at some other time in the last minute and a half, or invented.
    fn told(&mut self) -> Option<Depth> {
        if self.rng.f64() < self.world.read_fails {
            return None;
        }
        let mut counter = |of: fn(&Depth) -> u64| {
            let true_then = of(&self.truth[self.rng.usize(0..self.truth.len())]);
            if self.rng.f64() < self.world.phantoms {
                self.rng.u64(0..=true_then + 3)
            } else {
                true_then
            }
        };
        Some(Depth {
            visible: counter(|depth| depth.visible),
            in_flight: counter(|depth| depth.in_flight),
            delayed: counter(|depth| depth.delayed),
        })
    }

    /// What a busy worker read in a second since the last look, as its metrics tell.
    fn pace(&self, (at, settled): (u64, u64)) -> Option<u64> {
        let bytes = (self.settled - settled) * ITEM_BYTES;
        let seconds = (self.now - at) * u64::from(self.busy());
        bytes.checked_div(seconds).filter(|pace| *pace > 0)
    }

    /// Starts pods, or stops some: the idle ones first where somebody has marked them.
    fn scale(&mut self, replicas: u32, idle_first: bool) {
        let replicas = replicas as usize;
        while self.pods.len() < replicas {
            self.pods.push(Pod {
                ready_at: self.now + self.world.pod_start,
                busy_until: Vec::new(),
            });
        }
        if self.pods.len() > replicas {
            self.rng.shuffle(&mut self.pods);
            if idle_first {
                self.pods.sort_by_key(|pod| std::cmp::Reverse(pod.busy_until.len()));
            }
            for pod in self.pods.split_off(replicas) {
                // It hands back what it holds, at once.
                self.visible += pod.busy_until.len() as u64;
                self.outcome.stopped_while_busy += u64::from(!pod.busy_until.is_empty());
            }
        }
    }

    /// Runs the job until it is proven to be complete and no worker is left.
    fn lived(mut self, rule: Rule, check: bool) -> Outcome {
        let patience = self.world.patience();
        let (mut history, mut keda) = (History::default(), Keda::default());
        let (mut look_at, mut proven, mut starved, mut direction) = (0, false, 0, 0_i64);
        let mut measured = (0, 0);
        let mut counts: VecDeque<(u64, u32)> = VecDeque::new();
        loop {
            self.step();
            assert!(
                self.now < patience,
                "not done after {patience} s: {:?}, {} settled",
                self.world,
                self.settled
            );
            if self.now < look_at {
                continue;
            }
            look_at = self.now + LOOK_EVERY + self.rng.u64(0..5);
            let (replicas, busy) = (self.pods.len() as u32, self.busy());
            let known_busy = self.rng.bool().then_some(busy);
            let depth = self.told();
            let inputs = Inputs {
                depth,
                replicas,
                busy: known_busy,
                discovering: self.undiscovered > 0,
                saturated: self.rng.f64() < self.world.sink_full,
                bytes_left: depth
                    .filter(|_| self.undiscovered == 0)
                    .map(|depth| depth.backlog() * ITEM_BYTES),
                bytes_per_worker: self.pace(measured),
            };
            measured = (self.now, self.settled);
            let wishes = self.world.wishes;
            // Both have the same proof, which looks at the queue in the same way.
            let ours = decide(&mut history, inputs, wishes, IDLE_TEST, Duration::from_secs(self.now));
            let wanted = match rule {
                _ if proven => 0,
                Rule::Ours => ours.replicas,
                Rule::Keda => keda.decide(inputs, wishes, self.now),
            };
            if check && !proven {
                assert!(wanted <= wishes.max, "{wanted} workers, {} are the most", wishes.max);
                if let Some(busy) = known_busy {
                    assert!(
                        wanted >= busy.min(replicas),
                        "{wanted} workers, though {busy} of {replicas} are busy"
                    );
                }
                counts.push_back((self.now, replicas));
                counts.retain(|(at, _)| *at + LOOK_EVERY > self.now);
                let base = counts.iter().map(|(_, count)| *count).min().unwrap_or(0);
                assert!(
                    wanted <= replicas.max(base + base.max(4)),
                    "from {base} to {wanted} within a window"
                );
                starved = if wanted == 0 && !self.is_done() && self.visible > 0 {
                    starved + 1
                } else {
                    0
                };
                assert!(starved < 30, "nobody works, though {} items wait", self.visible);
            }
            let turn = (i64::from(wanted) - i64::from(replicas)).signum();
            self.outcome.turns += u64::from(turn != 0 && turn == -direction);
            direction = if turn == 0 { direction } else { turn };
            self.scale(wanted, rule == Rule::Ours);
            if self.undiscovered == 0 && !proven {
                let looks_done = history.is_idle(IDLE_TEST);
                proven = looks_done && self.is_done();
                if proven {
                    self.outcome.seconds = self.now;
                } else if looks_done {
                    history.clear();
                }
            }
            if proven && self.pods.is_empty() {
                return self.outcome;
            }
        }
    }
}

/// The rule of KEDA's SQS scaler (visible and in flight, zero after a cool-down) with the horizontal pod autoscaler's
/// defaults: 10 % tolerance, up by the larger of 100 % and 4 pods in 15 s, down to the most of the last 5 minutes.
#[derive(Debug, Default)]
struct Keda {
    wanted: VecDeque<(u64, u32)>,
    active_at: u64,
}

impl Keda {
    const WINDOW: u64 = 300;

    fn decide(&mut self, inputs: Inputs, wishes: Wishes, now: u64) -> u32 {
        let Some(depth) = inputs.depth else {
            return inputs.replicas;
        };
        let replicas = inputs.replicas;
        let metric = depth.visible + depth.in_flight;
        if metric > 0 {
            self.active_at = now;
        }
        let wanted = metric.div_ceil(u64::from(wishes.items_per_worker)) as u32;
        let wanted = wanted.clamp(wishes.min.max(1), wishes.max);
        self.wanted.push_back((now, wanted));
        self.wanted.retain(|(at, _)| at + Self::WINDOW >= now);
        if metric == 0 && now >= self.active_at + Self::WINDOW {
            return 0;
        }
        if replicas == 0 {
            return u32::from(metric > 0);
        }
        let ratio = f64::from(wanted) / f64::from(replicas);
        if (ratio - 1.0).abs() <= 0.1 {
            return replicas;
        }
        if wanted > replicas {
            return wanted.min(replicas + replicas.max(4));
        }
        let stable = self.wanted.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted);
        stable.min(replicas)
    }
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("PF_SCALER_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("PF_SCALER_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

#[test]
fn every_job_comes_to_its_end_within_bounds_whatever_the_queue_says() {
    for seed in seeds() {
        let run = std::panic::catch_unwind(|| Run::new(seed).lived(Rule::Ours, true));
        assert!(run.is_ok(), "PF_SCALER_SEED={seed} fails");
    }
}

/// A world in which nothing is lost, nothing is invented and the sink takes all, and a time by which its job can well be done.
fn with_deadline(seed: u64) -> (Run, Duration) {
    let mut run = Run::new(seed);
    let world = &mut run.world;
    (world.loss_one_in, world.sink_full, world.phantoms) = (u64::MAX, 0.0, 0.0);
    let lanes = world.lanes * u64::from(world.wishes.max);
    let at_most = world.items * world.item_seconds / lanes.min(world.items);
    // Discovery, the first workers, the slowest item and the proof take their time however many workers there are.
    let overhead = world.items / world.discovery + 3 * world.pod_start + 4 * world.item_seconds + 900;
    let due = Duration::from_secs(3 * at_most + overhead);
    (run, due)
}

#[test]
fn a_deadline_is_met_where_there_is_room_and_costs_no_more_than_it_must() {
    let (mut in_time, mut hurried, mut unhurried) = (0, Outcome::default(), Outcome::default());
    for seed in 0..500 {
        let (mut run, due) = with_deadline(seed);
        run.world.wishes.items_per_worker = 1;
        unhurried.worker_seconds += run.clone().lived(Rule::Ours, false).worker_seconds;
        run.world.wishes.due = Some(due);
        let outcome = run.lived(Rule::Ours, true);
        assert!(
            outcome.seconds <= due.as_secs(),
            "seed {seed}: done after {} s, {} s were given",
            outcome.seconds,
            due.as_secs()
        );
        in_time += 1;
        hurried.worker_seconds += outcome.worker_seconds;
    }
    let table = format!(
        "{in_time} in time; {} worker-seconds, {} with all workers at once\n",
        hurried.worker_seconds, unhurried.worker_seconds
    );
    expect![[r"
        500 in time; 13334350 worker-seconds, 15320870 with all workers at once
    "]]
    .assert_eq(&table);
}

#[test]
fn beside_keda_and_an_autoscaler() {
    let sum = |rule| {
        (0..500).fold(Outcome::default(), |sum, seed| {
            let one = Run::new(seed).lived(rule, false);
            Outcome {
                seconds: sum.seconds + one.seconds,
                worker_seconds: sum.worker_seconds + one.worker_seconds,
                stopped_while_busy: sum.stopped_while_busy + one.stopped_while_busy,
                turns: sum.turns + one.turns,
            }
        })
    };
    let row = |name: &str, sum: Outcome| {
        format!(
            "{name:<6} {:>9} s to the proven end, {:>9} worker-seconds, {:>5} workers stopped while busy, {:>5} turns\n",
            sum.seconds, sum.worker_seconds, sum.stopped_while_busy, sum.turns
        )
    };
    let table = row("ours", sum(Rule::Ours)) + &row("keda", sum(Rule::Keda));
    expect![[r"
        ours     1267755 s to the proven end,  14696150 worker-seconds,     3 workers stopped while busy,   656 turns
        keda     1356865 s to the proven end,  15313590 worker-seconds,  1674 workers stopped while busy,   526 turns
    "]]
    .assert_eq(&table);
}
