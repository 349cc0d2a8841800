//! An object's text: its decompressed bytes, of which the first were looked at, with a newline behind each record.

use std::io::{self, Cursor, Read};

use crate::decompress::{MAGIC_BYTES, Magic, Start, Stream};

/// Decompressed bytes, as the reader of lines takes them.
#[derive(Debug)]
pub(super) struct Text<R> {
    /// What was looked at.
    head: Cursor<Vec<u8>>,
    /// What came of the look, if that broke: it is told where the head ends.
    broken: Option<io::Error>,
    stream: Stream<R>,
    nul_ends_record: bool,
}

impl<R: Read> Text<R> {
    /// The text of a stream. If a NUL ends a record, it becomes a newline; newlines, which are white space then, become
    /// carriage returns: white space too, and as newlines not allowed in a string. So no place moves.
    pub(super) fn new(stream: Stream<R>, nul_ends_record: bool) -> Self {
        Self {
            head: Cursor::default(),
            broken: None,
            stream,
            nul_ends_record,
        }
    }

    /// Looks at the first bytes, which are still to be read, and says what is in the stream.
    pub(super) fn look(&mut self) -> Magic {
        let mut first = Vec::with_capacity(MAGIC_BYTES);
        let looked = (&mut self.stream).take(MAGIC_BYTES as u64).read_to_end(&mut first);
        self.broken = looked.err();
        let magic = Magic::of(&first);
        self.head = Cursor::new(first);
        magic
    }

    pub(super) fn start_before(&mut self, decompressed_offset: u64) -> Option<Start> {
        self.stream.start_before(decompressed_offset)
    }

    pub(super) fn taken_bytes(&self) -> u64 {
        self.stream.taken_bytes()
    }

    pub(super) fn is_compressed(&self) -> bool {
        !matches!(self.stream, Stream::Plain(_))
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = self.head.read(buffer)?;
        if count == 0 {
            if let Some(error) = self.broken.take() {
                return Err(error);
            }
            count = self.stream.read(buffer)?;
        }
        if self.nul_ends_record {
            for byte in &mut buffer[..count] {
                *byte = match *byte {
                    0 => b'\n',
                    b'\n' => b'\r',
                    other => other,
                };
            }
        }
        Ok(count)
    }
}
