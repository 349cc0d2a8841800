//! How many records may be rejected before the worker takes no more work.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

/// Before so many records are read, a share of them says little: one bad record among the first ten is no ten percent.
const SAMPLE_RECORDS: u64 = 10_000;

/// The bound: a number of records, or a share of those that were read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Records.
    Records(u64),
    /// Percent of the records read, 0 to 100.
    Percent(f64),
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a number of records, as in 1000, nor a share, as in 0.5%");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Records).map_err(|_| wrong()),
            Some(percent) => percent
                .parse()
                .ok()
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map(Self::Percent)
                .ok_or_else(wrong),
        }
    }
}

impl Limit {
    /// One or more limits, separated by commas: each of them holds.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',').map(|limit| limit.trim().parse()).collect()
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(records) => write!(f, "{records}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// What a worker read and rejected, against the bound.
#[derive(Debug, Default)]
pub struct ErrorBudget {
    limits: Vec<Limit>,
    read: AtomicU64,
    rejected: AtomicU64,
}

impl ErrorBudget {
    /// Nothing read yet; without limits, everything may be rejected.
    pub fn new(limits: Vec<Limit>) -> Self {
        Self {
            limits,
            ..Self::default()
        }
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

    /// Whether too many were rejected, seen from the end, when the sample is all there is.
    pub fn spent_at_end(&self) -> Option<String> {
        self.spent(0)
    }

    fn spent(&self, sample_min: u64) -> Option<String> {
        let (read, rejected) = (self.read.load(Ordering::Relaxed), self.rejected.load(Ordering::Relaxed));
        let is_spent = |limit: &&Limit| match limit {
            Limit::Records(records) => rejected > *records,
            Limit::Percent(percent) => read >= sample_min && rejected as f64 > read as f64 * percent / 100.0,
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
    fn limits_are_numbers_or_shares() {
        assert_eq!("10".parse(), Ok(Limit::Records(10)));
        assert_eq!("0.5%".parse(), Ok(Limit::Percent(0.5)));
        for wrong in ["", "-1", "1.5", "101%", "-1%", "NaN%", "x%", "ten"] {
            let error = wrong.parse::<Limit>().unwrap_err();
            assert!(error.contains("0.5%"), "{error}");
        }
    }

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
    fn without_a_limit_nothing_is_too_much() {
        let budget = ErrorBudget::new(Vec::new());
        budget.read(1);
        assert_eq!(budget.rejected(1), None);
        assert_eq!(budget.spent_at_end(), None);
    }
}
