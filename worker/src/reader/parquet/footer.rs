//! The end of a file: whether it is one, and what it says of itself.
//!
//! The footer is walked (`thrift`) before the `parquet` crate sees it, whose recursion follows the nesting of columns. What
//! writers are known to have got wrong is mended here, as other readers mend it.

use std::sync::Arc;

use arrow::datatypes::Fields;
use parquet::{
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
        reader::ChunkReader as _,
    },
    schema::types::SchemaDescPtr,
};

use super::{
    Error, Place, guard, schema,
    thrift::{self, Trouble, Visitor},
    windows::Windows,
};
use crate::values::binary::Binary;

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
/// Behind the footer: its length, and a magic.
const FOOTER_END_BYTES: u64 = 8;
/// A longer footer isn't read: taken apart, it is several times as large.
const FOOTER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Columns within columns: as deep as JSON is read.
const NESTING_MAX: usize = 128;
/// How much too short old parquet-mr may have stated a column chunk (PARQUET-816): the header of its dictionary page, which
/// other readers take to be no longer than this.
const DICTIONARY_HEADER_BYTES_MAX: u64 = 100;
/// The first version of parquet-mr that states it rightly.
const PARQUET_816_MENDED: [u64; 3] = [1, 2, 9];

/// What is known of a file before any of its rows is read.
pub(super) struct Footer {
    pub(super) metadata: Arc<ParquetMetaData>,
    /// What its columns are read as.
    pub(super) fields: Fields,
    /// Its columns as the decoders are told of them.
    pub(super) decoded: SchemaDescPtr,
    /// Whether its column chunks may reach behind their last page.
    pub(super) is_padded: bool,
    /// Where its data ends.
    data_end: u64,
    /// Number of the first row of each row group.
    first_rows: Vec<u64>,
}

impl Footer {
    /// Reads the end of the file, which stays in `windows`.
    pub(super) fn read(windows: &Windows, binary: Binary) -> Result<Self, Error> {
        let size = windows.len_bytes();
        let tail = if size <= SMALL_FILE_BYTES { size } else { TAIL_BYTES };
        windows.read_tail(tail).map_err(guard::decoding)?;
        check_magic(windows, size)?;
        let (data_end, text) = text(windows, size)?;
        check(&text)?;
        let metadata = ParquetMetaDataReader::decode_metadata(&text).map_err(guard::footer)?;
        let is_padded = metadata
            .file_metadata()
            .created_by()
            .is_some_and(states_chunks_too_short);
        let metadata = mended(metadata, is_padded, data_end)?;
        let (fields, decoded) = schema::fields(&metadata, binary)?;
        let mut first_rows = Vec::with_capacity(metadata.num_row_groups());
        let mut rows = 0u64;
        for (index, row_group) in metadata.row_groups().iter().enumerate() {
            first_rows.push(rows);
            rows = u64::try_from(row_group.num_rows())
                .ok()
                .and_then(|more| rows.checked_add(more))
                .ok_or_else(|| {
                    let count = row_group.num_rows();
                    Error::Corrupt(format!("its row group {index} is said to have {count} rows"))
                })?;
        }
        let said = metadata.file_metadata().num_rows();
        if u64::try_from(said) != Ok(rows) {
            return Err(Error::Corrupt(format!(
                "it is said to have {said} rows, and its row groups {rows}"
            )));
        }
        Ok(Self {
            metadata: Arc::new(metadata),
            fields,
            decoded,
            is_padded,
            data_end,
            first_rows,
        })
    }

    /// How many rows the whole file has.
    pub(super) fn rows(&self) -> u64 {
        let last = self.metadata.num_row_groups().checked_sub(1);
        last.map_or(0, |last| self.first_row(last) + self.row_count(last))
    }

