//! Days and moments of the proleptic Gregorian calendar, of any year that 64 bits of days can reach: dates in files lie
//! beyond what libraries of time know ("open ends", broken clocks), and are values like all others.
//!
//! A year from 0 to 9999 has four digits. Any other has its sign and as many digits as it needs, four at least: `+12345-01-01`,
//! `-0001-12-31`, the expanded years of ISO 8601 as `java.time` and so Elasticsearch writes and reads them. The arithmetic is
//! Howard Hinnant's ("chrono-Compatible Low-Level Date Algorithms").

use std::io::Write as _;

/// Nanoseconds of a day.
pub const DAY_NANOS: i64 = 86_400 * SECOND_NANOS;
/// Nanoseconds of a second.
pub const SECOND_NANOS: i64 = 1_000_000_000;

/// Days from 0000-03-01, with which a cycle of 400 years begins, to 1970-01-01.
const CYCLE_START_DAYS: i64 = 719_468;
/// Days of 400 years.
const CYCLE_DAYS: i64 = 146_097;
/// Years with more digits than this are no years that any value can have.
const YEAR_DIGITS_MAX: usize = 15;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    /// The year 0 is the one before the year 1.
    pub year: i64,
    /// From 1 on.
    pub month: u8,
    /// Of the month, from 1 on.
    pub day: u8,
}

impl Day {
    /// The day that is so many days after 1970-01-01.
    #[inline]
    pub fn new(days: i64) -> Self {
        // As two divisions, so that no sum overflows.
        let cycle = days.div_euclid(CYCLE_DAYS) + (days.rem_euclid(CYCLE_DAYS) + CYCLE_START_DAYS) / CYCLE_DAYS;
        let day_of_cycle = (days.rem_euclid(CYCLE_DAYS) + CYCLE_START_DAYS) % CYCLE_DAYS;
        let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
        let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        Self {
            year: year_of_cycle + cycle * 400 + i64::from(month <= 2),
            month: month as u8,
            day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8,
        }
    }

    /// How many days it is after 1970-01-01; none if the calendar has no such day.
    pub fn number(self) -> Option<i64> {
        if !(1..=12).contains(&self.month) || self.day == 0 || self.day > self.days_of_month() {
            return None;
        }
        let year = self.year.checked_sub(i64::from(self.month <= 2))?;
        let cycle = year.div_euclid(400);
        let year_of_cycle = year.rem_euclid(400);
        let month_from_march = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
        cycle
            .checked_mul(CYCLE_DAYS)?
            .checked_add(day_of_cycle - CYCLE_START_DAYS)
    }

    fn days_of_month(self) -> u8 {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// How a moment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Of a known zone: in UTC, so that no table of zones is needed.
    Instant,
    /// Without a zone.
    Naive,
    /// The day alone.
    Date,
}

/// Appends the text of a moment: days after 1970-01-01, and nanoseconds of that day.
#[inline]
pub fn write(days: i64, nanos: i64, form: Form, out: &mut Vec<u8>) {
    let day = Day::new(days);
    let mut text = *b"0000-00-00T00:00:00.000000000";
    let mut put = |end: usize, mut value: u32| {
        let mut at = end;
        while value > 0 {
            at -= 1;
            text[at] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    let is_usual = (0..=9999).contains(&day.year);
    if is_usual {
        put(4, day.year as u32);
    }
    put(7, u32::from(day.month));
    put(10, u32::from(day.day));
    let (seconds, fraction) = ((nanos / SECOND_NANOS) as u32, (nanos % SECOND_NANOS) as u32);
    put(13, seconds / 3600);
    put(16, seconds / 60 % 60);
    put(19, seconds % 60);
    put(29, fraction);
    let length = match (form, fraction) {
        (Form::Date, _) => 10,
        (_, 0) => 19,
        _ => 29 - text.iter().rev().take_while(|byte| **byte == b'0').count(),
    };
    if is_usual {
        out.extend_from_slice(&text[..length]);
    } else {
        write!(out, "{:+05}", day.year).expect("memory takes it");
        out.extend_from_slice(&text[4..length]);
    }
    if form == Form::Instant {
        out.push(b'Z');
    }
}

/// Nanoseconds since 1970 of an RFC 3339 timestamp, one without a zone (taken as UTC), or a date (its midnight).
pub fn instant(text: &str) -> Option<i128> {
    if let Some((days, nanos)) = moment(text) {
        return Some(i128::from(days) * i128::from(DAY_NANOS) + i128::from(nanos));
    }
    // Forms that are usual elsewhere, as 20240501T0500Z.
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Some(timestamp.as_nanosecond());
    }
    let naive: jiff::civil::DateTime = text.parse().ok()?;
    let day = Day {
        year: i64::from(naive.year()),
        month: naive.month().unsigned_abs(),
        day: naive.day().unsigned_abs(),
    };
    let since_midnight = naive.time().duration_since(jiff::civil::Time::midnight());
    Some(i128::from(day.number()?) * i128::from(DAY_NANOS) + since_midnight.as_nanos())
}

/// The day that an instant lies on, in UTC; none if it is beyond all days.
pub fn day_of(instant: i128) -> Option<Day> {
    let days = instant.div_euclid(i128::from(DAY_NANOS));
    Some(Day::new(i64::try_from(days).ok()?))
}

/// Days after 1970 and nanoseconds from there on, which may be before or behind that day by an offset from UTC.
fn moment(text: &str) -> Option<(i64, i64)> {
    let (day, rest) = day(text)?;
    let days = day.number()?;
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else {
        return rest.is_empty().then_some((days, 0));
    };
    let (nanos, rest) = time_of_day(rest)?;
    Some((days, nanos - offset(rest)?))
}

fn day(text: &str) -> Option<(Day, &str)> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (0, text),
    };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let is_year = if sign == 0 {
        length == 4
    } else {
        (4..=YEAR_DIGITS_MAX).contains(&length)
    };
    if !is_year {
        return None;
    }
    let year: i64 = rest[..length].parse().ok()?;
    let (month, rest) = two_digits(rest[length..].strip_prefix('-')?)?;
    let (day, rest) = two_digits(rest.strip_prefix('-')?)?;
    let year = if sign < 0 { -year } else { year };
    Some((Day { year, month, day }, rest))
}

