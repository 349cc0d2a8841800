//! NDJSON: decompressed bytes in, batches of validated records out, without IO of its own.
//!
//! Two ways through, both a single walk that checks every byte against RFC 8259: lines that leave as they came
//! ([`Batch::Lines`]), and records that become Arrow columns ([`Batch::Columns`]). What is no JSON object becomes a
//! [`Reject`] with what is wrong and where, and the walk goes on with the next line. Nothing is ever dropped silently.

mod compare;
mod escape;
mod fault;
mod filter;
mod scan;
mod selection;
mod walk;
mod window;

#[cfg(test)]
mod tests;

use std::{
    io::{self, Read},
    ops::Range,
};

use memchr::memchr;

use self::{
    filter::Filter,
    walk::Line,
    window::{Window, too_long},
};
use crate::{
    batch::{Batch, LineBatch, REJECT_RAW_BYTES_MAX, Reject},
    predicate::{FieldPath, Predicate},
};

/// What a [`Reader`] makes of its input.
#[derive(Debug, Clone)]
pub struct Options {
    /// The fields that become columns; `None`: lines stay lines.
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
}

/// Reads one span of one object.
#[derive(Debug)]
pub struct Reader<R> {
    window: Window<R>,
    options: Options,
    filter: Option<Filter>,
    counts: Counts,
    spare: LineBatch,
}

impl<R: Read> Reader<R> {
    /// A reader of decompressed bytes.
    pub fn new(input: R, span: Span, mut options: Options) -> Self {
        // Places in a batch are 32 bits wide.
        options.record_bytes_max = options.record_bytes_max.min(BYTES_MAX);
        options.batch_bytes_max = options.batch_bytes_max.clamp(1, BYTES_MAX);
        options.batch_records_max = options.batch_records_max.max(1);
        Self {
            window: Window::new(input, &span, options.record_bytes_max),
            filter: options.filter.as_ref().map(Filter::new),
            options,
            counts: Counts::default(),
            spare: LineBatch::default(),
        }
    }

    /// The next records, at least one; `None` at the end. What is refused is added to `rejects`.
    ///
    /// # Errors
    /// The input's own, once, after all whole lines before it were given out; the piece of a line before it is no record.
    pub fn next_batch(&mut self, rejects: &mut Vec<Reject>) -> io::Result<Option<Batch>> {
        while self.window.ready(rejects, &mut self.counts) {
            if let Some(batch) = self.next_lines(rejects) {
                return Ok(Some(Batch::Lines(batch)));
            }
        }
        self.window.take_error().map_or(Ok(None), Err)
    }

    /// Gives back a batch that is done with, for its buffers.
    pub fn recycle(&mut self, batch: Batch) {
        if let Batch::Lines(batch) = batch {
            self.spare = batch;
        }
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        Counts {
            bytes: self.window.consumed_bytes(),
            ..self.counts
        }
    }

    /// Walks lines of the window's block until the block or the batch ends. `None`: none was let through.
    fn next_lines(&mut self, rejects: &mut Vec<Reject>) -> Option<LineBatch> {
        let mut lines = std::mem::take(&mut self.spare.lines);
        lines.clear();
        let window = &self.window;
        let (text, first, whole) = (window.text(), window.at(), window.whole());
        let mut at = first;
        while at < whole && lines.len() < self.options.batch_records_max && at - first < self.options.batch_bytes_max {
            let start = at;
            match walk_line(window, start, self.filter.as_mut(), self.options.record_bytes_max) {
                Ok((Line::Record(newline), passes)) => {
                    at = newline + 1;
                    self.counts.records += 1;
                    if passes {
                        lines.push(start as u32..without_return(text, start, newline) as u32);
                    } else {
                        self.counts.filtered += 1;
                    }
                }
                Ok((Line::Blank(newline), _)) => at = newline + 1,
                Err(refusal) => {
                    at = refusal.next;
                    self.counts.records += 1;
                    self.counts.rejected += 1;
                    rejects.push(refusal.reject);
                }
            }
        }
        self.window.advance(at);
        let Some(from) = lines.first().map(|line| line.start as usize) else {
            self.spare.lines = lines;
            return None;
        };
        let offset_bytes = self.window.ordinal(from);
        let (text, start) = self.window.take_text(from, std::mem::take(&mut self.spare.text));
        for line in &mut lines {
            *line = line.start - start as u32..line.end - start as u32;
        }
        let offset_bytes = offset_bytes - (from - start) as u64;
        Some(LineBatch {
            text,
            lines,
            offset_bytes,
        })
    }
}

