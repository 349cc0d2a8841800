//! What a run did, counted by its tasks while they work and told once at the end.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use pf_storage::ObjectMeta;

use crate::selection::Skip;

/// Folders and names of each kind that are told by name.
const NAMED_MAX: usize = 3;

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
    in_state: AtomicU64,
    hidden: AtomicU64,
    empty: AtomicU64,
    archived: Arc<AtomicU64>,
    by_pattern: AtomicU64,
    by_size: AtomicU64,
    by_time: AtomicU64,
    by_partitioning: AtomicU64,
    folders_kept_out: AtomicU64,
    folders_unread: Named,
    folders_hidden: AtomicU64,
    unnameable: Named,
}

/// A count, and the first of what it counts.
#[derive(Debug, Default)]
struct Named {
    count: AtomicU64,
    first: Mutex<Vec<String>>,
}

impl Named {
    fn add(&self, name: &str) {
        if self.count.fetch_add(1, Relaxed) < NAMED_MAX as u64 {
            let mut first = self.first.lock().expect("no holder of this lock panics");
            first.push(name.to_owned());
        }
    }

    fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// As in "`a`, `b`, `c` and 4 more".
    fn names(&self) -> String {
        let first = self.first.lock().expect("no holder of this lock panics");
        let names: Vec<String> = first.iter().map(|name| format!("`{name}`")).collect();
        let names = names.join(", ");
        match self.count() - first.len() as u64 {
            0 => names,
            more => format!("{names} and {more} more"),
        }
    }
}

impl Counts {
    /// Counts one object that was not taken.
    pub(crate) fn skip(&self, skip: Skip) {
        self.skipped(skip).fetch_add(1, Relaxed);
    }

    /// Counts one discovered folder that is not gone into: kept out by filters, or not read by the expression.
    pub(crate) fn skip_folder(&self, folder: &str, kept_out: bool) {
        if kept_out {
            self.folders_kept_out.fetch_add(1, Relaxed);
        } else {
            self.folders_unread.add(folder);
        }
    }

    /// Counts one discovered folder whose name is hidden.
    pub(crate) fn skip_hidden_folder(&self) {
        self.folders_hidden.fetch_add(1, Relaxed);
    }

    /// Counts an object or folder that would be taken, and has no address because its name is not UTF-8.
    pub(crate) fn see_unnameable(&self, lossy: &str) {
        self.unnameable.add(lossy);
    }

    /// How many objects were left out because they have no address, and the first of them.
    pub(crate) fn unnameable(&self) -> Option<(u64, String)> {
        let count = self.unnameable.count();
        (count > 0).then(|| (count, self.unnameable.names()))
    }

    /// How many objects were left out because they are archived.
    pub(crate) fn archived(&self) -> u64 {
        self.archived.load(Relaxed)
    }

    /// The same while the listing goes on.
    pub(crate) fn archived_so_far(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.archived)
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
        (self.folders_kept_out.load(Relaxed), self.folders_unread.count())
    }

    /// The first folders that don't fit the expression, for a person.
    pub(crate) fn unread_folders(&self) -> String {
        self.folders_unread.names()
    }

    fn skipped(&self, skip: Skip) -> &AtomicU64 {
        match skip {
            Skip::FolderMarker => &self.folder_markers,
            Skip::State => &self.in_state,
            Skip::Hidden => &self.hidden,
            Skip::Empty => &self.empty,
            Skip::Archived => &self.archived,
            Skip::Pattern => &self.by_pattern,
            Skip::Size => &self.by_size,
            Skip::Time => &self.by_time,
            Skip::Partitioning => &self.by_partitioning,
        }
    }

    /// What kept objects out, for a person; empty when nothing did.
    pub(crate) fn skips(&self) -> String {
        let mut told: Vec<String> = [
            (Skip::FolderMarker, "are folder markers"),
            (Skip::State, "are of the state directory"),
            (Skip::Hidden, "are hidden by `_` or `.`"),
            (Skip::Empty, "are empty"),
            (Skip::Archived, "are archived"),
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
        let folders = self.folders_hidden.load(Relaxed);
        if folders > 0 {
            told.push(format!("{folders} folders are hidden by `_` or `.`"));
        }
        told.join(", ")
    }
}
