//! Documents as objects below an S3 prefix, or as files of a folder.

use async_trait::async_trait;
use bytes::Bytes;
use pf_storage::{Error, ListRequest, ObjectUri, PutMode, Result, Storage};

use super::{Names, Place};

/// Readings of a document that is written anew each time between looking at it and reading it.
const READS_MAX: u32 = 20;

/// The most that S3 gives in a page.
const PAGE_NAMES: u16 = 1000;

/// A prefix of objects.
#[derive(Debug)]
pub struct Objects {
    storage: Storage,
    /// Ends in a slash.
    folder: ObjectUri,
}

impl Objects {
    /// Names lie below `folder`, which ends in a slash and need not exist.
    pub fn new(storage: Storage, folder: ObjectUri) -> Self {
        debug_assert!(folder.key().ends_with('/'), "names are added to the folder as it is");
        Self { storage, folder }
    }

    fn uri(&self, name: &str) -> ObjectUri {
        self.folder.with_key(format!("{}{name}", self.folder.key()))
    }
}

#[async_trait]
impl Place for Objects {
    fn address(&self, name: &str) -> String {
        self.uri(name).to_string()
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        let uri = self.uri(name);
        let mut reads = 0;
        loop {
            let meta = match self.storage.head(&uri).await {
                Ok(meta) => meta,
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            reads += 1;
            match self
                .storage
                .read_range(&uri, Some(&meta.etag), 0..meta.size_bytes)
                .await
            {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(Error::NotFound { .. } | Error::Changed { .. }) if reads < READS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.storage.put(&self.uri(name), bytes, PutMode::Overwrite).await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool> {
        match self.storage.put(&self.uri(name), bytes, PutMode::Create).await {
            Ok(()) => Ok(true),
            Err(Error::Exists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.storage.delete([self.uri(name)]).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Names> {
        let mut request = ListRequest {
            prefix: self.uri(prefix),
            start_after: after.map(|after| self.uri(after).key().to_owned()),
            by_folder: false,
            continuation: None,
            page_size: PAGE_NAMES,
        };
        loop {
            let page = match self.storage.list(&request).await {
                Ok(page) => page,
                // Folders of this machine come with their first file.
                Err(Error::NoSuchBucket { .. }) if matches!(self.folder, ObjectUri::File { .. }) => {
                    return Ok(Names {
                        names: Vec::new(),
                        is_last: true,
                    });
                }
                Err(error) => return Err(error),
            };
            let folder = self.folder.key().len();
            let names: Vec<String> = page
                .objects
                .into_iter()
                .filter_map(|object| object.uri.key().get(folder..).map(str::to_owned))
                .collect();
            if !names.is_empty() || page.next.is_none() {
                return Ok(Names {
                    names,
                    is_last: page.next.is_none(),
                });
            }
            request.continuation = page.next;
        }
    }
}
