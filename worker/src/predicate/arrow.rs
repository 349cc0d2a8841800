//! A predicate asked about Arrow columns. The answer is that which the room's meaning gives for the records as they are
//! written: decimals and fractions compare by the digits that are written of them, what has no form in JSON by its text in
//! [`crate::values`], and what is written as `null`, NaN and infinities, is null. What Arrow adds: a date, time or timestamp
//! compares with text that is one, by its place in time (a naive timestamp is taken as UTC). An absent key and a null are the
//! same here. Text of Arrow's JSON extension type is the value that it spells.

use std::cmp::Ordering;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, RecordBatch, UInt64Array},
    buffer::{BooleanBuffer, NullBuffer},
    compute::{cast, take},
    datatypes::{
        DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Field, Fields, Float16Type,
        Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
        UInt64Type,
    },
};

use serde::de::IgnoredAny;

use super::{Literal, Operator, Predicate, Term, number::Border};
use crate::{
    batch::{EXTENSION, JSON},
    reader::ndjson::compare::{Comparison, compare_decimals},
    values::{
        calendar, clock,
        keys::Keys,
        texts::{Others, Texts},
    },
};

/// A column that a path leads to.
struct Found {
    array: ArrayRef,
    field: Field,
    /// Where it, or what it lies in, is null.
    nulls: Option<NullBuffer>,
    is_json: bool,
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
            let holds = if found.is_json {
                self.json(array)
            } else {
                self.values(&found.field, array)
            };
            match &found.nulls {
                Some(nulls) => &any | &(&holds & nulls.inner()),
                None => &any | &holds,
            }
        })
    }

    /// Which values pass; places that are null have any answer.
    fn values(&self, field: &Field, array: &dyn Array) -> BooleanBuffer {
        let rows = array.len();
        match (&self.literal, array.data_type()) {
            (Literal::Null, _) => BooleanBuffer::new_set(rows),
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
            (Literal::Number(_) | Literal::Text(_), _) => match Texts::new(field, array) {
                Some(texts) => self.texts(&texts, rows),
                None => self.other(rows),
            },
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

    fn texts(&self, texts: &Texts<'_>, rows: usize) -> BooleanBuffer {
        match (texts, &self.literal) {
            (Texts::Moments(moments), Literal::Text(text)) => {
                let literal = calendar::instant(text);
                self.collect(rows, |row| literal.map(|literal| moments.instant(row).cmp(&literal)))
            }
            (Texts::Times(times), Literal::Text(text)) => {
                let literal = clock::time(text);
                self.collect(rows, |row| literal.map(|literal| times.nanos(row).cmp(&literal)))
            }
            (Texts::Others(others), Literal::Text(text) | Literal::Number(text)) => {
                self.written(others, text.as_bytes(), rows)
            }
            _ => self.other(rows),
        }
    }

    fn written(&self, values: &Others<'_>, literal: &[u8], rows: usize) -> BooleanBuffer {
        let mut written = Vec::new();
        BooleanBuffer::collect_bool(rows, |row| {
            written.clear();
            values.write(row, &mut written);
            self.accepts(Some(written.as_slice().cmp(literal)))
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

    /// The digits of a value that are written are the shortest that no other value has, so they are in the order of the
    /// values: only for the value nearest to the literal, they are looked at.
    fn floats(&self, array: &dyn Array, number: &str) -> BooleanBuffer {
        fn beside(nearest: &impl serde::Serialize, number: &str) -> Ordering {
            match serde_json::to_string(nearest) {
                Ok(written) if written != "null" => compare_decimals(written.as_bytes(), number.as_bytes()),
                // The literal is beyond all values, and the nearest of them an infinity, which none of them is.
                _ => Ordering::Equal,
            }
        }
        let narrow = || {
            let nearest: f32 = number.parse().unwrap_or(f32::NAN);
            (nearest, beside(&nearest, number))
        };
        match array.data_type() {
            DataType::Float64 => {
                let nearest: f64 = number.parse().unwrap_or(f64::NAN);
                let beside = beside(&nearest, number);
                let values = array.as_primitive::<Float64Type>().values();
                self.collect(values.len(), |row| {
                    Some(values[row].partial_cmp(&nearest)?.then(beside))
                })
            }
            DataType::Float32 => {
                let (nearest, beside) = narrow();
                let values = array.as_primitive::<Float32Type>().values();
                self.collect(values.len(), |row| {
                    Some(values[row].partial_cmp(&nearest)?.then(beside))
                })
            }
            // Written as the same number of 32 bits.
            _ => {
                let (nearest, beside) = narrow();
                let values = array.as_primitive::<Float16Type>().values();
                self.collect(values.len(), |row| {
                    Some(values[row].to_f32().partial_cmp(&nearest)?.then(beside))
                })
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
    let Ok(written) = Keys::new(map) else {
        return (Fields::empty(), Vec::new());
    };
    let offsets = map.value_offsets();
    let mut text = Vec::new();
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for taken in 1..=keys.len() {
        let name = keys[..taken].join(".");
        let mut place = |row: usize| {
            let mut entries = (offsets[row] as usize..offsets[row + 1] as usize).rev();
            entries.find(|entry| {
                text.clear();
                written.write(*entry, &mut text);
                map.keys().is_valid(*entry) && text == name.as_bytes()
            })
        };
        let places: UInt64Array = (0..map.len()).map(|row| place(row).map(|entry| entry as u64)).collect();
        let Ok(values) = take(map.values(), &places, None) else {
            continue;
        };
        let (_, value) = map.entries_fields();
        fields.push(value.clone().with_name(name).with_nullable(true));
        columns.push(values);
    }
    (fields.into(), columns)
}

impl Found {
    fn new(field: &Field, column: &ArrayRef, nulls: Option<&NullBuffer>) -> Self {
        let array = match column.data_type() {
            DataType::Dictionary(_, values) => cast(column, values).unwrap_or_else(|_| column.clone()),
            _ => column.clone(),
        };
        let is_text = matches!(
            array.data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        );
        let is_json = is_text
            && field
                .metadata()
                .get(EXTENSION)
                .is_some_and(|extension| extension == JSON);
        // What is written as null though it is none.
        let written = match array.data_type() {
            _ if is_json => Some(BooleanBuffer::collect_bool(array.len(), |row| {
                json_text(array.as_ref(), row) != "null"
            })),
            DataType::Float16 => {
                let values = array.as_primitive::<Float16Type>().values();
                Some(BooleanBuffer::collect_bool(array.len(), |row| values[row].is_finite()))
            }
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>().values();
                Some(BooleanBuffer::collect_bool(array.len(), |row| values[row].is_finite()))
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>().values();
                Some(BooleanBuffer::collect_bool(array.len(), |row| values[row].is_finite()))
            }
            _ => None,
        };
        Self {
            nulls: NullBuffer::union(nulls, written.map(NullBuffer::new).as_ref()),
            field: field.clone(),
            array,
            is_json,
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
        assert_eq!(rows("double != 0"), [0], "NaN leaves as null");
        assert_eq!(rows("double = null"), [1]);
        assert_eq!(rows("double = 0.1000000000000000000001"), [0usize; 0], "0.1 is written");
        assert_eq!(rows("double < 0.1000000000000000000001"), [0, 2]);
        assert_eq!(rows("double < 1e400"), [0, 2]);
        assert_eq!(rows("double > -1e400"), [0, 2]);
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
