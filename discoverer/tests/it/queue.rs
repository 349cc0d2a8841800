//! `--destination sqs` from outside: into a real queue, and into queues that are not there or misbehave.

use std::{collections::BTreeMap, fs, time::Duration};

use pf_e2e::{FailedEntries, Fault, FaultProxy, Sqs};
use serde_json::Value;

use super::program::{Run, assert_success, command, run};

fn folder_with_files(count: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..count {
        let below = folder.path().join(format!("day={}", number % 3));
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(format!("{number:04}.ndjson")), "{}\n").unwrap();
    }
    folder
}

fn run_on_sqs(flags: &[&str]) -> Run {
    let mut command = command(&[&["--destination", "sqs"], flags].concat());
    let output = command.envs(Sqs::shared().environment()).output().unwrap();
    assert!(output.stdout.is_empty(), "items go to the queue alone");
    Run {
        code: output.status.code().expect("it was not killed"),
        items: Vec::new(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The items by number, without the time at which they were offered.
fn by_seq(items: impl IntoIterator<Item = Value>) -> BTreeMap<u64, Value> {
    let mut numbered = BTreeMap::new();
    for mut item in items {
        item.as_object_mut().unwrap().remove("enqueued_at").unwrap();
        let seq = item["seq"].as_u64().unwrap();
        let other = numbered.insert(seq, item.clone());
        assert!(other.is_none_or(|other| other == item), "one number, one item");
    }
    numbered
}

fn drained(url: &str) -> Vec<Value> {
    let bodies = Sqs::shared().all_bodies(url);
    bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

#[test]
fn the_queue_gets_the_items_that_standard_output_would() {
    let folder = folder_with_files(357);
    let uri = format!("file://{}/", folder.path().display());
    let flags = [
        "--uri",
        &uri,
        "--partitioning",
        "day=${day}/",
        "--job",
        "ns/j",
        "--parallel-prefixes",
        "1",
    ];
    let queue = Sqs::shared().make_queue("discoverer", 600, 3);
    let offered = run_on_sqs(&[&flags[..], &["--sqs-queue-url", &queue.url]].concat());
    assert_eq!(offered.code, 0, "{}", offered.stderr);
    assert!(offered.stderr.contains("items=357"), "{}", offered.stderr);
    let taken = drained(&queue.url);
    assert_eq!(taken.len(), 357, "each once");
    assert_eq!(by_seq(taken), by_seq(run(&flags).items));
}

#[test]
fn entries_and_calls_that_fail_are_offered_again() {
    let folder = folder_with_files(300);
    let uri = format!("file://{}/", folder.path().display());
    let queue = Sqs::shared().make_queue("discoverer-faults", 600, 3);
    let proxy = FaultProxy::new(&Sqs::shared().endpoint());
    let entries = |places: &[usize]| {
        Fault::FailEntries(FailedEntries {
            places: places.to_vec(),
            code: "InternalError".to_owned(),
            sender_fault: false,
            applied: false,
        })
    };
    // The first call is the start-up check.
    proxy.then([
        Fault::Pass,
        entries(&[0, 9]),
        Fault::Reset,
        entries(&[5]),
        Fault::sqs_error(503, "ServiceUnavailable", "Later."),
        Fault::Late(Duration::from_millis(300)),
    ]);
    let flags = [
        "--uri",
        &uri,
        "--sqs-queue-url",
        &queue.url,
        "--sqs-endpoint",
        &proxy.endpoint(),
    ];
    let offered = run_on_sqs(&flags);
    assert_eq!(offered.code, 0, "{}", offered.stderr);
    let taken = drained(&queue.url);
    assert_eq!(taken.len(), 300, "none of these faults hides that an entry was taken");
    assert_eq!(
        by_seq(taken).keys().copied().collect::<Vec<_>>(),
        (0..300).collect::<Vec<_>>()
    );
}

#[test]
fn a_queue_that_is_missing_or_refuses_is_told_before_anything_is_listed() {
    let missing = format!("{}/000000000000/no-such-queue", Sqs::shared().endpoint());
    let gone = run_on_sqs(&["--uri", "file:///no/such/folder/", "--sqs-queue-url", &missing]);
    assert_eq!(gone.code, 1);
    assert!(
        gone.stderr.contains(&format!(
            "cannot offer items: the queue refuses: there is no queue {missing}"
        )),
        "{}",
        gone.stderr
    );

    let queue = Sqs::shared().make_queue("discoverer-denied", 600, 3);
    let proxy = FaultProxy::new(&Sqs::shared().endpoint());
    proxy.afterwards(Fault::sqs_error(403, "AccessDenied", "Not you."));
    let flags = ["--uri", "file:///no/such/folder/", "--sqs-queue-url", &queue.url];
    let denied = run_on_sqs(&[&flags[..], &["--sqs-endpoint", &proxy.endpoint()]].concat());
    assert_eq!(denied.code, 1);
    assert!(denied.stderr.contains("403 AccessDenied: Not you"), "{}", denied.stderr);
}

#[test]
fn a_dry_run_or_a_check_leaves_the_queue_alone() {
    let folder = folder_with_files(3);
    let uri = format!("file://{}/", folder.path().display());
    let nowhere = "http://127.0.0.1:1/0/jobs";
    for flag in ["--dry-run", "--check"] {
        let mut command = command(&[flag, "--uri", &uri, "--destination", "sqs", "--sqs-queue-url", nowhere]);
        let output = command.output().unwrap();
        assert_success(&output);
    }
}

#[test]
fn a_queue_in_the_environment_is_not_for_standard_output() {
    let folder = folder_with_files(3);
    let uri = format!("file://{}/", folder.path().display());
    let mut listing = command(&["--uri", &uri]);
    let listing = listing.env("PF_SQS_QUEUE_URL", "http://127.0.0.1:1/0/jobs");
    let listed = listing.env("PF_SQS_ENDPOINT", "http://127.0.0.1:1").output().unwrap();
    assert_eq!(listed.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 3);
    let typed = run(&["--uri", &uri, "--sqs-queue-url", "http://127.0.0.1:1/0/jobs"]);
    assert_eq!(typed.code, 64);
    assert_eq!(typed.stderr, "error: --sqs-queue-url: needs --destination sqs\n");
}

#[test]
fn a_job_that_goes_on_with_another_queue_offers_it_what_the_first_had() {
    let folder = folder_with_files(3);
    let state = tempfile::tempdir().unwrap();
    let uri = format!("file://{}/", folder.path().display());
    let state = format!("file://{}", state.path().display());
    let offered_to = |url: &str| {
        let flags = [
            "--uri",
            &uri,
            "--state",
            &state,
            "--job",
            "ns/j",
            "--sqs-queue-url",
            url,
        ];
        let run = run_on_sqs(&flags);
        assert_eq!(run.code, 0, "{}", run.stderr);
        by_seq(drained(url)).into_keys().collect::<Vec<u64>>()
    };
    let [first, second] = ["goes-on-1", "goes-on-2"].map(|name| Sqs::shared().make_queue(name, 600, 3).url);
    assert_eq!(offered_to(&first), [0, 1, 2]);
    // The drain took everything, and nothing is settled: the first queue had its items all the same.
    assert_eq!(offered_to(&first), [0; 0]);
    assert_eq!(offered_to(&second), [0, 1, 2]);
}
