//! One line at a time: what it is, and, if it is no record, the refusal with its reason.

use std::{io::Read, ops::Range};

use memchr::memchr;

use super::{
    decode::{Decoder, Row},
    fault::Fault,
    filter::Filter,
    walk::Line,
    window::{Window, too_long},
};
use crate::batch::{REJECT_RAW_BYTES_MAX, Reject};

/// How a line is walked that stays a line.
#[derive(Debug)]
pub(super) enum Check {
    /// It is only checked.
    All(Decoder),
    /// The filter is asked, too.
    Filter(Filter),
}

impl Check {
    #[inline]
    fn line(&mut self, text: &[u8], start: usize) -> Result<(Line, bool), Fault> {
        match self {
            Self::All(decoder) => Ok((decoder.check(text, start)?, true)),
            Self::Filter(filter) => filter.line(text, start),
        }
    }

    fn faulty_key(&self) -> String {
        match self {
            Self::All(decoder) => decoder.faulty_key(),
            Self::Filter(filter) => filter.faulty_key(),
        }
    }
}

/// A line that is no record, and where the next one starts.
pub(super) struct Refusal {
    pub(super) reject: Reject,
    pub(super) next: usize,
}

/// Walks one line, and says whether it is let through.
#[inline]
pub(super) fn walk<R: Read>(
    window: &Window<R>,
    start: usize,
    check: &mut Check,
    record_bytes_max: usize,
) -> Result<(Line, bool), Refusal> {
    let text = window.text();
    if !window.utf8() {
        check_utf8(window, start, record_bytes_max)?;
    }
    match check.line(text, start) {
        // White space without end is no blank line, lest it depend on the buffer's size what it is.
        Ok((Line::Record(newline) | Line::Blank(newline), _))
            if without_return(text, start, newline) - start > record_bytes_max =>
        {
            Err(refuse(window, start, record_bytes_max, |_| String::new()))
        }
        Ok(line) => Ok(line),
        Err(fault) => Err(refuse(window, start, record_bytes_max, |line| {
            fault.reason(text, line, &check.faulty_key())
        })),
    }
}

/// What became of a line on its way to columns; where it has one, with the place of its newline.
pub(super) enum Decoded {
    Row(usize),
    Filtered(usize),
    Blank(usize),
    /// Not in this batch: end it, and decode the line again.
    Again,
}

/// Decodes one line as the next row, if the filter, where there is one, lets it through.
#[inline]
pub(super) fn decode<R: Read>(
    window: &Window<R>,
    start: usize,
    check: &mut Check,
    decoder: &mut Decoder,
    record_bytes_max: usize,
) -> Result<Decoded, Refusal> {
    if matches!(check, Check::Filter(_)) {
        match walk(window, start, check, record_bytes_max)? {
            (Line::Record(_), true) => {}
            (Line::Record(newline), false) => return Ok(Decoded::Filtered(newline)),
            (Line::Blank(newline), _) => return Ok(Decoded::Blank(newline)),
        }
    } else if !window.utf8() {
        check_utf8(window, start, record_bytes_max)?;
    }
    let text = window.text();
    match decoder.line(text, start) {
        Ok(Row::Added(newline)) if without_return(text, start, newline) - start > record_bytes_max => {
            decoder.take_back_row();
            Err(refuse(window, start, record_bytes_max, |_| String::new()))
        }
        Ok(Row::Added(newline)) => Ok(Decoded::Row(newline)),
        Ok(Row::Blank(newline)) if without_return(text, start, newline) - start > record_bytes_max => {
            Err(refuse(window, start, record_bytes_max, |_| String::new()))
        }
        Ok(Row::Blank(newline)) => Ok(Decoded::Blank(newline)),
        Ok(Row::Again) => Ok(Decoded::Again),
        Err(fault) => Err(refuse(window, start, record_bytes_max, |line| {
            fault.reason(text, line, &decoder.faulty_key())
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
    let is_too_long = line.len() > record_bytes_max;
    let kept_bytes = if is_too_long { REJECT_RAW_BYTES_MAX } else { line.len() };
    let raw = text[start..line.end.min(start + kept_bytes)].to_vec();
    let reject = if is_too_long {
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

/// The place behind the NULs at `start`; none if there are none. A log that was cut while it was written goes on behind a hole
/// of them.
#[cold]
pub(super) fn behind_nuls<R: Read>(window: &Window<R>, start: usize, nul_bytes: &mut u64) -> Option<usize> {
    let text = window.text();
    let nuls = text[start..].iter().take_while(|byte| **byte == 0).count();
    *nul_bytes += nuls as u64;
    (nuls > 0).then_some(start + nuls)
}

/// The newline of the line that `start` is in.
fn newline_after(text: &[u8], start: usize) -> usize {
    start + memchr(b'\n', &text[start..]).expect("a block ends with a newline")
}

/// Where the line's text ends: before its newline, or before the carriage return that belongs to it.
#[inline]
pub(super) fn without_return(text: &[u8], start: usize, newline: usize) -> usize {
    if newline > start && text[newline - 1] == b'\r' {
        newline - 1
    } else {
        newline
    }
}
