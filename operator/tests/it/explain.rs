//! `explain`: what would be made of a job is told before anybody makes it.

use std::{collections::BTreeSet, fs, path::Path};

use expect_test::{expect, expect_file};
use serde_json::Value;

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
  errorBudget: {rejectedRecords: 100, rejectedPercent: 1}
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
fn what_the_operator_must_be_allowed_is_what_the_charts_role_allows() {
    let with_all = JOB.replace(
        "nodeSelector: {disk: fast}",
        "containers: [{name: worker, envFrom: [{configMapRef: {name: settings}}]}]",
    );
    let output = explain(&with_all);
    assert!(output.status.success(), "{}", outcome(&output));
    let explained = text(&output.stdout);
    assert!(
        explained.contains("# The namespace ingest must have the ConfigMap settings\n"),
        "{explained}"
    );
    let line = explained
        .lines()
        .find(|line| line.contains("Kubernetes must allow the operator"));
    let (_, line) = line.unwrap().split_once("role does: ").unwrap();
    let explained: BTreeSet<String> = line
        .trim_end_matches(')')
        .split("), ")
        .map(|permission| {
            let (resource, verbs) = permission.split_once(" (").unwrap();
            // Names follow where only those are read that are named.
            format!("{}: {verbs}", resource.split(' ').next().unwrap())
        })
        .collect();

    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chart/cluster-wide.yaml");
    let rendered = fs::read_to_string(golden).unwrap();
    let role = rendered
        .split("\n---\n")
        .find(|object| object.contains("\nkind: ClusterRole\n"));
    let role: Value = serde_yaml::from_str(role.unwrap()).unwrap();
    let list = |value: &Value| -> Vec<String> {
        let items = value.as_array().unwrap().iter();
        items.map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let rules = role["rules"].as_array().unwrap().iter();
    let allowed = rules.flat_map(|rule| {
        let verbs = list(&rule["verbs"]).join(", ");
        list(&rule["resources"])
            .into_iter()
            .map(move |resource| format!("{resource}: {verbs}"))
    });
    assert_eq!(explained, allowed.collect());
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
        pf-operator: job.yaml:17:5: spec.workers.podTemplate: pods have no field spec.serviceAcountName
    "#]]
    .assert_eq(text(&output.stderr));
}

/// What an explanation says of permissions and Secrets.
fn permissions(credentials: &str) -> String {
    let queue = format!("  queue: {{sqs: {{credentials: {credentials}}}}}\n  sink:");
    let output = explain(&JOB.replacen("  sink:", &queue, 1));
    assert!(output.status.success(), "{}", outcome(&output));
    let says = |line: &&str| line.contains("AWS must allow") || line.contains("must have the Secret");
    let lines: Vec<&str> = text(&output.stdout).lines().filter(says).collect();
    lines.join("\n") + "\n"
}

#[test]
fn who_must_be_allowed_what_depends_on_the_credentials_of_the_queue() {
    expect![[r#"
        # AWS must allow the key in the Secret aws, with which the operator asks: sqs:GetQueueAttributes, sqs:CreateQueue, sqs:TagQueue, sqs:DeleteQueue
        # AWS must allow the same key, with which discoverer pods sign: s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject (state), sqs:GetQueueAttributes, sqs:SendMessage, sqs:ReceiveMessage and sqs:ChangeMessageVisibility (dead letters)
        # AWS must allow the same key, with which worker pods sign: s3:GetObject, s3:ListBucket, s3:PutObject and s3:DeleteObject (state), sqs:GetQueueAttributes, sqs:ReceiveMessage, sqs:ChangeMessageVisibility, sqs:DeleteMessage, sqs:SendMessage (what is given back says how often it was tried), sqs:GetQueueUrl and sqs:SendMessage (dead letters)
        # The namespace ingest must have the Secret es-ca with ca.crt
        # The namespace ingest must have the Secret es-user with password, username
        # The namespace ingest must have the Secret aws with accessKeyId, secretAccessKey
    "#]]
    .assert_eq(&permissions("{secret: {name: aws}}"));
    expect![[r#"
        # AWS must allow the operator: sts:AssumeRole of arn:aws:iam::123456789012:role/queues, with the external ID ingest/logs
        # AWS must allow that role: sqs:GetQueueAttributes, sqs:CreateQueue, sqs:TagQueue, sqs:DeleteQueue
        # AWS must allow discoverer pods: s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject (state), sqs:GetQueueAttributes, sqs:SendMessage, sqs:ReceiveMessage and sqs:ChangeMessageVisibility (dead letters)
        # AWS must allow worker pods: s3:GetObject, s3:ListBucket, s3:PutObject and s3:DeleteObject (state), sqs:GetQueueAttributes, sqs:ReceiveMessage, sqs:ChangeMessageVisibility, sqs:DeleteMessage, sqs:SendMessage (what is given back says how often it was tried), sqs:GetQueueUrl and sqs:SendMessage (dead letters)
        # The namespace ingest must have the Secret es-ca with ca.crt
        # The namespace ingest must have the Secret es-user with password, username
    "#]]
    .assert_eq(&permissions("{roleArn: 'arn:aws:iam::123456789012:role/queues'}"));
}

#[test]
fn whatever_a_job_says_reaches_its_programs_as_it_is() {
    // Kubernetes would put the key in its place.
    let text_of_user = "$(AWS_SECRET_ACCESS_KEY)$$";
    let job = format!(
        "\
apiVersion: paraflow.dev/v1alpha1
kind: IngestJob
metadata: {{name: logs, namespace: ingest}}
spec:
  source:
    s3: {{bucket: logs, prefix: '{text_of_user}/', requesterPays: true}}
    partitioning: 'a{text_of_user}/${{x}}/'
    filters: ['x={text_of_user}']
    pattern: '{text_of_user}*'
  queue: {{sqs: {{url: 'https://sqs.eu-central-1.amazonaws.com/1/q'}}}}
  columns: ['{text_of_user}']
  where: a = '{text_of_user}'
  state: {{uri: 's3://state/{text_of_user}/'}}
  sink:
    elasticsearch: {{urls: ['https://es:9200'], index: logs, pipeline: '{text_of_user}', id: {{mode: field, field: '{text_of_user}'}}}}
"
    );
    let output = explain(&job);
    assert!(output.status.success(), "{}", outcome(&output));
    let mut seen = 0;
    let mut payers = 0;
    for document in text(&output.stdout).split("\n---\n") {
        let object: Value = serde_yaml::from_str(document).unwrap();
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        for argument in containers
            .into_iter()
            .flatten()
            .flat_map(|one| one["args"].as_array().unwrap())
        {
            let argument = argument.as_str().unwrap();
            payers += u32::from(argument == "--request-payer");
            if argument.contains("AWS_SECRET_ACCESS_KEY") {
                seen += 1;
                let verbatim = argument.matches("$$(AWS_SECRET_ACCESS_KEY)$$").count();
                assert_eq!(
                    verbatim,
                    argument.matches("AWS_SECRET_ACCESS_KEY").count(),
                    "{argument}"
                );
                assert!(!argument.replace("$$", "").contains("$("), "{argument}");
            }
        }
    }
    assert!(
        seen >= 14,
        "each of these fields is an argument of some program, but {seen} are seen"
    );
    assert_eq!(payers, 4, "discoverer, workers, verify and redrive");
}
