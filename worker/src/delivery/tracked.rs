//! A leased item while it is worked on: shared by the lane that reads it, the bulks that carry its documents, the keeper of
//! its lease and the settler.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use pf_work::{Checkpoint, Counts, Lease, WorkItem, checkpoint::Position, settle::Outcome};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{
    budget::ErrorBudget,
    track::{Done, StepNumber, Track},
};

/// What the settler is told of an item. As many can wait as items are leased, times two.
#[derive(Debug)]
pub enum Event {
    /// Nothing of it is under way any more, since then.
    Over(Arc<Tracked>, Instant),
    /// Enough is acknowledged since the last checkpoint for another one.
    Progressed(Arc<Tracked>),
}

/// A leased item.
#[derive(Debug)]
pub struct Tracked {
    lease: Lease,
    /// How often it ended its worker since it last made progress.
    crashes: u32,
    track: Mutex<Progress>,
    is_lost: AtomicBool,
    /// How many rows its whole object has, if that is known.
    object_rows: OnceLock<u64>,
    settler: UnboundedSender<Event>,
    budget: Arc<ErrorBudget>,
    /// When a checkpoint is worth its write; none where there is no place for it.
    checkpoints: Option<Interval>,
}

#[derive(Debug)]
struct Progress {
    track: Track,
    /// Where this lease began.
    begun: Done,
    /// What the last checkpoint says, or is being written.
    checkpointed: Done,
    checkpointed_at: Instant,
    is_told: bool,
    /// What of the item is in the error budget: read and rejected.
    weighed: Option<(u64, u64)>,
}

/// How much is acknowledged from one checkpoint to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Decompressed bytes.
    pub bytes: u64,
    /// Or any progress, after this time.
    pub time: std::time::Duration,
}

/// Less is read again sooner than a checkpoint is written and read.
const CHECKPOINT_BYTES_MIN: u64 = 16 << 20;
/// For a slow sink: what is lost when the worker dies is this long at most.
const CHECKPOINT_TIME: std::time::Duration = std::time::Duration::from_secs(30);
/// A large object has so many checkpoints at most: a dead worker's successor reads a few percent again.
const CHECKPOINTS_MAX: u64 = 100;

impl Interval {
    /// What suits an item of so many bytes as stored.
    pub fn of(item: &WorkItem) -> Self {
        let range = item.byte_range();
        Self {
            bytes: ((range.end - range.start) / CHECKPOINTS_MAX).max(CHECKPOINT_BYTES_MIN),
            time: CHECKPOINT_TIME,
        }
    }
}

impl Tracked {
    /// Follows the item of a new lease, of which so much is done, and gives the right to read the rest. It ended `crashes` of its
    /// workers since it last made progress. Without `checkpoints` there is no place for further ones.
    pub fn follow(
        lease: Lease,
        done: Done,
        crashes: u32,
        checkpoints: Option<Interval>,
        settler: UnboundedSender<Event>,
        budget: Arc<ErrorBudget>,
    ) -> Leased {
        let now = Instant::now();
        let progress = Progress {
            track: Track::resumed(done),
            begun: done,
            checkpointed: done,
            checkpointed_at: now,
            is_told: false,
            weighed: None,
        };
        let tracked = Self {
            lease,
            crashes,
            track: Mutex::new(progress),
            is_lost: AtomicBool::new(false),
            object_rows: OnceLock::new(),
            settler,
            budget,
            checkpoints,
        };
        Leased(Arc::new(tracked))
    }

    /// What was leased.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The item.
    pub fn item(&self) -> &WorkItem {
        &self.lease.item
    }

    /// Up to where everything is acknowledged.
    pub fn done(&self) -> Done {
        self.progress().track.done()
    }

    /// What happened to it, once nothing of it is under way.
    pub fn outcome(&self) -> Option<Outcome> {
        self.progress().track.outcome()
    }

    /// Where reading began, if not at the item's start.
    pub fn began(&self) -> Option<Position> {
        self.progress().begun.position
    }

    /// Somebody else has the item, or will.
    pub fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    /// Forgets the checkpoint that it was to begin at. Nothing was read yet.
    pub fn start_over(&self) {
        self.weigh_no_more_than(&Counts::default());
        let mut progress = self.progress();
        progress.track = Track::default();
        progress.checkpointed = Done::default();
        progress.begun = Done::default();
    }

    /// Leaves no more of the item in the error budget than these counts, with which it is settled. One that is given back is
    /// weighed by whoever reads it next, from its checkpoint on.
    pub fn weigh_no_more_than(&self, counts: &Counts) {
        let mut progress = self.progress();
        if let Some((read, rejected)) = progress.weighed.take() {
            let more_read = read.saturating_sub(counts.records_in);
            let more_rejected = rejected.saturating_sub(counts.records_rejected);
            self.budget.take_back(more_read, more_rejected);
        }
    }

