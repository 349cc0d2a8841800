//! A predicate asked about Arrow columns. The meaning is the room's; what Arrow adds: decimals compare by value, a double
//! with the double nearest to the literal, NaN is a value of another type, and a date, time or timestamp with text that is
//! one (a naive timestamp is taken as UTC). An absent key and a null are the same here. Text of Arrow's JSON extension type
//! is the value that it spells, and a UUID is its text with hyphens: both as they would stand in NDJSON.

use std::cmp::Ordering;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, RecordBatch, UInt64Array},
    buffer::{BooleanBuffer, NullBuffer},
    compute::{cast, take},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
        Decimal256Type, Field, Fields, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
};

use serde::de::IgnoredAny;

use super::{Literal, Operator, Predicate, Term, number::Border};
use crate::{batch::EXTENSION, reader::ndjson::compare::Comparison};

/// A column that a path leads to.
struct Found {
    array: ArrayRef,
    /// Where it, or what it lies in, is null.
    nulls: Option<NullBuffer>,
    kind: Kind,
}

/// What the values of a column are, beyond their Arrow type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Json,
    Uuid,
}

impl Predicate {
    /// Which rows pass; never null.
    pub fn evaluate(&self, records: &RecordBatch) -> BooleanArray {
        let schema = records.schema_ref();
        let mut passes = BooleanBuffer::new_set(records.num_rows());
        for term in &self.terms {
            let mut found = Vec::new();
            resolve(schema.fields(), records.columns(), None, &term.path.0, &mut found);
            passes = &passes & &term.evaluate(records.num_rows(), &found);
        }
        BooleanArray::new(passes, None)
    }
}

impl Term {
    /// Whether a missing field passes.
    pub fn holds_for_missing(&self) -> bool {
        self.operator == Operator::Equal && self.literal == Literal::Null
    }

    /// A path that is spelled in two ways (`a.b` nested and as a key with a dot) passes if one does.
    fn evaluate(&self, rows: usize, found: &[Found]) -> BooleanBuffer {
        if self.holds_for_missing() {
            return found
                .iter()
                .fold(BooleanBuffer::new_set(rows), |all, found| match &found.nulls {
                    Some(nulls) => &all & &!nulls.inner(),
                    None => BooleanBuffer::new_unset(rows),
                });
        }
        found.iter().fold(BooleanBuffer::new_unset(rows), |any, found| {
            let array = found.array.as_ref();
            let holds = match found.kind {
                Kind::Plain => self.values(array),
                Kind::Json => self.json(array),
                Kind::Uuid => self.uuids(array),
            };
            match &found.nulls {
                Some(nulls) => &any | &(&holds & nulls.inner()),
                None => &any | &holds,
            }
        })
    }

    /// Which values pass; places that are null have any answer.
    fn values(&self, array: &dyn Array) -> BooleanBuffer {
        let rows = array.len();
        match (&self.literal, array.data_type()) {
            (Literal::Null, _) => BooleanBuffer::new_set(rows),
            (_, DataType::Dictionary(_, values)) => match cast(array, values) {
                Ok(plain) => self.values(plain.as_ref()),
                Err(_) => self.other(rows),
            },
            (Literal::Bool(expected), DataType::Boolean) => {
                let values = array.as_boolean();
                self.collect(rows, |row| Some(values.value(row).cmp(expected)))
            }
            (Literal::Number(number), DataType::Float16 | DataType::Float32 | DataType::Float64) => {
                self.floats(array, number)
            }
            (Literal::Number(number), kind) if kind.is_numeric() => self.numbers(array, number),
            (Literal::Number(text) | Literal::Text(text), DataType::Utf8) => {
                let values = array.as_string::<i32>();
                self.collect(rows, |row| Some(values.value(row).cmp(text)))
            }
            (Literal::Number(text) | Literal::Text(text), DataType::LargeUtf8) => {
                let values = array.as_string::<i64>();
                self.collect(rows, |row| Some(values.value(row).cmp(text)))
            }
            (Literal::Number(text) | Literal::Text(text), DataType::Utf8View) => {
                let values = array.as_string_view();
                self.collect(rows, |row| Some(values.value(row).cmp(text)))
            }
            (Literal::Text(text), kind) if kind.is_temporal() => self.moments(array, text),
            _ => self.other(rows),
        }
    }

