//! From an object's bytes as stored to its decompressed bytes: gzip with all members, zstd with all frames.
//!
//! A stream knows where its members and frames began, so that reading can go on at the last one before a record rather than
//! at the object's first byte.

mod frames;
mod members;
mod starts;

use std::io::{self, Read};

use pf_work::Compression;

use self::{frames::Frames, members::Members};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Frames that a zstd reader skips: their first byte is 0x50 to 0x5f.
const ZSTD_SKIPPABLE_MAGIC: [u8; 3] = [0x2a, 0x4d, 0x18];
/// What Parquet files begin with.
const PARQUET_MAGIC: [u8; 4] = *b"PAR1";

/// How many first bytes tell what an object is.
pub const MAGIC_BYTES: usize = 4;

/// How much is handed to a decompressor at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// What an object is by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    /// Parquet.
    Parquet,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Anything else, text among it.
    Other,
}

impl Magic {
    /// Looks at an object's first [`MAGIC_BYTES`] (fewer if it has no more).
    pub fn of(first: &[u8]) -> Self {
        if first.starts_with(&PARQUET_MAGIC) {
            Self::Parquet
        } else if first.starts_with(&GZIP_MAGIC) {
            Self::Gzip
        } else if first.starts_with(&ZSTD_MAGIC)
            || first.len() >= 4 && first[0] & 0xf0 == 0x50 && first[1..4] == ZSTD_SKIPPABLE_MAGIC
        {
            Self::Zstd
        } else {
            Self::Other
        }
    }
}

/// How to decompress an object of `magic` that is said to be of `stated` compression. The error says what does not fit.
///
/// No line of JSON begins like a compressed stream, so the bytes are believed before the name; but where the name says
/// that the object is compressed and the bytes don't, something is wrong with it.
pub fn choose(stated: Compression, magic: Magic, is_empty: bool) -> Result<Compression, String> {
    match (stated, magic) {
        (Compression::Gzip | Compression::Auto | Compression::None, Magic::Gzip) => Ok(Compression::Gzip),
        (Compression::Zstd | Compression::Auto | Compression::None, Magic::Zstd) => Ok(Compression::Zstd),
        (Compression::Gzip | Compression::Zstd, _) if is_empty => Ok(Compression::None),
        (Compression::Gzip, _) => Err("corrupt: stated to be gzip, but it does not begin like gzip".to_owned()),
        (Compression::Zstd, _) => Err("corrupt: stated to be zstd, but it does not begin like zstd".to_owned()),
        (Compression::Auto | Compression::None, Magic::Parquet | Magic::Other) => Ok(Compression::None),
    }
}

/// Where decompression can begin: at a gzip member or a zstd frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Start {
    /// Offset of the member or frame in the object, in bytes as stored.
    pub offset: u64,
    /// Decompressed bytes that lie before it.
    pub decompressed_offset: u64,
}

/// Decompressed bytes of an object, as a [`Read`]. One that ends early is an [`io::ErrorKind::UnexpectedEof`].
#[derive(Debug)]
pub enum Stream<R> {
    /// As stored.
    Plain(Plain<R>),
    /// gzip.
    Gzip(Box<Members<R>>),
    /// Zstandard.
    Zstd(Frames<R>),
}

/// The decompressed bytes of `input`, which is an object from its first byte on.
pub fn reader<R: Read>(input: R, compression: Compression) -> io::Result<Stream<R>> {
    Stream::new(input, compression, Start::default())
}

impl<R: Read> Stream<R> {
    /// The decompressed bytes of `input`, which is an object from `start` on.
    ///
    /// # Errors
    /// If there is no memory for a decompressor.
    pub fn new(input: R, compression: Compression, start: Start) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(Members::new(input, start))),
            Compression::Zstd => Self::Zstd(Frames::new(input, start)?),
            Compression::None | Compression::Auto => Self::Plain(Plain { input, taken_bytes: 0 }),
        })
    }

    /// The last member or frame that began at or before this decompressed offset, or an earlier one; `None` if nothing is
    /// compressed. Offsets that are asked for never go back: what is needed only for lower ones is forgotten.
    pub fn start_before(&mut self, decompressed_offset: u64) -> Option<Start> {
        match self {
            Self::Plain(_) => None,
            Self::Gzip(members) => Some(members.start_before(decompressed_offset)),
            Self::Zstd(frames) => Some(frames.start_before(decompressed_offset)),
        }
    }

    /// Bytes as stored that were used up.
    pub fn taken_bytes(&self) -> u64 {
        match self {
            Self::Plain(plain) => plain.taken_bytes,
            Self::Gzip(members) => members.taken_bytes(),
            Self::Zstd(frames) => frames.taken_bytes(),
        }
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.read(buffer),
            Self::Gzip(members) => members.read(buffer),
            Self::Zstd(frames) => frames.read(buffer),
        }
    }
}

/// Bytes that are not compressed, counted.
#[derive(Debug)]
pub struct Plain<R> {
    input: R,
    taken_bytes: u64,
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.taken_bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
