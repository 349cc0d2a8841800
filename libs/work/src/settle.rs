//! What becomes of a leased work item: one pure function, one table.
//!
//! | what happened | what follows |
//! |---|---|
//! | all records are written or dead-lettered | complete |
//! | network, 5xx, 429, throttling, past the budget of retries | release with a delay that grows |
//! | a worker that was asked to stop | release at once |
//! | the lease ran out, or was taken away | nothing: somebody else has the item |
//! | gone, changed, truncated, corrupt, of an unsupported kind, denied while others may be read | dead letter |
//! | no permission, no such target, a script that doesn't compile | release, and the worker stops |
//! | more rejected records than the error budget | release, and the worker stops |
//!
//! One bad record is no row of it: the record is dead-lettered and the item goes on. Neither is an item that kills its
//! worker again and again: nobody is left to settle it, so the queue's own redrive policy moves it.

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
/// The longest delay. SQS takes up to twelve hours, but a job that recovered shouldn't wait that long.
pub const DELAY_MAX: Duration = Duration::from_mins(15);

/// Decides what becomes of an item that was leased for the `receive_count`-th time (from 1).
///
/// How often an item is tried in all is the queue's to say, with its redrive policy: here a release is never the last.
pub fn settle(outcome: Outcome, receive_count: u32) -> Settlement {
    match outcome {
        Outcome::Finished => Settlement::Complete,
        Outcome::Unavailable { .. } => {
            let doublings = receive_count.saturating_sub(1).min(16);
            Settlement::Release {
                delay: (DELAY_FIRST * 2_u32.pow(doublings)).min(DELAY_MAX),
            }
        }
        Outcome::Interrupted => Settlement::Release { delay: Duration::ZERO },
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
        assert_eq!(settle(Outcome::Finished, 3), Settlement::Complete);
    }

    #[test]
    fn an_unavailable_object_is_released_with_a_delay_that_doubles_up_to_a_limit() {
        let delay = |count| match settle(Outcome::Unavailable { reason: reason() }, count) {
            Settlement::Release { delay } => delay.as_secs(),
            other => panic!("must be released, not {other:?}"),
        };
        assert_eq!([0, 1, 2, 3, 4].map(delay), [10, 10, 20, 40, 80]);
        assert_eq!([8, 100, u32::MAX].map(delay), [900; 3]);
    }

    #[test]
    fn an_interrupted_item_is_released_at_once() {
        assert_eq!(
            settle(Outcome::Interrupted, 1),
            Settlement::Release { delay: Duration::ZERO }
        );
    }

    #[test]
    fn an_item_whose_lease_is_lost_is_left_to_its_new_holder() {
        assert_eq!(settle(Outcome::LeaseLost, 1), Settlement::Abandon);
    }

    #[test]
    fn a_broken_object_is_a_dead_letter_however_often_it_was_tried() {
        for (count, flaw) in [1, 2, 100].into_iter().zip(Flaw::ALL) {
            let broken = Outcome::Broken { flaw, reason: reason() };
            let letter = Settlement::DeadLetter { flaw, reason: reason() };
            assert_eq!(settle(broken, count), letter);
        }
    }

    #[test]
    fn a_refusal_and_a_spent_budget_consume_nothing_and_stop_the_worker() {
        for outcome in [
            Outcome::Refused { reason: reason() },
            Outcome::ErrorBudgetSpent { reason: reason() },
        ] {
            assert_eq!(settle(outcome, 1), Settlement::ReleaseAndStop { reason: reason() });
        }
    }
}
