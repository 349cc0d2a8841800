//! Bare words: what a value without quotes stands for.
//!
//! A word that looks like something else than text but is none, `05` or `TRUE` or `a,b`, would be compared as text and
//! match nothing. It is refused, and the refusal says how to write either meaning.

use crate::predicate::Literal;

/// Whether the character has a meaning of its own, here or where people come from, so that it needs quotes in keys and
/// values alike.
pub(super) fn needs_quotes(character: char) -> bool {
    matches!(
        character,
        '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | '=' | '!' | '<' | '>' | '&' | '|'
    ) || is_quote(character)
}

/// Also those that word processors make of quotes.
fn is_quote(character: char) -> bool {
    matches!(character, '\'' | '"' | '`' | '‘' | '’' | '“' | '”')
}

/// What a word stands for. The error says what would be right.
pub(super) fn literal(word: &str) -> Result<Literal, String> {
    match word {
        "null" => return Ok(Literal::Null),
        "true" => return Ok(Literal::Bool(true)),
        "false" => return Ok(Literal::Bool(false)),
        _ if is_json_number(word) => return Ok(Literal::Number(word.to_owned())),
        _ => {}
    }
    let text = Literal::Text(word.to_owned());
    if word.eq_ignore_ascii_case("and") {
        return Err(format!(
            "found `{word}`, expected a value: text needs quotes, as in {text}"
        ));
    }
    if let Some(character) = word.chars().find(|&character| needs_quotes(character)) {
        let hint = match character {
            '(' | ')' => "comparisons have no brackets, ",
            ',' | ';' | '[' | ']' => "a comparison has one value, ",
            '|' => "there is no `or`, ",
            '=' | '!' | '<' | '>' | '&' => "the next comparison follows behind ` and `, ",
            _ => "",
        };
        return Err(format!(
            "`{word}` has `{character}` in it: {hint}text with it needs quotes, as in {text}"
        ));
    }
    for constant in ["true", "false", "null"] {
        if word.eq_ignore_ascii_case(constant) {
            return Err(format!(
                "found `{word}`: write {constant}, or {text} in quotes for the text"
            ));
        }
    }
    match number_meant(word) {
        Meant::Text => Ok(text),
        Meant::NoNumber => Err(format!(
            "JSON has no number `{word}`: write {text} in quotes for the text"
        )),
        Meant::Number(number) => Err(format!(
            "`{word}` is no JSON number: write {number}, or {text} in quotes for the text"
        )),
    }
}

/// Whether text is a number as RFC 8259 section 6 has it.
fn is_json_number(text: &str) -> bool {
    fn digits(text: &str) -> Option<&str> {
        let rest = text.trim_start_matches(|character: char| character.is_ascii_digit());
        (rest.len() < text.len()).then_some(rest)
    }
    fn number(text: &str) -> Option<&str> {
        let text = text.strip_prefix('-').unwrap_or(text);
        let mut rest = match text.strip_prefix('0') {
            Some(rest) => rest,
            None => digits(text)?,
        };
        if let Some(fraction) = rest.strip_prefix('.') {
            rest = digits(fraction)?;
        }
        if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
            rest = digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))?;
        }
        Some(rest)
    }
    number(text) == Some("")
}

/// What people mean by a word that is no JSON number.
enum Meant {
    Text,
    /// A number elsewhere, as JSON writes it.
    Number(String),
    /// What other languages count among their numbers and JSON does not.
    NoNumber,
}

