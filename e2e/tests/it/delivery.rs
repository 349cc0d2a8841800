//! The whole of delivery over real servers: S3 to SQS, SQS and S3 through a worker into Elasticsearch or OpenSearch, and the
//! proof that everything arrived.

mod astray;
mod chaos;
mod dashboard;
mod flow;
mod local;
mod metrics;
mod resume;
mod running;
mod secrets;
mod settling;

use std::{fs, io::Write as _, path::Path};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use pf_e2e::{
    Elasticsearch, OpenSearch, S3, Sqs,
    oracle::{counted, walk},
    search::SearchApi,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::flow::Flow;
use super::programs::{generate, run_of, run_with_input};

/// Records of the seed flow in a usual run, and of its other forms.
const RECORDS: u64 = 60_000;
const RECORDS_FEW: u64 = 8_000;
const OBJECTS: u64 = 300;

/// How many records a seed flow has: `PF_DELIVERY_RECORDS=1000000` is what the project promises, and takes minutes.
fn records_or(usual: u64) -> u64 {
    std::env::var("PF_DELIVERY_RECORDS").map_or(usual, |text| text.parse().expect("a number"))
}

/// Index settings that keep an index of a test on one node quick and green.
pub(crate) fn definition() -> Value {
    json!({
        "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"},
        "mappings": {
            "dynamic": false,
            "properties": {"status": {"type": "integer"}, "bytes": {"type": "long"}, "path": {"type": "keyword"}}
        }
    })
}

/// The identity that the design gives a record, made here anew.
fn id(uri: &str, etag: &str, ordinal: u64) -> String {
    let hash = Sha256::new()
        .chain_update(uri)
        .chain_update([0])
        .chain_update(etag)
        .finalize();
    let mut digits = Vec::new();
    let mut rest = ordinal;
    loop {
        digits.push(char::from_digit((rest % 36) as u32, 36).unwrap());
        rest /= 36;
        if rest == 0 {
            break;
        }
    }
    let ordinal: String = digits.into_iter().rev().collect();
    format!("{}-{ordinal}", BASE64_URL_SAFE_NO_PAD.encode(&hash[..16]))
}

/// Every so many-th record of the plain objects is there under its identity, as it was.
fn assert_sample(folder: &Path, flow: &Flow, api: &SearchApi) {
    let mut files = Vec::new();
    walk(folder, &mut files);
    let plain = files
        .iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "ndjson"));
    for file in plain.step_by(10) {
        let key = format!("logs/{}", file.strip_prefix(folder).unwrap().to_str().unwrap());
        let text = fs::read_to_string(file).unwrap();
        let etag = S3::shared().etag(&flow.bucket, &key);
        let mut offset = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            if number % 97 == 0 {
                let uri = format!("s3://{}/{key}", flow.bucket);
                let document = api.document(&flow.index, &id(&uri, &etag, offset));
                let expected: Value = serde_json::from_str(line).unwrap();
                assert_eq!(document, Some(expected), "{uri} at {offset}");
            }
            offset += line.len() as u64;
        }
    }
}

/// The seed flow into one cluster: discover, work, and compare with what an independent reader says.
fn seed_flow(name: &str, api: &SearchApi, url: &str, records: u64, sign_in: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (many, few) = (records.to_string(), OBJECTS.min(records / 100).to_string());
    generate(
        folder.path(),
        &["--records", &many, "--objects", &few, "--format", "all"],
    );
    let flow = Flow::of(name, folder.path(), api, 60, 5);
    api.create_index(&flow.index, &definition());
    flow.discover(&[]);
    run_of(flow.worker(url, sign_in)).success();

    let (count, sum) = counted(folder.path());
    assert_eq!(count, records);
    api.refresh(&flow.index);
    assert_eq!(api.count(&flow.index), count);
    let found = api.sum(&flow.index, "bytes", &json!({"match_all": {}}));
    assert!((found - sum).abs() < 0.5, "{found} is not {sum}");
    assert_sample(folder.path(), &flow, api);

    flow.assert_queue_is_empty();
    let (code, report) = flow.verify();
    assert_eq!((code, &report["verdict"]), (Some(0), &json!("complete")), "{report}");
    assert_eq!(
        (&report["records_in"], &report["records_out"]),
        (&json!(records), &json!(records))
    );
    assert_eq!(report["records_duplicate"], 0);
}

#[test]
fn a_job_of_every_format_arrives_whole_in_elasticsearch() {
    let server = Elasticsearch::shared();
    seed_flow("seed", server.api(), &server.endpoint(), records_or(RECORDS), &[]);
}

#[test]
fn the_same_arrives_in_opensearch() {
    let server = OpenSearch::shared();
    seed_flow(
        "seed-os",
        server.api(),
        &server.endpoint(),
        records_or(RECORDS_FEW),
        &[],
    );
}

#[test]
fn the_same_arrives_in_the_other_lines_of_versions() {
    let records = records_or(RECORDS_FEW);
    let server = Elasticsearch::shared_9();
    seed_flow("seed-9", server.api(), &server.endpoint(), records, &[]);
    let server = OpenSearch::shared_2();
    seed_flow("seed-os-2", server.api(), &server.endpoint(), records, &[]);
}

