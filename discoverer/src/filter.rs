//! Filters on what the partitioning expression captures: `region=eu,us` and `_time=2024-01-01..2024-01-31`.
//!
//! Values of one filter are alternatives; all filters must hold. A time stands for the whole of what is written: a day for
//! all of that day, at both ends of a range. Times without a zone are compared as they are written with partitions, whose
//! names have no zone either, so that a change of clocks neither adds nor loses an hour. Only a time that names its zone
//! is turned into an instant.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use anyhow::{Context as _, Result, ensure};
use jiff::{
    Span, Timestamp,
    civil::{Date, DateTime, Time},
    tz::{Offset, TimeZone},
};

use crate::partitioning::value;

/// The name of the filter on the partition's time.
pub(crate) const TIME: &str = "_time";

/// All filters of a run.
#[derive(Debug, Clone)]
pub(crate) struct Filters {
    values: BTreeMap<String, BTreeSet<String>>,
    times: Option<Vec<TimeRange>>,
    zone: TimeZone,
}

/// From the first up to the second, which is not included; open where absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimeRange {
    start: Option<Point>,
    end: Option<Point>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Civil(DateTime),
    Instant(Timestamp),
}

impl Filters {
    /// Reads filters as `name=value,value`; partitions are named by the clocks of `zone`.
    pub(crate) fn new(filters: &[String], zone: TimeZone) -> Result<Self> {
        let mut all = Self {
            values: BTreeMap::new(),
            times: None,
            zone,
        };
        for filter in filters {
            all.add(filter).with_context(|| format!("--filter: `{filter}`"))?;
        }
        Ok(all)
    }

    fn add(&mut self, filter: &str) -> Result<()> {
        let (name, values) = filter
            .split_once('=')
            .context("it must be written as name=value or name=value,value")?;
        let twice = "the name has a filter already: write all values in one, with commas";
        if name == TIME {
            ensure!(self.times.is_none(), twice);
            let ranges: Result<Vec<TimeRange>> = values.split(',').map(|text| self.range(text)).collect();
            self.times = Some(ranges?);
            return Ok(());
        }
        ensure!(!name.is_empty(), "it has no name before `=`");
        let values = alternatives(values);
        for value in &values {
            ensure!(!value.is_empty(), "a value is empty");
            ensure!(
                !value.contains('/'),
                "the value `{value}` has a `/`, a placeholder never has one"
            );
        }
        ensure!(self.values.insert(name.to_owned(), values).is_none(), twice);
        Ok(())
    }

