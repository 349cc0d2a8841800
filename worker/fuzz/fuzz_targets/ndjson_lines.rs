//! Lines that leave as they came: each line of any bytes is given out or refused as `serde_json` would, whole and in order,
//! and however the object is split into two spans.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pf_worker::{
    batch::Batch,
    reader::ndjson::{Options, Reader, Span},
};
use serde_json::value::RawValue;

/// Lines given out, and places of those that were refused.
type Outcome = (Vec<(u64, Vec<u8>)>, Vec<u64>);

fuzz_target!(|input: (u16, &[u8])| {
    let (border, text) = input;
    let whole = read(text, Span::WHOLE);
    assert_eq!(whole, expected(text));

    let border = usize::from(border) % (text.len() + 1);
    if border == 0 {
        return;
    }
    let (mut lines, mut refused) = read(
        text,
        Span {
            start: 0,
            end: Some(border as u64),
        },
    );
    let rest = read(
        &text[border - 1..],
        Span {
            start: border as u64,
            end: None,
        },
    );
    lines.extend(rest.0);
    refused.extend(rest.1);
    assert_eq!((lines, refused), whole);
});

fn read(input: &[u8], span: Span) -> Outcome {
    let options = Options {
        columns: None,
        filter: None,
        record_bytes_max: 1 << 20,
        batch_records_max: 7,
        batch_bytes_max: 1 << 10,
    };
    let mut reader = Reader::new(input, span, options);
    let mut rejects = Vec::new();
    let mut given = Vec::new();
    while let Some(batch) = reader.next_batch(&mut rejects).expect("a slice does not break") {
        let Batch::Lines(lines) = &batch else {
            panic!("columns from lines")
        };
        for line in &lines.lines {
            let bytes = lines.text[line.start as usize..line.end as usize].to_vec();
            given.push((lines.offset_bytes + u64::from(line.start), bytes));
        }
        reader.recycle(batch);
    }
    (given, rejects.iter().map(|reject| reject.ordinal).collect())
}

/// What `serde_json` says of each line.
fn expected(text: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    let mark = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut ordinal = mark as u64;
    for line in text[mark..].split(|byte| *byte == b'\n') {
        let content = line.strip_suffix(b"\r").unwrap_or(line);
        let is_blank = content.iter().all(|byte| b" \t\r".contains(byte));
        if !is_blank && is_record(content) {
            outcome.0.push((ordinal, content.to_vec()));
        } else if !is_blank {
            outcome.1.push(ordinal);
        }
        ordinal += line.len() as u64 + 1;
    }
    outcome
}

/// Lone halves of surrogate pairs pass: `RawValue` holds to the grammar alone.
fn is_record(line: &[u8]) -> bool {
    let value: Result<&RawValue, _> = serde_json::from_slice(line);
    value.is_ok_and(|value| value.get().starts_with('{'))
}
