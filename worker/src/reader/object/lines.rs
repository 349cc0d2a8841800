//! Lines of one item, from its start or gone on with.

use std::{
    io::{self, Cursor, Read},
    sync::Arc,
};

use pf_work::{Compression, WorkItem, checkpoint::Position};

use super::{
    Counts, Error,
    begin::{Begin, Resumed, misfit},
    looks,
    text::Text,
};
use crate::{
    batch::{Batch, LineBatch, Reject},
    decompress::{self, MAGIC_BYTES, Magic, Start, Stream},
    plan::Records,
    reader::{
        ndjson::{self, BYTE_ORDER_MARK},
        range_source::RangeSource,
    },
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
pub(super) struct Lines<R> {
    reader: ndjson::Reader<Text<Head<R>>>,
    /// Decompressed bytes still to be skipped before the first record.
    skip_bytes: u64,
    /// Whose first bytes are still to be looked at, if the first record is none: what is read begins behind them.
    unseen: Option<Arc<dyn RangeSource>>,
    /// Whether the first record is still to come, of an object that is read from its start.
    begins: bool,
    /// Whether what was read turned out to be no lines at all.
    is_foreign: bool,
}

impl<R: Read> Lines<R> {
    /// Looks at the first bytes of the stream to find out how it is compressed. None: it is Parquet, which only its own
    /// reader can make something of.
    pub(super) fn open(
        item: &WorkItem,
        begin: &Begin,
        mut stream: Option<R>,
        ranges: impl FnOnce() -> Arc<dyn RangeSource>,
        records: &Records,
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
        let head = Cursor::new(first).chain(Rest(stream));
        let (compression, start) = match resumed.and_then(|resumed| resumed.start) {
            None if !is_compressible => (Compression::None, Start::default()),
            None if item.size_bytes == 0 && matches!(item.compression, Compression::Gzip | Compression::Zstd) => {
                // Even nothing, compressed, has some bytes: whoever wrote it did not get to its end.
                return Err(Error::Contradiction(
                    "truncated: it is compressed by its name, and has 0 bytes".to_owned(),
                ));
            }
            None => {
                let compression = decompress::choose(item.compression, magic);
                (compression.map_err(Error::Contradiction)?, Start::default())
            }
            Some(start) => match decompress::choose(item.compression, magic) {
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
            return Err(Error::Contradiction(IN_RANGES.to_owned()));
        }
        let stream = Stream::new(head, compression, start, records.zstd_window_log)?;
        let mut text = Text::new(stream, records.nul_ends_record);
        if resumed.is_none() && text.is_compressed() {
            is_text(text.look(), "inside its compression ")?;
        }
        let options = line_options(records);
        Ok(Some(match resumed {
            None => Self {
                reader: ndjson::Reader::new(text, *span, options),
                skip_bytes: 0,
                unseen: (!is_compressible).then(ranges),
                begins: is_compressible,
                is_foreign: false,
            },
            Some(Resumed { skip_bytes, .. }) => Self {
                reader: ndjson::Reader::at_line(text, *span, options),
                skip_bytes: *skip_bytes,
                unseen: None,
                begins: false,
                is_foreign: false,
            },
        }))
    }

    pub(super) fn next_batch(&mut self, rejects: &mut Vec<Reject>) -> Result<Option<Batch>, Error> {
        if self.skip_bytes > 0 {
            self.skip()?;
            return Ok(Some(Batch::Lines(LineBatch::default())));
        }
        let before = rejects.len();
        let batch = self.reader.next_batch(rejects);
        if (self.begins || self.unseen.is_some()) && self.reader.counts().records > 0 {
            let is_first = |reject: &Reject| match &batch {
                Ok(Some(Batch::Lines(batch))) => batch.first_ordinal().is_none_or(|first| reject.ordinal < first),
                Ok(Some(Batch::Columns(batch))) => batch.ordinals.first().is_none_or(|first| reject.ordinal < *first),
                Ok(None) | Err(_) => true,
            };
            let ranges = self.unseen.take();
            if let Some(first) = rejects.get_mut(before).filter(|first| is_first(first)) {
                if let Some(ranges) = ranges {
                    let seen = looks::head(&*ranges)
                        .map_err(Error::from)
                        .and_then(|head| in_ranges(Magic::of(&head)));
                    if let Err(error) = seen {
                        // Nothing of it is a record, and so none is refused.
                        rejects.truncate(before);
                        self.is_foreign = true;
                        return Err(error);
                    }
                } else if let Some(looks) = looks::like(&first.raw) {
                    first.reason = format!("{}; the object {looks}", first.reason);
                }
            }
            self.begins = false;
        }
        Ok(batch?)
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
            nul_bytes,
        } = self.reader.counts();
        let text = self.reader.input();
        if self.is_foreign {
            return Counts {
                wire_bytes: text.taken_bytes(),
                ..Counts::default()
            };
        }
        Counts {
            wire_bytes: text.taken_bytes(),
            bytes,
            span_bytes: if text.is_compressed() { 0 } else { bytes },
            nul_bytes,
            records,
            filtered,
            rejected,
        }
    }
}

/// Why an object that some ranges are of can't be read in them.
const IN_RANGES: &str = "a compressed object can't be read in ranges: discover it again without them";

/// That what is in a compressed stream is text, and nothing that is packed once more.
fn is_text(magic: Magic, whence: &str) -> Result<(), Error> {
    let name = match magic {
        Magic::Text | Magic::Other => return Ok(()),
        Magic::Parquet => "Parquet",
        Magic::Gzip => "gzip",
        Magic::Zstd => "zstd",
        Magic::Foreign(name) => name,
    };
    Err(Error::Contradiction(format!(
        "unsupported: {whence}it is {name}, which is not read"
    )))
}

/// That an object with this beginning can be read in ranges of its bytes as stored.
fn in_ranges(magic: Magic) -> Result<(), Error> {
    match magic {
        Magic::Gzip | Magic::Zstd => Err(Error::Contradiction(IN_RANGES.to_owned())),
        _ => is_text(magic, ""),
    }
}

fn line_options(records: &Records) -> ndjson::Options {
    ndjson::Options {
        columns: records.columns.clone(),
        filter: records.filter.clone(),
        record_bytes_max: records.record_bytes_max,
        batch_records_max: records.batch_records_max,
        batch_bytes_max: super::BATCH_BYTES_MAX,
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
