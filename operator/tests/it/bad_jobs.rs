//! A bad job file ends with one clear message and exit code 64, before anything runs.

use std::{fs, path::PathBuf};

use expect_test::{Expect, expect};
use pf_operator::job_file::JobFile;
use proptest::prelude::*;

use crate::program::{operator, outcome, text};

const GOOD: &str = "\
apiVersion: paraflow.dev/v1alpha1
kind: IngestJob
metadata:
  name: logs
spec:
  source:
    s3:
      bucket: my-bucket
  sink:
    stats: {}
";

/// The message for a good job with one text replaced by another.
#[track_caller]
fn check(replace: (&str, &str), expected: &Expect) {
    assert!(GOOD.contains(replace.0));
    check_text(&GOOD.replacen(replace.0, replace.1, 1), expected);
}

#[track_caller]
fn check_text(job: &str, expected: &Expect) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("job.yaml"), job).unwrap();
    let output = operator()
        .args(["local", "-f", "job.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", outcome(&output));
    assert!(output.stdout.is_empty(), "{}", outcome(&output));
    expected.assert_eq(text(&output.stderr));
}

#[test]
fn an_unknown_field_is_named_with_its_place_and_the_nearest_known_one() {
    check(
        ("      bucket:", "      regoin: eu\n      bucket:"),
        &expect![[r#"
        pf-operator: job.yaml:8:7: spec.source.s3.regoin: is no known field, did you mean `region`?
    "#]],
    );
    check(
        ("  sink:", "  colour: blue\n  sink:"),
        &expect![[r#"
        pf-operator: job.yaml:9:3: spec.colour: is no known field, did you mean `columns`?
    "#]],
    );
    check(
        ("stats: {}", "stats: {pretty: true}"),
        &expect![[r#"
        pf-operator: job.yaml:10:13: spec.sink.stats.pretty: is no known field: nothing can be set here, write {}
    "#]],
    );
}

#[test]
fn a_value_of_the_wrong_type_is_shown_with_the_right_type() {
    check(
        ("bucket: my-bucket", "bucket: 2024"),
        &expect![[r#"
        pf-operator: job.yaml:8:7: spec.source.s3.bucket: must be a string, in quotes, not `2024`
    "#]],
    );
    check(
        ("  sink:", "  columns: status\n  sink:"),
        &expect![[r#"
        pf-operator: job.yaml:9:3: spec.columns: must be a list, not `status`
    "#]],
    );
    check(
        ("  sink:", "  workers: {threads: many}\n  sink:"),
        &expect![[r#"
        pf-operator: job.yaml:9:13: spec.workers.threads: must be a whole number, not `many`
    "#]],
    );
    check(
        ("bucket: my-bucket", "bucket:"),
        &expect![[r#"
        pf-operator: job.yaml:8:7: spec.source.s3.bucket: must be a string, not nothing
    "#]],
    );
}

#[test]
fn what_is_missing_is_named() {
    check(
        ("      bucket: my-bucket", "      prefix: logs/"),
        &expect![[r#"
        pf-operator: job.yaml:7:5: spec.source.s3.bucket: is missing
    "#]],
    );
    check(
        ("  sink:\n    stats: {}\n", ""),
        &expect![[r#"
        pf-operator: job.yaml:5:1: spec.sink: is missing
    "#]],
    );
    check(
        ("metadata:\n  name: logs\n", ""),
        &expect![[r#"
        pf-operator: job.yaml:1:1: metadata.name: is missing: a job needs a name
    "#]],
    );
}

#[test]
fn a_value_out_of_bounds_is_shown_with_the_bound() {
    check(
        ("  sink:", "  workers: {threads: 0}\n  sink:"),
        &expect![[r#"
        pf-operator: job.yaml:9:13: spec.workers.threads: must be at least 1, not 0
    "#]],
    );
    check(
        ("  sink:", "  workers: {threads: 5000}\n  sink:"),
        &expect![[r#"
        pf-operator: job.yaml:9:13: spec.workers.threads: must be at most 1024, not 5000
    "#]],
    );
    check(
        ("bucket: my-bucket", "bucket: Not_A_Bucket"),
        &expect![[r#"
        pf-operator: job.yaml:8:7: spec.source.s3.bucket: must be the name of a bucket: lower-case letters, digits, `-` and `.`, as in `my-bucket`, not `Not_A_Bucket`
    "#]],
    );
    check(
        ("    s3:", "    minSize: 10 parsecs\n    s3:"),
        &expect![[r#"
        pf-operator: job.yaml:7:5: spec.source.minSize: must be a number of bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB right after it, as in `10MB`, not `10 parsecs`
    "#]],
    );
    check(
        ("    s3:", "    format: csv\n    s3:"),
        &expect![[r#"
        pf-operator: job.yaml:7:5: spec.source.format: must be one of auto, ndjson, parquet, not `csv`
    "#]],
    );
    check(
        ("name: logs", "name: My Logs"),
        &expect![[r#"
        pf-operator: job.yaml:4:3: metadata.name: must be lower-case letters, digits, `-` and `.`, as in access-logs, not `My Logs`
    "#]],
    );
}

#[test]
fn a_text_of_the_wrong_form_is_shown_with_what_would_be_right() {
    check(
        ("    s3:", "    modifiedAfter: yesterday\n    s3:"),
        &expect![[r#"
        pf-operator: job.yaml:7:5: spec.source.modifiedAfter: must be a date, or a date and time with its zone (RFC 3339), as in `2024-01-31T12:00:00Z`, not `yesterday`
    "#]],
    );
    check(
        ("  sink:", "  state: {uri: state/}\n  sink:"),
        &expect![[r#"
        pf-operator: job.yaml:9:11: spec.state.uri: must be an address, s3://bucket/prefix or file:///path, as in `s3://my-bucket/paraflow/my-job`, not `state/`
    "#]],
    );
    check(
        (
            "  sink:",
            "  workers: {resources: {requests: {cpu: x, memory: 1.5}}}\n  sink:",
        ),
        &expect![[r#"
            pf-operator: job.yaml:9:36: spec.workers.resources.requests.cpu: must be a quantity: a number, alone or with m, k, M, G, Ki, Mi or Gi right after it, as in `500m`, not `x`
            job.yaml:9:44: spec.workers.resources.requests.memory: must be a whole number or a string, in quotes, not `1.5`
        "#]],
    );
    check(
        ("  sink:", "  columns: ['a,b']\n  sink:"),
        &expect![[r#"
        pf-operator: job.yaml:9:13: spec.columns[0]: must be a field without a comma in its name, as in `request.method`, not `a,b`
    "#]],
    );
}

#[test]
fn credentials_of_a_queue_are_a_secret_or_a_role_and_only_for_a_cluster() {
    for (credentials, expected) in [
        (
            "{}",
            expect![[r#"
        pf-operator: job.yaml:9:17: spec.queue.sqs.credentials: give exactly one of secret and roleArn
    "#]],
        ),
        (
            "{secret: {name: a}, roleArn: 'arn:aws:iam::123456789012:role/b'}",
            expect![[r#"
        pf-operator: job.yaml:9:17: spec.queue.sqs.credentials: give exactly one of secret and roleArn
    "#]],
        ),
        (
            "{roleArn: 'arn:aws:iam::123456789012:user/b'}",
            expect![[r#"
        pf-operator: job.yaml:9:31: spec.queue.sqs.credentials.roleArn: must be the ARN of an IAM role, as in `arn:aws:iam::123456789012:role/paraflow-queues`, not `arn:aws:iam::123456789012:user/b`
    "#]],
        ),
        (
            "{secret: {name: My_Keys}}",
            expect![[r#"
        pf-operator: job.yaml:9:40: spec.queue.sqs.credentials.secret.name: must be the name of an object of Kubernetes: lower-case letters, digits, `-` and `.`, as in `elasticsearch-credentials`, not `My_Keys`
    "#]],
        ),
        (
            "{accessKeyId: AKIA}",
            expect![[r#"
        pf-operator: job.yaml:9:31: spec.queue.sqs.credentials.accessKeyId: is no known field: the fields here are roleArn, secret
    "#]],
        ),
    ] {
        let queue = format!("  queue: {{sqs: {{credentials: {credentials}}}}}\n  sink:");
        check(("  sink:", &queue), &expected);
    }
    let queue =
        "  queue: {sqs: {url: 'https://sqs.eu-west-1.amazonaws.com/1/a', credentials: {secret: {name: aws}}}}\n  sink:";
    check(
        ("  sink:", queue),
        &expect![[r#"
        pf-operator: job.yaml:9:65: spec.queue.sqs.credentials: is not supported by `pf-operator local`: leave it out, the programs sign as your environment says
    "#]],
    );
}

#[test]
fn a_whole_number_is_a_quantity() {
    let job = GOOD.replace(
        "  sink:",
        "  workers: {resources: {requests: {cpu: 2, memory: 1Gi}}}\n  sink:",
    );
    let file = JobFile::parse(job, "job.yaml".to_owned(), PathBuf::new()).unwrap();
    let resources = file.job.spec.workers.unwrap().resources.unwrap();
    assert_eq!(resources.requests["cpu"].0, "2");
}

#[test]
fn a_rule_over_several_fields_says_which_ones() {
    check(
        ("stats: {}", "stats: {}\n    stdout: {}"),
        &expect![[r#"
        pf-operator: job.yaml:9:3: spec.sink: give exactly one of elasticsearch, stats and stdout
    "#]],
    );
    check(
        ("stats: {}", "{}"),
        &expect![[r#"
        pf-operator: job.yaml:9:3: spec.sink: give exactly one of elasticsearch, stats and stdout
    "#]],
    );
    check(
        ("    s3:", "    files: {path: logs}\n    s3:"),
        &expect![[r#"
        pf-operator: job.yaml:6:3: spec.source: give exactly one of s3 and files
    "#]],
    );
    check(
        ("  sink:", "  workers: {min: 3, max: 2}\n  sink:"),
        &expect![[r#"
        pf-operator: job.yaml:9:3: spec.workers: min must not be above max
    "#]],
    );
}

#[test]
fn every_complaint_is_told_at_once() {
    check(
        ("  sink:", "  workers: {threads: 0, batch_size: 5}\n  sink:"),
        &expect![[r#"
            pf-operator: job.yaml:9:25: spec.workers.batch_size: is no known field, did you mean `batchSize`?
            job.yaml:9:13: spec.workers.threads: must be at least 1, not 0
        "#]],
    );
}

#[test]
fn what_only_a_cluster_can_do_is_refused_and_not_ignored() {
    for (field, value) in [
        ("transform", "{script: 'record'}"),
        (
            "enrichment",
            "[{name: t, type: exact, s3: {uri: 's3://my-bucket/t.ndjson'}}]",
        ),
        ("suspend", "true"),
    ] {
        let job = GOOD.replace("  sink:", &format!("  {field}: {value}\n  sink:"));
        let file = JobFile::parse(job, "job.yaml".to_owned(), PathBuf::new()).unwrap();
        let complaints = pf_operator::plan::plan(&file.job, &pf_operator::plan::Settings::default()).unwrap_err();
        assert_eq!(complaints.len(), 1, "{field}");
        assert!(
            complaints[0]
                .to_string()
                .starts_with(&format!("spec.{field}: is not supported by `pf-operator local`: ")),
            "{}",
            complaints[0]
        );
    }
    check(
        ("  sink:", "  queue: {sqs: {}}\n  sink:"),
        &expect![[r#"
        pf-operator: job.yaml:9:11: spec.queue.sqs.url: is needed by `pf-operator local`: only in a cluster a job makes a queue of its own
    "#]],
    );
    check(
        (
            "stats: {}",
            "elasticsearch: {urls: ['http://localhost:9200'], index: logs, auth: {apiKey: {name: es, key: api-key}}}",
        ),
        &expect![[r#"
            pf-operator: job.yaml:10:74: spec.sink.elasticsearch.auth.apiKey: names a Secret of a cluster: give `--secrets DIR`, in which es/api-key is a file with what is in the Secret
        "#]],
    );
}

#[test]
fn a_file_with_no_job_or_with_two_says_what_it_holds() {
    check_text(
        "",
        &expect![[r#"
        pf-operator: job.yaml must hold exactly one document with `apiVersion: paraflow.dev/v1alpha1` and `kind: IngestJob`, not nothing
    "#]],
    );
    check_text(
        &format!("{GOOD}---\n{GOOD}"),
        &expect![[r#"
        pf-operator: job.yaml must hold exactly one document with `apiVersion: paraflow.dev/v1alpha1` and `kind: IngestJob`, not 2 of them
    "#]],
    );
    check(
        ("v1alpha1", "v2"),
        &expect![[r#"
        pf-operator: job.yaml must hold exactly one document with `apiVersion: paraflow.dev/v1alpha1` and `kind: IngestJob`, not IngestJob of apiVersion paraflow.dev/v2
    "#]],
    );
    check_text(
        "kind: Pod\nmetadata: {name: a}\n",
        &expect![[r#"
        pf-operator: job.yaml must hold exactly one document with `apiVersion: paraflow.dev/v1alpha1` and `kind: IngestJob`, not Pod a
    "#]],
    );
    check_text(
        "- kind: IngestJob\n",
        &expect![[r#"
        pf-operator: job.yaml must hold exactly one document with `apiVersion: paraflow.dev/v1alpha1` and `kind: IngestJob`, not a list
    "#]],
    );
    check_text(
        "kind: Pod\n---\nname: a\n---\nkind: IngestJob\n---\nlogs\n",
        &expect![[r#"
        pf-operator: job.yaml must hold exactly one document with `apiVersion: paraflow.dev/v1alpha1` and `kind: IngestJob`, not Pod, a document without `kind`, IngestJob without `apiVersion`, `logs`
    "#]],
    );
}

#[test]
fn text_that_is_not_yaml_is_shown_with_line_and_column() {
    check(
        ("  sink:", "  sink: [\n"),
        &expect![[r#"
        pf-operator: job.yaml is not valid YAML: did not find expected ',' or ']' at line 12 column 1, while parsing a flow sequence at line 9 column 9
    "#]],
    );
    check(
        ("  sink:", " sink:"),
        &expect![[r#"
        pf-operator: job.yaml is not valid YAML: did not find expected key at line 9 column 2, while parsing a block mapping
    "#]],
    );
}

#[test]
fn a_folder_that_does_not_exist_is_a_complaint_about_its_field() {
    check(
        ("s3:\n      bucket: my-bucket", "files: {path: nowhere}"),
        &expect![[r#"
        pf-operator: job.yaml:7:13: spec.source.files.path: cannot open nowhere: No such file or directory (os error 2)
    "#]],
    );
}

#[test]
fn a_job_file_that_does_not_exist_is_bad_usage() {
    let output = operator().args(["local", "-f", "nowhere.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    expect![[r#"
        pf-operator: cannot read the job file nowhere.yaml: No such file or directory (os error 2)
    "#]]
    .assert_eq(text(&output.stderr));
}

#[test]
fn an_unknown_flag_is_bad_usage() {
    let output = operator().args(["local", "--fast"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", outcome(&output));
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_and_never_a_panic(text in "\\PC{0,200}") {
        prop_assert!(JobFile::parse(text, "job.yaml".to_owned(), PathBuf::new()).is_err());
    }

    #[test]
    fn a_job_with_any_text_in_the_place_of_a_line_is_never_a_panic(line in 0..10_usize, text in "[ a-z{}\\[\\]:&*!|>'\"\\-0-9.#]{0,40}") {
        let lines: Vec<&str> = GOOD.lines().enumerate().map(|(at, good)| if at == line { &*text } else { good }).collect();
        if let Err(error) = JobFile::parse(lines.join("\n"), "job.yaml".to_owned(), PathBuf::new()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
