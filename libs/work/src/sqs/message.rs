//! What a message's body holds: one work item, what S3 says of new objects, or nothing that we can work on.
//!
//! S3's notifications come in three wrappings: as S3 sends them itself ("Event message structure" in the S3 user guide),
//! the same within an SNS notification, and as EventBridge sends them ("EventBridge event message structure" there).
//! They carry no job and no number, so both are made up here, and the same each time the same event comes.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{Compression, Format, WorkItem, item, item::ParseError};

/// What a body holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// What is to be done: a work item, or the objects of a notification.
    Items(Vec<WorkItem>),
    /// A well-formed notification that no object was made: a test of S3's, a removal.
    Nothing,
    /// Nothing that this build can work on, and why.
    Rubbish(String),
}

/// Numbers of made-up items stay below this, as not every reader of JSON has larger whole numbers.
const SEQ_BITS: u32 = 53;

/// SNS within SNS is nobody's intention.
const WRAPPINGS_MAX: u32 = 2;

/// Reads a body. Objects of notifications become items of `event_job`.
pub(super) fn read(body: &str, event_job: &str) -> Content {
    read_wrapped(body, event_job, WRAPPINGS_MAX)
}

fn read_wrapped(body: &str, event_job: &str, wrappings_max: u32) -> Content {
    let value: Value = match serde_json::from_str(body) {
        Ok(value) => value,
        Err(error) => return rubbish("is not JSON", &error),
    };
    if value.get("v").is_some() {
        return match WorkItem::from_json(body) {
            Ok(item) => Content::Items(vec![item]),
            Err(ParseError::Malformed(error)) => rubbish("is not a work item", &error),
            Err(error) => Content::Rubbish(error.to_string()),
        };
    }
    if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Content::Nothing;
    }
    if value.get("Type").and_then(Value::as_str) == Some("Notification")
        && let Some(inner) = value.get("Message").and_then(Value::as_str)
        && wrappings_max > 0
    {
        return read_wrapped(inner, event_job, wrappings_max - 1);
    }
    let objects = if value.get("Records").is_some() {
        s3_objects(value)
    } else if value.get("detail-type").is_some() {
        event_bridge_objects(value)
    } else {
        return Content::Rubbish("the message is neither a work item nor a notification of S3's".to_owned());
    };
    match objects {
        Ok(objects) => {
            let items: Vec<WorkItem> = objects
                .into_iter()
                .filter(|object| !object.is_folder_marker())
                .map(|object| object.into_item(event_job))
                .collect();
            if items.is_empty() {
                Content::Nothing
            } else {
                Content::Items(items)
            }
        }
        Err(reason) => Content::Rubbish(reason),
    }
}

fn rubbish(what: &str, error: &serde_json::Error) -> Content {
    Content::Rubbish(format!("the message {what}: {error}"))
}

/// A new object, as a notification tells of it.
struct NewObject {
    bucket: String,
    key: String,
    size_bytes: u64,
    etag: Option<String>,
    time: Option<Timestamp>,
    /// Tells events of the same key apart.
    sequencer: String,
}

impl NewObject {
    /// The discoverer passes over these too.
    fn is_folder_marker(&self) -> bool {
        self.key.ends_with('/') && self.size_bytes == 0
    }

    fn into_item(self, job: &str) -> WorkItem {
        let Self {
            bucket,
            key,
            size_bytes,
            etag,
            time,
            sequencer,
        } = self;
        let uri = format!("s3://{bucket}/{key}");
        // Notifications leave out the quotes that listings have: with them, a record has one identity either way.
        let etag = etag
            .filter(|etag| !etag.is_empty())
            .map(|etag| format!("\"{}\"", etag.trim_matches('"')));
        WorkItem {
            v: item::VERSION,
            life: None,
            run: 1,
            returns: 0,
            tries: 0,
            crashes: 0,
            job: job.to_owned(),
            seq: seq_of(&uri, etag.as_deref().unwrap_or_default(), &sequencer),
            uri,
            etag,
            size_bytes,
            last_modified: None,
            format: Format::Auto,
            compression: Compression::Auto,
            range: None,
            partition: std::collections::BTreeMap::new(),
            enqueued_at: time.unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

/// A number that is the same for the same event, and another one for another with all but certainty.
fn seq_of(uri: &str, etag: &str, sequencer: &str) -> u64 {
    let digest = Sha256::digest(format!("{uri}\n{etag}\n{sequencer}"));
    let first = digest
        .first_chunk::<8>()
        .expect("a SHA-256 digest has thirty-two bytes");
    u64::from_be_bytes(*first) >> (u64::BITS - SEQ_BITS)
}

#[derive(Deserialize)]
struct S3Event {
    #[serde(rename = "Records")]
    records: Vec<S3Record>,
}

#[derive(Deserialize)]
struct S3Record {
    #[serde(rename = "eventName", default)]
    name: String,
    #[serde(rename = "eventTime", default)]
    time: Option<Timestamp>,
    /// Looked into only when an object was made: other events have other shapes.
    #[serde(default)]
    s3: Value,
}

#[derive(Deserialize)]
struct S3Part {
    bucket: Bucket,
    object: S3Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct S3Object {
    key: String,
    size: u64,
    #[serde(rename = "eTag", alias = "etag", default)]
    etag: Option<String>,
    #[serde(default)]
    sequencer: String,
}

/// The objects that a notification of S3's own says were made.
fn s3_objects(value: Value) -> Result<Vec<NewObject>, String> {
    let event: S3Event = typed(value)?;
    let made = event
        .records
        .into_iter()
        .filter(|record| record.name.trim_start_matches("s3:").starts_with("ObjectCreated:"));
    made.map(|record| {
        let S3Part { bucket, object } = typed(record.s3)?;
        let key = url_decoded(&object.key)
            .ok_or_else(|| format!("the notification's key `{}` is not percent-encoded UTF-8", object.key))?;
        Ok(NewObject {
            bucket: bucket.name,
            key,
            size_bytes: object.size,
            etag: object.etag,
            time: record.time,
            sequencer: object.sequencer,
        })
    })
    .collect()
}

#[derive(Deserialize)]
struct EventBridgeEvent {
    #[serde(rename = "detail-type")]
    kind: String,
    #[serde(default)]
    time: Option<Timestamp>,
    #[serde(default)]
    detail: Value,
}

/// The object that an event of EventBridge says was made. Its key is as it is, not encoded.
fn event_bridge_objects(value: Value) -> Result<Vec<NewObject>, String> {
    let event: EventBridgeEvent = typed(value)?;
    if event.kind != "Object Created" {
        return Ok(Vec::new());
    }
    let S3Part { bucket, object } = typed(event.detail)?;
    Ok(vec![NewObject {
        bucket: bucket.name,
        key: object.key,
        size_bytes: object.size,
        etag: object.etag,
        time: event.time,
        sequencer: object.sequencer,
    }])
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("the notification of S3's can't be read: {error}"))
}

/// The key of a notification: `%XX` and, for a blank, `+` (AWS) or `%20` (others).
fn url_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (hex, behind) = rest.split_at_checked(2)?;
                rest = behind;
                // `from_str_radix` would take a sign too.
                if !hex.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok()?
            }
            &byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
