//! Whatever becomes of one call of the operator, and whoever goes on then: the end of each life is the same.
//!
//! `PF_CRASH_ALL=1` tries each call of each life with each fault, which takes hours, `PF_CRASH_ALL=Rests,Again` of these lives
//! alone; without it every write of the main life is died at, and of the others and of reads some.

use std::env;

use kube::ResourceExt as _;
use pf_operator::crd::{IngestJob, Phase};
use serde_json::json;

use super::{
    spy::{At, Fault, Spy},
    world::{World, client, controller_as},
};

/// More writes, and more calls, than any life has; lives in which nothing happened end the search.
const WRITES_MAX: usize = 100;
const CALLS_MAX: usize = 2_000;

/// Lives that are lived at the same time.
const AT_ONCE: usize = 6;

/// Between two calls that something is done to, where not all are tried.
const SOME_CALLS: usize = 37;
const SOME_WRITES: usize = 5;
const SOME_CALLS_MAX: usize = 300;

/// A life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// From nothing to complete, and deleted.
    Whole,
    /// Suspended in the middle.
    Rests,
    /// Run twice.
    Again,
    /// Deleted at work.
    Deleted,
    /// Cleaned up by its time to live.
    Pruned,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario::Whole,
    Scenario::Rests,
    Scenario::Again,
    Scenario::Deleted,
    Scenario::Pruned,
];

/// What is done to a life.
#[derive(Debug, Clone, Copy)]
struct Trial {
    scenario: Scenario,
    at: At,
    fault: Fault,
}

/// Lives a life to which something happens. False: there was no such call.
async fn live(trial: Trial) -> bool {
    let Trial { scenario, at, fault } = trial;
    let mut world = World::new("crash").await;
    let spy = Spy::with(at, fault);
    world.restart(spy.clone()).await;
    let mut job = world.job("logs");
    if scenario == Scenario::Pruned {
        job["spec"]["ttlSecondsAfterFinished"] = json!(1);
    }
    world.create(&job).await;
    match scenario {
        Scenario::Whole => Box::pin(ends_well(&mut world, &trial)).await,
        Scenario::Rests => {
            world.until("logs", |job| phase(job) == Some(Phase::Discovering)).await;
            world.change("logs", &json!({"spec": {"suspend": true}})).await;
            world.until_phase("logs", Phase::Suspended).await;
            world.change("logs", &json!({"spec": {"suspend": false}})).await;
            Box::pin(ends_well(&mut world, &trial)).await;
        }
        Scenario::Again => {
            world.until_phase("logs", Phase::Complete).await;
            world.change("logs", &json!({"spec": {"restartNonce": "again"}})).await;
            let second = |job: &IngestJob| {
                let run = job.status.as_ref().and_then(|status| status.run.as_ref());
                run.is_some_and(|run| run.number == 2) && phase(job) == Some(Phase::Complete)
            };
            world.until("logs", second).await;
            assert_eq!(world.discoverers.len(), 2, "{trial:?}: one discoverer for each run");
        }
        Scenario::Deleted => drop(world.until_phase("logs", Phase::Running).await),
        Scenario::Pruned => {
            world
                .until("logs", |job| {
                    phase(job) == Some(Phase::Complete) && job.finalizers().is_empty()
                })
                .await;
            assert_eq!(world.children().await, Vec::<String>::new(), "{trial:?}");
        }
    }
    let queue = world.status("logs").await.queue;
    world.delete("logs").await;
    if let Some(queue) = queue {
        assert!(!super::life::queue_is_there(&queue.url), "{trial:?}: the queue stays");
    }
    spy.has_happened()
}

fn phase(job: &IngestJob) -> Option<Phase> {
    job.status.as_ref()?.phase
}

async fn ends_well(world: &mut World, trial: &Trial) {
    let done = world.until_phase("logs", Phase::Complete).await;
    world
        .until("logs", |job| job.status.as_ref().unwrap().workers == Some(0))
        .await;
    world.assert_one_life(&done, trial).await;
}