    /// That these columns of a row group lie within the file.
    pub(super) fn check_place(&self, row_group: usize, leaves: &[usize]) -> Result<(), Error> {
        for leaf in leaves {
            let chunk = self.metadata.row_group(row_group).column(*leaf);
            let (start, length) = chunk.byte_range();
            let end = start.checked_add(length);
            if end.is_none_or(|end| end > self.data_end) {
                let path = chunk.column_path().string();
                return Err(Error::Corrupt(format!(
                    "column `{path}` of row group {row_group} is said to be {length} bytes from {start} on, and the \
                     file's data ends at {}",
                    self.data_end
                )));
            }
        }
        Ok(())
    }

    pub(super) fn first_row(&self, row_group: usize) -> u64 {
        self.first_rows[row_group]
    }

    /// As [`first_row`](Self::first_row), and 0 where there is no row group.
    pub(super) fn first_row_of(&self, row_group: usize) -> u64 {
        self.first_rows.get(row_group).copied().unwrap_or(0)
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
                // One that is said to lie behind the end belongs to the last range, which says that it is corrupt.
                let middle = middle(self.metadata.row_group(*index)).min(self.data_end);
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

/// Where the footer begins, and the footer.
fn text(windows: &Windows, size: u64) -> Result<(u64, bytes::Bytes), Error> {
    let end = windows.get_bytes(size - FOOTER_END_BYTES, 4).map_err(guard::decoding)?;
    let length = u64::from(u32::from_le_bytes(*end.first_chunk().expect("four were asked for")));
    if length > FOOTER_BYTES_MAX {
        return Err(Error::Unsupported(format!(
            "its footer has {length} bytes, more than {FOOTER_BYTES_MAX}"
        )));
    }
    let Some(start) = size.checked_sub(FOOTER_END_BYTES + length) else {
        return Err(Error::Truncated(format!(
            "its footer has {length} bytes, and the file {size}"
        )));
    };
    let text = windows.get_bytes(start, length as usize).map_err(guard::decoding)?;
    Ok((start, text))
}

/// What a walk over a footer looks for.
#[derive(Default)]
struct Outline {
    /// For each group of columns that is open, how many of its fields are still to come.
    open: Vec<u64>,
    nesting: usize,
    children: u64,
    /// Where the values of a column lie, if not in this file.
    elsewhere: Option<String>,
}

/// `FileMetaData.schema`, in the format's definition (parquet.thrift).
const SCHEMA: [i16; 1] = [2];
/// `SchemaElement.num_children` in it.
const CHILDREN: [i16; 2] = [2, 5];
/// `FileMetaData.row_groups`, `RowGroup.columns`, `ColumnChunk.file_path`.
const FILE_PATH: [i16; 3] = [4, 1, 1];

impl Visitor for Outline {
    fn number(&mut self, path: &[i16], value: i64) {
        if path == CHILDREN {
            self.children = u64::try_from(value).unwrap_or(0);
        }
    }

    fn bytes(&mut self, path: &[i16], value: &[u8]) {
        if path == FILE_PATH && !value.is_empty() && self.elsewhere.is_none() {
            self.elsewhere = Some(String::from_utf8_lossy(value).into_owned());
        }
    }

    fn end(&mut self, path: &[i16]) {
        if path != SCHEMA {
            return;
        }
        if let Some(last) = self.open.last_mut() {
            *last -= 1;
        }
        match std::mem::take(&mut self.children) {
            0 => {}
            children => self.open.push(children),
        }
        self.nesting = self.nesting.max(self.open.len());
        self.open
            .truncate(self.open.iter().rposition(|left| *left > 0).map_or(0, |last| last + 1));
    }
}

/// That a footer can be taken apart, and is about values of this file.
fn check(text: &[u8]) -> Result<(), Error> {
    let mut outline = Outline::default();
    match thrift::walk(text, &mut outline) {
        Err(Trouble::Deep) => return Err(Error::Unsupported("its footer is nested too deep".to_owned())),
        Err(Trouble::Short | Trouble::Malformed) => {
            return Err(Error::Corrupt("its footer is no text of Thrift's".to_owned()));
        }
        Ok(_) => {}
    }
    if outline.nesting > NESTING_MAX {
        return Err(Error::Unsupported(format!(
            "its columns are nested {} deep, and {NESTING_MAX} are read",
            outline.nesting
        )));
    }
    match outline.elsewhere {
        Some(path) => Err(Error::Unsupported(format!(
            "it is a summary file: its values lie in other files, as `{path}`"
        ))),
        None => Ok(()),
    }
}

/// Whether a writer stated column chunks too short.
fn states_chunks_too_short(created_by: &str) -> bool {
    let Some(rest) = created_by.strip_prefix("parquet-mr") else {
        return false;
    };
    let version = rest.trim_start().strip_prefix("version").unwrap_or(rest).trim_start();
    let mut numbers = version
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let version: [u64; 3] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    version < PARQUET_816_MENDED
}

/// The metadata without what is known to be wrong: a dictionary that is said to be where none can be (PARQUET-1402), and
/// column chunks that are stated too short.
fn mended(metadata: ParquetMetaData, is_padded: bool, data_end: u64) -> Result<ParquetMetaData, Error> {
    let is_misplaced = |chunk: &ColumnChunkMetaData| {
        let (dictionary, data) = (chunk.dictionary_page_offset(), chunk.data_page_offset());
        // Where there are no values, there may be a dictionary and no page of data behind it.
        dictionary.is_some_and(|start| start <= 0 || (data > 0 && start > data))
    };
    let is_whole = |row_group: &RowGroupMetaData| !row_group.columns().iter().any(is_misplaced);
    if !is_padded && metadata.row_groups().iter().all(is_whole) {
        return Ok(metadata);
    }
    let mut builder = metadata.into_builder();
    let mut row_groups = Vec::new();
    for mut row_group in builder.take_row_groups() {
        let mut chunks = Vec::new();
        for chunk in row_group.columns() {
            let mut chunk = chunk.clone();
            if is_misplaced(&chunk) {
                chunk = chunk
                    .into_builder()
                    .set_dictionary_page_offset(None)
                    .build()
                    .map_err(guard::decoding)?;
            }
            if is_padded {
                let (start, length) = chunk.byte_range();
                let padding = data_end.saturating_sub(start.saturating_add(length));
                let length = length.saturating_add(padding.min(DICTIONARY_HEADER_BYTES_MAX));
                chunk = chunk
                    .into_builder()
                    .set_total_compressed_size(i64::try_from(length).unwrap_or(i64::MAX))
                    .build()
                    .map_err(guard::decoding)?;
            }
            chunks.push(chunk);
        }
        row_group = row_group
            .into_builder()
            .set_column_metadata(chunks)
            .build()
            .map_err(guard::decoding)?;
        row_groups.push(row_group);
    }
    Ok(builder.set_row_groups(row_groups).build())
}

fn middle(row_group: &RowGroupMetaData) -> u64 {
    let parts = row_group.columns().iter().map(ColumnChunkMetaData::byte_range);
    let start = parts.clone().map(|(start, _)| start).min().unwrap_or(0);
    let end = parts.map(|(start, length)| start.saturating_add(length)).max();
    start + (end.unwrap_or(0) - start) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_of_parquet_mr_state_column_chunks_too_short() {
        for old in [
            "parquet-mr",
            "parquet-mr version 1.2.8 (build abc)",
            "parquet-mr version 1.1",
            "parquet-mr version 0.9.9",
        ] {
            assert!(states_chunks_too_short(old), "{old}");
        }
        for right in [
            "parquet-mr version 1.2.9",
            "parquet-mr version 1.10.0 (build abc)",
            "parquet-cpp version 1.0.0",
            "parquet-rs",
            "",
        ] {
            assert!(!states_chunks_too_short(right), "{right}");
        }
    }
}
