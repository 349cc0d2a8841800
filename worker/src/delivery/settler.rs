//! Settles items of which nothing is under way any more: checkpoint or ledger first, and then the queue.
//!
//! It works in rounds. Whatever came while one round waited for its writes, and until the ledger's pace lets it be written again,
//! is the next round, so that many small items share one write of the ledger and one call of the queue.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::join_all, stream};
use pf_state::{Delivery, Outcome as Ended, Settled};
use pf_work::{
    Counts, Settlement, WorkSource,
    queue::{Error, Failed, Receipt},
    settle,
    settle::{DELAY_MAX, Outcome},
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Account, ErrorBudget, Keeper, States, Untold, Weather, Witness, states,
    tracked::{Event, Tracked},
};
use crate::{
    dead_letters::DeadLetters,
    ending::{Cause, Ending},
    input::reason,
    metrics::Metrics,
};

/// Items in a round: what a part of the ledger takes at once.
const ROUND_ITEMS_MAX: usize = 4096;

/// The least time from one put of a ledger to the next. S3 takes 3,500 puts a second below one prefix ("Best practices design
/// patterns" in the S3 user guide), which hundreds of workers without a pace would reach together.
const LEDGER_EVERY: Duration = Duration::from_millis(200);

/// Calls on single items that are on their way at once: giving back, dead letters, checkpoints.
const CALLS_MAX: usize = 32;

