//! The charts: what they render, what they refuse, and that the operator can live by the roles that they give it.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use expect_test::expect_file;
use http::Method;
use pf_e2e::Kubernetes;
use pf_operator::crd::Phase;
use serde_json::{Value, json};

use super::{
    spy::Spy,
    world::{World, client_of, controller_as},
};
use crate::program::text;

fn room() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn helm(arguments: &[&str]) -> Output {
    let mut helm = Command::new(pf_e2e::tool("helm"));
    helm.args(arguments)
        .current_dir(room().join("../charts"))
        .output()
        .unwrap()
}

fn rendered(arguments: &[&str]) -> String {
    let output = helm(&[&["template", "paraflow"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

fn golden(name: &str) -> PathBuf {
    room().join("tests/golden/chart").join(name)
}

#[test]
fn the_charts_render_as_agreed() {
    expect_file![golden("cluster-wide.yaml")].assert_eq(&rendered(&["pf-operator", "--namespace", "paraflow"]));
    let one = [
        "pf-operator",
        "--namespace",
        "paraflow",
        "--set",
        "watchNamespace=logs,replicas=1",
    ];
    expect_file![golden("one-namespace.yaml")].assert_eq(&rendered(&one));
    for chart in ["pf-operator", "pf-operator-crds"] {
        let linted = helm(&["lint", "--strict", chart]);
        assert!(linted.status.success(), "{}", text(&linted.stdout));
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    for (values, told) in [
        ("replicas=0", "replicas"),
        ("replicaCount=2", "replicaCount"),
        ("lookEvery=soon", "lookEvery"),
        ("image.repository=", "repository"),
    ] {
        let refused = helm(&["template", "paraflow", "pf-operator", "--set", values]);
        assert!(!refused.status.success(), "{values} is taken");
        assert!(text(&refused.stderr).contains(told), "{}", text(&refused.stderr));
    }
}

#[test]
fn the_definition_of_the_chart_is_the_generated_one_and_stays() {
    let of_chart: Value = serde_yaml::from_str(&rendered(&["pf-operator-crds"])).unwrap();
    let generated = std::fs::read_to_string(room().join("../crds/ingestjobs.paraflow.dev.yaml")).unwrap();
    let generated: Value = serde_yaml::from_str(&generated).unwrap();
    assert_eq!(of_chart["spec"], generated["spec"]);
    assert_eq!(of_chart["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
}

/// A call as a rule of a role names it: group, resource, verb.
fn rule_of(method: &Method, path: &str) -> (String, String, String) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts[0] {
        "api" => ("", &parts[2..]),
        _ => (parts[1], &parts[3..]),
    };
    let rest = if rest[0] == "namespaces" { &rest[2..] } else { rest };
    let resource = match rest.get(2) {
        Some(sub) => format!("{}/{sub}", rest[0]),
        None => rest[0].to_owned(),
    };
    let verb = match (method.as_str(), rest.len()) {
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        other => panic!("{other:?}"),
    };
    (group.to_owned(), resource, verb.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_lives_by_the_roles_of_the_chart_and_needs_all_of_them() {
    let mut world = World::new("roles").await;
    let namespace = world.namespace.clone();
    let objects = rendered(&["pf-operator", "--namespace", &namespace]);
    let kubectl = |arguments: &[&str], given: &str| {
        tokio::task::block_in_place(|| {
            let mut kubectl = Kubernetes::shared().kubectl_command();
            kubectl.args(["--namespace", &namespace]).args(arguments);
            let mut kubectl = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            kubectl.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
            let output = kubectl.wait_with_output().unwrap();
            assert!(output.status.success(), "{arguments:?}");
            text(&output.stdout).trim().to_owned()
        })
    };
    kubectl(&["apply", "--filename", "-"], &objects);
    let token = kubectl(&["create", "token", "paraflow-pf-operator"], "");
    let spy = Spy::default();
    world.controller = controller_as(client_of(&token, &spy).await);
    world.spy = spy.clone();

    // A life with all that a job can need of the API server: a Secret, rest, a proof, an end.
    kubectl(&["create", "secret", "generic", "es", "--from-literal=api-key=abc"], "");
    let mut job = world.job("logs");
    job["spec"]["sink"] = json!({"elasticsearch": {
        "urls": ["http://es:9200"], "index": "logs", "auth": {"apiKey": {"name": "es", "key": "api-key"}},
    }});
    world.create(&job).await;
    while !world.children().await.iter().any(|child| child == "Job logs-discover") {
        world.step("logs").await.unwrap();
    }
    for rests in [true, false] {
        world.change("logs", &json!({"spec": {"suspend": rests}})).await;
        world.step("logs").await.unwrap();
    }
    world.until_phase("logs", Phase::Complete).await;
    world.delete("logs").await;

    let mut called: BTreeSet<_> = spy.calls().iter().map(|(method, path)| rule_of(method, path)).collect();
    // Who applies what is not there makes it.
    let applied = called
        .iter()
        .filter(|rule| rule.2 == "patch" && !rule.1.contains('/') && rule.1 != "jobs");
    let made: Vec<_> = applied
        .map(|(group, resource, _)| (group.clone(), resource.clone(), "create".to_owned()))
        .collect();
    called.extend(made);
    let mut allowed = BTreeSet::new();
    for document in serde_yaml::Deserializer::from_str(&objects) {
        let object = <Value as serde::Deserialize>::deserialize(document).unwrap();
        if object["kind"] != "ClusterRole" {
            continue;
        }
        let list = |rule: &Value, name: &str| -> Vec<String> {
            rule[name]
                .as_array()
                .unwrap()
                .iter()
                .map(|text| text.as_str().unwrap().to_owned())
                .collect()
        };
        for rule in object["rules"].as_array().unwrap() {
            for resource in list(rule, "resources") {
                for verb in list(rule, "verbs") {
                    // Streams are watched by the program, and finalizers are for a check of the API server.
                    if verb != "watch" && resource != "ingestjobs/finalizers" {
                        allowed.insert((list(rule, "apiGroups")[0].clone(), resource.clone(), verb));
                    }
                }
            }
        }
    }
    let unused: Vec<_> = allowed.difference(&called).collect();
    // The program lists these to watch them.
    let listed = |rule: &&&(String, String, String)| {
        rule.2 == "list" && ["deployments", "ingestjobs"].contains(&rule.1.as_str())
    };
    let unused: Vec<_> = unused
        .iter()
        .filter(|rule| !listed(rule) && rule.1 != "events")
        .collect();
    assert!(unused.is_empty(), "rules that nothing needs: {unused:?}");
}