/// `HH:MM`, with seconds and their fraction if there are any, as nanoseconds, and what follows.
fn time_of_day(text: &str) -> Option<(i64, &str)> {
    let (hours, rest) = two_digits(text)?;
    let (minutes, rest) = two_digits(rest.strip_prefix(':')?)?;
    let (seconds, rest) = match rest.strip_prefix(':') {
        Some(rest) => two_digits(rest)?,
        None => (0, rest),
    };
    let (fraction, rest) = fraction(rest)?;
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let seconds = (i64::from(hours) * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
    Some((seconds * SECOND_NANOS + fraction, rest))
}

/// Nanoseconds of a fraction of a second with its point, if there is one; none if it has more digits than nine.
pub(super) fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(digits) = text.strip_prefix(['.', ',']) else {
        return Some((0, text));
    };
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let value: i64 = digits[..length].parse().ok()?;
    Some((value * 10i64.pow(9 - length as u32), &digits[length..]))
}

/// Nanoseconds that a zone is ahead of UTC: `Z`, `+01`, `+01:00`, `+0100`, or nothing, which is UTC.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, rest) = two_digits(rest)?;
    let (minutes, rest) = match rest {
        "" => (0, ""),
        rest => two_digits(rest.strip_prefix(':').unwrap_or(rest))?,
    };
    (rest.is_empty() && hours < 24 && minutes < 60)
        .then_some(sign * (i64::from(hours) * 60 + i64::from(minutes)) * 60 * SECOND_NANOS)
}

fn two_digits(text: &str) -> Option<(u8, &str)> {
    let digits = text.as_bytes().first_chunk::<2>()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(((digits[0] - b'0') * 10 + digits[1] - b'0', &text[2..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(days: i64, nanos: i64, form: Form) -> String {
        let mut out = Vec::new();
        write(days, nanos, form, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn days_have_the_names_that_the_calendar_gives_them() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+10000-01-01"),
            (-719_528, "0000-01-01"),
            (-719_529, "-0001-12-31"),
            // Ends of date32; as Python's and Java's big calendars have them.
            (i64::from(i32::MAX), "+5881580-07-11"),
            (i64::from(i32::MIN), "-5877641-06-23"),
        ] {
            assert_eq!(written(days, 0, Form::Date), text);
            assert_eq!(instant(text), Some(i128::from(days) * i128::from(DAY_NANOS)), "{text}");
        }
    }

    #[test]
    fn moments_are_read_in_each_form_of_rfc_3339_and_of_far_years() {
        for text in [
            "2024-05-01T10:20:30.5Z",
            "2024-05-01t10:20:30.5z",
            "2024-05-01 12:20:30.5+02:00",
            "2024-05-01T12:20:30.500000000+0200",
            "2024-05-01T05:20:30.5-05",
            "2024-05-01T10:20:30.5",
            "+2024-05-01T10:20:30.5",
        ] {
            assert_eq!(instant(text), Some(1_714_558_830_500_000_000), "{text}");
        }
        assert_eq!(instant("9999-12-31T23:59:59Z"), Some(253_402_300_799_000_000_000));
        assert_eq!(instant("20240501T102030Z"), Some(1_714_558_830_000_000_000));
        for text in [
            "",
            "soon",
            "2023-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-01-32",
            "12345-01-01",
            "+123-01-01",
            "2024-05-01T24:00",
            "2024-05-01T10:20:30Zx",
            "2024-05-01T10:20:30.1234567890Z",
            "é024-05-01",
            "2024-05-é1",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn each_day_has_one_name_and_each_name_one_day(days in prop_oneof![
            any::<i32>().prop_map(i64::from),
            -106_751_991_167_301i64..106_751_991_167_301,
            -800_000i64..3_000_000,
        ], nanos in 0..DAY_NANOS) {
            let day = Day::new(days);
            prop_assert_eq!(day.number(), Some(days));
            prop_assert!(Day::new(days + 1) > day);
            for form in [Form::Instant, Form::Naive] {
                let expected = i128::from(days) * i128::from(DAY_NANOS) + i128::from(nanos);
                prop_assert_eq!(instant(&written(days, nanos, form)), Some(expected));
                prop_assert_eq!(day_of(expected), Some(day));
            }
        }

        #[test]
        fn usual_days_are_those_of_jiff(days in -719_528i64..2_932_000, nanos in 0..DAY_NANOS) {
            let instant = i128::from(days) * i128::from(DAY_NANOS) + i128::from(nanos);
            let known = jiff::Timestamp::from_nanosecond(instant).unwrap();
            prop_assert_eq!(written(days, nanos, Form::Instant), known.to_string());
        }

        #[test]
        fn any_text_is_a_moment_or_none(text in "[-+]?[0-9]{4,7}-[0-9]{2}-[0-9]{2}[T ]?[0-9:.Z+-]{0,12}|\\PC{0,20}") {
            instant(&text);
        }
    }
}