#[test]
fn the_same_arrives_over_tls_with_an_api_key() {
    let server = Elasticsearch::secured();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, server.api_key()).unwrap();
    let ca = server.ca_file();
    let sign_in = [
        "--es-ca-file",
        ca.to_str().unwrap(),
        "--es-api-key-file",
        key.to_str().unwrap(),
    ];
    seed_flow(
        "seed-tls",
        server.api(),
        &server.endpoint(),
        records_or(RECORDS_FEW),
        &sign_in,
    );
}

/// A folder with one object that has these lines.
fn folder_of(lines: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut file = fs::File::create(folder.path().join("a.ndjson")).unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    folder
}

#[test]
fn refused_records_are_kept_with_the_servers_reason_and_come_back_by_redrive() {
    let server = Elasticsearch::shared();
    let api = server.api();
    let folder = folder_of(&[r#"{"status":1}"#, r#"{"status":"none"}"#, "no json", r#"{"status":2}"#]);
    let flow = Flow::of("refused", folder.path(), api, 60, 5);
    let mut definition = definition();
    definition["mappings"]["dynamic"] = json!(true);
    api.create_index(&flow.index, &definition);
    flow.discover(&[]);
    let outcome = run_of(flow.worker(&server.endpoint(), &[]));
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);

    api.refresh(&flow.index);
    assert_eq!(api.count(&flow.index), 2);
    let (code, report) = flow.verify();
    assert_eq!(code, Some(2), "{report}");
    assert_eq!(
        (&report["records_out"], &report["records_rejected"]),
        (&json!(2), &json!(2))
    );

    let letters = flow
        .job_command("redrive", &["--records", "--letters"])
        .success()
        .records();
    let of_stage = |stage: &str| {
        let mut of_stage = letters.iter().filter(|letter| letter["stage"] == stage);
        of_stage
            .next()
            .unwrap_or_else(|| panic!("no {stage} in {letters:?}"))
            .clone()
    };
    let refused = of_stage("index");
    assert_eq!(refused["raw"], r#"{"status":"none"}"#);
    assert!(
        refused["reason"].as_str().unwrap().contains("parsing_exception"),
        "{refused}"
    );
    assert_eq!(of_stage("decode")["raw"], "no json");
    let records = flow.job_command("redrive", &["--records"]).success();
    assert!(records.text().contains(r#"{"status":"none"}"#));
}

#[test]
fn a_second_run_over_the_same_objects_finds_every_document_there() {
    let server = Elasticsearch::shared();
    let api = server.api();
    let folder = tempfile::tempdir().unwrap();
    generate(
        folder.path(),
        &["--records", "4000", "--objects", "8", "--format", "all"],
    );
    let mut flow = Flow::of("again", folder.path(), api, 60, 5);
    api.create_index(&flow.index, &definition());
    for job in ["again-1", "again-2"] {
        job.clone_into(&mut flow.job);
        flow.discover(&[]);
        run_of(flow.worker(&server.endpoint(), &[])).success();
    }
    let (code, report) = flow.verify();
    assert_eq!(
        (code, &report["records_duplicate"]),
        (Some(0), &json!(4000)),
        "{report}"
    );
    api.refresh(&flow.index);
    assert_eq!(api.count(&flow.index), 4000);
}

#[test]
fn a_cluster_that_is_not_there_or_refuses_leases_nothing() {
    let server = Elasticsearch::secured();
    let folder = folder_of(&["{}"]);
    let flow = Flow::of("unleased", folder.path(), server.api(), 60, 5);
    flow.discover(&[]);
    let ca = server.ca_file();
    let refused = run_of(flow.worker(&server.endpoint(), &["--es-ca-file", ca.to_str().unwrap()]));
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    let missing = run_of(flow.worker("http://127.0.0.1:9", &[]));
    assert_eq!(missing.code, Some(1), "{}", missing.stderr);
    let letters: Vec<Value> = Sqs::shared().receive(&flow.queue.url, std::time::Duration::from_secs(1));
    assert_eq!(
        letters[0]["Attributes"]["ApproximateReceiveCount"], "1",
        "nobody leased it before"
    );
}

#[test]
fn more_rejected_records_than_allowed_stop_the_worker_with_its_own_code_and_lose_nothing() {
    let server = Elasticsearch::shared();
    let api = server.api();
    let folder = folder_of(&["{}", "bad", "bad", "bad", "{}"]);
    let flow = Flow::of("budget", folder.path(), api, 60, 5);
    api.create_index(&flow.index, &definition());
    flow.discover(&[]);
    let stopped = run_of(flow.worker(&server.endpoint(), &["--max-rejected", "2"]));
    assert_eq!(stopped.code, Some(3), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("--max-rejected allows 2"), "{}", stopped.stderr);
    let (code, report) = flow.verify();
    assert_eq!((code, &report["missing"]), (Some(1), &json!(1)), "{report}");
    // With a larger budget the same item is done.
    let done = run_of(flow.worker(&server.endpoint(), &["--max-rejected", "3"]));
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert_eq!(flow.verify().0, Some(2), "all is settled, with rejected records");
}

#[test]
fn a_flag_of_another_input_or_destination_is_refused_before_anything_is_opened() {
    let outcome = run_with_input("pf-worker", &["--es-url", "http://localhost:9200"], "");
    assert_eq!(outcome.code, Some(64));
    assert!(
        outcome.stderr.contains("--destination elasticsearch"),
        "{}",
        outcome.stderr
    );
}
