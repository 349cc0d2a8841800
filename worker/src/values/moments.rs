//! Columns of timestamps and dates.

use arrow::{
    array::{Array, AsArray, FixedSizeBinaryArray},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Date64Type, Field, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
};

use super::calendar::{self, DAY_NANOS, Form, SECOND_NANOS};
use crate::batch::{EXTENSION, INT96, INT96_INSTANT};

/// A column of timestamps or dates.
pub struct Moments<'a> {
    values: Values<'a>,
    form: Form,
}

enum Values<'a> {
    /// Counts of a unit of so many nanoseconds.
    Counts {
        values: &'a [i64],
        unit: i64,
    },
    Days(&'a [i32]),
    /// Eight bytes of nanoseconds of a day, and four of its Julian number.
    Int96(&'a FixedSizeBinaryArray),
}

/// How long an INT96 value is.
pub const INT96_BYTES: i32 = 12;
/// The Julian number of 1970-01-01.
const JULIAN_START: i64 = 2_440_588;

impl<'a> Moments<'a> {
    /// `None` if the column has no moments.
    pub fn new(field: &Field, array: &'a dyn Array) -> Option<Self> {
        fn counts<T: ArrowPrimitiveType<Native = i64>>(array: &dyn Array, unit: i64) -> Values<'_> {
            let values = array.as_primitive::<T>().values();
            Values::Counts { values, unit }
        }
        let extension = field.metadata().get(EXTENSION).map(String::as_str);
        let values = match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => counts::<TimestampSecondType>(array, SECOND_NANOS),
            DataType::Timestamp(TimeUnit::Millisecond, _) => counts::<TimestampMillisecondType>(array, 1_000_000),
            DataType::Timestamp(TimeUnit::Microsecond, _) => counts::<TimestampMicrosecondType>(array, 1_000),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => counts::<TimestampNanosecondType>(array, 1),
            DataType::Date64 => counts::<Date64Type>(array, 1_000_000),
            DataType::Date32 => Values::Days(array.as_primitive::<Date32Type>().values()),
            DataType::FixedSizeBinary(INT96_BYTES) if matches!(extension, Some(INT96 | INT96_INSTANT)) => {
                Values::Int96(array.as_fixed_size_binary())
            }
            _ => return None,
        };
        let form = match array.data_type() {
            DataType::Timestamp(_, Some(_)) => Form::Instant,
            DataType::FixedSizeBinary(_) if extension == Some(INT96_INSTANT) => Form::Instant,
            DataType::Date32 => Form::Date,
            _ => Form::Naive,
        };
        Some(Self { values, form })
    }

    /// Days after 1970, and nanoseconds of the day.
    #[inline]
    fn place(&self, row: usize) -> (i64, i64) {
        match self.values {
            Values::Counts { values, unit } => {
                let day = DAY_NANOS / unit;
                (values[row].div_euclid(day), values[row].rem_euclid(day) * unit)
            }
            Values::Days(days) => (i64::from(days[row]), 0),
            Values::Int96(values) => {
                let (nanos, julian) = values.value(row).split_at(8);
                let nanos = i64::from_le_bytes(nanos.try_into().expect("split there"));
                let julian = i32::from_le_bytes(julian.try_into().expect("four bytes of twelve are left"));
                let days = i64::from(julian) - JULIAN_START;
                (days + nanos.div_euclid(DAY_NANOS), nanos.rem_euclid(DAY_NANOS))
            }
        }
    }

    /// Nanoseconds since 1970.
    pub fn instant(&self, row: usize) -> i128 {
        let (days, nanos) = self.place(row);
        i128::from(days) * i128::from(DAY_NANOS) + i128::from(nanos)
    }

    /// Appends a moment's text, without quotes.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        let (days, nanos) = self.place(row);
        calendar::write(days, nanos, self.form, out);
    }
}