    /// Adds to what of the item is in the error budget; the first time also what was done of it before this lease. If too many
    /// records were rejected, says so in words.
    fn weigh(&self, read: u64, rejected: u64) -> Option<String> {
        let mut progress = self.progress();
        let (mut more_read, mut more_rejected) = (read, rejected);
        if progress.weighed.is_none() {
            more_read += progress.begun.counts.records_in;
            more_rejected += progress.begun.counts.records_rejected;
        }
        let (known_read, known_rejected) = progress.weighed.unwrap_or_default();
        progress.weighed = Some((known_read + more_read, known_rejected + more_rejected));
        self.budget.read(more_read);
        self.budget.rejected(more_rejected)
    }

    /// Whether it was reading that failed, and nothing else.
    pub fn failed_to_read(&self) -> bool {
        self.progress().track.failed_to_read()
    }

    /// How often the item failed for its own sake before this lease, since it last made progress.
    pub fn failures(&self) -> u32 {
        if self.has_progressed() {
            0
        } else {
            self.lease.item.tries.saturating_add(self.crashes)
        }
    }

    /// The item as it is to come back. `is_try` says whether it failed for its own sake.
    pub fn given_back(&self, is_try: bool) -> WorkItem {
        let mut item = self.lease.given_back();
        if self.has_progressed() {
            item.tries = 0;
        }
        item.tries = item.tries.saturating_add(u32::from(is_try));
        item
    }

    /// Whether the next lease begins behind where this one did. Without a place for checkpoints it does not.
    fn has_progressed(&self) -> bool {
        let progress = self.progress();
        let is_kept = self.checkpoints.is_some() && self.lease.item.etag.is_some();
        is_kept && progress.track.done().position != progress.begun.position
    }

    /// Notes how many rows the whole object has.
    pub fn note_object_rows(&self, rows: u64) {
        // An item that is read anew has the same object.
        self.object_rows.get_or_init(|| rows);
    }

    /// How many rows the whole object has, if that is known.
    pub fn object_rows(&self) -> Option<u64> {
        self.object_rows.get().copied()
    }

    /// Why reading on is of no use, if it is of none.
    pub fn stopped(&self) -> Option<Outcome> {
        if self.is_lost.load(Ordering::Relaxed) {
            Some(Outcome::LeaseLost)
        } else if self.progress().track.has_failed() {
            // What failed is known to the track, and heavier.
            Some(Outcome::Interrupted)
        } else {
            None
        }
    }

    /// A checkpoint that says more than the last one, if there is an entity tag to bind it to. It counts as written.
    pub fn take_checkpoint(&self) -> Option<Checkpoint> {
        let item = self.item();
        let etag = item.etag.clone()?;
        let mut progress = self.progress();
        progress.is_told = false;
        let done = progress.track.done();
        let position = done.position.filter(|_| done != progress.checkpointed)?;
        progress.checkpointed = done;
        progress.checkpointed_at = Instant::now();
        Some(Checkpoint {
            v: pf_work::item::VERSION,
            job: item.job.clone(),
            seq: item.seq,
            life: item.life.clone(),
            uri: item.uri.clone(),
            range: item.range,
            crashes: self.lease.crashes(),
            etag,
            position,
            counts: done.counts,
        })
    }

    /// Whether there is a checkpoint of the item, as far as we know.
    pub fn has_checkpoint(&self) -> bool {
        self.progress().checkpointed.position.is_some()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.track.lock().expect("no one panics while noting progress")
    }

    /// Changes the track, and tells the settler what follows.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut Track) -> T) -> T {
        let mut progress = self.progress();
        let changed = change(&mut progress.track);
        let event = if progress.track.outcome().is_some() {
            Some(Event::Over(Arc::clone(self), Instant::now()))
        } else if !progress.is_told && self.checkpoints.is_some_and(|interval| progress.is_due(interval)) {
            progress.is_told = true;
            Some(Event::Progressed(Arc::clone(self)))
        } else {
            None
        };
        drop(progress);
        if let Some(event) = event {
            // Without a settler the worker is gone, and the lease runs out.
            self.settler.send(event).ok();
        }
        changed
    }
}

impl Progress {
    fn is_due(&self, interval: Interval) -> bool {
        let done = self.track.done();
        let before = self.checkpointed.counts.decompressed_bytes;
        done.counts.decompressed_bytes.saturating_sub(before) >= interval.bytes
            || done.position != self.checkpointed.position && self.checkpointed_at.elapsed() >= interval.time
    }
}

/// The right to read an item, until it is said how that ended. Dropped without a word, the item is given back.
#[derive(Debug)]
pub struct Leased(Arc<Tracked>);

impl Leased {
    /// The item.
    pub fn tracked(&self) -> &Arc<Tracked> {
        &self.0
    }

