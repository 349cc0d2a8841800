//! Names of indices and data streams: fixed, or made for each record from a date and from fields.
//!
//! `logs-{+yyyy.MM.dd}` has the day of the record's timestamp in it (letters `yyyy`, `yy`, `MM` and `dd`; whatever else stands
//! there stays; a year of more or fewer digits than four has its own, with a minus before Christ), `logs-{tenant.name}` the value of a field, or, where the record has none, of the item's partition value
//! of that name. What a record brings is checked against Elasticsearch's own rules ("Create index API", path parameters)
//! before it is sent; a name that the rules refuse makes the record a dead letter.

use std::{collections::BTreeMap, fmt, fmt::Write as _, str::FromStr};

use crate::{predicate::FieldPath, values::calendar::Day};

/// The longest name that there may be.
const NAME_BYTES_MAX: usize = 255;

/// The name of an index or data stream, or the pattern that it is made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexName(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Date(Vec<DatePart>),
    Field(FieldPath),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum DatePart {
    Year,
    YearOfCentury,
    Month,
    Day,
    Text(String),
}

/// Why something is no name of an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IndexNameError(String);

/// What a record's name is made from.
pub(super) trait NameValues {
    /// The day of the record's timestamp.
    fn day(&mut self) -> Result<Day, String>;
    /// The value of the `number`th field of the pattern; none if the record has no such field, or a null.
    fn field(&mut self, number: usize) -> Result<Option<&str>, String>;
    /// The item's partition values.
    fn partition(&self) -> &BTreeMap<String, String>;
}

impl IndexName {
    /// The name, if it is the same for every record.
    pub fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether its text is the record's own, so that whoever writes a record may choose it.
    pub fn has_field(&self) -> bool {
        self.fields().next().is_some()
    }

    /// The pattern as it is written, in one form for all ways of writing it.
    pub fn pattern(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(path) => format!("{{{path}}}"),
            Part::Date(parts) => {
                let letters = parts.iter().map(|part| match part {
                    DatePart::Year => "yyyy",
                    DatePart::YearOfCentury => "yy",
                    DatePart::Month => "MM",
                    DatePart::Day => "dd",
                    DatePart::Text(text) => text,
                });
                format!("{{+{}}}", letters.collect::<String>())
            }
        };
        self.0.iter().map(part).collect()
    }

    /// Whether a record's day is part of it.
    pub fn has_date(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Date(_)))
    }

    /// The fields that it has, in order.
    pub fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        self.0.iter().filter_map(|part| match part {
            Part::Field(path) => Some(path),
            _ => None,
        })
    }

    /// Puts a record's name into `name`. The error is the record's.
    pub(super) fn make(&self, values: &mut impl NameValues, name: &mut String) -> Result<(), String> {
        name.clear();
        let mut fields = 0;
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Date(parts) => write_date(parts, values.day()?, name),
                Part::Field(path) => {
                    let before = name.len();
                    if let Some(value) = values.field(fields)? {
                        name.push_str(value);
                    } else {
                        let key = path.0.join(".");
                        let value = values.partition().get(&key).ok_or_else(|| {
                            format!("no index name: the record has no field `{path}`, and the object no partition value of that name")
                        })?;
                        name.push_str(value);
                    }
                    if name.len() == before {
                        return Err(format!("no index name: `{path}` is empty"));
                    }
                    fields += 1;
                }
            }
        }
        check(name).map_err(|problem| format!("no index name: `{name}` {problem}"))
    }
}

fn write_date(parts: &[DatePart], day: Day, name: &mut String) {
    for part in parts {
        let written = match part {
            DatePart::Year if day.year < 0 => write!(name, "{:05}", day.year),
            DatePart::Year => write!(name, "{:04}", day.year),
            DatePart::YearOfCentury => write!(name, "{:02}", day.year.rem_euclid(100)),
            DatePart::Month => write!(name, "{:02}", day.month),
            DatePart::Day => write!(name, "{:02}", day.day),
            DatePart::Text(text) => name.write_str(text),
        };
        written.expect("a string takes it");
    }
}

impl FromStr for IndexName {
    type Err = IndexNameError;

