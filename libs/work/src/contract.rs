//! The contract of [`crate::queue`] as a suite that every queue must pass, in memory or on a server.
//!
//! A queue under test comes as a [`Bench`], which knows how to let time pass: a memory queue moves its clock, a server
//! is waited for. Clauses in which leases must hold ask for leases that hold for long, so that a slow machine can't
//! break them; in the others leases are as short as the queue can have them. Each clause panics with what it saw.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use futures::future::{FutureExt as _, LocalBoxFuture, join_all};

use crate::{Lease, WorkItem, WorkSink, WorkSource, item::VERSION, queue::Error};

/// How long the leases of a queue under test hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leases {
    /// Longer than the clause takes, on any machine.
    Hold,
    /// For [`Bench::moment`].
    RunOut,
}

/// A queue under test, empty at first.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The queue's sending side.
    fn sink(&self) -> &dyn WorkSink;
    /// The queue's receiving side.
    fn source(&self) -> &dyn WorkSource;
    /// How long leases that run out hold: a time in which two calls are surely done one after the other.
    fn moment(&self) -> Duration;
    /// How often an item is leased at most.
    fn receives_max(&self) -> u32;
    /// Lets at least `duration` pass, as the queue sees it.
    async fn pass(&self, duration: Duration);
    /// The `seq` of the items that the queue gave up.
    async fn dead_letters(&self) -> BTreeSet<u64>;
}

/// How long a clause waits for an item that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every clause, one after the other, each on a bench of its own: for a queue whose clock all of them would move.
pub async fn holds<B: Bench>(bench: impl AsyncFn(Leases) -> B) {
    for clause in clauses(&bench) {
        clause.await;
    }
}

/// Every clause, all at once, each on a bench of its own: for a queue that is waited for.
pub async fn holds_at_once<B: Bench>(bench: impl AsyncFn(Leases) -> B) {
    join_all(clauses(&bench)).await;
}

fn clauses<B: Bench>(bench: &impl AsyncFn(Leases) -> B) -> Vec<LocalBoxFuture<'_, ()>> {
    use Leases::{Hold, RunOut};
    vec![
        async { every_offered_item_is_leased(&bench(Hold).await).await }.boxed_local(),
        async { a_completed_item_is_never_leased_again(&bench(RunOut).await).await }.boxed_local(),
        async { a_lease_that_runs_out_gives_the_item_to_the_next(&bench(RunOut).await).await }.boxed_local(),
        async { an_extended_lease_outlives_its_first_deadline(&bench(RunOut).await).await }.boxed_local(),
        async { a_released_item_comes_back_after_its_delay(&bench(Hold).await).await }.boxed_local(),
        async { an_item_that_is_given_back_again_and_again_is_never_given_up(&bench(Hold).await).await }.boxed_local(),
        async { a_dead_letter_is_kept_and_never_leased_again(&bench(RunOut).await).await }.boxed_local(),
        async { an_item_that_is_never_settled_ends_as_a_dead_letter(&bench(RunOut).await).await }.boxed_local(),
        async { a_lost_lease_fails_alone(&bench(Hold).await).await }.boxed_local(),
        async { a_lease_of_long_ago_settles_nothing(&bench(RunOut).await).await }.boxed_local(),
    ]
}

