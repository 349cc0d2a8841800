//! The day of a record's timestamp: RFC 3339 text, or a number of seconds or milliseconds since 1970. All days are UTC's.

use crate::values::calendar::{self, Day};

/// A number from here on is milliseconds, below it seconds: as seconds it would be the year 5138, as milliseconds it is 1973.
const MILLISECONDS_FROM: f64 = 1e11;
/// Beyond this many milliseconds lie no days, but numbers that are no time.
const MILLISECONDS_MAX: f64 = 9e18;
const DAY_MILLISECONDS: i64 = 86_400_000;

/// The day that a timestamp's JSON text lies on. Text is what is between the quotes, its escapes undone.
pub(super) fn day_of_text(text: &str) -> Option<Day> {
    // A date alone, and a time without a zone, are UTC's, as Elasticsearch's own date fields take them.
    calendar::day_of(calendar::instant(text)?)
}

/// The day that a number lies on.
pub(super) fn day_of_number(text: &str) -> Option<Day> {
    let number: f64 = text.parse().ok()?;
    let milliseconds = if number.abs() < MILLISECONDS_FROM {
        number * 1e3
    } else {
        number
    };
    if milliseconds.is_nan() || milliseconds.abs() > MILLISECONDS_MAX {
        return None;
    }
    Some(Day::new((milliseconds.floor() as i64).div_euclid(DAY_MILLISECONDS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: i64, month: u8, day: u8) -> Day {
        Day { year, month, day }
    }

    #[test]
    fn text_is_rfc_3339_and_the_day_is_utcs() {
        for (text, day) in [
            ("2024-02-29T23:59:59.999Z", Some(date(2024, 2, 29))),
            ("2024-02-29T23:30:00-01:00", Some(date(2024, 3, 1))),
            ("2024-03-01 00:30:00+01:00", Some(date(2024, 2, 29))),
            ("2024-02-29T12:00:00", Some(date(2024, 2, 29))),
            ("2024-02-29", Some(date(2024, 2, 29))),
            ("9999-12-31T23:59:59Z", Some(date(9999, 12, 31))),
            ("9999-12-31", Some(date(9999, 12, 31))),
            ("9999-12-31T23:59:59-01:00", Some(date(10_000, 1, 1))),
            ("+12345-06-07T00:00:00Z", Some(date(12_345, 6, 7))),
            ("-0001-12-31", Some(date(-1, 12, 31))),
            ("2023-02-29", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(day_of_text(text), day, "{text}");
        }
    }

    #[test]
    fn a_number_is_seconds_or_milliseconds_by_its_size() {
        for (text, day) in [
            ("0", Some(date(1970, 1, 1))),
            ("-1", Some(date(1969, 12, 31))),
            ("1709251199", Some(date(2024, 2, 29))),
            ("1709251199.999", Some(date(2024, 2, 29))),
            ("1709251199999", Some(date(2024, 2, 29))),
            ("1709251200000", Some(date(2024, 3, 1))),
            ("1.7092512e9", Some(date(2024, 3, 1))),
            ("253402300799000", Some(date(9999, 12, 31))),
            ("253402300800000", Some(date(10_000, 1, 1))),
            ("-62167219200001", Some(date(-1, 12, 31))),
            ("1e300", None),
            ("1e400", None),
        ] {
            assert_eq!(day_of_number(text), day, "{text}");
        }
    }
}
