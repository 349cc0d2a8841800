//! Framing: input in, blocks of whole lines out, read straight into the buffer that the walk then goes over.
//!
//! A block ends behind its last newline; the rest of the buffer moves to the front before more is read. Lines are not
//! looked for one by one: the walk finds each line's end itself. The buffer grows only for a line that is longer than it,
//! up to the record limit; what is longer still is skipped with only its head kept, so memory stays bounded.

use std::{
    io::{self, Read},
    ops::Range,
};

use memchr::{memchr, memrchr};

use super::{BYTE_ORDER_MARK, Counts, Span, scan::PAD_BYTES};
use crate::batch::{REJECT_RAW_BYTES_MAX, Reject};

/// What the buffer starts with, and goes back to after a long line: a block stays in a core's own cache.
const BLOCK_BYTES: usize = 256 * 1024;
/// How much is read at a time once the span's end is passed and only the rest of its last line is missing.
const BEYOND_END_BYTES: usize = 8 * 1024;

/// Where the input stands.
#[derive(Debug)]
enum Source {
    /// More may come.
    Open,
    /// Nothing more comes; the last line may still be in the buffer.
    Ended,
    /// Nothing more is wanted.
    Done,
    /// It broke; the error is for whoever asks next.
    Failed(io::Error),
}

/// A view of the input that always holds whole lines.
#[derive(Debug)]
pub(super) struct Window<R> {
    input: R,
    source: Source,
    /// The buffer, with [`PAD_BYTES`] more than is ever filled.
    text: Vec<u8>,
    /// Where the next line starts.
    at: usize,
    /// Behind the last whole line.
    whole: usize,
    /// Behind what was read.
    filled: usize,
    /// Whether the whole lines are UTF-8, all of them.
    utf8: bool,
    /// Decompressed offset of `text[0]` in the object.
    offset_bytes: u64,
    /// Lines that start here or later are another span's.
    end: u64,
    /// Where this span's first line starts, once it is found.
    first: Option<u64>,
    /// Where the span starts.
    start: u64,
    /// NULs of the line at `text[0]` that were dropped before it.
    hole_bytes: u64,
    record_bytes_max: usize,
}

impl<R: Read> Window<R> {
    pub(super) fn new(input: R, span: &Span, record_bytes_max: usize) -> Self {
        Self {
            input,
            source: Source::Open,
            text: vec![0; BLOCK_BYTES + PAD_BYTES],
            at: 0,
            whole: 0,
            filled: 0,
            utf8: true,
            offset_bytes: span.start.saturating_sub(1),
            end: span.end.unwrap_or(u64::MAX),
            first: (span.start == 0).then_some(0),
            start: span.start,
            hole_bytes: 0,
            record_bytes_max,
        }
    }

    /// A window on an input that begins at the span's start, where a line does.
    pub(super) fn at_line(input: R, span: &Span, record_bytes_max: usize) -> Self {
        Self {
            offset_bytes: span.start,
            first: Some(span.start),
            ..Self::new(input, span, record_bytes_max)
        }
    }

    pub(super) fn input(&self) -> &R {
        &self.input
    }

    pub(super) fn input_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// Makes sure that there is a line to walk. False: there is none any more, or the input broke.
    pub(super) fn ready(&mut self, rejects: &mut Vec<Reject>, counts: &mut Counts) -> bool {
        while self.at == self.whole {
            if matches!(self.source, Source::Done | Source::Failed(_)) {
                return false;
            }
            if self.first.is_none() {
                self.skip_foreign_line();
                continue;
            }
            self.next_block(rejects, counts);
        }
        true
    }

