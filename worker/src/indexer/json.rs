//! Arrow rows as JSON text, one object to a line. The objects are ours, because whether a null is a value or a key that is
//! not there is said by each field (see [`crate::batch::NULLS`]), and so are the values that most rows are made of
//! (`values`), for speed; rarer ones are written by Arrow's own encoders.
//!
//! What JSON has no form for has its text in [`crate::values`]: moments, times, durations, intervals, UUIDs and bytes, as
//! values and as keys of maps, which become objects. NaN and infinities become `null`, and are counted. Text of Arrow's JSON
//! extension type is written as it is if it is JSON, and as a string if it is not. A line never has a line break in it.

mod numbers;
#[cfg(test)]
mod tests;
mod values;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{Array, AsArray, GenericListArray, OffsetSizeTrait, RecordBatch},
    datatypes::{
        DataType, Field, FieldRef, Fields, Float16Type, Float32Type, Float64Type, Int32Type, Int64Type, SchemaRef,
        UInt64Type,
    },
    error::ArrowError,
    json::{
        Encoder as ValueEncoder, EncoderFactory, EncoderOptions,
        writer::{NullableEncoder, make_encoder},
    },
};
use serde::de::IgnoredAny;

pub(super) use self::values::string;
use self::{
    numbers::{Fractions, Integers, Narrow, Numbers},
    values::{Text, Written, copy},
};
use crate::{
    batch::{EXTENSION, JSON, NULLS, NULLS_ABSENT},
    reader::ndjson::scan,
    values::{keys::Keys, texts::Texts},
};

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
    not_finite: Arc<AtomicU64>,
}

impl Default for Encoder {
    fn default() -> Self {
        let not_finite = Arc::<AtomicU64>::default();
        let ours = Ours {
            not_finite: Arc::clone(&not_finite),
        };
        Self {
            options: EncoderOptions::default()
                .with_explicit_nulls(true)
                .with_encoder_factory(Arc::new(ours)),
            keys: None,
            not_finite,
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
        let mut writer = self.rows(records)?;
        rows.reserve(records.num_rows());
        for row in 0..records.num_rows() {
            let start = out.len();
            writer.write(row, out);
            rows.push(start..out.len());
            out.push(b'\n');
        }
        Ok(())
    }

    /// The rows of a batch, to be written one by one.
    ///
    /// # Errors
    /// If a column has a type without a JSON form.
    pub(super) fn rows<'a>(&'a mut self, records: &'a RecordBatch) -> Result<Rows<'a>, Error> {
        let schema = records.schema();
        if !self
            .keys
            .as_ref()
            .is_some_and(|(known, _)| Arc::ptr_eq(known, &schema) || *known == schema)
        {
            self.keys = Some((schema.clone(), keys(schema.fields())));
        }
        let (_, keys) = self.keys.as_ref().expect("set above");
        let values = records
            .schema_ref()
            .fields()
            .iter()
            .zip(records.columns())
            .map(|(field, column)| make_encoder(field, column.as_ref(), &self.options))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Rows(Object { keys, values }))
    }

    /// How many values were no number that JSON has, NaN or an infinity, since this was asked last: each was written as
    /// `null`.
    pub(super) fn take_not_finite(&self) -> u64 {
        self.not_finite.swap(0, Ordering::Relaxed)
    }

    /// The values of one column, to be written one by one.
    ///
    /// # Errors
    /// If its type has no JSON form.
    pub(super) fn column<'a>(&'a self, field: &'a FieldRef, column: &'a dyn Array) -> Result<Column<'a>, Error> {
        Ok(Column(make_encoder(field, column, &self.options)?))
    }
}

/// Rows of a batch.
pub(super) struct Rows<'a>(Object<'a, &'a Vec<Key>>);

impl Rows<'_> {
    /// Appends a row as one object, without a line ending.
    #[inline]
    pub(super) fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        self.0.encode(row, out);
    }
}

/// Values of a column.
pub(super) struct Column<'a>(NullableEncoder<'a>);

impl Column<'_> {
    /// Appends the value of a row; `null` if it has none.
    pub(super) fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        value_or_null(&mut self.0, row, out);
    }
}

