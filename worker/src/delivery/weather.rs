//! Whether storage and sink are out of reach for everybody: then nothing more is leased, what is held is kept, and one item a
//! minute is tried, until one goes well.
//!
//! Without this a worker would lease on into an outage, at the pace of its lanes, and try each item of the queue in vain.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// So many items in a row that were out of reach, with none between that went well, are no trouble of these items.
pub const FAILURES_MAX: u32 = 3;

/// How often an item is tried meanwhile.
pub const PROBE_EVERY: Duration = Duration::from_mins(1);

/// What is known of the world outside.
#[derive(Debug, Default)]
pub struct Weather {
    state: Mutex<State>,
    cleared: Notify,
    /// How long an outage is waited for; for ever if none.
    patience: Option<Duration>,
}

#[derive(Debug, Default)]
struct State {
    /// Items in a row that were out of reach.
    failures: u32,
    first_failed_at: Option<Instant>,
    last_failed_at: Option<Instant>,
    /// When the next item may be tried; set while there is an outage.
    probe_at: Option<Instant>,
}

impl Weather {
    /// Fair so far. An outage of more than `patience` is the worker's end.
    pub fn new(patience: Option<Duration>) -> Self {
        Self {
            patience,
            ..Self::default()
        }
    }

    /// An item was out of reach, and not for its own sake. If that goes on for too long, says so in words.
    pub fn bad(&self, reason: &str) -> Option<String> {
        let now = Instant::now();
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let since = *state.first_failed_at.get_or_insert(now);
        state.last_failed_at = Some(now);
        if state.failures < FAILURES_MAX {
            return None;
        }
        if state.probe_at.is_none() {
            state.probe_at = Some(now + PROBE_EVERY);
            tracing::warn!(
                "storage or sink are out of reach, {FAILURES_MAX} items in a row: no more are leased, and one is tried every \
                 {PROBE_EVERY:?} until one goes well: {reason}"
            );
        }
        let lasted = now - since;
        self.patience.filter(|patience| lasted >= *patience).map(|_| {
            format!(
                "given up after {} items in a row in {} seconds: {reason}",
                state.failures,
                lasted.as_secs()
            )
        })
    }

    /// An item went well, or a part of one did.
    pub fn good(&self) {
        let mut state = self.state();
        if state.probe_at.is_some() {
            tracing::info!("storage and sink are in reach again");
        }
        *state = State {
            last_failed_at: state.last_failed_at,
            ..State::default()
        };
        drop(state);
        self.cleared.notify_waiters();
    }

    /// Whether there is an outage.
    pub fn is_stormy(&self) -> bool {
        self.state().probe_at.is_some()
    }

    /// Whether something was out of reach since then: what was fetched ahead may have failed with it.
    pub fn was_bad_since(&self, then: Instant) -> bool {
        self.state().last_failed_at.is_some_and(|at| at >= then)
    }

    /// Returns when there is no outage, or for one caller a minute.
    pub async fn turn(&self) {
        loop {
            // Listening begins before looking, so that nothing is missed in between.
            let cleared = self.cleared.notified();
            let probe_at = {
                let now = Instant::now();
                let mut state = self.state();
                match state.probe_at {
                    None => return,
                    Some(at) if at <= now => {
                        state.probe_at = Some(now + PROBE_EVERY);
                        return;
                    }
                    Some(at) => at,
                }
            };
            tokio::select! {
                () = cleared => {}
                () = sleep_until(probe_at) => {}
            }
        }
    }

    /// Returns when there is no outage.
    pub async fn fair(&self) {
        loop {
            let cleared = self.cleared.notified();
            if !self.is_stormy() {
                return;
            }
            cleared.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while looking at the weather")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::{advance, timeout};

    use super::*;

    fn stormy(patience: Option<Duration>) -> Weather {
        let weather = Weather::new(patience);
        for _ in 0..FAILURES_MAX {
            assert!(!weather.is_stormy());
            assert_eq!(weather.bad("no route"), None);
        }
        assert!(weather.is_stormy());
        weather
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_between_failures_is_fair_weather() {
        let weather = Weather::default();
        for _ in 0..10 {
            for _ in 1..FAILURES_MAX {
                weather.bad("no route");
            }
            weather.good();
        }
        assert!(!weather.is_stormy());
        weather.turn().await;
        weather.fair().await;
    }

    #[tokio::test(start_paused = true)]
    async fn in_an_outage_one_item_a_minute_is_tried_however_many_wait() {
        let weather = Arc::new(stormy(None));
        let started = Instant::now();
        let turns = (0..5).map(|_| {
            let weather = Arc::clone(&weather);
            tokio::spawn(async move {
                weather.turn().await;
                Instant::now()
            })
        });
        let turns: Vec<_> = turns.collect();
        let mut at: Vec<Duration> = Vec::new();
        for turn in turns {
            at.push(turn.await.unwrap() - started);
        }
        at.sort_unstable();
        assert_eq!(at, (1..=5).map(|number| PROBE_EVERY * number).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_lets_all_go_on_at_once() {
        let weather = Arc::new(stormy(None));
        let opened_at = Instant::now();
        assert!(weather.was_bad_since(opened_at));
        let waiting = {
            let weather = Arc::clone(&weather);
            tokio::spawn(async move { tokio::join!(weather.turn(), weather.turn(), weather.fair()) })
        };
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
        weather.good();
        timeout(Duration::from_millis(1), waiting).await.unwrap().unwrap();
        assert!(weather.was_bad_since(opened_at) && !weather.was_bad_since(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_where_there_is_an_end_to_it() {
        let weather = stormy(Some(PROBE_EVERY));
        assert_eq!(weather.bad("no route"), None);
        advance(PROBE_EVERY).await;
        let told = weather.bad("no route").unwrap();
        assert!(
            told.starts_with("given up after 5 items in a row in 60 seconds: no route"),
            "{told}"
        );
        weather.good();
        assert_eq!(weather.bad("no route"), None);
    }
}
