//! One comparison of a filter, made on a value as it stands in the text. The meaning is [`crate::predicate`]'s.

use std::cmp::Ordering;

use super::escape;
use crate::predicate::{Literal, Operator, Term};

/// A term whose literal is made ready.
#[derive(Debug)]
pub(crate) struct Comparison {
    operator: Operator,
    literal: Literal,
    /// The literal as a small whole number, if it is one.
    whole: Option<i64>,
}

impl Comparison {
    pub(crate) fn new(term: &Term) -> Self {
        let whole = match &term.literal {
            Literal::Number(number) => small_whole(number.as_bytes()),
            _ => None,
        };
        Self {
            operator: term.operator,
            literal: term.literal.clone(),
            whole,
        }
    }

    /// Whether a missing field passes.
    pub(super) fn holds_for_missing(&self) -> bool {
        self.operator == Operator::Equal && self.literal == Literal::Null
    }

    /// Whether a value passes: valid JSON, without white space around it.
    pub(crate) fn holds(&self, value: &[u8], scratch: &mut Vec<u8>) -> bool {
        if value == b"null" {
            return self.holds_for_missing();
        }
        let order = match (&self.literal, value[0]) {
            (Literal::Number(number), b'-' | b'0'..=b'9') => Some(self.compare_number(value, number)),
            (Literal::Number(text) | Literal::Text(text), b'"') => Some(compare_text(value, text.as_bytes(), scratch)),
            (Literal::Bool(expected), b't' | b'f') => Some((value[0] == b't').cmp(expected)),
            _ => None,
        };
        match self.operator {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::NotEqual => order != Some(Ordering::Equal),
            Operator::Less => order == Some(Ordering::Less),
            Operator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Operator::Greater => order == Some(Ordering::Greater),
            Operator::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }

    fn compare_number(&self, value: &[u8], number: &str) -> Ordering {
        match (small_whole(value), self.whole) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => compare_decimals(value, number.as_bytes()),
        }
    }
}

/// A string in the text against text.
fn compare_text(value: &[u8], text: &[u8], scratch: &mut Vec<u8>) -> Ordering {
    let inner = &value[1..value.len() - 1];
    if memchr::memchr(b'\\', inner).is_none() {
        return inner.cmp(text);
    }
    scratch.clear();
    escape::string(value, 1, scratch, &mut true).expect("the walk checked this string");
    scratch.as_slice().cmp(text)
}

/// The number, if it is whole and written with at most 18 digits and nothing else.
fn small_whole(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

/// Compares two JSON numbers by their exact values, whatever their length.
pub(crate) fn compare_decimals(left: &[u8], right: &[u8]) -> Ordering {
    let (left, right) = (Decimal::new(left), Decimal::new(right));
    if left.sign != right.sign {
        return left.sign.cmp(&right.sign);
    }
    let larger = left
        .magnitude
        .cmp(&right.magnitude)
        .then_with(|| left.compare_digits(&right));
    if left.sign < 0 { larger.reverse() } else { larger }
}

/// A JSON number: sign × 0.digits × 10^magnitude, the first digit not being zero.
struct Decimal<'a> {
    /// -1, 0 or 1.
    sign: i8,
    /// From the first digit that is not zero on; may have the point in it.
    digits: &'a [u8],
    magnitude: i64,
}

impl<'a> Decimal<'a> {
    fn new(text: &'a [u8]) -> Self {
        let (sign, unsigned) = match text.strip_prefix(b"-") {
            Some(unsigned) => (-1, unsigned),
            None => (1, text),
        };
        let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&unsigned[..at], saturating_exponent(&unsigned[at + 1..])),
            None => (unsigned, 0),
        };
        let Some(first) = mantissa.iter().position(|byte| matches!(byte, b'1'..=b'9')) else {
            return Self {
                sign: 0,
                digits: &[],
                magnitude: 0,
            };
        };
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        let places = if first < point {
            (point - first) as i64
        } else {
            point as i64 - first as i64 + 1
        };
        Self {
            sign,
            digits: &mantissa[first..],
            magnitude: exponent.saturating_add(places),
        }
    }

    fn compare_digits(&self, other: &Self) -> Ordering {
        let digits = |decimal: &Self| {
            decimal
                .digits
                .iter()
                .copied()
                .filter(|byte| *byte != b'.')
                .collect::<Vec<_>>()
        };
        let (mut left, mut right) = (digits(self), digits(other));
        let length = left.len().max(right.len());
        left.resize(length, b'0');
        right.resize(length, b'0');
        left.cmp(&right)
    }
}