/// A key of an object.
#[derive(Debug)]
struct Key {
    /// In quotes, with a comma before and a colon behind, and padded so that short ones can be copied at once.
    text: Vec<u8>,
    /// Without the padding.
    length: usize,
    /// Whether it is left out where its value is null.
    left_out: bool,
}

fn keys(fields: &Fields) -> Vec<Key> {
    let key = |field: &FieldRef| {
        let mut text = vec![b','];
        string(field.name().as_bytes(), &mut text);
        text.push(b':');
        let length = text.len();
        text.resize(length.max(scan::CHUNK_BYTES), 0);
        Key {
            text,
            length,
            left_out: field.metadata().get(NULLS).is_some_and(|nulls| nulls == NULLS_ABSENT),
        }
    };
    fields.iter().map(key).collect()
}

struct Object<'a, K> {
    keys: K,
    values: Vec<NullableEncoder<'a>>,
}

impl<K: AsRef<[Key]>> ValueEncoder for Object<'_, K> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let start = out.len();
        for (key, value) in self.keys.as_ref().iter().zip(&mut self.values) {
            let null = value.is_null(row);
            if null && key.left_out {
                continue;
            }
            copy(&key.text, 0..key.length, out);
            if null {
                out.extend_from_slice(b"null");
            } else {
                value.encode(row, out);
            }
        }
        // The comma before the first key gives way.
        match out.get_mut(start) {
            Some(comma) => *comma = b'{',
            None => out.push(b'{'),
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
struct Ours {
    not_finite: Arc<AtomicU64>,
}

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
            (DataType::Utf8, Some(JSON)) => {
                let values = array.as_string::<i32>();
                Box::new(Json(move |row| values.value(row)))
            }
            (DataType::LargeUtf8, Some(JSON)) => {
                let values = array.as_string::<i64>();
                Box::new(Json(move |row| values.value(row)))
            }
            (DataType::Utf8View, Some(JSON)) => {
                let values = array.as_string_view();
                Box::new(Json(move |row| values.value(row)))
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
            (DataType::Utf8, _) => Box::new(Text::new(array.as_string::<i32>())),
            (DataType::LargeUtf8, _) => Box::new(Text::new(array.as_string::<i64>())),
            (DataType::Utf8View, _) => {
                let values = array.as_string_view();
                Box::new(Strings(move |row| values.value(row)))
            }
            (DataType::Int32, _) => Box::new(Numbers(array.as_primitive::<Int32Type>().values())),
            (DataType::Int64, _) => Box::new(Integers(array.as_primitive::<Int64Type>().values())),
            (DataType::UInt64, _) => Box::new(Numbers(array.as_primitive::<UInt64Type>().values())),
            (DataType::Float16, _) => Box::new(Narrow {
                values: array.as_primitive::<Float16Type>().values(),
                not_finite: Arc::clone(&self.not_finite),
            }),
            (DataType::Float32, _) => Box::new(Narrow {
                values: array.as_primitive::<Float32Type>().values(),
                not_finite: Arc::clone(&self.not_finite),
            }),
            (DataType::Float64, _) => Box::new(Fractions {
                values: array.as_primitive::<Float64Type>().values(),
                not_finite: Arc::clone(&self.not_finite),
            }),
            _ => match Texts::new(field, array) {
                Some(texts) => Box::new(Written::new(texts)),
                None => return Ok(None),
            },
        };
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        Ok(Some(NullableEncoder::new(encoder, nulls)))
    }
}

/// Text that is JSON already.
struct Json<F>(F);

impl<'a, F: Fn(usize) -> &'a str> ValueEncoder for Json<F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = (self.0)(row);
        if serde_json::from_str::<IgnoredAny>(text).is_err() {
            return string(text.as_bytes(), out);
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

/// Text that lies here and there.
struct Strings<F>(F);

impl<'a, F: Fn(usize) -> &'a str> ValueEncoder for Strings<F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        string((self.0)(row).as_bytes(), out);
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
    keys: Keys<'a>,
    values: NullableEncoder<'a>,
    text: Vec<u8>,
}

impl ValueEncoder for Map<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        let entries = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        for (index, entry) in entries.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.text.clear();
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
    Ok(Box::new(Map {
        offsets: array.value_offsets(),
        keys: Keys::new(array)?,
        values: make_encoder(value, array.values().as_ref(), options)?,
        text: Vec::new(),
    }))
}
