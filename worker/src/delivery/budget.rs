//! How many records may be rejected before the worker takes no more work.

use std::sync::atomic::{AtomicU64, Ordering};

use pf_work::Limit;

/// Before so many records are read, a share of them says little: one bad record among the first ten is no ten percent.
const SAMPLE_RECORDS: u64 = 10_000;

/// What was read and rejected, against the bound: by this worker, and by the others of the job as far as the ledger says.
#[derive(Debug, Default)]
pub struct ErrorBudget {
    limits: Vec<Limit>,
    read: AtomicU64,
    rejected: AtomicU64,
    /// Of these, what the ledger has of this worker.
    noted_read: AtomicU64,
    noted_rejected: AtomicU64,
    /// What the ledger has of the others.
    others_read: AtomicU64,
    others_rejected: AtomicU64,
}

impl ErrorBudget {
    /// Nothing read yet; without limits, everything may be rejected.
    pub fn new(limits: Vec<Limit>) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Whether anything is bounded.
    pub fn is_limited(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Notes what this worker wrote into the ledger.
    pub fn noted(&self, records_read: u64, records_rejected: u64) {
        self.noted_read.fetch_add(records_read, Ordering::Relaxed);
        self.noted_rejected.fetch_add(records_rejected, Ordering::Relaxed);
    }

    /// Notes what the ledger has of all workers. If too many were rejected, says so in words.
    pub fn ledger_has(&self, records_read: u64, records_rejected: u64) -> Option<String> {
        let others = |all: u64, noted: &AtomicU64| all.saturating_sub(noted.load(Ordering::Relaxed));
        self.others_read
            .store(others(records_read, &self.noted_read), Ordering::Relaxed);
        self.others_rejected
            .store(others(records_rejected, &self.noted_rejected), Ordering::Relaxed);
        self.spent(SAMPLE_RECORDS)
    }

    /// Notes records that were read.
    pub fn read(&self, records: u64) {
        self.read.fetch_add(records, Ordering::Relaxed);
    }

    /// Notes records that were rejected. If they are too many, says so in words.
    pub fn rejected(&self, records: u64) -> Option<String> {
        if records == 0 {
            return None;
        }
        self.rejected.fetch_add(records, Ordering::Relaxed);
        self.spent(SAMPLE_RECORDS)
    }

    /// Takes back records of an item that was given back: whoever reads it next counts them.
    pub fn take_back(&self, records_read: u64, records_rejected: u64) {
        self.read.fetch_sub(records_read, Ordering::Relaxed);
        self.rejected.fetch_sub(records_rejected, Ordering::Relaxed);
    }

    /// Whether too many were rejected, seen from the end, when the sample is all there is.
    pub fn spent_at_end(&self) -> Option<String> {
        self.spent(0)
    }

    fn spent(&self, sample_min: u64) -> Option<String> {
        let sum = |own: &AtomicU64, others: &AtomicU64| {
            own.load(Ordering::Relaxed)
                .saturating_add(others.load(Ordering::Relaxed))
        };
        let read = sum(&self.read, &self.others_read);
        let rejected = sum(&self.rejected, &self.others_rejected);
        let is_spent = |limit: &&Limit| {
            let says_little = matches!(limit, Limit::Percent(_)) && read < sample_min;
            !says_little && limit.is_exceeded(read, rejected)
        };
        let limit = self.limits.iter().find(is_spent)?;
        Some(format!(
            "{rejected} of {read} records were rejected, and --max-rejected allows {limit}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_spent_by_the_next_record() {
        let budget = ErrorBudget::new(Limit::list("2,100%").unwrap());
        budget.read(5);
        assert_eq!(budget.rejected(2), None);
        assert!(budget.rejected(1).unwrap().starts_with("3 of 5 records"));
    }

    #[test]
    fn a_share_is_spent_once_there_is_enough_to_tell_or_at_the_end() {
        let budget = ErrorBudget::new(vec![Limit::Percent(1.0)]);
        budget.read(SAMPLE_RECORDS - 1);
        assert_eq!(budget.rejected(200), None);
        assert!(budget.spent_at_end().is_some());
        budget.read(1);
        assert!(budget.rejected(1).is_some());
    }

    #[test]
    fn what_others_rejected_counts_too_and_what_is_our_own_counts_once() {
        let budget = ErrorBudget::new(vec![Limit::Records(10)]);
        budget.read(20);
        assert_eq!(budget.rejected(4), None);
        budget.noted(10, 3);
        // Of the nine in the ledger three are ours, and a fourth of ours is not there yet.
        assert_eq!(budget.ledger_has(50, 9), None);
        assert!(budget.rejected(1).is_some_and(|told| told.starts_with("11 of 60")));
        assert!(budget.ledger_has(50, 10).is_some());
    }

    #[test]
    fn without_a_limit_nothing_is_too_much() {
        let budget = ErrorBudget::new(Vec::new());
        budget.read(1);
        assert_eq!(budget.rejected(1), None);
        assert_eq!(budget.spent_at_end(), None);
    }
}
