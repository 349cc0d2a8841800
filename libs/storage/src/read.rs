//! Reading: a stream of an object's bytes that survives broken connections.

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::Result;

/// An object's bytes in order, in pieces of at most [`PIECE_BYTES_MAX`]. It resumes by itself where a connection
/// breaks; an error ends it.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// The largest piece that a [`ByteStream`] yields.
pub const PIECE_BYTES_MAX: usize = 1 << 20;
