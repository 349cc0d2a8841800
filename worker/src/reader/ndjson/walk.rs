//! One walk over a JSON text that checks all of RFC 8259's grammar and builds nothing. UTF-8 is checked beforehand, for a
//! whole block at once.
//!
//! The text must go on for a newline behind the value that is walked: a newline is allowed nowhere within a line, so every
//! loop here ends there, and nothing of the next line is ever taken for part of this one.

use super::{
    fault::{Fault, What},
    scan,
};

/// How many objects and lists may be open at once. Bounded so that a hostile line can't exhaust the decoder's stack; the
/// number is what `serde_json` and most other readers have.
pub(super) const DEPTH_MAX: u32 = 128;

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing but white space; the place is its newline's.
    Blank(usize),
    /// One JSON object; the place is its newline's.
    Record(usize),
}

/// The newline behind a record that ends at `at`; only white space may be before it.
#[inline]
pub(super) fn line_end(text: &[u8], at: usize) -> Result<usize, Fault> {
    let at = white_space(text, at);
    if text[at] == b'\n' {
        Ok(at)
    } else {
        Err(Fault::new(at, What::ExpectedLineEnd))
    }
}

/// The first place at or after `at` that is no white space. A newline is none here: it ends the line.
#[inline]
pub(super) fn white_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text[at], b' ' | b'\t' | b'\r') {
        at += 1;
    }
    at
}

/// Walks the value that starts at `at`, below `depth` open objects and lists, and returns the place behind it.
#[inline]
pub(super) fn value(text: &[u8], at: usize, depth: u32) -> Result<usize, Fault> {
    match text[at] {
        b'"' => string(text, at + 1),
        b'{' | b'[' => nested(text, at, depth),
        _ => scalar(text, at),
    }
}

/// Walks a number or a literal.
#[inline]
fn scalar(text: &[u8], at: usize) -> Result<usize, Fault> {
    match text[at] {
        b'-' | b'0'..=b'9' => number(text, at),
        b't' => literal(text, at, b"true"),
        b'f' => literal(text, at, b"false"),
        b'n' => literal(text, at, b"null"),
        _ => Err(Fault::new(at, What::ExpectedValue)),
    }
}

/// Walks an object or a list and all that is in it, without recursion: one bit for each level that is open says which of
/// the two it is.
fn nested(text: &[u8], mut at: usize, depth: u32) -> Result<usize, Fault> {
    let mut open = depth;
    let mut objects = 0u128;
    'value: loop {
        match text[at] {
            b'"' => at = string(text, at + 1)?,
            first @ (b'{' | b'[') => {
                if open == DEPTH_MAX {
                    return Err(Fault::new(at, What::TooDeep));
                }
                open += 1;
                at = white_space(text, at + 1);
                if first == b'{' {
                    objects = objects << 1 | 1;
                    if text[at] != b'}' {
                        at = key(text, at, What::ExpectedKeyOrEnd)?;
                        continue 'value;
                    }
                } else {
                    objects <<= 1;
                    if text[at] != b']' {
                        continue 'value;
                    }
                }
                at += 1;
                open -= 1;
                objects >>= 1;
            }
            _ => at = scalar(text, at)?,
        }
        // A value ended: go on with its neighbour, or close what it was the last of.
        while open > depth {
            at = white_space(text, at);
            let in_object = objects & 1 == 1;
            match text[at] {
                b',' if in_object => {
                    at = key(text, white_space(text, at + 1), What::ExpectedKey)?;
                    continue 'value;
                }
                b',' => {
                    at = white_space(text, at + 1);
                    continue 'value;
                }
                b'}' if in_object => at += 1,
                b']' if !in_object => at += 1,
                _ if in_object => return Err(Fault::new(at, What::ExpectedCommaOrBrace)),
                _ => return Err(Fault::new(at, What::ExpectedCommaOrBracket)),
            }
            open -= 1;
            objects >>= 1;
        }
        return Ok(at);
    }
}

/// Walks a key, its colon and the white space behind, to the value's first byte.
#[inline]
fn key(text: &[u8], at: usize, otherwise: What) -> Result<usize, Fault> {
    if text[at] != b'"' {
        return Err(Fault::new(at, otherwise));
    }
    colon(text, string(text, at + 1)?)
}

