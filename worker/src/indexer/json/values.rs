//! The values that most rows are made of, written without detours: text, which is looked at and copied in one go, and
//! what has its text in [`crate::values`].

use std::{io::Write as _, ops::Range};

use arrow::{
    array::{GenericStringArray, OffsetSizeTrait},
    json::Encoder as ValueEncoder,
};

use crate::{
    reader::ndjson::scan::{self, CHUNK_BYTES},
    values::texts::Texts,
};

/// Appends text in quotes.
pub(in crate::indexer) fn string(text: &[u8], out: &mut Vec<u8>) {
    part_as_string(text, 0..text.len(), out);
}

/// Appends a part of a longer text in quotes.
#[inline]
fn part_as_string(text: &[u8], part: Range<usize>, out: &mut Vec<u8>) {
    let length = part.end - part.start;
    match scan::chunk::<CHUNK_BYTES>(text, part.start) {
        // Short and without escapes, as most are: looked at and copied once, with room made for all of it at once.
        Some(chunk) if length <= CHUNK_BYTES && scan::first_stop(chunk) >= length => {
            let start = out.len();
            out.extend_from_slice(&[b'"'; CHUNK_BYTES + 2]);
            let place = &mut out[start..start + CHUNK_BYTES + 2];
            place[1..=CHUNK_BYTES].copy_from_slice(chunk);
            place[1 + length] = b'"';
            out.truncate(start + length + 2);
        }
        _ => long_part_as_string(text, part, out),
    }
}

/// [`part_as_string`] for any length, with escapes.
fn long_part_as_string(text: &[u8], part: Range<usize>, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut at = part.start;
    loop {
        at = up_to_stop(text, at..part.end, out);
        if at == part.end {
            break;
        }
        match text[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => write!(out, "\\u{control:04x}").expect("memory takes it"),
        }
        at += 1;
    }
    out.push(b'"');
}

/// Appends a part of a text up to the first byte that can't stand for itself in a string, and returns its place.
#[inline]
fn up_to_stop(text: &[u8], part: Range<usize>, out: &mut Vec<u8>) -> usize {
    let mut at = part.start;
    // A chunk at a time and then cut: no call to copy a handful of bytes.
    while let Some(chunk) = scan::chunk(text, at) {
        let stop = scan::first_stop(chunk).min(part.end - at);
        let length = out.len();
        out.extend_from_slice(chunk);
        out.truncate(length + stop);
        at += stop;
        if stop < CHUNK_BYTES {
            return at;
        }
    }
    let stop = scan::string_stop(&text[..part.end], at);
    out.extend_from_slice(&text[at..stop]);
    stop
}

/// Appends a part of a text, which is short more often than not.
#[inline]
pub(super) fn copy(text: &[u8], part: Range<usize>, out: &mut Vec<u8>) {
    let length = part.end - part.start;
    match scan::chunk::<CHUNK_BYTES>(text, part.start) {
        Some(chunk) if length <= CHUNK_BYTES => {
            let start = out.len();
            out.extend_from_slice(chunk);
            out.truncate(start + length);
        }
        _ => out.extend_from_slice(&text[part]),
    }
}

/// A column of text.
pub(super) struct Text<'a, O> {
    offsets: &'a [O],
    bytes: &'a [u8],
}

impl<'a, O: OffsetSizeTrait> Text<'a, O> {
    pub(super) fn new(array: &'a GenericStringArray<O>) -> Self {
        Self {
            offsets: array.value_offsets(),
            bytes: array.value_data(),
        }
    }
}

impl<O: OffsetSizeTrait> ValueEncoder for Text<'_, O> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let part = self.offsets[row].as_usize()..self.offsets[row + 1].as_usize();
        part_as_string(self.bytes, part, out);
    }
}

/// A column of other values that are written as text.
pub(super) struct Written<'a> {
    values: Texts<'a>,
    scratch: Vec<u8>,
}

impl<'a> Written<'a> {
    pub(super) fn new(values: Texts<'a>) -> Self {
        Self {
            values,
            scratch: Vec::new(),
        }
    }
}

impl ValueEncoder for Written<'_> {
    #[inline]
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        if self.values.is_plain() {
            out.push(b'"');
            self.values.write(row, out);
            out.push(b'"');
        } else {
            self.scratch.clear();
            self.values.write(row, &mut self.scratch);
            string(&self.scratch, out);
        }
    }
}
