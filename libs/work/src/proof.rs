//! What the comparison of ledger and manifest came to, in few words: how `pf-discoverer verify` tells the operator, through the
//! last words of its container, of which Kubernetes keeps 4 KiB.

use serde::{Deserialize, Serialize};

use crate::Counts;

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every item is completed.
    Complete,
    /// Every item is settled, some as dead letters.
    CompleteWithDeadLetters,
    /// Something is missing or doesn't add up.
    Incomplete,
}

/// The comparison's result, without the lists that it may take to mend what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The name that the books are kept under.
    pub job: String,
    /// How the job stands.
    pub verdict: Verdict,
    /// Whether the discovery came to its end; if not, `expected` is what it found so far.
    pub discovered: bool,
    /// Objects that were discovered.
    pub objects: u64,
    /// Bytes of these, as stored.
    pub object_bytes: u64,
    /// Items that were discovered.
    pub expected: u64,
    /// Items that are settled, given up ones included.
    pub settled: u64,
    /// Items that were given up.
    pub dead_lettered: u64,
    /// Items that nobody settled.
    pub missing: u64,
    /// What is wrong, for a person; empty when nothing is.
    pub wrong: String,
    /// Records and bytes of the settled items.
    #[serde(flatten)]
    pub counts: Counts,
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
