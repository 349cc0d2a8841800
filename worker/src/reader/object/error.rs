//! Why an item's object can't be read on, and what that says of the item.

use std::io;

use pf_work::settle::{Flaw, Outcome};

use crate::{input::reason, reader::parquet};

/// What libzstd says of a frame whose window is larger than its limit; it has no code of its own in `io::Error`.
const ZSTD_WINDOW: &str = "Frame requires too much memory";

/// Why an object, or the rest of it, can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The position to go on from isn't one of this item. No record was given out: it can be read from its start.
    #[error("the checkpoint does not fit the object: {0}")]
    Misfit(String),
    /// What the object is said to be, and what it is, don't go together.
    #[error("{0}")]
    Contradiction(String),
    /// The stream of its bytes broke, or can't be decompressed.
    #[error("reading the object failed")]
    Stream(#[from] io::Error),
    /// It can't be read as Parquet.
    #[error(transparent)]
    Parquet(#[from] parquet::Error),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        match error {
            Error::Misfit(_) => Self::Broken {
                flaw: Flaw::Other,
                reason: reason(&error),
            },
            Error::Contradiction(reason) => Self::Broken {
                flaw: Flaw::Unsupported,
                reason,
            },
            Error::Stream(error) => stream(&error),
            Error::Parquet(error) => rows(&error),
        }
    }
}

fn stream(error: &io::Error) -> Outcome {
    let storage = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<pf_storage::Error>());
    match storage {
        Some(error) => of_storage(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Outcome::Broken {
            flaw: Flaw::Truncated,
            reason: "truncated: the compressed stream ends early".to_owned(),
        },
        None if reason(error).contains(ZSTD_WINDOW) => Outcome::Broken {
            flaw: Flaw::Unsupported,
            reason: "unsupported: a zstd frame needs a window of more than 128 MiB, as `zstd --long=28` makes it"
                .to_owned(),
        },
        None => Outcome::Broken {
            flaw: Flaw::Corrupt,
            reason: format!("corrupt: {}", reason(error)),
        },
    }
}

fn rows(error: &parquet::Error) -> Outcome {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        // An error of the storage may lie under several layers of reading.
        let inner = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        let inner = inner.map_or(error, |inner| inner as &(dyn std::error::Error + 'static));
        if let Some(error) = inner.downcast_ref::<pf_storage::Error>() {
            return of_storage(error);
        }
        cause = error.source();
    }
    let flaw = match error {
        parquet::Error::NotParquet(_) | parquet::Error::Encrypted | parquet::Error::Unsupported(_) => Flaw::Unsupported,
        parquet::Error::Truncated(_) => Flaw::Truncated,
        parquet::Error::NoSuchPlace(_) | parquet::Error::Corrupt(_) | parquet::Error::Input(_) => Flaw::Corrupt,
    };
    Outcome::Broken {
        flaw,
        reason: reason(error),
    }
}

fn of_storage(error: &pf_storage::Error) -> Outcome {
    use pf_storage::Error;
    let reason = reason(error);
    let flaw = match error {
        Error::Unavailable { .. } => return Outcome::Unavailable { reason },
        Error::Denied { .. } | Error::NoSuchBucket { .. } => return Outcome::Refused { reason },
        Error::NotFound { .. } => Flaw::Gone,
        Error::Changed { .. } => Flaw::Changed,
        Error::Archived { .. } => Flaw::Unsupported,
        // A read has no reason to say that something exists, and lists nothing.
        Error::BadUri { .. } | Error::Exists { .. } | Error::Unordered { .. } | Error::Failed { .. } => Flaw::Other,
    };
    Outcome::Broken { flaw, reason }
}
