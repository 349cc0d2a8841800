//! The values that most rows are made of, written without detours: text that is looked at once for a whole column, numbers,
//! and moments.

use std::io::Write as _;

use arrow::{
    array::{Array, AsArray, GenericStringArray, OffsetSizeTrait},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
    json::Encoder as ValueEncoder,
};
use serde::Serialize;

use crate::reader::ndjson::scan;

/// Appends text in quotes.
pub(in crate::indexer) fn string(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut at = 0;
    loop {
        let stop = scan::string_stop(text, at);
        out.extend_from_slice(&text[at..stop]);
        let Some(byte) = text.get(stop) else {
            break;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => write!(out, "\\u{control:04x}").expect("memory takes it"),
        }
        at = stop + 1;
    }
    out.push(b'"');
}

/// A column of text.
pub(super) struct Text<'a, O> {
    offsets: &'a [O],
    bytes: &'a [u8],
    /// Nothing in the whole column needs an escape.
    is_clean: bool,
}

impl<'a, O: OffsetSizeTrait> Text<'a, O> {
    pub(super) fn new(array: &'a GenericStringArray<O>) -> Self {
        let (offsets, bytes) = (array.value_offsets(), array.value_data());
        let used = match (offsets.first(), offsets.last()) {
            (Some(first), Some(last)) => &bytes[first.as_usize()..last.as_usize()],
            _ => &[],
        };
        Self {
            offsets,
            bytes,
            is_clean: scan::string_stop(used, 0) == used.len(),
        }
    }
}

impl<O: OffsetSizeTrait> ValueEncoder for Text<'_, O> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = &self.bytes[self.offsets[row].as_usize()..self.offsets[row + 1].as_usize()];
        if self.is_clean {
            out.reserve(text.len() + 2);
            out.push(b'"');
            out.extend_from_slice(text);
            out.push(b'"');
        } else {
            string(text, out);
        }
    }
}

/// A column of numbers of a type that JSON has.
pub(super) struct Numbers<'a, N>(pub(super) &'a [N]);

impl<N: Serialize + Copy> ValueEncoder for Numbers<'_, N> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        // What isn't finite becomes `null`.
        serde_json::to_writer(out, &self.0[row]).expect("a number can be written, and memory takes it");
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
