//! The bytes of an object as Parquet's page readers ask for them, held a window at a time: a column chunk is read ahead
//! while it is decoded, so that neither a row group nor a column chunk has to fit into memory.
//!
//! Never reads beyond the chunks that were announced, but for what a page reader asks for outright.

use std::{
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

/// All windows of a file together: about twice this is held, with what is under way.
const WINDOWS_BYTES: u64 = 8 * 1024 * 1024;
/// A window is never smaller, so that a file of many columns isn't read in crumbs.
const WINDOW_BYTES_MIN: u64 = 64 * 1024;
/// A window is never larger: beyond this, reads don't get cheaper.
const WINDOW_BYTES_MAX: u64 = 1024 * 1024;
/// Chunks with at most this much between them are read together while both fit into one window.
const GAP_BYTES_MAX: u64 = 16 * 1024;

/// A handle on one object's windows.
#[derive(Clone)]
pub(super) struct Windows(Arc<Shared>);

struct Shared {
    source: Arc<dyn RangeSource>,
    held: Mutex<Vec<Window>>,
    fetched_bytes: AtomicU64,
    /// The input's own error: Parquet's reader would make a mere text of it.
    failure: Mutex<Option<io::Error>>,
}

/// A part of the object that is read from front to back.
struct Window {
    part: Range<u64>,
    /// How much is read at a time.
    step_bytes: u64,
    /// Offset of `held`.
    start: u64,
    held: Bytes,
    ahead: Option<(Range<u64>, Fetch)>,
}

impl Windows {
    pub(super) fn new(source: Arc<dyn RangeSource>) -> Self {
        Self(Arc::new(Shared {
            source,
            held: Mutex::new(Vec::new()),
            fetched_bytes: AtomicU64::new(0),
            failure: Mutex::new(None),
        }))
    }

    /// Forgets the windows, and starts to read these parts of the object.
    pub(super) fn announce(&self, mut parts: Vec<Range<u64>>) {
        parts.retain(|part| part.start < part.end && part.end <= self.len());
        parts.sort_by_key(|part| part.start);
        let window_bytes = (WINDOWS_BYTES / (parts.len() as u64).max(1)).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        let mut joined: Vec<Range<u64>> = Vec::new();
        for part in parts {
            match joined.last_mut() {
                Some(last)
                    if part.start <= last.end.saturating_add(GAP_BYTES_MAX)
                        && part.end.max(last.end) - last.start <= window_bytes =>
                {
                    last.end = last.end.max(part.end);
                }
                _ => joined.push(part),
            }
        }
        self.hold(joined, window_bytes);
    }

    /// Like [`Windows::announce`], for one part that is read at once.
    pub(super) fn announce_whole(&self, part: Range<u64>) {
        let window_bytes = part.end - part.start;
        self.hold(vec![part], window_bytes);
    }

    fn hold(&self, parts: Vec<Range<u64>>, window_bytes: u64) {
        let windows = parts
            .into_iter()
            .map(|part| {
                let mut window = Window {
                    start: part.start,
                    part,
                    step_bytes: window_bytes,
                    held: Bytes::new(),
                    ahead: None,
                };
                window.read_ahead(&self.0, 0);
                window
            })
            .collect();
        *lock(&self.0.held) = windows;
    }

    pub(super) fn fetched_bytes(&self) -> u64 {
        self.0.fetched_bytes.load(Ordering::Relaxed)
    }

    /// The input's error behind the last failure, if that was its cause.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        lock(&self.0.failure).take()
    }

    /// At least `length_min` bytes from `start`, and what else is there.
    fn bytes(&self, start: u64, length_min: u64) -> Result<Bytes, ParquetError> {
        let end = start.saturating_add(length_min);
        if end > self.len() {
            let size = self.len();
            return Err(ParquetError::EOF(format!(
                "bytes {start}..{end} are asked for, but the object has {size}"
            )));
        }
        let read = {
            let mut windows = lock(&self.0.held);
            match windows
                .iter_mut()
                .find(|window| window.part.contains(&start) && end <= window.part.end)
            {
                Some(window) => window.bytes(&self.0, start, end),
                None => self.0.fetch(start..end).wait(),
            }
        };
        read.map_err(|failure| {
            let text = failure.to_string();
            *lock(&self.0.failure) = Some(failure);
            ParquetError::General(text)
        })
    }
}

/// A panic while the lock was held is caught above, and the reader gives up: what is inside is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn fetch(&self, range: Range<u64>) -> Fetch {
        self.fetched_bytes.fetch_add(range.end - range.start, Ordering::Relaxed);
        let length = range.end - range.start;
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

impl Window {
    fn end(&self) -> u64 {
        self.start + self.held.len() as u64
    }

    /// Starts the next read, of at least `length_min` bytes.
    fn read_ahead(&mut self, shared: &Shared, length_min: u64) {
        let start = self.end();
        let end = start.saturating_add(length_min.max(self.step_bytes)).min(self.part.end);
        self.ahead = (start < end).then(|| (start..end, shared.fetch(start..end)));
    }

    /// What is held from `start` on, once it reaches to `end`; both lie within the part.
    fn bytes(&mut self, shared: &Shared, start: u64, end: u64) -> io::Result<Bytes> {
        if start < self.start || start > self.end() {
            self.start = start;
            self.held = Bytes::new();
            if self.ahead.as_ref().is_none_or(|(range, _)| range.start != start) {
                self.read_ahead(shared, end - start);
            }
        }
        while self.end() < end {
            if self.ahead.is_none() {
                self.read_ahead(shared, end - self.end());
            }
            let (range, fetch) = self.ahead.take().expect("the part goes on, so a read was started");
            let more = fetch.wait()?;
            let kept = self.held.slice((start - self.start) as usize..);
            self.held = if kept.is_empty() {
                more
            } else {
                [kept, more].concat().into()
            };
            self.start = start;
            debug_assert_eq!(self.end(), range.end);
            self.read_ahead(shared, end.saturating_sub(range.end));
        }
        Ok(self.held.slice((start - self.start) as usize..))
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
        Ok(self.bytes(start, length as u64)?.slice(..length))
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
