//! The partitioning expression, as in `data/YEAR=${_time:%Y}/region=${region}/`: how keys are built below the prefix.
//!
//! It is used twice. `expand` turns it and the filters into prefixes that are worth listing, which may be too many but
//! never too few. `reading` then reads each listed key by the whole expression, and alone decides. Both are pure.

mod expand;
mod parse;
mod reading;
pub(crate) mod value;

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};

pub(crate) use self::{
    expand::{Node, Step},
    reading::Reading,
};
use crate::filter::Filters;

/// One piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Text as it stands, with at most one slash, at its end.
    Literal(String),
    /// Digits of the partition's time.
    Time(Field),
    /// A named part of the key, never empty and without a slash.
    Value(String),
}

/// A token of `${_time:…}`; all have a fixed number of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Year,
    /// 69 to 99 lie in the last century, as POSIX has it.
    ShortYear,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
}

impl Field {
    fn digits(self) -> usize {
        match self {
            Self::Year => 4,
            Self::DayOfYear => 3,
            _ => 2,
        }
    }
}

/// An expression with the filters on it.
#[derive(Debug)]
pub(crate) struct Partitioning {
    pieces: Vec<Piece>,
    filters: Filters,
    /// Whether one text may have several readings within a part of the path.
    ambiguous: bool,
}

/// What is known of a partition, from the beginning of its prefix up to some piece.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Known {
    values: BTreeMap<String, String>,
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i16>,
    hour: Option<i8>,
    minute: Option<i8>,
}

/// The civil time that a partition covers, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// Not even the year is known.
    Any,
    /// From the first up to the second, which is not included.
    Between(DateTime, DateTime),
    /// There is no such time: a 30th of February, or two tokens that contradict each other.
    Never,
}

impl Known {
    /// Notes the digits of a token. False when they contradict what is known.
    fn note(&mut self, field: Field, number: i16) -> bool {
        fn set<T: PartialEq + Copy>(known: &mut Option<T>, value: T) -> bool {
            *known.get_or_insert(value) == value
        }
        match field {
            Field::Year => set(&mut self.year, number),
            Field::ShortYear => set(&mut self.year, if number < 69 { 2000 + number } else { 1900 + number }),
            Field::Month => (1..=12).contains(&number) && set(&mut self.month, number as i8),
            Field::Day => (1..=31).contains(&number) && set(&mut self.day, number as i8),
            Field::DayOfYear => (1..=366).contains(&number) && set(&mut self.day_of_year, number),
            Field::Hour => (0..24).contains(&number) && set(&mut self.hour, number as i8),
            Field::Minute => (0..60).contains(&number) && set(&mut self.minute, number as i8),
        }
    }

    fn span(&self) -> Span {
        let Some(year) = self.year else { return Span::Any };
        self.between(year)
            .map_or(Span::Never, |(start, end)| Span::Between(start, end))
    }

    fn between(&self, year: i16) -> Option<(DateTime, DateTime)> {
        let first = Date::new(year, self.month.unwrap_or(1), 1).ok()?;
        let date = match (self.day_of_year, self.month, self.day) {
            (Some(number), month, day) => {
                let date = (number <= first.days_in_year()).then(|| {
                    Date::new(year, 1, 1)
                        .ok()?
                        .checked_add(jiff::Span::new().days(number - 1))
                        .ok()
                })??;
                let agrees = month.is_none_or(|month| month == date.month()) && day.is_none_or(|day| day == date.day());
                Some(agrees.then_some(date)?)
            }
            (None, Some(month), Some(day)) => Some(Date::new(year, month, day).ok()?),
            _ => None,
        };
        let one = jiff::Span::new();
        let (start, step) = match (date, self.hour, self.minute) {
            (Some(date), Some(hour), Some(minute)) => (date.at(hour, minute, 0, 0), one.minutes(1)),
            (Some(date), Some(hour), None) => (date.at(hour, 0, 0, 0), one.hours(1)),
            (Some(date), None, _) => (date.at(0, 0, 0, 0), one.days(1)),
            (None, ..) if self.month.is_some() => (first.at(0, 0, 0, 0), one.months(1)),
            (None, ..) => (first.at(0, 0, 0, 0), one.years(1)),
        };
        // The last year that there is has no end within the calendar.
        Some((start, start.checked_add(step).unwrap_or(DateTime::MAX)))
    }
}

/// The literal text of pieces, for messages and tests.
#[cfg(test)]
fn text_of(known: &Known, pieces: &[Piece]) -> String {
    let pieces = pieces.iter().map(|piece| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Value(name) => known.values[name].clone(),
        Piece::Time(field) => {
            let number = match field {
                Field::Year => known.year.unwrap(),
                Field::ShortYear => known.year.unwrap() % 100,
                Field::Month => known.month.unwrap().into(),
                Field::Day => known.day.unwrap().into(),
                Field::DayOfYear => known.day_of_year.unwrap(),
                Field::Hour => known.hour.unwrap().into(),
                Field::Minute => known.minute.unwrap().into(),
            };
            format!("{number:0width$}", width = field.digits())
        }
    });
    pieces.collect()
}

#[cfg(test)]
mod tests;
