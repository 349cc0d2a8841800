//! The differential test of lines: random objects of every layout, read with random columns and filters, against a slow reader
//! made of `serde_json` and exact decimals. What it gives must be all of what a plain reading of the promise gives.

use std::{cmp::Ordering, fmt};

use proptest::{collection::vec, prelude::*, sample::select};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::*;
use crate::predicate::{FieldPath, Literal, Operator, Predicate, Term};

/// Objects and lists that may be open at once.
const DEPTH_MAX: usize = 128;

/// A value with nothing lost: numbers as exact decimals, keys in any order.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(String),
    /// A string with half of a surrogate pair, or an object with such a key: as it is written.
    Verbatim(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// A number: 0.DIGITS times ten to a power; zero keeps its sign.
#[derive(Debug, Clone, PartialEq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn new(text: &str) -> Self {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().unwrap();
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let leading = (all.len() - digits.len()) as i64;
        let digits = digits.trim_end_matches('0').to_owned();
        let exponent = if digits.is_empty() {
            0
        } else {
            exponent + whole.len() as i64 - leading
        };
        Self {
            is_negative,
            digits,
            exponent,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = || {
            let exponents = self.exponent.cmp(&other.exponent);
            exponents.then_with(|| self.digits.as_str().cmp(&other.digits))
        };
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => size(),
            _ => size().reverse(),
        })
    }
}

/// The members of an object in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

fn members(text: &str) -> Option<Vec<(String, &str)>> {
    let Members(members) = serde_json::from_str(text).ok()?;
    Some(members.into_iter().map(|(key, value)| (key, value.get())).collect())
}

fn value(text: &str) -> Value {
    let text = text.trim();
    match text.as_bytes()[0] {
        b'{' => match members(text) {
            Some(members) => Value::Object(sorted(members.into_iter().map(|(key, text)| (key, value(text))))),
            None => Value::Verbatim(text.to_owned()),
        },
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap();
            Value::List(items.into_iter().map(|item| value(item.get())).collect())
        }
        b'"' => serde_json::from_str(text).map_or_else(|_| Value::Verbatim(text.to_owned()), Value::Text),
        b'n' => Value::Null,
        b't' | b'f' => Value::Bool(text == "true"),
        _ => Value::Number(Decimal::new(text)),
    }
}

fn sorted(members: impl Iterator<Item = (String, Value)>) -> Vec<(String, Value)> {
    let mut members: Vec<_> = members.collect();
    members.sort_by(|left, right| left.0.cmp(&right.0));
    members
}

/// How many objects and lists are open at once.
fn depth(text: &str) -> usize {
    let (mut open, mut most, mut in_text, mut is_escaped) = (0usize, 0, false, false);
    for char in text.chars() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' if in_text => is_escaped = true,
            '"' => in_text = !in_text,
            '{' | '[' if !in_text => {
                open += 1;
                most = most.max(open);
            }
            '}' | ']' if !in_text => open -= 1,
            _ => {}
        }
    }
    most
}

/// What named fields leave of an object.
fn project(text: &str, paths: &[&[String]]) -> Value {
    let kept = members(text).unwrap().into_iter().filter_map(|(key, text)| {
        let (mut is_whole, mut below) = (false, Vec::new());
        for path in paths {
            for taken in 1..=path.len() {
                if path[..taken].join(".") != key {
                    continue;
                }
                if taken == path.len() {
                    is_whole = true;
                } else {
                    below.push(&path[taken..]);
                }
            }
        }
        if is_whole {
            Some((key, value(text)))
        } else if !below.is_empty() && text.starts_with('{') {
            Some((key, project(text, &below)))
        } else {
            None
        }
    });
    Value::Object(sorted(kept))
}

/// All values that a path leads to.
fn at(text: &str, path: &[String], found: &mut Vec<Value>) {
    for (key, text) in members(text).unwrap() {
        for taken in 1..=path.len() {
            if path[..taken].join(".") != key {
                continue;
            }
            if taken == path.len() {
                found.push(value(text));
            } else if text.starts_with('{') {
                at(text, &path[taken..], found);
            }
        }
    }
}

