//! Records and items that were given up: kept in a file, or shown, and always counted by the caller.
//!
//! A line of the file is what the state directory has of a record, `{"seq", "uri", "etag", "ordinal", "stage", "reason",
//! "raw"}` (`raw_base64` instead of `raw` where the record is no UTF-8; `record_bytes` where only its start is kept), and
//! `{"uri", "seq", "stage", "reason"}` for an item.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::Mutex,
};

use pf_state::RecordDeadLetter;
use pf_work::WorkItem;
use serde_json::{Value, json};

/// How many are shown where there is no file.
pub const SHOWN_MAX: u64 = 10;

/// Where dead letters go; shared by all lanes.
#[derive(Debug)]
pub struct DeadLetters(Mutex<Place>);

#[derive(Debug)]
enum Place {
    File(File),
    Shown { count: u64 },
}

impl DeadLetters {
    /// Adds to the file, which is made if it is not there.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Mutex::new(Place::File(file))))
    }

    /// Shows the first [`SHOWN_MAX`] as warnings.
    pub fn shown() -> Self {
        Self(Mutex::new(Place::Shown { count: 0 }))
    }

    /// Keeps refused records. They are on disk (as far as the system promises) when this returns.
    pub fn records(&self, letters: &[RecordDeadLetter]) -> io::Result<()> {
        self.keep(letters.iter().map(|letter| json!(letter)))
    }

    /// Keeps an item that was given up. Whether it is in a file, and not only shown.
    pub fn item(&self, item: &WorkItem, reason: &str) -> io::Result<bool> {
        self.keep([json!({"uri": item.uri, "seq": item.seq, "stage": "read", "reason": reason})])?;
        let place = self.0.lock().expect("no one panics while keeping a dead letter");
        Ok(matches!(&*place, Place::File(_)))
    }

    /// Keeps a line that was to be a work item and is none.
    pub fn line(&self, line: &str, reason: &str) -> io::Result<()> {
        self.keep([json!({"stage": "input", "reason": reason, "raw": line})])
    }

    fn keep(&self, letters: impl IntoIterator<Item = Value>) -> io::Result<()> {
        let mut place = self.0.lock().expect("no one panics while keeping a dead letter");
        match &mut *place {
            Place::File(file) => {
                let mut text = Vec::new();
                for letter in letters {
                    serde_json::to_writer(&mut text, &letter)?;
                    text.push(b'\n');
                }
                file.write_all(&text)
            }
            Place::Shown { count } => {
                for letter in letters {
                    *count += 1;
                    if *count <= SHOWN_MAX {
                        show(&letter);
                    }
                    if *count == SHOWN_MAX {
                        tracing::warn!("further dead letters are only counted; --dead-letters FILE keeps them all");
                    }
                }
                Ok(())
            }
        }
    }
}

/// As much of a record as fits a line of a terminal.
const SHOWN_RAW_CHARS: usize = 120;

fn show(letter: &Value) {
    let raw = letter["raw"].as_str().or(letter["raw_base64"].as_str());
    let raw: Option<String> = raw.map(|raw| raw.chars().take(SHOWN_RAW_CHARS).collect());
    let reason = letter["reason"].as_str().unwrap_or_default();
    let uri = letter["uri"].as_str().unwrap_or("standard input");
    if let Some(ordinal) = letter["ordinal"].as_u64() {
        tracing::warn!(uri, ordinal, raw, "record rejected: {reason}");
    } else {
        tracing::warn!(uri, raw, "work item failed: {reason}");
    }
}
