//! The front door: one handle for every object, whatever its scheme.

use std::ops::Range;

use bytes::Bytes;

use crate::{ByteStream, ListPage, ListRequest, ObjectMeta, ObjectUri, Result};

/// How to reach S3. None of it matters to `file://`.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Address of an S3-compatible server; AWS' own when absent. Path-style addressing is used with it.
    pub endpoint: Option<String>,
    /// Region; from the environment or profile when absent, else `us-east-1`.
    pub region: Option<String>,
    /// Send no credentials, for public buckets.
    pub anonymous: bool,
}

/// A handle for objects on S3 and on the local file system; cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {}

impl Storage {
    /// A handle. Nothing is contacted before the first call.
    pub fn new(_options: Options) -> Self {
        Self {}
    }

    /// One page of a listing.
    pub async fn list(&self, _request: &ListRequest) -> Result<ListPage> {
        unimplemented!("seed")
    }

    /// What is known of one object.
    pub async fn head(&self, _uri: &ObjectUri) -> Result<ObjectMeta> {
        unimplemented!("seed")
    }

    /// A stream of `range` of the object, of the version that `etag` names where one is given.
    pub fn read(&self, _uri: &ObjectUri, _etag: Option<&str>, _range: Range<u64>) -> ByteStream {
        unimplemented!("seed")
    }

    /// `range` of the object in one piece.
    pub async fn read_range(&self, _uri: &ObjectUri, _etag: Option<&str>, _range: Range<u64>) -> Result<Bytes> {
        unimplemented!("seed")
    }
}
