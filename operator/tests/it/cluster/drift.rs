//! Those who apply from a repository and compare again and again find nothing to do: with jobs and with what the charts
//! render; and all that we ship to them is taken by an API server that knows it.

use std::{fs, time::Duration};

use pf_e2e::Kubernetes;
use pf_operator::crd::Phase;
use serde_json::{Value, json};

use super::world::World;
use crate::{
    charts::{everything, objects, rendered, workspace},
    program::run,
};

const PATIENCE: Duration = Duration::from_mins(1);

/// How Argo CD calls itself.
const MANAGER: &str = "--field-manager=argocd-controller";

/// Runs kubectl with something on its standard input.
fn kubectl(input: &str, arguments: &[&str]) -> Result<String, String> {
    tokio::task::block_in_place(|| run(Kubernetes::shared().kubectl_command().args(arguments), input))
}

/// The objects of this text, as they are.
fn live(text: &str, given: &[&str]) -> Vec<Value> {
    let live = kubectl(text, &[&["get", "--output", "json"], given].concat()).unwrap();
    let live: Value = serde_json::from_str(&live).unwrap();
    live["items"].as_array().unwrap().clone()
}

/// Installs definitions of others, and waits until they are served.
fn know(files: &[&str]) {
    let folder = pf_e2e::tool("definitions");
    for file in files {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        kubectl(&text, &["apply", "--server-side", "--filename", "-"]).unwrap();
        let wait = ["wait", "--for=condition=Established", "--timeout=5s", "--filename", "-"];
        // One that has no condition at all yet is an error to kubectl.
        pf_e2e::until(&format!("{file} is served"), PATIENCE, || kubectl(&text, &wait).ok());
    }
}

/// Namespaces that examples name.
fn be_there(namespaces: &[&str]) {
    for namespace in namespaces {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        kubectl(&object.to_string(), &["apply", "--server-side", "--filename", "-"]).unwrap();
    }
}

/// The path of something that is wished for and that the API server keeps otherwise: what compares files with objects would
/// find it for ever.
fn differs(wished: &Value, live: &Value) -> Option<String> {
    match (wished, live) {
        (Value::Object(wished), Value::Object(live)) => wished.iter().find_map(|(name, wished)| {
            let inner = live
                .get(name)
                .map_or(Some(String::new()), |live| differs(wished, live))?;
            Some(format!("{name}.{inner}"))
        }),
        (Value::Array(wished), Value::Array(live)) if wished.len() == live.len() => {
            let mut pairs = wished.iter().zip(live).enumerate();
            pairs.find_map(|(at, (wished, live))| differs(wished, live).map(|inner| format!("{at}.{inner}")))
        }
        _ if wished == live => None,
        _ => Some(format!("{wished} is {live}")),
    }
}

/// Applies, and compares as Argo CD does, by a dry run and field by field.
#[track_caller]
fn stays(text: &str) {
    let given = ["--filename", "-"];
    kubectl(text, &[&["apply", "--server-side", MANAGER], &given[..]].concat()).unwrap();
    kubectl(text, &[&["diff", "--server-side", MANAGER], &given[..]].concat()).unwrap();
    let (mut wished, live) = (objects(text), live(text, &given));
    // Pods get more from every cluster; this one is a hook of Helm's, which nobody compares.
    wished
        .iter_mut()
        .filter(|object| object["kind"] == "Pod")
        .for_each(|pod| {
            pod["spec"] = json!({});
        });
    assert_eq!(wished.len(), live.len());
    for (wished, live) in wished.iter().zip(&live) {
        let differs = differs(wished, live);
        assert_eq!(differs, None, "{} {}", wished["kind"], wished["metadata"]["name"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_charts_render_stays_as_it_was_applied() {
    let world = World::new("charts").await;
    know(&[
        "monitoring.coreos.com_servicemonitors.yaml",
        "monitoring.coreos.com_podmonitors.yaml",
        "monitoring.coreos.com_prometheusrules.yaml",
    ]);
    be_there(&["logs"]);
    // With a name of their own, because roles of clusters are for all tests.
    for (release, text) in [("one", everything()), ("two", rendered(&["pf-operator"]))] {
        let text = text.replace("paraflow-pf-operator", &format!("{}-{release}", world.namespace));
        stays(&text);
        kubectl(&text, &["delete", "--timeout=60s", "--filename", "-"]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_stays_as_it_was_applied_while_it_works_and_when_it_is_over() {
    let mut world = World::new("applied").await;
    let job = world.job("logs");
    let namespace = world.namespace.clone();
    let given = ["--namespace", &namespace, "--filename", "-"];
    let text = job.to_string();
    let server_side = [&["apply", "--server-side", MANAGER], &given[..]].concat();
    let compare = |when: &str| {
        let different = kubectl(&text, &[&["diff", "--server-side", MANAGER], &given[..]].concat());
        assert!(different.is_ok(), "{when}: {different:?}");
        let live = live(&text, &given).remove(0);
        assert_eq!(differs(&job, &live), None, "{when}");
        live["metadata"]["resourceVersion"].clone()
    };
    kubectl(&text, &server_side).unwrap();
    compare("new");
    world
        .until("logs", |job| {
            job.status.as_ref().and_then(|status| status.phase) == Some(Phase::Running)
        })
        .await;
    compare("at work");
    world.until_phase("logs", Phase::Complete).await;
    world
        .until("logs", |job| job.status.as_ref().unwrap().workers == Some(0))
        .await;
    let over = compare("over");
    kubectl(&text, &server_side).unwrap();
    assert_eq!(compare("applied again"), over, "to apply it again is no write");

    // Without server-side apply, the first time leaves a note of what was applied; the second time there is nothing to do.
    let client_side = [&["apply"], &given[..]].concat();
    kubectl(&text, &client_side).unwrap();
    let again = kubectl(&text, &client_side).unwrap();
    assert!(again.contains("unchanged"), "{again}");
    assert!(kubectl(&text, &[&["diff"], &given[..]].concat()).is_ok());
    world.step("logs").await.unwrap();
    assert_eq!(
        world.status("logs").await.phase,
        Some(Phase::Complete),
        "what is over stays over"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_ship_for_repositories_is_taken_by_a_cluster_that_knows_it() {
    World::new("examples").await;
    know(&[
        "application-crd.yaml",
        "kustomize.toolkit.fluxcd.io_kustomizations.yaml",
        "source.toolkit.fluxcd.io_gitrepositories.yaml",
        "helm.toolkit.fluxcd.io_helmreleases.yaml",
    ]);
    be_there(&["argocd", "flux-system", "ingest", "logs", "paraflow"]);
    let try_it = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
    ];
    let docs = workspace().join("docs/gitops");
    for file in [
        "argocd/applications.yaml",
        "argocd/argocd-cm.yaml",
        "flux/paraflow.yaml",
        "flux/jobs.yaml",
    ] {
        let text = fs::read_to_string(docs.join(file)).unwrap();
        let taken = kubectl(&text, &[&try_it[..], &["--filename", "-"]].concat());
        assert!(taken.is_ok(), "{file}: {taken:?}");
        // A path that an example names is one of ours.
        for path in text.lines().filter_map(|line| line.trim().strip_prefix("path: ")) {
            assert!(workspace().join(path).is_dir(), "{file}: {path} is nowhere");
        }
    }
    for folder in ["deploy", "docs/gitops/kustomize", "docs/gitops/jobs"] {
        let folder = workspace().join(folder);
        let taken = kubectl("", &[&try_it[..], &["--kustomize", folder.to_str().unwrap()]].concat());
        assert!(taken.is_ok(), "{taken:?}");
    }
}
