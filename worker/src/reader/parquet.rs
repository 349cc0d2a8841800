//! Parquet: ranges of an object in, batches of Arrow columns out.
//!
//! Decoding is the `parquet` crate's. What is ours: which bytes are read and when (`windows`), so that a large row group
//! needs little memory; which columns, row groups and rows (`selection`, `prune`, `row_group`), in which steps (`pass`,
//! `pages`); what types columns are read as (`schema`); and errors by what a caller does about them (`guard`).

mod footer;
mod gather;
mod guard;
mod pages;
mod pass;
mod prune;
mod row_group;
mod schema;
mod selection;
#[cfg(test)]
mod tests;
mod windows;

use std::{io, mem, sync::Arc};

use self::{
    footer::Footer,
    gather::Gather,
    row_group::{Plan, RowGroup},
    windows::Windows,
};
use crate::{
    batch::ColumnBatch,
    predicate::{FieldPath, Predicate},
    reader::range_source::RangeSource,
};

/// What a [`Reader`] makes of its file.
#[derive(Debug, Clone)]
pub struct Options {
    /// The fields that are read; `None` or an empty list: all. One that the file doesn't have is absent from its records,
    /// of which nothing may be left.
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
    /// Rows among them that the filter did not let through, as far as it was asked.
    pub filtered: u64,
    /// Rows among these that the filter was not even asked about, because none near them could pass.
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
    footer: Footer,
    plan: Plan,
    /// The row groups still to come, last first.
    waiting: Vec<usize>,
    current: Option<RowGroup>,
    gather: Gather,
    counts: Counts,
}

impl Reader {
    /// Reads the file's footer. Of its row groups, those are read whose middle byte lies in `range`; without it, all.
    ///
    /// # Errors
    /// If the footer can't be read, or a named column lies within a map.
    pub fn open(source: Arc<dyn RangeSource>, range: Option<(u64, u64)>, options: Options) -> Result<Self, Error> {
        let windows = Windows::new(source);
        guard::guarded(&windows, || Self::open_unguarded(windows.clone(), range, options))
    }

    /// The next rows, never none; `None` at the end.
    ///
    /// # Errors
    /// What comes after an error is not the rest of the file: the reader is done.
    pub fn next_batch(&mut self) -> Result<Option<ColumnBatch>, Error> {
        let windows = self.windows.clone();
        let batch = guard::guarded(&windows, || self.next_unguarded());
        if batch.is_err() {
            self.current = None;
            self.waiting.clear();
            self.gather.clear();
        }
        batch
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        Counts {
            fetched_bytes: self.windows.fetched_bytes(),
            ..self.counts
        }
    }

    fn open_unguarded(windows: Windows, range: Option<(u64, u64)>, options: Options) -> Result<Self, Error> {
        let footer = Footer::read(&windows)?;
        let Options {
            columns,
            filter,
            batch_records_max,
            batch_bytes_max,
        } = options;
        let leaves = match columns.as_deref() {
            None | Some([]) => (0..footer.metadata.file_metadata().schema_descr().num_columns()).collect(),
            Some(paths) => {
                if let Some((path, map)) = selection::within_map(&footer.fields, paths) {
                    return Err(Error::Unsupported(format!(
                        "the column `{path}` lies within the map `{map}`, which is kept whole or not at all: name `{map}`"
                    )));
                }
                selection::leaves(&footer.fields, paths)
            }
        };
        let mut waiting = footer.row_groups(range);
        waiting.reverse();
        let mut counts = Counts::default();
        let filter = filter.and_then(|mut predicate| {
            // A term on a field that the file doesn't have is the same for all rows.
            let absent = |path: &FieldPath| selection::leaves(&footer.fields, [path]).is_empty();
            let mut terms = predicate.terms.iter();
            if terms.any(|term| absent(&term.path) && !term.holds_for_missing()) {
                for index in mem::take(&mut waiting) {
                    counts.prune(footer.row_count(index));
                }
            }
            predicate.terms.retain(|term| !absent(&term.path));
            (!predicate.terms.is_empty()).then_some(predicate)
        });
        let plan = Plan::new(&footer, leaves, filter, batch_records_max, batch_bytes_max);
        Ok(Self {
            windows,
            footer,
            plan,
            waiting,
            current: None,
            gather: Gather::new(batch_records_max, batch_bytes_max),
            counts,
        })
    }

    fn next_unguarded(&mut self) -> Result<Option<ColumnBatch>, Error> {
        loop {
            if self.gather.is_enough() {
                return Ok(self.gather.take());
            }
            let Some(row_group) = &mut self.current else {
                let Some(index) = self.waiting.pop() else {
                    return Ok(self.gather.take());
                };
                self.current = self.plan.begin(index, &self.footer, &self.windows, &mut self.counts)?;
                continue;
            };
            match row_group.next(&self.plan, &mut self.counts)? {
                None => self.current = None,
                Some(batch) if self.gather.is_full_for(batch.records.num_rows()) => {
                    let full = self.gather.take();
                    self.gather.put(batch);
                    return Ok(full);
                }
                Some(batch) => self.gather.put(batch),
            }
        }
    }
}
