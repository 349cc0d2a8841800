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
    #[error(
        "the job {job} was begun with other flags ({differences}): use those, or another --job or --state; its books were \
         {standing}"
    )]
    OtherPlan {
        /// The job.
        job: String,
        /// Which flags differ, and how.
        differences: String,
        /// Whose the books are, since when, and how far they came.
        standing: String,
    },
    /// The books are another's.
    #[error(
        "the books of the job {job} in {place} belong to `{owner}` ({standing}): use another --state or another --job, or \
         take them over with --resume"
    )]
    OtherOwner {
        /// The job.
        job: String,
        /// Where the books are.
        place: String,
        /// Whose they are.
        owner: String,
        /// Since when, and how far they came.
        standing: String,
    },
    /// Creating a document overwrites another of its name.
    #[error(
        "{place} overwrites what it is asked only to create (If-None-Match is not heeded): two discoverers would give one \
         number to two objects, so it can't hold a state directory"
    )]
    NoConditionalWrites {
        /// The place.
        place: String,
    },
    /// A listing is not in the order of its names.
    #[error(
        "{place} lists `{behind}` behind `{name}`, and not in the order of the names' bytes: parts would be overlooked, so \
         it can't hold a state directory"
    )]
    OutOfOrder {
        /// The place.
        place: String,
        /// The name that came first.
        name: String,
        /// The name that came behind it.
        behind: String,
    },
}

impl Error {
    /// Whether another try of the same meets the same: somebody must choose another place, name or plan.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::OtherPlan { .. }
                | Self::OtherOwner { .. }
                | Self::NoConditionalWrites { .. }
                | Self::OutOfOrder { .. }
                | Self::UnsupportedVersion { .. }
        )
    }
}
