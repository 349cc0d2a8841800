//! Places to put objects: a temporary folder, and a new bucket on one of the test process's S3 servers.

use std::{path::PathBuf, time::Duration};

use pf_e2e::{LocalStack, S3};
use pf_storage::{ObjectUri, Options, Patience, Storage, contract::World, store::AccessKey};
use tempfile::TempDir;

/// A temporary folder.
pub(crate) struct Folder {
    pub(crate) root: TempDir,
    pub(crate) storage: Storage,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self {
            root: TempDir::new().unwrap(),
            storage: Storage::new(Options::default()),
        }
    }

    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.root.path().join(key)
    }

    pub(crate) fn uri(&self, key: &str) -> ObjectUri {
        ObjectUri::File {
            path: format!("{}/{key}", self.root.path().to_str().unwrap()),
        }
    }
}

impl World for Folder {
    fn storage(&self) -> &Storage {
        &self.storage
    }

    fn root(&self) -> ObjectUri {
        self.uri("")
    }

    fn nowhere(&self) -> ObjectUri {
        self.uri("no/such/folder/")
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// A new bucket.
pub(crate) struct Bucket {
    server: &'static S3,
    pub(crate) name: String,
    pub(crate) storage: Storage,
}

impl Bucket {
    pub(crate) fn new() -> Self {
        Self::through(options(&S3::shared().endpoint()))
    }

    /// On the other server.
    pub(crate) fn on_localstack() -> Self {
        let server = LocalStack::shared().s3();
        Self {
            server,
            name: server.make_bucket("storage"),
            storage: Storage::new(options(&server.endpoint())),
        }
    }

    /// The bucket through another handle.
    pub(crate) fn through(options: Options) -> Self {
        let server = S3::shared();
        Self {
            server,
            name: server.make_bucket("storage"),
            storage: Storage::new(options),
        }
    }

    pub(crate) fn uri(&self, key: &str) -> ObjectUri {
        ObjectUri::S3 {
            bucket: self.name.clone(),
            key: key.to_owned(),
        }
    }
}

impl World for Bucket {
    fn storage(&self) -> &Storage {
        &self.storage
    }

    fn root(&self) -> ObjectUri {
        self.uri("some root/")
    }

    fn nowhere(&self) -> ObjectUri {
        ObjectUri::S3 {
            bucket: "no-such-bucket".to_owned(),
            key: String::new(),
        }
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let key = format!("{}{key}", self.root().key());
        self.server.put(&self.name, &key, bytes);
    }
}

/// The test server's key and region, at an endpoint that may be a proxy's, and pauses that tests have time for.
pub(crate) fn options(endpoint: &str) -> Options {
    Options {
        endpoint: Some(endpoint.to_owned()),
        region: Some(S3::REGION.to_owned()),
        access_key: Some(AccessKey {
            id: S3::ACCESS_KEY_ID.to_owned(),
            secret: S3::shared().secret_access_key().to_owned(),
        }),
        patience: Patience {
            attempts_max: 4,
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(4),
            ..Patience::default()
        },
        ..Options::default()
    }
}

/// Everything that an error says: itself and its causes.
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", said(cause)),
        None => error.to_string(),
    }
}
