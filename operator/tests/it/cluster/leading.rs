//! Of several operators one is at work.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::DeleteParams;
use pf_operator::{
    crd::Phase,
    leader::{Candidate, Durations},
    run::lead,
};
use pf_telemetry::Shutdown;
use tokio::time::{Instant, sleep, timeout};

use super::{
    spy::{At, Fault, Spy},
    world::{World, client, controller_as},
};

const QUICK: Durations = Durations {
    lease: Duration::from_secs(2),
    renew: Duration::from_millis(1200),
    retry: Duration::from_millis(200),
};

async fn candidate(world: &World, identity: &str, spy: &Spy) -> Candidate {
    Candidate::new(client(spy).await, &world.namespace, "lease", identity.to_owned(), QUICK)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_the_next_one_at_once_when_it_lets_go() {
    let world = World::new("leading").await;
    let mut first = candidate(&world, "first", &Spy::default()).await;
    let mut second = candidate(&world, "second", &Spy::default()).await;
    first.lead().await;
    assert!(
        timeout(Duration::from_secs(3), async {
            tokio::select! {
                why = first.keep() => panic!("{why}"),
                () = second.lead() => {}
            }
        })
        .await
        .is_err(),
        "the lease is renewed, and stays where it is"
    );
    first.let_go().await;
    let began = Instant::now();
    second.lead().await;
    assert!(began.elapsed() < QUICK.lease, "nobody waited for it to run out");
    let lease = world.api::<Lease>().get("lease").await.unwrap().spec.unwrap();
    assert_eq!(
        (lease.holder_identity.as_deref(), lease.lease_transitions),
        (Some("second"), Some(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_gone_is_followed_when_the_lease_has_run_out_and_not_before() {
    let world = World::new("leading-gone").await;
    let mut first = candidate(&world, "first", &Spy::default()).await;
    let mut second = candidate(&world, "second", &Spy::default()).await;
    first.lead().await;
    let began = Instant::now();
    second.lead().await;
    assert!(began.elapsed() >= QUICK.lease, "{:?}", began.elapsed());
    assert!(first.keep().await.contains("somebody else"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_renew_says_so_before_another_can_lead() {
    let world = World::new("leading-cut").await;
    let spy = Spy::with(At::Write(1), Fault::DiesBefore);
    let mut first = candidate(&world, "first", &spy).await;
    first.lead().await;
    let began = Instant::now();
    let why = first.keep().await;
    assert!(why.contains("could not be renewed"), "{why}");
    assert!(began.elapsed() < QUICK.lease);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_try_at_once_one_wins() {
    let world = World::new("leading-many").await;
    let mut tries = tokio::task::JoinSet::new();
    for number in 0..8 {
        let mut one = candidate(&world, &format!("candidate-{number}"), &Spy::default()).await;
        tries.spawn(async move { timeout(Duration::from_millis(1500), one.lead()).await.is_ok() });
    }
    let leaders = tries.join_all().await.into_iter().filter(|leads| *leads).count();
    assert_eq!(leaders, 1);
}

/// So often something happens to a process of each operator; the one after that lives on.
const FAULTS: u64 = 4;

/// At which call of a process, at the latest: a step has some ten.
const CALLS_MAX: usize = 80;

/// A whole life may take so long, with all that happens.
const PATIENCE: Duration = Duration::from_mins(3);

/// One of two operators, which is started again whenever it dies or has lost the lease, as Kubernetes does.
async fn operator(namespace: String, name: &'static str, mut rng: Rng, shutdown: Shutdown) {
    for process in 0.. {
        let faults = [Fault::DiesBefore, Fault::DiesAfter, Fault::Pauses];
        let (at, fault) = (At::Call(rng.usize(3..CALLS_MAX)), faults[rng.usize(..faults.len())]);
        let spy = if process < FAULTS {
            Spy::with(at, fault)
        } else {
            Spy::default()
        };
        let client = client(&spy).await;
        let controller = Arc::new(controller_as(client.clone()));
        let identity = format!("{name}-{process}");
        let candidate = Candidate::new(client, &namespace, "lease", identity, QUICK);
        let death = async {
            while !spy.is_dead() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            ended = lead(candidate, controller, Some(&namespace), &shutdown) => if ended.is_ok() { return },
            () = death => {}
        }
    }
}

/// Two operators, of which now one and now the other leads, dies, or stands still until the other leads and then goes on with
/// what it was about to write.
async fn life_under_two(seed: u64) {
    let mut world = World::new("handed-over").await;
    world.create(&world.job("logs")).await;
    let shutdown = Shutdown::new();
    let operators = ["first", "second"].map(|name| {
        let rng = Rng::with_seed(2 * seed + u64::from(name == "second"));
        tokio::spawn(operator(world.namespace.clone(), name, rng, shutdown.clone()))
    });
    let deadline = Instant::now() + PATIENCE;
    let done = loop {
        let job = world.jobs().get("logs").await.unwrap();
        let status = job.status.clone().unwrap_or_default();
        if status.phase == Some(Phase::Complete) && status.workers == Some(0) {
            break job;
        }
        assert!(Instant::now() < deadline, "seed {seed}: {status:#?}");
        world.play("logs").await;
        world.see_discoverers().await;
        sleep(Duration::from_millis(50)).await;
    };
    // Whoever stood still has said by now what it had to say.
    sleep(Duration::from_secs(5)).await;
    world.see_discoverers().await;
    let now = world.status("logs").await;
    assert_eq!(now.phase, Some(Phase::Complete), "seed {seed}: what is over stays over");
    world.assert_one_life(&done, &format!("seed {seed}")).await;
    let lease = world.api::<Lease>().get("lease").await.unwrap().spec.unwrap();
    let changes = lease.lease_transitions.unwrap();
    assert!(changes > 2, "seed {seed}: the lease changed hands {changes} times");

    world.jobs().delete("logs", &DeleteParams::default()).await.unwrap();
    while world.jobs().get_opt("logs").await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "seed {seed}: the job is not let go");
        sleep(Duration::from_millis(50)).await;
    }
    let queue = now.queue.unwrap();
    assert!(!super::life::queue_is_there(&queue.url), "seed {seed}: the queue stays");
    shutdown.drain();
    for operator in operators {
        operator.await.unwrap();
    }
}

/// `PF_CRASH_ALL=1` lives many such lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_changes_hands_again_and_again_makes_one_life() {
    let seeds = if super::crash::all() { 60 } else { 3 };
    let seeds: Vec<u64> = (0..seeds).collect();
    for some in seeds.chunks(3) {
        let lives: Vec<_> = some.iter().map(|seed| tokio::spawn(life_under_two(*seed))).collect();
        for life in lives {
            life.await.unwrap();
        }
    }
}
