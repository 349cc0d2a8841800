//! Parquet: ranges of an object in, batches of Arrow columns out.
//!
//! Decoding is the `parquet` crate's. What is ours: which bytes are read and when (`windows`), so that a large row group
//! needs little memory; which columns and row groups (`selection`, `prune`); and errors by what a caller does about them.

mod prune;
mod selection;
#[cfg(test)]
mod tests;
mod windows;

use std::{
    io, mem,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Field, Fields, Int64Type},
};
use parquet::{
    arrow::{
        ProjectionMask, RowNumber,
        arrow_reader::{
            ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder, RowFilter,
        },
    },
    errors::ParquetError,
    file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
};

use self::windows::Windows;
use crate::{
    batch::ColumnBatch,
    predicate::{FieldPath, Predicate},
    reader::range_source::RangeSource,
};

/// What a [`Reader`] makes of its file.
#[derive(Debug, Clone)]
pub struct Options {
    /// The fields that are read; `None` or an empty list: all. One that the file doesn't have is absent from its records.
    pub columns: Option<Vec<FieldPath>>,
    /// Which rows are let through.
    pub filter: Option<Predicate>,
    /// A batch has at most this many rows.
    pub batch_records_max: usize,
    /// A batch has about this many bytes of uncompressed values at most, but at least one row.
    pub batch_bytes_max: usize,
}

/// What a reader has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the row groups that are done with or begun.
    pub rows: u64,
    /// Rows among them that the filter did not let through.
    pub filtered: u64,
    /// Rows among these that were not even read, because no row of their row group could pass.
    pub pruned: u64,
    /// Bytes that were asked of the source, the footer among them.
    pub fetched_bytes: u64,
}

impl Counts {
    fn prune(&mut self, rows: u64) {
        self.rows += rows;
        self.filtered += rows;
        self.pruned += rows;
    }
}

/// Why a file, or the rest of it, can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object is something else.
    #[error("not a Parquet file: {0}")]
    NotParquet(String),
    /// The object ends before what its footer speaks of.
    #[error("the Parquet file is cut short: {0}")]
    Truncated(String),
    /// The file contradicts itself or the format.
    #[error("the Parquet file is corrupt: {0}")]
    Corrupt(String),
    /// The file is encrypted.
    #[error("the Parquet file is encrypted: decrypt it first")]
    Encrypted,
    /// The file may be right, but is beyond what this reader can do.
    #[error("the Parquet file can't be read: {0}")]
    Unsupported(String),
    /// The object could not be read; says nothing about the file.
    #[error("reading the Parquet file failed")]
    Input(#[source] io::Error),
}

/// Reads the row groups of one part of one object.
pub struct Reader {
    windows: Windows,
    /// The whole file is in memory.
    small: bool,
    metadata: ArrowReaderMetadata,
    columns: ProjectionMask,
    filter: Option<(Predicate, ProjectionMask)>,
    options: Options,
    /// The row groups still to come, last first.
    waiting: Vec<usize>,
    current: Option<RowGroup>,
    counts: Counts,
    /// Rows that the filter let through, counted where it is asked.
    passed: Arc<AtomicU64>,
}

struct RowGroup {
    rows: ParquetRecordBatchReader,
    /// Uncompressed bytes of the columns, for each row.
    bytes_per_row: u64,
}

/// A file up to this size is read at once.
const SMALL_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Of a larger one, this much of its end is, which has the footer of almost all files.
const TAIL_BYTES: u64 = 256 * 1024;
/// More rows than this aren't decoded in one step: a dictionary may hold values far longer than their share of the file.
const STEP_ROWS_MAX: u64 = 8192;
/// The column of row numbers, until it is taken off again. Its place tells it apart from a column of the same name.
const ROW_NUMBER: &str = "paraflow.row_number";

impl Reader {
    /// Reads the file's footer. Of its row groups, those are read whose middle byte lies in `range`; without it, all.
    ///
    /// # Errors
    /// If the footer can't be read, or the file has none of the named columns.
    pub fn open(source: Arc<dyn RangeSource>, range: Option<(u64, u64)>, options: Options) -> Result<Self, Error> {
        let windows = Windows::new(source);
        guarded(&windows, || Self::open_unguarded(windows.clone(), range, options))
    }

    /// The next rows, never none; `None` at the end.
    ///
    /// # Errors
    /// What comes after an error is not the rest of the file: the reader is done.
    pub fn next_batch(&mut self) -> Result<Option<ColumnBatch>, Error> {
        let windows = self.windows.clone();
        let batch = guarded(&windows, || self.next_unguarded());
        if batch.is_err() {
            self.current = None;
            self.waiting.clear();
        }
        batch
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        Counts {
            filtered: self.counts.filtered - self.passed.load(Ordering::Relaxed),
            fetched_bytes: self.windows.fetched_bytes(),
            ..self.counts
        }
    }

