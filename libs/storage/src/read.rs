//! Reading: a stream of an object's bytes that survives broken connections.
//!
//! Here, once for all schemes: an opened body that breaks, stalls or ends early is opened again at the byte reached,
//! bound to the version of what was read before; the whole range must arrive; tiny pieces are joined and huge ones
//! cut. How a body is opened is the backends' matter.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt, stream::BoxStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    Budget, Error, ObjectUri, Patience, Result,
    backend::{Backend, Body, BodyError, BoxError, Version},
    trouble::Trouble,
};

/// An object's bytes in order, in pieces of at most [`PIECE_BYTES_MAX`]. It resumes by itself where a connection
/// breaks; an error ends it, after all bytes that came before it.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// The largest piece that a [`ByteStream`] yields.
pub const PIECE_BYTES_MAX: usize = 1 << 20;

/// Pieces smaller than this are joined: HTTP hands out a few kilobytes at a time, and every piece costs its consumer a
/// turn through its channel.
const PIECE_BYTES_MIN: usize = 64 << 10;

/// A break counts as one more in a row unless this many bytes came since the last: a server that drops us after every
/// byte would otherwise be asked once a byte.
const PROGRESS_BYTES_MIN: u64 = 64 << 10;

/// One range of one object on its way.
pub(crate) struct Reader {
    backend: Arc<dyn Backend>,
    patience: Patience,
    uri: ObjectUri,
    /// The version: its entity tag as given, the rest from the first answer.
    version: Version,
    trouble: Trouble,
    /// When the next byte must have come; set when a body is asked for, and gone when its first byte is there.
    byte_until: Option<Instant>,
    /// The next byte to ask for.
    next: u64,
    end: u64,
    body: Option<Body>,
    /// Breaks in a row without progress, and where the last one was.
    breaks: u32,
    last_break: u64,
    /// Bytes that came with a piece and belong to the next one.
    rest: Bytes,
    /// An error that must wait until the bytes before it are handed out.
    failed: Option<Error>,
}

