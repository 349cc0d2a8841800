//! Parquet: ranges of an object in, batches of Arrow columns out.
//!
//! Decoding is the `parquet` crate's. What is ours: which bytes are read and when (`windows`), so that a large row group
//! needs little memory; which columns, row groups and rows (`selection`, `prune`, `row_group`), in which steps (`pass`,
//! `pages`); what types columns are read as (`schema`); and errors by what a caller does about them (`guard`).

mod checked;
mod footer;
mod gather;
mod guard;
mod pages;
mod pass;
mod prune;
mod route;
mod row_group;
mod schema;
mod selection;
mod size;
#[cfg(test)]
mod tests;
mod thrift;
mod windows;

use std::{io, sync::Arc};

use self::{
    footer::Footer,
    gather::Gather,
    pass::StepLimits,
    route::Route,
    row_group::{Plan, RowGroup},
    windows::Windows,
};
use crate::{
    batch::{ColumnBatch, Reject},
    predicate::{FieldPath, Predicate},
    reader::range_source::RangeSource,
    values::binary::Binary,
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
    /// A row whose values have more bytes is refused.
    pub record_bytes_max: usize,
    /// How columns of bytes are to be written.
    pub binary: Binary,
}

/// A row of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Number of its row group in the file.
    pub row_group: usize,
    /// Its number in the row group; behind the last row of a group it is as many as that has.
    pub row: u64,
}

/// What a reader has seen so far: what lies before its [`position`](Reader::position).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that are done with: given out, or not let through.
    pub rows: u64,
    /// Rows among them that the filter did not let through.
    pub filtered: u64,
    /// Rows among them that were refused.
    pub rejected: u64,
    /// Uncompressed bytes of the rows that were given out, by the averages of their row groups.
    pub bytes: u64,
    /// Rows that the filter was not or will not be asked about, because none near them could pass.
    pub pruned: u64,
    /// Bytes that were asked of the source, the footer among them.
    pub fetched_bytes: u64,
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
    /// The file doesn't have the place to begin at.
    #[error("the Parquet file has no such place: {0}")]
    NoSuchPlace(String),
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
    route: Route,
    current: Option<RowGroup>,
    gather: Gather,
    /// Rows that were refused, and not told yet.
    rejects: Vec<Reject>,
    counts: Counts,
    is_broken: bool,
}

impl Reader {
    /// Reads the file's footer. Of its row groups, those are read whose middle byte lies in `range`; without it, all.
    ///
    /// # Errors
    /// If the footer can't be read, or a named column lies within a map.
    pub fn open(source: Arc<dyn RangeSource>, range: Option<(u64, u64)>, options: Options) -> Result<Self, Error> {
        Self::open_at(source, range, None, options)
    }

    /// As [`open`](Self::open), but goes on at a place that a reader of the same range gave as its
    /// [`position`](Self::position): row groups before it are not read.
    ///
    /// # Errors
    /// As for `open`, and if there is no such place in the range.
    pub fn open_at(
        source: Arc<dyn RangeSource>,
        range: Option<(u64, u64)>,
        from: Option<Place>,
        options: Options,
    ) -> Result<Self, Error> {
        let windows = Windows::new(source);
        guard::guarded(&windows, || Self::open_unguarded(windows.clone(), range, from, options))
    }

    /// The next rows, never none; `None` at the end. Rows that are refused, and lie before the new position, are added to
    /// `rejects`.
    ///
    /// # Errors
    /// What comes after an error is not the rest of the file: the reader is done.
    pub fn next_batch(&mut self, rejects: &mut Vec<Reject>) -> Result<Option<ColumnBatch>, Error> {
        if self.is_broken {
            return Ok(None);
        }
        let windows = self.windows.clone();
        let batch = guard::guarded(&windows, || self.next_unguarded());
        if let Ok(batch) = &batch {
            self.count(batch.as_ref(), rejects);
        } else {
            self.is_broken = true;
            self.current = None;
            self.gather.clear();
        }
        batch
    }

