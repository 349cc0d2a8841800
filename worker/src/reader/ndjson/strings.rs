//! Strings on their way into a column: copied and searched for their end in one go, their escapes replaced.
//!
//! That a block of lines is UTF-8 is checked once, by the window and the walk over lines; a string cut from it between ASCII
//! characters needs no second look, which would be 5 % of the time, and nor do the offsets, which would be 1 %. So this
//! module says to Arrow, unchecked, that its strings are UTF-8 and in order. Builds with debug assertions, such as those of
//! all tests and fuzzers, have Arrow check it.
#![allow(unsafe_code)]

use arrow::{
    array::StringArray,
    buffer::{Buffer, NullBuffer, OffsetBuffer},
};

use super::{
    escape,
    fault::{Fault, What},
    pool::Pool,
    scan::{self, CHUNK_BYTES},
};

/// Strings, one behind the other.
#[derive(Debug)]
pub(super) struct Strings {
    /// Where each string starts, and where the last one ends.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Default for Strings {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            bytes: Vec::new(),
        }
    }
}

impl Strings {
    /// Adds the string whose first byte behind the quote is at `at`, and returns the place of its closing quote. If it is no
    /// string without escapes, what stands at the returned place is no quote: go on with [`Self::push_rest`]. The line must
    /// be UTF-8.
    ///
    /// Inlined and with nothing but a place to return, so that the next value is not waited for in memory.
    #[inline(always)]
    #[allow(clippy::inline_always)] // 1.06 × faster on columns
    pub(super) fn push_plain(&mut self, text: &[u8], at: usize) -> usize {
        let stop = self.push_up_to_stop(text, at);
        if text[stop] == b'"' {
            self.offsets.push(self.bytes.len() as i32);
        }
        stop
    }

    /// Adds the bytes up to the first that can't stand for itself in a string, and returns its place.
    #[inline(always)]
    #[allow(clippy::inline_always)] // as above
    fn push_up_to_stop(&mut self, text: &[u8], mut at: usize) -> usize {
        while let Some(chunk) = scan::chunk(text, at) {
            // A chunk at a time and then cut: no call to copy a handful of bytes.
            let stop = scan::first_stop(chunk);
            let length = self.bytes.len();
            self.bytes.extend_from_slice(chunk);
            if stop < CHUNK_BYTES {
                self.bytes.truncate(length + stop);
                return at + stop;
            }
            // Not `stop`: the processor need not wait for it to go on.
            at += CHUNK_BYTES;
        }
        at
    }

    /// The rest of a string from its first escape on, or from what should not be in it; returns the place behind its
    /// closing quote, or `None`, with nothing added, if it has half of a surrogate pair in it.
    #[inline(never)]
    pub(super) fn push_rest(&mut self, text: &[u8], mut at: usize) -> Result<Option<usize>, Fault> {
        let mut is_text = true;
        let end = loop {
            match text[at] {
                b'"' => break Ok(at + 1),
                b'\\' if let Some(byte) = escape::simple(text[at + 1]) => {
                    self.bytes.push(byte);
                    at += 2;
                }
                b'\\' => match escape::decode(text, at, &mut self.bytes, &mut is_text) {
                    Ok(behind) => at = behind,
                    Err(fault) => break Err(fault),
                },
                byte if byte < 0x20 => break Err(Fault::new(at, What::ControlCharacter)),
                _ => {}
            }
            at = self.push_up_to_stop(text, at);
        };
        if end.is_ok() && is_text {
            self.offsets.push(self.bytes.len() as i32);
        } else {
            self.bytes.truncate(self.offsets[self.offsets.len() - 1] as usize);
        }
        end.map(|end| is_text.then_some(end))
    }

    /// Adds UTF-8 text as it stands.
    #[inline]
    pub(super) fn push_text(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.offsets.push(self.bytes.len() as i32);
    }

    pub(super) fn push_empty(&mut self, count: usize) {
        let end = self.bytes.len() as i32;
        self.offsets.resize(self.offsets.len() + count, end);
    }

    /// Cuts back to the first `rows` strings.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes.truncate(self.offsets[rows] as usize);
    }

    /// The strings as an array, which takes their buffers.
    pub(super) fn take_array(&mut self, nulls: Option<NullBuffer>, pool: &mut Pool) -> StringArray {
        let offsets = pool.offsets.swap(&mut self.offsets).into();
        self.offsets.push(0);
        let bytes = Buffer::from_vec(pool.bytes.swap(&mut self.bytes));
        if cfg!(debug_assertions) {
            return StringArray::new(OffsetBuffer::new(offsets), bytes, nulls);
        }
        // SAFETY: The offsets begin with zero and rise up to the length of the bytes: each was their length when it was added,
        // and they are only ever cut back together. Each string is UTF-8: what goes in is of the text, which callers have
        // had checked, between quotes, backslashes and other ASCII characters, and what escapes stand for, which is taken
        // back unless it's whole characters.
        unsafe { StringArray::new_unchecked(OffsetBuffer::new_unchecked(offsets), bytes, nulls) }
    }
}
