//! What can go wrong, by what a caller can do about it.

/// The result of every call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed call, told apart by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no `s3://bucket/key` or `file:///path`.
    #[error("`{uri}` is not an object's address: {reason}")]
    BadUri {
        /// What was given.
        uri: String,
        /// What would be right.
        reason: String,
    },
    /// The bucket or the root folder is not there.
    #[error("there is no bucket or folder {uri}")]
    NoSuchBucket {
        /// Its address.
        uri: String,
    },
    /// The object is not there (any more).
    #[error("there is no object {uri}")]
    NotFound {
        /// Its address.
        uri: String,
    },
    /// The object is not the one that was listed: its entity tag or size differs.
    #[error("{uri} changed since it was listed")]
    Changed {
        /// Its address.
        uri: String,
    },
    /// There is an object already where one was to be created.
    #[error("{uri} exists already")]
    Exists {
        /// Its address.
        uri: String,
    },
    /// The object lies in an archive, and can't be read before somebody restores it. It alone: others may well be read.
    #[error("{uri} is archived in {class}: restore it first")]
    Archived {
        /// Its address.
        uri: String,
        /// The storage class or access tier, as `GLACIER`, `DEEP_ARCHIVE` or `ARCHIVE_ACCESS`.
        class: String,
    },
    /// We are refused, and asking again won't help. How many others would fare the same, [`Reach`] says: whoever reads
    /// many objects must not stop for one of them that is somebody else's, nor give up all of them one by one where
    /// nobody lets us in.
    #[error("cannot {action} {uri}: {reason}")]
    Denied {
        /// `list`, `read`, `write` or `delete`.
        action: &'static str,
        /// The address.
        uri: String,
        /// What the server said, and what would be right.
        reason: String,
        /// Whether it is about this object or about who asks.
        reach: Reach,
    },
    /// The server does not list keys in the order of their bytes, or shows keys before the one that it was asked to begin
    /// behind: whoever goes on behind a key would miss objects, or meet them twice.
    #[error(
        "cannot list {uri} in the order of its keys' bytes, which is needed to go on where a listing ended: {server} {what}"
    )]
    Unordered {
        /// What was listed.
        uri: String,
        /// The server's endpoint.
        server: String,
        /// What it did.
        what: String,
    },
    /// Network, throttling, a server's fault, or this machine's own (too many files open, no memory, a disk that fails),
    /// still there after all retries: worth another try later, and nothing that the object is to blame for.
    #[error("cannot {action} {uri} {}", tried(*attempts))]
    Unavailable {
        /// `list`, `read`, `write` or `delete`.
        action: &'static str,
        /// The address.
        uri: String,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server's answer makes no sense to us, or the address is one that there can't be: another try won't help.
    #[error("cannot {action} {uri}")]
    Failed {
        /// `list`, `read`, `write` or `delete`.
        action: &'static str,
        /// The address.
        uri: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How far a refusal reaches, as far as its answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This object was refused: access is denied (S3 answers so too for a missing object, to who may not list its bucket),
    /// or its encryption key is not to be used by us. Whether others fare the same only reading them tells.
    Object,
    /// Who asks must be set up otherwise: there are no credentials or wrong or expired ones, the bucket is in another
    /// region, the endpoint is none or not to be trusted, a bucket may not be listed or written. Every other object would
    /// fare the same.
    Everything,
}

impl Error {
    /// Whether every other object would fare the same, so that going on is of no use before somebody mends it.
    pub fn is_everyones(&self) -> bool {
        matches!(
            self,
            Self::NoSuchBucket { .. }
                | Self::Denied {
                    reach: Reach::Everything,
                    ..
                }
        )
    }
}

/// How often something was tried, in words.
fn tried(attempts: u32) -> String {
    match attempts {
        0 | 1 => "at the first attempt".to_owned(),
        attempts => format!("after {attempts} attempts"),
    }
}
