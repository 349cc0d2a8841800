//! What the comparison of ledger and manifest came to, in few words: how `pf-discoverer verify` tells the operator, through the
//! last words of its container, of which Kubernetes keeps 4 KiB.

use serde::{Deserialize, Serialize};

use crate::Counts;

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every item is completed, and every record that was to arrive did.
    Complete,
    /// Every item is settled; items or records are dead letters, or were dropped or put elsewhere by the sink, or nothing
    /// matched at all.
    CompleteWithDeadLetters,
    /// Something is missing or doesn't add up.
    Incomplete,
}

/// The comparison's result, without the lists that it may take to mend what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The name that the books are kept under.
    pub job: String,
    /// Whose the books are; absent in a summary of an older program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The life of the job that the counts are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<String>,
    /// Who had the books before, where they were taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<String>,
    /// How the job stands.
    pub verdict: Verdict,
    /// Whether the discovery came to its end; if not, `expected` is what it found so far.
    pub discovered: bool,
    /// Objects that were discovered.
    pub objects: u64,
    /// Bytes of these, as stored.
    pub object_bytes: u64,
    /// Objects that were left out because they are archived.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub archived: u64,
    /// Items that were discovered.
    pub expected: u64,
    /// Items that are settled, given up ones included.
    pub settled: u64,
    /// Items that were given up.
    pub dead_lettered: u64,
    /// Items that nobody settled.
    pub missing: u64,
    /// Of the settled items, those that were settled for an earlier owner; their records are not in the counts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub settled_before: u64,
    /// How many more records were rejected than are allowed, in words, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_spent: Option<String>,
    /// What is wrong, for a person; empty when nothing is.
    pub wrong: String,
    /// Records and bytes of the items that were settled for this owner.
    #[serde(flatten)]
    pub counts: Counts,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Summary {
    /// The most of `wrong` that is kept, in bytes: all of a summary then fits into a container's last words.
    const WRONG_BYTES_MAX: usize = 1024;

    /// As JSON, on one line, of less than 4 KiB for names of usual lengths.
    pub fn to_json(&self) -> String {
        let mut short = self.clone();
        short
            .wrong
            .truncate(short.wrong.floor_char_boundary(Self::WRONG_BYTES_MAX));
        serde_json::to_string(&short).expect("a summary is plain data")
    }

    /// Reads one; absent where the text is none, as the last lines of a log are.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