    /// Whether it may have ended a worker: a lease of it ended without a word.
    pub fn is_suspect(&self) -> bool {
        let lease = self.0.lease();
        lease.receive_count > 1 || lease.item.crashes > 0
    }

    /// Something was read: `counts` of it, up to `position`. What comes back is the lane's own hold.
    pub fn step(&self, counts: Counts, position: Option<Position>) -> Hold {
        // Too many that were rejected before are told with the next one that is.
        self.0.weigh(counts.records_in, 0);
        let step = self.0.change(|track| track.begin(counts, position));
        Hold {
            item: Arc::clone(&self.0),
            step: Some(step),
        }
    }

    /// Reading can't begin, for a reason that is not the object's.
    pub fn hinder(self, outcome: Outcome) {
        self.0.change(|track| track.hinder(outcome));
    }

    /// Reading has ended.
    pub fn end(self, outcome: Outcome) {
        self.0.change(|track| track.end(outcome));
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        // After `end` the second end is passed over; only the first tells the settler.
        if self.0.progress().track.is_open() {
            self.0.change(|track| track.end(Outcome::Interrupted));
        }
    }
}

/// A part of a step that waits to be acknowledged. Dropped without a word, it counts as not taken: nothing is lost silently.
#[derive(Debug)]
pub struct Hold {
    item: Arc<Tracked>,
    /// None once it is said what became of it.
    step: Option<StepNumber>,
}

impl Hold {
    /// The item.
    pub fn tracked(&self) -> &Arc<Tracked> {
        &self.item
    }

    /// A hold of another part of the same step.
    #[must_use = "dropped, it counts as not taken"]
    pub fn another(&self) -> Self {
        if let Some(step) = self.step {
            self.item.change(|track| track.hold(step));
        }
        Self {
            item: Arc::clone(&self.item),
            step: self.step,
        }
    }

    /// The part is where it should be, and `counts` say what became of its records.
    pub fn acknowledge(mut self, counts: Counts) {
        let spent = match counts.records_rejected {
            0 => None,
            rejected => self.item.weigh(0, rejected),
        };
        let Some(step) = self.step.take() else { return };
        self.item.change(|track| {
            if let Some(reason) = spent {
                track.hold(step);
                track.acknowledge(step, counts);
                track.fail(step, Outcome::ErrorBudgetSpent { reason });
            } else {
                track.acknowledge(step, counts);
            }
        });
    }

    /// The part was not taken.
    pub fn fail(mut self, outcome: Outcome) {
        if let Some(step) = self.step.take() {
            self.item.change(|track| track.fail(step, outcome));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(step) = self.step.take() {
            let outcome = Outcome::Unavailable {
                reason: "what was read was dropped on its way".to_owned(),
            };
            self.item.change(|track| track.fail(step, outcome));
        }
    }
}

#[cfg(test)]
mod tests {
    use pf_work::{Limit, queue::Receipt};
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn counts(records_in: u64, records_rejected: u64) -> Counts {
        Counts {
            records_in,
            records_rejected,
            ..Counts::default()
        }
    }

    /// An item of which so much was done before.
    fn leased(done: Counts, budget: &Arc<ErrorBudget>) -> Leased {
        let text = r#"{"v":1,"job":"j","seq":0,"uri":"s3://b/k","size_bytes":9,"enqueued_at":"2024-01-01T00:00:00Z"}"#;
        let lease = Lease {
            item: WorkItem::from_json(text).unwrap(),
            receipt: Receipt("receipt".to_owned()),
            receive_count: 1,
            lost_leases: 0,
            deadline: Instant::now() + std::time::Duration::from_hours(1),
        };
        let done = Done {
            counts: done,
            ..Done::default()
        };
        Tracked::follow(lease, done, 0, None, unbounded_channel().0, Arc::clone(budget))
    }

    /// Reads ten records, four of which are rejected. Whether that was too much.
    fn read(leased: &Leased) -> bool {
        let hold = leased.step(counts(10, 0), None);
        hold.another().acknowledge(counts(0, 4));
        hold.acknowledge(Counts::default());
        leased.tracked().progress().track.has_failed()
    }

    #[tokio::test]
    async fn records_of_an_item_count_once_however_often_it_is_given_back_and_read_again() {
        let budget = Arc::new(ErrorBudget::new(Limit::list("9").unwrap()));
        for _ in 0..10 {
            let item = leased(Counts::default(), &budget);
            assert!(!read(&item));
            item.tracked().weigh_no_more_than(&Counts::default());
        }
        // What was done before is of the item too, whoever did it.
        let resumed = leased(counts(20, 5), &budget);
        assert!(!read(&resumed), "nine are allowed");
        resumed.tracked().weigh_no_more_than(&counts(30, 9));
        assert!(read(&leased(Counts::default(), &budget)));
        assert!(budget.spent_at_end().unwrap().starts_with("13 of 40 records"));
    }
}
