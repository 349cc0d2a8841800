//! What people look at and are woken by: every query of the dashboard and of the alerts runs against a Prometheus that
//! scraped an operator and a worker at work.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use pf_e2e::{Elasticsearch, Kubernetes, Prometheus, Sqs, prometheus::Target};
use serde_json::{Value, json};

use super::{definition, flow::Flow, running::Running};
use crate::it::programs::{command, generate, workspace};

/// How long it may take until Prometheus has seen enough of everything.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the chart renders with all that watches over it.
fn rendered() -> Vec<Value> {
    let mut helm = Command::new(pf_e2e::tool("helm"));
    helm.args(["template", "paraflow", "pf-operator", "--namespace", "paraflow"]);
    for what in ["serviceMonitor", "podMonitor", "prometheusRule", "dashboard"] {
        helm.args(["--set", &format!("{what}.enabled=true")]);
    }
    let output = helm.current_dir(workspace().join("charts")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = text.trim_start_matches("---\n").split("\n---\n");
    documents
        .map(|document| serde_yaml::from_str(document).unwrap())
        .collect()
}

/// The expressions of the dashboard's panels, with what Grafana would put into them.
fn panels(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let written = targets.map(|target| target["expr"].as_str().unwrap());
    let put = |expression: &str| {
        let put = expression.replace("$__rate_interval", "15s").replace("$__range", "1m");
        put.replace("\"$namespace\"", "\".*\"").replace("\"$job\"", "\".*\"")
    };
    written.map(put).collect()
}

/// The variables that a person chooses by, as queries that have an answer where there is a choice.
fn variables(dashboard: &Value) -> Vec<String> {
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let asked = variables.filter_map(|variable| variable["query"]["query"].as_str());
    let query = |asked: &str| {
        let inner = asked
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let (metric, label) = inner.unwrap().rsplit_once(", ").unwrap();
        format!("count by ({label}) ({})", metric.replace("\"$namespace\"", "\".+\""))
    };
    asked.map(query).collect()
}

/// The expressions of the alerts.
fn alerts(rules: &Value) -> Vec<String> {
    let groups = rules["spec"]["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules.map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect()
}

/// The names of our metrics in an expression.
fn names(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|character: char| !(character.is_ascii_lowercase() || character == '_'));
    words
        .filter(|word| word.starts_with("pf_") || word.starts_with("process_"))
        .collect()
}

/// An operator that cares for a job whose discoverer runs.
fn operator(folder: &std::path::Path) -> Running {
    let cluster = Kubernetes::shared();
    let crd = workspace().join("crds/ingestjobs.paraflow.dev.yaml");
    let apply = |file: &str| {
        let applied = cluster.kubectl(["apply", "--server-side", "--filename", file]);
        applied.status.success()
    };
    assert!(apply(crd.to_str().unwrap()));
    let job = json!({
        "apiVersion": "paraflow.dev/v1alpha1",
        "kind": "IngestJob",
        "metadata": {"name": "dashboard", "namespace": cluster.make_namespace("dashboard")},
        "spec": {
            "source": {"s3": {"bucket": "logs"}},
            "queue": {"sqs": {"endpoint": Sqs::shared().endpoint(), "region": Sqs::REGION}},
            "state": {"uri": "s3://state/jobs"},
            "sink": {"stats": {}},
        },
    });
    let file = folder.join("job.json");
    fs::write(&file, job.to_string()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !apply(file.to_str().unwrap()) {
        assert!(Instant::now() < deadline, "the definition is not served");
        sleep(Duration::from_millis(100));
    }
    let mut operator = command(
        "pf-operator",
        &["run", "--image", "paraflow:test", "--look-every", "200ms"],
    );
    operator
        .env("KUBECONFIG", cluster.kubeconfig())
        .envs(Sqs::shared().environment());
    let mut operator = Running::start(operator, folder, "operator.log");
    operator.wait_for(|metrics| metrics.sum("pf_queue_reads_total") > 3);
    operator
}

#[test]
fn every_query_of_the_dashboard_and_of_the_alerts_is_answered() {
    let server = Elasticsearch::shared();
    let folder = tempfile::tempdir().unwrap();
    let objects = folder.path().join("objects");
    generate(&objects, &["--records", "8000", "--objects", "8", "--format", "all"]);
    let flow = Flow::of("dashboard", &objects, server.api(), 30, 5);
    server.api().create_index(&flow.index, &definition());
    let operator = operator(folder.path());
    let worker = flow.endless_worker(&server.endpoint(), &["--threads", "2"]);
    let mut worker = Running::start(worker, folder.path(), "worker.log");
    let target = |job: &str, running: &Running, labels: &[(&str, &str)]| Target {
        job: job.to_owned(),
        address: running.address().to_string(),
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    // As Prometheus' operator would label them, by the two monitors.
    let prometheus = Prometheus::start(&[
        target(
            "paraflow-pf-operator-metrics",
            &operator,
            &[("namespace", "paraflow"), ("pod", "operator-1")],
        ),
        target(
            "paraflow/paraflow-pf-operator-workers",
            &worker,
            &[
                ("namespace", "logs"),
                ("pod", "worker-1"),
                ("paraflow_dev_job", "dashboard"),
                ("paraflow_dev_role", "worker"),
            ],
        ),
    ]);
    flow.discover(&[]);
    worker.wait_for(|metrics| metrics.sum("pf_items_completed_total") >= 8);

    let rendered = rendered();
    let of_kind = |kind: &str| rendered.iter().find(|object| object["kind"] == kind).unwrap();
    let dashboard = of_kind("ConfigMap")["data"]["paraflow.json"].as_str().unwrap();
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let mut shown = panels(&dashboard);
    shown.extend(variables(&dashboard));
    assert!(shown.len() > 40, "{}", shown.len());
    let deadline = Instant::now() + PATIENCE;
    for query in &shown {
        loop {
            let result = prometheus
                .query(query)
                .unwrap_or_else(|error| panic!("{query}: {error}"));
            if !result.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "{query} shows nothing");
            sleep(Duration::from_millis(200));
        }
    }
    let read = prometheus.query("sum(pf_records_in_total{namespace=\"logs\", paraflow_dev_job=\"dashboard\"})");
    assert_eq!(read.unwrap()[0]["value"][1], "8000");
    let jobs = prometheus.query("sum(pf_jobs{phase=\"Discovering\"})").unwrap();
    assert_eq!(jobs[0]["value"][1], "1");

    let alerts = alerts(of_kind("PrometheusRule"));
    assert!(alerts.len() > 10);
    let known = prometheus.names();
    for query in alerts.iter().chain(&shown) {
        for name in names(query) {
            assert!(known.iter().any(|known| known == name), "nobody counts {name}: {query}");
        }
    }
    for query in &alerts {
        // All is well here.
        let fires = prometheus
            .query(query)
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(fires, [] as [Value; 0], "{query}");
    }
    assert_eq!(worker.stop(), Some(0), "{}", worker.said());
}
