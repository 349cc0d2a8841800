//! Two records with one `_id`, and one record that is there already: how real servers let them be told apart.

use serde_json::json;

use super::*;

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

/// What is said of each record: whether it was there itself, or another with its `_id`.
fn are_conflicts(delivered: &Delivered) -> Vec<(u32, bool)> {
    assert_eq!(delivered.end, End::Done);
    let exceptions = delivered.exceptions.iter();
    exceptions
        .map(|(place, verdict)| match verdict {
            Verdict::Duplicate => (*place, false),
            Verdict::Conflict { reason } => {
                assert!(reason.contains("is something else"), "{reason}");
                (*place, true)
            }
            other => panic!("{place}: {other:?}"),
        })
        .collect()
}

#[test]
fn another_record_is_a_conflict_also_where_the_first_delivery_died_before_it_said_so() {
    each(|endpoint, api| {
        let (index, stream) = (api.new_name("died"), api.new_name("died-stream"));
        api.put_index_template(
            &stream,
            &json!({"index_patterns": [format!("{stream}*")], "data_stream": {}, "priority": 500}),
        );
        for (flag, name) in [("--es-index", &index), ("--es-data-stream", &stream)] {
            let record = |id: u32, whose: &str| {
                format!(
                    r#"{{"@timestamp":"2024-02-29T12:00:00Z","id":"{id}","price":1.10,"whose":"{whose}","\u00e9":[1e3]}}"#
                )
            };
            let ours: Vec<_> = (0..6).map(|id| record(id, "ours")).collect();
            let flags = format!("--es-url {endpoint} {flag} {name} --es-id field:id");
            let mut sink = Sink::must_connect(&flags);
            assert_eq!(sink.send("another", &[record(2, "another's")]), all_taken());
            // What this one hears is lost with its worker.
            let lost = sink.send("a", &ours[..4]);
            assert!(
                matches!(lost.exceptions.as_slice(), [(2, Verdict::Conflict { .. })]),
                "{lost:?}"
            );
            let expected = [(0, false), (1, false), (2, true), (3, false)];
            assert_eq!(are_conflicts(&sink.send_again("a", &ours)), expected, "{name}");
            assert_eq!(sink.metric("pf_bulk_documents_total{conflicting}"), 2);
            api.refresh(name);
            assert_eq!(api.count(name), 6);
            assert_eq!(api.document(name, "2").unwrap()["whose"], "another's");
        }
    });
}

#[test]
fn another_record_before_a_rollover_takes_no_records_place_on_a_later_delivery() {
    each(|endpoint, api| {
        let alias = api.new_name("older");
        api.create_index(
            &format!("{alias}-000001"),
            &json!({"aliases": {&alias: {"is_write_index": true}}}),
        );
        let flags = format!("--es-url {endpoint} --es-index {alias} --es-id field:n");
        let mut sink = Sink::must_connect(&flags);
        let another = r#"{"n":1,"another":true}"#.to_owned();
        assert_eq!(sink.send("another", &[another]), all_taken());
        assert_eq!(sink.send("a", &numbered(0..1)), all_taken());
        api.must("POST", &format!("/{alias}/_rollover"), &json!({}));
        assert_eq!(are_conflicts(&sink.send_again("a", &numbered(0..3))), [(0, false)]);
        api.refresh(&alias);
        assert_eq!(api.count(&alias), 4);
    });
}

#[test]
fn what_is_stored_is_looked_for_in_the_index_that_an_alias_writes_to_be_it_the_youngest_or_not() {
    each(|endpoint, api| {
        let alias = api.new_name("written");
        for (number, is_write_index) in [(1, true), (2, false)] {
            api.create_index(
                &format!("{alias}-{number:06}"),
                &json!({"aliases": {&alias: {"is_write_index": is_write_index}}}),
            );
        }
        let flags = format!("--es-url {endpoint} --es-index {alias} --es-id field:n");
        let mut sink = Sink::must_connect(&flags);
        assert_eq!(sink.send("a", &numbered(0..3)), all_taken());
        // One that was restored beside it has another record by the same id.
        let mut restored = Sink::must_connect(&format!(
            "--es-url {endpoint} --es-index {alias}-000002 --es-id field:n"
        ));
        let another = r#"{"n":1,"another":true}"#.to_owned();
        assert_eq!(restored.send("another", &[another]), all_taken());
        let again = sink.send_again("a", &numbered(0..4));
        assert_eq!(are_conflicts(&again), [(0, false), (1, false), (2, false)]);
        api.refresh(&alias);
        assert_eq!(api.count(&alias), 5);
    });
}

#[test]
fn a_record_that_a_pipeline_added_to_is_still_itself() {
    // The distribution of Elasticsearch that tests have is without the processor `set`.
    for server in [OpenSearch::shared(), OpenSearch::shared_2()] {
        let (endpoint, api) = (server.endpoint(), server.api());
        let (index, pipeline) = (api.new_name("added"), api.new_name("adds"));
        let steps = json!({"processors": [{"set": {"field": "seen.by", "value": "pipeline"}}]});
        api.must("PUT", &format!("/_ingest/pipeline/{pipeline}"), &steps);
        let flags = format!("--es-url {endpoint} --es-index {index} --es-id field:id --es-pipeline {pipeline}");
        let mut sink = Sink::must_connect(&flags);
        let records: Vec<_> = (0..5)
            .map(|id| format!(r#"{{"id":{id},"price":1.10,"large":1e3,"of":{{"b":null,"a":["1","\u00e9"]}}}}"#))
            .collect();
        assert_eq!(sink.send("a", &records), all_taken());
        let itself: Vec<_> = (0..5).map(|place| (place, false)).collect();
        assert_eq!(are_conflicts(&sink.send_again("a", &records)), itself);
    }
}