impl Reader {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        patience: Patience,
        uri: ObjectUri,
        etag: Option<String>,
        range: Range<u64>,
    ) -> Self {
        Self {
            backend,
            patience,
            uri,
            version: Version {
                etag,
                ..Version::default()
            },
            trouble: Trouble::default(),
            byte_until: None,
            next: range.start,
            end: range.end,
            body: None,
            breaks: 0,
            last_break: range.start,
            rest: Bytes::new(),
            failed: None,
        }
    }

    /// The range as a stream of pieces. With a budget each piece holds its permit for as long as it lives.
    pub(crate) fn into_stream(self, budget: Option<Budget>) -> ByteStream {
        futures::stream::try_unfold((self, budget), |(mut reader, budget)| async move {
            let permit = match &budget {
                Some(budget) if !reader.is_done() => {
                    let wanted = reader.remaining_bytes().min(PIECE_BYTES_MAX as u64);
                    Some(budget.acquire(wanted).await)
                }
                _ => None,
            };
            let Some(piece) = reader.piece().await? else {
                return Ok(None);
            };
            let piece = match permit {
                Some(permit) => permit.shrink_to(piece.len() as u64).attach(piece),
                None => piece,
            };
            Ok(Some((piece, (reader, budget))))
        })
        .boxed()
    }

    /// The whole range in one piece.
    pub(crate) async fn into_bytes(mut self, budget: Option<Budget>) -> Result<Bytes> {
        let wanted = self.remaining_bytes();
        let permit = match &budget {
            Some(budget) => Some(budget.acquire(wanted).await),
            None => None,
        };
        let first = self.raw_piece().await?.unwrap_or_default();
        let bytes = if self.is_done() {
            first
        } else {
            let mut joined = BytesMut::with_capacity(wanted as usize);
            joined.extend_from_slice(&first);
            drop(first);
            while let Some(piece) = self.raw_piece().await? {
                joined.extend_from_slice(&piece);
            }
            joined.freeze()
        };
        assert_eq!(bytes.len() as u64, wanted, "a body that ends early is an error before");
        Ok(match permit {
            Some(permit) => permit.attach(bytes),
            None => bytes,
        })
    }

    /// The next piece of a good size, or none at the end of the range.
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        let mut joined = BytesMut::new();
        loop {
            let mut piece = match self.take_raw_piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok((!joined.is_empty()).then(|| joined.freeze())),
                Err(error) if joined.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    return Ok(Some(joined.freeze()));
                }
            };
            if joined.is_empty() {
                if piece.len() >= PIECE_BYTES_MIN || self.next == self.end {
                    self.rest = piece.split_off(piece.len().min(PIECE_BYTES_MAX));
                    return Ok(Some(piece));
                }
                joined.reserve(PIECE_BYTES_MIN);
            }
            self.rest = piece.split_off(piece.len().min(PIECE_BYTES_MIN - joined.len()));
            joined.extend_from_slice(&piece);
            if joined.len() == PIECE_BYTES_MIN {
                return Ok(Some(joined.freeze()));
            }
        }
    }

    async fn take_raw_piece(&mut self) -> Result<Option<Bytes>> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.raw_piece().await,
        }
    }

    /// The next bytes as the backend gives them, or none at the end of the range.
    async fn raw_piece(&mut self) -> Result<Option<Bytes>> {
        while self.next < self.end {
            let body = match self.body.take() {
                Some(body) => body,
                None => self.open().await?,
            };
            let body = self.body.insert(body);
            let stall_max = self.byte_until.map_or(self.patience.stall_max, |until| {
                self.patience
                    .stall_max
                    .min(until.saturating_duration_since(Instant::now()))
            });
            let cause = match timeout(stall_max, body.pieces.next()).await {
                Ok(Some(Ok(piece))) if piece.is_empty() => continue,
                Ok(Some(Ok(piece))) => return self.arrived(piece).map(Some),
                Ok(Some(Err(BodyError::Final(error)))) => return Err(error),
                Ok(Some(Err(BodyError::Broken(cause)))) => cause,
                Ok(None) => "the connection closed before the range was whole".into(),
                Err(_) => format!("no byte came for {} s", stall_max.as_secs_f32()).into(),
            };
            self.broke(cause).await?;
        }
        Ok(None)
    }

    async fn open(&mut self) -> Result<Body> {
        let range = self.next..self.end;
        let answer = self.backend.open(&self.uri, &self.version, range, &self.trouble);
        let body = match self.byte_until {
            // The backend bounds one call itself, and knows better what it was waiting for.
            None => {
                self.byte_until = Some(Instant::now() + self.patience.call_max);
                answer.await?
            }
            Some(until) => match timeout_at(until, answer).await {
                Ok(body) => body?,
                Err(_) => return Err(self.unavailable("the server does not answer any more".into())),
            },
        };
        // A server that does not know If-Match would hand out another version.
        if !self.version.may_be(&body.version) {
            return Err(Error::Changed {
                uri: self.uri.to_string(),
            });
        }
        self.version.learn(&body.version);
        Ok(body)
    }

    fn arrived(&mut self, piece: Bytes) -> Result<Bytes> {
        let expected = self.end - self.next;
        if piece.len() as u64 > expected {
            return Err(Error::Failed {
                action: "read",
                uri: self.uri.to_string(),
                source: format!("the server sent more than the {expected} bytes that were asked for").into(),
            });
        }
        self.byte_until = None;
        self.next += piece.len() as u64;
        if self.next == self.end {
            // The body's end must be seen, or its connection can't be used again; it is there already, or never mind.
            if let Some(mut body) = self.body.take() {
                let _ = body.pieces.next().now_or_never();
            }
        }
        Ok(piece)
    }

    /// Decides whether a broken body is worth another try, and waits before it.
    async fn broke(&mut self, cause: BoxError) -> Result<()> {
        self.body = None;
        if self.next - self.last_break >= PROGRESS_BYTES_MIN {
            self.breaks = 0;
        }
        self.last_break = self.next;
        self.breaks += 1;
        let pause = self.patience.backoff_bound(self.breaks).mul_f64(fastrand::f64());
        let too_late = self.byte_until.is_some_and(|until| Instant::now() + pause >= until);
        if self.breaks >= self.patience.attempts_max || too_late || !self.version.is_told_from_others() {
            return Err(self.unavailable(cause));
        }
        let place = format!("beyond byte {}", self.next);
        self.trouble.tried_again("read", &self.uri, &place, &cause);
        tracing::debug!(uri = %self.uri, byte = self.next, breaks = self.breaks, %cause, "resuming a broken read");
        sleep(pause).await;
        Ok(())
    }

    fn unavailable(&self, source: BoxError) -> Error {
        Error::Unavailable {
            action: "read",
            uri: self.uri.to_string(),
            attempts: self.breaks,
            source,
        }
    }

    fn remaining_bytes(&self) -> u64 {
        self.rest.len() as u64 + self.end.saturating_sub(self.next)
    }

    fn is_done(&self) -> bool {
        self.rest.is_empty() && self.next >= self.end && self.failed.is_none()
    }
}

/// Servers differ in whether they write the quotes.
pub(crate) fn same_etag(one: &str, other: &str) -> bool {
    one.trim_matches('"') == other.trim_matches('"')
}

#[cfg(test)]
mod tests;
