//! The frames of a Zstandard stream, one after the other, skippable ones among them (RFC 8878, section 3).
//!
//! The zstd crate's own reader of streams doesn't tell where frames end. libzstd does: it stops at each frame's end, before
//! it looks at the next one.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read},
};

use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::{BUFFER_BYTES, Start, only_zeros, starts::Starts};

/// Reads all frames.
pub struct Frames<R> {
    input: BufReader<R>,
    decoder: Decoder<'static>,
    window_log: u32,
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
    pub(super) fn new(input: R, start: Start, window_log: u32) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(window_log))?;
        Ok(Self {
            input: BufReader::with_capacity(BUFFER_BYTES, input),
            decoder,
            window_log,
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

/// What libzstd says, and what that is: it has no codes of its own in [`io::Error`].
const WINDOW: &str = "Frame requires too much memory";
const DICTIONARY: &str = "Dictionary mismatch";
const MEMORY: &str = "not enough memory";

/// An error of libzstd, told apart by its kind: what we don't read, what the machine can't, and what is damaged.
fn told_apart(error: io::Error, window_log: u32) -> io::Error {
    let text = error.to_string();
    if text.contains(WINDOW) {
        let reason = format!(
            "a zstd frame needs a window of more than {} MiB, as `zstd --long` makes it; --zstd-window-mb allows more, up to {}",
            1_u64 << (window_log - 20),
            super::WINDOW_MB_MAX
        );
        io::Error::new(io::ErrorKind::Unsupported, reason)
    } else if text.contains(DICTIONARY) {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "a zstd frame needs a dictionary, and none is read",
        )
    } else if text.contains(MEMORY) {
        io::Error::new(io::ErrorKind::OutOfMemory, error)
    } else {
        error
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
            if !self.in_frame && self.taken_bytes > 0 && input[0] == 0 {
                self.taken_bytes += only_zeros(&mut self.input, "zstd frame")?;
                return Ok(0);
            }
            if !self.in_frame {
                self.starts.add(Start {
                    offset: self.first.offset + self.taken_bytes,
                    decompressed_offset: self.decompressed_offset,
                });
            }
            let step = self.decoder.run_on_buffers(input, buffer);
            let step = step.map_err(|error| told_apart(error, self.window_log))?;
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
