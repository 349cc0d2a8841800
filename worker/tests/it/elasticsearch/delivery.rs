//! What documents become there, and what is said of those that it does not take.

use pf_e2e::OpenSearch;
use serde_json::{Value, json};

use super::*;

#[test]
fn lines_arrive_as_they_are_and_a_second_delivery_finds_only_duplicates() {
    each(|endpoint, api| {
        let index = api.new_name("lines");
        for compression in ["none", "gzip"] {
            let mut sink = Sink::must_connect(&format!(
                "--es-url {endpoint} --es-index {index} --es-compression {compression}"
            ));
            let records = numbered(0..1000);
            assert_eq!(sink.send(compression, &records), all_taken());
            let again = sink.send(compression, &records);
            assert_eq!(again.end, End::Done);
            assert_eq!(again.exceptions.len(), 1000);
            assert!(
                again
                    .exceptions
                    .iter()
                    .all(|(_, verdict)| *verdict == Verdict::Duplicate)
            );
            assert_eq!(sink.metric("pf_bulk_documents_total{taken}"), 1000);
            assert_eq!(sink.metric("pf_bulk_documents_total{duplicate}"), 1000);
            assert_eq!(sink.metric("pf_bulk_in_flight_bytes"), 0);
        }
        api.refresh(&index);
        assert_eq!(api.count(&index), 2000);
        let sum = api.sum(&index, "n", &json!({"match_all": {}}));
        assert_eq!(sum as u64, 2 * 499_500);
    });
}

#[test]
fn columns_arrive_too() {
    each(|endpoint, api| {
        let index = api.new_name("columns");
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {index} --es-id field:n"));
        let (bulk, rejects) = sink.bulk("a", &numbered(0..10), true);
        assert!(rejects.is_empty());
        assert_eq!(sink.deliver(&bulk), all_taken());
        api.refresh(&index);
        assert_eq!(
            api.document(&index, "7"),
            Some(json!({"n": 7, "@timestamp": "2024-02-29T12:00:00Z"}))
        );
    });
}

#[test]
fn a_document_that_does_not_fit_the_mapping_is_rejected_with_the_servers_reason_and_the_others_are_taken() {
    each(|endpoint, api| {
        let index = api.new_name("mapping");
        api.create_index(&index, &json!({"mappings": {"properties": {"n": {"type": "long"}}}}));
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {index}"));
        let mut records = numbered(0..5);
        records[1] = r#"{"n":"one"}"#.to_owned();
        records[3] = r#"{"n":{"a":1}}"#.to_owned();
        let delivered = sink.send("a", &records);
        let reasons = reasons(&delivered);
        assert_eq!(reasons.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 3]);
        let reason = reasons[0].1;
        let kind = reason.split(':').next().unwrap();
        assert!(
            ["document_parsing_exception", "mapper_parsing_exception"].contains(&kind),
            "{reason}"
        );
        assert!(reason.contains("For input string: \"one\""), "{reason}");
        api.refresh(&index);
        assert_eq!(api.count(&index), 3);
        assert_eq!(sink.metric("pf_bulk_documents_total{rejected}"), 2);
    });
}

