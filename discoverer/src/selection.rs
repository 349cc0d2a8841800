//! Which of the listed objects are taken: pure, and the first condition that an object fails is told.

use anyhow::{Context as _, Result};
use globset::{GlobBuilder, GlobMatcher};
use jiff::Timestamp;
use pf_storage::ObjectMeta;

/// Why an object is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    /// An empty object whose key ends in `/`: consoles store such to show a folder.
    FolderMarker,
    /// `--pattern`.
    Pattern,
    /// `--min-size` or `--max-size`.
    Size,
    /// `--modified-after` or `--modified-before`.
    Time,
    /// `--partitioning` and `--filter`.
    Partitioning,
}

/// The conditions on one object.
#[derive(Debug)]
pub(crate) struct Selection {
    prefix_bytes: usize,
    only: Option<String>,
    pattern: Option<GlobMatcher>,
    size_min: u64,
    size_max: u64,
    /// Inclusive.
    modified_min: Option<Timestamp>,
    /// Exclusive.
    modified_end: Option<Timestamp>,
}

impl Selection {
    /// Conditions on keys that all begin with `prefix`. Sizes include both ends, times only the first.
    pub(crate) fn new(
        prefix: &str,
        pattern: Option<&str>,
        (size_min, size_max): (Option<u64>, Option<u64>),
        (modified_min, modified_end): (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<Self> {
        let pattern = pattern
            .map(|pattern| GlobBuilder::new(pattern).literal_separator(true).build())
            .transpose()
            .context("--pattern: no glob, as '**/*.{ndjson,json}.gz' is one")?;
        Ok(Self {
            prefix_bytes: prefix.len(),
            only: None,
            pattern: pattern.map(|glob| glob.compile_matcher()),
            size_min: size_min.unwrap_or(0),
            size_max: size_max.unwrap_or(u64::MAX),
            modified_min,
            modified_end,
        })
    }

    /// Takes one key alone: others that begin like it are not meant, as little as those that a pattern leaves out.
    pub(crate) fn only(&mut self, key: &str) {
        self.only = Some(key.to_owned());
    }

    /// Whether the object is taken.
    pub(crate) fn check(&self, object: &ObjectMeta) -> Result<(), Skip> {
        let key = object.uri.key();
        if object.size_bytes == 0 && key.ends_with('/') {
            return Err(Skip::FolderMarker);
        }
        if self.only.as_deref().is_some_and(|only| only != key) {
            return Err(Skip::Pattern);
        }
        if let Some(pattern) = &self.pattern {
            // A prefix may be written with or without its last slash.
            let below = key.get(self.prefix_bytes..).unwrap_or_default();
            if !pattern.is_match(below.strip_prefix('/').unwrap_or(below)) {
                return Err(Skip::Pattern);
            }
        }
        if !(self.size_min..=self.size_max).contains(&object.size_bytes) {
            return Err(Skip::Size);
        }
        let written = object.last_modified;
        if self.modified_min.is_some_and(|min| written < min) || self.modified_end.is_some_and(|end| written >= end) {
            return Err(Skip::Time);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, size_bytes: u64, second: i64) -> ObjectMeta {
        ObjectMeta {
            uri: format!("s3://b/{key}").parse().unwrap(),
            size_bytes,
            etag: String::new(),
            last_modified: Timestamp::from_second(second).unwrap(),
        }
    }

    fn pattern(prefix: &str, pattern: &str, key: &str) -> bool {
        let selection = Selection::new(prefix, Some(pattern), (None, None), (None, None)).unwrap();
        selection.check(&object(key, 1, 0)).is_ok()
    }

    #[test]
    fn a_star_stays_within_its_part_and_two_stars_cross() {
        assert!(pattern("logs/", "*.json", "logs/a.json"));
        assert!(!pattern("logs/", "*.json", "logs/x/a.json"));
        assert!(pattern("logs/", "**/*.json", "logs/a.json"));
        assert!(pattern("logs/", "**/*.json", "logs/x/y/a.json"));
        assert!(pattern("logs", "**/*.{json,log}", "logs/x/a.log"));
        assert!(!pattern("logs/", "*.json", "logs/a.json.gz"));
        assert!(pattern("", "*.json", "ü n.json"));
    }

    #[test]
    fn sizes_include_both_ends_and_times_only_the_first() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let selection = Selection::new("", None, (Some(2), Some(4)), (at(10), at(20))).unwrap();
        let check = |size, second| selection.check(&object("k", size, second));
        assert_eq!(check(1, 10), Err(Skip::Size));
        assert_eq!(check(2, 10), Ok(()));
        assert_eq!(check(4, 19), Ok(()));
        assert_eq!(check(5, 10), Err(Skip::Size));
        assert_eq!(check(3, 9), Err(Skip::Time));
        assert_eq!(check(3, 20), Err(Skip::Time));
    }

    #[test]
    fn folder_markers_are_no_objects_but_empty_objects_are() {
        let selection = Selection::new("", None, (None, None), (None, None)).unwrap();
        assert_eq!(selection.check(&object("a/", 0, 0)), Err(Skip::FolderMarker));
        assert_eq!(selection.check(&object("a", 0, 0)), Ok(()));
        assert_eq!(selection.check(&object("a/", 1, 0)), Ok(()));
    }
}
