//! The end of a file: whether it is one, and what it says of itself.

use std::sync::Arc;

use arrow::datatypes::Fields;
use parquet::file::{
    metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
    reader::ChunkReader as _,
};

use super::{Error, Place, guard, schema, windows::Windows};

/// A file up to this size is read at once.
const SMALL_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Of a larger one, this much of its end is, which has the footer of almost all files.
const TAIL_BYTES: u64 = 256 * 1024;
/// What a file begins and ends with.
const MAGIC: &[u8] = b"PAR1";
/// What it ends with, and an encrypted one begins with, if its footer is encrypted.
const MAGIC_ENCRYPTED: &[u8] = b"PARE";
/// The shortest file: two magics, and the length of the footer.
const FILE_BYTES_MIN: u64 = 12;

/// What is known of a file before any of its rows is read.
pub(super) struct Footer {
    pub(super) metadata: Arc<ParquetMetaData>,
    /// What its columns are read as.
    pub(super) fields: Fields,
    /// Number of the first row of each row group.
    first_rows: Vec<u64>,
}

impl Footer {
    /// Reads the end of the file, which stays in `windows`.
    pub(super) fn read(windows: &Windows) -> Result<Self, Error> {
        let size = windows.len_bytes();
        let tail = if size <= SMALL_FILE_BYTES { size } else { TAIL_BYTES };
        windows.read_tail(tail).map_err(guard::decoding)?;
        check_magic(windows, size)?;
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(windows)
            .map_err(guard::footer)?;
        let fields = schema::fields(&metadata)?;
        let first_rows = metadata
            .row_groups()
            .iter()
            .scan(0u64, |next, row_group| {
                let first = *next;
                *next = first.saturating_add(row_count(row_group));
                Some(first)
            })
            .collect();
        Ok(Self {
            metadata: Arc::new(metadata),
            fields,
            first_rows,
        })
    }

    pub(super) fn first_row(&self, row_group: usize) -> u64 {
        self.first_rows[row_group]
    }

    pub(super) fn row_count(&self, row_group: usize) -> u64 {
        row_count(self.metadata.row_group(row_group))
    }

    /// Where the row of this number is.
    pub(super) fn place(&self, ordinal: u64) -> Place {
        // Of groups with the same first row, all but the last have none.
        let behind = self.first_rows.partition_point(|first| *first <= ordinal);
        let row_group = behind.saturating_sub(1);
        Place {
            row_group,
            row: ordinal - self.first_rows.get(row_group).copied().unwrap_or(0),
        }
    }

    /// The row groups whose middle byte lies in `range`: each lies in just one of the ranges that an object is cut into.
    pub(super) fn row_groups(&self, range: Option<(u64, u64)>) -> Vec<usize> {
        let within = |index: &usize| {
            range.is_none_or(|(start, end)| {
                let middle = middle(self.metadata.row_group(*index));
                start <= middle && middle < end
            })
        };
        (0..self.metadata.num_row_groups()).filter(within).collect()
    }
}

fn row_count(row_group: &RowGroupMetaData) -> u64 {
    u64::try_from(row_group.num_rows()).unwrap_or(0)
}

fn check_magic(windows: &Windows, size: u64) -> Result<(), Error> {
    let length = size.min(4) as usize;
    let last = windows
        .get_bytes(size - length as u64, length)
        .map_err(guard::decoding)?;
    if size >= FILE_BYTES_MIN && last == MAGIC {
        return Ok(());
    }
    let first = windows.get_bytes(0, length).map_err(guard::decoding)?;
    if last == MAGIC_ENCRYPTED || first == MAGIC_ENCRYPTED {
        return Err(Error::Encrypted);
    }
    let shown = String::from_utf8_lossy(&last);
    if first == MAGIC {
        return Err(Error::Truncated(format!(
            "it begins as one, but ends after {size} bytes without a footer"
        )));
    }
    Err(Error::NotParquet(if size < FILE_BYTES_MIN {
        format!("it has {size} bytes, the shortest has {FILE_BYTES_MIN}")
    } else {
        format!("it ends with {shown:?}, not \"PAR1\"")
    }))
}

fn middle(row_group: &RowGroupMetaData) -> u64 {
    let parts = row_group.columns().iter().map(ColumnChunkMetaData::byte_range);
    let start = parts.clone().map(|(start, _)| start).min().unwrap_or(0);
    let end = parts.map(|(start, length)| start.saturating_add(length)).max();
    start + (end.unwrap_or(0) - start) / 2
}