fn number_meant(word: &str) -> Meant {
    let (sign, unsigned) = match word.strip_prefix('+') {
        Some(unsigned) => ("", unsigned),
        None => word
            .strip_prefix(['-', '−'])
            .map_or(("", word), |unsigned| ("-", unsigned)),
    };
    let lower = unsigned.to_ascii_lowercase();
    if ["nan", "inf", "infinity"].contains(&lower.as_str()) {
        return Meant::NoNumber;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|digit| digit.is_digit(radix) || digit == '_')
        {
            return match u64::from_str_radix(&digits.replace('_', ""), radix) {
                Ok(number) => Meant::Number(format!("{sign}{number}")),
                Err(_) => Meant::NoNumber,
            };
        }
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => unsigned.split_at(at),
        None => (unsigned, ""),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = if is_grouped(whole) {
        whole.replace('_', "")
    } else {
        whole.to_owned()
    };
    if whole.is_empty() && fraction.is_empty() || !all_digits(&whole) || !all_digits(fraction) {
        return Meant::Text;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let number = format!("{sign}{whole}{point}{fraction}{exponent}");
    // What is left must be a number, else its exponent is none, and the word is text: `1e` and `0eff`.
    if is_json_number(&number) {
        Meant::Number(number)
    } else {
        Meant::Text
    }
}

/// Whether thousands are set apart, as in `1_000_000`; `2024_01_31` is text.
fn is_grouped(text: &str) -> bool {
    let mut groups = text.split('_');
    let first = groups.next().unwrap_or_default();
    (1..=3).contains(&first.len()) && text.contains('_') && groups.all(|group| group.len() == 3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_that_can_only_be_text_are_text() {
        for word in [
            "alice",
            "10.0.0.1",
            "::1",
            "fe80::1%eth0",
            "1.2.3",
            "v1.2.3-rc.1+build",
            "2024-01-31",
            "05:00",
            "2024-01-31T05:00:00Z",
            "2024-01-31T05:00:00.123+01:00",
            "2024_01_31",
            "05/06",
            "50%",
            "a@b.example",
            "/var/log/*.gz",
            "s3://bucket/key",
            "6f1c2d3e-0000-4000-8000-000000000000",
            "1e",
            "0xyz",
            "5ms",
            "10MB",
            "-",
            ".",
            "_",
            "+",
            "e5",
            "0eff",
            "naïve",
            "trueish",
            "nullable",
            "Nancy",
            "info",
            "-x",
            "~5",
            "$1",
            "#1",
        ] {
            assert_eq!(literal(word), Ok(Literal::Text(word.to_owned())), "{word}");
        }
    }

    #[test]
    fn numbers_of_other_languages_are_refused_with_the_number_that_json_writes() {
        for (word, number) in [
            ("05", "5"),
            ("007", "7"),
            ("00", "0"),
            ("-05", "-5"),
            ("+5", "5"),
            (".5", "0.5"),
            ("-.5e3", "-0.5e3"),
            ("5.", "5"),
            ("5.e3", "5e3"),
            ("1_000", "1000"),
            ("12_000_000.5", "12000000.5"),
            ("0x5", "5"),
            ("0XfF", "255"),
            ("0b101", "5"),
            ("0o17", "15"),
            ("−5", "-5"),
        ] {
            let problem = format!("`{word}` is no JSON number: write {number}, or '{word}' in quotes for the text");
            assert_eq!(literal(word), Err(problem));
        }
        for word in ["NaN", "nan", "-inf", "Infinity", "+INFINITY", "0xffffffffffffffffff"] {
            let problem = format!("JSON has no number `{word}`: write '{word}' in quotes for the text");
            assert_eq!(literal(word), Err(problem));
        }
    }

    #[test]
    fn constants_in_another_case_are_refused() {
        for (word, constant) in [("TRUE", "true"), ("True", "true"), ("False", "false"), ("NULL", "null")] {
            let problem = format!("found `{word}`: write {constant}, or '{word}' in quotes for the text");
            assert_eq!(literal(word), Err(problem));
        }
    }

    #[test]
    fn characters_with_a_meaning_elsewhere_are_refused_without_quotes() {
        for (word, hint) in [
            ("(500", "has `(` in it: comparisons have no brackets, text"),
            ("500)", "has `)` in it: comparisons have no brackets, text"),
            ("500,502", "has `,` in it: a comparison has one value, text"),
            ("500;", "has `;` in it: a comparison has one value, text"),
            ("[500]", "has `[` in it: a comparison has one value, text"),
            ("v=7", "has `=` in it: the next comparison follows behind ` and `, text"),
            (
                "1&&b",
                "has `&` in it: the next comparison follows behind ` and `, text",
            ),
            ("500|502", "has `|` in it: there is no `or`, text"),
            ("O'Brien", "has `'` in it: text with it needs quotes, as in 'O''Brien'"),
            ("5\"", "has `\"` in it: text with it needs quotes, as in '5\"'"),
            ("“x”", "has `“` in it: text with it needs quotes, as in '“x”'"),
        ] {
            let problem = literal(word).expect_err(word);
            assert!(problem.starts_with(&format!("`{word}` {hint}")), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn json_s_numbers_are_numbers_and_what_is_proposed_is_one(
            word in "[+−-]?[0-9_]{0,4}\\.?[0-9]{0,2}([eE][+-]?[0-9]{0,2})?|0[xob][0-9a-f_]{0,20}"
        ) {
            let is_number = serde_json::from_str::<serde_json::Number>(&word).is_ok();
            let overflows = word.contains(['e', 'E']);
            prop_assert!(is_json_number(&word) == is_number || overflows);
            if let Meant::Number(number) = number_meant(&word) {
                prop_assert!(is_json_number(&number), "{}", number);
            }
        }

        #[test]
        fn no_word_makes_the_reader_panic(word in any::<String>()) {
            literal(&word).ok();
        }
    }
}