fn holds(text: &str, term: &Term) -> bool {
    let mut found = Vec::new();
    at(text, &term.path.0, &mut found);
    if found.is_empty() {
        found.push(Value::Null);
    }
    found.iter().any(|value| {
        let order = match (value, &term.literal) {
            (Value::Null, literal) => return *literal == Literal::Null && term.operator == Operator::Equal,
            (Value::Number(value), Literal::Number(number)) => Some(value.compare(&Decimal::new(number))),
            (Value::Text(value), Literal::Number(text) | Literal::Text(text)) => Some(value.as_str().cmp(text)),
            // Half of a surrogate pair has a code point, though no text.
            (Value::Verbatim(text), Literal::Number(other) | Literal::Text(other)) if text == "\"\\ud800\"" => {
                Some(b"\xed\xa0\x80".as_slice().cmp(other.as_bytes()))
            }
            (Value::Bool(value), Literal::Bool(expected)) => Some(value.cmp(expected)),
            _ => None,
        };
        match term.operator {
            Operator::Equal => order.is_some_and(Ordering::is_eq),
            Operator::NotEqual => !order.is_some_and(Ordering::is_eq),
            Operator::Less => order.is_some_and(Ordering::is_lt),
            Operator::LessOrEqual => order.is_some_and(Ordering::is_le),
            Operator::Greater => order.is_some_and(Ordering::is_gt),
            Operator::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    })
}

const KEYS: &[&str] = &[
    "a",
    "b",
    "c",
    "a.b",
    "b.c",
    "é",
    "",
    "\\u0061\\u0301",
    "a key that is longer than the rest",
];

const SCALARS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "7",
    "1.0",
    "1.50",
    "-0.0",
    "1E5",
    "1e400",
    "-1e-400",
    "5e-324",
    "1.7976931348623157e308",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551616",
    "0.1",
    "0.30000000000000004",
    "123456789012345678901234567890.5",
    "true",
    "false",
    "null",
    "\"\"",
    "\"7\"",
    "\"b\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"é\\n\\\"\\\\/\\/\"",
    "\"日本\"",
    "{}",
    "[]",
    "\"9223372036854775808\"",
];

fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", " ", "\t", "  \r"])
}

fn json(levels: u32) -> BoxedStrategy<String> {
    let scalar = select(SCALARS).prop_map(str::to_owned);
    if levels == 0 {
        return scalar.boxed();
    }
    let list = (vec(json(levels - 1), 0..4), space())
        .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},{space}"))));
    prop_oneof![6 => scalar, 1 => list, 2 => object(levels - 1)].boxed()
}

fn object(levels: u32) -> BoxedStrategy<String> {
    (vec((select(KEYS), json(levels)), 0..6), space())
        .prop_map(|(members, space)| {
            let mut seen = Vec::new();
            let mut texts = Vec::new();
            for (key, value) in members {
                if !seen.contains(&key) {
                    seen.push(key);
                    texts.push(format!("\"{key}\"{space}:{space}{value}"));
                }
            }
            format!("{{{}{space}}}", texts.join(&format!("{space},{space}")))
        })
        .boxed()
}

/// A record, now and then about as deep as it may be, or deeper.
fn record() -> impl Strategy<Value = String> {
    let deep = (120usize..136, any::<bool>()).prop_map(|(levels, is_list)| {
        let (open, close) = if is_list { ("[", "]") } else { ("{\"a\":", "}") };
        format!("{{\"c\":{}1{},\"a\":1}}", open.repeat(levels), close.repeat(levels))
    });
    prop_oneof![30 => object(3), 1 => deep]
}

fn path() -> impl Strategy<Value = FieldPath> {
    vec(select(vec!["a", "b", "c", "a.b", "é"]).prop_map(str::to_owned), 1..4).prop_map(FieldPath)
}

