//! The status as a value: conditions that keep their times, and what each turn of a job's life makes of them. Pure.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use pf_work::proof::Summary;

use crate::crd::{IngestJobStatus, Items, Phase, Records};

/// The longest message of a condition; what is longer is cut.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Conditions in the order in which they are shown.
pub const READY: &str = "Ready";
/// All objects are known.
pub const DISCOVERED: &str = "Discovered";
/// The number of workers follows the backlog.
pub const SCALING_ACTIVE: &str = "ScalingActive";
/// Every item is settled, and that is proven.
pub const COMPLETE: &str = "Complete";
/// The job ended before that.
pub const FAILED: &str = "Failed";
/// The job is at rest.
pub const SUSPENDED: &str = "Suspended";
/// kstatus: work is under way. There only while it is true.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: somebody must do something. There only while it is true.
pub const STALLED: &str = "Stalled";

/// Whether a phase is one that a job stays in.
pub fn is_over(phase: Option<Phase>) -> bool {
    match phase {
        Some(Phase::Complete | Phase::CompleteWithFailures | Phase::Failed) => true,
        Some(Phase::Pending | Phase::Discovering | Phase::Running | Phase::Suspended) | None => false,
    }
}

/// Whether a condition holds.
pub fn holds(status: &IngestJobStatus, kind: &str) -> bool {
    let of_kind = |condition: &&Condition| condition.type_ == kind;
    status
        .conditions
        .iter()
        .find(of_kind)
        .is_some_and(|condition| condition.status == "True")
}

/// A status that is being made out of the last one.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The status.
    pub status: IngestJobStatus,
    generation: Option<i64>,
    now: Timestamp,
}

impl Draft {
    /// Begins with the last status, for a spec of this generation.
    pub fn new(last: Option<&IngestJobStatus>, generation: Option<i64>, now: Timestamp) -> Self {
        let mut status = last.cloned().unwrap_or_default();
        status.observed_generation = generation;
        Self {
            status,
            generation,
            now,
        }
    }

    /// Says whether a condition holds, and why. Its time changes only when it begins or ceases to hold.
    pub fn set(&mut self, kind: &str, holds: bool, reason: &str, message: impl Into<String>) {
        let mut message: String = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        let holds = if holds { "True" } else { "False" };
        let last = self
            .status
            .conditions
            .iter_mut()
            .find(|condition| condition.type_ == kind);
        let changed_at = match &last {
            Some(last) if last.status == holds => last.last_transition_time.clone(),
            _ => Time(self.now),
        };
        let condition = Condition {
            type_: kind.to_owned(),
            status: holds.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: self.generation,
            last_transition_time: changed_at,
        };
        match last {
            Some(last) => *last = condition,
            None => self.status.conditions.push(condition),
        }
    }

    /// Takes away a condition that is there only while it holds.
    pub fn clear(&mut self, kind: &str) {
        self.status.conditions.retain(|condition| condition.type_ != kind);
    }

    /// Work is under way.
    pub fn reconciling(&mut self, reason: &str, message: &str) {
        self.clear(STALLED);
        self.set(RECONCILING, true, reason, message);
        self.set(READY, false, reason, message);
    }

    /// Somebody must do something before it goes on; what runs is left alone.
    pub fn stalled(&mut self, reason: &str, message: &str) {
        self.clear(RECONCILING);
        self.set(STALLED, true, reason, message);
        self.set(READY, false, reason, message);
    }

    /// Takes over what a proof told.
    pub fn proven(&mut self, proof: &Summary) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.status.items = Some(Items {
            discovered: count(proof.expected),
            discovered_is_final: proof.discovered,
            settled: count(proof.settled),
            dead_letters: count(proof.dead_lettered),
            discovered_bytes: count(proof.object_bytes),
            settled_bytes: count(proof.counts.wire_bytes),
        });
        self.status.records = Some(Records {
            read: count(proof.counts.records_in),
            written: count(proof.counts.records_out),
            filtered: count(proof.counts.records_filtered),
            duplicates: count(proof.counts.records_duplicate),
            updated: count(proof.counts.records_updated),
            rejected: count(proof.counts.records_rejected),
            conflicting: count(proof.counts.records_conflicting),
            redirected: count(proof.counts.records_redirected),
            dropped: count(proof.counts.records_dropped),
        });
    }

    /// The job is over: what it stays.
    pub fn over(&mut self, phase: Phase, reason: &str, message: &str) {
        let well = phase != Phase::Failed;
        self.status.phase = Some(phase);
        self.status.completed_at = Some(Time(self.now));
        self.status.estimated_completion_at = None;
        self.status.bytes_per_second = None;
        self.clear(RECONCILING);
        self.clear(STALLED);
        self.set(READY, well, reason, message);
        self.set(COMPLETE, well, reason, message);
        self.set(FAILED, !well, reason, message);
        self.set(SCALING_ACTIVE, false, reason, "the job is over");
        if !well {
            // For kstatus, and who reads it as Argo CD does: nothing will change by itself any more.
            self.set(STALLED, true, reason, message);
        }
        if well {
            self.status.backlog = Some(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_conditions_time_is_that_of_its_last_change() {
        let mut first = Draft::new(None, Some(1), at(10));
        first.set(COMPLETE, false, "Running", "not yet");
        let mut second = Draft::new(Some(&first.status), Some(2), at(20));
        second.set(COMPLETE, false, "Proving", "soon");
        let condition = &second.status.conditions[0];
        assert_eq!(condition.last_transition_time, Time(at(10)));
        assert_eq!(
            (condition.reason.as_str(), condition.observed_generation),
            ("Proving", Some(2))
        );
        let mut third = Draft::new(Some(&second.status), Some(2), at(30));
        third.set(COMPLETE, true, "Complete", "done");
        assert_eq!(third.status.conditions[0].last_transition_time, Time(at(30)));
        assert_eq!(third.status.conditions.len(), 1);
    }

    #[test]
    fn what_is_stalled_is_not_reconciling_and_the_other_way_round() {
        let mut draft = Draft::new(None, Some(1), at(0));
        draft.stalled("Refused", "no such index");
        assert!(holds(&draft.status, STALLED) && !holds(&draft.status, RECONCILING));
        draft.reconciling("Running", "at work");
        assert!(!holds(&draft.status, STALLED) && holds(&draft.status, RECONCILING));
        draft.over(Phase::Complete, "Complete", "all settled");
        assert!(!holds(&draft.status, RECONCILING) && holds(&draft.status, READY));
        draft.over(Phase::Failed, "ErrorBudget", "too many");
        assert!(holds(&draft.status, STALLED) && holds(&draft.status, FAILED) && !holds(&draft.status, READY));
    }
}
