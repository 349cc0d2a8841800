//! How many records of a job may be rejected: a number, or a share of those that were read.

use std::{fmt, str::FromStr};

/// The bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Records.
    Records(u64),
    /// Percent of the records read, 0 to 100.
    Percent(f64),
}

impl Limit {
    /// One or more limits, separated by commas: each of them holds.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',').map(|limit| limit.trim().parse()).collect()
    }

    /// Whether more records were rejected than it allows.
    pub fn is_exceeded(self, read: u64, rejected: u64) -> bool {
        match self {
            Self::Records(records) => rejected > records,
            Self::Percent(percent) => rejected as f64 > read as f64 * percent / 100.0,
        }
    }
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

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(records) => write!(f, "{records}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_are_numbers_or_shares() {
        assert_eq!(
            Limit::list("10, 0.5%"),
            Ok(vec![Limit::Records(10), Limit::Percent(0.5)])
        );
        for wrong in ["", "-1", "1.5", "101%", "-1%", "NaN%", "x%", "ten"] {
            let error = wrong.parse::<Limit>().unwrap_err();
            assert!(error.contains("0.5%"), "{error}");
        }
    }

    #[test]
    fn what_is_allowed_is_not_too_much() {
        assert!(!Limit::Records(2).is_exceeded(5, 2) && Limit::Records(2).is_exceeded(5, 3));
        assert!(!Limit::Percent(1.0).is_exceeded(100, 1) && Limit::Percent(1.0).is_exceeded(100, 2));
        assert!(!Limit::Percent(0.0).is_exceeded(0, 0) && Limit::Percent(0.0).is_exceeded(10, 1));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            Limit::list(&text).ok();
        }

        #[test]
        fn what_is_shown_is_read_back(records in any::<u64>(), percent in 0.0..=100.0) {
            for limit in [Limit::Records(records), Limit::Percent(percent)] {
                prop_assert_eq!(limit.to_string().parse(), Ok(limit));
            }
        }
    }
}
