//! Bodies as AWS documents them, bodies of its imitations, and bodies of nobody.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn items(body: &str) -> Vec<WorkItem> {
    match read(body, "events") {
        Content::Items(items) => items,
        other => panic!("{body}: {other:?}"),
    }
}

fn reason(body: &str) -> String {
    match read(body, "events") {
        Content::Rubbish(reason) => reason,
        other => panic!("{body}: {other:?}"),
    }
}

/// As in AWS' user guide, with the parts that matter to nobody here.
fn notification(name: &str, key: &str) -> String {
    format!(
        r#"{{"Records":[{{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2",
        "eventTime":"2024-02-29T23:59:59.123Z","eventName":"{name}","userIdentity":{{"principalId":"A"}},
        "s3":{{"s3SchemaVersion":"1.0","configurationId":"c","bucket":{{"name":"logs","arn":"arn:aws:s3:::logs"}},
        "object":{{"key":"{key}","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e","versionId":"v1",
        "sequencer":"0055AED6DCD90281E5"}}}}}}]}}"#
    )
}

#[test]
fn a_work_item_is_itself() {
    let item = crate::contract::item(7);
    assert_eq!(items(&item.to_json()), [item]);
}

#[test]
fn a_new_object_is_an_item_that_the_same_event_gives_again() {
    let first = items(&notification("ObjectCreated:Put", "2024/a+b%2Bc%25%20%C3%A9.ndjson"));
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].uri, "s3://logs/2024/a b+c% é.ndjson");
    assert_eq!(first[0].job, "events");
    assert_eq!(first[0].size_bytes, 1024);
    assert_eq!(first[0].etag.as_deref(), Some("\"d41d8cd98f00b204e9800998ecf8427e\""));
    assert_eq!(first[0].enqueued_at.to_string(), "2024-02-29T23:59:59.123Z");
    assert!(first[0].seq < 1 << SEQ_BITS);
    let again = items(&notification("ObjectCreated:Put", "2024/a%20b%2Bc%25+%C3%A9.ndjson"));
    assert_eq!(again, first, "both ways to write a blank are one key");
    let other = items(&notification("s3:ObjectCreated:CompleteMultipartUpload", "2024/b"));
    assert_ne!(other[0].seq, first[0].seq);
    assert_eq!(
        WorkItem::from_json(&first[0].to_json()).unwrap(),
        first[0],
        "it travels on as an item"
    );
}

#[test]
fn a_notification_within_sns_or_of_event_bridge_is_read_too() {
    let inner = notification("ObjectCreated:Put", "a+b");
    let outer = serde_json::json!({"Type": "Notification", "TopicArn": "arn:…", "Message": inner}).to_string();
    assert_eq!(items(&outer), items(&inner));

    let event = r#"{"version":"0","id":"i","detail-type":"Object Created","source":"aws.s3","time":"2024-02-29T23:59:59Z",
        "detail":{"version":"0","bucket":{"name":"logs"},"object":{"key":"a+b %41","size":5,"etag":"b1946ac9","sequencer":"6"},
        "reason":"PutObject"}}"#;
    let item = items(event).remove(0);
    assert_eq!(item.uri, "s3://logs/a+b %41", "EventBridge does not encode keys");
    assert_eq!((item.size_bytes, item.etag.as_deref()), (5, Some("\"b1946ac9\"")));
}

#[test]
fn several_objects_in_one_notification_are_several_items() {
    let records: String = (0..3).fold(String::new(), |mut text, number| {
        let whole = notification("ObjectCreated:Put", &format!("k{number}"));
        let record = &whole[whole.find('[').unwrap() + 1..whole.rfind(']').unwrap()];
        write!(text, "{}{record}", if number == 0 { "" } else { "," }).unwrap();
        text
    });
    let uris: Vec<String> = items(&format!(r#"{{"Records":[{records}]}}"#))
        .into_iter()
        .map(|item| item.uri)
        .collect();
    assert_eq!(uris, ["s3://logs/k0", "s3://logs/k1", "s3://logs/k2"]);
}

#[test]
fn a_test_a_removal_and_a_folder_marker_are_nothing_to_do() {
    let marker = notification("ObjectCreated:Put", "folder/").replace("1024", "0");
    for body in [
        r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2024-01-01T00:00:00Z","Bucket":"logs"}"#,
        r#"{"Records":[]}"#,
        r#"{"Records":[{"eventName":"ObjectRestore:Completed","s3":{"odd":true}}]}"#,
        r#"{"detail-type":"Object Deleted","detail":{}}"#,
        &notification("ObjectRemoved:Delete", "a"),
        &marker,
    ] {
        assert_eq!(read(body, "events"), Content::Nothing, "{body}");
    }
}

#[test]
fn rubbish_says_why() {
    for (body, why) in [
        ("hello", "is not JSON"),
        ("", "is not JSON"),
        ("7", "neither a work item nor a notification"),
        ("{}", "neither a work item nor a notification"),
        (r#"{"v":2,"seq":1}"#, "work item version 2 is not supported"),
        (r#"{"v":1,"seq":1}"#, "missing field"),
        (r#"{"Records":7}"#, "can't be read"),
        (
            r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}"#,
            "missing field `size`",
        ),
        (&notification("ObjectCreated:Put", "a%ff"), "not percent-encoded UTF-8"),
        (&notification("ObjectCreated:Put", "a%+1"), "not percent-encoded UTF-8"),
        (r#"{"Type":"Notification","Message":"hello"}"#, "is not JSON"),
    ] {
        let reason = reason(body);
        assert!(reason.contains(why), "{body}: {reason}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(body in ".*") {
        read(&body, "events");
    }

    #[test]
    fn any_key_survives_its_encoding(key in "[^/]+") {
        let encoded = key.bytes().fold(String::new(), |mut text, byte| {
            match byte {
                b' ' => text.push('+'),
                byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
                byte => write!(text, "%{byte:02X}").unwrap(),
            }
            text
        });
        prop_assert_eq!(&items(&notification("ObjectCreated:Put", &encoded))[0].uri, &format!("s3://logs/{key}"));
    }
}
