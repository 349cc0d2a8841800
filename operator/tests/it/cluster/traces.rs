//! Traces of `pf-operator run`, as a real collector takes them in.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{batch::v1::Job, core::v1::ResourceQuota};
use kube::api::{DeleteParams, PostParams};
use pf_e2e::{Collector, Kubernetes, Sqs, collector::Span, free_address};
use serde_json::json;

use super::{
    program::{Program, command, is_ready, spawn, stop},
    world::{World, eventually},
};
use crate::program::{operator, outcome};

const PATIENCE: Duration = Duration::from_mins(1);

fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    tokio::task::block_in_place(|| pf_e2e::until(what, PATIENCE, look))
}

/// `status.code` of a span that failed (`Status.StatusCode` in OTLP's protocol).
const FAILED: u64 = 2;

fn has_failed(span: &Span) -> bool {
    span.json["status"]["code"].as_u64() == Some(FAILED)
}

/// The names of what a span consists of.
fn parts<'a>(of: &Span, spans: &'a [Span]) -> BTreeSet<&'a str> {
    let within =
        |span: &&Span| span.json["traceId"] == of.json["traceId"] && span.json["parentSpanId"] == of.json["spanId"];
    let names = spans
        .iter()
        .filter(within)
        .map(|span| span.json["name"].as_str().unwrap());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_a_span_with_each_call_in_it_and_says_whether_it_failed() {
    let world = World::new("traces").await;
    let collector = tokio::task::block_in_place(Collector::start);
    // A namespace that may have no Jobs: the step that makes the discoverer fails.
    let quota: ResourceQuota = serde_json::from_value(json!({
        "metadata": {"name": "no-jobs"},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }))
    .unwrap();
    world.api().create(&PostParams::default(), &quota).await.unwrap();
    let flags = [
        "--look-every=100ms",
        "--watch-namespace",
        &world.namespace,
        "--namespace",
        &world.namespace,
        "--otlp-endpoint",
        &collector.endpoint(),
    ];
    let mut program = spawn(Kubernetes::shared(), free_address().port(), &flags);
    world.create(&world.job("logs")).await;
    let is_step = |span: &&Span| span.json["name"] == "step";
    until("a step that failed is told while the operator works", || {
        collector
            .spans()
            .iter()
            .find(|span| is_step(span) && has_failed(span))
            .cloned()
    });
    world
        .api::<ResourceQuota>()
        .delete("no-jobs", &DeleteParams::default())
        .await
        .unwrap();
    let made = || async { world.api::<Job>().get_opt("logs-discover").await.unwrap() };
    eventually("the discoverer is made as soon as it may be", made).await;
    tokio::task::block_in_place(|| program.stop());

    let spans = collector.spans();
    let steps: Vec<&Span> = spans.iter().filter(is_step).collect();
    for step in &steps {
        assert_eq!(step.service, "pf-operator");
        assert_eq!(step.attribute("namespace"), Some(&*world.namespace));
        assert_eq!(step.attribute("job"), Some("logs"));
    }
    // The last spans are sent at the end, and one of them made the discoverer.
    let made = steps
        .iter()
        .find(|step| !has_failed(step) && parts(step, &spans).contains("create"));
    let parts = parts(made.expect("a step that did not fail created something"), &spans);
    assert!(parts.contains("get") && parts.contains("list"), "{parts:?}");
    assert!(spans.iter().any(|span| span.json["name"] == "SQS.CreateQueue"));
    let text = spans.iter().map(|span| span.json.to_string()).collect::<String>();
    assert!(!text.contains(Sqs::SECRET_ACCESS_KEY));

    // As the variables of OpenTelemetry's SDKs call it.
    let mut named = command(Kubernetes::shared(), free_address().port(), &flags);
    named.env(
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=ours,deployment.environment.name=tests",
    );
    let mut program = Program(named.spawn().unwrap());
    until("the name comes with the spans", || {
        collector
            .spans()
            .iter()
            .any(|span| span.service == "ours")
            .then_some(())
    });
    tokio::task::block_in_place(|| program.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_keeps_nobody_waiting() {
    let world = World::new("traces-away").await;
    let nobody = format!("http://{}", free_address());
    let port = free_address().port();
    let flags = [
        "--watch-namespace",
        &world.namespace,
        "--namespace",
        &world.namespace,
        "--otlp-endpoint",
        &nobody,
    ];
    let program = spawn(Kubernetes::shared(), port, &flags);
    until("it is ready", || is_ready(port).filter(|ready| *ready));
    world.create(&world.job("logs")).await;
    until("it works", || {
        let jobs = Kubernetes::shared().kubectl(["get", "jobs", "--namespace", &world.namespace, "--output", "name"]);
        String::from_utf8(jobs.stdout)
            .unwrap()
            .contains("logs-discover")
            .then_some(())
    });
    let log = tokio::task::block_in_place(|| stop(program));
    let told = log
        .lines()
        .filter(|line| line.contains("traces are lost: the collector does not take them"));
    assert_eq!(told.count(), 1, "{log}");
}

#[test]
fn what_is_no_address_of_a_collector_is_bad_usage() {
    for endpoint in ["collector:4318", "grpc://collector:4317", "http://", "no address"] {
        let told = operator()
            .args(["run", "--image=a", "--otlp-endpoint", endpoint])
            .output()
            .unwrap();
        assert_eq!(told.status.code(), Some(64), "{}", outcome(&told));
        let told = outcome(&told);
        assert!(told.contains(&format!("--otlp-endpoint {endpoint}")), "{told}");
        assert!(told.contains("as in http://collector:4318"), "{told}");
    }
}
