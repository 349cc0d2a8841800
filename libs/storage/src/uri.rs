//! Addresses: `s3://bucket/key` and `file:///path`, the key as it is (not percent-encoded).

use std::fmt;

use crate::Error;

/// The address of an object, or a prefix of addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectUri {
    /// `s3://bucket/key`
    S3 {
        /// The bucket.
        bucket: String,
        /// The key, which may be empty in a prefix.
        key: String,
    },
    /// `file:///path`
    File {
        /// The absolute path, with its leading slash; a trailing slash is kept, because a prefix may end in one.
        path: String,
    },
}

impl ObjectUri {
    /// The key below the bucket, or the absolute path.
    pub fn key(&self) -> &str {
        match self {
            Self::S3 { key, .. } => key,
            Self::File { path } => path,
        }
    }

    /// The same bucket (or file system) with another key.
    #[must_use]
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        match self {
            Self::S3 { bucket, .. } => Self::S3 {
                bucket: bucket.clone(),
                key: key.into(),
            },
            Self::File { .. } => Self::File { path: key.into() },
        }
    }
}

impl fmt::Display for ObjectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::File { path } => write!(f, "file://{path}"),
        }
    }
}

impl std::str::FromStr for ObjectUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::BadUri {
            uri: text.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(bad("a bucket name must follow s3://, as in s3://my-bucket/logs/"));
            }
            Ok(Self::S3 {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
            })
        } else if let Some(path) = text.strip_prefix("file://") {
            if !path.starts_with('/') {
                return Err(bad(
                    "a file address needs three slashes and an absolute path, as in file:///var/logs/",
                ));
            }
            Ok(Self::File { path: path.to_owned() })
        } else {
            Err(bad("it must begin with s3:// or file:///"))
        }
    }
}
