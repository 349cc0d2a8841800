//! The rules of the schema, as the API server will hold them, over a job's life.

use std::path::PathBuf;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use pf_operator::{
    controller::{life::STATE_IN_USE, status::Draft},
    crd::{IngestJob, IngestJobStatus},
    job_file::JobFile,
    validate::update_rules,
};

const JOB: &str = "\
apiVersion: paraflow.dev/v1alpha1
kind: IngestJob
metadata: {name: logs}
spec:
  source: {s3: {bucket: my-bucket}}
  queue: {sqs: {url: 'https://sqs.eu-central-1.amazonaws.com/1/logs'}}
  sink: {stats: {}}
  state: {uri: 's3://my-bucket/state/'}
  workers: {max: 4}
";

fn job(text: String) -> IngestJob {
    JobFile::parse(text, "job.yaml".to_owned(), PathBuf::new()).unwrap().job
}

fn started(mut job: IngestJob) -> IngestJob {
    let at = "2024-01-01T00:00:00Z".parse().unwrap();
    job.status = Some(IngestJobStatus {
        started_at: Some(Time(at)),
        ..IngestJobStatus::default()
    });
    job
}

#[test]
fn what_a_started_job_reads_and_writes_is_fixed() {
    for (field, old, new) in [
        ("source", "bucket: my-bucket", "bucket: another"),
        ("sink", "stats: {}", "stdout: {}"),
        ("queue", "/1/logs", "/1/others"),
        (
            "queue",
            "  queue: {sqs: {url: 'https://sqs.eu-central-1.amazonaws.com/1/logs'}}\n",
            "",
        ),
        ("state", "/state/", "/elsewhere/"),
        ("state", "  state: {uri: 's3://my-bucket/state/'}\n", ""),
        ("state", "/state/'", "/state/', region: eu-central-1"),
        ("state", "/state/'", "/state/', endpoint: 'http://minio:9000'"),
        ("columns", "  workers:", "  columns: [a]\n  workers:"),
        ("where", "  workers:", "  where: a = 1\n  workers:"),
        ("transform", "  workers:", "  transform: {script: '1'}\n  workers:"),
        (
            "enrichment",
            "  workers:",
            "  enrichment: [{name: a, type: exact, configMap: {name: a, key: b}}]\n  workers:",
        ),
    ] {
        let before = job(JOB.to_owned());
        assert!(JOB.contains(old));
        let after = job(JOB.replace(old, new));
        assert_eq!(update_rules(&after, &before), [], "{field}: not started yet");
        let complaints = update_rules(&started(after), &started(before));
        assert_eq!(complaints.len(), 1, "{field}: {complaints:?}");
        assert!(complaints[0].message.contains(field), "{}", complaints[0]);
    }
}

#[test]
fn a_queue_is_asked_with_a_key_or_as_a_role() {
    let with = |credentials: &str| {
        let text = JOB.replace("/1/logs'", &format!("/1/logs', credentials: {credentials}"));
        JobFile::parse(text, "job.yaml".to_owned(), PathBuf::new())
    };
    let role = "arn:aws-cn:iam::123456789012:role/team/queues";
    for good in ["{secret: {name: aws}}".to_owned(), format!("{{roleArn: '{role}'}}")] {
        with(&good).unwrap();
    }
    for bad in ["{}".to_owned(), format!("{{secret: {{name: aws}}, roleArn: '{role}'}}")] {
        let told = with(&bad).unwrap_err().to_string();
        assert!(told.contains("give exactly one of secret and roleArn"), "{told}");
    }
    let before = started(job(JOB.to_owned()));
    let after = started(with("{secret: {name: aws}}").unwrap().job);
    assert_eq!(
        update_rules(&after, &before).len(),
        1,
        "as whom is fixed with the queue"
    );
}

#[test]
fn what_shapes_documents_may_change_with_another_run_once_the_job_is_over() {
    let over = |mut job: IngestJob| {
        let status = job.status.as_mut().unwrap();
        status.completed_at = status.started_at.clone();
        job
    };
    let with = |more: &str| started(job(JOB.replace("  workers:", &format!("{more}  workers:"))));
    let before = with("  columns: [a]\n");
    let another_run = "  columns: [b]\n  where: a = 1\n  restartNonce: x\n";
    assert_ne!(update_rules(&with(another_run), &before), [], "it is at work");
    assert_eq!(update_rules(&over(with(another_run)), &over(before.clone())), []);
    let same_run = over(with("  columns: [b]\n"));
    assert_eq!(update_rules(&same_run, &over(before.clone())).len(), 1);
    let after = over(with("  columns: [b]\n  restartNonce: x\n"));
    let later = over(with("  columns: [c]\n  restartNonce: x\n"));
    assert_eq!(update_rules(&later, &after).len(), 1, "the nonce does not change");
    assert_eq!(
        update_rules(&over(with("  restartNonce: y\n")), &after),
        [],
        "and are none in the next"
    );
}

#[test]
fn where_books_are_another_jobs_the_place_may_change_and_whose_they_are_is_said_at_any_time() {
    let stalled = |mut job: IngestJob, reason: &str| {
        let mut draft = Draft::new(job.status.as_ref(), None, Timestamp::UNIX_EPOCH);
        draft.stalled(reason, "somebody else has them");
        job.status = Some(draft.status);
        job
    };
    let before = started(job(JOB.to_owned()));
    let elsewhere = started(job(JOB.replace("/state/", "/elsewhere/")));
    let resumed = started(job(JOB.replace("/state/'", "/state/', resume: true")));
    assert_eq!(update_rules(&resumed, &before), []);
    assert_eq!(update_rules(&before, &resumed), []);
    assert_eq!(update_rules(&elsewhere, &before).len(), 1);
    assert_eq!(update_rules(&elsewhere, &stalled(before.clone(), STATE_IN_USE)), []);
    assert_eq!(update_rules(&elsewhere, &stalled(before, "WorkersRefused")).len(), 1);
}

#[test]
fn the_number_of_workers_of_a_started_job_may_change() {
    let before = started(job(JOB.to_owned()));
    let after = started(job(JOB.replace("max: 4", "max: 8")));
    assert_eq!(update_rules(&after, &before), []);
}
