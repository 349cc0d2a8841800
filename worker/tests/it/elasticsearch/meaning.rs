//! What a success, a conflict and a refusal of real servers mean.

use pf_e2e::elasticsearch::Settings;
use serde_json::json;

use super::*;

fn refused(delivered: &Delivered, advice: &str) {
    assert!(
        matches!(&delivered.end, End::Refused { reason } if reason.contains(advice)),
        "{advice}: {delivered:?}"
    );
    assert!(
        delivered
            .exceptions
            .iter()
            .all(|(_, verdict)| *verdict == Verdict::Pending)
    );
}

#[test]
fn a_document_that_a_pipeline_drops_is_dropped() {
    // The distribution of Elasticsearch that tests have is without the processor `drop`.
    for server in [OpenSearch::shared(), OpenSearch::shared_2()] {
        let (endpoint, api) = (server.endpoint(), server.api());
        let (index, pipeline) = (api.new_name("dropped"), api.new_name("drop"));
        let steps = json!({"processors": [{"drop": {"if": "ctx.n == 3"}}]});
        api.must("PUT", &format!("/_ingest/pipeline/{pipeline}"), &steps);
        api.create_index(&index, &json!({"settings": {"index.default_pipeline": pipeline}}));
        for flags in [String::new(), "--es-id field:n --es-op-type index".to_owned()] {
            let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {index} {flags}"));
            let delivered = sink.send("a", &numbered(0..5));
            assert_eq!(
                (delivered.exceptions, delivered.end),
                (vec![(3, Verdict::Dropped)], End::Done)
            );
        }
        api.refresh(&index);
        assert_eq!(api.count(&index), 8);
    }
}

#[test]
fn a_document_that_a_failure_store_has_is_not_where_it_was_to_go() {
    for server in [Server::shared(), Server::shared_9()] {
        let api = server.api();
        let stream = api.new_name("failing");
        api.put_index_template(
            &stream,
            &json!({
                "index_patterns": [format!("{stream}*")], "data_stream": {}, "priority": 500,
                "template": {
                    "mappings": {"properties": {"n": {"type": "long"}}},
                    "data_stream_options": {"failure_store": {"enabled": true}},
                },
            }),
        );
        let mut sink = Sink::must_connect(&format!("--es-url {} --es-data-stream {stream}", server.endpoint()));
        let mut records = numbered(0..4);
        records[2] = r#"{"@timestamp":"2024-02-29T12:00:00Z","n":"no number"}"#.to_owned();
        let delivered = sink.send("a", &records);
        assert_eq!(delivered.end, End::Done);
        api.refresh(&stream);
        assert_eq!(api.count(&stream), 3);
        assert_eq!(delivered.exceptions, [(2, Verdict::Redirected)]);
        let store = format!("{stream}::failures");
        api.refresh(&store);
        assert_eq!(api.count(&store), 1);
    }
}

#[test]
fn a_cluster_that_has_no_room_for_another_index_stops_the_work() {
    let server = Server::start(&Settings::default().set("cluster.max_shards_per_node", "1"));
    let mut sink = Sink::must_connect(&format!("--es-url {} --es-index full-{{+yyyy}}", server.endpoint()));
    refused(&sink.send("a", &numbered(0..40)), "cluster.max_shards_per_node");
}

