//! The day of a record's timestamp: RFC 3339 text, or a number of seconds or milliseconds since 1970. All days are UTC's.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// A number from here on is milliseconds, below it seconds: as seconds it would be the year 5138, as milliseconds it is 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// The day that a timestamp's JSON text lies on. Text is what is between the quotes, its escapes undone.
pub(super) fn day_of_text(text: &str) -> Option<Date> {
    // A date alone, and a time without a zone, are UTC's, as Elasticsearch's own date fields take them.
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(day(timestamp));
    }
    text.parse::<Date>().ok()
}

/// The day that a number lies on.
pub(super) fn day_of_number(text: &str) -> Option<Date> {
    let number: f64 = text.parse().ok()?;
    let milliseconds = if number.abs() < MILLISECONDS_FROM {
        number * 1e3
    } else {
        number
    };
    if !milliseconds.is_finite() {
        return None;
    }
    // The cast saturates, and what is beyond the calendar is refused by it.
    Timestamp::from_millisecond(milliseconds.floor() as i64).ok().map(day)
}

fn day(timestamp: Timestamp) -> Date {
    timestamp.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn text_is_rfc_3339_and_the_day_is_utcs() {
        for (text, day) in [
            ("2024-02-29T23:59:59.999Z", Some(date(2024, 2, 29))),
            ("2024-02-29T23:30:00-01:00", Some(date(2024, 3, 1))),
            ("2024-03-01 00:30:00+01:00", Some(date(2024, 2, 29))),
            ("2024-02-29T12:00:00", Some(date(2024, 2, 29))),
            ("2024-02-29", Some(date(2024, 2, 29))),
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
            ("1e300", None),
            ("1e400", None),
        ] {
            assert_eq!(day_of_number(text), day, "{text}");
        }
    }
}
