//! The work item: one object, or one byte range of a splittable object; the unit of leasing, retry and completion.
//!
//! It travels as one line of JSON, in an SQS body or on a worker's standard input. The format is versioned by `v`,
//! small, and carries no secret. Unknown fields are ignored, so that an older worker reads a newer discoverer's items.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the wire format that this build writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// One object, or one byte range of it, to be ingested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem {
    /// Wire format version, [`VERSION`].
    pub v: u32,
    /// The job that the item belongs to: `namespace/name`, or a name of the user's choice outside a cluster.
    pub job: String,
    /// Which life of the job the item belongs to: the books that its number counts in. A job that was made anew under the same
    /// name has another one. Absent where no state is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<String>,
    /// Which run of its job the item belongs to, from 1: what an earlier run wrote may be in the sink already.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub run: u32,
    /// The item's number in its job, from 0.
    pub seq: u64,
    /// Where the object is: `s3://bucket/key` or `file:///path`, the key as it is, not percent-encoded.
    pub uri: String,
    /// The entity tag that the listing gave: reads are bound to it, so that a changed object is noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Size of the whole object in bytes, as stored.
    pub size_bytes: u64,
    /// When the object was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<Timestamp>,
    /// How records are laid out in the object.
    #[serde(default)]
    pub format: Format,
    /// How the object's bytes are compressed (NDJSON only: Parquet compresses inside).
    #[serde(default)]
    pub compression: Compression,
    /// The byte range of the object that this item covers; absent for the whole object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ByteRange>,
    /// Values that the partitioning expression captured from the key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partition: BTreeMap<String, String>,
    /// How often the item was given back or offered again, for whatever reason: with any, records of it may be in the sink
    /// already, sent at any time since it was first offered.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub returns: u32,
    /// Of these, how often it failed for its own sake since it last made progress. Outages, drains and the end of a
    /// neighbour do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// How often a worker ended without a word while it had the item, as far as that was known when the item was sent anew: with
    /// any, it is read alone. What SQS counts of the message itself comes on top.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub crashes: u32,
    /// When the discoverer first offered the item: nothing of it was sent before.
    pub enqueued_at: Timestamp,
}

fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_first(run: &u32) -> bool {
    *run == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How records are laid out in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Neither named nor told by the key: the worker looks at the first bytes.
    #[default]
    Auto,
    /// One JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
}

/// How an object's bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Neither named nor told by the key: the worker looks at the first bytes.
    #[default]
    Auto,
    /// Stored as it is.
    None,
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// Zstandard (RFC 8878), any number of frames.
    Zstd,
}

/// A range of an object's bytes as stored, `start..end`, the end not included.
///
/// A record belongs to the range that its first byte is in (raw NDJSON), a row group to the range that its midpoint is
/// in (Parquet), so a reader needs no look at its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset behind the last byte.
    pub end: u64,
}

/// Why a line or message body is not a work item.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The text is not JSON, or lacks a field, or a field has the wrong type.
    #[error("not a work item")]
    Malformed(#[source] serde_json::Error),
    /// Written by a program of another time.
    #[error("work item version {found} is not supported, this build reads version {VERSION}")]
    UnsupportedVersion {
        /// The version that the item names.
        found: u64,
    },
    /// The range is empty, or ends behind the object.
    #[error("work item range {start}..{end} does not lie within an object of {size_bytes} bytes")]
    BadRange {
        /// First byte of the range.
        start: u64,
        /// Byte behind the range.
        end: u64,
        /// Size of the object.
        size_bytes: u64,
    },
}

impl WorkItem {
    /// Reads one item from its JSON.
    ///
    /// The version is looked at first, so that an item of another version is refused for its version and not for a
    /// field that this version happens not to know.
    pub fn from_json(text: &str) -> Result<Self, ParseError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }
        let Versioned { v } = serde_json::from_str(text).map_err(ParseError::Malformed)?;
        if v != u64::from(VERSION) {
            return Err(ParseError::UnsupportedVersion { found: v });
        }
        let item: Self = serde_json::from_str(text).map_err(ParseError::Malformed)?;
        if let Some(ByteRange { start, end }) = item.range
            && (start >= end || end > item.size_bytes)
        {
            return Err(ParseError::BadRange {
                start,
                end,
                size_bytes: item.size_bytes,
            });
        }
        Ok(item)
    }

    /// The item as one line of JSON, without the newline.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a work item has only string keys and finite numbers")
    }

    /// Whether records of the item may be in the sink already, seen from a lease that is its `receive_count`-th: then a
    /// document that is there proves nothing against its record.
    pub fn was_begun(&self, receive_count: u32) -> bool {
        receive_count > 1 || self.returns > 0 || self.run > 1
    }

    /// The item as it is kept when it is given up: whoever brings it back gives it all its tries anew, and records of it may be
    /// in the sink.
    #[must_use]
    pub fn given_up(&self) -> Self {
        Self {
            returns: self.returns.saturating_add(1),
            tries: 0,
            crashes: 0,
            ..self.clone()
        }
    }

    /// The bytes of the object that this item covers.
    pub fn byte_range(&self) -> ByteRange {
        self.range.unwrap_or(ByteRange {
            start: 0,
            end: self.size_bytes,
        })
    }
}
