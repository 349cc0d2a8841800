//! The memory queue keeps the contract, under a clock that is moved by hand.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use pf_work::{
    WorkSink, WorkSource,
    contract::{self, Bench, Leases},
    memory::{MemoryQueue, Options},
    queue::Depth,
};

struct InMemory(Arc<MemoryQueue>);

const OPTIONS: Options = Options {
    visibility: Duration::from_secs(30),
    receives_max: 3,
};

fn bench(leases: Leases) -> InMemory {
    let visibility = match leases {
        Leases::Hold => OPTIONS.visibility * 100,
        Leases::RunOut => OPTIONS.visibility,
    };
    InMemory(Arc::new(MemoryQueue::new(Options { visibility, ..OPTIONS })))
}

#[async_trait]
impl Bench for InMemory {
    fn sink(&self) -> &dyn WorkSink {
        &*self.0
    }

    fn source(&self) -> &dyn WorkSource {
        &*self.0
    }

    fn moment(&self) -> Duration {
        OPTIONS.visibility
    }

    fn receives_max(&self) -> u32 {
        OPTIONS.receives_max
    }

    async fn pass(&self, duration: Duration) {
        tokio::time::advance(duration).await;
    }

    async fn dead_letters(&self) -> BTreeSet<u64> {
        self.0
            .dead_letters()
            .into_iter()
            .map(|letter| letter.item.seq)
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_queue_holds_the_contract() {
    contract::holds(async |leases| bench(leases)).await;
}

#[tokio::test(start_paused = true)]
async fn a_waiting_worker_is_woken_by_an_offer_and_by_a_lease_that_runs_out() {
    let queue = bench(Leases::RunOut).0;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.lease(1, Duration::from_mins(1)).await.unwrap() }
    });
    tokio::task::yield_now().await;
    queue.offer(&[contract::item(7)]).await.unwrap();
    assert_eq!(waiting.await.unwrap()[0].item.seq, 7);

    let again = queue.lease(1, Duration::from_mins(1)).await.unwrap();
    assert_eq!(again[0].receive_count, 2, "it waited for the first lease to run out");
    assert_eq!(
        queue.depth(),
        Depth {
            visible: 0,
            in_flight: 1,
            delayed: 0
        }
    );
}