    fn range(&self, text: &str) -> Result<TimeRange> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        ensure!(!(first.is_empty() && last.is_empty()), "a range needs at least one end");
        let read = |text: &str| (!text.is_empty()).then(|| point(text)).transpose();
        let range = TimeRange {
            start: read(first)?.map(|(start, _)| start),
            end: read(last)?.and_then(|(_, end)| end),
        };
        if let (Some(start), Some(end)) = (range.start, range.end) {
            ensure!(self.in_order(start, end), "the range `{text}` ends before it starts");
        }
        Ok(range)
    }

    /// The names that are filtered.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let time = self.times.as_ref().map(|_| TIME);
        self.values.keys().map(String::as_str).chain(time)
    }

    /// The values that `name` may have, none when it is not filtered.
    pub(crate) fn values(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.values.get(name)
    }

    /// Whether `name` may have this value, as it stands in a key or decoded. What nobody encodes is not found encoded,
    /// so that its prefix can be listed without looking for others.
    pub(crate) fn allow_value(&self, name: &str, value: &str) -> bool {
        let Some(values) = self.values.get(name) else {
            return true;
        };
        let decoded = value::decoded(value);
        values.contains(value) || !value::is_written_one_way(&decoded) && values.contains(&*decoded)
    }

    /// Whether a partition that covers `start..end` has any time that is asked for.
    pub(crate) fn allow_time(&self, start: DateTime, end: DateTime) -> bool {
        let Some(times) = &self.times else { return true };
        times.iter().any(|range| {
            let starts_in_time = match range.end {
                None => true,
                Some(Point::Civil(last)) => start < last,
                Some(Point::Instant(last)) => self.earliest(start).is_none_or(|start| start < last),
            };
            let ends_in_time = match range.start {
                None => true,
                Some(Point::Civil(first)) => end > first,
                Some(Point::Instant(first)) => self.last_before(end).is_none_or(|last| last >= first),
            };
            starts_in_time && ends_in_time
        })
    }

    /// The years that partitions asked for can lie in, none unless both ends of all ranges are given.
    pub(crate) fn years(&self) -> Option<RangeInclusive<i16>> {
        let mut first = i16::MAX;
        let mut last = i16::MIN;
        for range in self.times.as_ref()? {
            first = first.min(self.year(range.start?) - 1);
            last = last.max(self.year(range.end?) + 1);
        }
        // Years have four digits.
        Some(first.max(0)..=last.min(9999))
    }

    /// When a partition that begins at this civil time begins.
    pub(crate) fn instant_of(&self, start: DateTime) -> Option<Timestamp> {
        self.earliest(start)
    }

    fn year(&self, point: Point) -> i16 {
        match point {
            Point::Civil(time) => time.year(),
            Point::Instant(time) => self.zone.to_datetime(time).year(),
        }
    }

    /// Whether there is any time from `start` up to `end`.
    fn in_order(&self, start: Point, end: Point) -> bool {
        match (start, end) {
            (Point::Civil(start), Point::Civil(end)) => start < end,
            (Point::Instant(start), Point::Instant(end)) => start < end,
            (Point::Civil(start), Point::Instant(end)) => self.earliest(start).is_none_or(|start| start < end),
            (Point::Instant(start), Point::Civil(end)) => self.last_before(end).is_none_or(|last| start <= last),
        }
    }

    /// Clocks may show a time twice.
    fn earliest(&self, time: DateTime) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(time).earlier().ok()
    }

    /// The last instant whose clock shows less than `end`: `end` itself may be shown twice, and then comes too late.
    fn last_before(&self, end: DateTime) -> Option<Timestamp> {
        let last = end.checked_sub(Span::new().nanoseconds(1)).ok()?;
        self.zone.to_ambiguous_timestamp(last).later().ok()
    }
}

/// Reads alternatives with commas between them; `\,` is a comma within one, `\\` a backslash.
fn alternatives(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut one = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => one.push(letters.next_if(|next| matches!(next, ',' | '\\')).unwrap_or(letter)),
            ',' => {
                all.insert(std::mem::take(&mut one));
            }
            _ => one.push(letter),
        }
    }
    all.insert(one);
    all
}

