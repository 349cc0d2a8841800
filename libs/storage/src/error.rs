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
    /// Who asks must be set up otherwise: the server knows us and refuses, there are no credentials or wrong ones, the
    /// bucket is in another region, the endpoint is none or not to be trusted. Every other object would fare the same.
    #[error("cannot {action} {uri}: {reason}")]
    Denied {
        /// `list`, `read`, `write` or `delete`.
        action: &'static str,
        /// The address.
        uri: String,
        /// What the server said, and what would be right.
        reason: String,
    },
    /// Network, throttling or a server's fault, still there after all retries: worth another try later.
    #[error("cannot {action} {uri} after {attempts} attempts")]
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
    /// The server's answer makes no sense to us, or the file system refused: another try won't help.
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
