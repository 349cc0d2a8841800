//! Calls that fail whole, per entry, or whose answers are lost or late: nothing is forgotten, and nothing is claimed that
//! is not so.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use pf_e2e::{FailedEntries, Fault, FaultProxy, Sqs, sqs::Queue};
use pf_work::{
    Lease, WorkItem, WorkSink, WorkSource,
    contract::item,
    queue::{Error, Failed, Receipt},
    sqs::{Options, Patience, Role, SqsQueue},
};

use super::sqs_queue::options;

const WAIT: Duration = Duration::from_secs(20);

/// Runs with random faults.
const SEEDS: u64 = 8;

/// Items of each of them.
const ITEMS: u64 = 60;

struct Behind {
    queue: SqsQueue,
    proxy: FaultProxy,
    at: Queue,
}

/// A queue behind a proxy, whose client tries `attempts_max` times without much waiting.
async fn behind_proxy(name: &str, attempts_max: u32) -> Behind {
    behind_proxy_with(name, attempts_max, 600).await
}

async fn behind_proxy_with(name: &str, attempts_max: u32, visibility_seconds: u32) -> Behind {
    let at = Sqs::shared().make_queue(name, visibility_seconds, 50);
    let proxy = FaultProxy::new(&Sqs::shared().endpoint());
    let behind = Options {
        endpoint: Some(proxy.endpoint()),
        patience: Patience {
            attempts_max,
            answer_max: Duration::from_secs(2),
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(20),
            ..Patience::default()
        },
        ..options(&at.url)
    };
    let queue = SqsQueue::connect(behind, Role::Source).await.unwrap();
    Behind { queue, proxy, at }
}

impl Behind {
    fn bodies(&self) -> Vec<u64> {
        let bodies = Sqs::shared().all_bodies(&self.at.url);
        let mut seqs: Vec<u64> = bodies
            .iter()
            .map(|body| WorkItem::from_json(body).unwrap().seq)
            .collect();
        seqs.sort_unstable();
        seqs
    }

    async fn receipts(&self, count: usize) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        while receipts.len() < count {
            let leases = self.queue.lease(count - receipts.len(), WAIT).await.unwrap();
            assert!(!leases.is_empty());
            receipts.extend(leases.into_iter().map(|lease| lease.receipt));
        }
        receipts
    }
}

fn entries(places: &[usize], code: &str, sender_fault: bool, applied: bool) -> Fault {
    Fault::FailEntries(FailedEntries {
        places: places.to_vec(),
        code: code.to_owned(),
        sender_fault,
        applied,
    })
}

fn unavailable() -> Fault {
    Fault::sqs_error(503, "ServiceUnavailable", "Later.")
}

fn items(count: u64) -> Vec<WorkItem> {
    (0..count).map(item).collect()
}

