//! What becomes of a leased work item: one pure function, one table.
//!
//! | what happened | what follows |
//! |---|---|
//! | all records are written or dead-lettered | complete |
//! | storage or sink are out of reach for everybody | release with a delay; it costs no try |
//! | this object is out of reach while others are read well | release with a delay that grows; after so many tries, dead letter |
//! | a worker that was asked to stop | release at once; it costs no try |
//! | the lease ran out, or was taken away | nothing: somebody else has the item |
//! | gone, changed, truncated, corrupt, of an unsupported kind, denied while others may be read | dead letter |
//! | no permission, no such target, a script that doesn't compile | release, and the worker stops |
//! | more rejected records than the error budget | release, and the worker stops |
//!
//! One bad record is no row of it: the record is dead-lettered and the item goes on. An item that kills its worker again and
//! again is judged by [`is_spent`] before it is read once more; where no worker lives long enough for that, the queue's own
//! redrive policy moves it.

use std::time::Duration;

/// What kind of wrong there is with an object that can't be read: the bounded half of a reason, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is not there any more.
    Gone,
    /// It is not the one that was listed.
    Changed,
    /// It ends early.
    Truncated,
    /// Its bytes are not what they should be.
    Corrupt,
    /// It is of a kind, or uses a feature, that we don't read.
    Unsupported,
    /// It may not be read, though others may.
    Denied,
    /// Anything else.
    Other,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Gone,
        Self::Changed,
        Self::Truncated,
        Self::Corrupt,
        Self::Unsupported,
        Self::Denied,
        Self::Other,
    ];

    /// In one word, as a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Changed => "changed",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::Denied => "denied",
            Self::Other => "other",
        }
    }
}

/// What happened to a leased item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Read to its end; every record is written, filtered out, or a record dead letter.
    Finished,
    /// Storage or sink were out of reach for longer than we retry.
    Unavailable {
        /// What was out of reach.
        reason: String,
    },
    /// This object could not be read for longer than we retry, while others could: it failed for its own sake.
    Failing {
        /// What was out of reach.
        reason: String,
    },
    /// The worker was asked to stop before the item's end.
    Interrupted,
    /// The lease is lost: the queue gave the item to somebody else, or will.
    LeaseLost,
    /// The object can't be read, now or later. What was read before stays written.
    Broken {
        /// The kind of it.
        flaw: Flaw,
        /// What is wrong with it.
        reason: String,
    },
    /// We are refused, and would be with every other item too.
    Refused {
        /// By whom, and what they said.
        reason: String,
    },
    /// The job has more rejected records than it may have.
    ErrorBudgetSpent {
        /// The numbers, in words.
        reason: String,
    },
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Take the item out of the queue.
    Complete,
    /// Give the item back.
    Release {
        /// How long nobody should lease it.
        delay: Duration,
        /// Whether it failed for its own sake, which is a try of it.
        is_try: bool,
    },
    /// Leave the item to whoever holds it now.
    Abandon,
    /// Give the item up, and keep it with the reason.
    DeadLetter {
        /// The kind of reason.
        flaw: Flaw,
        /// The reason.
        reason: String,
    },
    /// Give the item back at once, and take no more work.
    ReleaseAndStop {
        /// What the worker says as it exits.
        reason: String,
    },
}

/// The delay after the first failed try; it doubles with each further one.
pub const DELAY_FIRST: Duration = Duration::from_secs(10);
/// The longest delay, which is also the longest that SQS takes for a new message.
pub const DELAY_MAX: Duration = Duration::from_mins(15);

/// How often an item is tried where no redrive policy says so.
pub const TRIES_MAX: u32 = 5;

/// Whether an item with so many failures of its own since its last progress has had all its tries.
pub fn is_spent(failures: u32, tries_max: u32) -> bool {
    failures >= tries_max.max(1)
}

