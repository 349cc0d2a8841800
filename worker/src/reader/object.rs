//! One work item, from its object's bytes to batches of records: as lines or as Parquet, from the item's start, or from
//! where another reader came to.
//!
//! After each batch a reader says a position such that every record before it was given out, refused or filtered. A reader
//! that is opened there gives the rest: the same records with the same ordinals, and counts that add up to those of one
//! reader of the whole item.

mod begin;
mod error;
mod lines;
mod looks;
#[cfg(test)]
mod tests;
mod text;

use std::{io::Read, ops::Range, sync::Arc};

use pf_work::{Format, WorkItem, checkpoint::Position};

pub use self::error::Error;
use self::{
    begin::{Begin, misfit},
    lines::Lines,
};
use crate::{
    batch::{Batch, Reject},
    decompress::Magic,
    plan::Records,
    reader::{
        parquet::{self, Place},
        range_source::RangeSource,
    },
};

/// Input bytes of a batch, at most: what a batch touches stays in the processor's cache.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Where the bytes of one object come from.
pub trait Source {
    /// Gives bytes in order.
    type Stream: Read;

    /// The object's bytes from the start of `range` to the object's end. Those in the range are wanted for sure; those
    /// behind it only if they are read.
    fn stream(&mut self, range: Range<u64>) -> Self::Stream;

    /// The same object in ranges.
    fn ranges(&self) -> Arc<dyn RangeSource>;
}

/// What a reader has seen so far: what lies between where it began and its [`position`](ObjectReader::position).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes as stored that were read; those before or behind the item's records that it took to find them, too.
    pub wire_bytes: u64,
    /// Bytes of records before any work on them: NDJSON decompressed, Parquet pages uncompressed.
    pub bytes: u64,
    /// Records: each is given out, filtered or rejected.
    pub records: u64,
    /// Records that the filter did not let through.
    pub filtered: u64,
    /// Lines that are no records, and rows that are too large.
    pub rejected: u64,
    /// Of `bytes`, those of an object that is stored as it is: over its ranges they add up to its size.
    pub span_bytes: u64,
    /// NULs before records, which were skipped.
    pub nul_bytes: u64,
}

/// Reads one work item.
pub struct ObjectReader<R>(Kind<R>);

enum Kind<R> {
    Lines(Box<Lines<R>>),
    Rows(Box<parquet::Reader>),
}

/// What is streamed of an item's object first to read it from a position on; `None`: nothing. So it can be fetched before
/// there is a reader.
pub fn first_stream(item: &WorkItem, from: Option<Position>) -> Option<Range<u64>> {
    if item.format == Format::Parquet {
        return None;
    }
    Begin::new(item, from).ok()?.stream
}

