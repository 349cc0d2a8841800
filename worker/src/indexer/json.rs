//! Arrow rows as JSON text, one object to a line. Leaf values are written by Arrow's own encoders; the objects are ours,
//! because whether a null is a value or a key that is not there is said by each field (see [`crate::batch::NULLS`]).
//!
//! What JSON has no form for: NaN, infinities and moments beyond the calendar become `null`, binary becomes hexadecimal
//! text, a UUID its text with hyphens, a timestamp RFC 3339 text (in UTC; without a zone if it has none), a map an object
//! with its keys as text. Text of Arrow's JSON extension type is written as it is if it is JSON, and as a string if it is
//! not. A line never has a line break in it.

#[cfg(test)]
mod tests;

use std::{fmt::Write as _, io::Write as _, ops::Range, sync::Arc};

use arrow::{
    array::{Array, AsArray, GenericListArray, OffsetSizeTrait, RecordBatch},
    datatypes::{
        ArrowPrimitiveType, DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
    error::ArrowError,
    json::{
        Encoder as ValueEncoder, EncoderFactory, EncoderOptions,
        writer::{NullableEncoder, make_encoder},
    },
    util::display::{ArrayFormatter, FormatOptions},
};
use serde::de::IgnoredAny;

use crate::batch::{EXTENSION, NULLS, NULLS_ABSENT};

/// Why rows can't be written: a column's type has no JSON form.
#[derive(Debug, thiserror::Error)]
#[error("a column can't be written as JSON")]
pub struct Error(#[from] ArrowError);

/// Writes rows; one for many batches, of any schemas.
#[derive(Debug)]
pub struct Encoder {
    options: EncoderOptions,
    /// The schema of the last batch, with its keys as they are written.
    keys: Option<(SchemaRef, Vec<Key>)>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            options: EncoderOptions::default()
                .with_explicit_nulls(true)
                .with_encoder_factory(Arc::new(Ours)),
            keys: None,
        }
    }
}

impl Encoder {
    /// Appends each row as a line, and its place in `out`, without the line ending, to `rows`.
    ///
    /// # Errors
    /// If a column has a type without a JSON form; nothing was written then.
    pub fn write(
        &mut self,
        records: &RecordBatch,
        out: &mut Vec<u8>,
        rows: &mut Vec<Range<usize>>,
    ) -> Result<(), Error> {
        let schema = records.schema();
        if !self
            .keys
            .as_ref()
            .is_some_and(|(known, _)| Arc::ptr_eq(known, &schema) || *known == schema)
        {
            self.keys = Some((schema.clone(), keys(schema.fields())));
        }
        let (_, keys) = self.keys.as_ref().expect("set above");
        let values = schema
            .fields()
            .iter()
            .zip(records.columns())
            .map(|(field, column)| make_encoder(field, column.as_ref(), &self.options))
            .collect::<Result<Vec<_>, _>>()?;
        let mut object = Object { keys, values };
        rows.reserve(records.num_rows());
        for row in 0..records.num_rows() {
            let start = out.len();
            object.encode(row, out);
            rows.push(start..out.len());
            out.push(b'\n');
        }
        Ok(())
    }
}

/// A key of an object.
#[derive(Debug)]
struct Key {
    /// In quotes, with the colon.
    text: Vec<u8>,
    /// Whether it is left out where its value is null.
    left_out: bool,
}

fn keys(fields: &Fields) -> Vec<Key> {
    let key = |field: &FieldRef| {
        let mut text = Vec::new();
        string(field.name(), &mut text);
        text.push(b':');
        Key {
            text,
            left_out: field.metadata().get(NULLS).is_some_and(|nulls| nulls == NULLS_ABSENT),
        }
    };
    fields.iter().map(key).collect()
}

fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text can be written, and memory takes it");
}

struct Object<'a, K> {
    keys: K,
    values: Vec<NullableEncoder<'a>>,
}

