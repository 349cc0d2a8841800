//! The bytes of an object as Parquet's page readers ask for them, held a window at a time: a column chunk is read ahead
//! while it is decoded, so that neither a row group nor a column chunk has to fit into memory.
//!
//! No byte that was announced is read twice, and none beyond what was announced, but for what a page reader asks for
//! outright.

use std::{
    collections::VecDeque,
    io::{self, Read},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Buf, Bytes};
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use crate::reader::range_source::{Fetch, RangeSource};

/// All windows of a file together: up to twice this is held, with what is under way.
const WINDOWS_BYTES: u64 = 4 * 1024 * 1024;
/// A window is never smaller, so that a file of many columns isn't read in crumbs.
const WINDOW_BYTES_MIN: u64 = 32 * 1024;
/// A window is never larger: beyond this, reads don't get cheaper.
const WINDOW_BYTES_MAX: u64 = 1024 * 1024;
/// Ranges with at most this much between them are read together.
const GAP_BYTES_MAX: u64 = 16 * 1024;

/// A handle on one object's windows.
#[derive(Clone)]
pub(super) struct Windows(Arc<Shared>);

/// What will be read of one column chunk.
#[derive(Debug)]
pub(super) struct Part {
    /// In order. Their gaps are read only where that is cheaper than not to.
    pub(super) ranges: Vec<Range<u64>>,
    /// Whether it will be announced and read once more: then it is held whole until then.
    pub(super) twice: bool,
}

struct Shared {
    source: Arc<dyn RangeSource>,
    held: Mutex<Held>,
    fetched_bytes: AtomicU64,
    /// The input's own error: Parquet's reader would make a mere text of it.
    failure: Mutex<Option<io::Error>>,
}

struct Held {
    /// The end of the object, from this offset on. Stays.
    tail: (u64, Bytes),
    /// Small parts, and those that are read twice.
    wholes: Vec<Whole>,
    streams: Vec<Stream>,
}

/// A range that is read in one piece, in any order.
struct Whole {
    range: Range<u64>,
    bytes: Coming,
    twice: bool,
}

enum Coming {
    Here(Bytes),
    Later(Option<Fetch>),
}

/// Ranges that are read from front to back, a step at a time.
struct Stream {
    /// What is neither held nor under way yet.
    ranges: VecDeque<Range<u64>>,
    step_bytes: u64,
    /// Offset of `bytes`.
    start: u64,
    bytes: Bytes,
    ahead: Option<(Range<u64>, Fetch)>,
}

impl Windows {
    pub(super) fn new(source: Arc<dyn RangeSource>) -> Self {
        let size = source.size_bytes();
        Self(Arc::new(Shared {
            source,
            held: Mutex::new(Held {
                tail: (size, Bytes::new()),
                wholes: Vec::new(),
                streams: Vec::new(),
            }),
            fetched_bytes: AtomicU64::new(0),
            failure: Mutex::new(None),
        }))
    }

    /// Reads the end of the object, and keeps it.
    pub(super) fn read_tail(&self, length: u64) -> Result<(), ParquetError> {
        let start = self.len_bytes().saturating_sub(length);
        let bytes = self.0.note(self.0.fetch_all(start..self.len_bytes()).wait())?;
        lock(&self.0.held).tail = (start, bytes);
        Ok(())
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.0.source.size_bytes()
    }

    /// Whether these bytes are here and stay.
    pub(super) fn holds(&self, range: &Range<u64>) -> bool {
        lock(&self.0.held).tail.0 <= range.start && range.end <= self.len_bytes()
    }

    /// Forgets what was announced before, but for what is read twice, and starts to read these parts.
    pub(super) fn announce(&self, parts: Vec<Part>) {
        let mut held = lock(&self.0.held);
        let tail_start = held.tail.0;
        let window_bytes = (WINDOWS_BYTES / (parts.len() as u64).max(1)).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        held.streams.clear();
        held.wholes.retain(|whole| whole.twice);
        let mut small = Vec::new();
        for Part { ranges, twice } in parts {
            // What the tail has is read from there.
            let mut ranges: Vec<_> = ranges
                .into_iter()
                .map(|range| range.start..range.end.min(tail_start))
                .filter(|range| range.start < range.end && !held.wholes.iter().any(|whole| whole.covers(range)))
                .collect();
            join(&mut ranges, WINDOW_BYTES_MAX);
            if twice {
                let wholes = ranges.into_iter().map(|range| Whole::new(&self.0, range, true));
                held.wholes.extend(wholes);
            } else if ranges.iter().map(|range| range.end - range.start).sum::<u64>() <= window_bytes {
                small.extend(ranges);
            } else {
                held.streams.push(Stream::new(&self.0, ranges, window_bytes));
            }
        }
        small.sort_by_key(|range| range.start);
        join(&mut small, window_bytes);
        let wholes = small.into_iter().map(|range| Whole::new(&self.0, range, false));
        held.wholes.extend(wholes);
    }

