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

    /// Whether this version of the object is known.
    pub(crate) fn has(&self, object: &ObjectMeta) -> bool {
        if self.digests.is_empty() {
            return false;
        }
        let etag = Some(object.etag.as_str()).filter(|etag| !etag.is_empty());
        let digest = digest(
            &object.uri.to_string(),
            etag,
            object.size_bytes,
            Some(object.last_modified),
        );
        self.digests.binary_search(&digest).is_ok()
    }
}

/// The version is told by the entity tag, and where there is none, by size and time.
fn digest(uri: &str, etag: Option<&str>, size_bytes: u64, last_modified: Option<Timestamp>) -> u128 {
    let half = |half: u8| {
        let mut hasher = DefaultHasher::new();
        (half, uri, etag).hash(&mut hasher);
        if etag.is_none() {
            (size_bytes, last_modified).hash(&mut hasher);
        }
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
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
}
