//! Settles items of which nothing is under way any more: checkpoint or ledger first, and then the queue.
//!
//! It works in rounds. Whatever came while one round waited for its writes is the next round, so that many small items share
//! one write of the ledger and one call of the queue.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::join_all, stream};
use pf_state::{Delivery, Outcome as Ended, Settled};
use pf_work::{
    Settlement, WorkSource,
    queue::{Error, Failed, Receipt},
    settle,
    settle::Outcome,
};
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};

use super::{
    Keeper, States, Untold, states,
    tracked::{Event, Tracked},
};
use crate::{
    dead_letters::DeadLetters,
    ending::{Cause, Ending},
    input::reason,
    metrics::Metrics,
};

/// Items in a round: what a part of the ledger takes at once.
const ROUND_ITEMS_MAX: usize = 1024;

/// Calls on single items that are on their way at once: giving back, dead letters, checkpoints.
const CALLS_MAX: usize = 32;

/// What a settler works with.
pub struct Settler {
    /// The queue of the items.
    pub queue: Arc<dyn WorkSource>,
    /// Who keeps their leases meanwhile.
    pub keeper: Arc<Keeper>,
    /// Where the ledgers are; none: the queue alone knows what is settled.
    pub states: Option<Arc<States>>,
    /// Items that the ledger names and of which the queue does not hear.
    pub untold: Arc<Untold>,
    /// Where items that are given up are told of, beside ledger and queue.
    pub dead_letters: Arc<DeadLetters>,
    /// An item that is out of reach is tried so often before the worker gives up; none: the queue's redrive policy decides.
    pub tries_max: Option<u32>,
    /// Whom to tell when no more work can be taken.
    pub ending: Arc<Ending>,
    /// What is counted.
    pub metrics: Metrics,
}

/// An item in a round.
struct Settling {
    tracked: Arc<Tracked>,
    settlement: Settlement,
}

impl Settler {
    /// Settles what it is told of, until nobody is left who could tell.
    pub async fn run(self, mut events: UnboundedReceiver<Event>) {
        while let Some(first) = events.recv().await {
            let mut over = Vec::new();
            let mut progressed = Vec::new();
            let mut next = Some(first);
            while let Some(event) = next {
                match event {
                    Event::Over(tracked, at) => over.push((tracked, at)),
                    Event::Progressed(tracked) => progressed.push(tracked),
                }
                next = (over.len() < ROUND_ITEMS_MAX).then(|| events.try_recv().ok()).flatten();
            }
            // What is over has its checkpoint, if it needs one, from its settlement.
            progressed.retain(|tracked| tracked.outcome().is_none());
            tokio::join!(self.checkpoint(&progressed), self.settle(over));
        }
    }

    async fn settle(&self, over: Vec<(Arc<Tracked>, Instant)>) {
        let first_at = over.iter().map(|(_, at)| *at).min();
        let mut round: Vec<Settling> = over
            .into_iter()
            .filter_map(|(tracked, _)| {
                let settlement = self.decide(&tracked)?;
                Some(Settling { tracked, settlement })
            })
            .collect();
        self.record(&mut round).await;
        if let Some(at) = first_at {
            self.metrics.ledger_lag_seconds.observe(at.elapsed().as_secs_f64());
        }
        let given_back: Vec<Arc<Tracked>> = round
            .iter()
            .filter(|item| !is_settled(&item.settlement))
            .map(|item| Arc::clone(&item.tracked))
            .collect();
        self.checkpoint(&given_back).await;
        self.tell(round).await;
    }

    /// What becomes of an item, by the one table.
    fn decide(&self, tracked: &Tracked) -> Option<Settlement> {
        let receive_count = tracked.lease().receive_count;
        let outcome = give_up_after(self.tries_max, receive_count, tracked.outcome()?);
        let (uri, seq) = (&tracked.item().uri, tracked.item().seq);
        let cause = match &outcome {
            Outcome::Unavailable { reason } => {
                tracing::warn!(uri, seq, "given back, to be tried again: {reason}");
                None
            }
            Outcome::Refused { reason } => Some(Cause::Refused { reason: reason.clone() }),
            Outcome::ErrorBudgetSpent { reason } => Some(Cause::ErrorBudgetSpent { reason: reason.clone() }),
            Outcome::Finished | Outcome::Interrupted | Outcome::LeaseLost | Outcome::Broken { .. } => None,
        };
        if let Some(cause) = cause {
            self.ending.stop(cause);
        }
        Some(settle(outcome, receive_count))
    }

