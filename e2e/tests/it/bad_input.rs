//! Bad usage and bad places: one clear message that names what is wrong, nothing on standard output, before any work.

use std::fs;

use super::programs::{Outcome, file_uri, run, run_with_input};

/// Bad usage: nothing was opened.
const USAGE: i32 = 64;
/// What was asked for can't be done.
const FAILED: i32 = 1;

#[track_caller]
fn assert_refused(outcome: &Outcome, code: i32, named: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
    assert_eq!(outcome.text(), "");
    for name in named {
        assert!(outcome.stderr.contains(name), "lacks {name}: {}", outcome.stderr);
    }
    for noise in ["panicked", "backtrace", "RUST_BACKTRACE"] {
        assert!(!outcome.stderr.contains(noise), "{}", outcome.stderr);
    }
}

#[test]
fn the_worker_refuses_bad_usage_before_it_reads() {
    let cases: [(&[&str], &[&str]); 11] = [
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["--destination", "printer"], &["--destination", "printer", "stdout"]),
        (&["--input", "tape"], &["--input", "tape", "stdin"]),
        (&["--threads", "0"], &["--threads", "0"]),
        (&["--threads", "many"], &["--threads", "many"]),
        (&["--batch-size", "0"], &["--batch-size", "0"]),
        (&["--filter", "status"], &["--filter"]),
        (&["--filter", "status = "], &["--filter"]),
        (&["--filter", "status ~ 5"], &["--filter", "~"]),
        (&["--columns", ""], &["--columns"]),
        (&["--max-record-bytes", "-1"], &["--max-record-bytes"]),
    ];
    for (arguments, named) in cases {
        // An item that could not be read: were it looked at, there would be another message.
        assert_refused(&run_with_input("pf-worker", arguments, "no item\n"), USAGE, named);
    }
}

#[test]
fn the_worker_says_which_line_is_no_work_item() {
    for (line, named) in [
        ("{\"v\":1}", "work item"),
        ("not json", "work item"),
        ("{\"v\":99}", "version 99"),
    ] {
        let outcome = run_with_input("pf-worker", &[], &format!("{line}\n"));
        assert_ne!(outcome.code, Some(0), "{line}");
        assert_eq!(outcome.text(), "");
        assert!(outcome.stderr.contains(named), "{line}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    }
}

#[test]
fn the_worker_refuses_a_place_for_dead_letters_that_can_t_be_written() {
    let outcome = run_with_input("pf-worker", &["--dead-letters", "/no/such/folder/letters"], "");
    assert_refused(&outcome, FAILED, &["/no/such/folder/letters"]);
}

#[test]
fn the_discoverer_refuses_bad_usage_before_it_lists() {
    let folder = tempfile::tempdir().unwrap();
    let uri = file_uri(folder.path());
    let cases: [(&[&str], &[&str]); 14] = [
        (&[], &["--uri"]),
        (&["--uri", "ftp://a/b"], &["ftp://a/b", "s3://"]),
        (&["--uri", &uri, "--bucket", "b"], &["--bucket", "--uri"]),
        (&["--uri", &uri, "--no-such-flag"], &["--no-such-flag"]),
        (
            &["--uri", &uri, "--partitioning", "year=${_time:%Y"],
            &["--partitioning"],
        ),
        (
            &["--uri", &uri, "--partitioning", "year=${_time:%Q}/"],
            &["--partitioning", "%Q"],
        ),
        (&["--uri", &uri, "--filter", "region=eu"], &["region", "--partitioning"]),
        (
            &["--uri", &uri, "--partitioning", "a=${a}/", "--filter", "region=eu"],
            &["region", "a"],
        ),
        (
            &[
                "--uri",
                &uri,
                "--partitioning",
                "${_time:%Y}/",
                "--filter",
                "_time=yesterday",
            ],
            &["--filter", "yesterday"],
        ),
        (&["--uri", &uri, "--min-size", "big"], &["--min-size", "big"]),
        (
            &["--uri", &uri, "--min-size", "2MB", "--max-size", "1MB"],
            &["--min-size", "--max-size"],
        ),
        (
            &["--uri", &uri, "--modified-after", "soon"],
            &["--modified-after", "soon"],
        ),
        (&["--uri", &uri, "--pattern", "a[b"], &["--pattern", "a[b"]),
        (&["--uri", &uri, "--split-bytes", "0"], &["--split-bytes"]),
    ];
    for (arguments, named) in cases {
        assert_refused(&run("pf-discoverer", arguments), USAGE, named);
    }
}

#[test]
fn the_discoverer_says_which_folder_is_not_there() {
    let outcome = run("pf-discoverer", &["--uri", "file:///no/such/folder/"]);
    assert_refused(&outcome, FAILED, &["/no/such/folder"]);
}

#[test]
fn a_bucket_that_is_not_there_and_a_wrong_key_are_said_to_be() {
    let server = pf_e2e::S3::shared();
    let endpoint = server.endpoint();
    let bucket = server.make_bucket("closed");
    server.put(&bucket, "a.ndjson", b"{}\n");
    let list = |bucket: &str, secret: &str| {
        let output = super::programs::command("pf-discoverer", &["--bucket", bucket, "--s3-endpoint", &endpoint])
            .envs(server.environment())
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .output()
            .unwrap();
        Outcome {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    };
    let right = server.secret_access_key();
    assert_refused(
        &list("no-such-bucket-anywhere", right),
        FAILED,
        &["no-such-bucket-anywhere"],
    );
    let wrong = list(&bucket, "wrong-secret-of-a-test");
    assert_refused(&wrong, FAILED, &[&bucket]);
    assert!(!wrong.stderr.contains("wrong-secret-of-a-test") && !wrong.stderr.contains(right));
}

#[test]
fn the_operator_refuses_a_job_file_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("job.yaml");
    let good = "apiVersion: paraflow.dev/v1alpha1\nkind: IngestJob\nmetadata:\n  name: test\nspec:\n  source:\n    \
                files:\n      path: data\n  sink:\n    stats: {}\n";
    for (bad, named) in [
        (good.replace("source:", "sauce:"), "sauce"),
        (good.replace("path: data", "path: [1]"), "path"),
        (good.replace("stats: {}", "stats: {}\n    stdout: {}"), "sink"),
        (good.replace("kind: IngestJob", "kind: Pod"), "Pod"),
        (good.replace("  sink:", "\t sink:"), "line"),
    ] {
        fs::write(&job, &bad).unwrap();
        let outcome = run("pf-operator", &["local", "-f", job.to_str().unwrap()]);
        assert_refused(&outcome, USAGE, &[named]);
    }
    let outcome = run("pf-operator", &["local", "-f", "/no/such/job.yaml"]);
    assert_ne!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("/no/such/job.yaml"), "{}", outcome.stderr);
}