#[test]
fn an_index_operation_replaces_what_has_the_id() {
    each(|endpoint, api| {
        let index = api.new_name("replaced");
        let flags = format!("--es-url {endpoint} --es-index {index} --es-id field:id --es-op-type index");
        let mut sink = Sink::must_connect(&flags);
        assert_eq!(sink.send("a", &[r#"{"id":"x","v":1}"#.to_owned()]), all_taken());
        let replaced = sink.send("a", &[r#"{"id":"x","v":2}"#.to_owned()]);
        assert_eq!(
            (replaced.exceptions, replaced.end),
            (vec![(0, Verdict::Updated)], End::Done)
        );
        api.refresh(&index);
        assert_eq!(api.document(&index, "x"), Some(json!({"id": "x", "v": 2})));
    });
}

#[test]
fn ids_that_the_server_makes_up_are_all_different() {
    each(|endpoint, api| {
        let index = api.new_name("auto");
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {index} --es-id auto"));
        for _ in 0..2 {
            assert_eq!(sink.send("a", &numbered(0..10)), all_taken());
        }
        api.refresh(&index);
        assert_eq!(api.count(&index), 20);
    });
}

#[test]
fn each_record_goes_to_the_index_of_its_day_and_of_its_fields() {
    each(|endpoint, api| {
        let prefix = api.new_name("daily");
        let flags = format!("--es-url {endpoint} --es-index {prefix}-{{region}}-{{+yyyy.MM.dd}}");
        let mut sink = Sink::must_connect(&flags);
        let records = [
            r#"{"@timestamp":"2024-02-29T23:30:00-01:00","region":"us"}"#,
            r#"{"@timestamp":1709208000}"#,
            r#"{"@timestamp":"never"}"#,
        ];
        let (bulk, rejects) = sink.bulk("a", &records.map(str::to_owned), false);
        assert_eq!(rejects.len(), 1);
        assert_eq!(sink.deliver(&bulk), all_taken());
        for name in ["us-2024.03.01", "eu-2024.02.29"] {
            let index = format!("{prefix}-{name}");
            api.refresh(&index);
            assert_eq!(api.count(&index), 1, "{index}");
        }
    });
}

#[test]
fn documents_with_the_same_routing_value_lie_on_one_shard() {
    each(|endpoint, api| {
        let index = api.new_name("routed");
        api.create_index(
            &index,
            &json!({"settings": {"number_of_shards": 3}, "mappings": {"_routing": {"required": true}}}),
        );
        let mut sink = Sink::must_connect(&format!(
            "--es-url {endpoint} --es-index {index} --es-routing-field tenant"
        ));
        let records: Vec<_> = (0..40)
            .map(|number| format!(r#"{{"tenant":{}}}"#, number % 2))
            .collect();
        assert_eq!(sink.send("a", &records), all_taken());
        api.refresh(&index);
        let found = api.must(
            "GET",
            &format!("/{index}/_search?routing=1&size=0&q=tenant:1"),
            &Value::Null,
        );
        assert_eq!(found["hits"]["total"]["value"], 20);
        assert_eq!(found["_shards"]["total"], 1);
    });
}

#[test]
fn documents_go_through_a_pipeline() {
    let server = OpenSearch::shared();
    let api = server.api();
    let (index, pipeline) = (api.new_name("piped"), api.new_name("pipe"));
    let steps = json!({"processors": [
        {"set": {"field": "seen", "value": true}},
        {"fail": {"if": "ctx.n == 3", "message": "no threes"}}
    ]});
    api.must("PUT", &format!("/_ingest/pipeline/{pipeline}"), &steps);
    let flags = format!(
        "--es-url {} --es-index {index} --es-pipeline {pipeline}",
        server.endpoint()
    );
    let mut sink = Sink::must_connect(&flags);
    let delivered = sink.send("a", &numbered(0..5));
    let reasons = reasons(&delivered);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert_eq!(reasons[0].0, 3);
    assert!(reasons[0].1.contains("no threes"), "{}", reasons[0].1);
    api.refresh(&index);
    assert_eq!(api.count_where(&index, &json!({"term": {"seen": true}})), 4);
    api.must("DELETE", &format!("/_ingest/pipeline/{pipeline}"), &Value::Null);
    let End::Refused { reason } = sink.send("b", &numbered(0..5)).end else {
        panic!("there is no pipeline any more")
    };
    assert!(reason.contains("does not exist"), "{reason}");
}

#[test]
fn a_data_stream_is_made_by_its_template_and_takes_documents_with_a_timestamp() {
    each(|endpoint, api| {
        let stream = api.new_name("stream");
        api.put_index_template(
            &stream,
            &json!({"index_patterns": [format!("{stream}*")], "data_stream": {}, "priority": 500}),
        );
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-data-stream {stream}"));
        let mut records = numbered(0..5);
        records[2] = r#"{"n":2}"#.to_owned();
        let delivered = sink.send("a", &records);
        let reasons = reasons(&delivered);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].1.contains("@timestamp"), "{}", reasons[0].1);
        api.refresh(&stream);
        assert_eq!(api.count(&stream), 4);
        // It is there now, and is found.
        Sink::must_connect(&format!("--es-url {endpoint} --es-data-stream {stream}"));
        let refused = Sink::refused(&format!("--es-url {endpoint} --es-index {stream} --es-op-type index"));
        assert!(refused.contains("is a data stream"), "{refused}");
    });
}

#[test]
fn a_closed_index_stops_the_worker_instead_of_rejecting_everything() {
    each(|endpoint, api| {
        let index = api.new_name("closed");
        api.create_index(&index, &json!({}));
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {index}"));
        api.must("POST", &format!("/{index}/_close"), &Value::Null);
        let delivered = sink.send("a", &numbered(0..3));
        assert!(
            matches!(&delivered.end, End::Refused { reason } if reason.contains("closed")),
            "{delivered:?}"
        );
        assert!(
            delivered
                .exceptions
                .iter()
                .all(|(_, verdict)| *verdict == Verdict::Pending)
        );
    });
}