impl<K: AsRef<[Key]>> ValueEncoder for Object<'_, K> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        for (key, value) in self.keys.as_ref().iter().zip(&mut self.values) {
            let null = value.is_null(row);
            if null && key.left_out {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(&key.text);
            value_or_null(value, row, out);
        }
        out.push(b'}');
    }
}

fn value_or_null(value: &mut NullableEncoder<'_>, row: usize, out: &mut Vec<u8>) {
    if value.is_null(row) {
        out.extend_from_slice(b"null");
    } else {
        value.encode(row, out);
    }
}

/// The types that are written otherwise than Arrow would.
#[derive(Debug)]
struct Ours;

impl EncoderFactory for Ours {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let extension = field.metadata().get(EXTENSION).map(String::as_str);
        let encoder: Box<dyn ValueEncoder + 'a> = match (array.data_type(), extension) {
            (DataType::Struct(fields), _) => {
                let values = fields
                    .iter()
                    .zip(array.as_struct().columns())
                    .map(|(field, column)| make_encoder(field, column.as_ref(), options))
                    .collect::<Result<_, _>>()?;
                let keys = keys(fields);
                Box::new(Object { keys, values })
            }
            (DataType::Utf8, Some("arrow.json")) => {
                let values = array.as_string::<i32>();
                Box::new(Json(move |row| values.value(row)))
            }
            (DataType::LargeUtf8, Some("arrow.json")) => {
                let values = array.as_string::<i64>();
                Box::new(Json(move |row| values.value(row)))
            }
            (DataType::Utf8View, Some("arrow.json")) => {
                let values = array.as_string_view();
                Box::new(Json(move |row| values.value(row)))
            }
            (DataType::FixedSizeBinary(16), Some("arrow.uuid")) => {
                let values = array.as_fixed_size_binary();
                Box::new(Uuid(move |row| values.value(row)))
            }
            (DataType::List(element), _) => list(element, array.as_list::<i32>(), options)?,
            (DataType::LargeList(element), _) => list(element, array.as_list::<i64>(), options)?,
            (DataType::FixedSizeList(element, length), _) => {
                let values = make_encoder(element, array.as_fixed_size_list().values().as_ref(), options)?;
                let length = *length as usize;
                let place = move |row| row * length..(row + 1) * length;
                Box::new(List { values, place })
            }
            (DataType::Map(entries, _), _) => map(entries, array, options)?,
            (DataType::Timestamp(unit, Some(_)), _) => Box::new(Instants::new(*unit, array)),
            (kind, _) if kind.is_temporal() => Box::new(Moment {
                values: ArrayFormatter::try_new(array, &FormatOptions::new().with_display_error(false))?,
                text: String::new(),
            }),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

/// Text that is JSON already.
struct Json<F>(F);

impl<'a, F: Fn(usize) -> &'a str> ValueEncoder for Json<F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = (self.0)(row);
        if serde_json::from_str::<IgnoredAny>(text).is_err() {
            return string(text, out);
        }
        let start = out.len();
        out.extend_from_slice(text.trim_ascii().as_bytes());
        // Within JSON a line break can only be white space.
        for byte in &mut out[start..] {
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

struct Uuid<F>(F);

impl<'a, F: Fn(usize) -> &'a [u8]> ValueEncoder for Uuid<F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        for (index, byte) in (self.0)(row).iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                out.push(b'-');
            }
            write!(out, "{byte:02x}").expect("memory takes it");
        }
        out.push(b'"');
    }
}

/// Timestamps of a known zone. They are written in UTC, whatever the zone, so that no table of zones is needed.
struct Instants<'a> {
    values: &'a [i64],
    /// Nanoseconds of a value's unit.
    unit: i128,
}

impl<'a> Instants<'a> {
    fn new(unit: TimeUnit, array: &'a dyn Array) -> Self {
        fn values<T: ArrowPrimitiveType<Native = i64>>(array: &dyn Array) -> &[i64] {
            array.as_primitive::<T>().values()
        }
        let (values, unit) = match unit {
            TimeUnit::Second => (values::<TimestampSecondType>(array), 1_000_000_000),
            TimeUnit::Millisecond => (values::<TimestampMillisecondType>(array), 1_000_000),
            TimeUnit::Microsecond => (values::<TimestampMicrosecondType>(array), 1_000),
            TimeUnit::Nanosecond => (values::<TimestampNanosecondType>(array), 1),
        };
        Self { values, unit }
    }