/// The pauses between tries to tell the queue: a few seconds, well within a lease.
const TELL_PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
];

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
    /// An item that failed so often for its own sake is given up.
    pub tries_max: u32,
    /// Who speaks for or against an object that can't be read.
    pub witness: Arc<Witness>,
    /// Who is told of what is out of reach for everybody.
    pub weather: Arc<Weather>,
    /// The items that are not settled yet.
    pub account: Arc<Account>,
    /// Who is told what the ledger has of this worker.
    pub budget: Arc<ErrorBudget>,
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
        let mut ledger_at = Instant::now();
        while let Some(first) = events.recv().await {
            if self.states.is_some() {
                // More comes meanwhile, and shares the write.
                sleep_until(ledger_at).await;
                ledger_at = Instant::now() + LEDGER_EVERY;
            }
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
            if !progressed.is_empty() {
                self.weather.good();
            }
            tokio::join!(self.checkpoint(&progressed), self.settle(over));
        }
    }

    async fn settle(&self, over: Vec<(Arc<Tracked>, Instant)>) {
        let first_at = over.iter().map(|(_, at)| *at).min();
        let decided = over.into_iter().map(async |(tracked, _)| {
            let settlement = self.decide(&tracked).await?;
            Some(Settling { tracked, settlement })
        });
        let mut round: Vec<Settling> = join_all(decided).await.into_iter().flatten().collect();
        self.record(&mut round).await;
        for item in &round {
            let counts = if is_settled(&item.settlement) {
                item.tracked.done().counts
            } else {
                Counts::default()
            };
            item.tracked.weigh_no_more_than(&counts);
        }
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
    async fn decide(&self, tracked: &Tracked) -> Option<Settlement> {
        let outcome = self.judge(tracked, tracked.outcome()?).await;
        let (uri, seq) = (&tracked.item().uri, tracked.item().seq);
        let cause = match &outcome {
            Outcome::Finished => {
                self.weather.good();
                self.witness.note(tracked.item());
                None
            }
            Outcome::Unavailable { reason } => {
                tracing::warn!(uri, seq, "given back, to be tried again: {reason}");
                let refused = self.weather.bad(reason);
                refused.map(|reason| Cause::Refused { reason })
            }
            Outcome::Failing { reason } => {
                let tries = tracked.failures() + 1;
                tracing::warn!(uri, seq, tries, "can't be read though other objects can: {reason}");
                None
            }
            Outcome::Refused { reason } => Some(Cause::Refused { reason: reason.clone() }),
            Outcome::ErrorBudgetSpent { reason } => Some(Cause::ErrorBudgetSpent { reason: reason.clone() }),
            Outcome::Interrupted | Outcome::LeaseLost | Outcome::Broken { .. } => None,
        };
        if let Some(cause) = cause {
            self.ending.stop(cause);
        }
        Some(settle(outcome, tracked.failures(), self.tries_max))
    }

    /// Whether an object that can't be read fails for its own sake.
    async fn judge(&self, tracked: &Tracked, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Unavailable { reason }
                if tracked.failed_to_read() && self.witness.speaks_against(tracked.item()).await =>
            {
                Outcome::Failing { reason }
            }
            outcome => outcome,
        }
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
            let mut noted = Counts::default();
            for settled in &settled {
                noted += settled.counts;
            }
            let recorded = states.of(&job).ledger.record(&settled).await;
            (job, noted, recorded)
        }));
        for (job, noted, recorded) in recorded.await {
            let error = match recorded {
                Ok(()) => {
                    self.budget.noted(noted.records_in, noted.records_rejected);
                    continue;
                }
                Err(error) => error,
            };
            let reason = reason(&error);
            self.ending.stop(match states::outcome(&error) {
                Outcome::Unavailable { .. } => Cause::Failed { reason },
                _ => Cause::Refused { reason },
            });
            for item in round.iter_mut().filter(|item| item.tracked.item().job == job) {
                if is_settled(&item.settlement) {
                    item.settlement = Settlement::Release {
                        delay: Duration::ZERO,
                        is_try: false,
                    };
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
        self.keeper
            .extend_no_more(others.iter().map(|item| &item.tracked))
            .await;
        let others = async {
            let mut calls = stream::iter(&others)
                .map(async |item| {
                    self.tell_of(item).await;
                    self.keeper.let_go([&item.tracked]);
                })
                .buffer_unordered(CALLS_MAX);
            while calls.next().await.is_some() {}
        };
        tokio::join!(others, self.complete(&done));
        self.keeper.let_go(done.iter().map(|item| &item.tracked));
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
                let mut is_told = vec![true; done.len()];
                for Failed { index, error } in failed {
                    is_told[index] = false;
                    self.not_completed(&done[index].tracked, &error);
                }
                let told = done.iter().zip(is_told).filter(|(_, is_told)| *is_told);
                told.for_each(|(item, _)| self.account.settle(item.tracked.item()));
            }
            Err(error) => done.iter().for_each(|item| self.not_completed(&item.tracked, &error)),
        }
    }

    fn not_completed(&self, tracked: &Tracked, error: &Error) {
        self.not_settled(tracked, error);
        if self.states.is_some() {
            self.untold.note(tracked.item(), tracked.done());
        }
    }

    async fn tell_of(&self, item: &Settling) {
        let tracked = &item.tracked;
        let told = match &item.settlement {
            Settlement::Complete | Settlement::Abandon => Ok(()),
            Settlement::Release { delay, is_try } => self.give_back(tracked, *is_try, *delay).await,
            Settlement::ReleaseAndStop { .. } => self.give_back(tracked, false, Duration::ZERO).await,
            Settlement::DeadLetter { flaw, reason } => {
                self.metrics.item_failed(*flaw);
                self.give_up(tracked, reason).await
            }
        };
        if let Err(error) = told {
            self.not_settled(tracked, &error);
        }
    }

    async fn give_back(&self, tracked: &Tracked, is_try: bool, delay: Duration) -> Result<(), Error> {
        self.metrics.items_released.inc();
        let receipt = &tracked.lease().receipt;
        let item = tracked.given_back(is_try);
        insistently(async || self.queue.release(receipt, &item, delay).await).await
    }

    /// Takes an item out of the queue, once it is kept elsewhere: in the queue of the dead letters, or, where there is none, in the
    /// ledger or the file of dead letters. Where there is nothing of these either it stays in the queue.
    async fn give_up(&self, tracked: &Tracked, why: &str) -> Result<(), Error> {
        let receipt = &tracked.lease().receipt;
        let is_in_file = match self.dead_letters.item(tracked.item(), why) {
            Ok(is_in_file) => is_in_file,
            Err(error) => {
                tracing::error!(uri = tracked.item().uri, "cannot keep a dead letter: {error}");
                false
            }
        };
        if self.queue.keeps_dead_letters() {
            insistently(async || self.queue.dead_letter(receipt, why).await).await?;
        } else if self.states.is_some() || is_in_file {
            insistently(async || {
                let failed = self.queue.complete(std::slice::from_ref(receipt)).await?;
                failed.into_iter().next().map_or(Ok(()), |failed| Err(failed.error))
            })
            .await?;
        } else {
            let (uri, seq) = (&tracked.item().uri, tracked.item().seq);
            tracing::warn!(
                uri,
                seq,
                "stays in the queue, as there is no other place for what is given up: it comes again in {DELAY_MAX:?}"
            );
            return self.give_back(tracked, false, DELAY_MAX).await;
        }
        self.account.settle(tracked.item());
        Ok(())
    }

    /// The queue could not be told: the item comes again when its lease runs out, and what is done again has no other effect. A
    /// queue that refuses would do so with every other item too.
    fn not_settled(&self, tracked: &Tracked, error: &Error) {
        let (uri, seq) = (&tracked.item().uri, tracked.item().seq);
        tracing::warn!(
            uri,
            seq,
            "the queue could not be told what became of an item, which may come again: {error}"
        );
        if let Error::Refused { reason } = error {
            self.ending.stop(Cause::Refused { reason: reason.clone() });
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

/// Tells the queue something, and again while it is out of reach: an item whose giving back is never heard of looks to the next
/// worker as if it had ended this one.
async fn insistently(tell: impl AsyncFn() -> Result<(), Error>) -> Result<(), Error> {
    for pause in TELL_PAUSES {
        match tell().await {
            Err(Error::Unavailable { .. }) => sleep(pause).await,
            told => return told,
        }
    }
    tell().await
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
        object_rows: item.tracked.object_rows(),
        by: Delivery::of(work, lease.receive_count).settling(work, item.tracked.began()),
    })
}
