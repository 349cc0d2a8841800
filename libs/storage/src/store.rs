//! The front door: one handle for every object, whatever its scheme.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::{
    Budget, ByteStream, Error, ListPage, ListRequest, ObjectMeta, ObjectUri, Patience, Result,
    backend::{Backend, Put},
    file::Files,
    read::Reader,
    s3::S3,
};

/// Deletions on their way at once: enough to hide the server's answer time, and few beside what a lane asks for.
const DELETIONS_MAX: usize = 16;

/// How to reach S3, and how much to hold. Only the last two matter to `file://`.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Address of an S3-compatible server; AWS' own when absent. Path-style addressing is used with it.
    pub endpoint: Option<String>,
    /// Region; from the environment or profile when absent, else `us-east-1`.
    pub region: Option<String>,
    /// Send no credentials, for public buckets.
    pub anonymous: bool,
    /// Pay for requests and bytes of buckets whose owner does not ("Using Requester Pays buckets" in Amazon S3's user
    /// guide), which refuse who does not say so.
    pub request_payer: bool,
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

/// What [`Storage::put`] does where there is an object already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutMode {
    /// Replace it.
    Overwrite,
    /// Leave it, and say [`Error::Exists`]: of several that create the same object at once, one wins.
    Create,
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
    endpoint: Option<String>,
}

impl Storage {
    /// A handle. Nothing is contacted before the first call.
    pub fn new(options: Options) -> Self {
        let patience = options.patience.clone();
        let budget = options.bytes_in_flight_max.map(Budget::new);
        let inner = Inner {
            endpoint: options.endpoint.clone(),
            s3: Arc::new(S3::new(options)),
            files: Arc::new(Files::default()),
            patience,
            budget,
        };
        Self { inner: Arc::new(inner) }
    }

    /// One page of a listing, in the order of the keys' bytes: [`Error::Unordered`] where the server has another one, so
    /// that going on behind a key can never leave others out.
    pub async fn list(&self, request: &ListRequest) -> Result<ListPage> {
        let page = self.list_in_any_order(request).await?;
        match page.disorder {
            None => Ok(page),
            Some(what) => Err(Error::Unordered {
                uri: request.prefix.to_string(),
                server: self.server(&request.prefix),
                what,
            }),
        }
    }

    /// One page of a listing as the server has it, for who reads all pages and goes on from none of its keys.
    pub async fn list_in_any_order(&self, request: &ListRequest) -> Result<ListPage> {
        self.backend(&request.prefix).list(request).await
    }

    /// Who answers for an address, for messages.
    fn server(&self, uri: &ObjectUri) -> String {
        match (uri, &self.inner.endpoint) {
            (ObjectUri::File { .. }, _) => "the file system".to_owned(),
            (ObjectUri::S3 { .. }, Some(endpoint)) => endpoint.clone(),
            (ObjectUri::S3 { .. }, None) => "AWS' own endpoint".to_owned(),
        }
    }

    /// What is known of one object.
    pub async fn head(&self, uri: &ObjectUri) -> Result<ObjectMeta> {
        self.backend(uri).head(uri).await
    }

    /// A stream of `range` of the object, of the version that `etag` names where one is given, else of the version
    /// that the first answer names.
    ///
    /// It yields the whole range or an error: [`Error::Changed`] when the version differs or the object is shorter than
    /// the range of a given version, [`Error::Failed`] when it is shorter and no version was given. An empty range
    /// yields nothing and asks nothing.
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

    /// Stores an object in one request, whole or not at all: whoever reads meanwhile gets either what was there or all
    /// of `bytes`, which should be small, since an attempt must come through within [`Patience::answer_max`]. When it
    /// returns, the object is stored for good and every listing shows it. A bucket must exist; folders are made.
    ///
    /// Behind [`Error::Unavailable`] it may be stored or not, as always when an answer is lost. Where one was lost
    /// before a later attempt found an object, that counts as ours if it holds `bytes`: who creates an object to win a
    /// race puts something into it that no other would. `Create` needs a server that knows `If-None-Match: *` (S3,
    /// `MinIO`, versitygw); one that doesn't says so, or overwrites.
    pub async fn put(&self, uri: &ObjectUri, bytes: Bytes, mode: PutMode) -> Result<()> {
        let is_stored = match self.backend(uri).put(uri, bytes.clone(), mode).await? {
            Put::Stored => true,
            Put::Exists { perhaps_ours } => perhaps_ours && self.holds(uri, &bytes).await?,
        };
        is_stored
            .then_some(())
            .ok_or_else(|| Error::Exists { uri: uri.to_string() })
    }

    /// Deletes objects; those that are missing are deleted already. After an error any of the others may be left.
    pub async fn delete(&self, uris: impl IntoIterator<Item = ObjectUri>) -> Result<()> {
        futures::stream::iter(uris.into_iter().map(Ok))
            .try_for_each_concurrent(
                DELETIONS_MAX,
                |uri| async move { self.backend(&uri).delete(&uri).await },
            )
            .await
    }

    /// Whether the object is these bytes.
    async fn holds(&self, uri: &ObjectUri, bytes: &Bytes) -> Result<bool> {
        let found = async {
            let object = self.head(uri).await?;
            if object.size_bytes != bytes.len() as u64 {
                return Ok(false);
            }
            // Beside the budget: they are no more than the caller holds.
            let reader = self.reader(uri, Some(&object.etag), 0..object.size_bytes);
            Ok(reader.into_bytes(None).await? == bytes)
        };
        match found.await {
            Err(Error::NotFound { .. } | Error::Changed { .. }) => Ok(false),
            found => found,
        }
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
