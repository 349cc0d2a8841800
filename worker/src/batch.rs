//! What a reader hands on: records of one work item, either still as the lines that they came in or as Arrow columns,
//! and the records that were refused on the way.

use arrow::record_batch::RecordBatch;

/// Field metadata key that says what a null in that column stands for; see [`NULLS_ABSENT`].
pub const NULLS: &str = "paraflow.nulls";
/// Value of [`NULLS`]: a null is a key that the record did not have, and is left out when the record is written.
/// Without it a null is a value of its own, and is written as `null`.
pub const NULLS_ABSENT: &str = "absent";

/// Arrow's name for an extension type, in a field's metadata.
pub const EXTENSION: &str = "ARROW:extension:name";

/// [`EXTENSION`] of text that is JSON.
pub const JSON: &str = "arrow.json";
/// [`EXTENSION`] of sixteen bytes that are a UUID.
pub const UUID: &str = "arrow.uuid";
/// [`EXTENSION`] of the twelve bytes of Parquet's old timestamps, INT96, without a zone. No type of Arrow's has both their
/// range and their nanoseconds.
pub const INT96: &str = "paraflow.int96";
/// [`INT96`], of UTC.
pub const INT96_INSTANT: &str = "paraflow.int96.instant";
/// [`EXTENSION`] of the twelve bytes of Parquet's intervals. No type of Arrow's that they are read as has their months too.
pub const INTERVAL: &str = "paraflow.interval";

/// Field metadata key of columns of bytes: how they are written, by the name of a [`crate::values::binary::Binary`].
pub const BINARY: &str = "paraflow.binary";

/// Records of one work item.
#[derive(Debug)]
pub enum Batch {
    /// Validated NDJSON lines as they came in.
    Lines(LineBatch),
    /// Rows as Arrow columns.
    Columns(ColumnBatch),
}

impl Batch {
    /// How many records there are.
    pub fn records(&self) -> usize {
        match self {
            Self::Lines(batch) => batch.lines.len(),
            Self::Columns(batch) => batch.records.num_rows(),
        }
    }
}

/// Validated lines that leave as the bytes they came in.
#[derive(Debug, Default)]
pub struct LineBatch {
    /// The text that the lines lie in.
    pub text: Vec<u8>,
    /// Each record's place in `text`, without its line ending, in order.
    pub lines: Vec<std::ops::Range<u32>>,
    /// Decompressed offset of `text[0]` in the object: a record's ordinal is this plus its start.
    pub offset_bytes: u64,
}

impl LineBatch {
    /// The ordinal of the first record, if there is one.
    pub fn first_ordinal(&self) -> Option<u64> {
        let first = self.lines.first()?;
        Some(self.offset_bytes + u64::from(first.start))
    }
}

/// Rows as Arrow columns.
#[derive(Debug)]
pub struct ColumnBatch {
    /// The columns. Columns with Arrow's JSON extension type hold JSON text that is written back verbatim.
    pub records: RecordBatch,
    /// Each row's ordinal: decompressed offset of the record's first byte (NDJSON) or row number in the file (Parquet).
    pub ordinals: Vec<u64>,
    /// Decoded-from bytes: decompressed text (NDJSON) or uncompressed page bytes (Parquet) that these rows came from.
    pub input_bytes: u64,
}

/// A record that was refused, with the reason: it becomes a record dead letter, and the item goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Decompressed offset of the record's first byte, or its row number.
    pub ordinal: u64,
    /// Why, in words for a person: `not a JSON object: …`.
    pub reason: String,
    /// The record as it came in; the first [`REJECT_RAW_BYTES_MAX`] bytes of it if it was longer than a record may be.
    pub raw: Vec<u8>,
    /// How long the record was.
    pub record_bytes: u64,
}

/// How much is kept of a refused record that is longer than a record may be. Its address and ordinal find the rest.
pub const REJECT_RAW_BYTES_MAX: usize = 64 * 1024;
