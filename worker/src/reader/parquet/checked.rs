//! The bytes of a column chunk, handed to the `parquet` crate's page reader with each page's header looked at before: a page
//! that would need too much memory is refused before it is decompressed.

use std::{
    io::{self, Read},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use parquet::{
    errors::{ParquetError, Result},
    file::reader::{ChunkReader, Length},
};

use super::{
    thrift::{self, Trouble, Visitor},
    windows::{From, Windows},
};

/// A larger page isn't read: decompressed and decoded, it is there twice. The largest that usual writers make are of 100 MiB
/// (DuckDB's limit).
pub(super) const PAGE_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Beside its value, a page of one value has levels, and its dictionary a length.
const PAGE_OVERHEAD_BYTES: u64 = 1024;
/// So much of a page is looked at for its header; a header may be longer, for its statistics.
const HEADER_BYTES: u64 = 256;
/// A longer header isn't read.
const HEADER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A page that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// The column.
    pub(super) leaf: usize,
    /// Uncompressed, or compressed if that is more.
    pub(super) bytes: u64,
    /// Values that a repeated column's page has, where these are too many.
    pub(super) values: u64,
    /// The rows that it has values of, where that is known.
    pub(super) rows: Option<Range<usize>>,
}

/// What is known of a column chunk before its pages are read.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) leaf: usize,
    /// Where it ends.
    pub(super) end: u64,
    /// Whether each value is a row's only one.
    pub(super) is_flat: bool,
    /// How many rows it has.
    pub(super) rows: usize,
    /// The least bytes of a decoded value.
    pub(super) value_bytes: u64,
    /// Offsets and first rows of its data pages, if they are known: then pages are asked for with their headers.
    pub(super) places: Option<Vec<(u64, usize)>>,
    /// A page of one row may have so many bytes.
    pub(super) record_bytes_max: u64,
}

/// A column chunk.
#[derive(Clone)]
pub(super) struct Checked(Arc<Shared>);

struct Shared {
    windows: Windows,
    chunk: Chunk,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The dictionary's page, and the data page that was seen last.
    seen: [Option<Seen>; 2],
    /// The offset behind the last header that counted, and the values of the data pages up to there.
    counted: (u64, u64),
    refused: Option<Refused>,
}

#[derive(Clone)]
struct Seen {
    /// Where the page itself starts.
    body: u64,
    header: Header,
    rows: Option<Range<usize>>,
}

/// What a page's header says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Header {
    kind: i64,
    uncompressed: i64,
    compressed: i64,
    values: i64,
}

const DICTIONARY: i64 = 2;

impl Visitor for Header {
    fn number(&mut self, path: &[i16], value: i64) {
        match path {
            [1] => self.kind = value,
            [2] => self.uncompressed = value,
            [3] => self.compressed = value,
            // Of a data page, a dictionary, and a data page of the second version.
            [5 | 7 | 8, 1] => self.values = value,
            _ => {}
        }
    }
}

impl Checked {
    pub(super) fn new(windows: Windows, chunk: Chunk) -> Self {
        Self(Arc::new(Shared {
            windows,
            chunk,
            state: Mutex::default(),
        }))
    }

