//! Columns whose values are written as text, of any type that JSON has no form for.

use arrow::{
    array::{Array, AsArray, BinaryArray, BinaryViewArray, FixedSizeBinaryArray, LargeBinaryArray},
    datatypes::{
        DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Field,
        IntervalDayTime, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
        IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
        TimeUnit,
    },
};

use super::{binary::Binary, clock, moments::Moments};
use crate::batch::{BINARY, EXTENSION, INTERVAL, UUID};

/// A column of text that is made of other values.
pub enum Texts<'a> {
    /// Timestamps and dates.
    Moments(Moments<'a>),
    /// Times of a day.
    Times(Times<'a>),
    /// What compares as its text.
    Others(Others<'a>),
}

/// A column of times of a day: counts of a unit of so many nanoseconds.
pub struct Times<'a>(Counts<'a>, i128);

enum Counts<'a> {
    Short(&'a [i32]),
    Long(&'a [i64]),
}

/// Durations, intervals, identifiers and bytes.
pub enum Others<'a> {
    /// Counts of a unit of so many nanoseconds.
    Durations(&'a [i64], i128),
    /// Months.
    YearMonths(&'a [i32]),
    /// Days and milliseconds.
    DayTimes(&'a [IntervalDayTime]),
    /// All three.
    MonthDayNanos(&'a [IntervalMonthDayNano]),
    /// Months, days and milliseconds, as Parquet has them: four bytes each.
    Intervals(&'a FixedSizeBinaryArray),
    /// Sixteen bytes with hyphens between.
    Uuids(&'a FixedSizeBinaryArray),
    /// Any bytes.
    Bytes(Binary, Bytes<'a>),
}

/// A column of bytes.
pub enum Bytes<'a> {
    /// With offsets of 32 bits.
    Small(&'a BinaryArray),
    /// With offsets of 64 bits.
    Large(&'a LargeBinaryArray),
    /// That lie here and there.
    Views(&'a BinaryViewArray),
    /// Of one length.
    Fixed(&'a FixedSizeBinaryArray),
}

/// Nanoseconds of a unit.
fn nanos(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

impl<'a> Texts<'a> {
    /// `None` if JSON has a form for the column's values, or they have values within.
    pub fn new(field: &Field, array: &'a dyn Array) -> Option<Self> {
        if let Some(moments) = Moments::new(field, array) {
            return Some(Self::Moments(moments));
        }
        let counts = match array.data_type() {
            DataType::Time32(TimeUnit::Second) => Counts::Short(array.as_primitive::<Time32SecondType>().values()),
            DataType::Time32(_) => Counts::Short(array.as_primitive::<Time32MillisecondType>().values()),
            DataType::Time64(TimeUnit::Microsecond) => {
                Counts::Long(array.as_primitive::<Time64MicrosecondType>().values())
            }
            DataType::Time64(_) => Counts::Long(array.as_primitive::<Time64NanosecondType>().values()),
            _ => return Some(Self::Others(Others::new(field, array)?)),
        };
        let unit = match array.data_type() {
            DataType::Time32(unit) | DataType::Time64(unit) => nanos(*unit),
            _ => unreachable!("all others are returned above"),
        };
        Some(Self::Times(Times(counts, unit)))
    }

    /// Whether the texts have nothing in them that a JSON string has to escape.
    pub fn is_plain(&self) -> bool {
        !matches!(self, Self::Others(Others::Bytes(Binary::Text, _)))
    }

    /// Appends a value's text, without quotes or escapes.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Moments(values) => values.write(row, out),
            Self::Times(values) => clock::write_time(values.nanos(row), out),
            Self::Others(values) => values.write(row, out),
        }
    }
}

impl Times<'_> {
    /// Nanoseconds after midnight.
    pub fn nanos(&self, row: usize) -> i128 {
        let count = match self.0 {
            Counts::Short(values) => i128::from(values[row]),
            Counts::Long(values) => i128::from(values[row]),
        };
        count * self.1
    }
}

impl<'a> Others<'a> {
    fn new(field: &Field, array: &'a dyn Array) -> Option<Self> {
        let of_field = |key: &str| field.metadata().get(key).map(String::as_str);
        let binary = || of_field(BINARY).and_then(|form| form.parse().ok()).unwrap_or_default();
        Some(match array.data_type() {
            DataType::Duration(unit) => {
                let values = match unit {
                    TimeUnit::Second => array.as_primitive::<DurationSecondType>().values(),
                    TimeUnit::Millisecond => array.as_primitive::<DurationMillisecondType>().values(),
                    TimeUnit::Microsecond => array.as_primitive::<DurationMicrosecondType>().values(),
                    TimeUnit::Nanosecond => array.as_primitive::<DurationNanosecondType>().values(),
                };
                Self::Durations(values, nanos(*unit))
            }
            DataType::Interval(IntervalUnit::YearMonth) => {
                Self::YearMonths(array.as_primitive::<IntervalYearMonthType>().values())
            }
            DataType::Interval(IntervalUnit::DayTime) => {
                Self::DayTimes(array.as_primitive::<IntervalDayTimeType>().values())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Self::MonthDayNanos(array.as_primitive::<IntervalMonthDayNanoType>().values())
            }
            DataType::FixedSizeBinary(12) if of_field(EXTENSION) == Some(INTERVAL) => {
                Self::Intervals(array.as_fixed_size_binary())
            }
            DataType::FixedSizeBinary(16) if of_field(EXTENSION) == Some(UUID) => {
                Self::Uuids(array.as_fixed_size_binary())
            }
            DataType::FixedSizeBinary(_) => Self::Bytes(binary(), Bytes::Fixed(array.as_fixed_size_binary())),
            DataType::Binary => Self::Bytes(binary(), Bytes::Small(array.as_binary())),
            DataType::LargeBinary => Self::Bytes(binary(), Bytes::Large(array.as_binary())),
            DataType::BinaryView => Self::Bytes(binary(), Bytes::Views(array.as_binary_view())),
            _ => return None,
        })
    }

    /// Appends a value's text, without quotes or escapes.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Durations(values, unit) => clock::write_duration(i128::from(values[row]) * unit, out),
            Self::YearMonths(values) => clock::write_interval(i64::from(values[row]), 0, 0, out),
            Self::DayTimes(values) => {
                let nanos = i128::from(values[row].milliseconds) * 1_000_000;
                clock::write_interval(0, i64::from(values[row].days), nanos, out);
            }
            Self::MonthDayNanos(values) => {
                let value = values[row];
                clock::write_interval(
                    i64::from(value.months),
                    i64::from(value.days),
                    value.nanoseconds.into(),
                    out,
                );
            }
            Self::Intervals(values) => {
                let part = |place: usize| {
                    let bytes = values.value(row)[place..]
                        .first_chunk()
                        .expect("three times four bytes");
                    u32::from_le_bytes(*bytes)
                };
                let millis = i128::from(part(8));
                clock::write_interval(part(0).into(), part(4).into(), millis * 1_000_000, out);
            }
            Self::Uuids(values) => write_uuid(values.value(row), out),
            Self::Bytes(form, bytes) => form.write(bytes.value(row), out),
        }
    }
}

impl Bytes<'_> {
    fn value(&self, row: usize) -> &[u8] {
        match self {
            Self::Small(values) => values.value(row),
            Self::Large(values) => values.value(row),
            Self::Views(values) => values.value(row),
            Self::Fixed(values) => values.value(row),
        }
    }
}

fn write_uuid(value: &[u8], out: &mut Vec<u8>) {
    for (index, byte) in value.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        for digit in [byte >> 4, byte & 15] {
            out.push(b"0123456789abcdef"[usize::from(digit)]);
        }
    }
}
