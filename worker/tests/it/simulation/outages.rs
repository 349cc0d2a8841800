//! When storage and sink are down for everybody.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use tokio::time::{Instant, sleep};

/// How long who meets an outage tries before it says so.
const PATIENCE: Duration = Duration::from_secs(8);

/// What can be down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Storage,
    Sink,
}

#[derive(Debug)]
struct Outage {
    what: What,
    when: Range<Instant>,
}

/// The outages of a world.
#[derive(Debug, Clone, Default)]
pub(super) struct Outages(Arc<Mutex<Vec<Outage>>>);

impl Outages {
    /// Some outages within the time from now on that the workers of a round live.
    pub(super) fn plan(&self, rng: &mut Rng, within: Duration) {
        let now = Instant::now();
        for _ in 0..rng.u32(1..4) {
            let what = if rng.bool() { What::Storage } else { What::Sink };
            let from = now + within.mul_f64(rng.f64());
            let until = from + Duration::from_secs(rng.u64(1..400));
            let when = from..until;
            self.0.lock().unwrap().push(Outage { what, when });
        }
    }

    /// No outage goes on.
    pub(super) fn end(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(super) fn is_down(&self, what: What) -> bool {
        let now = Instant::now();
        let outages = self.0.lock().unwrap();
        outages
            .iter()
            .any(|outage| outage.what == what && outage.when.contains(&now))
    }

    /// Whether it stays down for as long as one tries.
    pub(super) async fn is_out_of_reach(&self, what: What) -> bool {
        if !self.is_down(what) {
            return false;
        }
        sleep(PATIENCE).await;
        self.is_down(what)
    }
}