/// Reads a year, month, day, hour, minute, second or fraction of one: its start, and its end unless the calendar ends
/// first. Nothing lies behind the year 9999, so that a range up to it is open.
fn point(text: &str) -> Result<(Point, Option<Point>)> {
    let bad = || {
        format!(
            "`{text}` is no time: write 2024, 2024-01, 2024-01-31, 2024-01-31T05 or 2024-01-31T05:30, and Z or +01:00 behind a time for a zone"
        )
    };
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let (clock, zone) = match clock.and_then(|clock| clock.find(['Z', '+', '-']).map(|at| clock.split_at(at))) {
        Some((clock, zone)) => (Some(clock), Some(zone)),
        None => (clock, None),
    };
    let (clock, fraction) = match clock.and_then(|clock| clock.split_once('.')) {
        Some((clock, fraction)) => (Some(clock), Some(fraction)),
        None => (clock, None),
    };
    let date: Vec<i16> = numbers(date, '-', 4).with_context(bad)?;
    let clock: Vec<i16> = match clock {
        Some(clock) => numbers(clock, ':', 2).with_context(bad)?,
        None => Vec::new(),
    };
    let has_right_parts = date.len() <= 3 && clock.len() <= 3 && (clock.is_empty() || date.len() == 3);
    ensure!(has_right_parts && (fraction.is_none() || clock.len() == 3), bad());
    let nanoseconds = fraction.map_or(Some(0), nanoseconds).with_context(bad)?;
    let at = |numbers: &[i16], position: usize, missing: i16| numbers.get(position).copied().unwrap_or(missing) as i8;
    let day = Date::new(date[0], at(&date, 1, 1), at(&date, 2, 1)).ok();
    let start = day.with_context(bad)?;
    let (hour, minute, second) = (at(&clock, 0, 0), at(&clock, 1, 0), at(&clock, 2, 0));
    let time = Time::new(hour, minute, second, nanoseconds).ok().with_context(bad)?;
    let start = start.to_datetime(time);
    let one = Span::new();
    let step = match (date.len(), clock.len()) {
        (1, _) => one.years(1),
        (2, _) => one.months(1),
        (_, 0) => one.days(1),
        (_, 1) => one.hours(1),
        (_, 2) => one.minutes(1),
        _ if fraction.is_some() => one.nanoseconds(1),
        _ => one.seconds(1),
    };
    let end = start.checked_add(step).ok();
    let Some(zone) = zone else {
        return Ok((Point::Civil(start), end.map(Point::Civil)));
    };
    let offset = offset(zone).with_context(bad)?;
    let instant = |time| offset.to_timestamp(time).ok();
    // Instants end a day before the calendar does, so that the zone may be any.
    let start = instant(start).unwrap_or(Timestamp::MAX);
    Ok((Point::Instant(start), end.and_then(instant).map(Point::Instant)))
}

/// Reads the digits behind a second's point, nine at most.
fn nanoseconds(digits: &str) -> Option<i32> {
    let fits = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| format!("{digits:0<9}").parse().ok()).flatten()
}

/// Reads numbers of two digits, the first one of `first_digits`.
fn numbers(text: &str, separator: char, first_digits: usize) -> Option<Vec<i16>> {
    let part = |(position, part): (usize, &str)| {
        let digits = if position == 0 { first_digits } else { 2 };
        let fits = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| part.parse().ok()).flatten()
    };
    text.split(separator).enumerate().map(part).collect()
}

