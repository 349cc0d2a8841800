//! Lines of one item, from its start or gone on with.

use std::io::{self, Cursor, Read};

use pf_work::{Compression, WorkItem, checkpoint::Position};

use super::{
    Counts, Error,
    begin::{Begin, Resumed, misfit},
};
use crate::{
    batch::{Batch, LineBatch, Reject},
    decompress::{self, MAGIC_BYTES, Magic, Start, Stream},
    reader::ndjson::{self, BYTE_ORDER_MARK},
};

/// How much is skipped in one step on the way to the record to go on at: between steps a lane sees whether it is to stop.
const SKIP_STEP_BYTES: u64 = 64 << 20;
/// How much is decompressed at once to be skipped.
const SKIP_BUFFER_BYTES: usize = 64 * 1024;

/// A stream whose first bytes were looked at.
pub(super) type Head<R> = io::Chain<Cursor<Vec<u8>>, Rest<R>>;

/// What is left to be read, if anything is.
#[derive(Debug)]
pub(super) struct Rest<R>(Option<R>);

impl<R: Read> Read for Rest<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(0), |stream| stream.read(buffer))
    }
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: ndjson::Reader<Stream<Head<R>>>,
    /// Decompressed bytes still to be skipped before the first record.
    skip_bytes: u64,
}

impl<R: Read> Lines<R> {
    /// Looks at the first bytes of the stream to find out how it is compressed. None: it is Parquet, which only its own
    /// reader can make something of.
    pub(super) fn open(
        item: &WorkItem,
        begin: &Begin,
        mut stream: Option<R>,
        options: ndjson::Options,
    ) -> Result<Option<Self>, Error> {
        let Begin {
            stream: _,
            span,
            resumed,
        } = begin;
        let is_compressible = match resumed {
            None => span.start == 0,
            Some(resumed) => resumed.start.is_some(),
        };
        let mut first = Vec::new();
        if let Some(stream) = stream.as_mut().filter(|_| is_compressible) {
            stream.take(MAGIC_BYTES as u64).read_to_end(&mut first)?;
        }
        let magic = Magic::of(&first);
        // No line of JSON begins like this, so the bytes are believed before the name.
        if magic == Magic::Parquet && resumed.is_none() {
            return Ok(None);
        }
        let is_empty = first.is_empty();
        let head = Cursor::new(first).chain(Rest(stream));
        let (compression, start) = match resumed.and_then(|resumed| resumed.start) {
            None if !is_compressible => (Compression::None, Start::default()),
            None => {
                let compression = decompress::choose(item.compression, magic, is_empty);
                (compression.map_err(Error::Contradiction)?, Start::default())
            }
            Some(start) => match decompress::choose(item.compression, magic, is_empty) {
                Ok(compression @ (Compression::Gzip | Compression::Zstd)) => (compression, start),
                _ => {
                    return misfit(&format!(
                        "no gzip member and no zstd frame begins at byte {}",
                        start.offset
                    ));
                }
            },
        };
        if item.range.is_some() && compression != Compression::None {
            return Err(Error::Contradiction(
                "a compressed object can't be read in ranges: discover it again without them".to_owned(),
            ));
        }
        let stream = Stream::new(head, compression, start)?;
        Ok(Some(match resumed {
            None => Self {
                reader: ndjson::Reader::new(stream, *span, options),
                skip_bytes: 0,
            },
            Some(Resumed { skip_bytes, .. }) => Self {
                reader: ndjson::Reader::at_line(stream, *span, options),
                skip_bytes: *skip_bytes,
            },
        }))
    }

    pub(super) fn next_batch(&mut self, rejects: &mut Vec<Reject>) -> Result<Option<Batch>, Error> {
        if self.skip_bytes > 0 {
            self.skip()?;
            return Ok(Some(Batch::Lines(LineBatch::default())));
        }
        Ok(self.reader.next_batch(rejects)?)
    }

    /// Goes on to the record to begin at, one step.
    fn skip(&mut self) -> Result<(), Error> {
        let record = self.reader.position();
        let stream = self.reader.input_mut();
        let mut step = self.skip_bytes.min(SKIP_STEP_BYTES);
        self.skip_bytes -= step;
        let mut buffer = vec![0; SKIP_BUFFER_BYTES];
        let mut last = 0;
        while step > 0 {
            let wanted = usize::try_from(step).unwrap_or(usize::MAX).min(SKIP_BUFFER_BYTES);
            let count = read(stream, &mut buffer[..wanted])?;
            if count == 0 {
                return misfit(&format!("the object ends before byte {record} of what is in it"));
            }
            last = buffer[count - 1];
            step -= count as u64;
        }
        let is_behind_mark = record == BYTE_ORDER_MARK.len() as u64 && BYTE_ORDER_MARK.last() == Some(&last);
        let begins_line = last == b'\n' || is_behind_mark;
        // The last line may end without a newline; but then there is nothing behind it.
        if self.skip_bytes == 0 && !begins_line && read(stream, &mut buffer[..1])? > 0 {
            return misfit(&format!("no line begins at byte {record} of what is in the object"));
        }
        Ok(())
    }

    pub(super) fn recycle(&mut self, batch: Batch) {
        self.reader.recycle(batch);
    }

    pub(super) fn position(&mut self) -> Position {
        let offset = self.reader.position();
        match self.reader.input_mut().start_before(offset) {
            None => Position::Byte { offset },
            Some(start) => Position::Frame {
                offset: start.offset,
                decompressed_offset: start.decompressed_offset,
                skip_bytes: offset - start.decompressed_offset,
            },
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let ndjson::Counts {
            bytes,
            records,
            filtered,
            rejected,
        } = self.reader.counts();
        Counts {
            wire_bytes: self.reader.input().taken_bytes(),
            bytes,
            records,
            filtered,
            rejected,
        }
    }
}

/// One read on the way to where the position is. What can't be decompressed there may be right from the start.
fn read(stream: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Error> {
    loop {
        match stream.read(buffer) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_of_storage(&error) => return Err(error.into()),
            Err(error) => return misfit(&format!("what is there can't be decompressed: {error}")),
        }
    }
}

fn is_of_storage(error: &io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<pf_storage::Error>());
    inner.is_some()
}