    /// Notes in the ledgers what is settled. What can't be noted isn't: it is given back, and the worker stops.
    async fn record(&self, round: &mut [Settling]) {
        for item in round.iter() {
            let counts = item.tracked.done().counts;
            if is_settled(&item.settlement) && !counts.balances() {
                self.metrics.items_unbalanced.inc();
                let (uri, seq) = (&item.tracked.item().uri, item.tracked.item().seq);
                tracing::error!(
                    uri,
                    seq,
                    ?counts,
                    "not every record of an item is accounted for: please report this"
                );
            }
        }
        let Some(states) = &self.states else { return };
        let mut jobs: BTreeMap<String, Vec<Settled>> = BTreeMap::new();
        for item in round.iter() {
            if let Some(settled) = settled(item) {
                jobs.entry(item.tracked.item().job.clone()).or_default().push(settled);
            }
        }
        let recorded = join_all(jobs.into_iter().map(async |(job, settled)| {
            let recorded = states.of(&job).ledger.record(&settled).await;
            (job, recorded)
        }));
        for (job, recorded) in recorded.await {
            let Err(error) = recorded else { continue };
            let reason = reason(&error);
            self.ending.stop(match states::outcome(&error) {
                Outcome::Unavailable { .. } => Cause::Failed { reason },
                _ => Cause::Refused { reason },
            });
            for item in round.iter_mut().filter(|item| item.tracked.item().job == job) {
                if is_settled(&item.settlement) {
                    item.settlement = Settlement::Release { delay: Duration::ZERO };
                }
            }
        }
    }

    /// Leaves checkpoints. One that can't be left costs work, and nothing else.
    async fn checkpoint(&self, items: &[Arc<Tracked>]) {
        let Some(states) = &self.states else { return };
        let puts = items.iter().filter_map(|tracked| tracked.take_checkpoint());
        let mut puts = stream::iter(puts)
            .map(async |checkpoint| {
                (
                    states.of(&checkpoint.job).checkpoints.put(&checkpoint).await,
                    checkpoint.seq,
                )
            })
            .buffer_unordered(CALLS_MAX);
        while let Some((put, seq)) = puts.next().await {
            match put {
                Ok(()) => self.metrics.checkpoints.inc(),
                Err(error) => tracing::warn!(seq, "a checkpoint could not be left: {}", reason(&error)),
            }
        }
    }

    /// Tells the queue.
    async fn tell(&self, round: Vec<Settling>) {
        let (done, others): (Vec<_>, Vec<_>) = round
            .into_iter()
            .partition(|item| item.settlement == Settlement::Complete);
        self.keeper.let_go(others.iter().map(|item| &item.tracked)).await;
        let others = async {
            let mut calls = stream::iter(&others)
                .map(|item| self.tell_of(item))
                .buffer_unordered(CALLS_MAX);
            while calls.next().await.is_some() {}
        };
        tokio::join!(others, self.complete(&done));
        self.keeper.let_go(done.iter().map(|item| &item.tracked)).await;
        self.forget_checkpoints(&done).await;
    }

    async fn complete(&self, done: &[Settling]) {
        if done.is_empty() {
            return;
        }
        self.metrics.items_completed.inc_by(done.len() as u64);
        let receipts: Vec<Receipt> = done.iter().map(|item| item.tracked.lease().receipt.clone()).collect();
        match self.queue.complete(&receipts).await {
            Ok(failed) => {
                for Failed { index, error } in failed {
                    self.not_completed(&done[index].tracked, &error);
                }
            }
            Err(error) => done.iter().for_each(|item| self.not_completed(&item.tracked, &error)),
        }
    }