/// Lives lives, some at the same time, until those of a row have too few calls for anything to happen. Returns how often
/// something did.
async fn live_all(trials: impl Iterator<Item = Trial>) -> usize {
    let trials: Vec<Trial> = trials.collect();
    let mut happened = 0;
    for some in trials.chunks(AT_ONCE) {
        let lives: Vec<_> = some.iter().map(|trial| tokio::spawn(live(*trial))).collect();
        let mut now = 0;
        for (life, trial) in lives.into_iter().zip(some) {
            now += usize::from(life.await.unwrap_or_else(|error| panic!("{trial:?}: {error}")));
        }
        happened += now;
        if now == 0 {
            break;
        }
    }
    happened
}

/// Whether the long form is asked for.
pub(super) fn all() -> bool {
    env::var_os("PF_CRASH_ALL").is_some()
}

/// Of which lives the long form tries each call: of those that are named, or of all.
fn asked_for() -> Vec<Scenario> {
    let named = env::var("PF_CRASH_ALL").unwrap_or_default();
    let is_meant = |scenario: &Scenario| named == "1" || named.split(',').any(|name| name == format!("{scenario:?}"));
    let meant: Vec<Scenario> = SCENARIOS.into_iter().filter(is_meant).collect();
    assert!(
        !meant.is_empty(),
        "PF_CRASH_ALL={named}: write 1, or some of {SCENARIOS:?}"
    );
    meant
}

/// In the long form, how far it is.
fn tell(scenario: Scenario, what: &str) {
    if all() {
        eprintln!("{scenario:?}: {what}");
    }
}

fn deaths(scenario: Scenario, first: usize, step: usize) -> impl Iterator<Item = Trial> {
    (first..WRITES_MAX).step_by(step).flat_map(move |write| {
        [Fault::DiesBefore, Fault::DiesAfter].map(|fault| Trial {
            scenario,
            at: At::Write(write),
            fault,
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_dies_at_any_write_is_gone_on_for_by_another() {
    let died = live_all(deaths(Scenario::Whole, 0, 1)).await;
    assert!(
        died >= 20,
        "only {died} deaths: the writes of a life are not found any more"
    );
    for (first, scenario) in SCENARIOS.into_iter().enumerate().skip(1) {
        let step = if all() { 1 } else { SOME_WRITES };
        let died = live_all(deaths(scenario, first % step, step)).await;
        assert!(died >= 4, "only {died} deaths in {scenario:?}");
        tell(scenario, &format!("{died} deaths"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_api_server_answers_to_one_call_the_end_is_the_same() {
    let faults = [
        Fault::Unsent,
        Fault::Unheard,
        Fault::Refused(409),
        Fault::Refused(429),
        Fault::Refused(500),
        Fault::Refused(504),
        Fault::Stale,
        Fault::DiesBefore,
    ];
    let (step, calls, scenarios) = if all() {
        (1, CALLS_MAX, asked_for())
    } else {
        (SOME_CALLS, SOME_CALLS_MAX, vec![Scenario::Whole])
    };
    for scenario in scenarios {
        for (number, fault) in faults.into_iter().enumerate() {
            let first = (number * 5) % step;
            let trials = (first..calls).step_by(step).map(|call| Trial {
                scenario,
                at: At::Call(call),
                fault,
            });
            let happened = live_all(trials).await;
            assert!(happened > 0, "{fault:?} happened to nobody in {scenario:?}");
            tell(scenario, &format!("{fault:?} at {happened} calls"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_at_once_make_one_life() {
    let mut world = World::new("two").await;
    let other = controller_as(client(&Spy::default()).await);
    world.create(&world.job("logs")).await;
    loop {
        let (one, two) = tokio::join!(
            world.controller.reconcile(&world.namespace, "logs"),
            other.reconcile(&world.namespace, "logs")
        );
        // Who wrote second is refused, and takes the step again.
        for error in [one.err(), two.err()].into_iter().flatten() {
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(
                source.contains("the object has been modified") || source.contains("Conflict"),
                "{error}: {source}"
            );
        }
        world.see_discoverers().await;
        if world.status("logs").await.phase == Some(Phase::Complete) {
            break;
        }
        world.play("logs").await;
    }
    let trial = Trial {
        scenario: Scenario::Whole,
        at: At::Call(0),
        fault: Fault::Unsent,
    };
    Box::pin(ends_well(&mut world, &trial)).await;
}
