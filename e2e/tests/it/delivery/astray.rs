//! Records that the cluster takes and that are not where they were to go: such a job is never plainly complete.

use std::time::Duration;

use pf_e2e::{Elasticsearch, Fault, FaultProxy, OpenSearch, fault_proxy::Request, search::SearchApi};
use serde_json::{Value, json};

use super::{flow::Flow, folder_of, running::Running};
use crate::it::programs::run_of;

/// A job of four records, the third of which has no number.
fn job(name: &str, api: &SearchApi) -> Flow {
    let record = |n: &str| format!(r#"{{"@timestamp":"2024-02-29T12:00:00Z","n":{n}}}"#);
    let lines = ["0", "1", r#""none""#, "3"].map(record);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let flow = Flow::of(name, folder_of(&lines).path(), api, 60, 5);
    flow.discover(&[]);
    flow
}

/// The worker and the proof both end with code 2, and say that one record went this way and all others arrived.
#[track_caller]
fn assert_one_is_astray(flow: &Flow, api: &SearchApi, url: &str, flags: &[&str], counted_as: &str) {
    let worked = run_of(flow.worker(url, flags));
    assert_eq!(worked.code, Some(2), "{}", worked.stderr);
    let (code, report) = flow.verify();
    assert_eq!(
        (code, &report["verdict"]),
        (Some(2), &json!("complete_with_dead_letters")),
        "{report}"
    );
    let counts = |names: &[&str]| names.iter().map(|name| report[*name].clone()).collect::<Vec<Value>>();
    assert_eq!(
        counts(&["records_in", "records_out", "records_rejected", counted_as]),
        [4, 3, 0, 1].map(Value::from),
        "{report}"
    );
    api.refresh(&flow.index);
    assert_eq!(api.count(&flow.index), 3);
    flow.assert_queue_is_empty();
}

#[test]
fn a_job_of_which_a_pipeline_drops_a_record_ends_with_code_2() {
    // The distribution of Elasticsearch that tests have is without the processor `drop`.
    let server = OpenSearch::shared();
    let api = server.api();
    let flow = job("dropping", api);
    let steps = json!({"processors": [{"drop": {"if": "ctx.n == 'none'"}}]});
    api.must("PUT", "/_ingest/pipeline/dropping", &steps);
    let flags = ["--es-pipeline", "dropping"];
    assert_one_is_astray(&flow, api, &server.endpoint(), &flags, "records_dropped");
}

#[test]
fn a_job_of_which_a_failure_store_has_a_record_ends_with_code_2() {
    let server = Elasticsearch::shared();
    let api = server.api();
    let flow = job("redirecting", api);
    api.put_index_template(
        &flow.index,
        &json!({
            "index_patterns": [format!("{}*", flow.index)], "data_stream": {}, "priority": 500,
            "template": {
                "mappings": {"properties": {"n": {"type": "long"}}},
                "data_stream_options": {"failure_store": {"enabled": true}},
            },
        }),
    );
    assert_one_is_astray(&flow, api, &server.endpoint(), &[], "records_redirected");
}

#[test]
fn a_record_whose_id_another_has_is_a_dead_letter_also_where_the_first_worker_died_before_it_said_so() {
    let server = Elasticsearch::shared();
    let api = server.api();
    let record = |id: u32| format!(r#"{{"id":{id},"whose":"ours"}}"#);
    let lines: Vec<String> = (0..4).map(record).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let flow = Flow::of("conflicting", folder_of(&lines).path(), api, 3, 5);
    flow.discover(&[]);
    let another = format!(
        "{}\n{}\n",
        json!({"create": {"_id": "2"}}),
        json!({"id": 2, "whose": "another's"})
    );
    assert_eq!(api.bulk(&flow.index, &another)["errors"], false);

    // The cluster does what it is asked, and the worker is dead before it hears of it.
    let proxy = FaultProxy::new(&server.endpoint());
    proxy.choose(|request: &Request<'_>| {
        if request.head.contains("_bulk") {
            Fault::StallBody { after_bytes: 0 }
        } else {
            Fault::Pass
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--es-id", "field:id"];
    let mut killed = Running::start(
        flow.endless_worker(&proxy.endpoint(), &flags),
        folder.path(),
        "worker.log",
    );
    pf_e2e::until("the records are there", Duration::from_mins(1), || {
        api.refresh(&flow.index);
        (api.count(&flow.index) == 4).then_some(())
    });
    killed.kill();

    // Idle for longer than the dead worker's lease holds.
    let flags = [&flags[..], &["--exit-when-idle", "15s"]].concat();
    let worked = run_of(flow.endless_worker(&server.endpoint(), &flags));
    assert_eq!(worked.code, Some(2), "{}", worked.stderr);
    let (code, report) = flow.verify();
    let counts = [
        "records_in",
        "records_out",
        "records_rejected",
        "records_conflicting",
        "records_duplicate",
    ];
    assert_eq!(
        (code, counts.map(|name| report[name].clone())),
        (Some(2), [4, 3, 1, 1, 3].map(Value::from)),
        "{report}"
    );
    let letters = flow
        .job_command("redrive", &["--records", "--letters"])
        .success()
        .records();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["raw"], record(2));
    assert!(
        letters[0]["reason"].as_str().unwrap().contains("_id `2`"),
        "{letters:?}"
    );
    api.refresh(&flow.index);
    assert_eq!(api.count(&flow.index), 4);
    assert_eq!(api.document(&flow.index, "2").unwrap()["whose"], "another's");
}

/// A flag that names a field that no record has would make a dead letter of every record: that is the flag's fault.
#[test]
fn records_none_of_which_has_an_address_stop_the_work_unless_somebody_says_how_many_may_be_rejected() {
    let server = Elasticsearch::shared();
    let api = server.api();
    let lines: Vec<String> = (0..3_000).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for (name, index, flags) in [
        ("no-id", None, &["--es-id", "field:nope"][..]),
        ("no-index", Some("unaddressed-{nope}"), &[]),
    ] {
        let mut flow = Flow::of(name, folder_of(&lines).path(), api, 60, 5);
        if let Some(index) = index {
            index.clone_into(&mut flow.index);
        }
        flow.discover(&[]);
        let stopped = run_of(flow.worker(&server.endpoint(), flags));
        assert_eq!(stopped.code, Some(4), "{}", stopped.stderr);
        assert!(
            stopped.stderr.contains("`nope`") && stopped.stderr.contains("--max-rejected"),
            "{}",
            stopped.stderr
        );
        let (code, report) = flow.verify();
        assert_eq!((code, &report["records_rejected"]), (Some(1), &json!(0)), "{report}");
        let allowed = [flags, &["--max-rejected", "100%"]].concat();
        let worked = run_of(flow.worker(&server.endpoint(), &allowed));
        assert_eq!(worked.code, Some(2), "{}", worked.stderr);
        let (code, report) = flow.verify();
        assert_eq!(
            (code, &report["records_rejected"]),
            (Some(2), &json!(3_000)),
            "{report}"
        );
    }
}
