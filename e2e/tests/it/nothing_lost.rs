//! Nothing is lost: for each kind of hard input, what comes out, what becomes a dead letter and why, and the exit code;
//! with lines that nothing touches, and through columns.

mod cases;
mod compressed;

use std::{fs, panic, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::programs::{Outcome, file_uri, pipe};

/// One hard input.
pub(super) struct Case {
    /// What is hard about it.
    pub(super) name: &'static str,
    /// The object's name: it tells format and compression, where it has an extension.
    pub(super) object: &'static str,
    /// The object's bytes.
    pub(super) bytes: Vec<u8>,
    /// More flags for the worker.
    pub(super) flags: &'static [&'static str],
    /// What follows when nothing touches the records.
    pub(super) untouched: Expected,
    /// The argument of `--columns`, and what follows with it.
    pub(super) columns: (&'static str, Expected),
}

/// What must come of an object.
#[derive(Clone)]
pub(super) struct Expected {
    pub(super) output: Output,
    /// The dead letters: ordinal, a part of the reason, and the record (as much as is kept of it).
    pub(super) rejects: Vec<(u64, &'static str, Vec<u8>)>,
    /// A part of the reason for which the whole object was given up after what came out.
    pub(super) failed: Option<&'static str>,
}

#[derive(Clone)]
pub(super) enum Output {
    /// These bytes.
    Exactly(Vec<u8>),
    /// Whole lines from the start of this text, at least so many bytes of it.
    StartOf(Vec<u8>, usize),
    /// Whole lines that begin with these bytes. What follows them is made of damaged bytes: a checksum stands behind what it
    /// is for, and a stream that may be of any size can't be held back until it comes.
    Damaged(Vec<u8>),
}

impl Expected {
    /// All of it comes out, and all is well.
    pub(super) fn all(output: impl Into<Vec<u8>>) -> Self {
        Self {
            output: Output::Exactly(output.into()),
            rejects: Vec::new(),
            failed: None,
        }
    }

    /// This comes out, and these are dead letters.
    pub(super) fn with_rejects(output: impl Into<Vec<u8>>, rejects: &[(u64, &'static str, &[u8])]) -> Self {
        let rejects = rejects
            .iter()
            .map(|(ordinal, reason, raw)| (*ordinal, *reason, raw.to_vec()))
            .collect();
        Self {
            rejects,
            ..Self::all(output)
        }
    }

    /// The start of this comes out, at least so many bytes; then the object is given up.
    pub(super) fn failed(output: &[u8], at_least: usize, reason: &'static str) -> Self {
        Self {
            output: Output::StartOf(output.to_vec(), at_least),
            rejects: Vec::new(),
            failed: Some(reason),
        }
    }

    /// This comes out before the damage; then, maybe after some damaged records, the object is given up.
    pub(super) fn damaged(whole: &[u8], reason: &'static str) -> Self {
        Self {
            output: Output::Damaged(whole.to_vec()),
            rejects: Vec::new(),
            failed: Some(reason),
        }
    }

    fn code(&self) -> i32 {
        if self.rejects.is_empty() && self.failed.is_none() {
            0
        } else {
            2
        }
    }
}

/// A record dead letter as the worker wrote it to the file of `--dead-letters`.
#[derive(Debug)]
struct DeadLetter {
    ordinal: Option<u64>,
    reason: String,
    raw: Vec<u8>,
}

fn dead_letters(file: &Path) -> Vec<DeadLetter> {
    let Ok(text) = fs::read_to_string(file) else {
        return Vec::new();
    };
    text.lines()
        .map(|line| {
            let letter: Value = serde_json::from_str(line).unwrap();
            DeadLetter {
                ordinal: letter["ordinal"].as_u64(),
                reason: letter["reason"].as_str().unwrap().to_owned(),
                raw: match letter["raw_base64"].as_str() {
                    Some(text) => BASE64_STANDARD.decode(text).unwrap(),
                    None => letter["raw"].as_str().unwrap_or_default().as_bytes().to_vec(),
                },
            }
        })
        .collect()
}

/// All of them, so that one that fails does not hide the others.
fn check_all(cases: &[Case]) {
    let failed: Vec<_> = cases
        .iter()
        .filter(|case| panic::catch_unwind(|| check(case)).is_err())
        .map(|case| case.name)
        .collect();
    assert!(failed.is_empty(), "see above: {failed:#?}");
}

fn check(case: &Case) {
    let folder = tempfile::tempdir().unwrap();
    let object = folder.path().join(case.object);
    fs::write(&object, &case.bytes).unwrap();
    let modes = [
        ("untouched", Vec::new(), &case.untouched),
        ("columns", vec!["--columns", case.columns.0], &case.columns.1),
    ];
    for (mode, flags, expected) in modes {
        let what = format!("{} ({mode})", case.name);
        let letters = folder.path().join(format!("{mode}.dead"));
        let mut worker = vec!["--threads", "1", "--dead-letters", letters.to_str().unwrap()];
        worker.extend(case.flags);
        worker.extend(flags);
        let outcome = pipe(&["--uri", &file_uri(&object)], &worker);
        assert_eq!(outcome.code, Some(expected.code()), "{what}: {}", outcome.stderr);
        check_output(&what, &outcome, expected);
        check_letters(&what, &dead_letters(&letters), expected);
        fs::remove_file(&letters).ok();
    }
}

fn check_output(what: &str, outcome: &Outcome, expected: &Expected) {
    let found = &outcome.stdout;
    match &expected.output {
        Output::Exactly(bytes) => {
            let differ = found.iter().zip(bytes).position(|(found, expected)| found != expected);
            let at = differ.unwrap_or(found.len().min(bytes.len()));
            let show = |bytes: &[u8]| {
                let end = bytes.len().min(at + 100);
                String::from_utf8_lossy(&bytes[at.saturating_sub(20).min(end)..end]).into_owned()
            };
            assert!(
                found == bytes,
                "{what}: {} bytes came out and not {}; at {at}: {:?} and not {:?}",
                found.len(),
                bytes.len(),
                show(found),
                show(bytes)
            );
        }
        Output::Damaged(whole) => {
            assert!(found.starts_with(whole), "{what}: not all that was whole came out");
            assert!(found.ends_with(b"\n"), "{what}: a piece of a line");
        }
        Output::StartOf(bytes, at_least) => {
            assert!(bytes.starts_with(found), "{what}: what came out is not the start of it");
            assert!(found.is_empty() || found.ends_with(b"\n"), "{what}: a piece of a line");
            assert!(
                found.len() >= *at_least && found.len() < bytes.len(),
                "{what}: {} bytes came out, not {at_least} or more",
                found.len()
            );
        }
    }
}

fn check_letters(what: &str, letters: &[DeadLetter], expected: &Expected) {
    let (records, items): (Vec<_>, Vec<_>) = letters.iter().partition(|letter| letter.ordinal.is_some());
    let is_damaged = matches!(expected.output, Output::Damaged(_));
    assert!(
        is_damaged || records.len() == expected.rejects.len(),
        "{what}: {records:?}"
    );
    for (letter, (ordinal, reason, raw)) in records.iter().zip(&expected.rejects) {
        assert_eq!(letter.ordinal, Some(*ordinal), "{what}: {}", letter.reason);
        assert!(
            letter.reason.contains(reason),
            "{what}: {} lacks {reason}",
            letter.reason
        );
        assert!(
            letter.raw == *raw,
            "{what}: the record of {} is not what it was",
            letter.reason
        );
    }
    match expected.failed {
        Some(reason) => {
            assert_eq!(items.len(), 1, "{what}: {items:?}");
            assert!(
                items[0].reason.contains(reason),
                "{what}: {} lacks {reason}",
                items[0].reason
            );
        }
        None => assert!(items.is_empty(), "{what}: {items:?}"),
    }
}

#[test]
fn of_plain_lines() {
    check_all(&cases::plain());
}

#[test]
fn of_a_million_lines_with_late_keys() {
    check(&cases::late_keys());
}

#[test]
fn of_lines_over_the_limit() {
    check_all(&cases::long_lines());
}

#[test]
fn of_compressed_streams() {
    check_all(&compressed::whole());
}

#[test]
fn of_cut_and_corrupt_streams() {
    check_all(&compressed::broken());
}

#[test]
fn of_parquet_files_without_rows_cut_and_corrupt() {
    check_all(&compressed::parquet());
}
