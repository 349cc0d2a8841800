//! A checkpoint: how far into a work item everything is acknowledged, so that whoever leases it next goes on there.

use serde::{Deserialize, Serialize};

use crate::{ByteRange, Counts, WorkItem};

/// The highest position in an object below which every record is acknowledged or dead-lettered.
///
/// It is bound to the object's entity tag: a checkpoint of another version of the object is worth nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Wire format version, [`crate::item::VERSION`].
    pub v: u32,
    /// The job.
    pub job: String,
    /// The work item's number in its job.
    pub seq: u64,
    /// Which life of the job: the same number means another item in another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<String>,
    /// The object.
    #[serde(default)]
    pub uri: String,
    /// The range of the object that the item covers; absent for the whole object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ByteRange>,
    /// How many of the item's crashes there had been when this was written: since then it made progress.
    #[serde(default)]
    pub crashes: u32,
    /// The entity tag of the object that was read.
    pub etag: String,
    /// Where to go on.
    pub position: Position,
    /// What became of the records below it: whoever goes on counts from here, so that the ledger has the whole item.
    #[serde(default)]
    pub counts: Counts,
}

impl Checkpoint {
    /// Whether it is of this item, and of this version of its object: numbers are given anew in another life, and a place in
    /// one object is none in another.
    pub fn is_of(&self, item: &WorkItem) -> bool {
        self.job == item.job
            && self.seq == item.seq
            && self.life == item.life
            && self.uri == item.uri
            && self.range == item.range
            && item.etag.as_deref() == Some(&self.etag)
    }
}

/// A place in an object where reading can start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Position {
    /// Raw NDJSON: the offset of a record's first byte.
    Byte {
        /// Offset in the object, in bytes.
        offset: u64,
    },
    /// Compressed NDJSON: the start of a gzip member or zstd frame, and what to skip in it once decompressed.
    Frame {
        /// Offset of the member or frame in the object, in bytes as stored.
        offset: u64,
        /// Decompressed bytes that lie before the member or frame.
        decompressed_offset: u64,
        /// Decompressed bytes of the member or frame to skip.
        skip_bytes: u64,
    },
    /// Parquet: a row of a row group.
    Row {
        /// Index of the row group in the file.
        row_group: u64,
        /// Rows of that group to skip.
        row: u64,
    },
}