/// Decides what becomes of an item that failed `failures` times for its own sake before this and since its last progress, of
/// `tries_max` times that it may.
pub fn settle(outcome: Outcome, failures: u32, tries_max: u32) -> Settlement {
    match outcome {
        Outcome::Finished => Settlement::Complete,
        Outcome::Unavailable { .. } => Settlement::Release {
            delay: DELAY_FIRST,
            is_try: false,
        },
        Outcome::Failing { reason } => {
            let tries = failures.saturating_add(1);
            if is_spent(tries, tries_max) {
                return Settlement::DeadLetter {
                    flaw: Flaw::Other,
                    reason: format!("given up after {tries} tries, while other objects were read well: {reason}"),
                };
            }
            Settlement::Release {
                delay: (DELAY_FIRST * 2_u32.pow(failures.min(16))).min(DELAY_MAX),
                is_try: true,
            }
        }
        Outcome::Interrupted => Settlement::Release {
            delay: Duration::ZERO,
            is_try: false,
        },
        Outcome::LeaseLost => Settlement::Abandon,
        Outcome::Broken { flaw, reason } => Settlement::DeadLetter { flaw, reason },
        Outcome::Refused { reason } | Outcome::ErrorBudgetSpent { reason } => Settlement::ReleaseAndStop { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason() -> String {
        "because".to_owned()
    }

    #[test]
    fn a_finished_item_is_complete() {
        assert_eq!(settle(Outcome::Finished, 3, 3), Settlement::Complete);
    }

    #[test]
    fn an_outage_costs_no_try_however_often_it_comes() {
        for failures in [0, 1, 100, u32::MAX] {
            let settlement = settle(Outcome::Unavailable { reason: reason() }, failures, 3);
            let (delay, is_try) = (DELAY_FIRST, false);
            assert_eq!(settlement, Settlement::Release { delay, is_try });
        }
    }

    #[test]
    fn an_object_that_fails_alone_is_tried_again_later_and_later_and_then_given_up() {
        let delay = |failures, tries_max| match settle(Outcome::Failing { reason: reason() }, failures, tries_max) {
            Settlement::Release { delay, is_try: true } => Some(delay.as_secs()),
            Settlement::DeadLetter { reason, .. } => {
                assert!(reason.contains("tries") && reason.ends_with("because"), "{reason}");
                None
            }
            other => panic!("must be released or given up, not {other:?}"),
        };
        assert_eq!(
            [0, 1, 2, 3, 4].map(|failures| delay(failures, 5)),
            [Some(10), Some(20), Some(40), Some(80), None]
        );
        assert_eq!(delay(100, 1000), Some(900), "up to a limit");
        assert_eq!([delay(0, 1), delay(0, 0), delay(u32::MAX, 3)], [None; 3]);
    }

    #[test]
    fn an_interrupted_item_is_released_at_once_and_at_no_cost() {
        let (delay, is_try) = (Duration::ZERO, false);
        assert_eq!(
            settle(Outcome::Interrupted, 1, 1),
            Settlement::Release { delay, is_try }
        );
    }

    #[test]
    fn an_item_whose_lease_is_lost_is_left_to_its_new_holder() {
        assert_eq!(settle(Outcome::LeaseLost, 1, 5), Settlement::Abandon);
    }

    #[test]
    fn a_broken_object_is_a_dead_letter_however_often_it_was_tried() {
        for (count, flaw) in [0, 1, 100].into_iter().zip(Flaw::ALL) {
            let broken = Outcome::Broken { flaw, reason: reason() };
            let letter = Settlement::DeadLetter { flaw, reason: reason() };
            assert_eq!(settle(broken, count, 5), letter);
        }
    }

    #[test]
    fn a_refusal_and_a_spent_budget_consume_nothing_and_stop_the_worker() {
        for outcome in [
            Outcome::Refused { reason: reason() },
            Outcome::ErrorBudgetSpent { reason: reason() },
        ] {
            assert_eq!(settle(outcome, 1, 1), Settlement::ReleaseAndStop { reason: reason() });
        }
    }
}