    fn not_completed(&self, tracked: &Tracked, error: &Error) {
        not_settled(tracked, error);
        if self.states.is_some() {
            self.untold.note(tracked.item(), tracked.done());
        }
    }

    async fn tell_of(&self, item: &Settling) {
        let tracked = &item.tracked;
        let receipt = &tracked.lease().receipt;
        let told = match &item.settlement {
            Settlement::Complete | Settlement::Abandon => Ok(()),
            Settlement::Release { delay } => {
                self.metrics.items_released.inc();
                self.queue.release(receipt, *delay).await
            }
            Settlement::ReleaseAndStop { .. } => {
                self.metrics.items_released.inc();
                self.queue.release(receipt, Duration::ZERO).await
            }
            Settlement::DeadLetter { flaw, reason } => {
                self.metrics.item_failed(*flaw);
                if let Err(error) = self.dead_letters.item(tracked.item(), reason) {
                    tracing::error!(uri = tracked.item().uri, "cannot keep a dead letter: {error}");
                }
                self.queue.dead_letter(receipt, reason).await
            }
        };
        if let Err(error) = told {
            not_settled(tracked, &error);
        }
    }

    async fn forget_checkpoints(&self, done: &[Settling]) {
        let Some(states) = &self.states else { return };
        let with_checkpoints = done.iter().filter(|item| item.tracked.has_checkpoint());
        let mut deletions = stream::iter(with_checkpoints)
            .map(async |item| {
                let item = item.tracked.item();
                (item.seq, states.of(&item.job).checkpoints.delete(item.seq).await)
            })
            .buffer_unordered(CALLS_MAX);
        while let Some((seq, deleted)) = deletions.next().await {
            if let Err(error) = deleted {
                // Of a settled item it is of no use, and does no harm.
                tracing::warn!(seq, "a checkpoint could not be taken away: {}", reason(&error));
            }
        }
    }
}

/// Whether the item is done with for ever.
fn is_settled(settlement: &Settlement) -> bool {
    matches!(settlement, Settlement::Complete | Settlement::DeadLetter { .. })
}

/// What the ledger says of an item.
fn settled(item: &Settling) -> Option<Settled> {
    let outcome = match &item.settlement {
        Settlement::Complete => Ended::Completed,
        Settlement::DeadLetter { flaw: _, reason } => Ended::DeadLetter { reason: reason.clone() },
        Settlement::Release { .. } | Settlement::ReleaseAndStop { .. } | Settlement::Abandon => return None,
    };
    let (lease, work) = (item.tracked.lease(), item.tracked.item());
    Some(Settled {
        seq: work.seq,
        outcome,
        counts: item.tracked.done().counts,
        object_rows: None,
        by: Delivery::of(work, lease.receive_count).settling(work, item.tracked.began()),
    })
}

/// The queue could not be told: the item comes again when its lease runs out, and what is done again has no other effect.
fn not_settled(tracked: &Tracked, error: &Error) {
    let (uri, seq) = (&tracked.item().uri, tracked.item().seq);
    tracing::warn!(
        uri,
        seq,
        "the queue could not be told what became of an item, which may come again: {error}"
    );
}

/// An item without a redrive policy behind it is out of reach for good after so many tries. Nothing is wrong with its object:
/// it is the worker that gives up, and says so.
fn give_up_after(tries_max: Option<u32>, receive_count: u32, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Unavailable { reason } if tries_max.is_some_and(|max| receive_count >= max) => Outcome::Refused {
            reason: format!("given up after {receive_count} tries: {reason}"),
        },
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_try_of_an_item_that_is_out_of_reach_stops_the_worker_with_the_reason() {
        let unavailable = || Outcome::Unavailable {
            reason: "no route".to_owned(),
        };
        assert_eq!(give_up_after(Some(5), 4, unavailable()), unavailable());
        assert_eq!(give_up_after(None, 100, unavailable()), unavailable());
        let Outcome::Refused { reason } = give_up_after(Some(5), 5, unavailable()) else {
            panic!("must be given up")
        };
        assert_eq!(reason, "given up after 5 tries: no route");
        assert_eq!(give_up_after(Some(5), 5, Outcome::Finished), Outcome::Finished);
    }
}
