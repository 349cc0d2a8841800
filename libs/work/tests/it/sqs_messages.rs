//! What other programs put into the queue: notifications of S3's, and rubbish.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use pf_e2e::{Fault, FaultProxy, LocalStack, Sqs, sqs::Queue};
use pf_work::{
    Lease, WorkItem, WorkSink, WorkSource,
    contract::item,
    queue::Error,
    sqs::{Options, Role, SqsQueue},
};

use super::sqs_queue::options;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

async fn queue(name: &str) -> (SqsQueue, Queue) {
    let at = Sqs::shared().make_queue(name, 600, 3);
    let queue = SqsQueue::connect(options(&at.url), Role::Source).await.unwrap();
    (queue, at)
}

async fn lease_all(queue: &SqsQueue, count: usize) -> Vec<Lease> {
    let mut leases = Vec::new();
    while leases.len() < count {
        let more = queue.lease(10, PATIENCE).await.unwrap();
        assert!(!more.is_empty(), "{count} leases must come, and {} did", leases.len());
        leases.extend(more);
    }
    leases
}

/// Until a queue holds nothing, not even out of sight.
async fn until_empty(url: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let depth = Sqs::shared().depth(url);
        if depth.visible + depth.in_flight + depth.delayed == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{url} still has {depth:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn dead_letters(at: &Queue, count: usize) -> Vec<pf_work::sqs::DeadLetter> {
    let deadline = Instant::now() + PATIENCE;
    while Sqs::shared().depth(&at.dead_letter_url).visible < count as u64 {
        assert!(Instant::now() < deadline, "{count} dead letters must come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let read = SqsQueue::read_dead_letters(options(&at.dead_letter_url), 100)
        .await
        .unwrap();
    assert_eq!(read.letters.len(), count);
    read.letters
}

fn notification(keys: &[&str]) -> String {
    let record = |key: &&str| {
        format!(
            r#"{{"eventName":"ObjectCreated:Put","s3":{{"bucket":{{"name":"b"}},"object":{{"key":"{key}","size":1,"eTag":"e"}}}}}}"#
        )
    };
    format!(
        r#"{{"Records":[{}]}}"#,
        keys.iter().map(record).collect::<Vec<_>>().join(",")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_several_objects_goes_when_all_of_them_are_settled() {
    let (queue, at) = queue("several").await;
    Sqs::shared().send(&at.url, &notification(&["a+1", "b", "c"]));
    let leases = lease_all(&queue, 3).await;
    let uris: Vec<_> = leases.iter().map(|lease| lease.item.uri.as_str()).collect();
    assert_eq!(uris, ["s3://b/a 1", "s3://b/b", "s3://b/c"]);

    let receipts: Vec<_> = leases.iter().map(|lease| lease.receipt.clone()).collect();
    assert_eq!(queue.extend(&receipts, PATIENCE * 20).await, Ok(vec![]));
    assert_eq!(queue.complete(&receipts[..1]).await, Ok(vec![]));
    queue.dead_letter(&receipts[1], "it is corrupt").await.unwrap();
    assert_eq!(Sqs::shared().depth(&at.url).in_flight, 1, "one is still worked on");
    assert_eq!(queue.complete(&receipts[2..]).await, Ok(vec![]));
    until_empty(&at.url).await;

    let letter = dead_letters(&at, 1).await.remove(0);
    assert_eq!(letter.item.unwrap().uri, "s3://b/b", "only the one that was given up");
    assert_eq!(
        (letter.reason.as_str(), letter.worker.as_deref()),
        ("it is corrupt", Some("worker-7"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_given_back_comes_again_alone_and_as_it_was_given_back() {
    let (queue, at) = queue("given-back").await;
    Sqs::shared().send(&at.url, &notification(&["a", "b"]));
    let leases = lease_all(&queue, 2).await;
    let receipts: Vec<_> = leases.iter().map(|lease| lease.receipt.clone()).collect();
    let back = leases[0].given_back();
    queue.release(&receipts[0], &back, Duration::ZERO).await.unwrap();
    let again = lease_all(&queue, 1).await.remove(0);
    assert_eq!((&again.item, again.receive_count, again.item.returns), (&back, 1, 1));
    assert_eq!(
        Sqs::shared().depth(&at.url).in_flight,
        2,
        "the other is still worked on"
    );
    assert_eq!(queue.complete(&receipts[1..]).await, Ok(vec![]));
    assert_eq!(queue.complete(&[again.receipt]).await, Ok(vec![]));
    until_empty(&at.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_work_is_given_up_with_the_reason_or_dropped_and_never_stuck() {
    let (queue, at) = queue("rubbish").await;
    let sqs = Sqs::shared();
    for body in [
        "hello",
        r#"{"v":2,"job":"j"}"#,
        r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#,
        r#"{"Records":[{"eventName":"ObjectRemoved:Delete","s3":{}}]}"#,
    ] {
        sqs.send(&at.url, body);
    }
    queue.offer(&[item(3)]).await.unwrap();
    let leases = lease_all(&queue, 1).await;
    assert_eq!(leases[0].item, item(3));
    assert!(queue.lease(1, Duration::from_secs(1)).await.unwrap().is_empty());
    queue.quiet().await;
    assert_eq!(queue.complete(&[leases[0].receipt.clone()]).await, Ok(vec![]));
    until_empty(&at.url).await;

    let letters = dead_letters(&at, 2).await;
    let told: BTreeSet<_> = letters
        .iter()
        .map(|letter| (letter.body.as_str(), letter.reason.split(':').next().unwrap()))
        .collect();
    assert_eq!(
        told,
        BTreeSet::from([
            ("hello", "the message is not JSON"),
            (
                r#"{"v":2,"job":"j"}"#,
                "work item version 2 is not supported, this build reads version 1"
            ),
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_tells_what_it_was_and_why_to_whoever_looks() {
    let (queue, at) = queue("letter").await;
    let item = |seq| WorkItem {
        life: Some("7d3f".to_owned()),
        ..item(seq)
    };
    queue.offer(&[item(41)]).await.unwrap();
    let lease = lease_all(&queue, 1).await.remove(0);
    queue.dead_letter(&lease.receipt, "the object is gone").await.unwrap();
    let message = Sqs::shared().receive(&at.dead_letter_url, PATIENCE).remove(0);
    assert_eq!(message["Body"], item(41).given_up().to_json(), "redrive brings it back");
    let attributes = &message["MessageAttributes"];
    for (name, text) in [
        ("reason", "the object is gone"),
        ("job", "contract"),
        ("seq", "41"),
        ("life", "7d3f"),
        ("uri", "file:///contract/41"),
        ("worker", "worker-7"),
    ] {
        assert_eq!(attributes[name]["StringValue"], text, "{name}");
    }
    assert_eq!(
        queue.dead_letter(&lease.receipt, "again").await,
        Err(Error::LeaseLost),
        "it is settled"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_somebody_moves_back_is_leased_again_as_one_that_was_begun() {
    let sqs = LocalStack::shared().sqs();
    let at = sqs.make_queue("moved-back", 600, 3);
    let queue = SqsQueue::connect(options(&at.url), Role::Source).await.unwrap();
    let spent = WorkItem {
        tries: 3,
        crashes: 2,
        ..item(41)
    };
    queue.offer(&[spent]).await.unwrap();
    let lease = lease_all(&queue, 1).await.remove(0);
    queue.dead_letter(&lease.receipt, "the object is gone").await.unwrap();
    sqs.move_back(&at);
    let again = lease_all(&queue, 1).await.remove(0);
    // Its tries are counted from the start. Records of it may be in the sink, which a new message would not say by itself.
    let expected = WorkItem { returns: 1, ..item(41) };
    assert_eq!(again.item, expected);
    assert!(again.item.was_begun(1));
    queue.complete(&[again.receipt]).await.unwrap();
    let depth = sqs.depth(&at.dead_letter_url);
    assert_eq!((depth.visible, depth.in_flight), (0, 0), "it is there no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_killed_its_workers_is_read_among_the_dead_letters_too() {
    let at = Sqs::shared().make_queue("killer", 1, 1);
    let queue = SqsQueue::connect(options(&at.url), Role::Source).await.unwrap();
    queue.offer(&[item(5)]).await.unwrap();
    lease_all(&queue, 1).await;
    // The server looks at how often a message was received when it is asked for messages.
    let deadline = Instant::now() + PATIENCE;
    while Sqs::shared().depth(&at.dead_letter_url).visible == 0 {
        assert!(Instant::now() < deadline, "the redrive policy must move it");
        assert!(queue.lease(1, Duration::from_secs(1)).await.unwrap().is_empty());
    }
    let letter = dead_letters(&at, 1).await.remove(0);
    assert_eq!(letter.item, Some(item(5)));
    assert_eq!(
        (letter.reason.as_str(), letter.worker),
        ("leased too often without being settled", None)
    );
    dead_letters(&at, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dropped_poll_receives_is_given_back() {
    let at = Sqs::shared().make_queue("dropped", 600, 9);
    let proxy = FaultProxy::new(&Sqs::shared().endpoint());
    let behind = Options {
        endpoint: Some(proxy.endpoint()),
        ..options(&at.url)
    };
    let queue = SqsQueue::connect(behind, Role::Source).await.unwrap();
    queue.offer(&[item(0)]).await.unwrap();
    proxy.then([Fault::Late(Duration::from_secs(2))]);
    let poll = queue.lease(1, Duration::from_secs(5));
    assert!(tokio::time::timeout(Duration::from_millis(500), poll).await.is_err());
    queue.quiet().await;
    let depth = Sqs::shared().depth(&at.url);
    assert_eq!(
        (depth.visible, depth.in_flight),
        (1, 0),
        "it was received, and given back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_poll_received_before_it_was_dropped_is_given_back_too() {
    let (queue, at) = queue("dropped-late").await;
    queue.offer(&[item(0)]).await.unwrap();
    {
        let mut poll = queue.lease(1, PATIENCE);
        assert!(futures::poll!(&mut poll).is_pending());
        // The answer has come, and nobody has looked at it.
        queue.quiet().await;
        assert_eq!(Sqs::shared().depth(&at.url).in_flight, 1);
    }
    queue.quiet().await;
    let again = lease_all(&queue, 1).await.remove(0);
    let expected = WorkItem { returns: 1, ..item(0) };
    assert_eq!(
        (again.item, again.receive_count),
        (expected, 1),
        "a stop costs no receive"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_with_many_polls_costs_no_receive() {
    let (queue, _) = queue("polls").await;
    for _ in 0..3 {
        let polls: Vec<_> = (0..8).map(|_| queue.lease(1, Duration::from_secs(3))).collect();
        let mut polls = futures::future::join_all(polls);
        assert!(futures::poll!(&mut polls).is_pending());
        queue.offer(&[item(0)]).await.unwrap();
        drop(polls);
        queue.quiet().await;
        let again = lease_all(&queue, 1).await.remove(0);
        assert_eq!((again.item.tries, again.item.crashes, again.receive_count), (0, 0, 1));
        queue.complete(&[again.receipt]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_the_longest_time_that_finds_nothing_is_no_error() {
    let (queue, _) = queue("empty").await;
    let began = Instant::now();
    let leases = queue.lease(10, Duration::from_secs(21)).await.unwrap();
    assert!(leases.is_empty());
    assert!(
        began.elapsed() >= Duration::from_secs(20),
        "it waits, and does not ask all the time"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_read_each_once_up_to_the_bound_and_stay() {
    let at = Sqs::shared().make_queue("many-letters", 600, 3);
    let letters = SqsQueue::connect(options(&at.dead_letter_url), Role::Sink)
        .await
        .unwrap();
    let items: Vec<_> = (0..250).map(item).collect();
    assert_eq!(letters.offer(&items).await, Ok(vec![]));
    for _ in 0..2 {
        let read = SqsQueue::read_dead_letters(options(&at.dead_letter_url), 1000)
            .await
            .unwrap();
        assert!(!read.more);
        let mut seqs: Vec<_> = read
            .letters
            .iter()
            .map(|letter| letter.item.as_ref().unwrap().seq)
            .collect();
        seqs.sort_unstable();
        assert_eq!(seqs, (0..250).collect::<Vec<_>>());
    }
    let some = SqsQueue::read_dead_letters(options(&at.dead_letter_url), 100)
        .await
        .unwrap();
    assert!(
        some.more && (100..200).contains(&some.letters.len()),
        "{}",
        some.letters.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_what_a_queue_says_or_sends() {
    let (queue, at) = queue("secrets").await;
    let proxy = FaultProxy::new(&Sqs::shared().endpoint());
    proxy.afterwards(Fault::sqs_error(
        403,
        "SignatureDoesNotMatch",
        "The signature does not match.",
    ));
    let behind = Options {
        endpoint: Some(proxy.endpoint()),
        ..options(&at.url)
    };
    let refused = SqsQueue::connect(behind, Role::Source).await.unwrap_err();
    queue.offer(&[item(1)]).await.unwrap();
    let lease = lease_all(&queue, 1).await.remove(0);
    queue.dead_letter(&lease.receipt, "corrupt").await.unwrap();
    let message = Sqs::shared().receive(&at.dead_letter_url, PATIENCE).remove(0);
    let said = format!(
        "{queue:?} {refused:?} {refused} {lease:?} {message} {:?}",
        proxy.requests()
    );
    assert!(!said.contains(Sqs::SECRET_ACCESS_KEY), "{said}");
    assert!(
        proxy.requests()[0].contains(Sqs::ACCESS_KEY_ID),
        "it was signed with that key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_a_dead_reader_holds_are_waited_for() {
    let at = Sqs::shared().make_queue("blinded", 600, 3);
    let letters = SqsQueue::connect(options(&at.dead_letter_url), Role::Sink)
        .await
        .unwrap();
    assert_eq!(letters.offer(&(0..4).map(item).collect::<Vec<_>>()).await, Ok(vec![]));
    // A reader that dies: its letters are out of sight until its time is over.
    let dying = Options {
        visibility: Some(Duration::from_secs(6)),
        dead_letter_url: Some(at.url.clone()),
        ..options(&at.dead_letter_url)
    };
    let dead = SqsQueue::connect(dying, Role::Source).await.unwrap();
    assert_eq!(lease_all(&dead, 4).await.len(), 4);
    let read = SqsQueue::read_dead_letters(options(&at.dead_letter_url), 1000)
        .await
        .unwrap();
    assert_eq!((read.letters.len(), read.more), (4, false), "none is taken for missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_send_gives_back_by_making_visible_and_says_so_from_the_start() {
    let at = Sqs::shared().make_queue("no-send", 600, 9);
    for action in ["sendmessagebatch", "sendmessage"] {
        let proxy = FaultProxy::new(&Sqs::shared().endpoint());
        proxy.choose(move |request| match request.sqs_action() {
            // Letters go to another queue, where it may be allowed.
            Some(asked) if asked == action && !String::from_utf8_lossy(request.body).contains("-dead") => {
                Fault::sqs_error(403, "AccessDenied", "not authorized to perform: sqs:sendmessage")
            }
            _ => Fault::Pass,
        });
        let behind = Options {
            endpoint: Some(proxy.endpoint()),
            ..options(&at.url)
        };
        let queue = SqsQueue::connect(behind, Role::Source).await.unwrap();
        Sqs::shared().send(&at.url, &item(0).to_json());
        let lease = lease_all(&queue, 1).await.remove(0);
        queue
            .release(&lease.receipt, &lease.given_back(), Duration::ZERO)
            .await
            .unwrap();
        let again = lease_all(&queue, 1).await.remove(0);
        assert_eq!((again.receive_count, again.item), (2, item(0)), "the same message");
        assert_eq!(
            again.lost_leases, 0,
            "given back and lost are counted alike, so none is called lost"
        );
        queue.complete(&[again.receipt]).await.unwrap();
    }
}