/// An exponent's value. One beyond all sense is held at the largest that still compares rightly.
fn saturating_exponent(text: &[u8]) -> i64 {
    let (sign, digits) = match text.first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let limit = i64::MAX / 4;
    sign * digits.iter().fold(0i64, |value, digit| {
        (value.saturating_mul(10) + i64::from(digit - b'0')).min(limit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicate::FieldPath;

    fn holds(value: &str, operator: Operator, literal: Literal) -> bool {
        let path = FieldPath(vec!["a".to_owned()]);
        Comparison::new(&Term {
            path,
            operator,
            literal,
        })
        .holds(value.as_bytes(), &mut Vec::new())
    }

    fn number(text: &str) -> Literal {
        Literal::Number(text.to_owned())
    }

    fn text(text: &str) -> Literal {
        Literal::Text(text.to_owned())
    }

    #[test]
    fn numbers_compare_by_their_exact_value() {
        let in_order = [
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-1",
            "-0.001",
            "0",
            "1e-400",
            "0.09",
            "0.1",
            "0.10000000000000000001",
            "1",
            "9.99",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1e20",
            "1e400",
        ];
        for (left_index, left) in in_order.iter().enumerate() {
            for (right_index, right) in in_order.iter().enumerate() {
                let name = format!("{left} with {right}");
                assert_eq!(
                    compare_decimals(left.as_bytes(), right.as_bytes()),
                    left_index.cmp(&right_index),
                    "{name}"
                );
                assert_eq!(
                    holds(left, Operator::Less, number(right)),
                    left_index < right_index,
                    "{name}"
                );
                assert_eq!(
                    holds(left, Operator::GreaterOrEqual, number(right)),
                    left_index >= right_index,
                    "{name}"
                );
            }
        }
        for (left, right) in [
            ("1", "1.0"),
            ("1", "10e-1"),
            ("100", "1e2"),
            ("0", "-0.0"),
            ("0.5", "5E-1"),
            ("0e9", "0"),
        ] {
            assert!(holds(left, Operator::Equal, number(right)), "{left} is {right}");
        }
    }

    #[test]
    fn strings_compare_by_code_point_after_their_escapes() {
        assert!(holds(r#""\u0061b""#, Operator::Equal, text("ab")));
        assert!(holds(r#""a\"b""#, Operator::Equal, text("a\"b")));
        assert!(holds("\"\u{ffff}\"", Operator::Less, text("\u{10000}")));
        assert!(holds(r#""200""#, Operator::Equal, number("200")));
        assert!(!holds(r#""200.0""#, Operator::Equal, number("200")));
        assert!(!holds("200", Operator::Equal, text("200")));
    }

    #[test]
    fn nulls_match_only_null_and_other_types_only_not_equal() {
        assert!(holds("null", Operator::Equal, Literal::Null));
        assert!(!holds("null", Operator::NotEqual, number("1")));
        assert!(!holds("null", Operator::NotEqual, Literal::Null));
        assert!(holds("{}", Operator::NotEqual, Literal::Null));
        for other in ["{}", "[1]", "true", "\"x\""] {
            assert!(holds(other, Operator::NotEqual, number("1")), "{other}");
            assert!(!holds(other, Operator::Equal, number("1")), "{other}");
        }
        assert!(holds("true", Operator::Equal, Literal::Bool(true)));
        assert!(holds("false", Operator::NotEqual, Literal::Bool(true)));
        assert!(!holds("1", Operator::LessOrEqual, text("1")));
    }
}