    fn open_unguarded(windows: Windows, range: Option<(u64, u64)>, options: Options) -> Result<Self, Error> {
        let small = read_tail(&windows)?;
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&windows)
            .map_err(footer)?;
        // Its place is what counts: were the name taken, the row numbers would still be the last column.
        let number = Field::new(ROW_NUMBER, DataType::Int64, false).with_extension_type(RowNumber);
        let reading = ArrowReaderOptions::new()
            .with_virtual_columns(vec![Arc::new(number)])
            .map_err(decoding)?;
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), reading).map_err(decoding)?;
        let fields = metadata.schema().fields();
        let fields: Fields = fields[..fields.len() - 1].into();
        let schema = metadata.parquet_schema();
        let leaves: usize = fields
            .iter()
            .map(|field| selection::leaf_count(field.data_type()))
            .sum();
        if leaves != schema.num_columns() {
            let found = schema.num_columns();
            return Err(Error::Unsupported(format!(
                "its {found} columns have {leaves} places in its schema"
            )));
        }
        if let Some(name) = selection::duplicate(&fields) {
            return Err(Error::Unsupported(format!("two of its columns have the name `{name}`")));
        }
        let columns = match options.columns.as_deref() {
            None | Some([]) => ProjectionMask::all(),
            Some(paths) => {
                let found = selection::leaves(&fields, paths);
                if found.is_empty() {
                    return Err(Error::Unsupported(none_of(paths, &fields)));
                }
                ProjectionMask::leaves(schema, found)
            }
        };
        let mut waiting: Vec<_> = (0..metadata.metadata().num_row_groups())
            .filter(|index| {
                range.is_none_or(|(start, end)| {
                    let middle = middle(metadata.metadata().row_group(*index));
                    start <= middle && middle < end
                })
            })
            .collect();
        waiting.reverse();
        let mut filter = None;
        let mut counts = Counts::default();
        if let Some(mut predicate) = options.filter.clone() {
            // A term on a field that the file doesn't have is the same for all rows.
            let absent = |path: &FieldPath| selection::leaves(&fields, [path]).is_empty();
            if predicate
                .terms
                .iter()
                .any(|term| absent(&term.path) && !term.holds_for_missing())
            {
                for index in mem::take(&mut waiting) {
                    counts.prune(row_count(metadata.metadata(), index));
                }
            }
            predicate.terms.retain(|term| !absent(&term.path));
            waiting.retain(|index| {
                let row_group = metadata.metadata().row_group(*index);
                let impossible = prune::impossible(&predicate, &fields, schema, row_group);
                if impossible {
                    counts.prune(row_count(metadata.metadata(), *index));
                }
                !impossible
            });
            if !predicate.terms.is_empty() {
                let leaves = selection::leaves(&fields, predicate.terms.iter().map(|term| &term.path));
                filter = Some((predicate, ProjectionMask::leaves(schema, leaves)));
            }
        }
        Ok(Self {
            windows,
            small,
            columns,
            filter,
            options,
            waiting,
            current: None,
            counts,
            passed: Arc::default(),
            metadata,
        })
    }

    fn next_unguarded(&mut self) -> Result<Option<ColumnBatch>, Error> {
        loop {
            if let Some(row_group) = &mut self.current {
                match row_group.rows.next() {
                    Some(Ok(records)) if records.num_rows() == 0 => continue,
                    Some(Ok(records)) => return numbered(&records, row_group.bytes_per_row).map(Some),
                    Some(Err(error)) => return Err(Error::Corrupt(error.to_string())),
                    None => self.current = None,
                }
            }
            let Some(index) = self.waiting.pop() else {
                return Ok(None);
            };
            self.current = Some(self.begin(index)?);
        }
    }

    fn begin(&mut self, index: usize) -> Result<RowGroup, Error> {
        let row_group = self.metadata.metadata().row_group(index);
        let chosen = |leaf| {
            let filtered = self.filter.as_ref().is_some_and(|(_, mask)| mask.leaf_included(leaf));
            filtered || self.columns.leaf_included(leaf)
        };
        let mut parts = Vec::new();
        let mut bytes = 0;
        for (leaf, column) in row_group.columns().iter().enumerate() {
            if chosen(leaf) {
                let (start, length) = column.byte_range();
                parts.push(start..start.saturating_add(length));
                let plain = column.unencoded_byte_array_data_bytes().unwrap_or(0);
                bytes += u64::try_from(column.uncompressed_size().max(plain)).unwrap_or(0);
            }
        }
        if !self.small {
            self.windows.announce(parts);
        }
        let rows = row_count(self.metadata.metadata(), index);
        let bytes_per_row = bytes / rows.max(1);
        let step = (self.options.batch_bytes_max as u64 / bytes_per_row.max(1))
            .min(self.options.batch_records_max as u64)
            .clamp(1, STEP_ROWS_MAX);
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.windows.clone(), self.metadata.clone())
                .with_row_groups(vec![index])
                .with_projection(self.columns.clone())
                .with_batch_size(step as usize);
        if let Some((predicate, mask)) = &self.filter {
            let (predicate, passed) = (predicate.clone(), self.passed.clone());
            let ask = ArrowPredicateFn::new(mask.clone(), move |records| {
                let passes = predicate.evaluate(&records);
                passed.fetch_add(passes.true_count() as u64, Ordering::Relaxed);
                Ok(passes)
            });
            builder = builder.with_row_filter(RowFilter::new(vec![Box::new(ask)]));
        }
        let reader = builder.build().map_err(decoding)?;
        self.counts.rows += rows;
        if self.filter.is_some() {
            // Those that passed are taken off again in `counts`.
            self.counts.filtered += rows;
        }
        Ok(RowGroup {
            rows: reader,
            bytes_per_row,
        })
    }
}

