//! The values that most rows are made of, written without detours: text, which is looked at and copied in one go, and
//! moments.

use std::{io::Write as _, ops::Range};

use arrow::{
    array::{Array, AsArray, GenericStringArray, OffsetSizeTrait},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
    json::Encoder as ValueEncoder,
};

use crate::reader::ndjson::scan::{self, CHUNK_BYTES};

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

/// A column of timestamps or dates.
pub(super) struct Moments<'a> {
    values: Values<'a>,
    /// Nanoseconds of a value's unit.
    unit: i128,
    form: Form,
}

enum Values<'a> {
    Long(&'a [i64]),
    Short(&'a [i32]),
}

/// How a moment is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Of a known zone: in UTC, so that no table of zones is needed.
    Instant,
    /// Without a zone.
    Naive,
    Date,
}

impl<'a> Moments<'a> {
    /// `None` if the array has no moments.
    pub(super) fn new(array: &'a dyn Array) -> Option<Self> {
        fn long<T: ArrowPrimitiveType<Native = i64>>(array: &dyn Array) -> Values<'_> {
            Values::Long(array.as_primitive::<T>().values())
        }
        const SECOND: i128 = 1_000_000_000;
        let (values, unit) = match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => (long::<TimestampSecondType>(array), SECOND),
            DataType::Timestamp(TimeUnit::Millisecond, _) => (long::<TimestampMillisecondType>(array), 1_000_000),
            DataType::Timestamp(TimeUnit::Microsecond, _) => (long::<TimestampMicrosecondType>(array), 1_000),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => (long::<TimestampNanosecondType>(array), 1),
            DataType::Date32 => {
                let days = array.as_primitive::<Date32Type>().values();
                (Values::Short(days), SECOND * 86_400)
            }
            DataType::Date64 => (long::<Date64Type>(array), 1_000_000),
            _ => return None,
        };
        let form = match array.data_type() {
            DataType::Timestamp(_, Some(_)) => Form::Instant,
            DataType::Timestamp(_, None) | DataType::Date64 => Form::Naive,
            _ => Form::Date,
        };
        Some(Self { values, unit, form })
    }

    /// Appends a moment's text without quotes; whether it has one: beyond the calendar none has.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let value = match self.values {
            Values::Long(values) => i128::from(values[row]),
            Values::Short(values) => i128::from(values[row]),
        };
        let Ok(instant) = jiff::Timestamp::from_nanosecond(value * self.unit) else {
            return false;
        };
        let moment = jiff::tz::Offset::UTC.to_datetime(instant);
        let (date, time) = (moment.date(), moment.time());
        if date.year() < 0 {
            // Six digits and a sign.
            let written = match self.form {
                Form::Instant => write!(out, "{instant}"),
                Form::Naive => write!(out, "{moment}"),
                Form::Date => write!(out, "{date}"),
            };
            return written.is_ok();
        }
        let mut text = *b"0000-00-00T00:00:00.000000000";
        let mut put = |end: usize, mut value: u32| {
            let mut at = end;
            while value > 0 {
                at -= 1;
                text[at] = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(4, u32::from(date.year().unsigned_abs()));
        put(7, u32::from(date.month().unsigned_abs()));
        put(10, u32::from(date.day().unsigned_abs()));
        put(13, u32::from(time.hour().unsigned_abs()));
        put(16, u32::from(time.minute().unsigned_abs()));
        put(19, u32::from(time.second().unsigned_abs()));
        let fraction = time.subsec_nanosecond().unsigned_abs();
        put(29, fraction);
        let length = match (self.form, fraction) {
            (Form::Date, _) => 10,
            (_, 0) => 19,
            _ => 29 - text.iter().rev().take_while(|byte| **byte == b'0').count(),
        };
        out.extend_from_slice(&text[..length]);
        if self.form == Form::Instant {
            out.push(b'Z');
        }
        true
    }
}

impl ValueEncoder for Moments<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(b'"');
        if self.write(row, out) {
            out.push(b'"');
        } else {
            out.truncate(start);
            out.extend_from_slice(b"null");
        }
    }
}