    /// The page for which reading has failed, if that was why.
    pub(super) fn take_refused(&self) -> Option<Refused> {
        self.state().refused.take()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the header of the page at an offset, and remembers it. What is malformed is the page reader's to find.
    fn look_at(&self, start: u64) -> Result<()> {
        let Shared { windows, chunk, .. } = self.0.as_ref();
        let mut length = HEADER_BYTES;
        let (header, header_bytes) = loop {
            let left = chunk.end.min(windows.len()).saturating_sub(start);
            let text = windows.bytes(start, length.min(left))?;
            let mut header = Header::default();
            match thrift::walk(&text, &mut header) {
                Ok(bytes) => break (header, bytes as u64),
                Err(Trouble::Short) if length < left && length < HEADER_BYTES_MAX => length *= 16,
                Err(_) => return Ok(()),
            }
        };
        let mut state = self.state();
        let is_dictionary = header.kind == DICTIONARY;
        let rows = if is_dictionary {
            None
        } else if let Some(places) = &chunk.places {
            let page = places.iter().position(|(offset, _)| *offset == start);
            page.map(|page| {
                let end = places.get(page + 1).map_or(chunk.rows, |(_, first)| *first);
                places[page].1..end
            })
        } else {
            let values = u64::try_from(header.values).unwrap_or(0);
            if start >= state.counted.0 {
                state.counted = (start + header_bytes, state.counted.1.saturating_add(values));
            }
            let end = state.counted.1;
            let first = end.saturating_sub(values);
            chunk.is_flat.then_some(first as usize..end as usize)
        };
        if let (Some(said), true, true) = (&rows, chunk.is_flat, chunk.places.is_some())
            && usize::try_from(header.values) != Ok(said.len())
        {
            // Rows would be found where they are not.
            let (said, has) = (said.len(), header.values);
            return Err(ParquetError::General(format!(
                "a page has {has} values, and the offset index says {said}"
            )));
        }
        // All of a row group that has one row is of that row.
        let rows = if chunk.rows == 1 { Some(0..1) } else { rows };
        state.seen[usize::from(!is_dictionary)] = Some(Seen {
            body: start + header_bytes,
            header,
            rows,
        });
        Ok(())
    }

    /// Refuses a page that is too large, by its header.
    fn check(&self, body: u64) -> Result<()> {
        let chunk = &self.0.chunk;
        let mut state = self.state();
        let Some(seen) = state.seen.iter().flatten().find(|seen| seen.body == body).cloned() else {
            return Ok(());
        };
        let size = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        let bytes = size(seen.header.uncompressed).max(size(seen.header.compressed));
        let is_one = seen.rows.as_ref().is_some_and(|rows| rows.len() == 1);
        let most = if is_one {
            chunk.record_bytes_max.saturating_add(PAGE_OVERHEAD_BYTES)
        } else {
            PAGE_BYTES_MAX.max(chunk.record_bytes_max)
        };
        // A run of equal values is as long as it says, and takes no room in the page. In a flat column, steps have few rows.
        let values = size(seen.header.values);
        let is_run = !chunk.is_flat && values.saturating_mul(chunk.value_bytes) > most;
        if bytes <= most && !is_run {
            return Ok(());
        }
        state.refused = Some(Refused {
            leaf: chunk.leaf,
            bytes,
            values: if is_run { values } else { 0 },
            rows: seen.rows,
        });
        Err(ParquetError::General("a page is too large".to_owned()))
    }
}

impl Length for Checked {
    fn len(&self) -> u64 {
        self.0.windows.len()
    }
}

impl ChunkReader for Checked {
    type T = Headers;

    fn get_read(&self, start: u64) -> Result<Headers> {
        Ok(Headers {
            inner: self.0.windows.get_read(start)?,
            first: Some((self.clone(), start)),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let chunk = &self.0.chunk;
        if chunk.places.is_some() {
            // Header and page together.
            self.look_at(start)?;
            let body = self
                .state()
                .seen
                .iter()
                .flatten()
                .map(|seen| seen.body)
                .filter(|body| (start..start.saturating_add(length as u64)).contains(body))
                .min();
            if let Some(body) = body {
                self.check(body)?;
            }
        } else {
            self.check(start)?;
        }
        self.0.windows.get_bytes(start, length)
    }
}

/// The chunk from an offset on, where the header of a page is read if anything is.
pub(super) struct Headers {
    inner: From,
    first: Option<(Checked, u64)>,
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some((checked, start)) = self.first.take() {
            checked.look_at(start).map_err(io::Error::other)?;
        }
        self.inner.read(buffer)
    }
}