/// Starts to read the end of the file, or all of a small one, and looks whether it is one. Returns whether it is small.
fn read_tail(windows: &Windows) -> Result<bool, Error> {
    use parquet::file::reader::{ChunkReader, Length};
    let size = windows.len();
    if size < 12 {
        return Err(Error::NotParquet(format!("it has {size} bytes, the shortest has 12")));
    }
    let small = size <= SMALL_FILE_BYTES;
    let tail: Range<u64> = if small { 0..size } else { size - TAIL_BYTES..size };
    windows.announce_whole(tail);
    let magic = windows.get_bytes(size - 4, 4).map_err(decoding)?;
    match magic.as_ref() {
        b"PAR1" => Ok(small),
        b"PARE" => Err(Error::Encrypted),
        other => Err(Error::NotParquet(format!(
            "it ends with {:?}, not \"PAR1\"",
            String::from_utf8_lossy(other)
        ))),
    }
}

/// Runs what decodes bytes from outside. The `parquet` crate means to return errors, but on crafted bytes it can still
/// panic (its metadata has assertions on offsets): a file must never take the worker down.
fn guarded<T>(windows: &Windows, decode: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let result = catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::Corrupt(format!(
            "decoding it panicked: {}",
            text.unwrap_or("without a message")
        )))
    });
    result.map_err(|error| windows.take_failure().map_or(error, Error::Input))
}

fn decoding(error: ParquetError) -> Error {
    match error {
        ParquetError::EOF(text) => Error::Truncated(text),
        ParquetError::NYI(text) => Error::Unsupported(text),
        other => Error::Corrupt(other.to_string()),
    }
}

fn footer(error: ParquetError) -> Error {
    match decoding(error) {
        Error::Corrupt(text) if text.contains("ncrypt") => Error::Encrypted,
        other => other,
    }
}

fn none_of(paths: &[FieldPath], fields: &Fields) -> String {
    let paths: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
    let fields: Vec<_> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
    format!(
        "it has none of the columns {}; it has {}",
        paths.join(", "),
        fields.join(", ")
    )
}

fn row_count(metadata: &ParquetMetaData, index: usize) -> u64 {
    u64::try_from(metadata.row_group(index).num_rows()).unwrap_or(0)
}

/// The middle byte of a row group: each lies in just one of the ranges that an object is cut into.
fn middle(row_group: &RowGroupMetaData) -> u64 {
    let parts = row_group.columns().iter().map(ColumnChunkMetaData::byte_range);
    let start = parts.clone().map(|(start, _)| start).min().unwrap_or(0);
    let end = parts.map(|(start, length)| start.saturating_add(length)).max();
    start + (end.unwrap_or(0) - start) / 2
}

/// Takes the row numbers, the last column, off.
fn numbered(records: &RecordBatch, bytes_per_row: u64) -> Result<ColumnBatch, Error> {
    let last = records.num_columns() - 1;
    let ordinals = records
        .column(last)
        .as_primitive::<Int64Type>()
        .values()
        .iter()
        .map(|number| *number as u64)
        .collect();
    let rows = records.num_rows() as u64;
    let columns: Vec<_> = (0..last).collect();
    let records = records
        .project(&columns)
        .map_err(|error| Error::Corrupt(error.to_string()))?;
    Ok(ColumnBatch {
        records,
        ordinals,
        input_bytes: bytes_per_row * rows,
    })
}