    fn from_str(text: &str) -> Result<Self, IndexNameError> {
        if text.contains("%{") {
            return Err(IndexNameError(format!(
                "`{text}` has a `%{{` in it, as Logstash writes it: leave out the %"
            )));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest[open..]
                .find('}')
                .ok_or_else(|| IndexNameError(format!("`{text}` has a `{{` without its `}}`")))?;
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let inside = &rest[open + 1..open + close];
            parts.push(match inside.strip_prefix('+') {
                Some(format) => Part::Date(date_parts(format).map_err(IndexNameError)?),
                None => Part::Field(inside.parse().map_err(|error| {
                    IndexNameError(format!(
                        "`{{{inside}}}` is neither a date as in {{+yyyy.MM.dd}} nor a field: {error}"
                    ))
                })?),
            });
            rest = &rest[open + close + 1..];
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let name = Self(parts);
        // With something harmless in its gaps, a pattern must be a name, too: what is wrong with its text is said now.
        let sample: String = name
            .0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Date(_) | Part::Field(_) => "0",
            })
            .collect();
        check(&sample).map_err(|problem| IndexNameError(format!("`{text}` {problem}")))?;
        Ok(name)
    }
}

fn date_parts(format: &str) -> Result<Vec<DatePart>, String> {
    let mut parts = Vec::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(first).len();
        let (letters, behind) = rest.split_at(run);
        parts.push(match letters {
            "yyyy" | "uuuu" => DatePart::Year,
            "yy" | "uu" => DatePart::YearOfCentury,
            "MM" => DatePart::Month,
            "dd" => DatePart::Day,
            other if first.is_ascii_alphabetic() => {
                return Err(format!(
                    "`{{+{format}}}`: a date is made of yyyy, yy, MM and dd, not `{other}`"
                ));
            }
            other => DatePart::Text(other.to_owned()),
        });
        rest = behind;
    }
    if parts.iter().all(|part| matches!(part, DatePart::Text(_))) {
        return Err(format!(
            "`{{+{format}}}` has nothing of a date in it, as in {{+yyyy.MM.dd}}"
        ));
    }
    Ok(parts)
}

/// Checks a name by the rules; the error goes behind the name.
fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is empty".to_owned());
    }
    if name == "." || name == ".." {
        return Err("is no name of an index".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("is longer than {NAME_BYTES_MAX} bytes"));
    }
    if let Some(first) = name.chars().next().filter(|first| matches!(first, '-' | '_' | '+')) {
        return Err(format!("begins with `{first}`, which no index may"));
    }
    match name.chars().find(|c| !may_be_in_a_name(*c)) {
        Some(upper) if upper.is_uppercase() => Err("is not lower case".to_owned()),
        Some(other) => Err(format!("has {other:?} in it, which no index may")),
        None => Ok(()),
    }
}

fn may_be_in_a_name(c: char) -> bool {
    let reserved = matches!(
        c,
        '\\' | '/' | '*' | '?' | '"' | '<' | '>' | '|' | ' ' | ',' | '#' | ':'
    );
    !reserved && !c.is_uppercase() && !c.is_control()
}

