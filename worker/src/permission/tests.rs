//! Refusals among objects that can be read, before any, after the last one, and of everything.
#![allow(clippy::unwrap_used)] // a test says what is wrong by failing

use std::{io::Write as _, sync::Arc};

use pf_telemetry::Shutdown;
use pf_work::{Lease, WorkItem, queue::Receipt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::delivery::{
    ErrorBudget,
    track::Done,
    tracked::{Event, Tracked},
};

/// A permission, and what becomes of the items that it holds.
struct World {
    permission: Arc<Permission>,
    events: UnboundedReceiver<Event>,
    sender: tokio::sync::mpsc::UnboundedSender<Event>,
}

fn world() -> World {
    let (sender, events) = unbounded_channel();
    let ending = Arc::new(Ending::new(Shutdown::default()));
    let storage = Storage::new(pf_storage::Options::default());
    let permission = Permission::new(storage, ending, Duration::from_secs(30));
    World {
        permission: Arc::new(permission),
        events,
        sender,
    }
}

impl World {
    fn leased(&self, uri: &str) -> Leased {
        let text =
            format!(r#"{{"v":1,"job":"j","seq":0,"uri":"{uri}","size_bytes":1,"enqueued_at":"2024-01-01T00:00:00Z"}}"#);
        let lease = Lease {
            item: WorkItem::from_json(&text).unwrap(),
            receipt: Receipt("receipt".to_owned()),
            receive_count: 1,
            lost_leases: 0,
            deadline: Instant::now() + Duration::from_hours(1),
        };
        let budget = Arc::new(ErrorBudget::new(Vec::new()));
        Tracked::follow(lease, Done::default(), 0, None, self.sender.clone(), budget)
    }

    /// An item is refused.
    async fn refuse(&self, uri: &str) -> Option<Outcome> {
        let judged = self.permission.judge("403").await;
        if judged.is_none() {
            let reading = self.permission.reading();
            self.permission.hold(self.leased(uri), "403".to_owned());
            drop(reading);
        }
        judged
    }

    /// What became of held items so far.
    fn outcomes(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let Event::Over(tracked, _) = event {
                outcomes.extend(tracked.outcome());
            }
        }
        outcomes
    }

    async fn look_for(&self, time: Duration) {
        let permission = Arc::clone(&self.permission);
        tokio::time::timeout(time, permission.run()).await.unwrap_err();
    }
}

fn is_given_up(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Broken { flaw: Flaw::Denied, .. })
}

/// A file of one byte that can be read.
fn readable() -> (tempfile::NamedTempFile, Object) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"x").unwrap();
    let object = Object {
        uri: format!("file://{}", file.path().display()).parse().unwrap(),
        etag: None,
        size_bytes: 1,
    };
    (file, object)
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_before_anything_was_read_is_held_and_given_up_once_something_is() {
    let mut world = world();
    assert_eq!(world.refuse("s3://b/1").await, None);
    assert_eq!(world.refuse("s3://b/2").await, None);
    assert_eq!(world.outcomes(), []);
    world.permission.prove(&readable().1);
    let outcomes = world.outcomes();
    assert!(outcomes.len() == 2 && outcomes.iter().all(is_given_up), "{outcomes:?}");
    // Between judging and holding, too.
    world.permission.hold(world.leased("s3://b/3"), "403".to_owned());
    assert!(world.outcomes().iter().all(is_given_up));
}

#[tokio::test(start_paused = true)]
async fn where_several_are_refused_and_none_is_read_the_worker_stops_and_gives_none_up() {
    let mut world = world();
    for uri in ["s3://b/1", "s3://b/1", "s3://b/2"] {
        assert_eq!(world.refuse(uri).await, None);
    }
    world.look_for(Duration::from_secs(5)).await;
    assert_eq!(world.outcomes(), [], "one of them came twice");
    assert_eq!(world.refuse("s3://b/3").await, None);
    world.look_for(Duration::from_secs(2)).await;
    let outcomes = world.outcomes();
    assert_eq!(outcomes.len(), 4);
    for outcome in outcomes {
        let Outcome::Refused { reason } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(reason, "403; 4 objects were refused, and none could be read");
    }
}

#[tokio::test(start_paused = true)]
async fn one_alone_is_a_refusal_of_everything_after_a_while_in_which_nothing_is_read() {
    let mut world = world();
    assert_eq!(world.refuse("s3://b/1").await, None);
    let permission = Arc::clone(&world.permission);
    let reading = permission.reading();
    world.look_for(Duration::from_mins(1)).await;
    assert_eq!(world.outcomes(), [], "another is being read");
    drop(reading);
    world.look_for(Duration::from_secs(31)).await;
    let expected = Outcome::Refused {
        reason: "403".to_owned(),
    };
    assert_eq!(world.outcomes(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_gives_back_what_it_holds() {
    let mut world = world();
    assert_eq!(world.refuse("s3://b/1").await, None);
    world.permission.ending.shutdown().drain();
    world.look_for(Duration::from_secs(1)).await;
    assert_eq!(world.outcomes(), [Outcome::Interrupted]);
}

#[tokio::test]
async fn a_refusal_is_judged_by_what_can_be_read_after_it() {
    let world = world();
    let (file, object) = readable();
    world.permission.prove(&object);
    let judged = world.refuse("s3://b/1").await;
    assert!(judged.as_ref().is_some_and(is_given_up), "{judged:?}");

    // Gone is an answer, too.
    drop(file);
    let judged = world.refuse("s3://b/1").await;
    assert!(judged.as_ref().is_some_and(is_given_up), "{judged:?}");
}

/// A server of S3 that denies everything, as long as this process lives.
fn denying() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 8192];
            std::io::Read::read(&mut connection, &mut request).unwrap();
            write!(
                connection,
                "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn where_what_was_read_just_before_is_refused_now_the_worker_stops() {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let mut world = world();
    let storage = Storage::new(pf_storage::Options {
        endpoint: Some(denying()),
        region: Some("us-east-1".to_owned()),
        anonymous: true,
        ..pf_storage::Options::default()
    });
    world.permission = Arc::new(Permission::new(
        storage,
        Arc::clone(&world.permission.ending),
        Duration::from_secs(30),
    ));
    let object = |key: &str| Object {
        uri: format!("s3://b/{key}").parse().unwrap(),
        etag: None,
        size_bytes: 1,
    };
    world.permission.prove(&object("1"));
    world.permission.prove(&object("2"));
    let judged = world.refuse("s3://b/3").await;
    let Some(Outcome::Refused { reason }) = judged else {
        panic!("{judged:?}")
    };
    assert_eq!(reason, "403; what could be read before can't be read any more");
    // One of what was read can be.
    let (_file, readable) = readable();
    world.permission.prove(&readable);
    world.permission.prove(&object("3"));
    let judged = world.refuse("s3://b/4").await;
    assert!(judged.as_ref().is_some_and(is_given_up), "{judged:?}");
}