/// A work item to test with.
pub fn item(seq: u64) -> WorkItem {
    WorkItem {
        v: VERSION,
        life: None,
        run: 1,
        returns: 0,
        tries: 0,
        crashes: 0,
        job: "contract".to_owned(),
        seq,
        uri: format!("file:///contract/{seq}"),
        etag: None,
        size_bytes: 1,
        last_modified: None,
        format: crate::Format::Ndjson,
        compression: crate::Compression::None,
        range: None,
        partition: std::collections::BTreeMap::new(),
        enqueued_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

async fn offer(bench: &impl Bench, seqs: std::ops::Range<u64>) {
    let items: Vec<_> = seqs.map(item).collect();
    let failed = bench.sink().offer(&items).await.expect("the queue takes items");
    assert!(
        failed.is_empty(),
        "a healthy queue takes every item, but refused {failed:?}"
    );
}

/// Leases until `count` items came or nothing came in the time of patience.
async fn lease(bench: &impl Bench, count: usize) -> Vec<Lease> {
    let mut leases = Vec::new();
    while leases.len() < count {
        let more = bench
            .source()
            .lease(count - leases.len(), PATIENCE)
            .await
            .expect("the queue leases");
        if more.is_empty() {
            break;
        }
        leases.extend(more);
    }
    assert_eq!(leases.len(), count, "items that were offered must be leased");
    leases
}

async fn lease_one(bench: &impl Bench) -> Lease {
    lease(bench, 1).await.remove(0)
}

async fn assert_nothing_to_lease(bench: &impl Bench, why: &str) {
    let leases = bench.source().lease(1, Duration::ZERO).await.expect("the queue leases");
    assert!(leases.is_empty(), "{why}, but {leases:?} was leased");
}

/// Offered once, leased once, while leases hold.
pub async fn every_offered_item_is_leased(bench: &impl Bench) {
    offer(bench, 0..25).await;
    let leases = lease(bench, 25).await;
    let seqs: BTreeSet<_> = leases.iter().map(|lease| lease.item.seq).collect();
    assert_eq!(seqs, (0..25).collect());
    assert!(
        leases.iter().all(|lease| lease.receive_count == 1),
        "a first lease is counted as the first"
    );
    assert_eq!(leases[0].item, item(leases[0].item.seq), "an item travels unchanged");
    assert_nothing_to_lease(bench, "all leases hold").await;
}

/// Completion is for ever.
pub async fn a_completed_item_is_never_leased_again(bench: &impl Bench) {
    offer(bench, 0..3).await;
    let receipts: Vec<_> = lease(bench, 3).await.into_iter().map(|lease| lease.receipt).collect();
    assert_eq!(bench.source().complete(&receipts).await, Ok(vec![]));
    bench.pass(bench.moment() * 2).await;
    assert_nothing_to_lease(bench, "everything is completed").await;
}

/// A worker that died loses nothing.
pub async fn a_lease_that_runs_out_gives_the_item_to_the_next(bench: &impl Bench) {
    offer(bench, 0..1).await;
    let first = lease_one(bench).await;
    bench.pass(bench.moment()).await;
    let second = lease_one(bench).await;
    assert_eq!((second.item.seq, second.receive_count), (first.item.seq, 2));
    assert_eq!((first.lost_leases, second.lost_leases), (0, 1));
    assert_ne!(first.receipt, second.receipt, "each lease has a receipt of its own");
}

/// A keeper keeps.
pub async fn an_extended_lease_outlives_its_first_deadline(bench: &impl Bench) {
    offer(bench, 0..1).await;
    let lease = lease_one(bench).await;
    let receipts = [lease.receipt];
    assert_eq!(bench.source().extend(&receipts, bench.moment() * 3).await, Ok(vec![]));
    bench.pass(bench.moment()).await;
    assert_nothing_to_lease(bench, "the lease was extended").await;
    assert_eq!(bench.source().complete(&receipts).await, Ok(vec![]));
}

/// Released is not lost, and not before its time.
pub async fn a_released_item_comes_back_after_its_delay(bench: &impl Bench) {
    offer(bench, 0..2).await;
    let mut leases = lease(bench, 2).await;
    let (later, now) = (leases.remove(0), leases.remove(0));
    let as_it_comes_back = |lease: &Lease| WorkItem {
        returns: lease.item.returns + 1,
        tries: 3,
        ..lease.item.clone()
    };
    let release = async |lease: &Lease, delay| {
        let item = as_it_comes_back(lease);
        let released = bench.source().release(&lease.receipt, &item, delay).await;
        released.expect("a lease can be released");
    };
    release(&later, bench.moment() * 2).await;
    release(&now, Duration::ZERO).await;
    let first = lease_one(bench).await;
    assert_eq!(
        first.item.seq, now.item.seq,
        "what is released without delay comes at once"
    );
    assert_nothing_to_lease(bench, "the other one is delayed").await;
    bench.pass(bench.moment() * 2).await;
    let second = lease_one(bench).await;
    assert_eq!(second.item.seq, later.item.seq, "the delay is over");
    for (back, lease) in [(first, now), (second, later)] {
        assert_eq!(
            back.item,
            as_it_comes_back(&lease),
            "it comes back as it was given back"
        );
        assert_eq!(
            (back.receive_count, back.lost_leases),
            (1, 0),
            "what was given back was not lost"
        );
    }
}

/// Giving back costs nothing, however often.
pub async fn an_item_that_is_given_back_again_and_again_is_never_given_up(bench: &impl Bench) {
    offer(bench, 0..1).await;
    for returns in 1..=bench.receives_max() + 2 {
        let lease = lease_one(bench).await;
        assert_eq!((lease.receive_count, lease.item.returns), (1, returns - 1));
        let item = WorkItem { returns, ..lease.item };
        let released = bench.source().release(&lease.receipt, &item, Duration::ZERO).await;
        released.expect("a lease can be released");
    }
    lease_one(bench).await;
    assert_eq!(bench.dead_letters().await, BTreeSet::new());
}

/// Given up, and kept.
pub async fn a_dead_letter_is_kept_and_never_leased_again(bench: &impl Bench) {
    offer(bench, 0..1).await;
    let lease = lease_one(bench).await;
    bench
        .source()
        .dead_letter(&lease.receipt, "corrupt")
        .await
        .expect("a lease can be dead-lettered");
    bench.pass(bench.moment() * 2).await;
    assert_nothing_to_lease(bench, "the item was given up").await;
    assert_eq!(bench.dead_letters().await, BTreeSet::from([0]));
}

/// An item that kills its workers does not do so for ever.
pub async fn an_item_that_is_never_settled_ends_as_a_dead_letter(bench: &impl Bench) {
    offer(bench, 0..1).await;
    for count in 1..=bench.receives_max() {
        assert_eq!(lease_one(bench).await.receive_count, count);
        bench.pass(bench.moment()).await;
    }
    assert_nothing_to_lease(bench, "the item was leased as often as it may be").await;
    assert_eq!(bench.dead_letters().await, BTreeSet::from([0]));
}

/// One bad entry does not spoil a call on several.
pub async fn a_lost_lease_fails_alone(bench: &impl Bench) {
    offer(bench, 0..2).await;
    let receipts: Vec<_> = lease(bench, 2).await.into_iter().map(|lease| lease.receipt).collect();
    assert_eq!(bench.source().complete(&receipts[..1]).await, Ok(vec![]));
    let failed = bench
        .source()
        .extend(&receipts, bench.moment() * 10)
        .await
        .expect("the call itself succeeds");
    assert!(
        failed
            .iter()
            .all(|failed| failed.index == 0 && failed.error == Error::LeaseLost)
            && failed.len() == 1,
        "only the settled lease is lost, but {failed:?}"
    );
}

/// Who lost an item can't take it from the one who has it now.
pub async fn a_lease_of_long_ago_settles_nothing(bench: &impl Bench) {
    offer(bench, 0..1).await;
    let lost = lease_one(bench).await.receipt;
    bench.pass(bench.moment()).await;
    let held = [lease_one(bench).await.receipt];
    assert_eq!(bench.source().extend(&held, bench.moment() * 10).await, Ok(vec![]));
    let source = bench.source();
    assert_eq!(source.dead_letter(&lost, "late").await, Err(Error::LeaseLost));
    assert_eq!(
        source.release(&lost, &item(0), Duration::ZERO).await,
        Err(Error::LeaseLost)
    );
    assert_nothing_to_lease(bench, "somebody else holds the item").await;
    assert_eq!(source.complete(&held).await, Ok(vec![]));
    assert_eq!(bench.dead_letters().await, BTreeSet::new());
}
