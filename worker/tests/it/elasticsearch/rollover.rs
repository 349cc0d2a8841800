//! Data streams and aliases that roll over between two attempts at one item.

use serde_json::json;

use super::*;

fn all_are_duplicates(delivered: &Delivered, documents: usize) {
    assert_eq!(delivered.end, End::Done);
    assert_eq!(delivered.exceptions.len(), documents, "{delivered:?}");
    let mut verdicts = delivered.exceptions.iter().map(|(_, verdict)| verdict);
    assert!(verdicts.all(|verdict| *verdict == Verdict::Duplicate), "{delivered:?}");
}

#[test]
fn a_record_that_is_delivered_again_after_a_rollover_is_there_once() {
    each(|endpoint, api| {
        let (stream, alias) = (api.new_name("rolled"), api.new_name("alias"));
        api.put_index_template(
            &stream,
            &json!({"index_patterns": [format!("{stream}*")], "data_stream": {}, "priority": 500}),
        );
        api.create_index(
            &format!("{alias}-000001"),
            &json!({"aliases": {&alias: {"is_write_index": true}}}),
        );
        for (flag, name) in [("--es-data-stream", &stream), ("--es-index", &alias)] {
            let mut sink = Sink::must_connect(&format!("--es-url {endpoint} {flag} {name}"));
            assert_eq!(sink.send("a", &numbered(0..1000)), all_taken());
            for _ in 0..2 {
                api.must("POST", &format!("/{name}/_rollover"), &json!({}));
                all_are_duplicates(&sink.send_again("a", &numbered(0..1000)), 1000);
            }
            // What was not there yet goes to the index that is written to now.
            let delivered = sink.send_again("a", &numbered(0..1200));
            assert_eq!((delivered.end, delivered.exceptions.len()), (End::Done, 1000));
            all_are_duplicates(&sink.send_again("a", &numbered(0..1200)), 1200);
            api.refresh(name);
            assert_eq!(api.count(name), 1200, "{name}");
        }
    });
}

#[test]
fn documents_are_looked_for_by_their_own_routing() {
    each(|endpoint, api| {
        let alias = api.new_name("routed");
        let index = |number: u32, is_write_index: bool| {
            api.create_index(
                &format!("{alias}-{number:06}"),
                &json!({"settings": {"number_of_shards": 3}, "aliases": {&alias: {"is_write_index": is_write_index}}}),
            );
        };
        index(1, true);
        let flags = format!("--es-url {endpoint} --es-index {alias} --es-routing-field tenant");
        let mut sink = Sink::must_connect(&flags);
        let records: Vec<_> = (0..50).map(|number| format!(r#"{{"tenant":{number}}}"#)).collect();
        assert_eq!(sink.send("a", &records), all_taken());
        api.must("POST", &format!("/{alias}/_rollover"), &json!({}));
        all_are_duplicates(&sink.send_again("a", &records), 50);
    });
}