    /// `None` for a moment beyond the calendar.
    fn at(&self, row: usize) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_nanosecond(i128::from(self.values[row]) * self.unit).ok()
    }
}

impl ValueEncoder for Instants<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        match self.at(row) {
            Some(instant) => write!(out, "\"{instant}\"").expect("memory takes it"),
            None => out.extend_from_slice(b"null"),
        }
    }
}

/// Dates, times, naive timestamps, durations and intervals, as their text.
struct Moment<'a> {
    values: ArrayFormatter<'a>,
    text: String,
}

impl ValueEncoder for Moment<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        self.text.clear();
        match write!(self.text, "{}", self.values.value(row)) {
            Ok(()) => string(&self.text, out),
            Err(_) => out.extend_from_slice(b"null"),
        }
    }
}

struct List<'a, P> {
    values: NullableEncoder<'a>,
    place: P,
}

impl<P: Fn(usize) -> Range<usize>> ValueEncoder for List<'_, P> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, element) in (self.place)(row).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            value_or_null(&mut self.values, element, out);
        }
        out.push(b']');
    }
}

/// Our own, because Arrow's gives an element's encoder the list's field instead of the element's.
fn list<'a, O: OffsetSizeTrait>(
    element: &'a FieldRef,
    array: &'a GenericListArray<O>,
    options: &'a EncoderOptions,
) -> Result<Box<dyn ValueEncoder + 'a>, ArrowError> {
    let values = make_encoder(element, array.values().as_ref(), options)?;
    let offsets = array.value_offsets();
    let place = move |row: usize| offsets[row].as_usize()..offsets[row + 1].as_usize();
    Ok(Box::new(List { values, place }))
}

struct Map<'a> {
    offsets: &'a [i32],
    keys: MapKeys<'a>,
    values: NullableEncoder<'a>,
    text: String,
}

enum MapKeys<'a> {
    /// Of a known zone, for which Arrow's formatter would need a table of zones.
    Instants(Instants<'a>),
    Others(ArrayFormatter<'a>),
}

impl MapKeys<'_> {
    /// A key that has no text, a date beyond the calendar, becomes the empty key.
    fn write(&self, entry: usize, text: &mut String) {
        text.clear();
        let written = match self {
            Self::Instants(keys) => keys.at(entry).map(|instant| write!(text, "{instant}")),
            Self::Others(keys) => Some(write!(text, "{}", keys.value(entry))),
        };
        if !matches!(written, Some(Ok(()))) {
            text.clear();
        }
    }
}

impl ValueEncoder for Map<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        let entries = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        for (index, entry) in entries.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.keys.write(entry, &mut self.text);
            string(&self.text, out);
            out.push(b':');
            value_or_null(&mut self.values, entry, out);
        }
        out.push(b'}');
    }
}

fn map<'a>(
    entries: &'a Field,
    array: &'a dyn Array,
    options: &'a EncoderOptions,
) -> Result<Box<dyn ValueEncoder + 'a>, ArrowError> {
    let array = array.as_map();
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(ArrowError::JsonError("the entries of a map are no struct".to_owned()));
    };
    let Some(value) = fields.get(1) else {
        return Err(ArrowError::JsonError("the entries of a map have no value".to_owned()));
    };
    let keys = array.keys().as_ref();
    let keys = match keys.data_type() {
        DataType::Timestamp(unit, Some(_)) => MapKeys::Instants(Instants::new(*unit, keys)),
        _ => MapKeys::Others(ArrayFormatter::try_new(
            keys,
            &FormatOptions::new().with_display_error(false),
        )?),
    };
    Ok(Box::new(Map {
        offsets: array.value_offsets(),
        keys,
        values: make_encoder(value, array.values().as_ref(), options)?,
        text: String::new(),
    }))
}