#[test]
fn an_index_that_takes_no_more_fields_stops_the_work_only_if_it_takes_nothing() {
    each(|endpoint, api| {
        let index = api.new_name("fields");
        api.create_index(
            &index,
            &json!({
                "settings": {"index.mapping.total_fields.limit": 2},
                "mappings": {"properties": {"n": {"type": "long"}, "@timestamp": {"type": "date"}}},
            }),
        );
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {index}"));
        let more: Vec<_> = (0..20).map(|n| format!(r#"{{"n":{n},"x":1}}"#)).collect();
        refused(&sink.send("a", &more), "total_fields.limit");
        let mut records = numbered(0..20);
        records[7] = more[7].clone();
        let delivered = sink.send("b", &records);
        let reasons = reasons(&delivered);
        assert!(
            matches!(reasons.as_slice(), [(7, reason)] if reason.contains("Limit of total fields")),
            "{reasons:?}"
        );
    });
}

#[test]
fn a_target_that_makes_up_its_ids_itself_is_told_of() {
    for server in [Server::shared(), Server::shared_9()] {
        let api = server.api();
        let stream = api.new_name("series");
        api.put_index_template(
            &stream,
            &json!({
                "index_patterns": [format!("{stream}*")], "data_stream": {}, "priority": 500,
                "template": {
                    "settings": {"index.mode": "time_series", "index.routing_path": ["host"]},
                    "mappings": {"properties": {
                        "@timestamp": {"type": "date"},
                        "host": {"type": "keyword", "time_series_dimension": true},
                    }},
                },
            }),
        );
        let now = Timestamp::now();
        let records = [format!(r#"{{"@timestamp":"{now}","host":"a"}}"#)];
        let flags = format!("--es-url {} --es-data-stream {stream}", server.endpoint());
        let mut sink = Sink::must_connect(&flags);
        refused(&sink.send("a", &records), "--es-id auto");
        let mut sink = Sink::must_connect(&format!("{flags} --es-id auto"));
        assert_eq!(sink.send("a", &records), all_taken());
    }
}

#[test]
fn an_index_that_is_blocked_stops_the_work() {
    each(|endpoint, api| {
        let index = api.new_name("blocked");
        api.create_index(&index, &json!({"settings": {"index.blocks.write": true}}));
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {index}"));
        refused(&sink.send("a", &numbered(0..3)), "take the block away");
    });
}

#[test]
fn a_field_that_an_id_is_read_from_may_have_a_name_that_no_document_may_have() {
    each(|endpoint, api| {
        let index = api.new_name("mongo");
        let flags = format!("--es-url {endpoint} --es-index {index} --es-id field:_id.$oid");
        let mut sink = Sink::must_connect_leaving_out(&flags);
        let records = [r#"{"_id":{"$oid":"65a0"},"v":1}"#.to_owned()];
        assert_eq!(sink.send("a", &records), all_taken());
        api.refresh(&index);
        assert_eq!(api.document(&index, "65a0"), Some(json!({"v": 1})));
    });
}

/// The pieces of text of docs/elasticsearch.md in this language that speak of all documents of one object.
fn documented(language: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/elasticsearch.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let section = page
        .split_once("**All documents of one object.**")
        .expect("they are spoken of")
        .1;
    let block = section
        .split_once(&format!("```{language}\n"))
        .expect("there is such a piece")
        .1;
    block.split_once("```").expect("it ends").0.to_owned()
}

#[test]
fn all_documents_of_one_object_are_found_as_the_page_says() {
    let start = |object: &str| format!("{}-", pf_work::identity::prefix_text(&item(object)));
    let query = |object: &str| documented("json").replace("CHARACTERS-", &start(object));
    for server in [OpenSearch::shared(), OpenSearch::shared_2()] {
        let (endpoint, api) = (server.endpoint(), server.api());
        let index = api.new_name("found");
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {index}"));
        for (object, records) in [("a", 40), ("b", 3)] {
            assert_eq!(sink.send(object, &numbered(0..records)), all_taken());
            api.refresh(&index);
            let (status, found) = api.request("POST", &format!("/{index}/_count"), &query(object));
            assert_eq!((status, &found["count"]), (200, &json!(records)), "{found}");
        }
        let (status, deleted) = api.request("POST", &format!("/{index}/_delete_by_query"), &query("a"));
        assert_eq!((status, &deleted["deleted"]), (200, &json!(40)), "{deleted}");
        api.refresh(&index);
        assert_eq!(api.count(&index), 3);
    }
    // What is not said there, as no server takes it. The distribution of Elasticsearch that tests have is without ES|QL.
    each(|endpoint, api| {
        let index = api.new_name("prefix");
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {index}"));
        assert_eq!(sink.send("a", &numbered(0..3)), all_taken());
        let query = json!({"query": {"prefix": {"_id": start("a")}}}).to_string();
        let (status, answer) = api.request("POST", &format!("/{index}/_count"), &query);
        assert_eq!(status, 400, "{answer}");
    });
}
