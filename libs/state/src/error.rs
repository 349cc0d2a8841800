//! What can go wrong, by what a caller can do about it.

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed call, told apart by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place can't be read or written; its own error says whether another try may help.
    #[error("cannot use the state directory")]
    Place(#[from] pf_storage::Error),
    /// A document does not hold what it should: damaged, cut off, or put there by somebody else.
    #[error("{document} in the state directory is damaged: {reason}")]
    Damaged {
        /// Its address.
        document: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A document was written by a program of another time.
    #[error("{document} in the state directory has version {found}, this build reads version {supported}")]
    UnsupportedVersion {
        /// Its address.
        document: String,
        /// The version that it names.
        found: u64,
        /// The version that this build reads.
        supported: u32,
    },
    /// Somebody else wrote this part of the manifest first: two discoverers run for one job.
    #[error("another discoverer writes the manifest of this job too: {document} is not ours")]
    Contested {
        /// The document that was there already.
        document: String,
    },
    /// The job was begun with other flags, whose items are in the manifest already.
    #[error("the job {job} was begun with other flags ({differences}): use those, or another --job")]
    OtherPlan {
        /// The job.
        job: String,
        /// Which flags differ, and how.
        differences: String,
    },
}
