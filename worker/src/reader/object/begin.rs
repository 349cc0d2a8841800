//! Where reading of an item's lines begins: at its start, or at a position that a reader before it came to.

use std::ops::Range;

use pf_work::{Compression, Format, WorkItem, checkpoint::Position};

use super::{Error, looks};
use crate::{
    decompress::{Magic, Start},
    reader::ndjson::Span,
};

/// No offset in an object is higher. What is behind it is no position that a reader ever gave, and sums with it stay
/// numbers.
const OFFSET_MAX: u64 = 1 << 62;

/// A beginning, and what leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begin {
    /// What of the object is streamed; none: nothing is left.
    pub(super) stream: Option<Range<u64>>,
    /// The lines that are read.
    pub(super) span: Span,
    /// Where to go on, if not at the item's start.
    pub(super) resumed: Option<Resumed>,
}

/// How to get to the record to go on at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resumed {
    /// The member or frame that the stream begins with; none if the object is not compressed.
    pub(super) start: Option<Start>,
    /// Decompressed bytes before the record.
    pub(super) skip_bytes: u64,
}

impl Begin {
    pub(super) fn new(item: &WorkItem, from: Option<Position>) -> Result<Self, Error> {
        match from {
            None => Ok(Self::at_start(item)),
            Some(Position::Byte { offset }) => Self::at_byte(item, offset),
            Some(Position::Frame {
                offset,
                decompressed_offset,
                skip_bytes,
            }) => Self::at_frame(
                item,
                Start {
                    offset,
                    decompressed_offset,
                },
                skip_bytes,
            ),
            Some(Position::Row { .. }) => misfit("it is a row of a Parquet file, and the object has lines"),
        }
    }

    /// Whether the item says that its object is none with such a place: then its bytes decide, as they did before.
    pub(super) fn contradicts(&self, item: &WorkItem) -> bool {
        let is_stored = self.resumed.is_some_and(|resumed| resumed.start.is_none());
        item.format == Format::Parquet || is_stored && matches!(item.compression, Compression::Gzip | Compression::Zstd)
    }

    /// Whether an object that begins like this has such a place.
    pub(super) fn agrees_with(&self, magic: Magic, first: &[u8]) -> bool {
        match self.resumed.map(|resumed| resumed.start.is_some()) {
            Some(true) => matches!(magic, Magic::Gzip | Magic::Zstd),
            Some(false) => magic == Magic::Text && looks::may_be_lines(magic, first),
            None => true,
        }
    }

    fn at_start(item: &WorkItem) -> Self {
        let range = item.byte_range();
        Self {
            // One byte earlier: whether a line begins at the start, the byte before tells.
            stream: Some(range.start.saturating_sub(1)..range.end),
            span: Span {
                start: range.start,
                end: item.range.map(|range| range.end),
            },
            resumed: None,
        }
    }

    fn at_byte(item: &WorkItem, offset: u64) -> Result<Self, Error> {
        let range = item.byte_range();
        if offset > item.size_bytes {
            return misfit(&format!("byte {offset} lies behind the object's {}", item.size_bytes));
        }
        if offset < range.start {
            return misfit(&format!(
                "byte {offset} lies before the range, which starts at {}",
                range.start
            ));
        }
        // Nothing of the item lies before it, or a line begins just here: either way it is the item's start.
        if offset == range.start {
            return Ok(Self::at_start(item));
        }
        let is_left = offset < range.end;
        Ok(Self {
            stream: is_left.then_some(offset - 1..range.end),
            span: Span {
                start: offset,
                end: if is_left {
                    item.range.map(|range| range.end)
                } else {
                    Some(offset)
                },
            },
            resumed: Some(Resumed {
                start: None,
                skip_bytes: u64::from(is_left),
            }),
        })
    }

    fn at_frame(item: &WorkItem, start: Start, skip_bytes: u64) -> Result<Self, Error> {
        let Start {
            offset,
            decompressed_offset,
        } = start;
        if item.range.is_some() {
            return misfit("it is in a compressed object, and the item is a range of one that isn't");
        }
        if offset >= item.size_bytes {
            return misfit(&format!("byte {offset} lies behind the object's {}", item.size_bytes));
        }
        if offset == 0 && decompressed_offset > 0 {
            return misfit("something is said to lie before the object's first byte");
        }
        let record = decompressed_offset
            .checked_add(skip_bytes)
            .filter(|record| *record <= OFFSET_MAX);
        let Some(record) = record else {
            return misfit("there is no such offset");
        };
        Ok(Self {
            stream: Some(offset..item.size_bytes),
            span: Span {
                start: record,
                end: None,
            },
            resumed: Some(Resumed {
                start: Some(start),
                skip_bytes,
            }),
        })
    }
}

pub(super) fn misfit<T>(what: &str) -> Result<T, Error> {
    Err(Error::Misfit(what.to_owned()))
}
