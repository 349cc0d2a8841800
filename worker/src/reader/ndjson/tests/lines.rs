//! Lines that leave as they came: framing, spans, limits and what is refused.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::batch::REJECT_RAW_BYTES_MAX;
use crate::predicate::{Literal, Operator, Term};

fn texts(outcome: &Outcome) -> Vec<&str> {
    outcome
        .lines
        .iter()
        .map(|(_, line)| std::str::from_utf8(line).expect("lines are UTF-8"))
        .collect()
}

fn reasons(outcome: &Outcome) -> Vec<(u64, &str)> {
    outcome
        .rejects
        .iter()
        .map(|reject| (reject.ordinal, reject.reason.as_str()))
        .collect()
}

#[test]
fn untouched_lines_come_out_byte_for_byte() {
    let text = "{\"a\": 1.0, \"b\":12345678901234567890 }\r\n\n \t\r\n  {\"ü\":\"\\u00fc\"}  \n{}";
    let outcome = lines_of(text.as_bytes(), options());
    assert_eq!(
        texts(&outcome),
        [
            "{\"a\": 1.0, \"b\":12345678901234567890 }",
            "  {\"ü\":\"\\u00fc\"}  ",
            "{}"
        ]
    );
    let places = [0, text.find("  {").unwrap() as u64, text.len() as u64 - 2];
    assert_eq!(outcome.lines.iter().map(|line| line.0).collect::<Vec<_>>(), places);
    assert_eq!(
        outcome.counts,
        Counts {
            bytes: text.len() as u64,
            records: 3,
            filtered: 0,
            rejected: 0,
            nul_bytes: 0
        }
    );
}

#[test]
fn a_byte_order_mark_is_accepted_only_at_the_object_s_start() {
    let outcome = lines_of("\u{feff}{\"a\":1}\n\u{feff}{\"a\":2}\n".as_bytes(), options());
    assert_eq!(outcome.lines, [(3, b"{\"a\":1}".to_vec())]);
    assert_eq!(reasons(&outcome), [(11, "not a JSON object: expected '{' at byte 0")]);
    assert!(lines_of("\u{feff}".as_bytes(), options()).lines.is_empty());
}

#[test]
fn an_empty_object_has_no_records() {
    for text in ["", "\n", "\r\n\r\n", "   "] {
        let outcome = lines_of(text.as_bytes(), options());
        assert_eq!((outcome.lines.len(), outcome.rejects.len()), (0, 0));
        assert_eq!(outcome.counts.bytes, text.len() as u64);
    }
}

#[test]
fn a_bad_line_is_refused_with_its_bytes_and_the_next_line_is_read() {
    let outcome = lines_of(b"{\"a\":1 \"b\":2}\r\n{\"a\":\"open\n{\"a\":3}\n", options());
    assert_eq!(texts(&outcome), ["{\"a\":3}"]);
    assert_eq!(
        outcome.rejects[0],
        Reject {
            ordinal: 0,
            reason: "not a JSON object: expected ',' or '}' at byte 7".to_owned(),
            raw: b"{\"a\":1 \"b\":2}".to_vec(),
            record_bytes: 13,
        }
    );
    assert_eq!(outcome.rejects[1].raw, b"{\"a\":\"open");
    assert_eq!((outcome.counts.records, outcome.counts.rejected), (3, 2));
}

#[test]
fn only_the_lines_that_are_not_utf8_are_refused() {
    let outcome = lines_of(
        b"{\"a\":\"\xc3\xbc\"}\n{\"a\":\"\xc3\"}\n{\"a\":\"\xed\xa0\x80\"}\n\xff\n{}\n",
        options(),
    );
    assert_eq!(texts(&outcome), ["{\"a\":\"ü\"}", "{}"]);
    let expected = "not UTF-8: byte 6 is 0xc3, which can't stand there";
    assert_eq!(reasons(&outcome)[0], (11, expected));
    assert_eq!(outcome.rejects.len(), 3);
}

#[test]
fn a_20_mb_line_is_refused_with_its_head_and_the_lines_around_it_are_read() {
    let mut text = b"{\"a\":1}\n{\"long\":\"".to_vec();
    text.extend(std::iter::repeat_n(b'x', 20 << 20));
    text.extend_from_slice(b"\"}\r\n{\"a\":2}");
    let outcome = lines_of(&text, options());
    assert_eq!(texts(&outcome), ["{\"a\":1}", "{\"a\":2}"]);
    let reject = &outcome.rejects[0];
    assert_eq!((reject.ordinal, reject.record_bytes), (8, (20 << 20) + 11));
    assert_eq!(
        reject.reason,
        "20971531 bytes long, more than the 16777216 that a record may have"
    );
    assert_eq!(reject.raw, text[8..8 + REJECT_RAW_BYTES_MAX]);
    assert_eq!(outcome.counts.bytes, text.len() as u64);
}

