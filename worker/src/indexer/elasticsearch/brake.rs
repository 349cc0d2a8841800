//! Whether it is the documents, or what they go to: what is known of it over all bulks. Documents are given up one by one, and
//! an index that takes none of them would have all of them given up. No clock, no IO.

use std::sync::{Mutex, MutexGuard};

/// So many documents that are rejected in a row, before any is accepted, are not rejected for what is in them.
const REJECTED_MAX: u64 = 1_000;

/// So many documents may be doubted, and be found to be at fault themselves, without one that is accepted in between.
const DOUBTFUL_MAX: u64 = 32;

/// What all bulks have shown.
#[derive(Debug)]
pub(super) struct Brake {
    /// Nobody has said how much may be rejected.
    stops: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Documents that are there.
    accepted: u64,
    /// Doubtful documents that were found at fault since one was accepted.
    doubtful: u64,
    /// For what kind of reason the last were rejected, and how many in a row.
    kind: String,
    row: u64,
    is_told: bool,
}

impl Brake {
    /// Nothing is known yet; without `stops`, anything may be rejected.
    pub(super) fn new(stops: bool) -> Self {
        Self {
            stops,
            state: Mutex::default(),
        }
    }

    /// How many documents were accepted: when there are more, something has been accepted since.
    pub(super) fn mark(&self) -> u64 {
        self.state().accepted
    }

    /// Documents are there.
    pub(super) fn accept(&self, documents: u64) {
        if documents > 0 {
            let mut state = self.state();
            state.accepted += documents;
            (state.doubtful, state.row) = (0, 0);
        }
    }

    /// Whether doubtful documents, of an answer that accepted none, are at fault themselves: others were accepted since
    /// `mark`, or were before and the doubtful ones are few.
    pub(super) fn are_at_fault(&self, documents: u64, mark: u64) -> bool {
        let mut state = self.state();
        if state.accepted > mark {
            return true;
        }
        let are_few = state.accepted > 0 && state.doubtful + documents <= DOUBTFUL_MAX;
        if are_few {
            state.doubtful += documents;
        }
        are_few
    }

    /// Looks at the documents that an answer rejects, or at the records that are not even sent, each by the kind of its reason
    /// and in words, before they are given up; `is_all` is whether there are no others beside them. If it can't be their fault, says so in words.
    pub(super) fn reject<'a>(&self, rejected: impl Iterator<Item = (&'a str, String)>, is_all: bool) -> Option<String> {
        let mut state = self.state();
        let mut first = None;
        let mut is_one_kind = true;
        for (kind, words) in rejected {
            if state.kind == kind {
                state.row += 1;
            } else {
                is_one_kind &= first.is_none();
                kind.clone_into(&mut state.kind);
                state.row = 1;
            }
            first.get_or_insert(words);
        }
        let first = first?;
        if self.stops && state.accepted == 0 && state.row >= REJECTED_MAX {
            return Some(format!(
                "none of the first {} documents was taken, all for one kind of reason: {first}: see whether the mapping and the flags \
                 suit the records, or say with --max-rejected how many may be rejected",
                state.row
            ));
        }
        if is_all && is_one_kind && !state.is_told {
            state.is_told = true;
            tracing::warn!("every document of a bulk or batch was rejected, for one kind of reason: {first}");
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while holding it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(kinds: &[&'static str]) -> impl Iterator<Item = (&'static str, String)> {
        kinds.iter().map(|kind| (*kind, format!("{kind}: r")))
    }

    #[test]
    fn a_thousand_rejected_in_a_row_for_one_kind_of_reason_before_any_is_accepted_are_not_at_fault() {
        let brake = Brake::new(true);
        assert_eq!(brake.reject(rejected(&["a"; 999]), true), None);
        let reason = brake.reject(rejected(&["a"]), true).unwrap();
        assert!(
            reason.starts_with("none of the first 1000 documents was taken") && reason.contains("a: r"),
            "{reason}"
        );
        // Of several kinds, or after one that was accepted, or where a limit is given, they are.
        let brake = Brake::new(true);
        for _ in 0..2000 {
            assert_eq!(brake.reject(rejected(&["a", "b"]), true), None);
        }
        let brake = Brake::new(true);
        brake.accept(1);
        assert_eq!(brake.reject(rejected(&vec!["a"; 5000]), true), None);
        assert_eq!(Brake::new(false).reject(rejected(&vec!["a"; 5000]), true), None);
    }

    #[test]
    fn doubtful_ones_are_at_fault_when_others_are_accepted_since_or_they_are_few() {
        let brake = Brake::new(true);
        assert!(!brake.are_at_fault(1, 0), "nothing was accepted yet");
        brake.accept(10);
        assert!(brake.are_at_fault(5000, 9));
        let mark = brake.mark();
        assert!(brake.are_at_fault(DOUBTFUL_MAX, mark));
        assert!(!brake.are_at_fault(1, mark));
        brake.accept(1);
        assert!(brake.are_at_fault(1, mark + 1));
    }
}
