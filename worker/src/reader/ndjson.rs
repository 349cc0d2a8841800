//! NDJSON: decompressed bytes in, batches of validated records out, without IO of its own.
//!
//! Two ways through, both a single walk that checks every byte against RFC 8259: lines that leave as they came
//! ([`Batch::Lines`]), and records that become Arrow columns ([`Batch::Columns`]). What is no JSON object becomes a
//! [`Reject`] with what is wrong and where, and the walk goes on with the next line. Nothing is ever dropped silently.

mod column;
pub(crate) mod compare;
pub(crate) mod cut;
mod decode;
mod escape;
mod fault;
pub(crate) mod fields;
mod filter;
mod finish;
mod lines;
mod number;
mod object;
mod pool;
pub(crate) mod scan;
mod selection;
mod strings;
mod walk;
mod window;

#[cfg(test)]
mod tests;

use std::{
    io::{self, Read},
    ops::Range,
};

use arrow::datatypes::SchemaRef;

use self::{
    decode::Decoder,
    filter::Filter,
    lines::{Check, Decoded},
    pool::Pool,
    walk::Line,
    window::Window,
};
use crate::{
    batch::{Batch, ColumnBatch, LineBatch, Reject},
    predicate::{FieldPath, Predicate},
};

/// What a [`Reader`] makes of its input.
#[derive(Debug, Clone)]
pub struct Options {
    /// The fields that become columns; `None`: lines stay lines; an empty list: all fields become columns. If only fields
    /// below it are named, an object has just these, and a value in its place that is no object is left out.
    pub columns: Option<Vec<FieldPath>>,
    /// Which records are let through.
    pub filter: Option<Predicate>,
    /// A longer line is rejected, and skipped without being held in memory.
    pub record_bytes_max: usize,
    /// A batch ends with this many records.
    pub batch_records_max: usize,
    /// A batch ends when this many bytes of input are in it.
    pub batch_bytes_max: usize,
}

/// What an object may begin with before its first record.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// More than places in a batch can say is never read into one.
const BYTES_MAX: usize = 1 << 30;

impl Options {
    fn bounded(self) -> Self {
        Self {
            record_bytes_max: self.record_bytes_max.min(BYTES_MAX),
            batch_bytes_max: self.batch_bytes_max.clamp(1, BYTES_MAX),
            batch_records_max: self.batch_records_max.clamp(1, BYTES_MAX),
            ..self
        }
    }
}

/// Which part of the object the reader is for: a line belongs to the span that its first byte is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Decompressed offset of the span's first byte. If it isn't 0, the input begins one byte earlier, so that a newline
    /// just before is seen.
    pub start: u64,
    /// Behind the span's last byte; `None`: to the end of the object. The input goes on beyond it, for the last line.
    pub end: Option<u64>,
}

impl Span {
    /// The whole object.
    pub const WHOLE: Self = Self { start: 0, end: None };
}

/// What a reader has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Decompressed bytes of the span's lines, with line endings and blank lines: over an object's spans, its size.
    pub bytes: u64,
    /// Lines that are not blank.
    pub records: u64,
    /// Records that the filter did not let through.
    pub filtered: u64,
    /// Lines that are no records.
    pub rejected: u64,
    /// NULs before records, which were skipped: a log that was cut while it was written has them.
    pub nul_bytes: u64,
}

/// Reads one span of one object.
#[derive(Debug)]
pub struct Reader<R> {
    window: Window<R>,
    options: Options,
    check: Check,
    decoder: Option<Decoder>,
    schema: Option<SchemaRef>,
    counts: Counts,
    spare: LineBatch,
    pool: Pool,
}

impl<R: Read> Reader<R> {
    /// A reader of decompressed bytes.
    pub fn new(input: R, span: Span, options: Options) -> Self {
        let options = options.bounded();
        Self::of(Window::new(input, &span, options.record_bytes_max), options)
    }

    /// A reader of decompressed bytes that begin at the span's start, with a line: one that a reader before gave as its
    /// [`position`](Self::position).
    pub fn at_line(input: R, span: Span, options: Options) -> Self {
        let options = options.bounded();
        Self::of(Window::at_line(input, &span, options.record_bytes_max), options)
    }

    fn of(window: Window<R>, options: Options) -> Self {
        Self {
            window,
            check: match &options.filter {
                Some(predicate) => Check::Filter(Filter::new(predicate)),
                None => Check::All(Decoder::checker()),
            },
            decoder: options.columns.as_deref().map(Decoder::new),
            options,
            schema: None,
            counts: Counts::default(),
            spare: LineBatch::default(),
            pool: Pool::default(),
        }
    }

    /// The next records; `None` at the end. What is refused is added to `rejects`; so that these don't pile up, a batch may
    /// have no records if many were.
    ///
    /// # Errors
    /// The input's own, once, after all whole lines before it were given out; the piece of a line before it is no record.
    pub fn next_batch(&mut self, rejects: &mut Vec<Reject>) -> io::Result<Option<Batch>> {
        let batch = match self.decoder.take() {
            Some(mut decoder) => {
                let batch = self.next_columns(&mut decoder, rejects).map(Batch::Columns);
                self.decoder = Some(decoder);
                batch
            }
            None => self.next_lines(rejects).map(Batch::Lines),
        };
        match batch {
            Some(batch) => Ok(Some(batch)),
            None => self.window.take_error().map_or(Ok(None), Err),
        }
    }

    /// Gives back a batch that is done with, for its buffers.
    pub fn recycle(&mut self, batch: Batch) {
        match batch {
            Batch::Lines(batch) => self.spare = batch,
            Batch::Columns(batch) => self.pool.recycle(batch.records),
        }
    }

