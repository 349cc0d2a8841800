//! What a scheme must do: the seam between the front door and `file`, `s3`.
//!
//! Backends answer single questions. Cutting bytes into pieces, resuming broken bodies, checking that a range came
//! whole and counting bytes in flight is done once for all of them, in `read`.

use std::{fmt, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::{Error, ListPage, ListRequest, ObjectMeta, ObjectUri, PutMode, Result, read::same_etag, trouble::Trouble};

/// The objects of one scheme.
#[async_trait]
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// One page of a listing.
    async fn list(&self, request: &ListRequest) -> Result<ListPage>;

    /// What is known of one object.
    async fn head(&self, uri: &ObjectUri) -> Result<ObjectMeta>;

    /// Opens `range`, which is not empty, of `version`, as far as that is known. Further attempts are told to `trouble`.
    ///
    /// An object that ends before `range` does is an error: [`Error::Changed`] when bound to a version, because the
    /// range comes from a time when it had another size, and [`Error::Failed`] otherwise.
    async fn open(&self, uri: &ObjectUri, version: &Version, range: Range<u64>, trouble: &Trouble) -> Result<Body>;

    /// Stores an object, whole or not at all.
    async fn put(&self, uri: &ObjectUri, bytes: Bytes, mode: PutMode) -> Result<Put>;

    /// Deletes an object; one that is missing is deleted already.
    async fn delete(&self, uri: &ObjectUri) -> Result<()>;
}

/// What became of a [`Backend::put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is stored.
    Stored,
    /// There was an object, which was to be created.
    Exists {
        /// It may be the one that was to be created: an earlier attempt's answer was lost.
        perhaps_ours: bool,
    },
}

/// What tells one version of an object from another, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Version {
    /// The entity tag. Where there is one, it alone decides.
    pub(crate) etag: Option<String>,
    /// The whole object's size.
    pub(crate) size_bytes: Option<u64>,
    /// When it was last written, to the second over HTTP: two writes of the same size within one look alike.
    pub(crate) last_modified: Option<Timestamp>,
}

impl Version {
    /// Whether reads of it are bound: another version must not be taken for it.
    pub(crate) fn is_bound(&self) -> bool {
        self.etag.is_some() || self.size_bytes.is_some()
    }

    /// Whether enough is known to see that the rest of a broken body is of the same version.
    pub(crate) fn is_told_from_others(&self) -> bool {
        self.etag.is_some() || (self.size_bytes.is_some() && self.last_modified.is_some())
    }

    /// Takes over what `found`, the same version, says beyond it.
    pub(crate) fn learn(&mut self, found: &Self) {
        let Self {
            etag,
            size_bytes,
            last_modified,
        } = found;
        self.etag = self.etag.take().or_else(|| etag.clone());
        self.size_bytes = self.size_bytes.or(*size_bytes);
        self.last_modified = self.last_modified.or(*last_modified);
    }

    /// Whether nothing says that `found` is another one.
    pub(crate) fn may_be(&self, found: &Self) -> bool {
        fn differ<T: PartialEq>(known: Option<&T>, found: Option<&T>) -> bool {
            known.zip(found).is_some_and(|(known, found)| known != found)
        }
        match (&self.etag, &found.etag) {
            (Some(known), Some(found)) => same_etag(known, found),
            // A server that knows entity tags, and is bound by If-Match.
            (Some(_), None) => true,
            (None, _) => {
                !differ(self.size_bytes.as_ref(), found.size_bytes.as_ref())
                    && !differ(self.last_modified.as_ref(), found.last_modified.as_ref())
            }
        }
    }
}

/// An opened range.
pub(crate) struct Body {
    /// What is being read.
    pub(crate) version: Version,
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
