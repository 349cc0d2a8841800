//! What workers and discoverers tell of themselves decides which workers go, and what the status says.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    thread,
};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use pf_e2e::Sqs;
use pf_operator::{controller::build::METRICS_PORT, crd::IngestJob};
use pf_work::proof::Verdict;
use serde_json::json;

use super::world::{World, discovered, summary};

/// A worker that holds so many leases, has read so many bytes, and was refused so many bulks; or a discoverer that has found so
/// many items.
#[derive(Debug, Default)]
struct Counters {
    held: u64,
    bytes: u64,
    refused: u64,
    found: u64,
    answers: u64,
}

impl Counters {
    fn answer(&mut self) -> String {
        self.answers += 1;
        let Self {
            held,
            bytes,
            refused,
            found,
            ..
        } = self;
        if *found > 0 {
            return format!("pf_discovered_items {found}\npf_discovered_bytes {}\n", 1000 * *found);
        }
        format!("pf_leases_held {held}\npf_wire_bytes_total {bytes}\npf_bulk_refused_total {refused}\n")
    }
}

/// Serves what a worker or discoverer would, at an address of its own.
struct FakePod {
    ip: Ipv4Addr,
    counters: Arc<Mutex<Counters>>,
}

impl FakePod {
    fn start() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id().to_le_bytes();
        let ip = Ipv4Addr::new(127, process[0] | 64, process[1], NEXT.fetch_add(1, Ordering::Relaxed));
        let listener = TcpListener::bind((ip, METRICS_PORT)).expect("the port of a worker's metrics is free");
        let counters = Arc::new(Mutex::new(Counters::default()));
        let served = Arc::clone(&counters);
        thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                // Whatever is asked for, the answer is the same; the head of a request comes in one piece.
                let mut request = [0; 4096];
                let Ok(1..) = connection.read(&mut request) else {
                    continue;
                };
                let body = served.lock().unwrap().answer();
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                connection.write_all((head + &body).as_bytes()).ok();
            }
        });
        Self { ip, counters }
    }

    fn set(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.counters.lock().unwrap());
    }
}

pub(super) async fn worker_pods(world: &World) -> Vec<Pod> {
    let of_workers = ListParams::default().labels("paraflow.dev/role=worker");
    let pods = world.api::<Pod>().list(&of_workers).await.unwrap();
    pods.into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .collect()
}

