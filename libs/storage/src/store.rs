//! The front door: one handle for every object, whatever its scheme.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::StreamExt;

use crate::{
    Budget, ByteStream, ListPage, ListRequest, ObjectMeta, ObjectUri, Patience, Result, backend::Backend, file::Files,
    read::Reader, s3::S3,
};

/// How to reach S3, and how much to hold. Only the last two matter to `file://`.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Address of an S3-compatible server; AWS' own when absent. Path-style addressing is used with it.
    pub endpoint: Option<String>,
    /// Region; from the environment or profile when absent, else `us-east-1`.
    pub region: Option<String>,
    /// Send no credentials, for public buckets.
    pub anonymous: bool,
    /// The key that requests are signed with; from the environment when absent (the default chain: variables, profile,
    /// web identity, pod or instance role), and then refreshed before it expires.
    pub access_key: Option<AccessKey>,
    /// How long to wait and how often to try.
    pub patience: Patience,
    /// At most this many bytes in flight, over all reads of this handle and its clones: from before they are asked
    /// for until the consumer drops its pieces. Absent: no bound, and the consumer bounds what it takes. A consumer
    /// must not collect more pieces than fit, or it waits for itself.
    pub bytes_in_flight_max: Option<u64>,
}

/// A key that does not change during the life of a handle, where there is no environment to find one in.
#[derive(Clone)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Its secret, which no message and no `Debug` shows.
    pub secret: String,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A handle for objects on S3 and on the local file system; cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    s3: Arc<S3>,
    files: Arc<Files>,
    patience: Patience,
    budget: Option<Budget>,
}

impl Storage {
    /// A handle. Nothing is contacted before the first call.
    pub fn new(options: Options) -> Self {
        let patience = options.patience.clone();
        let budget = options.bytes_in_flight_max.map(Budget::new);
        let inner = Inner {
            s3: Arc::new(S3::new(options)),
            files: Arc::new(Files::default()),
            patience,
            budget,
        };
        Self { inner: Arc::new(inner) }
    }

    /// One page of a listing.
    pub async fn list(&self, request: &ListRequest) -> Result<ListPage> {
        self.backend(&request.prefix).list(request).await
    }

    /// What is known of one object.
    pub async fn head(&self, uri: &ObjectUri) -> Result<ObjectMeta> {
        self.backend(uri).head(uri).await
    }

    /// A stream of `range` of the object, of the version that `etag` names where one is given, else of the version
    /// that the first answer names.
    ///
    /// It yields the whole range or an error: [`Error::Changed`](crate::Error::Changed) when the version differs or
    /// the object is shorter than the range of a given version, [`Error::Failed`](crate::Error::Failed) when it is
    /// shorter and no version was given. An empty range yields nothing and asks nothing.
    pub fn read(&self, uri: &ObjectUri, etag: Option<&str>, range: Range<u64>) -> ByteStream {
        if range.is_empty() {
            return futures::stream::empty().boxed();
        }
        self.reader(uri, etag, range).into_stream(self.inner.budget.clone())
    }

    /// `range` of the object in one piece, which must fit memory; otherwise as [`read`](Self::read).
    pub async fn read_range(&self, uri: &ObjectUri, etag: Option<&str>, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.reader(uri, etag, range)
            .into_bytes(self.inner.budget.clone())
            .await
    }

    /// The budget of [`Options::bytes_in_flight_max`], for who holds bytes of objects in other forms.
    pub fn budget(&self) -> Option<&Budget> {
        self.inner.budget.as_ref()
    }

    fn reader(&self, uri: &ObjectUri, etag: Option<&str>, range: Range<u64>) -> Reader {
        let patience = self.inner.patience.clone();
        // A server that lists without entity tags leaves the listed one empty.
        let etag = etag.filter(|etag| !etag.is_empty()).map(str::to_owned);
        Reader::new(self.backend(uri), patience, uri.clone(), etag, range)
    }

    fn backend(&self, uri: &ObjectUri) -> Arc<dyn Backend> {
        match uri {
            ObjectUri::S3 { .. } => Arc::clone(&self.inner.s3) as Arc<dyn Backend>,
            ObjectUri::File { .. } => Arc::clone(&self.inner.files) as Arc<dyn Backend>,
        }
    }
}