fn offset(text: &str) -> Option<Offset> {
    if text == "Z" {
        return Some(Offset::UTC);
    }
    let (sign, text) = text
        .strip_prefix('+')
        .map(|text| (1, text))
        .or_else(|| Some((-1, text.strip_prefix('-')?)))?;
    let numbers = numbers(text, ':', 2)?;
    let [hours, minutes] = numbers[..] else { return None };
    (hours < 24 && minutes < 60)
        .then(|| Offset::from_seconds(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60)).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filters(filters: &[&str]) -> Result<Filters> {
        let filters: Vec<String> = filters.iter().map(|&filter| filter.to_owned()).collect();
        Filters::new(&filters, TimeZone::UTC)
    }

    fn hour_is_taken(filter: &str, hour: &str) -> bool {
        let start: DateTime = hour.parse().unwrap();
        filters(&[filter])
            .unwrap()
            .allow_time(start, start.checked_add(Span::new().hours(1)).unwrap())
    }

    #[test]
    fn both_ends_of_a_range_are_taken_whole() {
        for (filter, hour, taken) in [
            ("_time=2024-01-01..2024-01-31", "2024-01-31T23:00", true),
            ("_time=2024-01-01..2024-01-31", "2024-02-01T00:00", false),
            ("_time=2024-01-01T05..2024-01-01T07", "2024-01-01T07:00", true),
            ("_time=2024-01-01T05..2024-01-01T07", "2024-01-01T08:00", false),
            ("_time=2024-01-01T05..2024-01-01T07", "2024-01-01T04:00", false),
            ("_time=2024-02", "2024-02-29T23:00", true),
            ("_time=2024", "2024-12-31T23:00", true),
            ("_time=2024-01-01..", "2999-01-01T00:00", true),
            ("_time=..2024-01-01", "2024-01-02T00:00", false),
            (
                "_time=2024-01-01T05:30+01:00..2024-01-01T06:29+01:00",
                "2024-01-01T05:00",
                true,
            ),
            ("_time=2024-01-01T05+01:00", "2024-01-01T05:00", false),
            ("_time=2024-01-01..9999-12-31", "2024-02-01T00:00", true),
            ("_time=9999", "2024-02-01T00:00", false),
            ("_time=2024-01-01..9999-12-31T23:59:59Z", "2024-02-01T00:00", true),
            ("_time=2024-01-01T05:59:59.999Z", "2024-01-01T05:00", true),
            ("_time=2024-01-01T05:59:59.999", "2024-01-01T06:00", false),
            ("_time=2024-01-01,2024-01-03", "2024-01-02T00:00", false),
            ("_time=2024-01-01,2024-01-03", "2024-01-03T00:00", true),
        ] {
            assert_eq!(hour_is_taken(filter, hour), taken, "{filter} {hour}");
        }
    }

    #[test]
    fn a_change_of_clocks_loses_no_hour() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let hours = |filter: &str, day: &str| -> Vec<i8> {
            let filters = Filters::new(&[filter.to_owned()], zone.clone()).unwrap();
            let day: Date = day.parse().unwrap();
            let taken = |hour: &i8| {
                let start = day.at(*hour, 0, 0, 0);
                filters.allow_time(start, start.checked_add(Span::new().hours(1)).unwrap())
            };
            (0..24).filter(taken).collect()
        };
        // Written without a zone, as partitions are named: each name once, whatever the clocks do.
        assert_eq!(hours("_time=2024-10-27T01..2024-10-27T03", "2024-10-27"), [1, 2, 3]);
        assert_eq!(hours("_time=2024-10-27", "2024-10-27").len(), 24);
        // Both of the two hours that clocks show as 02 are in the one partition of that name.
        assert_eq!(hours("_time=2024-10-27T00Z", "2024-10-27"), [2]);
        assert_eq!(hours("_time=2024-10-27T01Z", "2024-10-27"), [2]);
        // In spring 01 is followed by 03.
        let spring = hours("_time=2024-03-31T00Z..2024-03-31T01Z", "2024-03-31");
        assert!(
            spring.contains(&1) && spring.contains(&3) && !spring.contains(&4),
            "{spring:?}"
        );
    }

    #[test]
    fn bad_filters_are_refused() {
        for filter in [
            "region",
            "=x",
            "region=",
            "region=a,",
            "region=a/b",
            "_time=",
            "_time=..",
            "_time=2024-1-1",
            "_time=2024-02-30",
            "_time=2024-01-02..2024-01-01",
            "_time=2024-01T05",
            "_time=2024-01-01T25",
            "_time=2024-01-01T05:30.5",
            "_time=2024-01-01T05:30:00.",
            "_time=2024-01-01T05:30:00.1234567890",
            "_time=x",
            "_time=2024-01-01T05+99:00",
        ] {
            assert!(filters(&[filter]).is_err(), "{filter}");
        }
        assert!(filters(&["a=1", "a=2"]).is_err());
    }

    #[test]
    fn a_comma_in_a_value_is_written_with_a_backslash() {
        let filters = filters(&[r"a=x\,y,b\c,d\\"]).unwrap();
        let values: Vec<&str> = filters.values("a").unwrap().iter().map(String::as_str).collect();
        assert_eq!(values, [r"b\c", r"d\", "x,y"]);
    }

    #[test]
    fn a_range_with_one_end_in_a_repeated_hour_is_in_order() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let range = "_time=2024-10-27T01:30:00Z..2024-10-27T02:45".to_owned();
        let hour = |hour| jiff::civil::date(2024, 10, 27).at(hour, 0, 0, 0);
        let filters = Filters::new(&[range], berlin).unwrap();
        assert!(filters.allow_time(hour(2), hour(3)) && !filters.allow_time(hour(3), hour(4)));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>(), time in "[0-9T:Z+.-]{0,24}") {
            filters(&[&text]).ok();
            filters(&[&format!("_time={text}")]).ok();
            filters(&[&format!("_time={time}")]).ok();
        }
    }
}
