//! Reading ahead of the lanes: objects are opened, and their first piece fetched, before a lane is free for them.
//!
//! Memory is bounded by construction. A waiting object holds one piece; an object that a lane reads holds a few. Nothing
//! waits for memory that another holds, so nothing can wait for ever.

use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use bytes::{Buf as _, Bytes};
use futures::StreamExt as _;
use pf_storage::{ObjectUri, Storage};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore, mpsc, oneshot},
};

use crate::{
    metrics::Metrics,
    permission::Permission,
    reader::range_source::{Fetch, RangeSource},
};

/// The first look beyond the end of a range for the rest of its last line; each further one doubles.
const TAIL_BYTES_FIRST: u64 = 64 * 1024;
/// The longest look.
const TAIL_BYTES_MAX: u64 = 1 << 20;

/// How many ranges of one object are read at the same time: enough to make up for a server's latency where hundreds of
/// columns are read in small pieces; more would only be more connections.
const RANGES_AT_ONCE_MAX: usize = 64;

/// An object to read, of one version.
#[derive(Debug, Clone)]
pub struct Object {
    /// Where it is.
    pub uri: ObjectUri,
    /// The version that was listed.
    pub etag: Option<String>,
    /// Its size when it was listed.
    pub size_bytes: u64,
}

/// A stream of an object's bytes, read from a lane's thread.
#[derive(Debug)]
pub struct Body {
    pieces: mpsc::Receiver<pf_storage::Result<Bytes>>,
    piece: Bytes,
    /// Bytes that did not come yet.
    missing_bytes: u64,
    taken: Arc<Notify>,
}

/// Whoever read for us has gone: what is missing of the object is not its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reading was stopped")]
pub struct Stopped;

impl Body {
    /// Starts to read `start..` of an object: `start..end` ahead of the reader, what is behind `end` only as it is asked for.
    pub fn open(
        runtime: &Handle,
        storage: &Storage,
        object: &Object,
        range: Range<u64>,
        pieces_ahead: usize,
        metrics: &Metrics,
        permission: &Arc<Permission>,
    ) -> Self {
        let missing_bytes = object.size_bytes.saturating_sub(range.start);
        let (sender, pieces) = mpsc::channel(pieces_ahead);
        let taken = Arc::new(Notify::new());
        let pump = Pump {
            storage: storage.clone(),
            object: object.clone(),
            range,
            sender,
            taken: taken.clone(),
            metrics: metrics.clone(),
            permission: Arc::clone(permission),
        };
        // Ends when the range does, or when the body is dropped: its channel is closed then.
        runtime.spawn(pump.run());
        Self {
            pieces,
            piece: Bytes::new(),
            missing_bytes,
            taken,
        }
    }

    /// Lets reading run ahead: a lane has begun with this object.
    pub fn take(&self) {
        self.taken.notify_one();
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => {
                    self.missing_bytes = self.missing_bytes.saturating_sub(piece.len() as u64);
                    self.piece = piece;
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                None if self.missing_bytes > 0 => return Err(io::Error::other(Stopped)),
                None => break,
            }
        }
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Fetches the pieces of one body.
struct Pump {
    storage: Storage,
    object: Object,
    range: Range<u64>,
    sender: mpsc::Sender<pf_storage::Result<Bytes>>,
    taken: Arc<Notify>,
    metrics: Metrics,
    permission: Arc<Permission>,
}

impl Pump {
    async fn run(self) {
        let mut is_taken = false;
        let Range { start, end } = self.range.clone();
        if !self.send(start..end, &mut is_taken).await {
            return;
        }
        let (mut at, mut step) = (end, TAIL_BYTES_FIRST);
        while at < self.object.size_bytes {
            // With all of the channel's room in hand it is empty: the reader has come to the end, and wants more.
            match self.sender.reserve_many(self.sender.max_capacity()).await {
                Ok(room) => drop(room),
                Err(_) => return,
            }
            let to = self.object.size_bytes.min(at + step);
            if !self.send(at..to, &mut is_taken).await {
                return;
            }
            (at, step) = (to, TAIL_BYTES_MAX.min(step * 2));
        }
    }

    /// Whether to go on: all of the range was sent, and somebody still wants it.
    async fn send(&self, range: Range<u64>, is_taken: &mut bool) -> bool {
        let mut is_first = true;
        let mut stream = self.storage.read(&self.object.uri, self.object.etag.as_deref(), range);
        while let Some(piece) = stream.next().await {
            let is_last = piece.is_err();
            if let Ok(piece) = &piece {
                self.metrics.wire_bytes.inc_by(piece.len() as u64);
                if std::mem::take(&mut is_first) {
                    self.permission.prove(&self.object);
                }
            }
            if self.sender.send(piece).await.is_err() || is_last {
                return false;
            }
            if !*is_taken {
                tokio::select! {
                    () = self.taken.notified() => *is_taken = true,
                    () = self.sender.closed() => return false,
                }
            }
        }
        true
    }
}

/// Ranges of one object, fetched in the background.
#[derive(Debug)]
pub struct ObjectRanges {
    runtime: Handle,
    storage: Storage,
    object: Object,
    metrics: Metrics,
    permission: Arc<Permission>,
    at_once: Arc<Semaphore>,
}

impl ObjectRanges {
    /// Ranges of `object`, fetched on `runtime`; `metrics` counts their bytes, and `permission` hears of them.
    pub fn new(
        runtime: Handle,
        storage: Storage,
        object: Object,
        metrics: Metrics,
        permission: Arc<Permission>,
    ) -> Self {
        Self {
            runtime,
            storage,
            object,
            metrics,
            permission,
            at_once: Arc::new(Semaphore::new(RANGES_AT_ONCE_MAX)),
        }
    }
}

impl RangeSource for ObjectRanges {
    fn size_bytes(&self) -> u64 {
        self.object.size_bytes
    }

    fn fetch(&self, range: Range<u64>) -> Fetch {
        let (sender, answer) = oneshot::channel();
        let Self {
            runtime,
            storage,
            object,
            metrics,
            permission,
            at_once,
        } = self;
        let (storage, object, metrics, at_once) = (storage.clone(), object.clone(), metrics.clone(), at_once.clone());
        let permission = Arc::clone(permission);
        runtime.spawn(async move {
            let mut sender = sender;
            let read = async {
                let _turn = at_once.acquire().await.expect("the semaphore is never closed");
                storage.read_range(&object.uri, object.etag.as_deref(), range).await
            };
            let read = tokio::select! {
                read = read => read,
                // Nobody waits any more.
                () = sender.closed() => return,
            };
            if let Ok(bytes) = &read {
                metrics.wire_bytes.inc_by(bytes.len() as u64);
                permission.prove(&object);
            }
            sender.send(read).ok();
        });
        Fetch::new(move || match answer.blocking_recv() {
            Ok(read) => read.map_err(io::Error::other),
            Err(_) => Err(io::Error::other(Stopped)),
        })
    }
}
