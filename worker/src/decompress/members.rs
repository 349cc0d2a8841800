//! The members of a gzip stream, one after the other (RFC 1952, section 2.2).

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::{BUFFER_BYTES, Start, bytes_behind, only_zeros, starts::Starts};

/// What members are called.
const MEMBER: &str = "gzip member";
/// What each begins with.
const MEMBER_FIRST_BYTE: u8 = 0x1f;

/// Reads all members.
///
/// flate2's own reader of several members takes a few bytes behind the last one for a member that was cut; this one tells
/// the two apart.
#[derive(Debug)]
pub struct Members<R> {
    /// None once the stream has ended.
    member: Option<GzDecoder<Counted<R>>>,
    first: Start,
    /// Stored bytes that were taken when the last read ended.
    ended_bytes: u64,
    decompressed_offset: u64,
    starts: Starts,
}

impl<R: Read> Members<R> {
    pub(super) fn new(input: R, start: Start) -> Self {
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        Self {
            member: Some(GzDecoder::new(Counted { input, taken_bytes: 0 })),
            first: start,
            ended_bytes: 0,
            decompressed_offset: start.decompressed_offset,
            starts: Starts::new(start),
        }
    }

    pub(super) fn start_before(&mut self, decompressed_offset: u64) -> Start {
        self.starts.before(decompressed_offset)
    }

    pub(super) fn taken_bytes(&self) -> u64 {
        let taken_bytes = self.member.as_ref().map(|member| member.get_ref().taken_bytes);
        taken_bytes.unwrap_or(self.ended_bytes)
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let read = member.read(buffer);
            // Also behind an error, what was taken stays taken.
            self.ended_bytes = member.get_ref().taken_bytes;
            let count = read?;
            if count > 0 || buffer.is_empty() {
                self.decompressed_offset += count as u64;
                self.member = Some(member);
                return Ok(count);
            }
            let mut input = member.into_inner();
            let next = input.fill_buf()?;
            if next.is_empty() {
                break;
            }
            if next[0] == 0 {
                self.ended_bytes += only_zeros(&mut input, MEMBER)?;
                break;
            }
            if next[0] != MEMBER_FIRST_BYTE {
                return Err(bytes_behind(MEMBER));
            }
            self.starts.add(Start {
                offset: self.first.offset + self.ended_bytes,
                decompressed_offset: self.decompressed_offset,
            });
            self.member = Some(GzDecoder::new(input));
        }
        Ok(0)
    }
}

/// A buffered input that counts what is used up of it.
#[derive(Debug)]
struct Counted<R> {
    input: BufReader<R>,
    taken_bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.taken_bytes += count as u64;
        Ok(count)
    }
}

impl<R: Read> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.taken_bytes += count as u64;
        self.input.consume(count);
    }
}
