//! How long to wait before the next attempt: longer each time, and never the same for everybody.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

/// The first pause, and the longest that it grows to.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// A server that asks for more than this is not believed: it is asked again.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// Pauses of one request.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next pause: between half and all of what doubles each time, and no less than the server asked for.
    pub(super) fn pause(&mut self, retry_after: Option<Duration>) -> Duration {
        let most = PAUSE.saturating_mul(1 << self.attempts.min(16)).min(PAUSE_MAX);
        self.attempts += 1;
        let jittered = most.mul_f64(0.5 + 0.5 * fastrand::f64());
        match retry_after {
            // Asked to come at the same moment, all would: the jitter comes on top.
            Some(asked) => asked.min(RETRY_AFTER_MAX) + jittered.min(asked),
            None => jittered,
        }
    }

    /// Begins anew, because something went forward.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or an HTTP date. What is neither says nothing.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(moment.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_are_jittered() {
        let mut backoff = Backoff::default();
        let mut most = PAUSE;
        for _ in 0..30 {
            let pause = backoff.pause(None);
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
            most = (most * 2).min(PAUSE_MAX);
        }
        backoff.reset();
        assert!(backoff.pause(None) <= PAUSE);
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let pause = Backoff::default().pause(Some(Duration::from_secs(7)));
        assert!(
            pause >= Duration::from_secs(7) && pause <= Duration::from_secs(8),
            "{pause:?}"
        );
        assert_eq!(Backoff::default().pause(Some(Duration::ZERO)), Duration::ZERO);
        let pause = Backoff::default().pause(Some(Duration::from_hours(1)));
        assert!(pause <= RETRY_AFTER_MAX + PAUSE, "{pause:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "1994-11-06T08:49:30Z".parse().unwrap();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(retry_after("120", now), seconds(120));
        assert_eq!(retry_after(" 0 ", now), seconds(0));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), seconds(7));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), seconds(0));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
        assert_eq!(retry_after("", now), None);
    }
}
