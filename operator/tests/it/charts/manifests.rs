//! The plain manifests: what the chart renders, in a folder that kustomize takes.

use expect_test::expect_file;
use serde_json::Value;

use super::{helm, objects, of_kind, workspace};
use crate::program::text;

/// What the chart renders, without what only Helm understands.
fn plain() -> String {
    let output = helm(&["template", "pf-operator", "pf-operator", "--namespace", "paraflow"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let documents = text(&output.stdout).split("---\n").filter(|document| {
        let is_hook = document.contains("helm.sh/hook");
        !is_hook && document.lines().any(|line| line.starts_with("kind:"))
    });
    let lines = documents.flat_map(|document| {
        let of_helm =
            |line: &&str| line.trim() != "app.kubernetes.io/managed-by: Helm" && !line.starts_with("# Source:");
        ["---"].into_iter().chain(document.lines().filter(of_helm))
    });
    let head = "# What charts/pf-operator renders; UPDATE_EXPECT=1 renews it.";
    let mut text = [head].into_iter().chain(lines).collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

/// What kustomize makes of a folder.
fn kustomized(folder: &str) -> Vec<Value> {
    let mut kubectl = std::process::Command::new(pf_e2e::tool("kubectl"));
    let made = kubectl.arg("kustomize").arg(workspace().join(folder)).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    objects(text(&made.stdout))
}

#[test]
fn the_plain_manifests_are_what_the_chart_renders() {
    expect_file![workspace().join("deploy/operator.yaml")].assert_eq(&plain());
}

#[test]
fn kustomize_takes_the_manifests_and_sets_namespace_and_both_images() {
    for (folder, namespace, image) in [
        ("deploy", "paraflow", "paraflow:0.1.0"),
        ("docs/gitops/kustomize", "ingest", "registry.example.com/paraflow:1.2.3"),
    ] {
        let made = kustomized(folder);
        assert_eq!(of_kind(&made, "Namespace")["metadata"]["name"], namespace);
        of_kind(&made, "CustomResourceDefinition");
        let operator = of_kind(&made, "Deployment");
        assert_eq!(operator["metadata"]["namespace"], namespace);
        let container = &operator["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], image);
        let variables = container["env"].as_array().unwrap();
        let of_jobs = variables
            .iter()
            .find(|variable| variable["name"] == "PF_IMAGE")
            .unwrap();
        assert_eq!(
            of_jobs["value"], image,
            "the pods of jobs have another image in {folder}"
        );
        let bound = made
            .iter()
            .flat_map(|object| object["subjects"].as_array().into_iter().flatten());
        let bound: Vec<&Value> = bound.map(|subject| &subject["namespace"]).collect();
        assert_eq!(bound, [namespace; 2], "roles are bound to somebody else in {folder}");
    }
}
