//! How many requests the cluster bears at once: additive increase, multiplicative decrease, as TCP does it (Chiu and Jain,
//! "Analysis of the increase and decrease algorithms for congestion avoidance"). No clock, no IO.
//!
//! Three things say that there are too many: a whole request that is refused, the share of documents that are refused in one
//! that is taken, and round trips that take much longer than the shortest of late, because requests then wait for each other.
//! Doubles at first, as in TCP's slow start, until the first of these.

use std::time::Duration;

use tokio::time::Instant;

/// Where it starts.
const START: f64 = 2.0;
/// What is left of the limit when everything was refused; a share of refusals takes its share of it.
const AFTER_REFUSAL: f64 = 0.5;
/// What is left of the limit when round trips are too long: less than a refusal, since nothing failed.
const AFTER_LONG_TRIP: f64 = 0.9;
/// So much longer than the shortest may a round trip be. A cluster that is just busy, with as many requests waiting as are
/// worked on, doubles it; the rest is noise.
const LONG_TRIP: f64 = 2.5;
/// The shortest round trip is that of the last one or two of these: a cluster changes, and an old minimum would hold it back.
const WINDOW: Duration = Duration::from_mins(1);

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Signal {
    /// It was answered document by document.
    Answered {
        /// From the request's first byte to the answer's last.
        round_trip: Duration,
        /// Whether it was large enough for its round trip to be compared with others.
        is_full: bool,
        /// The share of its documents that were refused for lack of room, from 0 to 1.
        refused_share: f64,
    },
    /// It was refused whole for lack of room, or nothing came back in time.
    Refused,
    /// It failed for another reason: nothing is learned about room.
    Failed,
}

/// The limit, and what it was learned from.
#[derive(Debug)]
pub(super) struct Limit {
    requests: f64,
    max: f64,
    /// Doubling until the first sign of too much.
    is_starting: bool,
    shortest: Shortest,
    decreased: Option<Instant>,
}

impl Limit {
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1) as f64;
        Self {
            requests: START.min(max),
            max,
            is_starting: true,
            shortest: Shortest::default(),
            decreased: None,
        }
    }

    /// How many requests there may be now; 1 or more.
    pub(super) fn current(&self) -> usize {
        self.requests as usize
    }

    /// Learns from a request that was started at `started` and is over at `now`, while `in_flight` were on their way, itself
    /// among them.
    pub(super) fn observe(&mut self, started: Instant, now: Instant, in_flight: usize, signal: Signal) {
        match signal {
            Signal::Failed => {}
            Signal::Refused => self.decrease(started, now, AFTER_REFUSAL),
            Signal::Answered { refused_share, .. } if refused_share > 0.0 => {
                self.decrease(started, now, 1.0 - (1.0 - AFTER_REFUSAL) * refused_share.min(1.0));
            }
            Signal::Answered {
                round_trip, is_full, ..
            } => {
                if is_full && self.shortest.is_exceeded(now, round_trip) {
                    self.decrease(started, now, AFTER_LONG_TRIP);
                } else {
                    self.increase(in_flight);
                }
            }
        }
    }

    /// Increases if the limit was reached: else nothing has shown that it is borne. While it doubles, it has grown beyond
    /// what was on its way by the time that the last of a round comes back.
    fn increase(&mut self, in_flight: usize) {
        let (reached, step) = if self.is_starting {
            (2 * in_flight > self.current(), 1.0)
        } else {
            (in_flight >= self.current(), self.requests.recip())
        };
        if reached {
            self.requests = (self.requests + step).min(self.max);
        }
    }

    /// Decreases once for all requests that were on their way together: they saw the same jam.
    fn decrease(&mut self, started: Instant, now: Instant, factor: f64) {
        self.is_starting = false;
        if self.decreased.is_none_or(|decreased| started >= decreased) {
            self.requests = (self.requests * factor).max(1.0);
            self.decreased = Some(now);
        }
    }
}

/// The shortest round trip of this window and the one before.
#[derive(Debug, Default)]
struct Shortest {
    window: Option<Instant>,
    before: Option<Duration>,
    now: Option<Duration>,
}