    /// Forgets all that was announced.
    pub(super) fn forget(&self) {
        let mut held = lock(&self.0.held);
        held.wholes.clear();
        held.streams.clear();
    }

    pub(super) fn fetched_bytes(&self) -> u64 {
        self.0.fetched_bytes.load(Ordering::Relaxed)
    }

    /// Whether the input has failed, and nobody was told yet.
    pub(super) fn has_failed(&self) -> bool {
        lock(&self.0.failure).is_some()
    }

    /// The input's error behind the last failure, if that was its cause.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        lock(&self.0.failure).take()
    }

    /// At least `length_min` bytes from `start`, and what else is there.
    pub(super) fn bytes(&self, start: u64, length_min: u64) -> Result<Bytes, ParquetError> {
        let end = start.saturating_add(length_min);
        if end > self.len_bytes() {
            let size = self.len_bytes();
            return Err(ParquetError::EOF(format!(
                "bytes {start}..{end} are asked for, but the object has {size}"
            )));
        }
        let read = lock(&self.0.held).bytes(&self.0, start, end);
        self.0.note(read)
    }
}

/// Joins ranges, which are in order, that lie close to each other, up to a length.
fn join(ranges: &mut Vec<Range<u64>>, length_max: u64) {
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges.drain(..) {
        match joined.last_mut() {
            Some(last)
                if range.start < last.end
                    || (range.start - last.end.min(range.start) <= GAP_BYTES_MAX
                        && range.end - last.start <= length_max) =>
            {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range),
        }
    }
    *ranges = joined;
}

/// A panic while the lock was held is caught above, and the reader gives up: what is inside is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Keeps the input's error for [`Windows::take_failure`].
    fn note(&self, read: io::Result<Bytes>) -> Result<Bytes, ParquetError> {
        read.map_err(|failure| {
            let text = failure.to_string();
            *lock(&self.failure) = Some(failure);
            ParquetError::General(text)
        })
    }

    fn fetch_all(&self, range: Range<u64>) -> Fetch {
        let length = range.end - range.start;
        self.fetched_bytes.fetch_add(length, Ordering::Relaxed);
        let fetch = self.source.fetch(range);
        Fetch::new(move || {
            let bytes = fetch.wait()?;
            if bytes.len() as u64 == length {
                Ok(bytes)
            } else {
                Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("{length} bytes were asked for, {} came", bytes.len()),
                ))
            }
        })
    }
}

impl Held {
    fn bytes(&mut self, shared: &Shared, start: u64, end: u64) -> io::Result<Bytes> {
        let (tail_start, tail) = &self.tail;
        if start >= *tail_start {
            return Ok(tail.slice((start - tail_start) as usize..));
        }
        let front_end = end.min(*tail_start);
        let mut front = None;
        if let Some(whole) = self.wholes.iter_mut().find(|whole| whole.covers(&(start..front_end))) {
            front = Some(whole.bytes(start)?);
        }
        for stream in &mut self.streams {
            if front.is_none() {
                front = stream.bytes(shared, start, front_end)?;
            }
        }
        let front = match front {
            Some(front) => front,
            None => shared.fetch_all(start..front_end).wait()?,
        };
        if end <= *tail_start {
            return Ok(front);
        }
        let behind = &tail[..(end - tail_start) as usize];
        Ok([&front[..(front_end - start) as usize], behind].concat().into())
    }

    /// A page is asked for once: what lies before `end` in its stream is not held for another time.
    fn let_go(&mut self, end: u64) {
        for stream in &mut self.streams {
            if stream.start < end && end <= stream.end() {
                stream.bytes = stream.bytes.slice((end - stream.start) as usize..);
                stream.start = end;
            }
        }
    }
}

impl Whole {
    fn new(shared: &Shared, range: Range<u64>, twice: bool) -> Self {
        let bytes = Coming::Later(Some(shared.fetch_all(range.clone())));
        Self { range, bytes, twice }
    }

