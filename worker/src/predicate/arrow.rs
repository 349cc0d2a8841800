//! A predicate asked about Arrow columns. The meaning is the room's; what Arrow adds: decimals compare by value, a double
//! with the double nearest to the literal, NaN is a value of another type, and a date, time or timestamp with text that is
//! one (a naive timestamp is taken as UTC). An absent key and a null are the same here.

use std::cmp::Ordering;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    buffer::{BooleanBuffer, NullBuffer},
    compute::cast,
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
        Decimal256Type, Fields, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
};

use super::{Literal, Operator, Predicate, Term, number::Border};

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
    fn evaluate(&self, rows: usize, found: &[(ArrayRef, Option<NullBuffer>)]) -> BooleanBuffer {
        if self.holds_for_missing() {
            return found
                .iter()
                .fold(BooleanBuffer::new_set(rows), |all, (_, nulls)| match nulls {
                    Some(nulls) => &all & &!nulls.inner(),
                    None => BooleanBuffer::new_unset(rows),
                });
        }
        found
            .iter()
            .fold(BooleanBuffer::new_unset(rows), |any, (array, nulls)| {
                let holds = self.values(array.as_ref());
                match nulls {
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

    /// The answer for values that the literal can't be compared with.
    fn other(&self, rows: usize) -> BooleanBuffer {
        self.collect(rows, |_| None)
    }

    fn collect(&self, rows: usize, order: impl Fn(usize) -> Option<Ordering>) -> BooleanBuffer {
        let accepts = |order| match self.operator {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::NotEqual => order != Some(Ordering::Equal),
            Operator::Less => order == Some(Ordering::Less),
            Operator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Operator::Greater => order == Some(Ordering::Greater),
            Operator::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        };
        BooleanBuffer::collect_bool(rows, |row| accepts(order(row)))
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

/// The columns that a path's keys lead to, with where they or what they lie in is null.
fn resolve(
    fields: &Fields,
    columns: &[ArrayRef],
    outer: Option<&NullBuffer>,
    keys: &[String],
    found: &mut Vec<(ArrayRef, Option<NullBuffer>)>,
) {
    for taken in 1..=keys.len() {
        let name = keys[..taken].join(".");
        for (field, column) in fields.iter().zip(columns) {
            if *field.name() != name {
                continue;
            }
            let nulls = NullBuffer::union(outer, column.logical_nulls().as_ref());
            match column.data_type() {
                _ if taken == keys.len() => found.push((column.clone(), nulls)),
                DataType::Struct(inner) => {
                    let inside = column.as_struct();
                    resolve(inner, inside.columns(), nulls.as_ref(), &keys[taken..], found);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            Decimal128Array, DictionaryArray, Float64Array, Int64Array, StringArray, StructArray,
            TimestampMillisecondArray, UInt64Array,
        },
        datatypes::{Field, Int32Type},
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
