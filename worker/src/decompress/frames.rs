//! The frames of a Zstandard stream, one after the other, skippable ones among them (RFC 8878, section 3).
//!
//! The zstd crate's own reader of streams doesn't tell where frames end. libzstd does: it stops at each frame's end, before
//! it looks at the next one.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read},
};

use zstd::stream::raw::{Decoder, Operation as _};

use super::{BUFFER_BYTES, Start, starts::Starts};

/// Reads all frames.
pub struct Frames<R> {
    input: BufReader<R>,
    decoder: Decoder<'static>,
    first: Start,
    taken_bytes: u64,
    decompressed_offset: u64,
    /// Whether a frame has begun that has not ended.
    in_frame: bool,
    /// Whether the decoder may have more to give without being given more.
    holds_output: bool,
    starts: Starts,
}

impl<R> fmt::Debug for Frames<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Frames")
            .field("first", &self.first)
            .field("taken_bytes", &self.taken_bytes)
            .field("decompressed_offset", &self.decompressed_offset)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Frames<R> {
    pub(super) fn new(input: R, start: Start) -> io::Result<Self> {
        Ok(Self {
            input: BufReader::with_capacity(BUFFER_BYTES, input),
            decoder: Decoder::new()?,
            first: start,
            taken_bytes: 0,
            decompressed_offset: start.decompressed_offset,
            in_frame: false,
            holds_output: false,
            starts: Starts::new(start),
        })
    }

    pub(super) fn start_before(&mut self, decompressed_offset: u64) -> Start {
        self.starts.before(decompressed_offset)
    }

    pub(super) fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let input = if self.holds_output {
                self.input.buffer()
            } else {
                self.input.fill_buf()?
            };
            if input.is_empty() && !self.holds_output {
                return if self.in_frame {
                    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame"))
                } else {
                    Ok(0)
                };
            }
            if !self.in_frame {
                self.starts.add(Start {
                    offset: self.first.offset + self.taken_bytes,
                    decompressed_offset: self.decompressed_offset,
                });
            }
            let step = self.decoder.run_on_buffers(input, buffer)?;
            self.input.consume(step.bytes_read);
            self.taken_bytes += step.bytes_read as u64;
            self.decompressed_offset += step.bytes_written as u64;
            self.in_frame = step.remaining > 0;
            self.holds_output = self.in_frame && step.bytes_written == buffer.len();
            if step.bytes_written > 0 {
                return Ok(step.bytes_written);
            }
        }
    }
}
