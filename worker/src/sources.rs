//! Which objects a worker may read: what a message says is no reason to read whatever file or bucket it names.
//!
//! Whoever may send to a queue chooses what its messages name; what may be read is said on the command line alone.

use std::path::{Component, Path};

use pf_storage::ObjectUri;

/// What may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sources {
    /// Whatever an item names: items come from who started us.
    Anything,
    /// What lies in S3: no file of this machine.
    AnyBucket,
    /// What lies below one of these.
    Below(Vec<ObjectUri>),
}

impl Sources {
    /// Whether an object may be read. The error says why not.
    pub fn check(&self, uri: &ObjectUri) -> Result<(), String> {
        if leaves_its_folder(uri) && *self != Self::Anything {
            return Err(format!("not a source of this job: {uri} has `..` in it"));
        }
        match self {
            Self::Anything => Ok(()),
            Self::AnyBucket => match uri {
                ObjectUri::S3 { .. } => Ok(()),
                ObjectUri::File { .. } => Err(format!(
                    "not a source of this job: {uri} is a file of this machine, which a queue's items may name only below a --source"
                )),
            },
            Self::Below(sources) => {
                if sources.iter().any(|source| is_below(uri, source)) {
                    return Ok(());
                }
                let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
                Err(format!(
                    "not a source of this job: {uri} does not lie below --source {}",
                    sources.join(" or ")
                ))
            }
        }
    }
}

/// Whether an address begins with another, as a listing of it by prefix has it.
fn is_below(uri: &ObjectUri, source: &ObjectUri) -> bool {
    match (uri, source) {
        (
            ObjectUri::S3 { bucket, key },
            ObjectUri::S3 {
                bucket: of,
                key: prefix,
            },
        ) => bucket == of && key.starts_with(prefix),
        (ObjectUri::File { path }, ObjectUri::File { path: prefix }) => path.starts_with(prefix),
        _ => false,
    }
}

/// Whether a path goes up again, to where its beginning does not say. S3 has no folders: there it is a key like any other.
fn leaves_its_folder(uri: &ObjectUri) -> bool {
    match uri {
        ObjectUri::S3 { .. } => false,
        ObjectUri::File { path } => Path::new(path).components().any(|part| part == Component::ParentDir),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test says what is wrong by failing

    use proptest::prelude::*;

    use super::*;

    fn may(sources: &Sources, uri: &str) -> bool {
        sources.check(&uri.parse().unwrap()).is_ok()
    }

    fn below(sources: &[&str]) -> Sources {
        Sources::Below(sources.iter().map(|source| source.parse().unwrap()).collect())
    }

    #[test]
    fn a_queue_s_items_name_no_file_of_this_machine_unless_a_source_does() {
        assert!(may(&Sources::AnyBucket, "s3://logs/a"));
        for file in ["file:///etc/passwd", "file:///var/run/secrets/token"] {
            assert!(!may(&Sources::AnyBucket, file));
            assert!(!may(&below(&["s3://logs/", "file:///data/"]), file));
            assert!(may(&Sources::Anything, file));
        }
        assert!(may(&below(&["file:///data/"]), "file:///data/a/b"));
    }

    #[test]
    fn only_what_begins_like_a_source_lies_below_it() {
        let sources = below(&["s3://logs/access/", "s3://more"]);
        for right in [
            "s3://logs/access/a",
            "s3://logs/access/",
            "s3://more/a",
            "s3://logs/access/../a",
        ] {
            assert!(may(&sources, right), "{right}");
        }
        for wrong in [
            "s3://logs/accessible",
            "s3://logs/",
            "s3://logs2/access/a",
            "s3://mores/a",
            "file:///access/a",
        ] {
            let reason = sources.check(&wrong.parse().unwrap()).unwrap_err();
            assert!(reason.starts_with("not a source of this job: "), "{reason}");
            assert!(reason.ends_with("--source s3://logs/access/ or s3://more/"), "{reason}");
        }
    }

    #[test]
    fn a_path_does_not_leave_its_source_by_going_up() {
        let sources = below(&["file:///data/"]);
        for wrong in [
            "file:///data/../etc/passwd",
            "file:///data/a/../../etc/passwd",
            "file:///data/a/..",
            "file:///data/./../etc/passwd",
        ] {
            assert!(!may(&sources, wrong), "{wrong}");
        }
        for right in ["file:///data/a..b", "file:///data/..a", "file:///data/a/./b"] {
            assert!(may(&sources, right), "{right}");
        }
    }

    proptest! {
        #[test]
        fn what_may_be_read_lies_below_the_source_once_its_path_is_walked(parts in prop::collection::vec("[a-b.]{1,3}", 0..6)) {
            let path = format!("/data/{}", parts.join("/"));
            let sources = below(&["file:///data/"]);
            if may(&sources, &format!("file://{path}")) {
                let mut depth = 0i32;
                for part in parts {
                    depth += match part.as_str() {
                        "." => 0,
                        ".." => -1,
                        _ => 1,
                    };
                    prop_assert!(depth >= 0, "{path}");
                }
            }
        }
    }
}