fn term() -> impl Strategy<Value = Term> {
    let literal = prop_oneof![
        4 => select(SCALARS.iter().copied().filter(|text| text.starts_with(|char: char| char == '-' || char.is_ascii_digit())).collect::<Vec<_>>())
            .prop_map(|number| Literal::Number(number.to_owned())),
        2 => select(vec!["", "7", "b", "é", "日本", "😀"]).prop_map(|text| Literal::Text(text.to_owned())),
        1 => any::<bool>().prop_map(Literal::Bool),
        1 => Just(Literal::Null),
    ];
    let operator = select(vec![
        Operator::Equal,
        Operator::NotEqual,
        Operator::Less,
        Operator::LessOrEqual,
        Operator::Greater,
        Operator::GreaterOrEqual,
    ]);
    (path(), operator, literal).prop_map(|(path, operator, literal)| {
        // Null has no order.
        let operator = match (&literal, operator) {
            (Literal::Null, Operator::NotEqual) => Operator::NotEqual,
            (Literal::Null, _) => Operator::Equal,
            _ => operator,
        };
        Term {
            path,
            operator,
            literal,
        }
    })
}

fn packed(text: &[u8], compression: Compression, cut: usize) -> Vec<u8> {
    let pack = |piece: &[u8]| match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(piece).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(piece, 1).unwrap(),
        Compression::None | Compression::Auto => piece.to_vec(),
    };
    let (first, second) = text.split_at(cut.min(text.len()));
    [pack(first), pack(second)].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_read_of_any_object_is_what_the_model_gives(
        lines in vec((record(), select(vec!["\n", "\r\n", "\n\n", "\n \n"])), 0..30),
        has_mark in any::<bool>(),
        compression in select(vec![Compression::None, Compression::Gzip, Compression::Zstd]),
        cut in 0usize..2000,
        columns in prop_oneof![Just(None), Just(Some(Vec::new())), vec(path(), 1..4).prop_map(Some)],
        terms in prop_oneof![2 => Just(Vec::new()), 3 => vec(term(), 1..3)],
        batch_records_max in 1usize..20,
        stops in vec(1usize..4, 0..3),
    ) {
        let mut text = if has_mark { "\u{feff}".to_owned() } else { String::new() };
        let (mut expected, mut refused, mut filtered) = (Vec::new(), Vec::new(), 0);
        for (record, end) in &lines {
            let ordinal = text.len() as u64;
            text.push_str(record);
            text.push_str(end);
            if depth(record) > DEPTH_MAX {
                refused.push(ordinal);
            } else if !terms.iter().all(|term| holds(record, term)) {
                filtered += 1;
            } else {
                let kept = match columns.as_deref() {
                    None | Some([]) => value(record),
                    Some(paths) => project(record, &paths.iter().map(|path| path.0.as_slice()).collect::<Vec<_>>()),
                };
                expected.push((ordinal, kept, record));
            }
        }
        let bytes = packed(text.as_bytes(), compression, cut);
        let item = item(&bytes, Format::Auto, Compression::Auto);
        let records = Records {
            columns: columns.clone(),
            filter: (!terms.is_empty()).then(|| Predicate { terms: terms.clone() }),
            batch_records_max,
            ..records()
        };
        let outcome = read_with_stops(&item, &Memory::new(bytes), &records, &[&stops[..], &[usize::MAX]].concat());
        let rejects: Vec<u64> = outcome.rejects.iter().map(|reject| reject.ordinal).collect();
        prop_assert_eq!(rejects, refused);
        prop_assert!(outcome.rejects.iter().all(|reject| reject.reason.contains("nested deeper")));
        prop_assert_eq!(outcome.counts.filtered, filtered);
        prop_assert_eq!(outcome.records.len(), expected.len());
        for ((ordinal, written), (at, kept, record)) in outcome.records.iter().zip(expected) {
            prop_assert_eq!(*ordinal, at);
            prop_assert_eq!(value(written), kept, "{} of {}", written, record);
            if columns.is_none() {
                prop_assert_eq!(written, record, "what nobody touched stays as it was");
            }
        }
    }
}