/// Says that a pod runs, and where.
pub(super) async fn runs(world: &World, pod: &Pod, ip: Ipv4Addr) {
    let status = json!({"status": {
        "phase": "Running",
        "podIP": ip.to_string(),
        "podIPs": [{"ip": ip.to_string()}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    let patch = Patch::Merge(status);
    world
        .api::<Pod>()
        .patch_status(&pod.name_any(), &PatchParams::default(), &patch)
        .await
        .unwrap();
}

fn wants(workers: &Deployment) -> i32 {
    workers.spec.as_ref().unwrap().replicas.unwrap_or(0)
}

/// Steps until the Deployment wants so many workers.
async fn until_wanted(world: &mut World, wanted: i32) {
    for _ in 0..500 {
        world.step("logs").await.unwrap();
        let workers = world.api::<Deployment>().get_opt("logs-worker").await.unwrap();
        if workers.is_some_and(|workers| wants(&workers) == wanted) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{wanted} workers are never wanted: {:#?}", world.status("logs").await);
}

/// A job that is at work with so many items in its queue.
async fn at_work(world: &mut World, items: u64, scaling: serde_json::Value) -> IngestJob {
    let mut job = world.job("logs");
    job["spec"]["workers"] = json!({"max": 3, "scaling": scaling});
    world.create(&job).await;
    let started = world
        .until("logs", |job| {
            job.status.as_ref().is_some_and(|status| status.queue.is_some())
        })
        .await;
    let queue = started.status.as_ref().unwrap().queue.clone().unwrap();
    tokio::task::block_in_place(|| (0..items).for_each(|item| Sqs::shared().send(&queue.url, &item.to_string())));
    started
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_hold_least_go_first_and_none_that_holds_work() {
    let mut world = World::new("costs").await;
    let job = at_work(&mut world, 60, json!({"scaleDownAfterSeconds": 0})).await;
    until_wanted(&mut world, 3).await;
    let mut pods = Vec::new();
    while pods.len() < 3 {
        pods = worker_pods(&world).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let fakes: Vec<FakePod> = pods.iter().map(|_| FakePod::start()).collect();
    for (pod, fake) in pods.iter().zip(&fakes) {
        runs(&world, pod, fake.ip).await;
    }
    // The one in the middle has all the work that there is.
    fakes[1].set(|counters| counters.held = 7);
    let queue = job.status.unwrap().queue.unwrap();
    tokio::task::block_in_place(|| Sqs::shared().all_bodies(&queue.url));
    world.spy.forget();
    until_wanted(&mut world, 1).await;
    let writes = world.spy.writes();
    let cost = writes
        .iter()
        .position(|write| write.contains("/pods/"))
        .expect("costs are written");
    let scale = writes.iter().rposition(|write| write.contains("/scale")).unwrap();
    assert!(cost < scale, "before there are fewer: {writes:?}");
    let mut left = worker_pods(&world).await;
    while left.len() > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        left = worker_pods(&world).await;
    }
    assert_eq!(left[0].name_any(), pods[1].name_any(), "Kubernetes took the idle ones");
    assert_eq!(left[0].annotations()["controller.kubernetes.io/pod-deletion-cost"], "7");
    for _ in 0..10 {
        world.step("logs").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
    let workers = world.api::<Deployment>().get("logs-worker").await.unwrap();
    assert_eq!(
        wants(&workers),
        1,
        "who holds work stays, however long the queue looks empty"
    );

    fakes[1].set(|counters| counters.held = 0);
    world.discoverer_pod("logs").await;
    world.end("logs-discover", 0, "").await;
    until_wanted(&mut world, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_shows_in_the_status_and_a_sink_that_is_full_keeps_the_number() {
    let mut world = World::new("pace").await;
    at_work(&mut world, 20, json!({})).await;
    until_wanted(&mut world, 1).await;
    let pods = worker_pods(&world).await;
    let fake = FakePod::start();
    runs(&world, &pods[0], fake.ip).await;
    let mut read = 0;
    let reads = |world: &IngestJob| world.status.as_ref().unwrap().bytes_per_second.unwrap_or(0);
    loop {
        fake.set(|counters| (counters.held, counters.bytes, counters.refused) = (4, read, read / 100_000));
        read += 1_000_000;
        world.step("logs").await.unwrap();
        let job = world.jobs().get("logs").await.unwrap();
        if reads(&job) > 0 {
            let told = reads(&job).to_string();
            assert!(told.trim_end_matches('0').len() <= 2, "two digits: {told}");
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
    let queue = world.status("logs").await.queue.unwrap();
    tokio::task::block_in_place(|| (0..40).for_each(|item| Sqs::shared().send(&queue.url, &item.to_string())));
    let scaling = loop {
        fake.set(|counters| counters.refused += 1);
        world.step("logs").await.unwrap();
        let status = world.status("logs").await;
        if status.backlog == Some(60) {
            break status.scaling.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(45)).await;
    };
    assert!(
        scaling.contains("1 worker as before: more than these would not help"),
        "{scaling}"
    );
    until_wanted(&mut world, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_shows_in_the_status_while_it_is_listed() {
    let mut world = World::new("found").await;
    at_work(&mut world, 20, json!({})).await;
    until_wanted(&mut world, 1).await;
    let pod = world.discoverer_pod("logs").await;
    let fake = FakePod::start();
    runs(&world, &pod, fake.ip).await;
    // One that begins anew, after a crash, knows less for a while than what was told already.
    for (found, told) in [(20, 20), (120, 120), (1, 120), (130, 130)] {
        fake.set(|counters| (counters.found, counters.answers) = (found, 0));
        let items = loop {
            world.step("logs").await.unwrap();
            let items = world.status("logs").await.items.unwrap_or_default();
            if items.discovered == told && fake.counters.lock().unwrap().answers > 1 {
                break items;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        assert_eq!(
            (items.discovered_bytes, items.discovered_is_final),
            (1000 * told, false)
        );
        assert_eq!(items.settled, 0, "which of them are done is not known yet");
    }
    let discovered = discovered("logs", 125, 125_000);
    world.end("logs-discover", 0, &discovered.to_json()).await;
    let job = world
        .until("logs", |job| {
            let items = job.status.as_ref().and_then(|status| status.items.as_ref());
            items.is_some_and(|items| items.discovered_is_final)
        })
        .await;
    assert_eq!(
        job.status.unwrap().items.unwrap().discovered,
        125,
        "the last word is the truth"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_followed_by_what_was_measured() {
    let mut world = World::new("due").await;
    at_work(&mut world, 60, json!({"targetDuration": "1h"})).await;
    until_wanted(&mut world, 3).await;
    assert!(
        world
            .status("logs")
            .await
            .scaling
            .unwrap()
            .contains("until it is known how fast one is")
    );
    let mut pods = Vec::new();
    while pods.len() < 3 {
        pods = worker_pods(&world).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.discoverer_pod("logs").await;
    let fakes: Vec<FakePod> = pods.iter().map(|_| FakePod::start()).collect();
    for (pod, fake) in pods.iter().zip(&fakes) {
        runs(&world, pod, fake.ip).await;
        fake.set(|counters| counters.held = 1);
    }
    let discovered = discovered("logs", 60, 3_600_000_000_000);
    world.end("logs-discover", 0, &discovered.to_json()).await;
    let mut read = 0;
    let scaling = loop {
        read += 10_000_000;
        for fake in &fakes {
            fake.set(|counters| counters.bytes = read);
        }
        world.step("logs").await.unwrap();
        let status = world.status("logs").await;
        let scaling = status.scaling.unwrap();
        if !scaling.contains("until it is known") && !scaling.contains("work items") {
            break scaling;
        }
        tokio::time::sleep(std::time::Duration::from_millis(45)).await;
    };
    // A gigabyte a second is more than three of these read.
    assert!(scaling.contains("to be done in time it would take"), "{scaling}");
    let status = world.status("logs").await;
    let active = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "ScalingActive")
        .unwrap();
    assert_eq!(active.reason, "DeadlineAtRisk");
    world
        .end("logs-verify-1", 0, &summary("logs", Verdict::Complete, 0).to_json())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_is_obeyed_from_the_first_worker_on() {
    let mut world = World::new("external").await;
    at_work(&mut world, 60, json!({"mode": "External"})).await;
    until_wanted(&mut world, 1).await;
    let scale = Patch::Merge(json!({"spec": {"replicas": 5}}));
    world
        .jobs()
        .patch_scale("logs", &PatchParams::default(), &scale)
        .await
        .unwrap();
    until_wanted(&mut world, 5).await;
    let scaling = world.status("logs").await.scaling.unwrap();
    assert!(scaling.contains("scale sub-resource"), "{scaling}");
}
