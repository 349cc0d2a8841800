//! Parts: documents of many entries, a header and then one line of JSON each, compressed with zstd.
//!
//! The header says how many lines follow, and the stream has a checksum, so that what is damaged or cut off is told and
//! never taken for less than it was. `zstdcat` shows a part to a person.

use std::io::{BufRead, BufReader, Cursor, Write as _};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, Result};

/// The version of all documents of the state directory that this build writes, and the only one that it reads.
pub(crate) const VERSION: u32 = 1;

/// zstd's own default: parts are small, and written while somebody waits.
const LEVEL: i32 = 3;

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Work items.
    Manifest,
    /// Nothing: the manifest ends here.
    Seal,
    /// Settled items.
    Ledger,
    /// Records that were given up.
    DeadLetters,
}

/// A part's first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header<About> {
    v: u32,
    /// What the lines are.
    pub(crate) kind: Kind,
    /// How many lines follow.
    pub(crate) entries: u64,
    /// What is said of all of them together.
    #[serde(flatten)]
    pub(crate) about: About,
}

/// The bytes of a part.
pub(crate) fn encode<About: Serialize, Entry: Serialize>(
    kind: Kind,
    about: &About,
    entries: impl ExactSizeIterator<Item = Entry>,
) -> Bytes {
    const IN_MEMORY: &str = "writing to memory does not fail";
    const IS_JSON: &str = "strings, numbers, lists and maps with string keys are always JSON";
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).expect("the level is one that zstd has");
    encoder.include_checksum(true).expect("zstd knows checksums");
    let header = Header {
        v: VERSION,
        kind,
        entries: entries.len() as u64,
        about,
    };
    let mut line = serde_json::to_vec(&header).expect(IS_JSON);
    line.push(b'\n');
    encoder.write_all(&line).expect(IN_MEMORY);
    for entry in entries {
        line.clear();
        serde_json::to_writer(&mut line, &entry).expect(IS_JSON);
        line.push(b'\n');
        encoder.write_all(&line).expect(IN_MEMORY);
    }
    encoder.finish().expect(IN_MEMORY).into()
}

/// A part that is being read.
pub(crate) struct Part<About> {
    /// Its first line.
    pub(crate) header: Header<About>,
    address: String,
    lines: BufReader<zstd::stream::read::Decoder<'static, BufReader<Cursor<Bytes>>>>,
    entries_read: u64,
}

impl<About: DeserializeOwned> Part<About> {
    /// Reads the header. `address` is for messages.
    pub(crate) fn open(address: String, bytes: Bytes) -> Result<Self> {
        let decoder = match zstd::stream::read::Decoder::new(Cursor::new(bytes)) {
            Ok(decoder) => decoder,
            Err(error) => return Err(damaged(&address, error)),
        };
        let mut lines = BufReader::new(decoder);
        let header = read_line(&mut lines, &address)?.ok_or_else(|| damaged(&address, "it is empty"))?;
        Ok(Self {
            header: document(&address, header.as_bytes())?,
            address,
            lines,
            entries_read: 0,
        })
    }

    /// The next line. The end is only told when all lines were there and the checksum held.
    pub(crate) fn next(&mut self) -> Result<Option<String>> {
        match read_line(&mut self.lines, &self.address)? {
            Some(line) => {
                self.entries_read += 1;
                Ok(Some(line))
            }
            None if self.entries_read == self.header.entries => Ok(None),
            None => Err(self.damaged(format!(
                "it should hold {} entries, but holds {}",
                self.header.entries, self.entries_read
            ))),
        }
    }

    /// All further lines, read as `Entry`.
    pub(crate) fn rest<Entry: DeserializeOwned>(&mut self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        while let Some(line) = self.next()? {
            entries.push(self.entry(&line)?);
        }
        Ok(entries)
    }

    /// Reads one line as `Entry`.
    pub(crate) fn entry<Entry: DeserializeOwned>(&self, line: &str) -> Result<Entry> {
        serde_json::from_str(line).map_err(|error| self.damaged(format!("entry {}: {error}", self.entries_read)))
    }

    /// An error that names this part.
    pub(crate) fn damaged(&self, reason: impl ToString) -> Error {
        damaged(&self.address, reason)
    }
}

fn read_line(lines: &mut impl BufRead, address: &str) -> Result<Option<String>> {
    let mut line = String::new();
    match lines.read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) if line.ends_with('\n') => {
            line.pop();
            Ok(Some(line))
        }
        Ok(_) => Err(damaged(address, "its last line is cut off")),
        Err(error) => Err(damaged(address, error)),
    }
}

/// An error that names a document.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers have a literal, a text of their own or an error"
)]
pub(crate) fn damaged(address: &str, reason: impl ToString) -> Error {
    Error::Damaged {
        document: address.to_owned(),
        reason: reason.to_string(),
    }
}

/// Reads a versioned document. The version is looked at first, so that another version is refused for its version and
/// not for a field that this version happens not to know.
pub(crate) fn document<T: DeserializeOwned>(address: &str, json: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    let Versioned { v } = serde_json::from_slice(json).map_err(|error| damaged(address, error))?;
    if v != u64::from(VERSION) {
        return Err(Error::UnsupportedVersion {
            document: address.to_owned(),
            found: v,
            supported: VERSION,
        });
    }
    serde_json::from_slice(json).map_err(|error| damaged(address, error))
}
