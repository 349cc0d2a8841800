//! Alerts, judged by promtool: each fires when it should, and is silent when all is well.

use std::{collections::BTreeSet, fs, path::Path};

use pf_e2e::prometheus::promtool;
use serde_json::{Value, json};

use super::{everything, objects, of_kind};
use crate::program::{outcome, text};

/// What Prometheus' operator makes of the two monitors (its documentation of `jobLabel` and of `PodMonitor`): the name of
/// the Service, and namespace and name of the `PodMonitor`.
const OPERATOR: &str = r#"job="paraflow-pf-operator-metrics", namespace="paraflow""#;
const WORKERS: &str = r#"job="paraflow/paraflow-pf-operator-workers", namespace="logs", paraflow_dev_job="access""#;

/// When all must be silent while all is well.
const MOMENTS: [&str; 4] = ["5m", "30m", "1h", "2h"];

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alerts").join(name);
    let file = fs::read_to_string(path).unwrap();
    let file = file.replace("OPERATOR", OPERATOR).replace("WORKERS", WORKERS);
    serde_yaml::from_str(&file).unwrap()
}

/// The groups of rules that the chart has.
fn groups() -> Value {
    of_kind(&objects(&everything()), "PrometheusRule")["spec"].clone()
}

fn rules(groups: &mut Value) -> impl Iterator<Item = &mut Value> {
    let groups = groups["groups"].as_array_mut().unwrap();
    groups
        .iter_mut()
        .flat_map(|group| group["rules"].as_array_mut().unwrap())
}

fn names(groups: &mut Value) -> BTreeSet<String> {
    rules(groups)
        .map(|rule| rule["alert"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn run(folder: &Path, arguments: &[&str]) {
    let judged = promtool(folder, arguments);
    assert!(judged.status.success(), "{}", outcome(&judged));
    assert!(text(&judged.stdout).contains("SUCCESS"), "{}", outcome(&judged));
}

#[test]
fn each_alert_fires_when_it_should_and_is_silent_when_all_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut groups = groups();
    let names = names(&mut groups);
    let write = |name: &str, value: &Value| fs::write(folder.path().join(name), value.to_string()).unwrap();
    write("rules.yaml", &groups);
    // With their texts, whose templates are tried too.
    run(folder.path(), &["check", "rules", "rules.yaml"]);

    let mut fires = read("fires.yaml");
    let tests = fires["tests"].as_array_mut().unwrap();
    let fired = tests
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap());
    let fired = fired.filter(|test| !test["exp_alerts"].as_array().unwrap().is_empty());
    let fired: BTreeSet<String> = fired
        .map(|test| test["alertname"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        fired, names,
        "an alert has no test that it fires, or a test has no alert"
    );

    let mut well = read("well.yaml");
    let silent = MOMENTS.iter().flat_map(|at| {
        names
            .iter()
            .map(move |name| json!({"eval_time": at, "alertname": name, "exp_alerts": []}))
    });
    well["alert_rule_test"] = silent.collect();
    tests.push(well);
    // promtool would want each text word by word.
    for rule in rules(&mut groups) {
        rule.as_object_mut().unwrap().remove("annotations");
    }
    write("rules.yaml", &groups);
    write("tests.yaml", &fires);
    run(folder.path(), &["test", "rules", "tests.yaml"]);
}

#[test]
fn each_alert_says_how_bad_it_is_and_what_to_do() {
    for rule in rules(&mut groups()) {
        let severity = rule["labels"]["severity"].as_str();
        assert!(["critical", "warning"].contains(&severity.unwrap()), "{rule}");
        for text in ["summary", "description"] {
            assert!(
                rule["annotations"][text].as_str().is_some_and(|text| text.len() > 10),
                "{rule}"
            );
        }
    }
}
