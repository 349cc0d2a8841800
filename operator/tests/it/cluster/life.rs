//! Whole lives of jobs.

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use pf_e2e::Sqs;
use pf_operator::{
    controller::status::{self, holds},
    crd::{IngestJob, Phase},
};
use pf_work::proof::Verdict;
use serde_json::{Value, json};

use super::{
    spy::Spy,
    world::{ITEMS, World, summary},
};

pub(super) fn queue_is_there(url: &str) -> bool {
    tokio::task::block_in_place(|| Sqs::shared().has(url))
}

fn condition<'a>(job: &'a IngestJob, kind: &str) -> Option<&'a str> {
    let conditions = &job.status.as_ref().unwrap().conditions;
    let found = conditions.iter().find(|condition| condition.type_ == kind);
    found.map(|condition| condition.reason.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_from_nothing_to_complete_and_leaves_nothing() {
    let mut world = World::new("life").await;
    world.create(&world.job("logs")).await;
    let started = world
        .until(name(), |job| {
            job.status.as_ref().is_some_and(|status| status.started_at.is_some())
        })
        .await;
    let status = started.status.unwrap();
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.phase, Some(Phase::Discovering));
    let queue = status.queue.unwrap();
    assert!(queue.owned && queue_is_there(&queue.url));

    let running = world.until_phase(name(), Phase::Running).await;
    let status = running.status.as_ref().unwrap();
    assert!(holds(status, status::DISCOVERED));
    let items = status.items.clone().unwrap();
    assert_eq!(
        (items.discovered, items.discovered_is_final, items.discovered_bytes),
        (ITEMS as i64, true, 1000 * ITEMS as i64),
        "known as soon as the discoverer told it"
    );
    assert_eq!(
        items.settled, 0,
        "the counters of the last minute and a half may be wrong"
    );
    let done = world.until_phase(name(), Phase::Complete).await;
    let status = done.status.as_ref().unwrap();
    let items = status.items.clone().unwrap();
    assert_eq!(
        (items.discovered, items.settled, items.dead_letters),
        (ITEMS as i64, ITEMS as i64, 0)
    );
    assert_eq!(status.records.clone().unwrap().written, 100 * ITEMS as i64);
    assert!(holds(status, status::COMPLETE) && holds(status, status::READY));
    assert!(!holds(status, status::RECONCILING) && !holds(status, status::STALLED));
    assert_eq!(world.discoverers.len(), 1);

    world
        .until(name(), |job| job.status.as_ref().unwrap().workers == Some(0))
        .await;
    let workers = world.api::<Deployment>().get("logs-worker").await.unwrap();
    assert_eq!(
        workers.spec.unwrap().replicas,
        Some(0),
        "workers go when the job is over"
    );
    assert_eq!(
        world.children().await,
        ["Job logs-discover", "Job logs-verify-1", "Deployment logs-worker"]
    );

    world.delete(name()).await;
    assert!(!queue_is_there(&queue.url), "a queue that the job made goes with it");
}