#[test]
fn a_long_line_below_the_limit_is_a_record() {
    let line = format!("{{\"long\":\"{}\"}}", "x".repeat(3 << 20));
    let text = format!("{{}}\n{line}\n{{}}\n");
    let outcome = lines_of(text.as_bytes(), options());
    assert!(texts(&outcome) == ["{}", &line, "{}"]);
}

#[test]
fn lines_before_an_input_error_are_delivered_and_the_piece_after_them_is_no_record() {
    let (outcome, error) = read_lines(b"{\"a\":1}\n{\"a\":2}\n{}".chain(Breaks), Span::WHOLE, options());
    assert_eq!(texts(&outcome), ["{\"a\":1}", "{\"a\":2}"]);
    assert!(outcome.rejects.is_empty());
    assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::UnexpectedEof));

    let small = Options {
        record_bytes_max: 10,
        ..options()
    };
    let (outcome, error) = read_lines(vec![b'x'; 1 << 20].as_slice().chain(Breaks), Span::WHOLE, small);
    assert!(
        outcome.rejects.is_empty() && error.is_some(),
        "the piece of a long line is no record either"
    );
}

#[test]
fn nothing_is_read_beyond_the_line_that_the_span_ends_in() {
    let mut text = b"{\"a\":1}\n".repeat(100_000);
    text[799_999] = b' ';
    for (end, at_most) in [(8, 8), (800, 800), (801, 801 + 8192), (400_000, 400_000)] {
        let mut input = Counting(&text, 0);
        let (outcome, _) = read_lines(
            &mut input,
            Span {
                start: 0,
                end: Some(end),
            },
            options(),
        );
        assert_eq!(outcome.lines.len() as u64, end.div_ceil(8));
        assert!(input.1 <= at_most, "read {} for {end}", input.1);
    }
}

fn term(path: &[&str], operator: Operator, literal: Literal) -> Term {
    Term {
        path: FieldPath(path.iter().map(ToString::to_string).collect()),
        operator,
        literal,
    }
}

fn filtered(text: &str, terms: Vec<Term>) -> Outcome {
    lines_of(
        text.as_bytes(),
        Options {
            filter: Some(Predicate { terms }),
            ..options()
        },
    )
}

#[test]
fn a_filter_lets_matching_lines_through_and_still_checks_the_others() {
    let text = r#"{"status":500,"geo":{"country":"DE"}}
{"status":200,"geo":{"country":"DE"}}
{"status":500.0,"geo.country":"DE"}
{"\u0073tatus":500,"geo":{"country":"FR"}}
{"status":200,"broken":}
{"geo":{"country":"DE","status":500}}
"#;
    let number = |number: &str| Literal::Number(number.to_owned());
    let outcome = filtered(
        text,
        vec![
            term(&["status"], Operator::GreaterOrEqual, number("500")),
            term(&["geo", "country"], Operator::Equal, Literal::Text("DE".to_owned())),
        ],
    );
    assert_eq!(
        texts(&outcome),
        [text.lines().next().unwrap(), text.lines().nth(2).unwrap()]
    );
    assert_eq!(
        outcome.counts,
        Counts {
            bytes: text.len() as u64,
            records: 6,
            filtered: 3,
            rejected: 1,
            nul_bytes: 0
        }
    );

    let outcome = filtered(text, vec![term(&["status"], Operator::Equal, Literal::Null)]);
    assert_eq!(texts(&outcome), [text.lines().nth(5).unwrap()]);
}

#[test]
fn a_field_that_a_filter_names_must_not_be_there_twice() {
    let null = || term(&["a", "b"], Operator::NotEqual, Literal::Null);
    let text = "{\"a\":{\"b\":1},\"\\u0061\":{}}\n{\"a\":{\"b\":1,\"b\":1}}\n{\"a\":{\"b\":1},\"b\":{\"b\":1},\"c\":1,\"c\":2}\n";
    let outcome = filtered(text, vec![null()]);
    assert_eq!(
        reasons(&outcome),
        [
            (0, "duplicate key \"a\" at byte 13"),
            (26, "duplicate key \"b\" at byte 12")
        ]
    );
    assert_eq!(outcome.lines.len(), 1);
    assert_eq!(
        lines_of(b"{\"a\":1,\"a\":2}", options()).lines.len(),
        1,
        "untouched lines pass as they are"
    );
}

/// Whether a line is a record, said by `serde_json`.
fn is_record(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else {
        return false;
    };
    let trimmed = text.trim_matches([' ', '\t', '\r']);
    trimmed.starts_with('{') && serde_json::from_str::<&serde_json::value::RawValue>(trimmed).is_ok()
}

