//! What a discovery came to, in few words: how `pf-discoverer` tells the operator, through the last words of its container, of
//! which Kubernetes keeps 4 KiB.

use serde::{Deserialize, Serialize};

/// Everything that a job is made of, once all of it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// The name that the books are kept under.
    pub job: String,
    /// Whose the books are; absent where none are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The life of the job that its items carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<String>,
    /// Who had the books before, where they were taken over: what was settled then is not settled again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<String>,
    /// Work items.
    pub items: u64,
    /// Objects that they cover.
    pub objects: u64,
    /// Bytes of these, as stored.
    pub object_bytes: u64,
    /// Objects that were left out because they are archived.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub archived: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Discovered {
    /// As JSON, on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("what was discovered is plain data")
    }

    /// Reads one; absent where the text is none, as the last lines of a log are.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
