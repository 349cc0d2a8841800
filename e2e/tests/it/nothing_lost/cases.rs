//! Hard lines: keys, types, numbers, framing, encodings, nesting, length.

use super::{Case, Expected};

/// How much is kept of a refused record that is longer than a record may be.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A case in which every record comes out as it went in, in both ways.
fn kept(name: &'static str, columns: &'static str, text: impl Into<Vec<u8>>) -> Case {
    let text = text.into();
    Case {
        name,
        object: "data.ndjson",
        untouched: Expected::all(text.clone()),
        columns: (columns, Expected::all(text.clone())),
        bytes: text,
        flags: &[],
    }
}

/// A case in which both ways give the same, but not what went in.
fn made(name: &'static str, bytes: &[u8], expected: Expected) -> Case {
    Case {
        untouched: expected.clone(),
        columns: ("v", expected),
        ..kept(name, "v", bytes)
    }
}

pub(super) fn plain() -> Vec<Case> {
    vec![
        kept(
            "a key that first appears at record 1,001",
            "n,late",
            key_from(1_000, 2_000),
        ),
        kept("a column that goes from integer to float to text", "v", drift()),
        kept("values of every type in one column", "v", EVERY_TYPE),
        kept("numbers beyond 2^53, beyond 64 bits, beyond a double", "v", NUMBERS),
        kept(
            "explicit null, and no key at all",
            "v,w",
            "{\"v\":null}\n{}\n{\"w\":1}\n{\"v\":2,\"w\":null}\n",
        ),
        kept(
            "empty key, empty object, empty list",
            "v",
            "{\"v\":{\"\":{}}}\n{\"v\":{\"\":{\"a\":[]}}}\n{\"v\":{}}\n",
        ),
        kept("an object without a byte", "v", ""),
        made(
            "blank lines, CRLF, a byte order mark and no final newline",
            b"\xef\xbb\xbf{\"v\":1}\r\n\r\n\n \t \n{\"v\":2}\n{\"v\":3}",
            Expected::all("{\"v\":1}\n{\"v\":2}\n{\"v\":3}\n"),
        ),
        Case {
            columns: ("v,s", Expected::all("{\"v\":1.5}\n{\"v\":2.5,\"s\":\"é\"}\n")),
            ..kept(
                "white space and escapes that only an untouched record keeps",
                "v,s",
                " { \"v\" : 1.50, \"w\": 0}\t\n{\"v\":2.5, \"s\":\"\\u00e9\"}\n",
            )
        },
        made(
            "a plain stream that is cut in a record",
            b"{\"v\":1}\n{\"v\":2",
            Expected::with_rejects("{\"v\":1}\n", &[(8, "where the line ends", b"{\"v\":2")]),
        ),
        made("lines that are no JSON objects", NO_OBJECTS, no_objects()),
        made(
            "bytes that are not UTF-8",
            b"{\"v\":1}\n{\"v\":\"\xff\"}\n{\"v\":\"\xed\xa0\x80\"}\n{\"v\":2}\n",
            Expected::with_rejects(
                "{\"v\":1}\n{\"v\":2}\n",
                &[
                    (8, "not UTF-8: byte 6", b"{\"v\":\"\xff\"}"),
                    (18, "not UTF-8: byte 6", b"{\"v\":\"\xed\xa0\x80\"}"),
                ],
            ),
        ),
        Case {
            columns: (
                "v",
                Expected::with_rejects("{\"v\":0}\n", &[(8, "duplicate key \"v\"", b"{\"v\":1,\"v\":2}")]),
            ),
            ..kept("a key that is there twice", "v", "{\"v\":0}\n{\"v\":1,\"v\":2}\n")
        },
        kept(
            "half of a surrogate pair",
            "v",
            "{\"v\":\"a\"}\n{\"v\":\"\\ud800\"}\n{\"v\":\"b\"}\n",
        ),
        kept("nesting within the limit", "v", nested(100)),
        deep("nesting beyond the limit", 1_000),
        deep("nesting that would end the stack", 1_000_000),
    ]
}

