//! Queues are made and removed, and both can be done again.

use std::{collections::HashMap, time::Duration};

use pf_e2e::Sqs;
use pf_work::{
    WorkSink as _,
    contract::item,
    queue::Error,
    sqs::{
        AccessKey, Options, Patience, Role, SqsQueue,
        admin::{Admin, Wish},
    },
};

fn key() -> AccessKey {
    AccessKey {
        id: Sqs::ACCESS_KEY_ID.to_owned(),
        secret: Sqs::SECRET_ACCESS_KEY.to_owned(),
    }
}

fn options(url: &str) -> Options {
    Options {
        access_key: Some(key()),
        ..Options::new(url)
    }
}

async fn admin() -> Admin {
    let (region, endpoint) = (Sqs::REGION.to_owned(), Sqs::shared().endpoint());
    Admin::with_key(Some(region), Some(endpoint), Patience::default(), key()).await
}

#[tokio::test]
async fn a_queue_is_made_used_and_removed_and_each_can_be_done_again() {
    let admin = admin().await;
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
    let admin = admin().await;
    let wish = Wish {
        name: "no blanks please".to_owned(),
        visibility: Duration::from_secs(30),
        receives_max: 3,
        tags: HashMap::new(),
    };
    assert!(matches!(admin.make(&wish).await, Err(Error::Refused { .. })));
}
