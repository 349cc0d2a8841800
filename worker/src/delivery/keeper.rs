//! Keeps leases: from receipt to settlement each is extended long before it runs out, wherever its item waits.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use pf_work::{
    WorkSource,
    queue::{Error, Failed, Receipt},
};
use tokio::{sync::Notify, time::sleep};

use super::tracked::Tracked;
use crate::{
    ending::{Cause, Ending},
    metrics::Metrics,
};

/// A lease is extended when a third of it is over: two more tries are left before it runs out.
const EXTENSIONS_PER_LEASE: u32 = 3;

/// Extending more often would only be more calls.
const EVERY_MIN: Duration = Duration::from_millis(300);

/// A lease.
struct Held {
    item: Arc<Tracked>,
    /// Whether it is extended. Not while the queue is told what became of its item.
    is_extended: bool,
}

/// The leases of a worker.
pub struct Keeper {
    queue: Arc<dyn WorkSource>,
    /// How long a lease holds from each extension.
    visibility: Duration,
    /// By receipt, in an order that a simulation repeats.
    held: Mutex<BTreeMap<String, Held>>,
    /// Held while extensions are on their way: who settles waits for it, so that no extension comes behind a release.
    extending: tokio::sync::Mutex<()>,
    /// Rung when leases are let go.
    fewer: Notify,
    /// Whom to tell of a queue that refuses.
    ending: Arc<Ending>,
    metrics: Metrics,
}

impl Keeper {
    /// A keeper of leases that `queue` gives for `visibility` each.
    pub fn new(queue: Arc<dyn WorkSource>, visibility: Duration, ending: Arc<Ending>, metrics: Metrics) -> Self {
        Self {
            queue,
            visibility,
            held: Mutex::default(),
            extending: tokio::sync::Mutex::default(),
            fewer: Notify::new(),
            ending,
            metrics,
        }
    }

    /// Keeps the lease of an item from now on.
    pub fn keep(&self, tracked: &Arc<Tracked>) {
        let receipt = tracked.lease().receipt.0.clone();
        let lease = Held {
            item: Arc::clone(tracked),
            is_extended: true,
        };
        let mut held = self.held();
        held.insert(receipt, lease);
        self.metrics.leases_held.set(held.len() as i64);
    }

    /// Extends these leases no more, from when this returns on. They are held until they are let go: a worker that ends before the
    /// queue was told takes them with it.
    pub async fn extend_no_more<'a>(&self, items: impl IntoIterator<Item = &'a Arc<Tracked>>) {
        {
            let mut held = self.held();
            for tracked in items {
                if let Some(lease) = held.get_mut(&tracked.lease().receipt.0) {
                    lease.is_extended = false;
                }
            }
        }
        drop(self.extending.lock().await);
    }

    /// Lets leases go, as the queue was told, or will find out.
    pub fn let_go<'a>(&self, items: impl IntoIterator<Item = &'a Arc<Tracked>>) {
        {
            let mut held = self.held();
            for tracked in items {
                held.remove(&tracked.lease().receipt.0);
            }
            self.metrics.leases_held.set(held.len() as i64);
        }
        self.fewer.notify_waiters();
    }

    /// Waits until no more than so many leases are held.
    pub async fn held_at_most(&self, count: usize) {
        loop {
            let fewer = self.fewer.notified();
            if self.held_count() <= count {
                return;
            }
            fewer.await;
        }
    }

    /// How many leases are held.
    pub fn held_count(&self) -> usize {
        self.held().len()
    }

    /// Extends leases for ever.
    pub async fn run(&self) {
        loop {
            sleep((self.visibility / EXTENSIONS_PER_LEASE).max(EVERY_MIN)).await;
            self.extend().await;
        }
    }

    async fn extend(&self) {
        let _extending = self.extending.lock().await;
        let (receipts, items): (Vec<Receipt>, Vec<Arc<Tracked>>) = {
            let held = self.held();
            held.iter()
                .filter(|(_, lease)| lease.is_extended)
                .map(|(receipt, lease)| (Receipt(receipt.clone()), Arc::clone(&lease.item)))
                .unzip()
        };
        if receipts.is_empty() {
            return;
        }
        let failed = match self.queue.extend(&receipts, self.visibility).await {
            Ok(failed) => failed,
            Err(Error::Refused { reason }) => {
                self.ending.stop(Cause::Refused { reason });
                return;
            }
            Err(error) => {
                tracing::warn!("leases could not be extended, another try comes before they run out: {error}");
                return;
            }
        };
        self.metrics
            .leases_extended
            .inc_by((receipts.len() - failed.len()) as u64);
        let mut not_yet = Vec::new();
        for Failed { index, error } in failed {
            let tracked = &items[index];
            match error {
                Error::Unavailable { reason } => not_yet.push(reason),
                // It would be with the others too: what is held is given back while there is time.
                Error::Refused { reason } => self.ending.stop(Cause::Refused { reason }),
                // The queue is being told of it just now, and who tells it finds out.
                Error::LeaseLost if tracked.outcome().is_some() => {}
                Error::LeaseLost => {
                    tracing::warn!(
                        uri = tracked.item().uri,
                        seq = tracked.item().seq,
                        "{error}: the item is left to others"
                    );
                    self.metrics.leases_lost.inc();
                    tracked.lose();
                    self.held().remove(&receipts[index].0);
                    self.fewer.notify_waiters();
                }
            }
        }
        // Mostly they fail together: one line for all.
        if let Some(reason) = not_yet.first() {
            let leases = not_yet.len();
            tracing::warn!(leases, "leases could not be extended yet, another try comes: {reason}");
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.held.lock().expect("no one panics while looking at leases")
    }
}