/// More than places in a batch can say is never read into one.
const BYTES_MAX: usize = 1 << 30;

/// A line that is no record, and where the next one starts.
struct Refusal {
    reject: Reject,
    next: usize,
}

/// Walks one line, with the filter if there is one.
#[inline]
fn walk_line<R: Read>(
    window: &Window<R>,
    start: usize,
    mut filter: Option<&mut Filter>,
    record_bytes_max: usize,
) -> Result<(Line, bool), Refusal> {
    let text = window.text();
    if !window.utf8() {
        check_utf8(window, start, record_bytes_max)?;
    }
    let walked = match &mut filter {
        None => walk::line(text, start).map(|line| (line, true)),
        Some(filter) => filter.line(text, start),
    };
    match walked {
        Ok((Line::Record(newline), _)) if without_return(text, start, newline) - start > record_bytes_max => {
            Err(refuse(window, start, record_bytes_max, |_| String::new()))
        }
        Ok(line) => Ok(line),
        Err(fault) => Err(refuse(window, start, record_bytes_max, |line| {
            let key = filter.map_or_else(String::new, |filter| filter.faulty_key());
            fault.reason(text, line, &key)
        })),
    }
}

/// Refuses the line at `start` if it is not UTF-8. Asked only where the block as a whole is not.
#[cold]
fn check_utf8<R: Read>(window: &Window<R>, start: usize, record_bytes_max: usize) -> Result<(), Refusal> {
    let text = window.text();
    match std::str::from_utf8(&text[start..newline_after(text, start)]) {
        Ok(_) => Ok(()),
        Err(error) => Err(refuse(window, start, record_bytes_max, |_| {
            let at = error.valid_up_to();
            format!(
                "not UTF-8: byte {at} is 0x{:02x}, which can't stand there",
                text[start + at]
            )
        })),
    }
}

/// Refuses the line at `start`: for its length if that is over the limit, else for `reason`, which is given the line.
#[cold]
fn refuse<R: Read>(
    window: &Window<R>,
    start: usize,
    record_bytes_max: usize,
    reason: impl FnOnce(Range<usize>) -> String,
) -> Refusal {
    let text = window.text();
    let newline = newline_after(text, start);
    let line = start..without_return(text, start, newline);
    let (ordinal, record_bytes) = (window.ordinal(start), line.len() as u64);
    let raw = text[start..line.end.min(start + REJECT_RAW_BYTES_MAX)].to_vec();
    let reject = if line.len() > record_bytes_max {
        too_long(ordinal, raw, record_bytes, record_bytes_max)
    } else {
        Reject {
            ordinal,
            reason: reason(line),
            raw,
            record_bytes,
        }
    };
    Refusal {
        reject,
        next: newline + 1,
    }
}

/// The newline of the line that `start` is in.
fn newline_after(text: &[u8], start: usize) -> usize {
    start + memchr(b'\n', &text[start..]).expect("a block ends with a newline")
}

/// Where the line's text ends: before its newline, or before the carriage return that belongs to it.
#[inline]
fn without_return(text: &[u8], start: usize, newline: usize) -> usize {
    if newline > start && text[newline - 1] == b'\r' {
        newline - 1
    } else {
        newline
    }
}
