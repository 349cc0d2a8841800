//! Records of which only the beginning was kept, whole from their place in their object: in its bytes as stored, or in what
//! they decompress to.
//!
//! To get to a place in a compressed object, all before it is decompressed. So the object that was read last stays open, and
//! who asks for records in the order of their places reads each object once.

use std::io::{self, Read};

use anyhow::Result;
use bytes::{Buf as _, Bytes};
use flate2::read::MultiGzDecoder;
use futures::StreamExt as _;
use pf_state::RecordDeadLetter;
use pf_storage::{ByteStream, ObjectUri, Storage};
use tokio::{runtime::Handle, task::spawn_blocking};

/// A longer record is left out: it is held in memory as a whole.
const RECORD_BYTES_MAX: u64 = 256 << 20;

/// The largest window of a zstd frame that there is, as an exponent: the worker had read the record with the one it may have.
const WINDOW_LOG_MAX: u32 = 31;

/// How many first bytes tell what an object is.
const MAGIC_BYTES: u64 = 4;

/// Reads records from their places.
pub(crate) struct Places<'a> {
    storage: &'a Storage,
    opened: Option<Opened>,
}

/// An object of which records are read.
struct Opened {
    uri: String,
    etag: String,
    size_bytes: u64,
    kind: Kind,
    /// What is decompressed of it, and how far it was read.
    stream: Option<(Box<dyn Read + Send>, u64)>,
}

/// What an object is, by its first bytes, as the worker tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Zstd,
    Parquet,
}

impl Kind {
    fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            b"PAR1" => Self::Parquet,
            _ => Self::Plain,
        }
    }
}

impl<'a> Places<'a> {
    pub(crate) fn new(storage: &'a Storage) -> Self {
        Self { storage, opened: None }
    }

    /// All of a record: as it was kept, or else what is at its place, which must begin like what was kept. The error says why it
    /// can't be had.
    pub(crate) async fn whole(&mut self, letter: &RecordDeadLetter) -> Result<Vec<u8>, String> {
        let kept = &letter.raw[..];
        let Some(length) = letter.record_bytes.filter(|bytes| *bytes != kept.len() as u64) else {
            return Ok(kept.to_vec());
        };
        if length > RECORD_BYTES_MAX {
            return Err(format!("it has {length} bytes, more than can be held"));
        }
        let unread = |error: String| format!("it can't be read from its object: {error}");
        let mut object = self.open(letter).await.map_err(unread)?;
        let found = match object.kind {
            Kind::Parquet => {
                Err("it is a row of a Parquet file, of which a letter holds nothing: a job of its own reads the object again, with a \
                     larger --max-record-bytes"
                    .to_owned())
            }
            Kind::Plain => self.stored(&object, letter.ordinal, length).await.map_err(unread),
            Kind::Gzip | Kind::Zstd => object
                .decompressed(self.storage, letter.ordinal, length)
                .await
                .map_err(unread),
        };
        self.opened = Some(object);
        let found = found?;
        if !found.starts_with(kept) {
            return Err("something else is at its place in the object".to_owned());
        }
        Ok(found)
    }

    /// The letter's object: the one that is open, or another one.
    async fn open(&mut self, letter: &RecordDeadLetter) -> Result<Opened, String> {
        let etag = letter.etag.as_deref().ok_or("its version is not known")?;
        let is_same = |opened: &mut Opened| opened.uri == letter.uri && opened.etag == etag;
        if let Some(opened) = self.opened.take_if(is_same) {
            return Ok(opened);
        }
        let uri: ObjectUri = letter.uri.parse().map_err(|error| format!("{error}"))?;
        let told = |error: pf_storage::Error| error.to_string();
        let size_bytes = self.storage.head(&uri).await.map_err(told)?.size_bytes;
        let first = 0..size_bytes.min(MAGIC_BYTES);
        let first = self.storage.read_range(&uri, Some(etag), first).await.map_err(told)?;
        Ok(Opened {
            uri: letter.uri.clone(),
            etag: etag.to_owned(),
            size_bytes,
            kind: Kind::of(&first),
            stream: None,
        })
    }

    async fn stored(&self, object: &Opened, start: u64, length: u64) -> Result<Vec<u8>, String> {
        let uri: ObjectUri = object.uri.parse().map_err(|error| format!("{error}"))?;
        let range = start..start.saturating_add(length);
        let found = self.storage.read_range(&uri, Some(&object.etag), range).await;
        Ok(found.map_err(|error| error.to_string())?.to_vec())
    }
}

impl Opened {
    async fn decompressed(&mut self, storage: &Storage, start: u64, length: u64) -> Result<Vec<u8>, String> {
        let uri: ObjectUri = self.uri.parse().map_err(|error| format!("{error}"))?;
        let from_start = Stored {
            runtime: Handle::current(),
            stream: storage.read(&uri, Some(&self.etag), 0..self.size_bytes),
            piece: Bytes::new(),
        };
        let (stream, kind) = (self.stream.take(), self.kind);
        let read = spawn_blocking(move || {
            let (mut stream, position) = match stream.filter(|(_, position)| *position <= start) {
                Some(stream) => stream,
                None => (decompress(from_start, kind)?, 0),
            };
            let skipped = io::copy(&mut (&mut stream).take(start - position), &mut io::sink())?;
            let mut found = Vec::new();
            (&mut stream).take(length).read_to_end(&mut found)?;
            if position + skipped < start || (found.len() as u64) < length {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            Ok((stream, found))
        });
        let read = read.await.map_err(|error| error.to_string())?;
        let (stream, found) = read.map_err(|error| error.to_string())?;
        self.stream = Some((stream, start + length));
        Ok(found)
    }
}

/// What an object of this kind decompresses to. It reads the first bytes at once.
fn decompress(stored: Stored, kind: Kind) -> io::Result<Box<dyn Read + Send>> {
    if kind == Kind::Gzip {
        return Ok(Box::new(MultiGzDecoder::new(stored)));
    }
    let mut decoder = zstd::Decoder::new(stored)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(Box::new(decoder))
}

/// An object's bytes as stored, read from a thread that may wait.
struct Stored {
    runtime: Handle,
    stream: ByteStream,
    piece: Bytes,
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_object_is_is_told_by_its_first_bytes() {
        for (first, kind) in [
            (&b"{\"a\""[..], Kind::Plain),
            (b"", Kind::Plain),
            (b"PAR1", Kind::Parquet),
            (b"\x1f\x8b\x08\0", Kind::Gzip),
            (b"\x28\xb5\x2f\xfd", Kind::Zstd),
            (b"\x5a\x2a\x4d\x18", Kind::Zstd),
        ] {
            assert_eq!(Kind::of(&first[..first.len().min(4)]), kind, "{first:?}");
        }
    }
}
