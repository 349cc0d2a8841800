//! What a scheme must do: the seam between the front door and `file`, `s3`.
//!
//! Backends answer single questions. Cutting bytes into pieces, resuming broken bodies, checking that a range came
//! whole and counting bytes in flight is done once for all of them, in `read`.

use std::{fmt, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::{Error, ListPage, ListRequest, ObjectMeta, ObjectUri, Result};

/// The objects of one scheme.
#[async_trait]
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// One page of a listing.
    async fn list(&self, request: &ListRequest) -> Result<ListPage>;

    /// What is known of one object.
    async fn head(&self, uri: &ObjectUri) -> Result<ObjectMeta>;

    /// Opens `range`, which is not empty, of the version `etag` where one is given.
    ///
    /// An object that ends before `range` does is an error: [`Error::Changed`] when bound to an entity tag, because
    /// the range comes from a listing that had another size, and [`Error::Failed`] otherwise.
    async fn open(&self, uri: &ObjectUri, etag: Option<&str>, range: Range<u64>) -> Result<Body>;
}

/// An opened range.
pub(crate) struct Body {
    /// The entity tag of what is being read.
    pub(crate) etag: Option<String>,
    /// Its bytes in order, in pieces of any size.
    pub(crate) pieces: BoxStream<'static, Result<Bytes, BodyError>>,
}

/// Why a body ended before its range did.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The connection broke: opening the rest again is worth a try.
    Broken(BoxError),
    /// Nothing more is to be had.
    Final(Error),
}

/// Any error, as a source.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
