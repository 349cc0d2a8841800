//! Permits for requests, as many as the [`Limit`] allows at the moment. Held from a request's first attempt to its last, pauses
//! included, so that what backs off makes no room for others to push into.

use std::sync::{Arc, Mutex, MutexGuard};

use prometheus::IntGauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::limit::{Limit, Signal};

/// Gives permits.
#[derive(Debug)]
pub(super) struct Gate {
    free: Arc<Semaphore>,
    state: Mutex<State>,
    shown: IntGauge,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    /// Permits that there are, free and given; more than the limit while given ones are yet to come back.
    permits: usize,
    given: usize,
}

/// Leave for one request at a time.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    gate: &'a Gate,
    permit: Option<OwnedSemaphorePermit>,
}

impl Gate {
    /// A gate for up to `max` requests, with its limit on `shown`.
    pub(super) fn new(max: usize, shown: IntGauge) -> Self {
        let limit = Limit::new(max);
        let permits = limit.current();
        shown.set(permits as i64);
        Self {
            free: Arc::new(Semaphore::new(permits)),
            state: Mutex::new(State {
                limit,
                permits,
                given: 0,
            }),
            shown,
        }
    }

    /// Waits for leave.
    pub(super) async fn permit(&self) -> Permit<'_> {
        let permit = self.free.clone().acquire_owned().await.expect("it is never closed");
        self.state().given += 1;
        Permit {
            gate: self,
            permit: Some(permit),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while holding it")
    }
}

impl Permit<'_> {
    /// Says what became of a request, so that the limit learns from it.
    pub(super) fn observe(&self, started: Instant, signal: Signal) {
        let mut state = self.gate.state();
        let in_flight = state.given;
        state.limit.observe(started, Instant::now(), in_flight, signal);
        let wanted = state.limit.current();
        self.gate.shown.set(wanted as i64);
        if wanted > state.permits {
            self.gate.free.add_permits(wanted - state.permits);
            state.permits = wanted;
        } else {
            state.permits -= self.gate.free.forget_permits(state.permits - wanted);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.given -= 1;
        if let Some(permit) = self.permit.take()
            && state.permits > state.limit.current()
        {
            permit.forget();
            state.permits -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    const GOOD: Signal = Signal::Answered {
        round_trip: Duration::from_millis(1),
        is_full: true,
        refused_share: 0.0,
    };

    #[tokio::test(start_paused = true)]
    async fn there_are_as_many_permits_as_the_limit_says_also_after_it_sank_below_those_given() {
        let shown = IntGauge::new("g", "g").unwrap();
        let gate = Gate::new(8, shown.clone());
        let mut permits = vec![gate.permit().await, gate.permit().await];
        assert!(gate.permit().now_or_never().is_none());
        permits[0].observe(Instant::now(), GOOD);
        permits[0].observe(Instant::now(), GOOD);
        assert_eq!(shown.get(), 4);
        permits.push(gate.permit().now_or_never().expect("the limit has grown"));
        permits[0].observe(Instant::now(), Signal::Refused);
        tokio::time::advance(Duration::from_millis(1)).await;
        permits[0].observe(Instant::now(), Signal::Refused);
        assert_eq!(shown.get(), 1);
        permits.pop();
        assert!(gate.permit().now_or_never().is_none());
        permits.pop();
        assert!(gate.permit().now_or_never().is_none());
        permits.pop();
        let one = gate.permit().now_or_never().expect("one is always allowed");
        assert!(gate.permit().now_or_never().is_none());
        drop(one);
    }
}
