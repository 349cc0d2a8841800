//! Why an item's object can't be read on, and what that says of the item.

use std::io;

use pf_storage::Reach;
use pf_work::settle::{Flaw, Outcome};

use crate::{input::reason, prefetch::Stopped, reader::parquet};

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

/// Whose trouble it is that reading broke, if it is not the object's: an error of storage or of this machine may lie under
/// several layers of reading.
enum Beyond<'a> {
    Storage(&'a pf_storage::Error),
    Machine(&'a io::Error),
}

impl Error {
    /// The words of a refusal that may be about this object alone or about all of them: only other objects tell.
    pub fn refusal(&self) -> Option<String> {
        use pf_storage::Error;
        match self.beyond()? {
            Beyond::Storage(
                error @ (Error::NoSuchBucket { .. }
                | Error::Denied {
                    reach: Reach::Object, ..
                }),
            ) => Some(reason(error)),
            Beyond::Storage(_) | Beyond::Machine(_) => None,
        }
    }

    fn beyond(&self) -> Option<Beyond<'_>> {
        match self {
            Self::Misfit(_) | Self::Contradiction(_) => None,
            Self::Stream(error) => beyond(error),
            Self::Parquet(error) => beyond(error),
        }
    }
}

fn beyond<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<Beyond<'a>> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if let Some(io) = io.filter(|io| is_of_machine(io)) {
            return Some(Beyond::Machine(io));
        }
        if let Some(error) = error.downcast_ref::<pf_storage::Error>() {
            return Some(Beyond::Storage(error));
        }
        let inner = io.and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// Whether an error says nothing of the bytes that were read: there is no memory, the system refuses, or who reads has gone.
fn is_of_machine(error: &io::Error) -> bool {
    let is_stopped = error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Stopped>);
    is_stopped || error.raw_os_error().is_some() || error.kind() == io::ErrorKind::OutOfMemory
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        match error.beyond() {
            Some(Beyond::Storage(error)) => return of_storage(error),
            Some(Beyond::Machine(error)) => {
                return Self::Unavailable {
                    reason: format!("cannot read on: {}", reason(error)),
                };
            }
            None => {}
        }
        let (flaw, reason) = match &error {
            Error::Misfit(_) => (Flaw::Other, reason(&error)),
            Error::Contradiction(reason) => (Flaw::Unsupported, reason.clone()),
            Error::Stream(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => (
                    Flaw::Truncated,
                    "truncated: the compressed stream ends early".to_owned(),
                ),
                io::ErrorKind::Unsupported => (Flaw::Unsupported, format!("unsupported: {}", reason(error))),
                _ => (Flaw::Corrupt, format!("corrupt: {}", reason(error))),
            },
            Error::Parquet(error) => (flaw_of_rows(error), reason(error)),
        };
        Self::Broken { flaw, reason }
    }
}

fn flaw_of_rows(error: &parquet::Error) -> Flaw {
    match error {
        parquet::Error::NotParquet(_) | parquet::Error::Encrypted | parquet::Error::Unsupported(_) => Flaw::Unsupported,
        parquet::Error::Truncated(_) => Flaw::Truncated,
        parquet::Error::NoSuchPlace(_) | parquet::Error::Corrupt(_) | parquet::Error::Input(_) => Flaw::Corrupt,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: io::Error) -> Outcome {
        Error::Stream(error).into()
    }

    #[test]
    fn what_the_machine_can_t_is_never_the_object_s_fault() {
        let system = [5, 12, 23, 24, 116].map(io::Error::from_raw_os_error);
        let others = [io::Error::other(Stopped), io::Error::from(io::ErrorKind::OutOfMemory)];
        for error in system.into_iter().chain(others) {
            let text = error.to_string();
            let outcome = of(error);
            assert!(matches!(outcome, Outcome::Unavailable { .. }), "{text}: {outcome:?}");
        }
        let parquet = parquet::Error::Input(io::Error::other(io::Error::from_raw_os_error(24)));
        let outcome = Outcome::from(Error::Parquet(parquet));
        assert!(matches!(outcome, Outcome::Unavailable { .. }), "{outcome:?}");
    }

    #[test]
    fn what_is_in_the_bytes_is() {
        for (kind, flaw) in [
            (io::ErrorKind::UnexpectedEof, Flaw::Truncated),
            (io::ErrorKind::InvalidData, Flaw::Corrupt),
            (io::ErrorKind::Unsupported, Flaw::Unsupported),
        ] {
            let outcome = of(io::Error::new(kind, "what"));
            assert!(
                matches!(outcome, Outcome::Broken { flaw: of, .. } if of == flaw),
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn only_a_refusal_of_one_object_is_still_to_be_judged() {
        use pf_storage::Error as Storage;
        let denied = |reach| Storage::Denied {
            action: "read",
            uri: "s3://b/k".to_owned(),
            reason: "403".to_owned(),
            reach,
        };
        let stream = |error: Storage| Error::Stream(io::Error::other(error));
        assert!(stream(denied(Reach::Object)).refusal().is_some());
        let rows = parquet::Error::Input(io::Error::other(denied(Reach::Object)));
        assert!(Error::Parquet(rows).refusal().is_some());
        let everything = stream(denied(Reach::Everything));
        assert_eq!(everything.refusal(), None);
        assert!(matches!(Outcome::from(everything), Outcome::Refused { .. }));
        let archived = stream(Storage::Archived {
            uri: "s3://b/k".to_owned(),
            class: "GLACIER".to_owned(),
        });
        assert_eq!(archived.refusal(), None);
        let Outcome::Broken {
            flaw: Flaw::Unsupported,
            reason,
        } = Outcome::from(archived)
        else {
            panic!("an archived object is a dead letter")
        };
        assert_eq!(reason, "s3://b/k is archived in GLACIER: restore it first");
    }
}