    fn json(&self, array: &dyn Array) -> BooleanBuffer {
        let comparison = Comparison::new(self);
        let mut scratch = Vec::new();
        BooleanBuffer::collect_bool(array.len(), |row| {
            let text = json_text(array, row);
            match serde_json::from_str::<IgnoredAny>(text) {
                // What is no JSON is written as a string.
                Err(_) => self.text_holds(text),
                Ok(_) => comparison.holds(text.as_bytes(), &mut scratch),
            }
        })
    }

    fn uuids(&self, array: &dyn Array) -> BooleanBuffer {
        let values = array.as_fixed_size_binary();
        BooleanBuffer::collect_bool(array.len(), |row| {
            let mut text = String::with_capacity(36);
            for (index, byte) in values.value(row).iter().enumerate() {
                if matches!(index, 4 | 6 | 8 | 10) {
                    text.push('-');
                }
                for digit in [byte >> 4, byte & 15] {
                    text.push(char::from_digit(u32::from(digit), 16).expect("four bits are one digit"));
                }
            }
            self.text_holds(&text)
        })
    }

    fn text_holds(&self, value: &str) -> bool {
        self.accepts(match &self.literal {
            Literal::Number(text) | Literal::Text(text) => Some(value.cmp(text)),
            Literal::Null | Literal::Bool(_) => None,
        }) || self.literal == Literal::Null
    }

    /// The answer for values that the literal can't be compared with.
    fn other(&self, rows: usize) -> BooleanBuffer {
        self.collect(rows, |_| None)
    }

    fn collect(&self, rows: usize, order: impl Fn(usize) -> Option<Ordering>) -> BooleanBuffer {
        BooleanBuffer::collect_bool(rows, |row| self.accepts(order(row)))
    }

    #[inline]
    fn accepts(&self, order: Option<Ordering>) -> bool {
        match self.operator {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::NotEqual => order != Some(Ordering::Equal),
            Operator::Less => order == Some(Ordering::Less),
            Operator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Operator::Greater => order == Some(Ordering::Greater),
            Operator::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }

    fn floats(&self, array: &dyn Array, number: &str) -> BooleanBuffer {
        // A literal beyond a type's range is an infinity of it, which is right: no finite value reaches it.
        let wide: f64 = number.parse().unwrap_or(f64::NAN);
        match array.data_type() {
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>().values();
                self.collect(values.len(), |row| values[row].partial_cmp(&wide))
            }
            DataType::Float32 => {
                let narrow: f32 = number.parse().unwrap_or(f32::NAN);
                let values = array.as_primitive::<Float32Type>().values();
                self.collect(values.len(), |row| values[row].partial_cmp(&narrow))
            }
            _ => {
                let values = array.as_primitive::<Float16Type>().values();
                self.collect(values.len(), |row| values[row].to_f64().partial_cmp(&wide))
            }
        }
    }

    fn numbers(&self, array: &dyn Array, number: &str) -> BooleanBuffer {
        macro_rules! fixed {
            ($kind:ty, $scale:expr) => {{
                let border = Border::<i128>::new(number, $scale);
                let values = array.as_primitive::<$kind>().values();
                self.collect(values.len(), |row| Some(border.compare(i128::from(values[row]))))
            }};
        }
        match array.data_type() {
            DataType::Int8 => fixed!(Int8Type, 0),
            DataType::Int16 => fixed!(Int16Type, 0),
            DataType::Int32 => fixed!(Int32Type, 0),
            DataType::Int64 => fixed!(Int64Type, 0),
            DataType::UInt8 => fixed!(UInt8Type, 0),
            DataType::UInt16 => fixed!(UInt16Type, 0),
            DataType::UInt32 => fixed!(UInt32Type, 0),
            DataType::UInt64 => fixed!(UInt64Type, 0),
            DataType::Decimal32(_, scale) => fixed!(Decimal32Type, *scale),
            DataType::Decimal64(_, scale) => fixed!(Decimal64Type, *scale),
            DataType::Decimal128(_, scale) => fixed!(Decimal128Type, *scale),
            DataType::Decimal256(_, scale) => {
                let border = Border::new(number, *scale);
                let values = array.as_primitive::<Decimal256Type>().values();
                self.collect(values.len(), |row| Some(border.compare(values[row])))
            }
            _ => self.other(array.len()),
        }
    }