    fn covers(&self, range: &Range<u64>) -> bool {
        self.range.start <= range.start && range.end <= self.range.end
    }

    fn bytes(&mut self, start: u64) -> io::Result<Bytes> {
        if let Coming::Later(fetch) = &mut self.bytes {
            let fetch = fetch
                .take()
                .ok_or_else(|| io::Error::other("a read that failed is asked for once more"))?;
            self.bytes = Coming::Here(fetch.wait()?);
        }
        match &self.bytes {
            Coming::Here(bytes) => Ok(bytes.slice((start - self.range.start) as usize..)),
            Coming::Later(_) => unreachable!("it was waited for above"),
        }
    }
}

impl Stream {
    fn new(shared: &Shared, ranges: Vec<Range<u64>>, step_bytes: u64) -> Self {
        let mut stream = Self {
            start: ranges.first().map_or(0, |range| range.start),
            ranges: ranges.into(),
            step_bytes,
            bytes: Bytes::new(),
            ahead: None,
        };
        stream.read_ahead(shared, 0);
        stream
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Starts the next read, of at least `length_min` bytes if the range has them.
    fn read_ahead(&mut self, shared: &Shared, length_min: u64) {
        if self.ahead.is_some() {
            return;
        }
        if let Some(front) = self.ranges.front_mut() {
            let end = front
                .end
                .min(front.start.saturating_add(length_min.max(self.step_bytes)));
            let range = front.start..end;
            front.start = end;
            if front.start >= front.end {
                self.ranges.pop_front();
            }
            self.ahead = Some((range.clone(), shared.fetch_all(range)));
        }
    }

    /// Whether the bytes from `start` to `end` can be had without reading any twice.
    fn leads_to(&self, start: u64, end: u64) -> bool {
        let mut reaches = if self.start <= start && start < self.end() {
            self.end()
        } else {
            start
        };
        let ahead = self.ahead.iter().map(|(range, _)| range);
        for range in ahead.chain(&self.ranges) {
            if range.start <= reaches && reaches < range.end {
                reaches = range.end;
            }
        }
        reaches >= end && (start >= self.start)
    }

    /// What is held from `start` on, once it reaches to `end`; none if these bytes aren't ahead.
    fn bytes(&mut self, shared: &Shared, start: u64, end: u64) -> io::Result<Option<Bytes>> {
        if !self.leads_to(start, end) {
            return Ok(None);
        }
        if start >= self.end() {
            // What lies before is not wanted any more.
            self.bytes = Bytes::new();
            self.start = start;
            if self.ahead.as_ref().is_some_and(|(range, _)| range.end <= start) {
                self.ahead = None;
            }
            while let Some(front) = self.ranges.front_mut()
                && self.ahead.is_none()
                && front.start < start
            {
                if front.end <= start {
                    self.ranges.pop_front();
                } else {
                    front.start = start;
                }
            }
        }
        while self.end() < end {
            let missing = end - self.end();
            self.read_ahead(shared, missing);
            let (range, fetch) = self.ahead.take().expect("the ranges lead on to the end");
            let more = fetch.wait()?;
            self.read_ahead(shared, end.saturating_sub(range.end));
            let more = more.slice(self.end().saturating_sub(range.start) as usize..);
            let kept = self.bytes.slice((start - self.start) as usize..);
            self.bytes = if kept.is_empty() {
                more
            } else {
                [kept, more].concat().into()
            };
            self.start = start;
        }
        Ok(Some(self.bytes.slice((start - self.start) as usize..)))
    }
}

impl Length for Windows {
    fn len(&self) -> u64 {
        self.0.source.size_bytes()
    }
}

impl ChunkReader for Windows {
    type T = From;

    fn get_read(&self, start: u64) -> Result<From, ParquetError> {
        Ok(From {
            windows: self.clone(),
            at: start,
            held: Bytes::new(),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let bytes = self.bytes(start, length as u64)?.slice(..length);
        lock(&self.0.held).let_go(start + length as u64);
        Ok(bytes)
    }
}

/// The object from an offset on.
pub(super) struct From {
    windows: Windows,
    at: u64,
    held: Bytes,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.held.is_empty() {
            if self.at >= self.windows.len() {
                return Ok(0);
            }
            self.held = self.windows.bytes(self.at, 1).map_err(io::Error::other)?;
        }
        let length = buffer.len().min(self.held.len());
        self.held.copy_to_slice(&mut buffer[..length]);
        self.at += length as u64;
        Ok(length)
    }
}
