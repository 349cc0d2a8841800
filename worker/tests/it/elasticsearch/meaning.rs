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
fn two_records_with_one_id_are_a_conflict_that_the_user_decides_about() {
    each(|endpoint, api| {
        let records: Vec<_> = (0..6).map(|n| format!(r#"{{"id":"{}","n":{n}}}"#, n % 3)).collect();
        for (what, exceptions, first) in [("dead-letter", 3, 0), ("keep", 3, 0), ("replace", 3, 3)] {
            let index = api.new_name(what);
            let flags = format!("--es-url {endpoint} --es-index {index} --es-id field:id --es-on-conflict {what}");
            let mut sink = Sink::must_connect(&flags);
            let delivered = sink.send("a", &records);
            assert_eq!((delivered.end, delivered.exceptions.len()), (End::Done, exceptions));
            for (place, verdict) in delivered.exceptions {
                let is_right = match what {
                    "dead-letter" => {
                        matches!(&verdict, Verdict::Conflict { reason } if reason.contains(&format!("`{}`", place - 3)))
                    }
                    "keep" => verdict == Verdict::Duplicate,
                    _ => verdict == Verdict::Updated,
                };
                assert!(is_right, "{what}, {place}: {verdict:?}");
            }
            api.refresh(&index);
            assert_eq!(api.count(&index), 3);
            assert_eq!(api.document(&index, "0"), Some(json!({"id": "0", "n": first})));
        }
    });
}

#[test]
fn a_conflict_is_told_again_when_the_item_is_delivered_again() {
    each(|endpoint, api| {
        let index = api.new_name("again");
        let other = json!({"id": "1", "n": "another"}).to_string();
        api.bulk(&index, &format!("{{\"create\":{{\"_id\":\"1\"}}}}\n{other}\n"));
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {index} --es-id field:id"));
        let records: Vec<_> = (0..3).map(|n| format!(r#"{{"id":"{n}","n":"ours"}}"#)).collect();
        let places = |delivered: &Delivered| {
            let conflicts = delivered.exceptions.iter();
            let conflicts = conflicts.filter(|(_, verdict)| matches!(verdict, Verdict::Conflict { .. }));
            conflicts.map(|(place, _)| *place).collect::<Vec<_>>()
        };
        let first = sink.send("a", &records);
        assert_eq!((places(&first), first.exceptions.len()), (vec![1], 1), "{first:?}");
        // Its worker died before anybody could know.
        let (mut bulk, _) = sink.bulk("a", &records, false);
        bulk.sent_since = vec![Some(jiff::Timestamp::now())];
        let second = sink.deliver(&bulk);
        assert_eq!((places(&second), second.exceptions.len()), (vec![1], 3), "{second:?}");
    });
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
        let now = jiff::Timestamp::now();
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