fn name() -> &'static str {
    "logs"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_changes_nothing_writes_nothing() {
    let mut world = World::new("quiet").await;
    let mut job = world.job("logs");
    job["spec"]["workers"] = json!({
        "max": 3,
        "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}},
        "podTemplate": {"spec": {"nodeSelector": {"disk": "fast"}, "tolerations": [{"operator": "Exists"}]}},
    });
    world.create(&job).await;
    // The discoverer runs on and on, the queue is empty: nothing happens.
    for _ in 0..20 {
        world.step("logs").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(45)).await;
    }
    world.spy.forget();
    for _ in 0..5 {
        world.step("logs").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(45)).await;
    }
    assert_eq!(world.spy.writes(), Vec::<String>::new(), "while it is at work");
    world.restart(Spy::default()).await;
    for _ in 0..3 {
        world.step("logs").await.unwrap();
    }
    assert_eq!(world.spy.writes(), Vec::<String>::new(), "after a restart");

    world.until_phase("logs", Phase::Complete).await;
    world
        .until("logs", |job| job.status.as_ref().unwrap().workers == Some(0))
        .await;
    world.spy.forget();
    for _ in 0..3 {
        world.step("logs").await.unwrap();
    }
    assert_eq!(world.spy.writes(), Vec::<String>::new(), "when it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_stays_over_whatever_becomes_of_its_children() {
    let mut world = World::new("sticky").await;
    world.create(&world.job("logs")).await;
    let done = world.until_phase("logs", Phase::Complete).await;
    let ended = done.status.unwrap().completed_at;
    for name in ["logs-discover", "logs-verify-1"] {
        world
            .api::<Job>()
            .delete(name, &DeleteParams::background())
            .await
            .unwrap();
    }
    world
        .api::<Deployment>()
        .delete("logs-worker", &DeleteParams::background())
        .await
        .unwrap();
    world
        .change(
            "logs",
            &json!({"metadata": {"labels": {"argocd": "again"}}, "spec": {"workers": {"max": 9}}}),
        )
        .await;
    world.restart(Spy::default()).await;
    for _ in 0..5 {
        world.step("logs").await.unwrap();
    }
    let status = world.status("logs").await;
    assert_eq!((status.phase, status.completed_at), (Some(Phase::Complete), ended));
    assert_eq!(world.children().await, Vec::<String>::new(), "nothing is made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proof_finds_missing_is_offered_again_until_nothing_is() {
    let mut world = World::new("holes").await;
    world.create(&world.job("logs")).await;
    // One proof that finds three items missing, before the hand that plays gets to it.
    let incomplete = loop {
        world.step("logs").await.unwrap();
        if world.api::<Job>().get_opt("logs-verify-1").await.unwrap().is_some() {
            while world.pod_of("logs-verify-1").await.is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            let text = summary("logs", Verdict::Incomplete, 3).to_json();
            world.end("logs-verify-1", 1, &text).await;
            break text;
        }
        world.play("logs").await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(incomplete.contains("incomplete"));
    let done = world.until_phase("logs", Phase::Complete).await;
    assert_eq!(done.status.unwrap().run.unwrap().incomplete_proofs, 1);
    let children = world.children().await;
    for child in ["Job logs-redrive-1", "Job logs-verify-2"] {
        assert!(children.iter().any(|there| there == child), "{children:?}");
    }
    assert_eq!(world.discoverers.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_rests_and_goes_on() {
    let mut world = World::new("rest").await;
    let mut job = world.job("logs");
    job["spec"]["suspend"] = json!(true);
    world.create(&job).await;
    world.until_phase("logs", Phase::Suspended).await;
    assert_eq!(
        world.children().await,
        Vec::<String>::new(),
        "a job that begins at rest makes nothing"
    );
    world.change("logs", &json!({"spec": {"suspend": false}})).await;
    world.until_phase("logs", Phase::Running).await;

    world.change("logs", &json!({"spec": {"suspend": true}})).await;
    let resting = world.until_phase("logs", Phase::Suspended).await;
    assert!(holds(resting.status.as_ref().unwrap(), status::SUSPENDED));
    world.step("logs").await.unwrap();
    let workers = world.api::<Deployment>().get("logs-worker").await.unwrap();
    assert_eq!(workers.spec.unwrap().replicas, Some(0));

    world.change("logs", &json!({"spec": {"suspend": false}})).await;
    let done = world.until_phase("logs", Phase::Complete).await;
    assert!(!holds(done.status.as_ref().unwrap(), status::SUSPENDED));
    assert_eq!(world.discoverers.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discoverer_rests_with_its_job() {
    let mut world = World::new("rest-early").await;
    world.create(&world.job("logs")).await;
    while world.api::<Job>().get_opt("logs-discover").await.unwrap().is_none() {
        world.step("logs").await.unwrap();
    }
    world.change("logs", &json!({"spec": {"suspend": true}})).await;
    let rests = |rests: bool| move |job: Job| assert_eq!(job.spec.unwrap().suspend.unwrap_or(false), rests);
    world.step("logs").await.unwrap();
    rests(true)(world.api::<Job>().get("logs-discover").await.unwrap());
    world.change("logs", &json!({"spec": {"suspend": false}})).await;
    world.step("logs").await.unwrap();
    rests(false)(world.api::<Job>().get("logs-discover").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_nonce_is_another_run_with_books_of_its_own() {
    let mut world = World::new("again").await;
    world.create(&world.job("logs")).await;
    let first = world.until_phase("logs", Phase::Complete).await.status.unwrap();
    world
        .change("logs", &json!({"spec": {"restartNonce": "once more"}}))
        .await;
    let again = world
        .until("logs", |job| {
            let status = job.status.as_ref().unwrap();
            status.run.as_ref().is_some_and(|run| run.number == 2) && status.phase == Some(Phase::Complete)
        })
        .await;
    let second = again.status.clone().unwrap();
    assert_ne!(first.queue.unwrap().url, second.queue.unwrap().url);
    assert_eq!(first.started_at.map(|_| ()), second.started_at.map(|_| ()));
    let discoverer = world.api::<Job>().get("logs-r2-discover").await.unwrap();
    let arguments = discoverer.spec.unwrap().template.spec.unwrap().containers[0]
        .args
        .clone()
        .unwrap();
    let books = format!("{}/logs-r2", world.namespace);
    let owner = format!("--owner={}/logs {}", world.namespace, again.metadata.uid.unwrap());
    for argument in [&format!("--job={books}"), "--run=2", &owner] {
        assert!(arguments.iter().any(|there| there == argument), "{arguments:?}");
    }
    assert_eq!(second.run.unwrap().books, Some(books), "who asks for them finds them");
    assert!(world.api::<Job>().get_opt("logs-discover").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn children_and_queue_go_when_their_time_has_come_and_the_job_stays() {
    let mut world = World::new("ttl").await;
    let mut job = world.job("logs");
    job["spec"]["ttlSecondsAfterFinished"] = json!(1);
    world.create(&job).await;
    let done = world.until_phase("logs", Phase::Complete).await.status.unwrap();
    let job = world.until("logs", |job| job.finalizers().is_empty()).await;
    assert_eq!(job.status.as_ref().unwrap().phase, Some(Phase::Complete));
    assert_eq!(world.children().await, Vec::<String>::new());
    assert!(!queue_is_there(&done.queue.unwrap().url));
    world.spy.forget();
    world.step("logs").await.unwrap();
    assert_eq!(world.spy.writes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_deleted_at_work_takes_its_queue_with_it_and_leaves_others_alone() {
    let mut world = World::new("deleted").await;
    let queue = tokio::task::block_in_place(|| Sqs::shared().make_queue("given", 60, 3));
    let mut job = world.job("given");
    job["spec"]["queue"]["sqs"] = json!({"url": queue.url, "endpoint": Sqs::shared().endpoint()});
    world.create(&job).await;
    world.until_phase("given", Phase::Running).await;
    let given = world.jobs().get("given").await.unwrap();
    assert_eq!(
        given.finalizers(),
        [] as [&str; 0],
        "what is not ours need not be waited for"
    );
    world.jobs().delete("given", &DeleteParams::default()).await.unwrap();
    assert!(queue_is_there(&queue.url));

    world.create(&world.job("own")).await;
    let own = world
        .until_phase("own", Phase::Discovering)
        .await
        .status
        .unwrap()
        .queue
        .unwrap();
    world.delete("own").await;
    assert!(!queue_is_there(&own.url) && !queue_is_there(&own.dead_letter_queue_url.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_that_failed_for_good_fails_the_job_with_its_last_words() {
    let mut world = World::new("refused").await;
    world.create(&world.job("logs")).await;
    while world.pod_of("logs-discover").await.is_none() {
        world.step("logs").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world
        .end("logs-discover", 64, "--filter: there is no such placeholder")
        .await;
    let failed = loop {
        world.step("logs").await.unwrap();
        let job = world.jobs().get("logs").await.unwrap();
        if job.status.as_ref().unwrap().phase == Some(Phase::Failed) {
            break job;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let status = failed.status.unwrap();
    let why = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == status::FAILED)
        .unwrap();
    assert_eq!(why.reason, "DiscoveryFailed");
    assert!(why.message.contains("no such placeholder"), "{}", why.message);
}

/// Steps until a worker pod is there.
async fn worker(world: &mut World) -> Pod {
    loop {
        world.step("logs").await.unwrap();
        let of_workers = ListParams::default().labels("paraflow.dev/role=worker");
        if let Some(pod) = world.api::<Pod>().list(&of_workers).await.unwrap().into_iter().next() {
            return pod;
        }
        world.play("logs").await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_refused_stall_the_job_and_too_many_rejected_records_end_it() {
    let mut world = World::new("trouble").await;
    let mut job = world.job("logs");
    job["spec"]["workers"] = json!({"replicas": 1});
    world.create(&job).await;
    let pod = worker(&mut world).await;
    world.pod_ended(&pod, "Running", 4, "there is no index logs").await;
    let stalled = world
        .until("logs", |job| holds(job.status.as_ref().unwrap(), status::STALLED))
        .await;
    assert_eq!(condition(&stalled, status::STALLED), Some("WorkersRefused"));
    assert_ne!(
        stalled.status.unwrap().phase,
        Some(Phase::Failed),
        "somebody may make the index"
    );

    world
        .pod_ended(&pod, "Running", 3, "11 records were rejected, 10 are allowed")
        .await;
    let failed = world.until_phase("logs", Phase::Failed).await;
    assert_eq!(condition(&failed, status::FAILED), Some("ErrorBudgetExceeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_stalled_with_what_to_do_and_starts_when_it_is_mended() {
    let mut world = World::new("stalled").await;
    let mut job = world.job("logs");
    job["spec"]["sink"] = json!({"elasticsearch": {
        "urls": ["http://es:9200"],
        "index": "logs",
        "auth": {"apiKey": {"name": "es", "key": "api-key"}},
    }});
    world.create(&job).await;
    world.step("logs").await.unwrap();
    let message = |job: &IngestJob| {
        let conditions = job.status.clone().unwrap().conditions;
        conditions
            .into_iter()
            .find(|condition| condition.type_ == status::STALLED)
            .unwrap()
            .message
    };
    let stalled = world.jobs().get("logs").await.unwrap();
    assert!(
        message(&stalled).contains("there is no Secret es"),
        "{}",
        message(&stalled)
    );
    let secrets = world.api::<k8s_openapi::api::core::v1::Secret>();
    let secret: Value =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "es"}, "stringData": {"api-key": "abc"}});
    secrets
        .patch("es", &PatchParams::apply("test"), &Patch::Apply(secret))
        .await
        .unwrap();
    world.until_phase("logs", Phase::Running).await;
    let workers = world.api::<Deployment>().get("logs-worker").await.unwrap();
    let hash = |workers: &Deployment| {
        let template = workers.spec.as_ref().unwrap().template.metadata.as_ref().unwrap();
        template.annotations.as_ref().unwrap()["paraflow.dev/contents-hash"].clone()
    };
    let before = hash(&workers);
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "es"}, "stringData": {"api-key": "def"}});
    secrets
        .patch("es", &PatchParams::apply("test"), &Patch::Apply(secret))
        .await
        .unwrap();
    world.step("logs").await.unwrap();
    let workers = world.api::<Deployment>().get("logs-worker").await.unwrap();
    assert_ne!(before, hash(&workers), "another content makes other pods");

    let mut job = world.job("local-only");
    job["spec"]["sink"] = json!({"stdout": {}});
    world.create(&job).await;
    world.step("local-only").await.unwrap();
    let stalled = world.jobs().get("local-only").await.unwrap();
    assert!(
        message(&stalled).contains("is for `pf-operator local`"),
        "{}",
        message(&stalled)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_template_names_must_be_there_and_another_content_makes_other_pods() {
    let mut world = World::new("contents").await;
    let mut job = world.job("logs");
    job["spec"]["workers"]["podTemplate"] = json!({"spec": {"containers": [{
        "name": "worker",
        "env": [
            {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "token", "optional": true}}},
        ],
    }]}});
    world.create(&job).await;
    world.step("logs").await.unwrap();
    let stalled = world.jobs().get("logs").await.unwrap().status.unwrap();
    let stalled = stalled
        .conditions
        .iter()
        .find(|condition| condition.type_ == status::STALLED);
    let message = &stalled.unwrap().message;
    let expected = format!("there is no ConfigMap settings in the namespace {}", world.namespace);
    assert!(message.contains(&expected), "{message}");

    let (client, namespace) = (world.client.clone(), world.namespace.clone());
    let apply = async |kind: &str, name: &str, data: Value| {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &resource);
        let field = if kind == "Secret" { "stringData" } else { "data" };
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, (field): data});
        api.patch(name, &PatchParams::apply("test"), &Patch::Apply(object))
            .await
            .unwrap();
    };
    apply("ConfigMap", "settings", json!({"level": "info", "other": "1"})).await;
    world.until_phase("logs", Phase::Running).await;
    let template = async |world: &mut World| {
        world.step("logs").await.unwrap();
        world
            .api::<Deployment>()
            .get("logs-worker")
            .await
            .unwrap()
            .spec
            .unwrap()
            .template
    };
    let before = template(&mut world).await;
    let container = &before.spec.as_ref().unwrap().containers[0];
    assert!(
        container
            .env
            .as_ref()
            .unwrap()
            .iter()
            .any(|variable| variable.name == "LEVEL")
    );
    apply("ConfigMap", "settings", json!({"level": "info", "other": "2"})).await;
    assert_eq!(template(&mut world).await, before, "nobody reads that key");
    apply("ConfigMap", "settings", json!({"level": "debug", "other": "2"})).await;
    let after = template(&mut world).await;
    assert_ne!(after, before, "workers read it");
    apply("Secret", "tokens", json!({"token": "abc"})).await;
    assert_ne!(template(&mut world).await, after, "now it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_template_that_kubernetes_refuses_stalls_the_job_and_what_runs_goes_on() {
    let mut world = World::new("template").await;
    world.create(&world.job("logs")).await;
    world.until_phase("logs", Phase::Running).await;
    let before = world.api::<Deployment>().get("logs-worker").await.unwrap();
    let bad =
        json!({"spec": {"workers": {"podTemplate": {"spec": {"containers": [{"name": "worker", "imag": "x"}]}}}}});
    world.change("logs", &bad).await;
    world.step("logs").await.unwrap();
    let bad = json!({"spec": {"workers": {"podTemplate": {"spec": {"restartPolicy": "Never", "containers": null}}}}});
    world.change("logs", &bad).await;
    world.step("logs").await.unwrap();
    let stalled = world.jobs().get("logs").await.unwrap();
    assert_eq!(condition(&stalled, status::STALLED), Some("Invalid"));
    let after = world.api::<Deployment>().get("logs-worker").await.unwrap();
    assert_eq!(before.spec.unwrap().template, after.spec.unwrap().template);
    world
        .change("logs", &json!({"spec": {"workers": {"podTemplate": null}}}))
        .await;
    let done = world.until_phase("logs", Phase::Complete).await;
    assert!(!holds(done.status.as_ref().unwrap(), status::STALLED));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_a_child_is_put_right_and_who_scales_the_job_is_obeyed() {
    let mut world = World::new("drift").await;
    let mut job = world.job("logs");
    job["spec"]["workers"] = json!({"replicas": 2});
    world.create(&job).await;
    worker(&mut world).await;
    let workers = world.api::<Deployment>();
    let drift = json!({"spec": {"replicas": 7, "template": {"spec": {"terminationGracePeriodSeconds": 1}}}});
    workers
        .patch("logs-worker", &PatchParams::default(), &Patch::Merge(drift))
        .await
        .unwrap();
    world.step("logs").await.unwrap();
    let spec = workers.get("logs-worker").await.unwrap().spec.unwrap();
    assert_eq!(spec.template.spec.unwrap().termination_grace_period_seconds, Some(45));
    world.step("logs").await.unwrap();
    assert_eq!(
        workers.get("logs-worker").await.unwrap().spec.unwrap().replicas,
        Some(2)
    );

    let scale = json!({"spec": {"replicas": 4}});
    world
        .jobs()
        .patch_scale("logs", &PatchParams::default(), &Patch::Merge(scale))
        .await
        .unwrap();
    world.step("logs").await.unwrap();
    assert_eq!(
        workers.get("logs-worker").await.unwrap().spec.unwrap().replicas,
        Some(4)
    );
}
