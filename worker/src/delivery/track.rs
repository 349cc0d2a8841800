//! What is known of one item's way: which of its records are acknowledged, and up to where in the object. Pure.
//!
//! Reading goes on in steps, one for each batch, and acknowledgements come in any order. What counts for a checkpoint is the
//! longest run of steps from the start that is acknowledged whole.

use std::collections::VecDeque;

use pf_work::{Counts, checkpoint::Position, settle::Outcome};

/// A step's number in its item, from 0.
pub type StepNumber = u64;

/// How far everything is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Where reading can go on; none before the first step is acknowledged, unless it began at a checkpoint.
    pub position: Option<Position>,
    /// What became of the records below, from the item's start.
    pub counts: Counts,
}

/// One item's steps.
#[derive(Debug, Default)]
pub struct Track {
    /// Those that are not acknowledged, and those behind them.
    steps: VecDeque<Step>,
    /// The number of the first of them.
    first: StepNumber,
    done: Done,
    /// Holds on all steps together.
    holds: usize,
    /// How reading ended.
    ended: Option<Outcome>,
    /// The worst that became of what was read.
    failed: Option<Outcome>,
}

#[derive(Debug)]
struct Step {
    counts: Counts,
    position: Option<Position>,
    holds: u32,
    /// A part of it was not taken: it is never acknowledged.
    is_broken: bool,
}

impl Track {
    /// The track of an item of which everything up to `done` was acknowledged before.
    pub fn resumed(done: Done) -> Self {
        Self {
            done,
            ..Self::default()
        }
    }

    /// Begins a step: `counts` were read, and reading could go on at `position` behind it. It has one hold.
    pub fn begin(&mut self, counts: Counts, position: Option<Position>) -> StepNumber {
        debug_assert!(self.ended.is_none(), "nothing is read behind the end");
        self.steps.push_back(Step {
            counts,
            position,
            holds: 1,
            is_broken: false,
        });
        self.holds += 1;
        self.first + self.steps.len() as u64 - 1
    }

    /// One more part of a step waits to be acknowledged.
    pub fn hold(&mut self, step: StepNumber) {
        self.step(step).holds += 1;
        self.holds += 1;
    }

    /// A part of a step is acknowledged; `counts` say what became of its records.
    pub fn acknowledge(&mut self, step: StepNumber, counts: Counts) {
        self.step(step).counts += counts;
        self.let_go(step);
    }

    /// A part of a step was not taken.
    pub fn fail(&mut self, step: StepNumber, outcome: Outcome) {
        self.step(step).is_broken = true;
        if self
            .failed
            .as_ref()
            .is_none_or(|known| weight(known) < weight(&outcome))
        {
            self.failed = Some(outcome);
        }
        self.let_go(step);
    }

    /// Reading has ended. The first end stands.
    pub fn end(&mut self, outcome: Outcome) {
        self.ended.get_or_insert(outcome);
    }

    /// The item can't be read now, for a reason that is not its object's.
    pub fn hinder(&mut self, outcome: Outcome) {
        self.failed.get_or_insert(outcome);
        self.end(Outcome::Interrupted);
    }

    /// Whether reading goes on.
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Up to where everything is acknowledged.
    pub fn done(&self) -> Done {
        self.done
    }

    /// Whether going on with reading is of no use: what was read before can't be delivered.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether it was reading that ended for want of the storage, while all that was read could be delivered.
    pub fn failed_to_read(&self) -> bool {
        self.failed.is_none() && matches!(self.ended, Some(Outcome::Unavailable { .. }))
    }

    /// What happened to the item, once nothing of it is under way any more.
    pub fn outcome(&self) -> Option<Outcome> {
        let ended = self.ended.as_ref().filter(|_| self.holds == 0)?;
        let worst = [self.failed.as_ref(), Some(ended)].into_iter().flatten();
        worst.max_by_key(|outcome| weight(outcome)).cloned()
    }

    fn step(&mut self, step: StepNumber) -> &mut Step {
        let place = step
            .checked_sub(self.first)
            .and_then(|place| usize::try_from(place).ok());
        place
            .and_then(|place| self.steps.get_mut(place))
            .expect("a step that is held is not acknowledged")
    }

    fn let_go(&mut self, step: StepNumber) {
        let step = self.step(step);
        step.holds = step.holds.checked_sub(1).expect("each hold is let go once");
        self.holds -= 1;
        while let Some(front) = self.steps.pop_front_if(|front| front.holds == 0 && !front.is_broken) {
            self.first += 1;
            self.done.counts += front.counts;
            self.done.position = front.position.or(self.done.position);
        }
    }
}

