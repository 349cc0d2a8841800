//! The operator dies at each of its writes, before it or before its answer, and another process goes on: the end is the same.
//!
//! `PF_CRASH_WRITES` says how many writes of a life are died at; all of them are, unless there are more.

use std::env;

use k8s_openapi::api::batch::v1::Job;
use kube::{ResourceExt as _, api::ListParams};
use pf_operator::crd::Phase;

use super::{
    spy::{Death, Spy},
    world::World,
};

/// More writes than any life has; a life in which nobody died ends the search.
const WRITES_MAX: usize = 60;

/// Lives that are lived at the same time.
const AT_ONCE: usize = 6;

/// Lives a life whose operator dies at one write. False: there was no such write.
async fn live(at: usize, death: Death) -> bool {
    let mut world = World::new("crash").await;
    let spy = Spy::dying(at, death);
    world.restart(spy.clone()).await;
    world.create(&world.job("logs")).await;
    let done = world.until_phase("logs", Phase::Complete).await;
    let told = format!("dies at write {at}, {death:?}");
    assert_eq!(world.discoverers.len(), 1, "{told}: one discoverer there ever was");
    world
        .until("logs", |job| job.status.as_ref().unwrap().workers == Some(0))
        .await;
    for job in world.api::<Job>().list(&ListParams::default()).await.unwrap() {
        assert_eq!(job.owner_references()[0].uid, done.uid().unwrap(), "{told}: an orphan");
    }
    assert_eq!(
        world.children().await,
        ["Job logs-discover", "Job logs-verify-1", "Deployment logs-worker"],
        "{told}"
    );
    world.delete("logs").await;
    spy.is_dead()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_dies_at_any_write_is_gone_on_for_by_another() {
    let writes = env::var("PF_CRASH_WRITES").map_or(WRITES_MAX, |text| text.parse().expect("a number"));
    let mut died = 0;
    for first in (0..writes).step_by(AT_ONCE / 2) {
        let lives = (first..first + AT_ONCE / 2).flat_map(|at| [(at, Death::Before), (at, Death::After)]);
        let lives: Vec<_> = lives.map(|(at, death)| tokio::spawn(live(at, death))).collect();
        let mut deaths = 0;
        for life in lives {
            deaths += usize::from(life.await.unwrap());
        }
        died += deaths;
        if deaths == 0 {
            break;
        }
    }
    assert!(
        died >= 20,
        "only {died} deaths: the writes of a life are not found any more"
    );
}
