//! From an object's bytes as stored to its decompressed bytes: gzip with all members, zstd with all frames.
//!
//! A stream knows where its members and frames began, so that reading can go on at the last one before a record rather than
//! at the object's first byte.

mod frames;
mod magic;
mod members;
mod starts;

use std::io::{self, BufRead, Read};

use pf_work::Compression;

pub use self::magic::{MAGIC_BYTES, Magic};
use self::{frames::Frames, members::Members};

/// The largest window of a zstd frame that is decompressed, unless another is asked for, in MiB: a lane with it stays below
/// 100 MB.
pub const WINDOW_MB: usize = 64;
/// The largest that there is.
pub const WINDOW_MB_MAX: usize = 2048;
/// [`WINDOW_MB`] as an exponent.
pub const WINDOW_LOG: u32 = 20 + WINDOW_MB.ilog2();

/// How much is handed to a decompressor at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// How to decompress an object of `magic` that is said to be of `stated` compression. The error says what does not fit.
///
/// No line of JSON begins like a compressed stream, and no compressed stream like text, so the bytes are believed before the
/// name: something on the way may have packed or unpacked the object. Bytes that are neither, behind a name that says that
/// they are compressed, are damaged.
pub fn choose(stated: Compression, magic: Magic) -> Result<Compression, String> {
    match (stated, magic) {
        (_, Magic::Gzip) => Ok(Compression::Gzip),
        (_, Magic::Zstd) => Ok(Compression::Zstd),
        (_, Magic::Foreign(name)) => Err(format!("unsupported: it is {name}, which is not read")),
        (Compression::Gzip, Magic::Parquet | Magic::Other) => {
            Err("corrupt: stated to be gzip, but it does not begin like gzip".to_owned())
        }
        (Compression::Zstd, Magic::Parquet | Magic::Other) => {
            Err("corrupt: stated to be zstd, but it does not begin like zstd".to_owned())
        }
        (_, Magic::Text) | (Compression::Auto | Compression::None, Magic::Parquet | Magic::Other) => {
            Ok(Compression::None)
        }
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
    Stream::new(input, compression, Start::default(), WINDOW_LOG)
}

impl<R: Read> Stream<R> {
    /// The decompressed bytes of `input`, which is an object from `start` on. A zstd frame may have a window of two to the
    /// power of `window_log` bytes.
    ///
    /// # Errors
    /// If there is no memory for a decompressor.
    pub fn new(input: R, compression: Compression, start: Start, window_log: u32) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(Members::new(input, start))),
            Compression::Zstd => Self::Zstd(Frames::new(input, start, window_log)?),
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

/// Reads to the end, which nothing but zeros may come before: gzip(1) takes them for padding, as tapes have it.
fn only_zeros(input: &mut impl BufRead, behind: &str) -> io::Result<u64> {
    let mut zeros = 0;
    loop {
        let rest = input.fill_buf()?;
        if rest.is_empty() {
            return Ok(zeros);
        }
        if rest.iter().any(|byte| *byte != 0) {
            return Err(bytes_behind(behind));
        }
        let count = rest.len();
        zeros += count as u64;
        input.consume(count);
    }
}

fn bytes_behind(last: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("there are bytes behind the last {last}"),
    )
}

#[cfg(test)]
mod tests;