/// Of several things that happened to an item, the heaviest decides what becomes of it: first what would happen to every
/// other item too, then what another try may heal, and only then what was found in the object itself.
fn weight(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Finished => 0,
        Outcome::Broken { .. } => 1,
        Outcome::Interrupted => 2,
        Outcome::Unavailable { .. } | Outcome::Failing { .. } => 3,
        Outcome::ErrorBudgetSpent { .. } => 4,
        Outcome::Refused { .. } => 5,
        // Whatever else there is, it is not ours any more.
        Outcome::LeaseLost => 6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use pf_work::settle::Flaw;

    use super::*;

    fn read(records: u64) -> Counts {
        Counts {
            records_in: records,
            ..Counts::default()
        }
    }

    fn written(records: u64) -> Counts {
        Counts {
            records_out: records,
            ..Counts::default()
        }
    }

    fn byte(offset: u64) -> Position {
        Position::Byte { offset }
    }

    fn unavailable() -> Outcome {
        Outcome::Unavailable {
            reason: "down".to_owned(),
        }
    }

    #[test]
    fn what_hinders_an_item_is_not_its_reading() {
        let mut track = Track::default();
        track.hinder(unavailable());
        assert_eq!(track.outcome(), Some(unavailable()));
        assert!(!track.failed_to_read());
        let mut track = Track::default();
        track.end(unavailable());
        assert!(track.failed_to_read());
    }

    #[test]
    fn an_item_is_over_when_reading_has_ended_and_nothing_is_held() {
        let mut track = Track::default();
        let step = track.begin(read(1), Some(byte(10)));
        track.end(Outcome::Finished);
        assert_eq!(track.outcome(), None);
        track.acknowledge(step, written(1));
        assert_eq!(track.outcome(), Some(Outcome::Finished));
        assert!(track.done().counts.balances());
    }

    #[test]
    fn acknowledgements_out_of_order_move_the_position_only_over_whole_runs() {
        let mut track = Track::default();
        let (first, second) = (
            track.begin(read(1), Some(byte(10))),
            track.begin(read(1), Some(byte(20))),
        );
        track.acknowledge(second, written(1));
        assert_eq!(track.done(), Done::default());
        track.acknowledge(first, written(1));
        assert_eq!(track.done().position, Some(byte(20)));
        assert_eq!(track.done().counts.records_out, 2);
    }

    #[test]
    fn what_was_not_taken_holds_back_the_position_for_ever() {
        let mut track = Track::default();
        let steps = [10, 20, 30].map(|offset| track.begin(read(1), Some(byte(offset))));
        track.acknowledge(steps[0], written(1));
        track.fail(steps[1], unavailable());
        track.acknowledge(steps[2], written(1));
        track.end(Outcome::Finished);
        assert_eq!(track.done().position, Some(byte(10)));
        assert_eq!(track.outcome(), Some(unavailable()));
    }

    #[test]
    fn a_broken_object_is_tried_again_when_its_documents_were_not_taken() {
        let mut track = Track::default();
        let step = track.begin(read(1), Some(byte(10)));
        track.end(Outcome::Broken {
            flaw: Flaw::Truncated,
            reason: "cut".to_owned(),
        });
        track.fail(step, unavailable());
        assert_eq!(track.outcome(), Some(unavailable()));
    }

    proptest! {
        #[test]
        fn whatever_the_order_what_is_done_is_the_longest_run_that_is_taken_whole(
            steps in prop::collection::vec((1..4_u32, prop::option::weighted(0.1, 0..3_u32)), 1..20),
            order in any::<u64>(),
        ) {
            let mut track = Track::default();
            let mut parts = Vec::new();
            for (index, (holds, broken)) in steps.iter().enumerate() {
                let step = track.begin(read(u64::from(*holds)), Some(byte(index as u64 + 1)));
                (1..*holds).for_each(|_| track.hold(step));
                parts.extend((0..*holds).map(|part| (step, *broken == Some(part))));
            }
            fastrand::Rng::with_seed(order).shuffle(&mut parts);
            let mut whole: Vec<u32> = steps.iter().map(|(holds, _)| *holds).collect();
            for (step, is_broken) in parts {
                if is_broken {
                    track.fail(step, unavailable());
                } else {
                    track.acknowledge(step, written(1));
                    whole[usize::try_from(step).unwrap()] -= 1;
                }
                let run = whole.iter().take_while(|left| **left == 0).count();
                prop_assert_eq!(track.done().position, (run > 0).then_some(byte(run as u64)));
                prop_assert!(track.done().counts.balances());
            }
            track.end(Outcome::Finished);
            let all_taken = whole.iter().all(|left| *left == 0);
            prop_assert_eq!(track.outcome() == Some(Outcome::Finished), all_taken);
        }
    }
}