fn indices(failed: &[Failed]) -> Vec<usize> {
    failed.iter().map(|failed| failed.index).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_fail_for_a_while_are_offered_again_and_only_they() {
    let behind = behind_proxy("entries", 4).await;
    behind.proxy.then([
        entries(&[0, 3, 9], "InternalError", false, false),
        entries(&[1], "RequestThrottled", true, false),
    ]);
    let failed = behind.queue.offer(&items(10)).await.unwrap();
    assert_eq!(failed, []);
    assert_eq!(behind.bodies(), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_never_succeed_are_named_and_no_others() {
    let behind = behind_proxy("stubborn", 3).await;
    behind.proxy.choose(|request| {
        let body = String::from_utf8_lossy(request.body);
        let request: Vec<&str> = body.split("\\\"seq\\\":").skip(1).collect();
        let hit =
            (0..request.len()).filter(|&place| request[place].starts_with("7,") || request[place].starts_with("23,"));
        entries(&hit.collect::<Vec<_>>(), "InternalError", false, false)
    });
    let failed = behind.queue.offer(&items(30)).await.unwrap();
    assert_eq!(indices(&failed), [7, 23]);
    assert!(
        failed
            .iter()
            .all(|failed| matches!(failed.error, Error::Unavailable { .. }))
    );
    behind.proxy.afterwards(Fault::Pass);
    let expected: Vec<u64> = (0..30).filter(|seq| ![7, 23].contains(seq)).collect();
    assert_eq!(behind.bodies(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_refused_is_not_tried_again() {
    let behind = behind_proxy("refused", 4).await;
    behind
        .proxy
        .then([entries(&[2], "InvalidMessageContents", true, false)]);
    let failed = behind.queue.offer(&items(5)).await.unwrap();
    assert_eq!(indices(&failed), [2]);
    assert!(matches!(failed[0].error, Error::Refused { .. }));
    assert_eq!(behind.bodies(), [0, 1, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_whole_are_made_again() {
    let behind = behind_proxy("whole", 5).await;
    behind.proxy.then([
        unavailable(),
        Fault::Reset,
        Fault::sqs_error(400, "ThrottlingException", "Slow down."),
    ]);
    assert_eq!(behind.queue.offer(&items(4)).await, Ok(vec![]));
    behind.proxy.then([unavailable(), Fault::Reset]);
    let receipts = behind.receipts(4).await;
    behind.proxy.then([unavailable()]);
    assert_eq!(behind.queue.extend(&receipts, WAIT * 10).await, Ok(vec![]));
    behind.proxy.then([Fault::Reset]);
    assert_eq!(behind.queue.complete(&receipts).await, Ok(vec![]));
    assert!(behind.bodies().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_that_lasts_is_told_and_what_was_not_taken_can_be_offered_again() {
    let behind = behind_proxy("lasting", 2).await;
    behind.proxy.afterwards(unavailable());
    let error = behind.queue.offer(&items(15)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable { reason } if reason.contains("503 ServiceUnavailable: Later")),
        "{error:?}"
    );
    assert!(matches!(
        behind.queue.lease(1, Duration::ZERO).await,
        Err(Error::Unavailable { .. })
    ));
    behind.proxy.afterwards(Fault::Pass);
    assert_eq!(behind.queue.offer(&items(15)).await, Ok(vec![]));
    let receipts = behind.receipts(15).await;
    behind.proxy.afterwards(unavailable());
    let failed = behind.queue.complete(&receipts).await.unwrap();
    assert_eq!(indices(&failed), (0..15).collect::<Vec<_>>());
    behind.proxy.afterwards(Fault::Pass);
    assert_eq!(
        behind.queue.complete(&receipts).await,
        Ok(vec![]),
        "a completion can be repeated"
    );
    assert!(behind.bodies().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_meanwhile_refuses() {
    let behind = behind_proxy("deleted", 2).await;
    Sqs::shared().delete_queue(&behind.at.url);
    let reason = format!("there is no queue {}", behind.at.url);
    let refused = Error::Refused { reason };
    assert_eq!(behind.queue.offer(&items(30)).await, Err(refused.clone()));
    assert_eq!(behind.queue.lease(1, Duration::ZERO).await.unwrap_err(), refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_late_answer_repeats_messages_and_loses_none() {
    let behind = behind_proxy("lost", 4).await;
    behind.proxy.then([
        Fault::LoseAnswer,
        Fault::Late(Duration::from_millis(200)),
        // Past the client's patience.
        Fault::Late(Duration::from_secs(4)),
    ]);
    assert_eq!(behind.queue.offer(&items(10)).await, Ok(vec![]));
    behind.proxy.then([entries(&[4], "InternalError", false, true)]);
    assert_eq!(behind.queue.offer(&items(10)).await, Ok(vec![]));
    let seqs = behind.bodies();
    assert!(seqs.len() > 20, "each was sent twice at least: {}", seqs.len());
    assert_eq!(seqs.into_iter().collect::<BTreeSet<_>>(), (0..10).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_lost_for_who_extends_it_too_late_and_for_nobody_else() {
    let behind = behind_proxy("late", 3).await;
    behind.queue.offer(&items(3)).await.unwrap();
    let receipts = behind.receipts(3).await;
    behind
        .proxy
        .then([entries(&[1], "AWS.SimpleQueueService.MessageNotInflight", true, false)]);
    let failed = behind.queue.extend(&receipts, WAIT * 10).await.unwrap();
    assert_eq!(indices(&failed), [1]);
    assert_eq!(failed[0].error, Error::LeaseLost);
    assert_eq!(
        behind.queue.dead_letter(&receipts[1], "too late").await,
        Err(Error::LeaseLost),
        "nothing is known of it any more"
    );
    assert_eq!(Sqs::shared().depth(&behind.at.dead_letter_url).visible, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_message_of_several_objects_is_not_deleted_for_one_of_them() {
    let behind = behind_proxy("lost-several", 3).await;
    let record = |key| {
        format!(
            r#"{{"eventName":"ObjectCreated:Put","s3":{{"bucket":{{"name":"b"}},"object":{{"key":"{key}","size":1}}}}}}"#
        )
    };
    let notification = format!(r#"{{"Records":[{},{}]}}"#, record("k1"), record("k2"));
    Sqs::shared().send(&behind.at.url, &notification);
    let receipts = behind.receipts(2).await;
    behind
        .proxy
        .then([entries(&[0], "ReceiptHandleIsInvalid", true, false)]);
    let failed = behind.queue.extend(&receipts, WAIT * 10).await.unwrap();
    assert_eq!(indices(&failed), [0, 1], "one message, one lease");
    let failed = behind.queue.complete(&receipts[..1]).await.unwrap();
    assert_eq!(indices(&failed), [0]);
    assert_eq!(failed[0].error, Error::LeaseLost);
    assert_eq!(Sqs::shared().depth(&behind.at.url).in_flight, 1, "it comes again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_network_doubled_does_no_harm() {
    let behind = behind_proxy("doubled", 3).await;
    behind.proxy.afterwards(Fault::Twice);
    assert_eq!(behind.queue.offer(&items(3)).await, Ok(vec![]));
    behind.proxy.afterwards(Fault::Pass);
    let mut leases = Vec::new();
    while leases.len() < 6 {
        leases.extend(behind.queue.lease(10, WAIT).await.unwrap());
    }
    let seqs: BTreeSet<u64> = leases.iter().map(|lease| lease.item.seq).collect();
    assert_eq!(seqs, (0..3).collect());
    let receipts: Vec<_> = leases.into_iter().map(|lease| lease.receipt).collect();
    assert_eq!(behind.queue.complete(&receipts).await, Ok(vec![]));
    assert!(behind.bodies().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_not_kept_twice_when_its_deletion_must_be_repeated() {
    let behind = behind_proxy("twice", 1).await;
    behind.queue.offer(&items(1)).await.unwrap();
    let receipts = behind.receipts(1).await;
    behind.proxy.choose(|request| match request.sqs_action() {
        Some("deletemessagebatch") => unavailable(),
        _ => Fault::Pass,
    });
    let error = behind.queue.dead_letter(&receipts[0], "corrupt").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    behind.proxy.afterwards(Fault::Pass);
    behind.queue.dead_letter(&receipts[0], "corrupt").await.unwrap();
    assert_eq!(Sqs::shared().all_bodies(&behind.at.dead_letter_url).len(), 1);
    assert!(behind.bodies().is_empty());
}

/// Splitmix64: the same seed chooses the same faults in the same order.
fn random(state: &AtomicU64) -> u64 {
    let state = state
        .fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed)
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[tokio::test(flavor = "multi_thread")]
async fn under_any_faults_every_item_is_offered_leased_and_settled() {
    futures::future::join_all((0..SEEDS).map(under_faults)).await;
}

/// One run, whose faults the seed chooses.
async fn under_faults(seed: u64) {
    let behind = behind_proxy_with(&format!("seed-{seed}"), 3, 2).await;
    let state = AtomicU64::new(seed);
    behind.proxy.choose(move |_| match random(&state) % 16 {
        0 => Fault::Reset,
        1 => unavailable(),
        2 => Fault::LoseAnswer,
        3 => Fault::Late(Duration::from_millis(50)),
        4 | 5 => entries(&[0, 2, 5, 8], "InternalError", false, false),
        6 => entries(&[1, 3, 7], "InternalError", false, true),
        7 => Fault::Twice,
        _ => Fault::Pass,
    });
    offer_all(&behind.queue, items(ITEMS), seed).await;
    settle_all(&behind, seed).await;
}

/// Offers again what is not taken, as the discoverer does.
async fn offer_all(queue: &SqsQueue, mut items: Vec<WorkItem>, seed: u64) {
    for _ in 0..50 {
        items = match queue.offer(&items).await {
            Ok(failed) => failed.iter().map(|failed| items[failed.index].clone()).collect(),
            Err(Error::Unavailable { .. }) => items,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        if items.is_empty() {
            return;
        }
    }
    panic!("seed {seed}: {} items were never taken", items.len());
}

/// Settles until the server says that nothing is left, not even out of sight.
async fn settle_all(behind: &Behind, seed: u64) {
    let mut settled = BTreeSet::new();
    let deadline = Instant::now() + WAIT * 3;
    loop {
        let depth = Sqs::shared().depth(&behind.at.url);
        if depth.visible + depth.in_flight + depth.delayed == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "seed {seed}: {depth:?} is never settled");
        let leases = match behind.queue.lease(10, Duration::from_secs(1)).await {
            Ok(leases) => leases,
            Err(Error::Unavailable { .. }) => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        for lease in leases {
            while settle(&behind.queue, &lease).await == Err(()) {}
            settled.insert(lease.item.seq);
        }
    }
    assert_eq!(settled, (0..ITEMS).collect(), "seed {seed}");
    let letters = Sqs::shared().all_bodies(&behind.at.dead_letter_url);
    let kept: BTreeSet<u64> = letters
        .iter()
        .map(|body| WorkItem::from_json(body).unwrap().seq)
        .collect();
    assert_eq!(kept, (0..ITEMS).filter(is_dead).collect(), "seed {seed}");
}

/// Which items are given up.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "for filters")]
fn is_dead(seq: &u64) -> bool {
    seq.is_multiple_of(7)
}

/// One attempt to settle; an error says that it may go well when it is repeated.
async fn settle(queue: &SqsQueue, lease: &Lease) -> Result<(), ()> {
    let result = if is_dead(&lease.item.seq) {
        queue.dead_letter(&lease.receipt, "chosen").await
    } else {
        let failed = queue.complete(std::slice::from_ref(&lease.receipt)).await.unwrap();
        failed.into_iter().next().map_or(Ok(()), |failed| Err(failed.error))
    };
    match result {
        // Lost: it ran out and will be leased again, or an answer that never came had settled it.
        Ok(()) | Err(Error::LeaseLost) => Ok(()),
        Err(Error::Unavailable { .. }) => Err(()),
        Err(Error::Refused { reason }) => panic!("{reason}"),
    }
}