/// Walks the colon behind a key and the white space around it, to the value's first byte.
#[inline]
pub(super) fn colon(text: &[u8], at: usize) -> Result<usize, Fault> {
    let at = white_space(text, at);
    if text[at] != b':' {
        return Err(Fault::new(at, What::ExpectedColon));
    }
    Ok(white_space(text, at + 1))
}

/// Walks a string from behind its opening quote to behind its closing one.
#[inline]
pub(super) fn string(text: &[u8], at: usize) -> Result<usize, Fault> {
    let at = scan::string_stop(text, at);
    if text[at] == b'"' {
        Ok(at + 1)
    } else {
        string_with_escapes(text, at)
    }
}

/// The rest of a string from its first escape, or from what should not be in it.
fn string_with_escapes(text: &[u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        match text[at] {
            b'"' => return Ok(at + 1),
            b'\\' => at = escape(text, at)?,
            _ => return Err(Fault::new(at, What::ControlCharacter)),
        }
        at = scan::string_stop(text, at);
    }
}

/// Walks the escape that starts with the backslash at `at`. Halves of surrogate pairs are in RFC 8259's grammar.
#[inline]
pub(super) fn escape(text: &[u8], at: usize) -> Result<usize, Fault> {
    match text[at + 1] {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 2),
        b'u' => match text.get(at + 2..at + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
            _ => Err(Fault::new(at, What::BadEscape)),
        },
        _ => Err(Fault::new(at, What::BadEscape)),
    }
}

/// Walks one of the three literals.
#[inline]
pub(super) fn literal(text: &[u8], at: usize, name: &[u8]) -> Result<usize, Fault> {
    if text[at..].starts_with(name) {
        Ok(at + name.len())
    } else {
        Err(Fault::new(at, What::BadLiteral))
    }
}

/// Walks a number.
#[inline]
pub(super) fn number(text: &[u8], start: usize) -> Result<usize, Fault> {
    let first = start + usize::from(text[start] == b'-');
    let mut at = digits(text, first);
    if at == first {
        return Err(Fault::new(at, What::ExpectedDigit));
    }
    if text[first] == b'0' && at > first + 1 {
        return Err(Fault::new(first, What::LeadingZero));
    }
    if text[at] == b'.' {
        let fraction = at + 1;
        at = digits(text, fraction);
        if at == fraction {
            return Err(Fault::new(at, What::ExpectedDigit));
        }
    }
    if matches!(text[at], b'e' | b'E') {
        let exponent = at + 1 + usize::from(matches!(text[at + 1], b'+' | b'-'));
        at = digits(text, exponent);
        if at == exponent {
            return Err(Fault::new(at, What::ExpectedDigit));
        }
    }
    Ok(at)
}

