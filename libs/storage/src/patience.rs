//! How long a server is waited for, and how often it is asked again.
//!
//! Only numbers live here; `s3` and `read` act on them.

use std::time::Duration;

/// How long to wait and how often to try. The defaults suit S3; tests shorten them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// For a connection to stand.
    pub connect_max: Duration,
    /// For a server's answer to one attempt: the head of an object's answer, or a whole page of a listing.
    pub answer_max: Duration,
    /// For one call in all, however often it is sent: a page of a listing, what is known of an object, and of a read
    /// the first byte, and the next one after each break. A server that takes connections and never answers would
    /// otherwise cost `answer_max` each attempt.
    pub call_max: Duration,
    /// For the next byte of an object's body. A connection that stalls without closing would hang its lane for ever.
    pub stall_max: Duration,
    /// How often one request is sent in all, and how often a body may break in a row without progress.
    pub attempts_max: u32,
    /// The longest pause before the second attempt. It doubles with each attempt, and the pause taken is a random
    /// part of it ("full jitter"), so that workers that failed together don't come back together.
    pub backoff_min: Duration,
    /// What the longest pause never exceeds.
    pub backoff_max: Duration,
}

impl Patience {
    /// Within one data centre a connection stands in milliseconds; this leaves room for two lost SYN packets.
    pub const CONNECT_MAX: Duration = Duration::from_secs(5);
    /// S3 answers within a second even when slow; servers on disks that list large folders need longer.
    pub const ANSWER_MAX: Duration = Duration::from_mins(1);
    /// Two answers that never come. Who waits longer than this learns nothing new.
    pub const CALL_MAX: Duration = Duration::from_mins(2);
    /// As long as AWS' SDKs wait by default before they call a body stalled, and half as much again.
    pub const STALL_MAX: Duration = Duration::from_secs(30);
    /// With the pauses below about six seconds on average: longer trouble is better handled by releasing the work.
    pub const ATTEMPTS_MAX: u32 = 8;
    /// S3's own throttling eases within some hundred milliseconds.
    pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
    /// A pause beyond this would rather be spent on other objects.
    pub const BACKOFF_MAX: Duration = Duration::from_secs(10);

    /// The longest pause before attempt `attempt + 1`, `attempt` being how many have failed in a row.
    pub(crate) fn backoff_bound(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.backoff_min.saturating_mul(1 << doublings).min(self.backoff_max)
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect_max: Self::CONNECT_MAX,
            answer_max: Self::ANSWER_MAX,
            call_max: Self::CALL_MAX,
            stall_max: Self::STALL_MAX,
            attempts_max: Self::ATTEMPTS_MAX,
            backoff_min: Self::BACKOFF_MIN,
            backoff_max: Self::BACKOFF_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_the_pause_doubles_up_to_its_limit() {
        let patience = Patience::default();
        let bounds: Vec<u128> = [1, 2, 3, 7, 8, 9, u32::MAX]
            .map(|attempt| patience.backoff_bound(attempt).as_millis())
            .to_vec();
        assert_eq!(bounds, [100, 200, 400, 6400, 10_000, 10_000, 10_000]);
    }
}
