//! What becomes of an item over real servers: a test for each row of the table in libs/work/src/settle.rs that other tests of
//! delivery do not have. Those are the row of all that goes well (`seed_flow`), of a bad record
//! (`refused_records_are_kept_…`) and of a spent error budget (`more_rejected_records_…`).

use std::{
    fs,
    io::Write as _,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use pf_e2e::{Elasticsearch, FailedEntries, Fault, FaultProxy, S3, Sqs, fault_proxy::Request};
use serde_json::{Value, json};

use super::{definition, flow::Flow, folder_of, running::Running};

/// Longer than any test: an item that comes again before was given back.
const FOR_EVER: u32 = 3600;

/// The delay after the first try, as the table has it.
const DELAY_FIRST: Duration = Duration::from_secs(10);

/// Small bulks, few on their way, and small batches: of an object with [`MANY`] records most is not read yet when the first of
/// them are taken.
const FLAGS: [&str; 8] = [
    "--es-bulk-bytes",
    "100000",
    "--es-in-flight-mb",
    "1",
    "--batch-size",
    "100",
    "--threads",
    "1",
];
const MANY: usize = 4000;

/// A job with one object of so many records, of a kilobyte each.
fn job(name: &str, records: usize, visibility_seconds: u32, receives_max: u32) -> Flow {
    let text = "x".repeat(1000);
    let record = |number| format!(r#"{{"status":{number},"text":"{text}"}}"#);
    let lines: Vec<String> = (0..records).map(record).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let api = Elasticsearch::shared().api();
    let flow = Flow::of(name, folder_of(&lines).path(), api, visibility_seconds, receives_max);
    api.create_index(&flow.index, &definition());
    flow.discover(&[]);
    flow
}

/// A worker on its way to a cluster that treats bulks like this.
fn worker(flow: &Flow, folder: &tempfile::TempDir, proxy: &FaultProxy, more: &[&str]) -> Running {
    let flags = [&FLAGS[..], more].concat();
    let worker = flow.endless_worker(&proxy.endpoint(), &flags);
    Running::start(worker, folder.path(), "worker.log")
}

fn cluster(bulks: Fault) -> FaultProxy {
    let proxy = FaultProxy::new(&Elasticsearch::shared().endpoint());
    proxy.choose(move |request: &Request<'_>| {
        if request.head.contains("_bulk") {
            bulks.clone()
        } else {
            Fault::Pass
        }
    });
    proxy
}

/// The job is settled whole by a worker that nothing happens to.
#[track_caller]
fn assert_completed_by_the_next(flow: &Flow, records: usize) {
    let (folder, proxy) = (tempfile::tempdir().unwrap(), cluster(Fault::Pass));
    let mut next = worker(flow, &folder, &proxy, &[]);
    next.wait_until_settled(1);
    assert_eq!(next.stop(), Some(0), "{}", next.said());
    let (code, report) = flow.verify();
    assert_eq!((code, &report["records_out"]), (Some(0), &json!(records)), "{report}");
    let api = Elasticsearch::shared().api();
    api.refresh(&flow.index);
    assert_eq!(api.count(&flow.index), records as u64);
}

#[test]
fn out_of_reach_past_all_patience_the_item_is_released_with_a_delay() {
    let (flow, folder) = (job("unreachable", 10, FOR_EVER, 5), tempfile::tempdir().unwrap());
    let proxy = cluster(Fault::Reset);
    let mut without = worker(&flow, &folder, &proxy, &["--es-patience", "1s"]);
    without.wait_for(|metrics| metrics.sum("pf_items_released_total") >= 1);
    let released = Instant::now();
    assert_eq!(without.stop(), Some(0), "{}", without.said());
    assert_eq!(
        Sqs::shared().depth(&flow.queue.url).visible,
        0,
        "it is not to be had yet"
    );
    assert_completed_by_the_next(&flow, 10);
    assert!(released.elapsed() >= DELAY_FIRST, "{:?}", released.elapsed());
}

#[test]
fn asked_to_stop_the_worker_releases_the_item_at_once_and_the_next_one_goes_on_where_it_was() {
    let (flow, folder) = (job("stopped", MANY, FOR_EVER, 5), tempfile::tempdir().unwrap());
    let proxy = cluster(Fault::Late(Duration::from_millis(300)));
    let mut stopped = worker(&flow, &folder, &proxy, &[]);
    stopped.wait_for(|metrics| metrics.sum("pf_records_out_total") > 0);
    assert_eq!(stopped.stop(), Some(0), "{}", stopped.said());
    let (code, report) = flow.verify();
    assert_eq!((code, &report["missing"]), (Some(1), &json!(1)), "{report}");
    assert_completed_by_the_next(&flow, MANY);
    let (_, report) = flow.verify();
    assert_eq!(report["records_duplicate"], 0, "nothing was sent twice: {report}");
}

#[test]
fn a_lease_that_is_lost_leaves_the_item_to_others() {
    let (mut flow, folder) = (job("lost", MANY, 2, 100), tempfile::tempdir().unwrap());
    let direct = flow.sqs_endpoint.clone();
    let queue = FaultProxy::new(&direct);
    queue.choose(|request| {
        if request.sqs_action() == Some("changemessagevisibilitybatch") {
            Fault::FailEntries(FailedEntries {
                places: (0..10).collect(),
                code: "ReceiptHandleIsInvalid".to_owned(),
                sender_fault: true,
                applied: false,
            })
        } else {
            Fault::Pass
        }
    });
    flow.sqs_endpoint = queue.endpoint();
    let proxy = cluster(Fault::Late(Duration::from_millis(300)));
    let mut loser = worker(&flow, &folder, &proxy, &[]);
    let metrics = loser.wait_for(|metrics| metrics.sum("pf_leases_lost_total") >= 1);
    assert_eq!(metrics.sum("pf_items_completed_total"), 0);
    loser.stop();
    assert!(loser.said().contains("left to others"), "{}", loser.said());
    flow.sqs_endpoint = direct;
    assert_completed_by_the_next(&flow, MANY);
}

#[test]
fn an_object_that_is_gone_changed_truncated_corrupt_or_unsupported_is_a_dead_letter_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let objects = folder.path().join("objects");
    fs::create_dir(&objects).unwrap();
    let text = "{\"status\":1}\n".repeat(1000);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let mut corrupt = packed.clone();
    // The checksum, eight bytes before the end.
    let checksum = corrupt.len() - 8;
    corrupt[checksum] ^= 1;
    for (name, bytes) in [
        ("changed.ndjson", text.as_bytes()),
        ("corrupt.ndjson.gz", &corrupt),
        ("gone.ndjson", text.as_bytes()),
        ("good.ndjson", text.as_bytes()),
        ("truncated.ndjson.gz", &packed[..packed.len() / 2]),
        ("unsupported.parquet", b"no Parquet file at all, whatever its name says"),
    ] {
        fs::write(objects.join(name), bytes).unwrap();
    }
    let server = Elasticsearch::shared();
    let flow = Flow::of("broken", &objects, server.api(), 60, 5);
    server.api().create_index(&flow.index, &definition());
    flow.discover(&[]);
    S3::shared().delete(&flow.bucket, "logs/gone.ndjson");
    S3::shared().put(&flow.bucket, "logs/changed.ndjson", b"{\"status\":2}\n");

    let worker = flow.endless_worker(&server.endpoint(), &[]);
    let mut worker = Running::start(worker, folder.path(), "worker.log");
    let metrics = worker.wait_until_settled(6);
    assert_eq!(worker.stop(), Some(0), "{}", worker.said());
    for flaw in ["gone", "changed", "truncated", "corrupt", "unsupported"] {
        let series = format!("pf_items_failed_total{{reason=\"{flaw}\"}}");
        assert_eq!(metrics.of(&series), 1, "{flaw}: {}", worker.said());
    }
    let (code, report) = flow.verify();
    let told = ["completed", "dead_lettered", "missing"].map(|name| report[name].as_u64());
    assert_eq!((code, told), (Some(2), [Some(1), Some(5), Some(0)]), "{report}");
    flow.assert_queue_is_empty();
    let given_up = Sqs::shared().all_bodies(&flow.queue.dead_letter_url);
    let names: Vec<String> = given_up
        .iter()
        .map(|body| serde_json::from_str::<Value>(body).unwrap()["uri"].to_string())
        .collect();
    assert_eq!(given_up.len(), 5, "{names:?}");
    assert!(!names.iter().any(|name| name.contains("good")), "{names:?}");
}