impl fmt::Display for IndexName {
    /// With a `*` for what records bring.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Date(_) | Part::Field(_) => f.write_str("*")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Record {
        day: Result<Day, String>,
        fields: Vec<Option<String>>,
        partition: BTreeMap<String, String>,
    }

    impl NameValues for Record {
        fn day(&mut self) -> Result<Day, String> {
            self.day.clone()
        }

        fn field(&mut self, number: usize) -> Result<Option<&str>, String> {
            Ok(self.fields[number].as_deref())
        }

        fn partition(&self) -> &BTreeMap<String, String> {
            &self.partition
        }
    }

    fn made(pattern: &str, fields: &[Option<&str>]) -> Result<String, String> {
        made_on(2024, pattern, fields)
    }

    /// On the ninth of February.
    fn made_on(year: i64, pattern: &str, fields: &[Option<&str>]) -> Result<String, String> {
        let mut record = Record {
            day: Ok(Day { year, month: 2, day: 9 }),
            fields: fields.iter().map(|field| field.map(str::to_owned)).collect(),
            partition: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        };
        let mut name = String::new();
        let pattern: IndexName = pattern.parse().map_err(|error: IndexNameError| error.to_string())?;
        pattern.make(&mut record, &mut name)?;
        Ok(name)
    }

    #[test]
    fn a_name_is_fixed_or_made_from_dates_fields_and_partition_values() {
        assert_eq!("logs".parse::<IndexName>().unwrap().fixed(), Some("logs"));
        assert_eq!(made("logs-{+yyyy.MM.dd}", &[]), Ok("logs-2024.02.09".to_owned()));
        assert_eq!(made("{+yyMM}-x", &[]), Ok("2402-x".to_owned()));
        for (year, name) in [
            (9999, "l-9999.02"),
            (12_345, "l-12345.02"),
            (-1, "l--0001.02"),
            (7, "l-0007.02"),
        ] {
            assert_eq!(made_on(year, "l-{+yyyy.MM}", &[]), Ok(name.to_owned()));
        }
        assert_eq!(
            made("logs-{a.b}-{c}", &[Some("x"), Some("7")]),
            Ok("logs-x-7".to_owned())
        );
        assert_eq!(made("logs-{region}", &[None]), Ok("logs-eu".to_owned()));
        assert_eq!("a-{b}-{+yyyy}".parse::<IndexName>().unwrap().to_string(), "a-*-*");
    }

    #[test]
    fn what_no_index_may_be_called_is_the_records_fault() {
        for (value, problem) in [
            (Some("Eu"), "no index name: `logs-Eu` is not lower case"),
            (
                Some("a b"),
                "no index name: `logs-a b` has ' ' in it, which no index may",
            ),
            (
                Some("a/b"),
                "no index name: `logs-a/b` has '/' in it, which no index may",
            ),
            (Some(""), "no index name: `x` is empty"),
            (
                None,
                "no index name: the record has no field `x`, and the object no partition value of that name",
            ),
        ] {
            assert_eq!(made("logs-{x}", &[value]), Err(problem.to_owned()));
        }
        assert!(made("{x}-a", &[Some("-b")]).unwrap_err().contains("begins with `-`"));
        assert!(
            made("a{x}", &[Some(&"b".repeat(255))])
                .unwrap_err()
                .contains("longer than 255")
        );
    }

    #[test]
    fn a_pattern_that_can_never_be_right_is_refused_at_once() {
        for (pattern, problem) in [
            ("", "`` is empty"),
            ("Logs", "`Logs` is not lower case"),
            ("_logs", "`_logs` begins with `_`, which no index may"),
            ("logs-{a", "`logs-{a` has a `{` without its `}`"),
            (
                "logs-{+yyyy.mm}",
                "`{+yyyy.mm}`: a date is made of yyyy, yy, MM and dd, not `mm`",
            ),
            ("logs-{+.}", "`{+.}` has nothing of a date in it, as in {+yyyy.MM.dd}"),
            (
                "logs-%{+yyyy.MM.dd}",
                "`logs-%{+yyyy.MM.dd}` has a `%{` in it, as Logstash writes it: leave out the %",
            ),
            (
                "%{tenant}",
                "`%{tenant}` has a `%{` in it, as Logstash writes it: leave out the %",
            ),
            ("a,b", "`a,b` has ',' in it, which no index may"),
        ] {
            let error = pattern.parse::<IndexName>().unwrap_err().to_string();
            assert_eq!(error, problem);
        }
        assert!("logs-{}".parse::<IndexName>().is_err());
    }

    #[test]
    fn the_pattern_of_a_name_is_read_as_the_same_name() {
        for text in ["logs", "logs-{+uuuu.MM.dd}", "{a.b}-x-{+yyMM}", r#"l-{"a.b"}"#] {
            let name: IndexName = text.parse().unwrap();
            assert_eq!(name.pattern().parse::<IndexName>().unwrap(), name, "{text}");
        }
        assert_eq!("l-{+uuuu}".parse::<IndexName>().unwrap().pattern(), "l-{+yyyy}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_is_refused(text in "\\PC{0,20}|[a-z{}+.yMd-]{0,20}") {
            if let Ok(name) = text.parse::<IndexName>() {
                let has_gaps = text.contains('{');
                prop_assert_eq!(name.fixed().is_none(), has_gaps);
            }
        }
    }
}
