//! Secrets that are planted, and looked for wherever a worker leaves something: messages, logs of every level, metrics, state.
//!
//! Each of them is really used, else the servers would not let the programs in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use pf_e2e::{Elasticsearch, S3, Sqs};

use super::{definition, flow::Flow, folder_of, running::Running, walk};
use crate::it::programs::{run_of, run_with_input};

/// A secret nobody accepts.
const WRONG: &str = "planted-and-wrong-0123456789";

/// What must not be found, and what it is called.
#[derive(Default)]
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn add(&mut self, name: &'static str, secret: impl Into<String>) {
        self.0.push((name, secret.into()));
    }

    #[track_caller]
    fn assert_not_in(&self, place: &str, bytes: &[u8]) {
        for (name, secret) in &self.0 {
            let found = bytes.windows(secret.len()).position(|part| part == secret.as_bytes());
            let around = found.map(|at| {
                let from = at.saturating_sub(200);
                String::from_utf8_lossy(&bytes[from..(at + secret.len() + 20).min(bytes.len())]).into_owned()
            });
            assert_eq!(around, None, "{name} is in {place}");
        }
    }
}

/// The whole of a file, unpacked.
fn content(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    match path.extension() {
        Some(ending) if ending == "zst" => zstd::decode_all(bytes.as_slice()).unwrap(),
        _ => bytes,
    }
}

fn traced(mut command: Command) -> Command {
    command.env("PF_LOG", "trace");
    command
}

/// A job with a record that is none, one that the cluster refuses, and an object that is broken.
fn job(name: &str) -> Flow {
    let api = Elasticsearch::secured().api();
    let folder = folder_of(&[r#"{"status":1}"#, "no json", r#"{"status":"none"}"#]);
    fs::write(folder.path().join("cut.ndjson.gz"), [0x1f, 0x8b, 8, 0]).unwrap();
    let flow = Flow::of(name, folder.path(), api, 30, 5);
    api.create_index(&flow.index, &definition());
    flow
}

#[test]
fn no_secret_is_in_any_message_log_metric_error_or_file_of_the_state() {
    let server = Elasticsearch::secured();
    let (password, api_key, bearer) = (server.password(), server.api_key(), server.bearer_token());
    let mut secrets = Secrets::default();
    secrets.add("the secret of S3 and SQS", S3::shared().secret_access_key());
    secrets.add("the password", password);
    let basic = BASE64_STANDARD.encode(format!("{}:{password}", Elasticsearch::USER));
    secrets.add("the password in its header", basic);
    let decoded = String::from_utf8(BASE64_STANDARD.decode(&api_key).unwrap()).unwrap();
    secrets.add("the API key", decoded.split_once(':').unwrap().1);
    secrets.add("the API key in its header", &api_key);
    secrets.add("the bearer token", &bearer);
    secrets.add("the wrong secret", WRONG);
    let wrong = BASE64_STANDARD.encode(format!("{}:{WRONG}", Elasticsearch::USER));
    secrets.add("the wrong secret in its header", wrong);

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, secret: &str| {
        let path = folder.path().join(name);
        fs::write(&path, secret).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ca = server.ca_file();
    let ca = ["--es-ca-file", ca.to_str().unwrap()];
    let named = ["--es-username", Elasticsearch::USER, "--es-password-file"];
    let ways = [
        ("basic", named.to_vec(), file("password", password)),
        ("key", vec!["--es-api-key-file"], file("key", &api_key)),
        ("bearer", vec!["--es-bearer-file"], file("bearer", &bearer)),
    ];
    let wrong = file("wrong", WRONG);
    for (name, way, path) in ways {
        let flow = job(&format!("secret-{name}"));
        let discovered = run_of(traced(flow.discoverer(&[])));
        assert!(discovered.stderr.contains("TRACE"), "there is nothing to look into");
        secrets.assert_not_in("the discoverer's log", discovered.stderr.as_bytes());
        for message in Sqs::shared().receive(&flow.queue.url, std::time::Duration::from_secs(1)) {
            secrets.assert_not_in("a message", message.to_string().as_bytes());
            Sqs::shared().send(&flow.queue.url, message["Body"].as_str().unwrap());
        }

        let refused = [&ca[..], &way, &[&wrong]].concat();
        let refused = run_of(traced(flow.worker(&server.endpoint(), &refused)));
        assert_eq!(refused.code, Some(4), "{name}");
        secrets.assert_not_in("the log of a worker that is refused", refused.stderr.as_bytes());

        let flags = [&ca[..], &way, &[&path]].concat();
        let worker = traced(flow.endless_worker(&server.endpoint(), &flags));
        let mut worker = Running::start(worker, folder.path(), "worker.log");
        let metrics = worker.wait_until_settled(2);
        assert_eq!(worker.stop(), Some(0), "{name}");
        assert_eq!(metrics.sum("pf_records_rejected_total"), 2, "{name}");
        secrets.assert_not_in("the metrics", metrics.0.as_bytes());
        let said = worker.said();
        assert!(said.contains("TRACE"), "there is nothing to look into");
        secrets.assert_not_in("the worker's log", said.as_bytes());

        for message in Sqs::shared().receive(&flow.queue.dead_letter_url, std::time::Duration::from_secs(1)) {
            secrets.assert_not_in("a dead letter", message.to_string().as_bytes());
        }
        let mut files: Vec<PathBuf> = Vec::new();
        walk(&S3::shared().folder(&flow.bucket).join("state"), &mut files);
        assert!(
            files.len() >= 3,
            "manifest, ledger and dead letters at least: {files:?}"
        );
        for path in files {
            secrets.assert_not_in(&path.display().to_string(), &content(&path));
        }
        for (command, flags) in [("verify", &[][..]), ("redrive", &["--records", "--letters"][..])] {
            let outcome = flow.job_command(command, flags);
            secrets.assert_not_in(command, &outcome.stdout);
            secrets.assert_not_in(command, outcome.stderr.as_bytes());
        }
    }
}

#[test]
fn a_secret_in_an_address_is_refused_without_being_repeated() {
    let address = format!("http://user:{WRONG}@localhost:9200");
    let queue = format!("{address}/000000000000/queue");
    for flags in [
        &[
            "--destination",
            "elasticsearch",
            "--es-index",
            "a",
            "--es-url",
            &address,
        ][..],
        &["--input", "sqs", "--sqs-queue-url", &queue],
        &[
            "--input",
            "sqs",
            "--sqs-queue-url",
            "http://localhost/0/q",
            "--sqs-endpoint",
            &address,
        ],
        &["--s3-endpoint", &address],
    ] {
        let outcome = run_with_input("pf-worker", flags, "");
        assert_eq!(outcome.code, Some(64), "{flags:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains(WRONG), "{flags:?}: {}", outcome.stderr);
    }
}
