//! Bodies of bulks: every pair of lines, every identity, every name, by example and by property.

use std::{collections::HashSet, sync::Arc};

use arrow::json::ReaderBuilder;
use pf_work::{Compression, Format, WorkItem};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    batch::{Batch, ColumnBatch, LineBatch, Reject},
    predicate::FieldPath,
    reader::ndjson,
};

/// An item of 100 bytes that was changed at no known time.
pub(super) fn item(uri: &str, etag: Option<&str>) -> WorkItem {
    WorkItem {
        v: pf_work::item::VERSION,
        life: None,
        run: 1,
        returns: 0,
        tries: 0,
        crashes: 0,
        job: "job".to_owned(),
        seq: 0,
        uri: uri.to_owned(),
        etag: etag.map(str::to_owned),
        size_bytes: 100,
        last_modified: None,
        format: Format::Ndjson,
        compression: Compression::None,
        range: None,
        partition: [("region".to_owned(), "eu".to_owned())].into(),
        enqueued_at: "2024-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn addressing(index: &str) -> Addressing {
    Addressing {
        operation: Operation::Create,
        id: IdMode::Deterministic,
        index: index.parse().unwrap(),
        routing: None,
        timestamp: "@timestamp".parse().unwrap(),
        left_out: Vec::new(),
        document_bytes_max: 1000,
    }
}

fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

/// The records as a reader gives them: as lines, or as columns, of which a batch ends where a type changes.
fn read(records: &[&str], columns: bool) -> Vec<Batch> {
    let text = records.join("\n") + "\n";
    let options = ndjson::Options {
        columns: columns.then(Vec::new),
        filter: None,
        record_bytes_max: 1 << 20,
        batch_records_max: 1000,
        batch_bytes_max: 1 << 20,
    };
    let mut reader = ndjson::Reader::new(text.as_bytes(), ndjson::Span::WHOLE, options);
    let mut rejects = Vec::new();
    let batches = std::iter::from_fn(|| reader.next_batch(&mut rejects).unwrap()).collect();
    assert!(rejects.is_empty(), "{rejects:?}");
    batches
}

struct Encoded {
    bulk: Bulk,
    rejects: Vec<Reject>,
    bytes: u64,
}

impl Encoded {
    fn lines(&self) -> Vec<&str> {
        std::str::from_utf8(&self.bulk.body).unwrap().lines().collect()
    }

    fn reasons(&self) -> Vec<(u64, &str)> {
        self.rejects
            .iter()
            .map(|reject| (reject.ordinal, reject.reason.as_str()))
            .collect()
    }
}

fn encode(addressing: &Addressing, batches: &[Batch]) -> Encoded {
    let mut bulk = Bulk::default();
    let mut rejects = Vec::new();
    let mut bytes = 0;
    let origin = Origin::new(&item("s3://logs/a.ndjson", Some("abc")));
    let mut encoder = BulkEncoder::new(Arc::new(addressing.clone()));
    for batch in batches {
        bytes += encoder.append(&mut bulk, &origin, 7, batch, &mut rejects).unwrap();
    }
    check_body(&bulk);
    Encoded { bulk, rejects, bytes }
}

/// Every line is JSON, they pair up, and the documents say where they are.
fn check_body(bulk: &Bulk) {
    let mut at = 0;
    for (place, document) in bulk.documents.iter().enumerate() {
        assert_eq!(document.lines().start, at);
        at = document.lines().end;
        let lines = &bulk.body[document.lines()];
        let (action, source) = lines.split_at(document.source.start as usize - document.action as usize);
        let action: Value = serde_json::from_slice(action.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!(action.as_object().unwrap().len(), 1);
        let source = source.strip_suffix(b"\n").unwrap();
        assert_eq!(source, bulk.source(place as u32));
        assert!(!source.contains(&b'\n'));
        assert!(serde_json::from_slice::<Value>(source).unwrap().is_object());
    }
    assert_eq!(at, bulk.body.len());
}

/// Lines and columns alike.
fn both(records: &[&str], check: impl Fn(Vec<Batch>)) {
    check(read(records, false));
    check(read(records, true));
}

#[test]
fn a_document_is_the_record_as_it_came_below_a_short_action_line() {
    let encoded = encode(&addressing("logs"), &read(&[r#"{"a" : 1.0}"#, r#"{"b":"ü"}"#], false));
    assert_eq!(
        encoded.lines(),
        [
            r#"{"create":{"_id":"GU1QmbNac3wkS6osuxVpeQ-0"}}"#,
            r#"{"a" : 1.0}"#,
            r#"{"create":{"_id":"GU1QmbNac3wkS6osuxVpeQ-c"}}"#,
            r#"{"b":"ü"}"#,
        ]
    );
    assert_eq!(encoded.bytes, 11 + 10);
    let documents = &encoded.bulk.documents;
    assert!(documents.iter().all(|document| document.segment == 7));
    assert_eq!(
        documents.iter().map(|document| document.ordinal).collect::<Vec<_>>(),
        [0, 12]
    );
}

#[test]
fn columns_give_the_same_documents_as_lines() {
    let records = [r#"{"a":1,"b":"x"}"#, r#"{"a":2.5}"#, r#"{"b":null}"#];
    let lines = encode(&addressing("logs"), &read(&records, false));
    let columns = encode(&addressing("logs"), &read(&records[..1], true));
    assert_eq!(columns.lines(), lines.lines()[..2]);
    assert_eq!(columns.bytes, records[0].len() as u64);
}

#[test]
fn an_id_a_routing_and_an_index_come_from_fields() {
    let addressing = Addressing {
        operation: Operation::Index,
        id: IdMode::Field(path("key.id")),
        routing: Some(path("tenant")),
        ..addressing("logs-{tenant}-{region}-{+yyyy.MM.dd}")
    };
    let records = [
        r#"{"@timestamp":"2024-02-29T23:30:00-01:00","tenant":"a","key":{"id":"x\"y\n"}}"#,
        r#"{"@timestamp":"2024-02-29T00:00:00Z","tenant":"b","key":{"id":"é"}}"#,
    ];
    both(&records, |batches| {
        let encoded = encode(&addressing, &batches);
        assert_eq!(
            [encoded.lines()[0], encoded.lines()[2]],
            [
                r#"{"index":{"_id":"x\"y\n","routing":"a","_index":"logs-a-eu-2024.03.01"}}"#,
                r#"{"index":{"_id":"é","routing":"b","_index":"logs-b-eu-2024.02.29"}}"#,
            ]
        );
    });
    let numbers = [r#"{"@timestamp":1709251199,"tenant":3,"key":{"id":17}}"#];
    both(&numbers, |batches| {
        let encoded = encode(&addressing, &batches);
        assert_eq!(
            encoded.lines()[0],
            r#"{"index":{"_id":"17","routing":"3","_index":"logs-3-eu-2024.02.29"}}"#
        );
    });
}

#[test]
fn elasticsearch_may_make_ids_up() {
    let addressing = Addressing {
        id: IdMode::Auto,
        ..addressing("logs")
    };
    assert_eq!(
        encode(&addressing, &read(&["{}"], false)).lines(),
        [r#"{"create":{}}"#, "{}"]
    );
}

#[test]
fn a_record_without_what_its_address_needs_is_rejected_with_the_reason_and_the_others_are_not() {
    let addressing = Addressing {
        id: IdMode::Field(path("id")),
        ..addressing("logs-{x}")
    };
    let long = format!(r#"{{"id":"{}","x":"a"}}"#, "i".repeat(513));
    let records = [
        r#"{"x":"a"}"#,
        r#"{"id":null,"x":"a"}"#,
        r#"{"id":{"a":1},"x":"a"}"#,
        r#"{"id":"","x":"a"}"#,
        &long,
        r#"{"id":"1","x":"A"}"#,
        r#"{"id":"1"}"#,
        r#"{"id":"1","x":"a"}"#,
    ];
    both(&records, |batches| {
        let encoded = encode(&addressing, &batches);
        assert_eq!(
            encoded.lines(),
            [r#"{"create":{"_id":"1","_index":"logs-a"}}"#, records[7]]
        );
        let reasons: Vec<_> = encoded.reasons().into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(
            reasons,
            [
                "no _id: field `id` is missing or null",
                "no _id: field `id` is missing or null",
                "no _id: field `id` is neither text nor a number",
                "no _id: field `id` is empty",
                "no _id: field `id` has 513 bytes, and an _id may have 512",
                "no index name: `logs-A` is not lower case",
                "no index name: the record has no field `x`, and the object no partition value of that name",
            ]
        );
        assert_eq!(encoded.rejects[0].raw, records[0].as_bytes());
        assert_eq!(encoded.rejects[1].ordinal, records[0].len() as u64 + 1);
    });
}

#[test]
fn half_of_a_surrogate_pair_is_no_id() {
    let addressing = Addressing {
        id: IdMode::Field(path("id")),
        ..addressing("logs")
    };
    let encoded = encode(&addressing, &read(&[r#"{"id":"\ud800"}"#], false));
    assert_eq!(
        encoded.reasons(),
        [(
            0,
            "no _id: field `id` has half of a surrogate pair in it, which is no text"
        )]
    );
}

#[test]
fn a_document_that_no_request_may_carry_is_rejected() {
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(993));
    let largest = format!(r#"{{"a":"{}"}}"#, "x".repeat(992));
    both(&[&large, &largest, "{}"], |batches| {
        let encoded = encode(&addressing("logs"), &batches);
        assert_eq!(encoded.bulk.documents.len(), 2);
        assert_eq!(
            encoded.reasons(),
            [(
                0,
                "a document of 1001 bytes, larger than the largest that a request may carry, 1000"
            )]
        );
        assert_eq!(encoded.rejects[0].record_bytes, 1001);
    });
}

#[test]
fn a_field_in_a_null_struct_or_below_a_key_with_a_dot_or_in_a_json_column_is_found_or_missing() {
    let schema = arrow::json::reader::infer_json_schema(&br#"{"s":{"id":"x"},"t.id":{"k":1}}"#[..], None)
        .unwrap()
        .0;
    let rows = br#"{"s":{"id":"x"},"t.id":{"k":1}}
{"s":null,"t.id":{"k":2}}
"#;
    let records = ReaderBuilder::new(Arc::new(schema))
        .build(&rows[..])
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let batches = [Batch::Columns(ColumnBatch {
        records,
        ordinals: vec![0, 1],
        input_bytes: 0,
    })];
    let with = |id: &str| {
        let addressing = Addressing {
            id: IdMode::Field(path(id)),
            ..addressing("logs")
        };
        encode(&addressing, &batches)
    };
    let nested = with("s.id");
    assert_eq!(nested.lines()[0], r#"{"create":{"_id":"x"}}"#);
    assert_eq!(nested.reasons(), [(1, "no _id: field `s.id` is missing or null")]);
    assert_eq!(with("t.id.k").lines()[2], r#"{"create":{"_id":"2"}}"#);

    // From the second row on the column has two types, and is kept as JSON text with objects in it.
    let drifting = [r#"{"a":5}"#, r#"{"a":{"id":"y"}}"#, r#"{"a":6}"#, r#"{"a":{"id":"z"}}"#];
    let addressing = Addressing {
        id: IdMode::Field(path("a.id")),
        ..addressing("logs")
    };
    let encoded = encode(&addressing, &read(&drifting, true));
    assert_eq!([encoded.lines()[1], encoded.lines()[3]], [drifting[1], drifting[3]]);
    assert_eq!(encoded.rejects.len(), 2);
}

#[test]
fn a_bulk_is_emptied_for_the_next_even_while_a_request_holds_on_to_it() {
    let mut bulk = encode(&addressing("logs"), &read(&["{}"], false)).bulk;
    let request = bulk.body.to_bytes();
    let sent = request.to_vec();
    bulk.clear();
    assert!(bulk.is_empty() && bulk.body.is_empty());
    let origin = Origin::new(&item("s3://b/k", None));
    BulkEncoder::new(Arc::new(addressing("logs")))
        .append(&mut bulk, &origin, 0, &read(&[r#"{"a":1}"#], false)[0], &mut Vec::new())
        .unwrap();
    assert_eq!(request, sent);
    check_body(&bulk);
}

proptest! {
    #[test]
    fn lines_and_columns_give_bodies_that_pair_up_with_ids_that_are_all_different(
        records in proptest::collection::vec((0..3u8, "\\PC{0,12}", any::<i64>()), 1..40),
    ) {
        let records: Vec<String> = records
            .into_iter()
            .map(|(kind, text, number)| match kind {
                0 => json!({"a": text, "n": number}),
                1 => json!({"n": number, "o": {"t": text}}),
                _ => json!({}),
            }.to_string())
            .collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        for columns in [false, true] {
            let encoded = encode(&addressing("logs"), &read(&records, columns));
            prop_assert_eq!(encoded.bulk.documents.len(), records.len());
            let ids: HashSet<_> = encoded.lines().into_iter().step_by(2).map(str::to_owned).collect();
            prop_assert_eq!(ids.len(), records.len());
            for (line, record) in encoded.lines().into_iter().skip(1).step_by(2).zip(&records) {
                let (line, record): (Value, Value) =
                    (serde_json::from_str(line).unwrap(), serde_json::from_str(record).unwrap());
                prop_assert_eq!(line, record);
            }
        }
    }

    #[test]
    fn any_value_of_a_field_is_an_id_or_a_reason(value in "\\PC{0,20}|[0-9.e-]{1,6}") {
        let addressing = Addressing { id: IdMode::Field(path("id")), ..addressing("logs-{id}") };
        let record = json!({"id": value}).to_string();
        let encoded = encode(&addressing, &read(&[&record], false));
        prop_assert_eq!(encoded.bulk.documents.len() + encoded.rejects.len(), 1);
        if let Some(action) = encoded.lines().first() {
            let action: Value = serde_json::from_str(action).unwrap();
            prop_assert_eq!(&action["create"]["_id"], &json!(value));
        }
    }
}

#[test]
fn an_empty_batch_adds_nothing() {
    let encoded = encode(&addressing("logs"), &[Batch::Lines(LineBatch::default())]);
    assert!(encoded.bulk.is_empty() && encoded.rejects.is_empty());
    assert_eq!(encoded.bytes, 0);
}

#[test]
fn fields_that_are_left_out_still_make_the_address() {
    let addressing = Addressing {
        id: IdMode::Field(path("_id.$oid")),
        left_out: vec![path("_id"), path("secret"), path("a.b")],
        ..addressing("logs-{t}")
    };
    both(
        &[
            r#"{"_id":{"$oid":"x"},"t":"eu","a":{"b":1,"c":2},"secret":"s"}"#,
            r#"{"_id":{"$oid":"y"},"t":"us","a":{"b":3,"c":4},"secret":"t"}"#,
        ],
        |batches| {
            let encoded = encode(&addressing, &batches);
            assert_eq!(encoded.reasons(), []);
            assert_eq!(
                encoded.lines(),
                [
                    r#"{"create":{"_id":"x","_index":"logs-eu"}}"#,
                    r#"{"t":"eu","a":{"c":2}}"#,
                    r#"{"create":{"_id":"y","_index":"logs-us"}}"#,
                    r#"{"t":"us","a":{"c":4}}"#,
                ]
            );
        },
    );
}