fn key_from(first: u64, records: u64) -> String {
    (0..records)
        .map(|n| {
            if n < first {
                format!("{{\"n\":{n}}}\n")
            } else {
                format!("{{\"n\":{n},\"late\":\"x{n}\"}}\n")
            }
        })
        .collect()
}

pub(super) fn late_keys() -> Case {
    let mut text = key_from(1_000, 1_000_000);
    text.push_str("{\"n\":1000000,\"late\":\"x\",\"later\":{\"still\":[true]}}\n{\"n\":1000001}\n");
    kept("a key that first appears at record 1,000,001", "n,late,later", text)
}

fn drift() -> String {
    (0..30_000)
        .map(|n| match n / 10_000 {
            0 => format!("{{\"v\":{n}}}\n"),
            1 => format!("{{\"v\":{n}.5}}\n"),
            _ => format!("{{\"v\":\"{n}\"}}\n"),
        })
        .collect()
}

const EVERY_TYPE: &str = r#"{"v":1}
{"v":1.5}
{"v":"text"}
{"v":true}
{"v":null}
{"v":[1,"two",[null]]}
{"v":{"a":{"b":1}}}
{"v":{"a":"b"}}
{}
{"v":2}
"#;

const NUMBERS: &str = r#"{"v":9007199254740993}
{"v":9223372036854775807}
{"v":-9223372036854775808}
{"v":9223372036854775808}
{"v":18446744073709551616}
{"v":1e400}
{"v":-0}
{"v":1.0}
{"v":1.00}
{"v":0.1000000000000000055511151231257827}
{"v":123456789012345678901234567890.5}
"#;

const NO_OBJECTS: &[u8] = b"{\"v\":1}\n[1]\n1\n{\"v\":}\n{\"v\":1}{\"v\":2}\nnull\n{\"v\":01}\n{\"v\":2}\n";

fn no_objects() -> Expected {
    Expected::with_rejects(
        "{\"v\":1}\n{\"v\":2}\n",
        &[
            (8, "expected '{' at byte 0", b"[1]"),
            (12, "expected '{' at byte 0", b"1"),
            (14, "expected a value at byte 5", b"{\"v\":}"),
            (
                21,
                "another object follows on the same line at byte 7",
                b"{\"v\":1}{\"v\":2}",
            ),
            (36, "expected '{' at byte 0", b"null"),
            (41, "leading zero", b"{\"v\":01}"),
        ],
    )
}

fn nested(depth: usize) -> String {
    let levels = depth - 1;
    format!("{{\"v\":{}{}}}\n", "[".repeat(levels), "]".repeat(levels))
}

fn deep(name: &'static str, depth: usize) -> Case {
    let line = nested(depth);
    let text = format!("{{\"v\":1}}\n{line}{{\"v\":2}}\n");
    let raw = &line.as_bytes()[..line.len() - 1];
    let expected = Expected::with_rejects("{\"v\":1}\n{\"v\":2}\n", &[(8, "nested deeper than", raw)]);
    made(name, text.as_bytes(), expected)
}

pub(super) fn long_lines() -> Vec<Case> {
    let line = format!("{{\"v\":\"{}\"}}\n", "x".repeat(20 << 20));
    let text = format!("{{\"v\":1}}\n{line}{{\"v\":2}}\n");
    let refused = Expected::with_rejects(
        "{\"v\":1}\n{\"v\":2}\n",
        &[(
            8,
            "more than the 16777216 that a record may have",
            &line.as_bytes()[..KEPT_BYTES_MAX],
        )],
    );
    vec![
        made("a line of 20 MB", text.as_bytes(), refused),
        Case {
            flags: &["--max-record-bytes", "33554432"],
            ..kept("a line of 20 MB where it is allowed", "v", text)
        },
    ]
}
