//! What the operator needs with thousands of jobs that are over, and dozens that are at work.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use pf_e2e::Kubernetes;
use pf_operator::crd::IngestJob;
use serde_json::{Value, json};

use super::{program::spawn, world::World};

const OVER: usize = 2_000;
const AT_WORK: usize = 50;

/// A budget of the design.
const MEMORY_MAX_KB: u64 = 100_000;

/// Requests of the test at the same time.
const AT_ONCE: usize = 32;

const PATIENCE: Duration = Duration::from_mins(3);

/// What the operator writes at a job's end.
fn complete() -> Value {
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "Complete", "message": "all 30 work items are settled",
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    json!({"status": {
        "observedGeneration": 1,
        "phase": "Complete",
        "startedAt": "2026-01-01T00:00:00Z",
        "completedAt": "2026-01-01T00:00:00Z",
        "workers": 0,
        "run": {"number": 1, "incompleteProofs": 0},
        "conditions": [
            condition("Ready", "True"), condition("Discovered", "True"), condition("ScalingActive", "False"),
            condition("Complete", "True"), condition("Failed", "False"), condition("Suspended", "False"),
        ],
    }})
}

async fn create(world: &World, name: String, status: Option<&Value>) -> Result<(), kube::Error> {
    let job: IngestJob = serde_json::from_value(world.job(&name)).unwrap();
    world.jobs().create(&PostParams::default(), &job).await?;
    if let Some(status) = status {
        let patch = Patch::Merge(status);
        world
            .jobs()
            .patch_status(&name, &PatchParams::default(), &patch)
            .await?;
    }
    Ok(())
}

/// A figure of a process, in kB.
fn memory(pid: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_finished_jobs_and_dozens_at_work_fit_into_the_operator_s_memory() {
    let cluster = tokio::task::block_in_place(Kubernetes::start_own);
    let definition = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/ingestjobs.paraflow.dev.yaml");
    let applied = tokio::task::block_in_place(|| cluster.kubectl(["apply", "--server-side", "--filename", definition]));
    assert!(applied.status.success(), "{applied:?}");
    let established = ["wait", "--for=condition=Established", "crd/ingestjobs.paraflow.dev"];
    assert!(
        tokio::task::block_in_place(|| cluster.kubectl(established))
            .status
            .success()
    );
    let world = World::on(&cluster, "default").await;
    let over = complete();
    let finished = stream::iter(0..OVER).map(|number| create(&world, format!("over-{number}"), Some(&over)));
    let finished: Vec<()> = finished.buffer_unordered(AT_ONCE).try_collect().await.unwrap();
    assert_eq!(finished.len(), OVER);

    let operator =
        tokio::task::block_in_place(|| spawn(&cluster, pf_e2e::free_address().port(), &["--look-every", "2s"]));
    let at_work = stream::iter(0..AT_WORK).map(|number| create(&world, format!("work-{number}"), None));
    at_work
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let workers = world.api::<Deployment>().list(&ListParams::default()).await.unwrap();
        if workers.items.len() == AT_WORK {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {AT_WORK} are at work",
            workers.items.len()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Each is looked at some times more.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let peak = memory(operator.id(), "VmHWM:");
    eprintln!(
        "{peak} kB anon {} file {}",
        memory(operator.id(), "RssAnon:"),
        memory(operator.id(), "RssFile:")
    );
    assert!(
        peak < MEMORY_MAX_KB,
        "{peak} kB with {OVER} jobs that are over and {AT_WORK} at work"
    );
}