    /// Decompressed offset of the first record that was not given out, or refused, yet: where to go on. Before the first
    /// line is found, the span's start.
    pub fn position(&self) -> u64 {
        self.window.position()
    }

    /// The input, which is read ahead of the position.
    pub fn input(&self) -> &R {
        self.window.input()
    }

    /// The input. What is taken from it is missing in the records, unless it is before the first of them.
    pub fn input_mut(&mut self) -> &mut R {
        self.window.input_mut()
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        Counts {
            bytes: self.window.consumed_bytes(),
            ..self.counts
        }
    }

    /// Lines of one block, as they came.
    fn next_lines(&mut self, rejects: &mut Vec<Reject>) -> Option<LineBatch> {
        let mut refused_bytes = 0;
        let mut lines = std::mem::take(&mut self.spare.lines);
        lines.clear();
        while lines.is_empty() && refused_bytes < self.options.batch_bytes_max {
            if !self.window.ready(rejects, &mut self.counts) {
                self.spare.lines = lines;
                return None;
            }
            refused_bytes += self.walk_block(&mut lines, rejects);
        }
        let from = lines.first().map_or(self.window.at(), |line| line.start as usize);
        let (text, offset_bytes) = self
            .window
            .take_text(from, &mut lines, std::mem::take(&mut self.spare.text));
        Some(LineBatch {
            text,
            lines,
            offset_bytes,
        })
    }

    /// Walks lines of the window's block until the block or the batch ends, and returns how many bytes were refused.
    fn walk_block(&mut self, lines: &mut Vec<Range<u32>>, rejects: &mut Vec<Reject>) -> usize {
        let (window, limit) = (&self.window, self.options.record_bytes_max);
        let (text, first, whole) = (window.text(), window.at(), window.whole());
        let mut at = first;
        let mut refused_bytes = 0;
        while at < whole && lines.len() < self.options.batch_records_max && at - first < self.options.batch_bytes_max {
            let mut start = at;
            at = loop {
                match lines::walk(window, start, &mut self.check, limit) {
                    Ok((Line::Record(newline), passes)) => {
                        self.counts.records += 1;
                        if passes {
                            lines.push(start as u32..lines::without_return(text, start, newline) as u32);
                        } else {
                            self.counts.filtered += 1;
                        }
                        break newline + 1;
                    }
                    Ok((Line::Blank(newline), _)) => break newline + 1,
                    Err(refusal) => {
                        if let Some(behind) = lines::behind_nuls(window, start, &mut self.counts.nul_bytes) {
                            start = behind;
                            continue;
                        }
                        refused_bytes += refusal.next - start;
                        self.counts.refuse(refusal.reject, rejects);
                        break refusal.next;
                    }
                }
            };
        }
        self.window.advance(at);
        refused_bytes
    }

    /// Rows of as many blocks as fit in a batch.
    fn next_columns(&mut self, decoder: &mut Decoder, rejects: &mut Vec<Reject>) -> Option<ColumnBatch> {
        let mut rows = Rows {
            ordinals: Vec::new(),
            input_bytes: 0,
            refused_bytes: 0,
        };
        while !rows.full(&self.options, decoder) && self.window.ready(rejects, &mut self.counts) {
            self.decode_block(decoder, &mut rows, rejects);
            if decoder.rows == 0 && decoder.full() {
                decoder.reset();
            }
        }
        if rows.ordinals.is_empty() && rows.refused_bytes == 0 {
            return None;
        }
        let records = finish::record_batch(&mut decoder.record, decoder.rows, &mut self.schema, &mut self.pool);
        decoder.reset();
        Some(ColumnBatch {
            records,
            ordinals: rows.ordinals,
            input_bytes: rows.input_bytes as u64,
        })
    }

    /// Decodes lines of the window's block until the block or the batch ends.
    fn decode_block(&mut self, decoder: &mut Decoder, rows: &mut Rows, rejects: &mut Vec<Reject>) {
        let (window, limit) = (&self.window, self.options.record_bytes_max);
        let whole = window.whole();
        let mut at = window.at();
        'lines: while at < whole && !rows.full(&self.options, decoder) {
            let mut start = at;
            let mut nul_bytes = 0;
            at = loop {
                match lines::decode(window, start, &mut self.check, decoder, limit) {
                    Ok(Decoded::Row(newline)) => {
                        self.counts.records += 1;
                        rows.ordinals.push(window.ordinal(start));
                        rows.input_bytes += newline + 1 - start;
                        break newline + 1;
                    }
                    Ok(Decoded::Filtered(newline)) => {
                        self.counts.records += 1;
                        self.counts.filtered += 1;
                        break newline + 1;
                    }
                    Ok(Decoded::Blank(newline)) => break newline + 1,
                    // From the line's start, with its NULs.
                    Ok(Decoded::Again) => break 'lines,
                    Err(refusal) => {
                        if let Some(behind) = lines::behind_nuls(window, start, &mut nul_bytes) {
                            start = behind;
                            continue;
                        }
                        rows.refused_bytes += refusal.next - start;
                        self.counts.refuse(refusal.reject, rejects);
                        break refusal.next;
                    }
                }
            };
            self.counts.nul_bytes += nul_bytes;
        }
        self.window.advance(at);
    }
}

impl Counts {
    fn refuse(&mut self, reject: Reject, rejects: &mut Vec<Reject>) {
        self.records += 1;
        self.rejected += 1;
        rejects.push(reject);
    }
}

/// The rows of a batch in the making.
struct Rows {
    ordinals: Vec<u64>,
    input_bytes: usize,
    refused_bytes: usize,
}

impl Rows {
    fn full(&self, options: &Options, decoder: &Decoder) -> bool {
        self.ordinals.len() >= options.batch_records_max
            || self.input_bytes + self.refused_bytes >= options.batch_bytes_max
            || decoder.full()
    }
}
