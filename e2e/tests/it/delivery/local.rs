//! Job files with a queue, a state directory and a cluster that wants to know who comes, run by `pf-operator local`.

use std::{fs, path::Path};

use pf_e2e::{Elasticsearch, S3, Sqs};
use serde_json::json;

use super::{definition, flow::Flow, folder_of};
use crate::it::programs::{Outcome, command, generate, run_of};

/// The job file of a flow into the server with TLS and users; `auth` is what the file says of signing in.
fn job_file(flow: &Flow, auth: &str) -> String {
    let Flow {
        job,
        bucket,
        queue,
        index,
        s3_endpoint,
        sqs_endpoint,
    } = flow;
    let (region, url) = (S3::REGION, Elasticsearch::secured().endpoint());
    let (queue_url, dead_url) = (&queue.url, &queue.dead_letter_url);
    format!(
        "apiVersion: paraflow.dev/v1alpha1
kind: IngestJob
metadata:
  name: {job}
spec:
  source:
    s3: {{bucket: {bucket}, prefix: logs/, region: {region}, endpoint: '{s3_endpoint}'}}
  queue:
    sqs:
      url: {queue_url}
      deadLetterQueueUrl: {dead_url}
      endpoint: {sqs_endpoint}
      visibilityTimeoutSeconds: 60
  state: {{uri: 's3://{bucket}/state', region: {region}, endpoint: '{s3_endpoint}'}}
  sink:
    elasticsearch:
      urls: ['{url}']
      index: {index}
      ca: {{name: cluster, key: ca.crt}}
      auth: {auth}
"
    )
}

/// Runs the job, with what its Secrets have as files in a folder.
fn local(flow: &Flow, auth: &str, secrets: &[(&str, &str)]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.yaml");
    fs::write(&file, job_file(flow, auth)).unwrap();
    let ca = fs::read_to_string(Elasticsearch::secured().ca_file()).unwrap();
    for (name, text) in secrets.iter().chain(&[("cluster/ca.crt", ca.as_str())]) {
        let path = folder.path().join("secrets").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut command = command("pf-operator", &["local", "-f", file.to_str().unwrap()]);
    command.arg("--secrets").arg(folder.path().join("secrets"));
    // Credentials of S3 and SQS come from the person's own environment.
    command.envs(S3::shared().environment());
    run_of(command)
}

fn flow(name: &str, objects: &Path) -> Flow {
    let api = Elasticsearch::secured().api();
    let flow = Flow::of(name, objects, api, 60, 5);
    api.create_index(&flow.index, &definition());
    flow
}

#[test]
fn a_job_file_with_queue_state_and_an_api_key_runs_to_its_proven_end() {
    let server = Elasticsearch::secured();
    let folder = tempfile::tempdir().unwrap();
    generate(
        folder.path(),
        &["--records", "4000", "--objects", "20", "--format", "all"],
    );
    let flow = flow("local", folder.path());
    let auth = "{apiKey: {name: credentials, key: api-key}}";
    local(&flow, auth, &[("credentials/api-key", &server.api_key())]).success();

    server.api().refresh(&flow.index);
    assert_eq!(server.api().count(&flow.index), 4000);
    flow.assert_queue_is_empty();
    let (code, report) = flow.verify();
    assert_eq!(
        (code, &report["records_out"], &report["records_duplicate"]),
        (Some(0), &json!(4000), &json!(0)),
        "{report}"
    );
}

#[test]
fn a_job_file_with_name_and_password_and_bad_records_ends_with_dead_letters() {
    let server = Elasticsearch::secured();
    let folder = folder_of(&[r#"{"status":1}"#, "no json", r#"{"status":"none"}"#]);
    let flow = flow("local-basic", folder.path());
    let secrets = [
        ("user/username", Elasticsearch::USER),
        ("user/password", server.password()),
    ];
    let outcome = local(&flow, "{basic: {name: user}}", &secrets);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    server.api().refresh(&flow.index);
    assert_eq!(server.api().count(&flow.index), 1);
    flow.assert_queue_is_empty();
}

#[test]
fn a_job_file_with_a_wrong_password_fails_and_its_items_stay_in_the_queue() {
    let folder = folder_of(&["{}"]);
    let flow = flow("local-wrong", folder.path());
    let secrets = [("user/username", Elasticsearch::USER), ("user/password", "wrong")];
    let outcome = local(&flow, "{basic: {name: user}}", &secrets);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("401"), "{}", outcome.stderr);
    assert_eq!(Sqs::shared().depth(&flow.queue.url).visible, 1);
}

#[test]
fn an_item_that_the_redrive_policy_moved_is_a_dead_letter_of_the_job_and_not_missing() {
    let server = Elasticsearch::secured();
    let folder = folder_of(&["{}"]);
    fs::write(folder.path().join("b.ndjson"), "{}\n").unwrap();
    let flow = flow("local-moved", folder.path());
    // As if it had killed its workers: it lies there before anybody settles it.
    let delivers = [("index", flow.index.as_str()), ("urls", &server.endpoint())]
        .map(|(name, value)| format!("--delivers=sink.elasticsearch.{name}={value}"));
    flow.discover(&[&delivers[0], &delivers[1]]);
    let moved = Sqs::shared().all_bodies(&flow.queue.url);
    Sqs::shared().send(&flow.queue.url, &moved[0]);
    Sqs::shared().send(&flow.queue.dead_letter_url, &moved[1]);
    let auth = "{apiKey: {name: credentials, key: api-key}}";
    let outcome = local(&flow, auth, &[("credentials/api-key", &server.api_key())]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
}