    /// The input's error, once.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        if !matches!(self.source, Source::Failed(_)) {
            return None;
        }
        match std::mem::replace(&mut self.source, Source::Done) {
            Source::Failed(error) => Some(error),
            Source::Open | Source::Ended | Source::Done => None,
        }
    }

    /// The text up to the last whole line's newline, with what lies behind as padding.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where the next line starts.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Behind the last whole line.
    pub(super) fn whole(&self) -> usize {
        self.whole
    }

    /// Whether all whole lines are UTF-8. If not, each must be looked at.
    pub(super) fn utf8(&self) -> bool {
        self.utf8
    }

    /// The object offset of a place in the text.
    pub(super) fn ordinal(&self, at: usize) -> u64 {
        self.offset_bytes + at as u64
    }

    /// Says that everything before `at` is done with.
    pub(super) fn advance(&mut self, at: usize) {
        debug_assert!(self.at <= at && at <= self.whole);
        self.at = at;
        if at > 0 {
            self.hole_bytes = 0;
        }
    }

    /// Where the first line starts that is not done with; before a line is found, where the span starts.
    pub(super) fn position(&self) -> u64 {
        // A last line without a newline was given one that the input does not have.
        self.first
            .map_or(self.start, |_| self.ordinal(self.at.min(self.filled)) - self.hole_bytes)
    }

    /// Bytes of this span's lines that are done with.
    pub(super) fn consumed_bytes(&self) -> u64 {
        self.first.map_or(0, |first| self.position() - first)
    }

    /// Takes the text before `at`, which is done with, out of the window: the buffer itself if most of it is meant, a
    /// copy of `from..at` into `spare` otherwise. Lines in it move by what was before. Returns the text and its offset.
    pub(super) fn take_text(&mut self, from: usize, lines: &mut [Range<u32>], mut spare: Vec<u8>) -> (Vec<u8>, u64) {
        spare.clear();
        if (self.at - from) * 2 < self.filled {
            spare.extend_from_slice(&self.text[from..self.at]);
            for line in lines {
                *line = line.start - from as u32..line.end - from as u32;
            }
            return (spare, self.ordinal(from));
        }
        let offset_bytes = self.offset_bytes;
        let rest = self.filled.saturating_sub(self.at);
        spare.reserve_exact(rest.max(BLOCK_BYTES) + PAD_BYTES);
        spare.extend_from_slice(&self.text[self.filled - rest..self.filled]);
        spare.resize(rest.max(BLOCK_BYTES) + PAD_BYTES, 0);
        // The newline that a last line was given is not in `rest`, and not needed in what goes out.
        let newline_given = self.whole > self.filled && self.at < self.whole;
        if newline_given {
            spare[rest] = b'\n';
        }
        let mut text = std::mem::replace(&mut self.text, spare);
        let taken = self.at.min(self.filled);
        text.truncate(taken);
        self.offset_bytes += taken as u64;
        self.whole -= self.at;
        self.filled = rest;
        self.at = 0;
        (text, offset_bytes)
    }

    /// Skips to behind the first newline from the byte before the span on: what is before it is the span's before.
    fn skip_foreign_line(&mut self) {
        debug_assert_eq!(self.filled, 0);
        let newline_before = self.end.saturating_sub(1);
        while self.offset_bytes < newline_before {
            let wanted = usize::try_from(newline_before - self.offset_bytes).unwrap_or(usize::MAX);
            if !self.read(0, wanted.min(BLOCK_BYTES)) {
                break;
            }
            if let Some(newline) = memchr(b'\n', &self.text[..self.filled]) {
                self.at = newline + 1;
                self.whole = self.at;
                self.first = Some(self.ordinal(self.at));
                return;
            }
            self.offset_bytes += self.filled as u64;
            self.filled = 0;
        }
        if !matches!(self.source, Source::Failed(_)) {
            self.source = Source::Done;
        }
    }

    /// Reads the next whole lines, or skips one that is too long, or finds that there is nothing more.
    fn next_block(&mut self, rejects: &mut Vec<Reject>, counts: &mut Counts) {
        self.move_rest_to_front();
        if self.offset_bytes >= self.end {
            self.source = Source::Done;
            return;
        }
        let mut searched = 0;
        loop {
            self.fill();
            if self.offset_bytes == 0 && self.text[..self.filled].starts_with(BYTE_ORDER_MARK) {
                self.text.copy_within(BYTE_ORDER_MARK.len()..self.filled, 0);
                self.filled -= BYTE_ORDER_MARK.len();
                self.offset_bytes = BYTE_ORDER_MARK.len() as u64;
                searched = 0;
            }
            if let Some(whole) = self.last_line_end(searched) {
                self.whole = whole;
                break;
            }
            match self.source {
                Source::Open => {}
                Source::Ended if self.filled > 0 => {
                    self.text[self.filled] = b'\n';
                    self.whole = self.filled + 1;
                    self.source = Source::Done;
                    break;
                }
                Source::Ended | Source::Done => {
                    self.hole_bytes = 0;
                    self.source = Source::Done;
                    return;
                }
                // The piece of a line before an error is no record.
                Source::Failed(_) => return,
            }
            let nuls = self.text[..self.filled].iter().take_while(|byte| **byte == 0).count();
            if nuls > 0 {
                // However large a hole is, the record behind it is held alone.
                self.text.copy_within(nuls..self.filled, 0);
                self.filled -= nuls;
                self.offset_bytes += nuls as u64;
                self.hole_bytes += nuls as u64;
                counts.nul_bytes += nuls as u64;
                searched = 0;
                continue;
            }
            searched = self.filled;
            // One more for a carriage return that may belong to the line's end.
            // The start of a byte order mark is not yet part of a record.
            let may_be_mark = self.offset_bytes == 0 && BYTE_ORDER_MARK.starts_with(&self.text[..self.filled]);
            if !may_be_mark && self.filled > self.record_bytes_max.saturating_add(1) {
                self.skip_overlong_line(rejects, counts);
                return;
            }
            if self.filled == self.text.len() - PAD_BYTES {
                let limit = self.record_bytes_max.saturating_add(2).max(BLOCK_BYTES);
                let capacity = (self.filled * 2).min(limit);
                self.text.resize(capacity + PAD_BYTES, 0);
            }
        }
        self.utf8 = simdutf8::basic::from_utf8(&self.text[self.at..self.whole]).is_ok();
    }

    /// Moves what was read but is no whole line yet to the buffer's start.
    fn move_rest_to_front(&mut self) {
        let rest = self.filled.saturating_sub(self.at);
        let start = self.filled - rest;
        if self.text.len() > BLOCK_BYTES + PAD_BYTES && rest < BLOCK_BYTES / 2 {
            let mut text = vec![0; BLOCK_BYTES + PAD_BYTES];
            text[..rest].copy_from_slice(&self.text[start..self.filled]);
            self.text = text;
        } else {
            self.text.copy_within(start..self.filled, 0);
        }
        self.offset_bytes += start as u64;
        self.filled = rest;
        self.at = 0;
        self.whole = 0;
    }

    /// Reads until the buffer is full, the span's end is reached, or the input ends. Beyond the span's end: one read.
    fn fill(&mut self) {
        let capacity = self.text.len() - PAD_BYTES;
        while self.filled < capacity {
            let missing = self.end.saturating_sub(self.ordinal(self.filled));
            if missing == 0 {
                if memchr(b'\n', &self.text[self.last_byte_in_span()..self.filled]).is_none() {
                    self.read(self.filled, (self.filled + BEYOND_END_BYTES).min(capacity));
                }
                return;
            }
            let wanted = usize::try_from(missing)
                .unwrap_or(usize::MAX)
                .min(capacity - self.filled);
            if !self.read(self.filled, self.filled + wanted) {
                return;
            }
        }
    }

    /// One read into `text[from..to]`, `from` being where the filled part ends. False: nothing came.
    fn read(&mut self, from: usize, to: usize) -> bool {
        if !matches!(self.source, Source::Open) {
            return false;
        }
        loop {
            match self.input.read(&mut self.text[from..to]) {
                Ok(0) => self.source = Source::Ended,
                Ok(bytes) => {
                    self.filled = from + bytes;
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => self.source = Source::Failed(error),
            }
            return false;
        }
    }

    /// The place in the text of the span's last byte: a line that ends there or later is the span's last.
    fn last_byte_in_span(&self) -> usize {
        let last = self.end.saturating_sub(1).saturating_sub(self.offset_bytes);
        usize::try_from(last).unwrap_or(usize::MAX).min(self.filled)
    }

    /// Behind the last line that is whole and this span's, looking at what lies from `searched` on.
    fn last_line_end(&mut self, searched: usize) -> Option<usize> {
        let last = self.last_byte_in_span();
        if let Some(newline) = memchr(b'\n', &self.text[last.max(searched)..self.filled]) {
            self.source = Source::Done;
            return Some(last.max(searched) + newline + 1);
        }
        memrchr(b'\n', &self.text[searched..self.filled]).map(|newline| searched + newline + 1)
    }

    /// Skips a line that is longer than a record may be, keeping its head.
    fn skip_overlong_line(&mut self, rejects: &mut Vec<Reject>, counts: &mut Counts) {
        let ordinal = self.offset_bytes;
        let mut raw = self.text[..self.filled.min(REJECT_RAW_BYTES_MAX)].to_vec();
        let mut last = 0;
        let mut scanned = 0;
        let line_end = loop {
            if let Some(newline) = memchr(b'\n', &self.text[scanned..self.filled]) {
                break Some(scanned + newline);
            }
            last = if self.filled > 0 {
                self.text[self.filled - 1]
            } else {
                last
            };
            let room = REJECT_RAW_BYTES_MAX - raw.len();
            if ordinal != self.offset_bytes {
                raw.extend_from_slice(&self.text[..self.filled.min(room)]);
            }
            self.offset_bytes += self.filled as u64;
            self.filled = 0;
            scanned = 0;
            if !self.read(0, self.text.len() - PAD_BYTES) {
                break None;
            }
        };
        if matches!(self.source, Source::Failed(_)) && line_end.is_none() {
            // Its end was not seen, so it is not done with.
            self.offset_bytes = ordinal;
            return;
        }
        let end = line_end.unwrap_or(0);
        if end > 0 {
            last = self.text[end - 1];
            let room = REJECT_RAW_BYTES_MAX - raw.len();
            raw.extend_from_slice(&self.text[..end.min(room)]);
        }
        let record_bytes = self.offset_bytes + end as u64 - ordinal - u64::from(last == b'\r');
        raw.truncate(usize::try_from(record_bytes).unwrap_or(usize::MAX));
        rejects.push(too_long(ordinal, raw, record_bytes, self.record_bytes_max));
        counts.records += 1;
        counts.rejected += 1;
        self.hole_bytes = 0;
        self.at = line_end.map_or(0, |end| end + 1);
        self.whole = self.at;
    }
}

/// The refusal of a record that is longer than the limit.
pub(super) fn too_long(ordinal: u64, raw: Vec<u8>, record_bytes: u64, record_bytes_max: usize) -> Reject {
    let reason = format!("{record_bytes} bytes long, more than the {record_bytes_max} that a record may have");
    Reject {
        ordinal,
        reason,
        raw,
        record_bytes,
    }
}
