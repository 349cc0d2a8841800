//! Queues are made and removed, and both can be done again.

use std::{collections::HashMap, time::Duration};

use pf_e2e::{LocalStack, Sqs};
use pf_work::{
    WorkSink as _,
    contract::item,
    queue::Error,
    sqs::{
        Options, Patience, Role, SqsQueue,
        admin::{Admin, Wish},
    },
};

use super::sqs_queue::options;

async fn admin(server: &Sqs) -> Admin {
    let Options { region, identity, .. } = options("");
    Admin::new(region, Some(server.endpoint()), Patience::default(), identity).await
}

#[tokio::test]
async fn a_queue_is_made_used_and_removed_and_each_can_be_done_again() {
    make_use_and_remove(Sqs::shared()).await;
}

#[tokio::test]
async fn a_queue_is_made_used_and_removed_on_localstack_too() {
    make_use_and_remove(LocalStack::shared().sqs()).await;
}

async fn make_use_and_remove(server: &Sqs) {
    let admin = admin(server).await;
    let wish = Wish {
        name: "made-by-admin".to_owned(),
        visibility: Duration::from_secs(77),
        receives_max: 3,
        tags: HashMap::from([("owner".to_owned(), "a test".to_owned())]),
    };
    let made = admin.make(&wish).await.unwrap();
    assert_eq!(admin.make(&wish).await.unwrap(), made);

    let queue = SqsQueue::connect(options(&made.url), Role::Source).await.unwrap();
    assert_eq!(queue.visibility(), Duration::from_secs(77));
    assert_eq!(queue.dead_letter_url(), Some(made.dead_letter_url.as_str()));
    assert_eq!(queue.offer(&[item(1)]).await.unwrap(), []);

    for _ in 0..2 {
        admin.remove(&made.url).await.unwrap();
        admin.remove(&made.dead_letter_url).await.unwrap();
    }
    let gone = SqsQueue::connect(options(&made.url), Role::Sink).await.unwrap_err();
    assert!(
        matches!(&gone, Error::Refused { reason } if reason.contains("there is no queue")),
        "{gone}"
    );
}

#[tokio::test]
async fn a_name_that_the_server_does_not_take_is_refused() {
    let wish = Wish {
        name: "no blanks please".to_owned(),
        visibility: Duration::from_secs(30),
        receives_max: 3,
        tags: HashMap::new(),
    };
    for server in [Sqs::shared(), LocalStack::shared().sqs()] {
        let made = admin(server).await.make(&wish).await;
        assert!(matches!(made, Err(Error::Refused { .. })), "{made:?}");
    }
}

#[tokio::test]
async fn what_is_made_has_what_was_wished_for() {
    let sqs = LocalStack::shared().sqs();
    let wish = Wish {
        name: "wished".to_owned(),
        visibility: Duration::from_secs(77),
        receives_max: 3,
        tags: HashMap::from([("owner".to_owned(), "a test".to_owned())]),
    };
    let made = admin(sqs).await.make(&wish).await.unwrap();
    let queue = sqs.attributes(&made.url).unwrap();
    assert_eq!(queue["VisibilityTimeout"], "77");
    assert_eq!(queue["MessageRetentionPeriod"], (14 * 24 * 3600).to_string());
    let policy: serde_json::Value = serde_json::from_str(queue["RedrivePolicy"].as_str().unwrap()).unwrap();
    let dead = sqs.attributes(&made.dead_letter_url).unwrap();
    assert_eq!(policy["deadLetterTargetArn"], dead["QueueArn"]);
    assert_eq!(policy["maxReceiveCount"].to_string().trim_matches('"'), "3");

    // Somebody changed the queue meanwhile: it is not taken for what is wished for.
    let other = Wish {
        visibility: Duration::from_secs(78),
        ..wish
    };
    let told = admin(sqs).await.make(&other).await.unwrap_err();
    assert!(
        matches!(&told, Error::Refused { reason } if reason.contains("wished")),
        "{told}"
    );
}
