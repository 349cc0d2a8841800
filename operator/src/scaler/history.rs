//! What the scaler remembers of a job: no more than its longest window, and a bounded number of readings.

use std::{collections::VecDeque, time::Duration};

use super::Depth;

/// Readings that are kept; at one in fifteen seconds they span more than an hour, the longest window.
const SAMPLES_MAX: usize = 300;

/// The time in which a rate is measured, and the least of it that tells anything: counters lag.
const RATE_WINDOW: Duration = Duration::from_mins(10);
const RATE_TIME_MIN: Duration = Duration::from_mins(1);

/// Ends that are further away than a month are no estimate.
const LASTS_SECONDS_MAX: f64 = 30.0 * 86_400.0;

/// So many readings in a row, all of them zero, hint at the end of the work …
pub(super) const IDLE_READS: usize = 4;

/// One look at the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Duration,
    /// What the queue said.
    pub depth: Depth,
    /// How many workers that justified, within the bounds of the job.
    pub wanted: u32,
    /// How many there were.
    pub replicas: u32,
    /// Bytes that a worker which had work read in a second, if that was known.
    pub bytes_per_worker: Option<u64>,
}

/// What was seen of one job, in the order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    samples: VecDeque<Sample>,
    /// When the number last went down, and a read that failed since then starts no wait anew.
    shrunk_at: Option<Duration>,
}

impl History {
    /// Adds what was seen now.
    pub(super) fn add(&mut self, sample: Sample) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Forgets all: for a queue that was filled anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What was seen in less than the last `window`, the newest last.
    fn within(&self, now: Duration, window: Duration) -> impl Iterator<Item = &Sample> {
        let from = now.checked_sub(window);
        self.samples
            .iter()
            .filter(move |sample| from.is_none_or(|from| sample.at > from))
    }

    /// Whether the oldest reading is at least that old.
    pub(super) fn reaches_back(&self, now: Duration, window: Duration) -> bool {
        self.samples
            .front()
            .is_some_and(|first| now.saturating_sub(first.at) >= window)
    }

    /// The most workers that were justified in the last `window`.
    pub(super) fn most_wanted(&self, now: Duration, window: Duration) -> Option<u32> {
        self.within(now, window).map(|sample| sample.wanted).max()
    }

    /// The fewest workers that there were in the last `window`.
    pub(super) fn fewest_replicas(&self, now: Duration, window: Duration) -> Option<u32> {
        self.within(now, window).map(|sample| sample.replicas).min()
    }

    /// The most leases that the queue knew of in the last `window`.
    pub(super) fn most_in_flight(&self, now: Duration, window: Duration) -> u64 {
        self.within(now, window)
            .map(|sample| sample.depth.in_flight)
            .max()
            .unwrap_or(0)
    }

    /// The most work items that were not settled in the last `window`.
    pub fn most_backlog(&self, now: Duration, window: Duration) -> Option<u64> {
        self.within(now, window).map(|sample| sample.depth.backlog()).max()
    }

    /// What a worker read in a second in the last `window`, on the average; absent: nothing is known.
    pub(super) fn bytes_per_worker(&self, now: Duration, window: Duration) -> Option<u64> {
        let known = self.within(now, window).filter_map(|sample| sample.bytes_per_worker);
        let (count, sum) = known.fold((0_u64, 0_u64), |(count, sum), bytes| {
            (count + 1, sum.saturating_add(bytes))
        });
        sum.checked_div(count)
    }

    /// Notes that the number of workers goes down now.
    pub(super) fn shrink(&mut self, now: Duration) {
        self.shrunk_at = Some(now);
    }

    /// How long the number of workers has not gone down; absent: it never has.
    pub(super) fn since_shrunk(&self, now: Duration) -> Option<Duration> {
        self.shrunk_at.map(|at| now.saturating_sub(at))
    }

    /// How long the backlog lasts if it goes on shrinking as it did lately; absent: it did not, or for too short a time.
    pub fn lasts(&self, now: Duration) -> Option<Duration> {
        let mut seen = self.within(now, RATE_WINDOW);
        let first = seen.next()?;
        let last = seen.last()?;
        let took = last.at.saturating_sub(first.at);
        let (before, left) = (first.depth.backlog(), last.depth.backlog());
        let done = before.checked_sub(left).filter(|done| *done > 0)?;
        if took < RATE_TIME_MIN {
            return None;
        }
        let seconds = took.as_secs_f64() * left as f64 / done as f64;
        (seconds < LASTS_SECONDS_MAX).then(|| Duration::from_secs_f64(seconds))
    }

    /// Whether the queue has said "nothing" for at least `idle_for`, in at least four readings, and nothing else meanwhile.
    /// A reading that failed counts for nothing. It is a hint: who takes a job to be done must prove it.
    pub fn is_idle(&self, idle_for: Duration) -> bool {
        let empty = self
            .samples
            .iter()
            .rev()
            .take_while(|sample| sample.depth.backlog() == 0);
        let (mut reads, mut first, mut last) = (0, None, None);
        for sample in empty {
            reads += 1;
            last = last.or(Some(sample.at));
            first = Some(sample.at);
        }
        match (first, last) {
            (Some(first), Some(last)) => reads >= IDLE_READS && last.saturating_sub(first) >= idle_for,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(readings: &[(u64, u64)]) -> History {
        let mut history = History::default();
        for (seconds, visible) in readings {
            history.add(Sample {
                at: Duration::from_secs(*seconds),
                depth: Depth {
                    visible: *visible,
                    ..Depth::default()
                },
                wanted: 0,
                replicas: 0,
                bytes_per_worker: None,
            });
        }
        history
    }

    #[test]
    fn idle_is_what_was_empty_often_enough_for_long_enough() {
        let long = Duration::from_mins(2);
        assert!(!History::default().is_idle(long));
        assert!(seen(&[(0, 0), (40, 0), (80, 0), (120, 0)]).is_idle(long));
        assert!(!seen(&[(0, 0), (60, 0), (120, 0)]).is_idle(long), "too few readings");
        assert!(!seen(&[(0, 0), (30, 0), (60, 0), (90, 0)]).is_idle(long), "too short");
        assert!(
            !seen(&[(0, 0), (40, 1), (80, 0), (120, 0), (160, 0), (199, 0)]).is_idle(long),
            "something between"
        );
    }

    #[test]
    fn a_backlog_lasts_as_long_as_its_rate_says() {
        let at = |readings: &[(u64, u64)]| {
            let now = readings.last().map_or(0, |(seconds, _)| *seconds);
            seen(readings).lasts(Duration::from_secs(now))
        };
        assert_eq!(at(&[(0, 100), (60, 80), (120, 60)]), Some(Duration::from_mins(3)));
        assert_eq!(at(&[(0, 100), (30, 50)]), None, "too short a time");
        assert_eq!(at(&[(0, 100), (120, 100)]), None, "nothing is done");
        assert_eq!(at(&[(0, 50), (120, 100)]), None, "it grows");
        assert_eq!(at(&[]), None);
        assert_eq!(
            at(&[(0, u64::MAX / 2), (120, u64::MAX / 2 - 1)]),
            None,
            "longer than anybody waits"
        );
    }

    #[test]
    fn only_so_much_is_remembered() {
        let readings: Vec<(u64, u64)> = (0..2 * SAMPLES_MAX as u64).map(|n| (n, n)).collect();
        assert_eq!(seen(&readings).samples.len(), SAMPLES_MAX);
    }
}
