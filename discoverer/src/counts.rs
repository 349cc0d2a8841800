//! What a run did, counted by its tasks while they work and told once at the end.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pf_storage::ObjectMeta;

use crate::selection::Skip;

/// Counters that tasks share. Each stands for itself, so that no order between them is needed.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Prefixes whose keys were listed.
    pub(crate) prefixes: AtomicU64,
    /// Pages asked for, without the repeats of failed requests.
    pub(crate) requests: AtomicU64,
    /// Keys that the listings showed.
    pub(crate) keys: AtomicU64,
    /// Objects that all conditions let pass.
    pub(crate) matched: AtomicU64,
    folder_markers: AtomicU64,
    by_pattern: AtomicU64,
    by_size: AtomicU64,
    by_time: AtomicU64,
    by_partitioning: AtomicU64,
    folders_kept_out: AtomicU64,
    folders_unread: AtomicU64,
}

impl Counts {
    /// Counts one object that was not taken.
    pub(crate) fn skip(&self, skip: Skip) {
        self.skipped(skip).fetch_add(1, Relaxed);
    }

    /// Counts one discovered folder that is not gone into: kept out by filters, or not read by the expression.
    pub(crate) fn skip_folder(&self, kept_out: bool) {
        let count = if kept_out {
            &self.folders_kept_out
        } else {
            &self.folders_unread
        };
        count.fetch_add(1, Relaxed);
    }

    /// Counts objects that lie where the expression has only folders.
    pub(crate) fn see_beside_folders(&self, objects: &[ObjectMeta]) {
        self.keys.fetch_add(objects.len() as u64, Relaxed);
        for object in objects {
            self.skip(if object.uri.key().ends_with('/') {
                Skip::FolderMarker
            } else {
                Skip::Partitioning
            });
        }
    }

    /// Discovered folders, first those that filters kept out, then those that don't fit the expression.
    pub(crate) fn folders(&self) -> (u64, u64) {
        (self.folders_kept_out.load(Relaxed), self.folders_unread.load(Relaxed))
    }

    fn skipped(&self, skip: Skip) -> &AtomicU64 {
        match skip {
            Skip::FolderMarker => &self.folder_markers,
            Skip::Pattern => &self.by_pattern,
            Skip::Size => &self.by_size,
            Skip::Time => &self.by_time,
            Skip::Partitioning => &self.by_partitioning,
        }
    }

    /// What kept objects out, for a person; empty when nothing did.
    pub(crate) fn skips(&self) -> String {
        let told: Vec<String> = [
            (Skip::FolderMarker, "are folder markers"),
            (Skip::Pattern, "don't match --pattern"),
            (Skip::Size, "are outside --min-size and --max-size"),
            (Skip::Time, "are outside --modified-after and --modified-before"),
            (Skip::Partitioning, "don't fit --partitioning and --filter"),
        ]
        .into_iter()
        .map(|(skip, why)| (self.skipped(skip).load(Relaxed), why))
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{count} {why}"))
        .collect();
        told.join(", ")
    }
}
