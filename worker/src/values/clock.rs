//! Times of a day, durations and intervals.
//!
//! A time is `HH:MM:SS` with as many groups of three digits behind the point as it needs; one that no clock shows, because it
//! lies before midnight or behind the day's end, has a minus or more hours: `-00:00:00.001`, `30:00:00`. Durations and
//! intervals are ISO 8601: `PT1.5S`, `-PT1S`, `P1M2DT0.003S`, and `P0D` for none.

use std::io::Write as _;

use super::calendar::{self, SECOND_NANOS};

/// Appends the text of a time: nanoseconds after midnight.
pub fn write_time(nanos: i128, out: &mut Vec<u8>) {
    if nanos < 0 {
        out.push(b'-');
    }
    let second = u128::from(SECOND_NANOS.unsigned_abs());
    let (seconds, fraction) = (nanos.unsigned_abs() / second, nanos.unsigned_abs() % second);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{hours:02}:{minutes:02}:{seconds:02}").expect("memory takes it");
    let written = match fraction {
        0 => Ok(()),
        millis if millis % 1_000_000 == 0 => write!(out, ".{:03}", millis / 1_000_000),
        micros if micros % 1000 == 0 => write!(out, ".{:06}", micros / 1000),
        nanos => write!(out, ".{nanos:09}"),
    };
    written.expect("memory takes it");
}

/// Nanoseconds after midnight of a time's text.
pub fn time(text: &str) -> Option<i128> {
    let own = || {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let (hours, rest) = rest.split_once(':')?;
        if !(2..=12).contains(&hours.len()) || !hours.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let of_sixty = |text: &str| -> Option<i128> {
            let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| is_number && *number < 60)
        };
        let minutes = of_sixty(rest.get(..2)?)?;
        let (seconds, rest) = match rest[2..].strip_prefix(':') {
            Some(rest) => (of_sixty(rest.get(..2)?)?, &rest[2..]),
            None => (0, &rest[2..]),
        };
        let (fraction, rest) = calendar::fraction(rest)?;
        let seconds = (hours.parse::<i128>().ok()? * 60 + minutes) * 60 + seconds;
        rest.is_empty()
            .then_some(sign * (seconds * i128::from(SECOND_NANOS) + i128::from(fraction)))
    };
    own().or_else(|| {
        let time: jiff::civil::Time = text.parse().ok()?;
        Some(time.duration_since(jiff::civil::Time::midnight()).as_nanos())
    })
}

/// Appends the text of a duration of nanoseconds.
pub fn write_duration(nanos: i128, out: &mut Vec<u8>) {
    if nanos < 0 {
        out.push(b'-');
    }
    if nanos == 0 {
        out.extend_from_slice(b"P0D");
    } else {
        out.extend_from_slice(b"PT");
        write_seconds(nanos, out);
    }
}

/// Appends the text of an interval, whose parts have signs of their own.
pub fn write_interval(months: i64, days: i64, nanos: i128, out: &mut Vec<u8>) {
    if months == 0 && days == 0 && nanos == 0 {
        return out.extend_from_slice(b"P0D");
    }
    out.push(b'P');
    for (count, unit) in [(months, 'M'), (days, 'D')] {
        if count != 0 {
            write!(out, "{count}{unit}").expect("memory takes it");
        }
    }
    if nanos != 0 {
        out.push(b'T');
        if nanos < 0 {
            out.push(b'-');
        }
        write_seconds(nanos, out);
    }
}

/// Appends seconds with their fraction, without a sign.
fn write_seconds(nanos: i128, out: &mut Vec<u8>) {
    let second = u128::from(SECOND_NANOS.unsigned_abs());
    let (seconds, fraction) = (nanos.unsigned_abs() / second, nanos.unsigned_abs() % second);
    write!(out, "{seconds}").expect("memory takes it");
    if fraction != 0 {
        let text = format!("{fraction:09}");
        write!(out, ".{}", text.trim_end_matches('0')).expect("memory takes it");
    }
    out.push(b'S');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_that_no_clock_shows_have_a_text_too() {
        for (nanos, expected) in [
            (0, "00:00:00"),
            (86_399_999_999_999, "23:59:59.999999999"),
            (1_500_000_000, "00:00:01.500"),
            (1_000, "00:00:00.000001"),
            (86_400_000_000_000, "24:00:00"),
            (-1_000_000, "-00:00:00.001"),
            (i128::from(i64::MIN) * 1000, "-2562047788:00:54.775808"),
        ] {
            assert_eq!(text(|out| write_time(nanos, out)), expected);
            assert_eq!(time(expected), Some(nanos));
        }
        assert_eq!(time("05:07"), Some(18_420_000_000_000));
        for wrong in [
            "",
            "5",
            "noon",
            "00:60:00",
            "00:00:60x",
            "1:00:00x",
            "--01:00",
            "+1:00",
            "00:é0",
        ] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_and_intervals_are_iso_8601() {
        for (nanos, expected) in [
            (0, "P0D"),
            (1, "PT0.000000001S"),
            (-1_500_000_000, "-PT1.5S"),
            (i128::from(i64::MIN) * 1_000_000_000, "-PT9223372036854775808S"),
        ] {
            assert_eq!(text(|out| write_duration(nanos, out)), expected);
        }
        for (parts, expected) in [
            ((0, 0, 0), "P0D"),
            ((1, 2, 3_000_000), "P1M2DT0.003S"),
            ((0, -2, -1), "P-2DT-0.000000001S"),
            ((14, 0, 0), "P14M"),
        ] {
            let (months, days, nanos) = parts;
            assert_eq!(text(|out| write_interval(months, days, nanos, out)), expected);
        }
    }

    proptest! {
        #[test]
        fn a_time_reads_back(value in any::<i64>(), unit in prop::sample::select(vec![1i128, 1000, 1_000_000, 1_000_000_000])) {
            let nanos = i128::from(value) * unit;
            prop_assume!(nanos.unsigned_abs() < 3600 * 1_000_000_000 * 1_000_000_000_000);
            prop_assert_eq!(time(&text(|out| write_time(nanos, out))), Some(nanos));
        }

        #[test]
        fn any_text_is_a_time_or_none(text in "-?[0-9]{0,3}:?[0-9:.]{0,12}|\\PC{0,12}") {
            time(&text);
        }
    }
}
