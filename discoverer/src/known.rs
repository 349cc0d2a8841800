//! Objects that a job has already, so that a further listing finds only what is new since.
//!
//! Sixteen bytes are remembered of each, however long its name is.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::Result;
use jiff::Timestamp;
use pf_state::StateDir;
use pf_storage::ObjectMeta;

/// Versions of objects.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// In ascending order.
    digests: Vec<u128>,
}

impl Known {
    /// What is in the manifest. The ranges of an object follow one another, and count once.
    pub(crate) async fn of(state: &StateDir) -> Result<Self> {
        let mut manifest = state.read_manifest(0).await?;
        let mut digests = Vec::new();
        while let Some(items) = manifest.next().await? {
            for item in &items {
                let digest = digest(&item.uri, item.etag.as_deref(), item.size_bytes, item.last_modified);
                if digests.last() != Some(&digest) {
                    digests.push(digest);
                }
            }
        }
        digests.sort_unstable();
        digests.dedup();
        Ok(Self { digests })
    }

    /// What is known of the object.
    pub(crate) fn look(&self, object: &ObjectMeta) -> Look {
        if self.digests.is_empty() {
            return Look::New;
        }
        let etag = Some(object.etag.as_str()).filter(|etag| !etag.is_empty());
        let digest = digest(
            &object.uri.to_string(),
            etag,
            object.size_bytes,
            Some(object.last_modified),
        );
        let first = self.digests.partition_point(|known| name(*known) < name(digest));
        let versions = self.digests[first..].iter();
        let mut versions = versions.take_while(|known| name(**known) == name(digest)).peekable();
        if versions.peek().is_none() {
            Look::New
        } else if versions.any(|known| *known == digest) {
            Look::Known
        } else {
            Look::OtherVersion
        }
    }
}

/// What is known of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// The job has this version of it.
    Known,
    /// The job has another version of it.
    OtherVersion,
    /// The job does not have it.
    New,
}

/// The half of a digest that stands for an object's name.
fn name(digest: u128) -> u128 {
    digest >> 64
}

/// The version is told by the entity tag, and where there is none, by size and time.
fn digest(uri: &str, etag: Option<&str>, size_bytes: u64, last_modified: Option<Timestamp>) -> u128 {
    let mut of_name = DefaultHasher::new();
    uri.hash(&mut of_name);
    let mut of_version = DefaultHasher::new();
    (uri, etag).hash(&mut of_version);
    if etag.is_none() {
        (size_bytes, last_modified).hash(&mut of_version);
    }
    u128::from(of_name.finish()) << 64 | u128::from(of_version.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_by_name_and_tag_or_else_by_size_and_time() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let one = digest("s3://b/a", Some("\"1\""), 5, at(1));
        assert_eq!(one, digest("s3://b/a", Some("\"1\""), 6, at(2)));
        assert_ne!(one, digest("s3://b/a", Some("\"2\""), 5, at(1)));
        assert_ne!(one, digest("s3://b/b", Some("\"1\""), 5, at(1)));
        assert_ne!(digest("s3://b/a", None, 5, at(1)), digest("s3://b/a", None, 6, at(1)));
        assert_ne!(digest("s3://b/a", None, 5, at(1)), digest("s3://b/a", None, 5, at(2)));
    }

    #[test]
    fn another_version_of_a_known_object_is_told_from_a_new_object() {
        let at = Timestamp::from_second(1).unwrap();
        let mut digests = vec![
            digest("s3://b/a", Some("\"1\""), 5, Some(at)),
            digest("s3://b/a", Some("\"2\""), 5, Some(at)),
            digest("s3://b/c", None, 5, Some(at)),
        ];
        digests.sort_unstable();
        let known = Known { digests };
        let look = |uri: &str, etag: &str| {
            known.look(&ObjectMeta {
                uri: uri.parse().unwrap(),
                size_bytes: 5,
                last_modified: at,
                etag: etag.to_owned(),
                archived: None,
            })
        };
        assert_eq!(look("s3://b/a", "\"2\""), Look::Known);
        assert_eq!(look("s3://b/a", "\"3\""), Look::OtherVersion);
        assert_eq!(
            (look("s3://b/c", ""), look("s3://b/c", "\"1\"")),
            (Look::Known, Look::OtherVersion)
        );
        assert_eq!(look("s3://b/d", "\"1\""), Look::New);
        assert_eq!(
            Known::default().look(&ObjectMeta {
                uri: "s3://b/a".parse().unwrap(),
                size_bytes: 5,
                last_modified: at,
                etag: "1".to_owned(),
                archived: None,
            }),
            Look::New
        );
    }
}