impl Shortest {
    /// Adds a round trip, and says whether it is too long next to the shortest.
    fn is_exceeded(&mut self, now: Instant, round_trip: Duration) -> bool {
        let window = *self.window.get_or_insert(now);
        if now.saturating_duration_since(window) >= WINDOW {
            self.window = Some(now);
            self.before = self.now.take();
        }
        self.now = Some(self.now.map_or(round_trip, |shortest| shortest.min(round_trip)));
        let shortest = self.before.into_iter().chain(self.now).min().unwrap_or(round_trip);
        round_trip.as_secs_f64() > shortest.as_secs_f64() * LONG_TRIP
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRIP: Duration = Duration::from_millis(100);

    fn answered(round_trip: Duration, refused_share: f64) -> Signal {
        Signal::Answered {
            round_trip,
            is_full: true,
            refused_share,
        }
    }

    /// A limit, and a clock for it.
    struct Run {
        limit: Limit,
        now: Instant,
    }

    impl Run {
        fn new(max: usize) -> Self {
            Self {
                limit: Limit::new(max),
                now: Instant::now(),
            }
        }

        /// As many requests as there may be, all answered alike.
        fn round(&mut self, signal: impl Fn(usize) -> Signal) {
            let started = self.now;
            self.now += TRIP;
            let in_flight = self.limit.current();
            for number in 0..in_flight {
                self.limit.observe(started, self.now, in_flight, signal(number));
            }
        }
    }

    #[test]
    fn it_doubles_at_first_and_stops_at_its_bound() {
        let mut run = Run::new(16);
        let mut limits = Vec::new();
        for _ in 0..5 {
            limits.push(run.limit.current());
            run.round(|_| answered(TRIP, 0.0));
        }
        assert_eq!(limits, [2, 4, 8, 16, 16]);
    }

    #[test]
    fn a_refusal_halves_it_once_for_all_requests_of_a_round_and_then_it_grows_by_one_a_round() {
        let mut run = Run::new(64);
        for _ in 0..4 {
            run.round(|_| answered(TRIP, 0.0));
        }
        assert_eq!(run.limit.current(), 32);
        run.round(|_| Signal::Refused);
        assert_eq!(run.limit.current(), 16);
        for grown in [16, 17, 18] {
            run.round(|_| answered(TRIP, 0.0));
            assert!(run.limit.current().abs_diff(grown) <= 1, "{}", run.limit.current());
        }
    }

    #[test]
    fn the_share_of_refused_documents_counts_as_so_much_of_a_refusal() {
        for (share, left) in [(0.1, 30), (0.5, 24), (1.0, 16)] {
            let mut run = Run::new(32);
            for _ in 0..6 {
                run.round(|_| answered(TRIP, 0.0));
            }
            run.round(|_| answered(TRIP, share));
            assert_eq!(run.limit.current(), left, "{share}");
        }
    }

    #[test]
    fn long_round_trips_lower_it_unless_the_request_was_small() {
        let mut run = Run::new(20);
        for _ in 0..6 {
            run.round(|_| answered(TRIP, 0.0));
        }
        run.round(|_| answered(TRIP * 3, 0.0));
        assert_eq!(run.limit.current(), 18);
        run.round(|_| Signal::Answered {
            round_trip: TRIP * 30,
            is_full: false,
            refused_share: 0.0,
        });
        assert!(run.limit.current() >= 18);
    }

    #[test]
    fn a_limit_that_is_not_reached_does_not_grow() {
        let mut run = Run::new(20);
        for _ in 0..50 {
            run.limit.observe(run.now, run.now + TRIP, 1, answered(TRIP, 0.0));
        }
        assert_eq!(run.limit.current(), 2);
    }

    #[test]
    fn it_follows_a_cluster_that_takes_four_at_once_and_queues_the_rest() {
        let mut run = Run::new(64);
        let mut total = 0;
        for _ in 0..500 {
            let in_flight = run.limit.current() as u32;
            let trip = TRIP * in_flight.div_ceil(4);
            run.round(|_| answered(trip, 0.0));
            total += run.limit.current();
        }
        let mean = total / 500;
        assert!((4..=14).contains(&mean), "{mean}");
    }

    #[test]
    fn it_recovers_when_the_shortest_round_trip_is_of_another_time() {
        let mut run = Run::new(16);
        run.round(|_| answered(TRIP, 0.0));
        for _ in 0..2000 {
            run.round(|_| answered(TRIP * 5, 0.0));
        }
        assert_eq!(run.limit.current(), 16);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds_whatever_happens(
            max in 1..40usize,
            events in proptest::collection::vec((0..4u8, 0..10_000u64, 0.0..1.5f64, 0..60usize), 0..300),
        ) {
            let mut run = Run::new(max);
            for (kind, millis, share, in_flight) in events {
                let started = run.now;
                let trip = Duration::from_millis(millis);
                run.now += trip;
                let before = run.limit.current();
                let signal = match kind {
                    0 => Signal::Refused,
                    1 => Signal::Failed,
                    2 => answered(trip, share),
                    _ => answered(trip, 0.0),
                };
                run.limit.observe(started, run.now, in_flight, signal);
                let after = run.limit.current();
                prop_assert!((1..=max).contains(&after));
                prop_assert!(after <= before + 1);
                prop_assert!(after >= before / 2);
                if signal == Signal::Failed {
                    prop_assert_eq!(before, after);
                }
            }
        }
    }
}
