//! The start-up check: what is missing is told before anything is done, and what to do about it.

use std::time::{Duration, Instant};

use pf_e2e::{FailedEntries, Fault, FaultProxy, LocalStack, Sqs};
use pf_work::{
    queue::Error,
    sqs::{Options, Role, SqsQueue},
};
use serde_json::json;

use super::sqs_queue::options;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

async fn refusal(options: Options, role: Role) -> String {
    match SqsQueue::connect(options, role).await {
        Err(Error::Refused { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_refused_under_both_names_of_its_error() {
    let sqs = Sqs::shared();
    let url = format!("{}/000000000000/no-such-queue", sqs.endpoint());
    for role in [Role::Sink, Role::Source] {
        assert_eq!(refusal(options(&url), role).await, format!("there is no queue {url}"));
    }
    let url = format!("{}/000000000000/no-such-queue", LocalStack::shared().endpoint());
    assert_eq!(
        refusal(options(&url), Role::Sink).await,
        format!("there is no queue {url}")
    );
}

#[tokio::test]
async fn a_queue_is_looked_for_in_the_region_that_is_said() {
    let server = LocalStack::shared();
    let url = server.without_region(&server.sqs().make_queue("region", 30, 3).url);
    SqsQueue::connect(options(&url), Role::Source).await.unwrap();
    let elsewhere = Options {
        region: Some("eu-west-1".to_owned()),
        ..options(&url)
    };
    assert_eq!(refusal(elsewhere, Role::Sink).await, format!("there is no queue {url}"));
}

#[tokio::test]
async fn who_may_not_use_the_queue_is_told_what_the_server_says() {
    let sqs = Sqs::shared();
    let queue = sqs.make_queue("denied", 30, 3);
    let proxy = FaultProxy::new(&sqs.endpoint());
    proxy.afterwards(Fault::sqs_error(
        403,
        "AccessDenied",
        "User arn:x may not perform sqs:getqueueattributes.",
    ));
    let behind = Options {
        endpoint: Some(proxy.endpoint()),
        ..options(&queue.url)
    };
    let reason = refusal(behind, Role::Sink).await;
    assert!(
        reason.contains("403 AccessDenied: User arn:x may not perform sqs:getqueueattributes"),
        "{reason}"
    );
    assert!(reason.contains(&queue.url), "{reason}");
    assert_eq!(proxy.requests().len(), 1, "a refusal is not asked for twice");
}

#[tokio::test]
async fn a_worker_that_lacks_a_permission_is_told_so_before_it_leases_anything() {
    let at = Sqs::shared().make_queue("permissions", 30, 3);
    for (denied, told) in [
        (
            "changemessagevisibilitybatch",
            "cannot change the visibility of messages",
        ),
        ("deletemessagebatch", "cannot delete messages"),
        ("sendmessagebatch", "cannot send messages"),
    ] {
        for is_whole in [true, false] {
            let proxy = FaultProxy::new(&Sqs::shared().endpoint());
            proxy.choose(move |request| {
                if request.sqs_action() != Some(denied) {
                    return Fault::Pass;
                }
                if is_whole || denied == "sendmessagebatch" {
                    return Fault::sqs_error(403, "AccessDeniedException", "not authorized to perform it");
                }
                Fault::FailEntries(FailedEntries {
                    places: vec![0],
                    code: "AccessDenied".to_owned(),
                    sender_fault: true,
                    applied: false,
                })
            });
            let behind = Options {
                endpoint: Some(proxy.endpoint()),
                ..options(&at.url)
            };
            let reason = refusal(behind.clone(), Role::Source).await;
            assert!(reason.contains(told) && reason.contains("AccessDenied"), "{reason}");
            // Who only looks needs none of them.
            let overseer = SqsQueue::connect(behind, Role::Overseer).await.unwrap();
            assert_eq!(overseer.dead_letter_url(), Some(at.dead_letter_url.as_str()));
        }
    }
    // All that was tried changed nothing.
    let depth = Sqs::shared().depth(&at.url);
    assert_eq!((depth.visible, depth.in_flight, depth.delayed), (0, 0, 0));
}

#[tokio::test]
async fn a_queue_is_worked_on_without_a_redrive_policy_and_a_dead_letter_queue_that_is_named_must_be_there() {
    finds_the_dead_letter_queue(Sqs::shared()).await;
    finds_the_dead_letter_queue(LocalStack::shared().sqs()).await;
}

async fn finds_the_dead_letter_queue(sqs: &Sqs) {
    let bare = sqs.make_plain_queue("start-bare", &json!({"VisibilityTimeout": "17"}));
    let sink = SqsQueue::connect(options(&bare), Role::Sink).await.unwrap();
    assert_eq!(
        (sink.visibility(), sink.dead_letter_url()),
        (Duration::from_secs(17), None)
    );
    let source = SqsQueue::connect(options(&bare), Role::Source).await.unwrap();
    assert_eq!((source.dead_letter_url(), source.receives_max()), (None, None));
    assert!(!pf_work::WorkSource::keeps_dead_letters(&source));

    let spare = sqs.make_plain_queue("start-spare", &json!({}));
    let given = Options {
        dead_letter_url: Some(spare.clone()),
        visibility: Some(Duration::from_secs(5)),
        ..options(&bare)
    };
    let source = SqsQueue::connect(given, Role::Source).await.unwrap();
    assert_eq!(source.dead_letter_url(), Some(spare.as_str()));
    assert_eq!(source.visibility(), Duration::from_secs(5), "a given one wins");

    let gone = sqs.make_queue("start-gone", 30, 3);
    let source = SqsQueue::connect(options(&gone.url), Role::Source).await.unwrap();
    assert_eq!(source.dead_letter_url(), Some(gone.dead_letter_url.as_str()));
    assert_eq!(source.receives_max(), Some(3));
    assert!(pf_work::WorkSource::keeps_dead_letters(&source));
    sqs.delete_queue(&gone.dead_letter_url);
    for role in [Role::Source, Role::Overseer] {
        let reason = refusal(options(&gone.url), role).await;
        assert!(
            reason.contains("the dead-letter queue of") && reason.contains("there is no queue"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable_after_all_attempts() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut nobody = options(&format!("http://127.0.0.1:{port}/0/jobs"));
    nobody.patience.backoff_max = Duration::from_millis(10);
    let error = SqsQueue::connect(nobody, Role::Sink).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn the_depth_counts_what_waits_what_is_leased_and_what_is_delayed() {
    counts(Sqs::shared()).await;
    counts(LocalStack::shared().sqs()).await;
}

async fn counts(server: &Sqs) {
    let queue = server.make_queue("depth", 600, 3);
    let source = SqsQueue::connect(options(&queue.url), Role::Source).await.unwrap();
    let items: Vec<_> = (0..5).map(pf_work::contract::item).collect();
    pf_work::WorkSink::offer(&source, &items).await.unwrap();
    // The counters are eventually right.
    until_depth(&source, (5, 0, 0)).await;
    let lease = pf_work::WorkSource::lease(&source, 1, PATIENCE)
        .await
        .unwrap()
        .remove(0);
    until_depth(&source, (4, 1, 0)).await;
    let released = pf_work::WorkSource::release(&source, &lease.receipt, &lease.item, Duration::ZERO).await;
    assert_eq!(released, Ok(()));
    until_depth(&source, (5, 0, 0)).await;

    server.send_later(&queue.url, "another", Duration::from_mins(10));
    until_depth(&source, (5, 0, 1)).await;
}

async fn until_depth(queue: &SqsQueue, expected: (u64, u64, u64)) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let depth = queue.depth().await.unwrap();
        let depth = (depth.visible, depth.in_flight, depth.delayed);
        if depth == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{depth:?} never becomes {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
