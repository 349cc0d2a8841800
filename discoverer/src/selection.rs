//! Which of the listed objects are taken: pure, and the first condition that an object fails is told.

use anyhow::{Context as _, Result};
use globset::{GlobBuilder, GlobMatcher};
use jiff::Timestamp;
use pf_storage::ObjectMeta;

use crate::naming;

/// Why an object is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    /// An empty object whose key ends in `/`: consoles store such to show a folder.
    FolderMarker,
    /// It lies in the state directory.
    State,
    /// A part of its path begins with `_` or `.`: what writers of data sets keep beside the data.
    Hidden,
    /// `--pattern`.
    Pattern,
    /// `--min-size` or `--max-size`.
    Size,
    /// `--modified-after` or `--modified-before`.
    Time,
    /// It has no byte, and no name by which it should have: a marker, as `_SUCCESS` or `logs_$folder$`.
    Empty,
    /// It can't be read before somebody restores it.
    Archived,
    /// `--partitioning` and `--filter`.
    Partitioning,
}

/// What is asked of objects.
#[derive(Debug, Default)]
pub(crate) struct Conditions<'a> {
    /// A glob on names, or, with a slash in it, on keys below the prefix.
    pub(crate) pattern: Option<&'a str>,
    /// Bounds of the size, both included.
    pub(crate) size: (Option<u64>, Option<u64>),
    /// Bounds of the time of the last writing, of which the second is not included.
    pub(crate) modified: (Option<Timestamp>, Option<Timestamp>),
    /// Whether hidden names are taken.
    pub(crate) include_hidden: bool,
    /// Whether archived objects are taken.
    pub(crate) include_archived: bool,
    /// What keys of the state directory begin with, if they can be among those listed.
    pub(crate) state: Option<String>,
}

/// The conditions on one object.
#[derive(Debug)]
pub(crate) struct Selection {
    prefix_bytes: usize,
    only: Option<String>,
    pattern: Option<Pattern>,
    size_min: u64,
    size_max: u64,
    /// Inclusive.
    modified_min: Option<Timestamp>,
    /// Exclusive.
    modified_end: Option<Timestamp>,
    include_hidden: bool,
    include_archived: bool,
    state: Option<String>,
}

#[derive(Debug)]
enum Pattern {
    /// The last part of the key matches, however deep it lies.
    OfNames(GlobMatcher),
    /// What is below the prefix matches whole.
    OfKeys(GlobMatcher),
}

impl Selection {
    /// Conditions on keys that all begin with `prefix`.
    pub(crate) fn new(prefix: &str, conditions: Conditions<'_>) -> Result<Self> {
        let Conditions {
            pattern,
            size: (size_min, size_max),
            modified: (modified_min, modified_end),
            include_hidden,
            include_archived,
            state,
        } = conditions;
        // Who writes a hidden name into a pattern means it.
        let names_hidden = pattern.is_some_and(|pattern| pattern.split('/').any(is_hidden_name));
        Ok(Self {
            prefix_bytes: prefix.len(),
            only: None,
            pattern: pattern.map(Pattern::new).transpose()?,
            size_min: size_min.unwrap_or(0),
            size_max: size_max.unwrap_or(u64::MAX),
            modified_min,
            modified_end,
            include_hidden: include_hidden || names_hidden,
            include_archived,
            state,
        })
    }

    /// Takes one key alone: others that begin like it are not meant, as little as those that a pattern leaves out.
    pub(crate) fn only(&mut self, key: &str) {
        self.only = Some(key.to_owned());
        self.include_hidden = true;
    }

    /// Whether the object is taken. The first `chosen_bytes` of its key were asked for as they are.
    pub(crate) fn check(&self, object: &ObjectMeta, chosen_bytes: usize) -> Result<(), Skip> {
        let key = object.uri.key();
        if object.size_bytes == 0 && key.ends_with('/') {
            return Err(Skip::FolderMarker);
        }
        self.check_key(key, chosen_bytes)?;
        if !(self.size_min..=self.size_max).contains(&object.size_bytes) {
            return Err(Skip::Size);
        }
        let written = object.last_modified;
        if self.modified_min.is_some_and(|min| written < min) || self.modified_end.is_some_and(|end| written >= end) {
            return Err(Skip::Time);
        }
        if object.size_bytes == 0 && !naming::promises_bytes(key) {
            return Err(Skip::Empty);
        }
        if object.archived.is_some() && !self.include_archived {
            return Err(Skip::Archived);
        }
        Ok(())
    }