/// A refused line: ordinal, length and head.
type Refused = (u64, u64, Vec<u8>);

/// The slow and simple reader: the lines let through, and those refused.
fn model(text: &[u8], span: Span, record_bytes_max: usize) -> (Vec<(u64, Vec<u8>)>, Vec<Refused>) {
    let (mut lines, mut rejects) = (Vec::new(), Vec::new());
    let mut start = 0;
    for whole in text.split_inclusive(|byte| *byte == b'\n') {
        let (mut at, mut line) = (start, whole);
        start += whole.len();
        if (at as u64) < span.start || span.end.is_some_and(|end| at as u64 >= end) {
            continue;
        }
        if at == 0 && line.starts_with(b"\xef\xbb\xbf") {
            (at, line) = (3, &line[3..]);
        }
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        let nuls = line.iter().take_while(|byte| **byte == 0).count();
        (at, line) = (at + nuls, &line[nuls..]);
        if line.len() > record_bytes_max || !is_record(line) {
            if line.len() > record_bytes_max || line.iter().any(|byte| !b" \t\r".contains(byte)) {
                let kept = if line.len() > record_bytes_max {
                    REJECT_RAW_BYTES_MAX
                } else {
                    line.len()
                };
                let raw = line[..line.len().min(kept)].to_vec();
                rejects.push((at as u64, line.len() as u64, raw));
            }
        } else {
            lines.push((at as u64, line.to_vec()));
        }
    }
    (lines, rejects)
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\"a\"",
        "\"b\":",
        "{}",
        "[]",
        "1",
        "-0.5e3",
        "0",
        "true",
        "null",
        " ",
        "\t",
        "\r",
        "é",
        "\\u00e9",
        "\\ud800",
        "\\n",
        "1e",
        "{\"a\":1}",
        "{\"a\":[1,2]}",
        "{\"a\":{\"b\":\"c\"}}",
        "\u{1}",
        "\0",
        "\0\0\0\0\0\0\0\0\0",
        "日本語日本語日本語",
    ]);
    let soup = vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes());
    let record =
        r#"\{"[a-z]{0,20}": ?("[a-zé ]{0,40}"|-?[0-9]{1,25}|\[1, ?2\]|\{"x":null\})\}"#.prop_map(String::into_bytes);
    let mutated = (record.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut line, index, byte)| {
        let at = index.index(line.len());
        line[at] = byte;
        line
    });
    prop_oneof![3 => record, 2 => soup, 1 => mutated, 1 => Just(b"{\"long\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}".to_vec())]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let ending = select(vec!["\n", "\r\n", "\n\n"]);
    let start = select(vec!["", "", "", "\u{feff}"]);
    (start, vec((line(), ending), 0..12), any::<bool>()).prop_map(|(start, lines, final_newline)| {
        let mut text = start.as_bytes().to_vec();
        for (line, ending) in lines {
            text.extend(line);
            text.extend(ending.as_bytes());
        }
        if !final_newline && text.ends_with(b"\n") {
            text.pop();
        }
        text
    })
}

proptest! {
    #[test]
    fn lines_are_what_the_model_says_whatever_the_sizes_of_reads_and_batches(
        text in text(),
        sizes in vec(1usize..64, 1..8),
        splits in vec(any::<prop::sample::Index>(), 0..4),
        record_bytes_max in prop_oneof![Just(1 << 20), 0usize..60],
        batch_records_max in 1usize..5,
        batch_bytes_max in prop_oneof![Just(8 << 20), 1usize..100],
    ) {
        let mut borders: Vec<u64> = splits.iter().map(|split| split.index(text.len() + 1) as u64).collect();
        borders.extend([0, text.len() as u64]);
        borders.sort_unstable();
        let mut bytes = 0;
        for (index, border) in borders.windows(2).enumerate() {
            let last = index + 2 == borders.len();
            let span = Span { start: border[0], end: (!last).then_some(border[1]) };
            let input = Pieces::new(&text[span.start.saturating_sub(1) as usize..], &sizes);
            let options = Options { record_bytes_max, batch_records_max, batch_bytes_max, ..options() };
            let (outcome, error) = read_lines(input, span, options);
            prop_assert!(error.is_none());
            let (lines, rejects) = model(&text, span, record_bytes_max);
            prop_assert_eq!(&outcome.lines, &lines);
            let refused: Vec<_> =
                outcome.rejects.iter().map(|reject| (reject.ordinal, reject.record_bytes, reject.raw.clone())).collect();
            prop_assert_eq!(refused, rejects);
            bytes += outcome.counts.bytes;
        }
        prop_assert_eq!(bytes, text.len() as u64, "over all spans, every byte is counted once");
    }
}