#[test]
fn refused_in_the_middle_the_worker_stops_with_its_own_code_and_the_item_is_there_for_others() {
    let server = Elasticsearch::shared();
    let api = server.api();
    let folder = folder_of(&[r#"{"status":"closed"}"#]);
    let mut flow = Flow::of("refusing", folder.path(), api, FOR_EVER, 5);
    // Which index a record goes to is its own: before the first lease nobody can tell that it is closed.
    let index = format!("{}-closed", flow.index);
    flow.index = format!("{}-{{status}}", flow.index);
    let mut of_words = definition();
    of_words["mappings"]["properties"]["status"]["type"] = json!("keyword");
    api.create_index(&index, &of_words);
    api.must("POST", &format!("/{index}/_close"), &Value::Null);
    flow.discover(&[]);
    let worker = flow.endless_worker(&server.endpoint(), &[]);
    let mut worker = Running::start(worker, folder.path(), "worker.log");
    assert_eq!(worker.end(), Some(4), "{}", worker.said());
    assert!(worker.said().contains("closed"), "{}", worker.said());
    let (code, report) = flow.verify();
    assert_eq!((code, &report["missing"]), (Some(1), &json!(1)), "{report}");

    api.must("POST", &format!("/{index}/_open"), &Value::Null);
    let next = flow.endless_worker(&server.endpoint(), &[]);
    let mut next = Running::start(next, folder.path(), "next.log");
    next.wait_until_settled(1);
    assert_eq!(next.stop(), Some(0), "{}", next.said());
    assert_eq!(flow.verify().0, Some(0));
}

#[test]
fn an_item_that_kills_its_workers_is_moved_by_the_redrive_policy_and_counts_as_a_dead_letter() {
    let (mut flow, folder) = (job("killer", 10, 2, 3), tempfile::tempdir().unwrap());
    let storage = FaultProxy::new(&flow.s3_endpoint);
    storage.choose(|request| {
        if request.head.contains("/logs/") {
            Fault::Stall
        } else {
            Fault::Pass
        }
    });
    flow.s3_endpoint = storage.endpoint();
    let proxy = cluster(Fault::Pass);
    let mut kills = 0;
    loop {
        let mut killed = worker(&flow, &folder, &proxy, &["--exit-when-idle", "4s"]);
        let leased = killed.wait_for_or_end(|metrics| metrics.sum("pf_leases_total") >= 1);
        if leased.is_none() {
            assert_eq!(killed.end(), Some(0), "{}", killed.said());
            break;
        }
        killed.kill();
        kills += 1;
    }
    // A poll that a killed worker left behind may take the item once more, which counts too.
    assert!((1..=3).contains(&kills), "{kills}");
    flow.assert_queue_is_empty();
    assert_eq!(flow.verify().1["missing"], 1, "the ledger alone does not know of it");
    let queues = [
        "--sqs-dead-letter-queue-url",
        &flow.queue.dead_letter_url,
        "--sqs-endpoint",
        &flow.sqs_endpoint,
    ];
    let verified = flow.job_command("verify", &queues);
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(
        (verified.code, &report["dead_lettered"], &report["missing"]),
        (Some(2), &json!(1), &json!(0)),
        "{report}"
    );
}
