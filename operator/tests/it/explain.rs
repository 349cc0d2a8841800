//! `explain`: what would be made of a job is told before anybody makes it.

use std::{fs, path::Path};

use expect_test::{expect, expect_file};

use crate::program::{operator, outcome, text};

const JOB: &str = "\
apiVersion: paraflow.dev/v1alpha1
kind: IngestJob
metadata: {name: logs, namespace: ingest}
spec:
  source: {s3: {bucket: logs, prefix: 2024/}}
  state: {uri: 's3://logs-state/jobs'}
  sink:
    elasticsearch:
      urls: ['https://es:9200']
      index: logs
      auth: {basic: {name: es-user}}
      ca: {name: es-ca, key: ca.crt}
  workers:
    max: 20
    threads: 8
    podTemplate: {spec: {serviceAccountName: ingest, nodeSelector: {disk: fast}}}
";

fn explain(job: &str) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("job.yaml"), job).unwrap();
    let mut command = operator();
    command.args(["explain", "-f", "job.yaml", "--image", "paraflow:1"]);
    command.current_dir(folder.path()).output().unwrap()
}

#[test]
fn a_job_is_explained_by_steps_permissions_and_objects() {
    let output = explain(JOB);
    assert!(output.status.success(), "{}", outcome(&output));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explain.yaml");
    expect_file![golden].assert_eq(text(&output.stdout));
}

#[test]
fn what_a_cluster_cannot_run_is_told_with_its_line() {
    let job = JOB
        .replace("  state: {uri: 's3://logs-state/jobs'}\n", "")
        .replace("{spec: {serviceAccountName", "{spec: {serviceAcountName");
    let output = explain(&job);
    assert_eq!(output.status.code(), Some(64), "{}", outcome(&output));
    expect![[r#"
        pf-operator: job.yaml:4:1: spec.state: is needed in a cluster: nothing but its books proves that a job is done
    "#]]
    .assert_eq(text(&output.stderr));
    let output = explain(&JOB.replace("serviceAccountName", "serviceAcountName"));
    assert_eq!(output.status.code(), Some(64), "{}", outcome(&output));
    expect![[r#"
        pf-operator: job.yaml:16:5: spec.workers.podTemplate: pods have no field spec.serviceAcountName
    "#]]
    .assert_eq(text(&output.stderr));
}