/// The first place at or after `at` that is no digit.
#[inline]
pub(super) fn digits(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = scan::chunk::<8>(text, at) {
        let count = scan::leading_digits(u64::from_le_bytes(*word));
        at += count;
        if count < 8 {
            return at;
        }
    }
    while text[at].is_ascii_digit() {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the line that starts at `start`.
    fn line(text: &[u8], start: usize) -> Result<Line, Fault> {
        let at = white_space(text, start);
        match text[at] {
            b'{' => Ok(Line::Record(line_end(text, value(text, at, 0)?)?)),
            b'\n' => Ok(Line::Blank(at)),
            _ => Err(Fault::new(at, What::ExpectedObject)),
        }
    }

    fn walked(line_text: &str) -> Result<Line, String> {
        let mut text = line_text.as_bytes().to_vec();
        text.push(b'\n');
        text.extend([b'"'; scan::PAD_BYTES]);
        line(&text, 0).map_err(|fault| fault.reason(&text, 0..line_text.len(), "k"))
    }

    #[test]
    fn objects_of_every_kind_of_value_are_records() {
        for record in [
            "{}",
            " { } ",
            "\t{\"a\" : 1 , \"b\":[ ] }\r",
            r#"{"":""}"#,
            r#"{"a":[1,-0,0.5,-1.5e+10,1E-2,0e0,true,false,null,"",{},[[]]]}"#,
            r#"{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800"}"#,
            r#"{"grüße":"日本語 and a text that is longer than sixteen bytes"}"#,
            r#"{"a":123456789012345678901234567890.123456789012345678901234567890}"#,
        ] {
            assert_eq!(walked(record), Ok(Line::Record(record.len())), "{record}");
        }
        assert_eq!(walked(" \t\r"), Ok(Line::Blank(3)));
    }

    #[test]
    fn what_is_no_object_is_refused_with_what_and_where() {
        for (text, reason) in [
            ("[]", "not a JSON object: expected '{' at byte 0"),
            ("\u{b}{}", "not a JSON object: expected '{' at byte 0"),
            (
                "{",
                "not a JSON object: expected a key in double quotes or '}' at byte 1, where the line ends",
            ),
            (
                "{,}",
                "not a JSON object: expected a key in double quotes or '}' at byte 1",
            ),
            (
                r#"{"a":1,}"#,
                "not a JSON object: expected a key in double quotes at byte 7",
            ),
            (r#"{"a" 1}"#, "not a JSON object: expected ':' at byte 5"),
            (r#"{"a":}"#, "not a JSON object: expected a value at byte 5"),
            (r#"{"a":1 "b":2}"#, "not a JSON object: expected ',' or '}' at byte 7"),
            (r#"{"a":[1}"#, "not a JSON object: expected ',' or ']' at byte 7"),
            (r#"{"a":[1,]}"#, "not a JSON object: expected a value at byte 8"),
            (r#"{"a":1]"#, "not a JSON object: expected ',' or '}' at byte 6"),
            (
                r#"{"a":1}}"#,
                "not a JSON object: expected the end of the line at byte 7",
            ),
            (
                r#"{"a":1} {"a":1}"#,
                "not one JSON object: another object follows on the same line at byte 8",
            ),
            (
                r#"{"a":01}"#,
                "not a JSON object: a number with a leading zero at byte 5",
            ),
            (r#"{"a":-}"#, "not a JSON object: expected a digit at byte 6"),
            (r#"{"a":1.}"#, "not a JSON object: expected a digit at byte 7"),
            (r#"{"a":.5}"#, "not a JSON object: expected a value at byte 5"),
            (r#"{"a":+1}"#, "not a JSON object: expected a value at byte 5"),
            (r#"{"a":1e}"#, "not a JSON object: expected a digit at byte 7"),
            (r#"{"a":1e+}"#, "not a JSON object: expected a digit at byte 8"),
            (r#"{"a":NaN}"#, "not a JSON object: expected a value at byte 5"),
            (
                r#"{"a":nul}"#,
                "not a JSON object: expected true, false or null at byte 5",
            ),
            (r#"{"a":truefalse}"#, "not a JSON object: expected ',' or '}' at byte 9"),
            (
                r#"{"a":"\x"}"#,
                "not a JSON object: an escape that JSON does not have at byte 6",
            ),
            (
                r#"{"a":"\u12g4"}"#,
                "not a JSON object: an escape that JSON does not have at byte 6",
            ),
            (
                "{\"a\":\"\t\"}",
                "not a JSON object: control character U+0009 in a string at byte 6",
            ),
            (
                r#"{"a":"b"#,
                "not a JSON object: a string without its closing quote at byte 7, where the line ends",
            ),
            (
                r#"{"a":"b\"#,
                "not a JSON object: an escape that JSON does not have at byte 7",
            ),
            (
                "{'a':1}",
                "not a JSON object: expected a key in double quotes or '}' at byte 1",
            ),
        ] {
            assert_eq!(walked(text), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn nesting_is_limited_to_128_levels() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert_eq!(walked(&nested(128)), Ok(Line::Record(nested(128).len())));
        assert_eq!(
            walked(&nested(129)),
            Err("nested deeper than 128 levels at byte 132".to_owned())
        );
        let objects = r#"{"a":"#.repeat(100_000);
        assert_eq!(
            walked(&objects),
            Err("nested deeper than 128 levels at byte 640".to_owned())
        );
    }
}