    fn moments(&self, array: &dyn Array, text: &str) -> BooleanBuffer {
        const DAY: i128 = 86_400_000_000_000;
        let instant = || instant(text);
        let time = || time_of_day(text);
        match array.data_type() {
            DataType::Date32 => self.scaled::<Date32Type>(array, DAY, instant()),
            DataType::Date64 => self.scaled::<Date64Type>(array, 1_000_000, instant()),
            DataType::Timestamp(TimeUnit::Second, _) => {
                self.scaled::<TimestampSecondType>(array, 1_000_000_000, instant())
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                self.scaled::<TimestampMillisecondType>(array, 1_000_000, instant())
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.scaled::<TimestampMicrosecondType>(array, 1_000, instant())
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => self.scaled::<TimestampNanosecondType>(array, 1, instant()),
            DataType::Time32(TimeUnit::Second) => self.scaled::<Time32SecondType>(array, 1_000_000_000, time()),
            DataType::Time32(_) => self.scaled::<Time32MillisecondType>(array, 1_000_000, time()),
            DataType::Time64(TimeUnit::Microsecond) => self.scaled::<Time64MicrosecondType>(array, 1_000, time()),
            DataType::Time64(_) => self.scaled::<Time64NanosecondType>(array, 1, time()),
            _ => self.other(array.len()),
        }
    }

    /// Values of a unit against nanoseconds; text that was no moment compares with nothing.
    fn scaled<T: ArrowPrimitiveType>(&self, array: &dyn Array, unit: i128, literal: Option<i128>) -> BooleanBuffer
    where
        i128: From<T::Native>,
    {
        let values = array.as_primitive::<T>().values();
        self.collect(values.len(), |row| {
            literal.map(|literal| (i128::from(values[row]) * unit).cmp(&literal))
        })
    }
}

/// Nanoseconds since 1970 of an RFC 3339 timestamp, a naive one, or a date (its midnight).
fn instant(text: &str) -> Option<i128> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Some(timestamp.as_nanosecond());
    }
    let naive: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = naive.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_nanosecond())
}

/// Nanoseconds since midnight.
fn time_of_day(text: &str) -> Option<i128> {
    let time: jiff::civil::Time = text.parse().ok()?;
    Some(time.duration_since(jiff::civil::Time::midnight()).as_nanos())
}

/// The columns that a path's keys lead to.
fn resolve(fields: &Fields, columns: &[ArrayRef], outer: Option<&NullBuffer>, keys: &[String], found: &mut Vec<Found>) {
    for taken in 1..=keys.len() {
        let name = keys[..taken].join(".");
        for (field, column) in fields.iter().zip(columns) {
            if *field.name() != name {
                continue;
            }
            let nulls = NullBuffer::union(outer, column.logical_nulls().as_ref());
            match column.data_type() {
                _ if taken == keys.len() => found.push(Found::new(field, column, nulls.as_ref())),
                DataType::Struct(inner) => {
                    let inside = column.as_struct();
                    resolve(inner, inside.columns(), nulls.as_ref(), &keys[taken..], found);
                }
                DataType::Map(..) => {
                    let (inner, columns) = entries(column.as_map(), &keys[taken..]);
                    resolve(&inner, &columns, nulls.as_ref(), &keys[taken..], found);
                }
                _ => {}
            }
        }
    }
}