    /// The first row that was neither given out nor kept back by the filter: where to go on.
    pub fn position(&self) -> Place {
        self.route.position()
    }

    /// How many rows the whole file has.
    pub fn file_rows(&self) -> u64 {
        self.footer.rows()
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        Counts {
            fetched_bytes: self.windows.fetched_bytes(),
            ..self.counts
        }
    }

    /// Moves the position behind a batch, and counts what lies between.
    fn count(&mut self, batch: Option<&ColumnBatch>, rejects: &mut Vec<Reject>) {
        let place = match (self.gather.first_ordinal(), &self.current) {
            // Rows that wait were read, but not given out.
            (Some(ordinal), _) => self.footer.place(ordinal),
            (None, Some(row_group)) => row_group.place(),
            (None, None) => self.route.next_place(&self.footer),
        };
        let rows = self.route.advance(place, &self.footer);
        let given = batch.map_or(0, |batch| batch.ordinals.len() as u64);
        // A refused row behind the position is told when that has passed it: whoever goes on there meets it again.
        let ordinal = place.row + self.footer.first_row_of(place.row_group);
        let (mut passed, waiting): (Vec<_>, Vec<_>) =
            self.rejects.drain(..).partition(|reject| reject.ordinal < ordinal);
        self.rejects = waiting;
        // Those of a filter's columns were found first.
        passed.sort_by_key(|reject| reject.ordinal);
        let before = rejects.len();
        rejects.extend(passed);
        let rejected = (rejects.len() - before) as u64;
        self.counts.rows += rows;
        self.counts.rejected += rejected;
        self.counts.filtered += rows.saturating_sub(given + rejected);
        self.counts.bytes += batch.map_or(0, |batch| batch.input_bytes);
    }

    fn open_unguarded(
        windows: Windows,
        range: Option<(u64, u64)>,
        from: Option<Place>,
        options: Options,
    ) -> Result<Self, Error> {
        let Options {
            columns,
            filter,
            batch_records_max,
            batch_bytes_max,
            record_bytes_max,
            binary,
        } = options;
        let footer = Footer::read(&windows, binary)?;
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
        let mut route = Route::new(&footer, range, from)?;
        let mut counts = Counts::default();
        let filter = filter.and_then(|mut predicate| {
            // A term on a field that the file doesn't have is the same for all rows.
            let absent = |path: &FieldPath| selection::leaves(&footer.fields, [path]).is_empty();
            let mut terms = predicate.terms.iter();
            if terms.any(|term| absent(&term.path) && !term.holds_for_missing()) {
                counts.pruned = route.leave_out(&footer);
            }
            predicate.terms.retain(|term| !absent(&term.path));
            (!predicate.terms.is_empty()).then_some(predicate)
        });
        let limits = StepLimits {
            rows_max: batch_records_max,
            bytes_max: batch_bytes_max,
            record_bytes_max: record_bytes_max as u64,
        };
        let plan = Plan::new(&footer, leaves, filter, limits);
        Ok(Self {
            windows,
            footer,
            plan,
            route,
            current: None,
            gather: Gather::new(batch_records_max, batch_bytes_max),
            rejects: Vec::new(),
            counts,
            is_broken: false,
        })
    }

    fn next_unguarded(&mut self) -> Result<Option<ColumnBatch>, Error> {
        loop {
            if self.gather.is_enough() {
                return Ok(self.gather.take());
            }
            let Some(row_group) = &mut self.current else {
                let Some(start) = self.route.next_start() else {
                    return Ok(self.gather.take());
                };
                self.route.begin();
                let Self {
                    footer,
                    windows,
                    counts,
                    rejects,
                    ..
                } = self;
                self.current = self.plan.begin(start, footer, windows, counts, rejects)?;
                continue;
            };
            match row_group.next(&self.plan, &mut self.rejects)? {
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
