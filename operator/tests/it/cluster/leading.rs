//! Of several operators one is at work.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use pf_operator::leader::{Candidate, Durations};
use tokio::time::{Instant, timeout};

use super::{
    spy::{At, Fault, Spy},
    world::{World, client},
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
