//! What a worker's metrics say of a job at whose end they are looked at.

use std::{fs, time::Duration};

use pf_e2e::{Elasticsearch, Fault, FaultProxy};
use serde_json::json;

use super::{definition, flow::Flow, running::Running};
use crate::it::programs::generate;

const RECORDS: u64 = 4000;

#[test]
fn the_metrics_of_a_job_tell_of_leases_bulks_and_what_became_of_every_record() {
    let server = Elasticsearch::shared();
    let api = server.api();
    let folder = tempfile::tempdir().unwrap();
    let objects = folder.path().join("objects");
    generate(&objects, &["--records", "4000", "--objects", "8", "--format", "all"]);
    // One record is none, one is not taken, one object is broken.
    fs::write(
        objects.join("bad.ndjson"),
        "{\"status\":500}\nno json\n{\"status\":\"500\",\"bytes\":\"x\"}\n",
    )
    .unwrap();
    fs::write(objects.join("cut.ndjson.gz"), [0x1f, 0x8b, 8, 0]).unwrap();
    let flow = Flow::of("metrics", &objects, api, 6, 5);
    api.create_index(&flow.index, &definition());
    flow.discover(&[]);
    let proxy = FaultProxy::new(&server.endpoint());
    // Leases must be extended, a request is sent twice, another is refused once.
    proxy.choose(|request| {
        if request.head.contains("_bulk") {
            Fault::Late(Duration::from_secs(3))
        } else {
            Fault::Pass
        }
    });
    let busy = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
    let flags = ["--filter", "status = 500", "--es-bulk-bytes", "20000", "--threads", "2"];
    let worker = flow.endless_worker(&proxy.endpoint(), &flags);
    let mut worker = Running::start(worker, folder.path(), "worker.log");
    worker.wait_for(|metrics| metrics.sum("pf_leases_total") > 0);
    proxy.then([Fault::Answer(busy.to_owned()), Fault::LoseAnswer]);
    let metrics = worker.wait_until_settled(10);
    assert_eq!(worker.stop(), Some(0), "{}", worker.said());

    let (_, report) = flow.verify();
    let told = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(report["records_in"], json!(RECORDS + 3), "{report}");
    // What the worker counted is what the ledger says: nothing was read twice.
    let rejected = metrics.sum("pf_records_rejected_total");
    for (counted, name) in [
        (metrics.of("pf_records_in_total"), "records_in"),
        (metrics.of("pf_records_out_total"), "records_out"),
        (metrics.of("pf_records_filtered_total"), "records_filtered"),
        (rejected, "records_rejected"),
        (metrics.of("pf_records_duplicate_total"), "records_duplicate"),
    ] {
        assert_eq!(counted, told(name), "{name}: {report}: {}", metrics.0);
    }
    let accounted = metrics.of("pf_records_out_total") + metrics.of("pf_records_filtered_total") + rejected;
    assert_eq!(metrics.of("pf_records_in_total"), accounted);
    assert_eq!(metrics.of("pf_items_unbalanced_total"), 0);

    // Leases: each item's one, extended while the cluster was slow, none lost.
    assert!(metrics.of("pf_leases_total") >= 10);
    assert!(metrics.of("pf_leases_extended_total") > 0, "{}", metrics.0);
    assert_eq!(metrics.of("pf_leases_held"), 0);
    assert_eq!(metrics.of("pf_leases_lost_total"), 0);
    // Items, and dead letters by reason.
    assert_eq!(metrics.of("pf_items_completed_total"), 9);
    assert_eq!(metrics.of("pf_items_failed_total{reason=\"truncated\"}"), 1);
    assert_eq!(metrics.sum("pf_items_failed_total"), 1);
    assert_eq!(metrics.of("pf_records_rejected_total{stage=\"decode\"}"), 1);
    assert_eq!(metrics.of("pf_records_rejected_total{stage=\"index\"}"), 1);
    assert!(metrics.of("pf_ledger_lag_seconds_count") > 0);
    // Bulks: each document has one outcome that is its last.
    let outcome = |name: &str| metrics.of(&format!("pf_bulk_documents_total{{outcome=\"{name}\"}}"));
    assert_eq!(outcome("taken") + outcome("duplicate"), told("records_out"));
    assert_eq!(outcome("rejected"), 1);
    assert_eq!(outcome("duplicate"), told("records_duplicate"));
    assert!(
        outcome("duplicate") > 0,
        "the documents whose answer was lost were there before"
    );
    assert_eq!(outcome("retried"), 0);
    assert!(metrics.of("pf_bulk_retries_total") >= 2);
    assert_eq!(metrics.of("pf_bulk_refused_total"), 1);
    assert!(metrics.of("pf_bulk_round_trip_seconds_count") > 0);
    assert!(metrics.of("pf_bulk_concurrency_limit") >= 1);
    assert_eq!(metrics.of("pf_bulk_in_flight_bytes"), 0);
    assert!(metrics.of("pf_bulk_wire_bytes_total") > 0);
}
