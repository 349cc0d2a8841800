//! The wire formats, as goldens: whoever changes one sees it here.

use expect_test::expect;
use pf_work::{
    ByteRange, Checkpoint, Compression, Counts, Format, WorkItem,
    checkpoint::Position,
    discovery::Discovered,
    item::{ParseError, VERSION},
    proof::{Summary, Verdict},
};
use proptest::prelude::*;

fn full() -> WorkItem {
    WorkItem {
        v: VERSION,
        life: Some("7d3f".to_owned()),
        run: 2,
        returns: 3,
        tries: 1,
        crashes: 1,
        job: "logs/nginx".to_owned(),
        seq: 41,
        uri: "s3://logs/2024/a b+c%20é.ndjson".to_owned(),
        etag: Some("\"9bb5-3\"".to_owned()),
        size_bytes: 1_000_000,
        last_modified: Some("2024-02-29T23:59:59.123Z".parse().expect("a time")),
        format: Format::Ndjson,
        compression: Compression::None,
        range: Some(ByteRange {
            start: 500_000,
            end: 1_000_000,
        }),
        partition: [("region".to_owned(), "eu=west".to_owned())].into(),
        enqueued_at: "2024-03-01T00:00:00Z".parse().expect("a time"),
    }
}

#[test]
fn a_work_item_is_one_line_of_json() {
    let json = full().to_json();
    expect![[r#"{"v":1,"job":"logs/nginx","life":"7d3f","run":2,"seq":41,"uri":"s3://logs/2024/a b+c%20é.ndjson","etag":"\"9bb5-3\"","size_bytes":1000000,"last_modified":"2024-02-29T23:59:59.123Z","format":"ndjson","compression":"none","range":{"start":500000,"end":1000000},"partition":{"region":"eu=west"},"returns":3,"tries":1,"crashes":1,"enqueued_at":"2024-03-01T00:00:00Z"}"#]]
    .assert_eq(&json);
    assert_eq!(WorkItem::from_json(&json).unwrap(), full());
}

#[test]
fn unknown_fields_are_ignored_and_absent_ones_have_their_defaults() {
    let json =
        r#"{"v":1,"job":"j","seq":0,"uri":"file:///a","size_bytes":0,"enqueued_at":"2024-03-01T00:00:00Z","new":{}}"#;
    let item = WorkItem::from_json(json).unwrap();
    assert_eq!(
        (item.format, item.compression, item.range),
        (Format::Auto, Compression::Auto, None)
    );
    assert_eq!(item.byte_range(), ByteRange { start: 0, end: 0 });
    assert_eq!(
        (item.life, item.run, item.returns, item.tries, item.crashes),
        (None, 1, 0, 0, 0)
    );
}

#[test]
fn another_version_is_refused_for_its_version_even_when_its_fields_are_unknown() {
    let error = WorkItem::from_json(r#"{"v":2,"address":"elsewhere"}"#).unwrap_err();
    expect!["work item version 2 is not supported, this build reads version 1"].assert_eq(&error.to_string());
}

#[test]
fn a_range_must_lie_within_its_object() {
    for (start, end) in [(5, 5), (6, 5), (0, 1_000_001)] {
        let item = WorkItem {
            range: Some(ByteRange { start, end }),
            ..full()
        };
        assert!(
            matches!(WorkItem::from_json(&item.to_json()), Err(ParseError::BadRange { .. })),
            "{start}..{end}"
        );
    }
}

#[test]
fn a_checkpoint_names_the_object_and_the_place() {
    let checkpoint = |position| Checkpoint {
        v: VERSION,
        job: "j".to_owned(),
        seq: 3,
        life: None,
        uri: "s3://b/k".to_owned(),
        range: None,
        crashes: 0,
        etag: "\"e\"".to_owned(),
        position,
        counts: Counts {
            records_in: 2,
            records_out: 1,
            records_rejected: 1,
            ..Counts::default()
        },
    };
    let json = |position| serde_json::to_string(&checkpoint(position)).unwrap();
    expect![[r#"{"v":1,"job":"j","seq":3,"uri":"s3://b/k","crashes":0,"etag":"\"e\"","position":{"kind":"byte","offset":7},"counts":{"records_in":2,"records_out":1,"records_filtered":0,"records_dropped":0,"records_redirected":0,"records_rejected":1,"records_duplicate":0,"records_updated":0,"records_conflicting":0,"span_bytes":0,"wire_bytes":0,"decompressed_bytes":0,"output_bytes":0}}"#]]
        .assert_eq(&json(Position::Byte { offset: 7 }));
    expect![[r#"{"v":1,"job":"j","seq":3,"uri":"s3://b/k","crashes":0,"etag":"\"e\"","position":{"kind":"frame","offset":7,"decompressed_offset":70,"skip_bytes":2},"counts":{"records_in":2,"records_out":1,"records_filtered":0,"records_dropped":0,"records_redirected":0,"records_rejected":1,"records_duplicate":0,"records_updated":0,"records_conflicting":0,"span_bytes":0,"wire_bytes":0,"decompressed_bytes":0,"output_bytes":0}}"#]]
        .assert_eq(&json(Position::Frame { offset: 7, decompressed_offset: 70, skip_bytes: 2 }));
    expect![[r#"{"v":1,"job":"j","seq":3,"uri":"s3://b/k","crashes":0,"etag":"\"e\"","position":{"kind":"row","row_group":1,"row":9},"counts":{"records_in":2,"records_out":1,"records_filtered":0,"records_dropped":0,"records_redirected":0,"records_rejected":1,"records_duplicate":0,"records_updated":0,"records_conflicting":0,"span_bytes":0,"wire_bytes":0,"decompressed_bytes":0,"output_bytes":0}}"#]]
        .assert_eq(&json(Position::Row { row_group: 1, row: 9 }));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".*") {
        WorkItem::from_json(&text).ok();
    }

    #[test]
    fn any_key_survives_the_journey(key in any::<String>(), job in any::<String>(), size_bytes in any::<u64>()) {
        let item = WorkItem { uri: format!("s3://b/{key}"), job, size_bytes, range: None, ..full() };
        prop_assert_eq!(WorkItem::from_json(&item.to_json()).unwrap(), item);
    }
}

#[test]
fn a_proof_is_told_in_these_words_and_read_back() {
    let mut summary = Summary {
        job: "logs".to_owned(),
        owner: Some("shop/logs 11".to_owned()),
        life: Some("7d3f".to_owned()),
        resumed_from: Some("shop/logs 10".to_owned()),
        verdict: Verdict::CompleteWithDeadLetters,
        discovered: true,
        objects: 3,
        object_bytes: 4096,
        archived: 2,
        expected: 5,
        settled: 5,
        dead_lettered: 1,
        missing: 0,
        settled_before: 2,
        budget_spent: Some("1 of 10 records rejected, 0 allowed".to_owned()),
        wrong: String::new(),
        counts: Counts {
            records_in: 10,
            records_out: 9,
            records_rejected: 1,
            ..Counts::default()
        },
    };
    expect![[r#"{"job":"logs","owner":"shop/logs 11","life":"7d3f","resumed_from":"shop/logs 10","verdict":"complete_with_dead_letters","discovered":true,"objects":3,"object_bytes":4096,"archived":2,"expected":5,"settled":5,"dead_lettered":1,"missing":0,"settled_before":2,"budget_spent":"1 of 10 records rejected, 0 allowed","wrong":"","records_in":10,"records_out":9,"records_filtered":0,"records_dropped":0,"records_redirected":0,"records_rejected":1,"records_duplicate":0,"records_updated":0,"records_conflicting":0,"span_bytes":0,"wire_bytes":0,"decompressed_bytes":0,"output_bytes":0}"#]]
    .assert_eq(&summary.to_json());
    assert_eq!(Summary::from_json(&summary.to_json()), Some(summary.clone()));
    assert_eq!(Summary::from_json("cannot read the manifest"), None);

    summary.wrong = "é".repeat(5000);
    assert!(
        summary.to_json().len() < 2048,
        "a container's last words are cut after 4 KiB"
    );
}

#[test]
fn a_discovery_is_told_in_these_words_and_read_back() {
    let discovered = Discovered {
        job: "logs".to_owned(),
        owner: Some("shop/logs 11".to_owned()),
        life: Some("7d3f".to_owned()),
        resumed_from: None,
        items: 5,
        objects: 3,
        object_bytes: 4096,
        archived: 2,
    };
    expect![[
        r#"{"job":"logs","owner":"shop/logs 11","life":"7d3f","items":5,"objects":3,"object_bytes":4096,"archived":2}"#
    ]]
    .assert_eq(&discovered.to_json());
    assert_eq!(Discovered::from_json(&discovered.to_json()), Some(discovered));
    assert_eq!(Discovered::from_json("cannot list the bucket"), None);
}
