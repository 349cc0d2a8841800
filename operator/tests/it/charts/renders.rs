//! What is rendered, what is refused, and what the parts of a chart say of each other.

use expect_test::expect_file;
use pf_operator::controller::{build, names};
use serde_json::Value;

use super::{EVERYTHING, everything, golden, helm, objects, of_kind, rendered, workspace};
use crate::program::text;

#[test]
fn the_charts_render_as_agreed() {
    expect_file![golden("cluster-wide.yaml")].assert_eq(&rendered(&["pf-operator"]));
    let one = ["pf-operator", "--set", "watchNamespace=logs,replicas=1"];
    expect_file![golden("one-namespace.yaml")].assert_eq(&rendered(&one));
    expect_file![golden("everything.yaml")].assert_eq(&everything());
    let everything = golden(EVERYTHING);
    for arguments in [
        &["pf-operator"][..],
        &["pf-operator", "--values", everything.to_str().unwrap()],
        &["pf-operator-crds"],
    ] {
        let linted = helm(&[&["lint", "--strict"], arguments].concat());
        assert!(linted.status.success(), "{}", text(&linted.stdout));
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    for (chart, values, told) in [
        ("pf-operator", "replicas=0", "replicas"),
        ("pf-operator", "replicaCount=2", "replicaCount"),
        ("pf-operator", "lookEvery=soon", "lookEvery"),
        ("pf-operator", "image.repository=", "repository"),
        ("pf-operator", "image.name=paraflow", "name"),
        ("pf-operator", "watchNamespace=Logs", "watchNamespace"),
        ("pf-operator", "extraArgs[0]=run", "extraArgs"),
        ("pf-operator", "env[0].nam=A", "env"),
        ("pf-operator", "resources.request.cpu=1", "resources"),
        ("pf-operator", "serviceMonitor.enable=true", "serviceMonitor"),
        ("pf-operator", "podMonitor.interval=often", "podMonitor"),
        ("pf-operator", "networkPolicy.enabled=yes", "networkPolicy"),
        ("pf-operator", "prometheusRule.enabled=true", "serviceMonitor"),
        ("pf-operator-crds", "keep=false", "keep"),
    ] {
        let refused = helm(&["template", "paraflow", chart, "--set", values]);
        assert!(!refused.status.success(), "{chart} takes {values}");
        assert!(text(&refused.stderr).contains(told), "{}", text(&refused.stderr));
    }
}

#[test]
fn the_definition_of_the_chart_is_the_generated_one_and_stays() {
    let of_chart = of_kind(&objects(&rendered(&["pf-operator-crds"])), "CustomResourceDefinition");
    let generated = std::fs::read_to_string(workspace().join("crds/ingestjobs.paraflow.dev.yaml")).unwrap();
    let generated = of_kind(&objects(&generated), "CustomResourceDefinition");
    assert_eq!(of_chart["spec"], generated["spec"]);
    assert_eq!(of_chart["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
}

/// Whether all of these labels are on an object.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().unwrap();
    !selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value)
}

#[test]
fn monitors_services_and_policies_choose_the_pods_that_they_are_for() {
    let objects = objects(&everything());
    let operator = &of_kind(&objects, "Deployment")["spec"]["template"];
    let labels = &operator["metadata"]["labels"];
    let ports = &operator["spec"]["containers"][0]["ports"];
    assert_eq!(ports[0]["name"], "metrics");

    let service = of_kind(&objects, "Service");
    assert!(selects(&service["spec"]["selector"], labels));
    assert_eq!(service["spec"]["ports"][0]["targetPort"], ports[0]["name"]);
    let monitor = of_kind(&objects, "ServiceMonitor");
    let selector = &monitor["spec"]["selector"]["matchLabels"];
    assert!(selects(selector, &service["metadata"]["labels"]));
    assert_eq!(
        monitor["spec"]["endpoints"][0]["port"],
        service["spec"]["ports"][0]["name"]
    );
    let policy = of_kind(&objects, "NetworkPolicy");
    assert!(selects(&policy["spec"]["podSelector"]["matchLabels"], labels));
    // The pod of `helm test` must not be taken for an operator: neither by the Service nor by the budget.
    let test = of_kind(&objects, "Pod");
    assert!(!selects(&service["spec"]["selector"], &test["metadata"]["labels"]));
    let asked = &test["spec"]["containers"][0]["args"][1];
    assert_eq!(
        asked,
        &format!("{}:8080", service["metadata"]["name"].as_str().unwrap())
    );

    let workers = of_kind(&objects, "PodMonitor");
    let mut job = crate::gitops::job();
    job.metadata.uid = Some("a uid".to_owned());
    let plan = pf_operator::controller::life::plan(&job, &pf_operator::crd::QueueStatus::default()).unwrap();
    let place = names::Place { run: 1, round: 1 };
    let material = build::Material {
        plan: &plan,
        image: "paraflow:test",
        contents_hash: "",
        place,
    };
    let children = serde_json::to_value(build::children(&job, material).unwrap().workers).unwrap();
    let pod = &children["spec"]["template"];
    let pod_labels = &pod["metadata"]["labels"];
    assert!(selects(&workers["spec"]["selector"]["matchLabels"], pod_labels));
    let pod_ports = &pod["spec"]["containers"][0]["ports"];
    assert_eq!(workers["spec"]["podMetricsEndpoints"][0]["port"], pod_ports[0]["name"]);
    for label in workers["spec"]["podTargetLabels"].as_array().unwrap() {
        assert!(pod_labels[label.as_str().unwrap()].is_string(), "{label}");
    }
}