impl<R: Read> ObjectReader<R> {
    /// A reader of the item's records, as `records` has it; from its first on, or from a position that a reader of the same
    /// item gave. Reads as much as it takes to find out what the object is.
    ///
    /// # Errors
    /// [`Error::Misfit`] if the item has no such position. Some positions are found not to fit only on the way to them: then
    /// the first [`next_batch`](Self::next_batch) says so, and no record was given out before.
    pub fn open(
        item: &WorkItem,
        from: Option<Position>,
        records: &Records,
        source: &mut impl Source<Stream = R>,
    ) -> Result<Self, Error> {
        let place = match from {
            Some(Position::Row { row_group, row }) => Some(Place {
                row_group: usize::try_from(row_group).unwrap_or(usize::MAX),
                row,
            }),
            _ => None,
        };
        let is_rows = place.is_some() || (item.format == Format::Parquet && from.is_none());
        if !is_rows && let Some(lines) = Self::lines(item, from, records, source)? {
            return Ok(lines);
        }
        let range = item.range.map(|range| (range.start, range.end));
        let rows = parquet::Reader::open_at(source.ranges(), range, place, row_options(records));
        match rows {
            Ok(rows) => Ok(Self(Kind::Rows(Box::new(rows)))),
            Err(error @ parquet::Error::NoSuchPlace(_)) => Err(Error::Misfit(error.to_string())),
            Err(error @ parquet::Error::NotParquet(_)) if place.is_some() => Err(Error::Misfit(error.to_string())),
            // The bytes are believed before the name.
            Err(error @ parquet::Error::NotParquet(_)) if is_rows => {
                let first = looks::head(&*source.ranges())?;
                match Magic::of(&first) {
                    Magic::Foreign(name) => Err(Error::Contradiction(format!(
                        "unsupported: it is {name}, which is not read"
                    ))),
                    magic if looks::may_be_lines(magic, &first) => match Self::lines(item, None, records, source)? {
                        Some(lines) => Ok(lines),
                        None => Err(error.into()),
                    },
                    _ => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A reader of lines; none if the object is Parquet.
    fn lines(
        item: &WorkItem,
        from: Option<Position>,
        records: &Records,
        source: &mut impl Source<Stream = R>,
    ) -> Result<Option<Self>, Error> {
        let begin = Begin::new(item, from)?;
        if from.is_some() && begin.resumed.is_some() && begin.contradicts(item) {
            // What the object is said to be is not how it was read before, unless its bytes say so too.
            let first = looks::head(&*source.ranges())?;
            if !begin.agrees_with(Magic::of(&first), &first) {
                return misfit("the object is none that has such a place");
            }
        }
        let stream = begin.stream.clone().map(|range| source.stream(range));
        let lines = Lines::open(item, &begin, stream, || source.ranges(), records)?;
        Ok(lines.map(|lines| Self(Kind::Lines(Box::new(lines)))))
    }

    /// The next records; `None` at the end. What is refused is added to `rejects`. A batch may have no records.
    ///
    /// # Errors
    /// What comes after an error is not the rest of the item: the reader is done. Position and counts stay where they are,
    /// behind what was given out and what this call added to `rejects`.
    pub fn next_batch(&mut self, rejects: &mut Vec<Reject>) -> Result<Option<Batch>, Error> {
        match &mut self.0 {
            Kind::Lines(lines) => lines.next_batch(rejects),
            Kind::Rows(rows) => Ok(rows.next_batch(rejects)?.map(Batch::Columns)),
        }
    }

    /// Gives back a batch that is done with, for its buffers.
    pub fn recycle(&mut self, batch: Batch) {
        match &mut self.0 {
            Kind::Lines(lines) => lines.recycle(batch),
            Kind::Rows(_) => {}
        }
    }

    /// Where to go on: every record before it was given out, refused or filtered by the batches so far, and none behind it.
    pub fn position(&mut self) -> Position {
        match &mut self.0 {
            Kind::Lines(lines) => lines.position(),
            Kind::Rows(rows) => {
                let Place { row_group, row } = rows.position();
                Position::Row {
                    row_group: row_group as u64,
                    row,
                }
            }
        }
    }

    /// How many rows the whole object has, of which the item may be a part; none for lines, which nobody counted before.
    pub fn object_rows(&self) -> Option<u64> {
        match &self.0 {
            Kind::Lines(_) => None,
            Kind::Rows(rows) => Some(rows.file_rows()),
        }
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        match &self.0 {
            Kind::Lines(lines) => lines.counts(),
            Kind::Rows(rows) => {
                let counts = rows.counts();
                Counts {
                    wire_bytes: counts.fetched_bytes,
                    bytes: counts.bytes,
                    records: counts.rows,
                    filtered: counts.filtered,
                    rejected: counts.rejected,
                    span_bytes: 0,
                    nul_bytes: 0,
                }
            }
        }
    }
}

fn row_options(records: &Records) -> parquet::Options {
    parquet::Options {
        columns: records.columns.clone(),
        filter: records.filter.clone(),
        batch_records_max: records.batch_records_max,
        batch_bytes_max: BATCH_BYTES_MAX,
        record_bytes_max: records.record_bytes_max,
        binary: records.binary,
    }
}