/// What a map has under the first of `keys`, and under as many of them as a key with dots may be made of: as if the map
/// were a struct of these. Keys that aren't text are told by how they are written; of two that are equal, the last counts.
fn entries(map: &MapArray, keys: &[String]) -> (Fields, Vec<ArrayRef>) {
    let Ok(written) = cast(map.keys(), &DataType::Utf8) else {
        return (Fields::empty(), Vec::new());
    };
    let written = written.as_string::<i32>();
    let offsets = map.value_offsets();
    let found = (1..=keys.len()).filter_map(|taken| {
        let name = keys[..taken].join(".");
        let place = |row: usize| {
            let mut entries = (offsets[row] as usize..offsets[row + 1] as usize).rev();
            entries.find(|entry| written.is_valid(*entry) && written.value(*entry) == name)
        };
        let places: UInt64Array = (0..map.len()).map(|row| place(row).map(|entry| entry as u64)).collect();
        let values = take(map.values(), &places, None).ok()?;
        let (_, value) = map.entries_fields();
        Some((value.clone().with_name(name).with_nullable(true), values))
    });
    let (fields, values): (Vec<_>, _) = found.unzip();
    (fields.into(), values)
}

impl Found {
    fn new(field: &Field, column: &ArrayRef, nulls: Option<&NullBuffer>) -> Self {
        let kind = match (field.metadata().get(EXTENSION).map(String::as_str), column.data_type()) {
            (Some("arrow.json"), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => Kind::Json,
            (Some("arrow.uuid"), DataType::FixedSizeBinary(16)) => Kind::Uuid,
            _ => Kind::Plain,
        };
        let spelled = (kind == Kind::Json).then(|| {
            NullBuffer::new(BooleanBuffer::collect_bool(column.len(), |row| {
                json_text(column.as_ref(), row) != "null"
            }))
        });
        Self {
            array: column.clone(),
            nulls: NullBuffer::union(nulls, spelled.as_ref()),
            kind,
        }
    }
}

/// A JSON column's text, without white space around it; whatever stands there where it is null.
fn json_text(array: &dyn Array, row: usize) -> &str {
    let text = match array.data_type() {
        DataType::LargeUtf8 => array.as_string::<i64>().value(row),
        DataType::Utf8View => array.as_string_view().value(row),
        _ => array.as_string::<i32>().value(row),
    };
    text.trim_ascii()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            Decimal128Array, DictionaryArray, FixedSizeBinaryArray, Float64Array, Int64Array, StringArray, StructArray,
            TimestampMillisecondArray, UInt64Array,
        },
        datatypes::{Int32Type, Schema},
    };

    use super::*;

    fn records() -> RecordBatch {
        let inner = StructArray::from(vec![(
            Arc::new(Field::new("b", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])) as ArrayRef,
        )]);
        let columns: [(&str, ArrayRef); 8] = [
            ("int", Arc::new(Int64Array::from(vec![Some(-1), None, Some(2)]))),
            ("big", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1]))),
            ("double", Arc::new(Float64Array::from(vec![0.1, f64::NAN, -0.0]))),
            ("text", Arc::new(StringArray::from(vec!["200", "true", "é"]))),
            (
                "when",
                Arc::new(TimestampMillisecondArray::from(vec![0, 1_714_521_600_000, -1])),
            ),
            (
                "price",
                Arc::new(
                    Decimal128Array::from(vec![150, -5, 0])
                        .with_precision_and_scale(10, 2)
                        .unwrap(),
                ),
            ),
            ("a", Arc::new(inner)),
            (
                "dictionary",
                Arc::new(
                    vec![Some("x"), None, Some("y")]
                        .into_iter()
                        .collect::<DictionaryArray<Int32Type>>(),
                ),
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn rows(filter: &str) -> Vec<usize> {
        let predicate: Predicate = filter.parse().unwrap();
        predicate.evaluate(&records()).values().set_indices().collect()
    }

    #[test]
    fn numbers_compare_by_value_and_strings_as_text() {
        assert_eq!(rows("int < 1.5"), [0]);
        assert_eq!(rows("int >= 1.5"), [2]);
        assert_eq!(rows("big = 18446744073709551615"), [0]);
        assert_eq!(rows("big < 1e0"), [1]);
        assert_eq!(rows("double = 0.1"), [0]);
        assert_eq!(rows("double = 0"), [2]);
        assert_eq!(rows("double != 0"), [0, 1]);
        assert_eq!(rows("price = 1.5"), [0]);
        assert_eq!(rows("price < 0"), [1]);
        assert_eq!(rows("text = 200"), [0]);
        assert_eq!(rows("text = true"), [0usize; 0]);
        assert_eq!(rows("text = 'true'"), [1]);
        assert_eq!(rows("int = '2'"), [0usize; 0]);
        assert_eq!(rows("dictionary = y"), [2]);
    }

    #[test]
    fn moments_compare_with_text_that_is_one() {
        assert_eq!(rows("when >= 2024-05-01"), [1]);
        assert_eq!(rows("when = 1970-01-01T01:00:00+01:00"), [0]);
        assert_eq!(rows("when < 1970-01-01T00:00:00"), [2]);
        assert_eq!(rows("when = soon"), [0usize; 0]);
        assert_eq!(rows("when != soon"), [0, 1, 2]);
    }

    #[test]
    fn json_and_uuid_columns_compare_as_they_would_in_ndjson() {
        let extended = |name: &str, kind, extension: &str| {
            let metadata = [(EXTENSION.to_owned(), extension.to_owned())];
            Field::new(name, kind, true).with_metadata(metadata)
        };
        let texts = ["7", " \"b\\u0061\" ", "null", "{\"a\":1}", "no json", "true", "1e1"];
        let ids = texts.iter().enumerate().map(|(row, _)| [row as u8; 16]);
        let schema = Schema::new(vec![
            extended("j", DataType::Utf8, "arrow.json"),
            extended("u", DataType::FixedSizeBinary(16), "arrow.uuid"),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(texts.to_vec())),
            Arc::new(FixedSizeBinaryArray::try_from_iter(ids).unwrap()),
        ];
        let records = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        let rows = |filter: &str| -> Vec<usize> {
            let predicate: Predicate = filter.parse().unwrap();
            predicate.evaluate(&records).values().set_indices().collect()
        };
        assert_eq!(rows("j = 7.0"), [0]);
        assert_eq!(rows("j > 7"), [1, 4, 6], "an unquoted number is text to strings");
        assert_eq!(rows("j = ba"), [1]);
        assert_eq!(rows("j = 'no json'"), [4]);
        assert_eq!(rows("j = true"), [5]);
        assert_eq!(rows("j = null"), [2]);
        assert_eq!(rows("j != null"), [0, 1, 3, 4, 5, 6]);
        assert_eq!(rows("j != 7"), [1, 3, 4, 5, 6]);
        assert_eq!(rows("u = 02020202-0202-0202-0202-020202020202"), [2]);
        assert_eq!(rows("u < 02020202-0202-0202-0202-020202020202"), [0, 1]);
        assert_eq!(rows("u != null"), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn missing_fields_and_nulls_match_only_null() {
        assert_eq!(rows("int = null"), [1]);
        assert_eq!(rows("int != null"), [0, 2]);
        assert_eq!(rows("int != 5"), [0, 2]);
        assert_eq!(rows("none = null"), [0, 1, 2]);
        assert_eq!(rows("none != null"), [0usize; 0]);
        assert_eq!(rows("none != 1"), [0usize; 0]);
        assert_eq!(rows("a.b > 0 and a.b < 3"), [0]);
        assert_eq!(rows("a.c = null and a != 1"), [0, 1, 2]);
        assert_eq!(rows("int.b = null"), [0, 1, 2]);
    }
}