    /// Whether an object of this key may be taken.
    pub(crate) fn check_key(&self, key: &str, chosen_bytes: usize) -> Result<(), Skip> {
        if self.is_state(key) {
            return Err(Skip::State);
        }
        if self.only.as_deref().is_some_and(|only| only != key) {
            return Err(Skip::Pattern);
        }
        if self.is_hidden(key, chosen_bytes) {
            return Err(Skip::Hidden);
        }
        match &self.pattern {
            Some(pattern) if !pattern.is_match(key, self.prefix_bytes) => Err(Skip::Pattern),
            _ => Ok(()),
        }
    }

    /// Whether a key, or a folder's, lies in the state directory.
    pub(crate) fn is_state(&self, key: &str) -> bool {
        self.state.as_deref().is_some_and(|state| key.starts_with(state))
    }

    /// Whether a part of the path behind the first `chosen_bytes` is a hidden name that nobody asked for.
    pub(crate) fn is_hidden(&self, key: &str, chosen_bytes: usize) -> bool {
        if self.include_hidden {
            return false;
        }
        let (chosen, rest) = key.split_at_checked(chosen_bytes).unwrap_or((key, ""));
        let ends_within_name = !chosen.is_empty() && !chosen.ends_with('/');
        rest.split('/').skip(usize::from(ends_within_name)).any(is_hidden_name)
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self> {
        let glob = GlobBuilder::new(text)
            .literal_separator(true)
            .build()
            .context("--pattern: no glob, as '**/*.{ndjson,json}.gz' is one")?
            .compile_matcher();
        Ok(if text.contains('/') {
            Self::OfKeys(glob)
        } else {
            Self::OfNames(glob)
        })
    }

    fn is_match(&self, key: &str, prefix_bytes: usize) -> bool {
        match self {
            Self::OfNames(glob) => glob.is_match(key.rsplit('/').next().unwrap_or_default()),
            Self::OfKeys(glob) => {
                // A prefix may be written with or without its last slash.
                let below = key.get(prefix_bytes..).unwrap_or_default();
                glob.is_match(below.strip_prefix('/').unwrap_or(below))
            }
        }
    }
}

/// Whether a name is one of those that Hadoop and all that came after it leave alone; `_year=2024` is a partition's.
fn is_hidden_name(name: &str) -> bool {
    name.starts_with('.') || name.starts_with('_') && !name.contains('=')
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
            archived: None,
        }
    }

    fn selection(prefix: &str, conditions: Conditions<'_>) -> Selection {
        Selection::new(prefix, conditions).unwrap()
    }

    fn pattern(prefix: &str, pattern: &str, key: &str) -> bool {
        let pattern = Some(pattern);
        let conditions = Conditions {
            pattern,
            ..Conditions::default()
        };
        selection(prefix, conditions)
            .check(&object(key, 1, 0), prefix.len())
            .is_ok()
    }

    #[test]
    fn a_pattern_without_a_slash_is_for_the_name_at_any_depth() {
        assert!(pattern("", "*.parquet", "a.parquet"));
        assert!(pattern("", "*.parquet", "data/year=2024/a.parquet"));
        assert!(pattern("data/", "*.parquet", "data/year=2024/a.parquet"));
        assert!(pattern("data/part-", "part-*.parquet", "data/part-0.parquet"));
        assert!(pattern("logs", "*.{json,log}", "logs/x/a.log"));
        assert!(pattern("", "*.json", "ü n.json"));
        assert!(!pattern("", "*.parquet", "a.parquet/b"));
        assert!(!pattern("", "*.json", "logs/a.json.gz"));
        assert!(!pattern("", "data", "data/a.parquet"));
    }

    #[test]
    fn with_a_slash_a_star_stays_within_its_part_and_two_stars_cross() {
        assert!(pattern("logs/", "x/*.json", "logs/x/a.json"));
        assert!(!pattern("logs/", "x/*.json", "logs/x/y/a.json"));
        assert!(!pattern("logs/", "*/*.json", "logs/a.json"));
        assert!(pattern("logs/", "**/*.json", "logs/a.json"));
        assert!(pattern("logs/", "**/*.json", "logs/x/y/a.json"));
        assert!(pattern("logs", "**/*.{json,log}", "logs/x/a.log"));
        assert!(!pattern("logs/", "**/*.json", "logs/a.json.gz"));
    }

    #[test]
    fn sizes_include_both_ends_and_times_only_the_first() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let conditions = Conditions {
            size: (Some(2), Some(4)),
            modified: (at(10), at(20)),
            ..Conditions::default()
        };
        let selection = selection("", conditions);
        let check = |size, second| selection.check(&object("k", size, second), 0);
        assert_eq!(check(1, 10), Err(Skip::Size));
        assert_eq!(check(2, 10), Ok(()));
        assert_eq!(check(4, 19), Ok(()));
        assert_eq!(check(5, 10), Err(Skip::Size));
        assert_eq!(check(3, 9), Err(Skip::Time));
        assert_eq!(check(3, 20), Err(Skip::Time));
    }

    #[test]
    fn what_is_empty_is_no_object_unless_its_name_says_that_it_should_be_one() {
        let selection = selection("", Conditions::default());
        let check = |key, size| selection.check(&object(key, size, 0), 0);
        assert_eq!(check("a/", 0), Err(Skip::FolderMarker));
        assert_eq!(check("a/", 1), Ok(()));
        for marker in ["a", "logs_$folder$", "x/done", "SUCCESS.crc"] {
            assert_eq!(check(marker, 0), Err(Skip::Empty), "{marker}");
            assert_eq!(check(marker, 1), Ok(()), "{marker}");
        }
        // Nothing of it is lost, or something is and is told.
        for promising in ["a.ndjson", "a.json", "a.parquet", "a.gz", "a.zst"] {
            assert_eq!(check(promising, 0), Ok(()), "{promising}");
        }
    }

    #[test]
    fn hidden_names_are_left_out_behind_what_was_asked_for() {
        let check =
            |prefix: &str, key| selection(prefix, Conditions::default()).check(&object(key, 1, 0), prefix.len());
        for key in [
            "_metadata",
            "_SUCCESS",
            ".part-0.parquet.crc",
            "t/_delta_log/0.json",
            "t/.hoodie/x",
            "t/_temporary/0/p.parquet",
        ] {
            assert_eq!(check("", key), Err(Skip::Hidden), "{key}");
        }
        for key in ["a_b", "a.b", "_year=2024/a", "x/_k=v/a"] {
            assert_eq!(check("", key), Ok(()), "{key}");
        }
        assert_eq!(check("t/_delta_log/", "t/_delta_log/0.json"), Ok(()));
        assert_eq!(check("t/_delta", "t/_delta_log/0.json"), Ok(()));
        assert_eq!(check("t/part", "t/part_0.json"), Ok(()));
        assert_eq!(check("t/x", "t/x/_0.json"), Err(Skip::Hidden));
        let all = Conditions {
            include_hidden: true,
            ..Conditions::default()
        };
        assert_eq!(selection("", all).check(&object("_a/.b", 1, 0), 0), Ok(()));
        assert!(pattern("", "**/_delta_log/*.json", "t/_delta_log/0.json"));
        assert!(pattern("", ".env*", ".env.json"));
        assert!(!pattern("", "*.json", ".env.json"));
    }

    #[test]
    fn archived_objects_are_left_out_unless_they_are_asked_for() {
        let archived = ObjectMeta {
            archived: Some("GLACIER".to_owned()),
            ..object("a.json", 1, 0)
        };
        let check = |include_archived| {
            let conditions = Conditions {
                include_archived,
                ..Conditions::default()
            };
            selection("", conditions).check(&archived, 0)
        };
        assert_eq!(check(false), Err(Skip::Archived));
        assert_eq!(check(true), Ok(()));
    }

    #[test]
    fn keys_of_the_state_directory_are_never_taken() {
        let conditions = Conditions {
            state: Some("logs/state/".to_owned()),
            include_hidden: true,
            ..Conditions::default()
        };
        let selection = selection("logs/", conditions);
        let check = |key| selection.check(&object(key, 1, 0), 5);
        assert_eq!(check("logs/state/job/plan.json"), Err(Skip::State));
        assert_eq!(check("logs/state.json"), Ok(()));
        assert_eq!(check("logs/statement/x.json"), Ok(()));
    }
}
