//! Offering to a queue that misbehaves, under a paused clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use pf_storage::{ObjectMeta, ObjectUri};
use pf_work::{Compression, Format, queue::Failed};
use prometheus::Registry;
use tokio::sync::mpsc;

use super::*;
use crate::{naming::Naming, totals::Totals};

/// Answers each offer as it is told, by the number of the offer.
struct Moody<F> {
    answer: F,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    offers: usize,
    in_flight: usize,
    in_flight_most: usize,
    taken: BTreeMap<u64, u32>,
}

#[async_trait::async_trait]
impl<F: Fn(usize, &[WorkItem]) -> Result<Vec<Failed>, Error> + Send + Sync> WorkSink for Moody<F> {
    async fn offer(&self, items: &[WorkItem]) -> Result<Vec<Failed>, Error> {
        let number = {
            let mut state = self.state.lock().unwrap();
            state.offers += 1;
            state.in_flight += 1;
            state.in_flight_most = state.in_flight_most.max(state.in_flight);
            state.offers - 1
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        let answer = (self.answer)(number, items);
        let mut state = self.state.lock().unwrap();
        state.in_flight -= 1;
        if let Ok(failed) = &answer {
            let failed: BTreeSet<usize> = failed.iter().map(|failed| failed.index).collect();
            let taken = items.iter().enumerate().filter(|(index, _)| !failed.contains(index));
            for (_, item) in taken {
                *state.taken.entry(item.seq).or_default() += 1;
            }
        }
        answer
    }
}

fn moody<F: Fn(usize, &[WorkItem]) -> Result<Vec<Failed>, Error> + Send + Sync>(answer: F) -> Moody<F> {
    Moody {
        answer,
        state: Mutex::default(),
    }
}

fn unavailable() -> Error {
    Error::Unavailable {
        reason: "later".to_owned(),
    }
}

fn terms(objects_max: Option<u64>) -> Terms {
    Terms {
        life: None,
        run: 1,
        job: "j".to_owned(),
        naming: Naming {
            format: Format::Auto,
            compression: Compression::Auto,
        },
        objects_max,
        totals: Totals::new(&Registry::new()),
    }
}

fn page(objects: std::ops::Range<u64>) -> Vec<Found> {
    let found = |number| Found {
        object: ObjectMeta {
            uri: ObjectUri::S3 {
                bucket: "b".to_owned(),
                key: format!("{number}.ndjson"),
            },
            size_bytes: 1,
            etag: "e".to_owned(),
            last_modified: jiff::Timestamp::UNIX_EPOCH,
        },
        partition: BTreeMap::new(),
        split: None,
        prefix: "".into(),
    };
    objects.map(found).collect()
}

async fn offered(queue: &dyn WorkSink, pages: Vec<Vec<Found>>, objects_max: Option<u64>) -> Result<Offered> {
    let (sender, receiver) = mpsc::channel(2);
    let listing = tokio::spawn(async move {
        for page in pages {
            if sender.send(page).await.is_err() {
                return;
            }
        }
    });
    let offered = offer(receiver, terms(objects_max), queue).await;
    listing.await.unwrap();
    offered
}

#[tokio::test(start_paused = true)]
async fn every_item_is_taken_once_with_a_bounded_number_of_offers_in_flight() {
    let queue = moody(|_, _| Ok(vec![]));
    let pages = (0..10).map(|number| page(number * 1000..(number + 1) * 1000)).collect();
    let offered = offered(&queue, pages, None).await.unwrap();
    assert_eq!(
        (offered.items, offered.objects, offered.bytes),
        (10_000, 10_000, 10_000)
    );
    let state = queue.state.into_inner().unwrap();
    assert_eq!(state.taken, (0..10_000).map(|seq| (seq, 1)).collect());
    assert!(
        (2..=CHUNKS_IN_FLIGHT_MAX).contains(&state.in_flight_most),
        "{}",
        state.in_flight_most
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_offered_again_and_nothing_else() {
    let queue = moody(|number, items: &[WorkItem]| match number % 3 {
        0 => Err(unavailable()),
        1 => {
            let odd = items.iter().enumerate().filter(|(_, item)| item.seq % 2 == 1);
            Ok(odd
                .map(|(index, _)| Failed {
                    index,
                    error: unavailable(),
                })
                .collect())
        }
        _ => Ok(vec![]),
    });
    offered(&queue, vec![page(0..999), page(999..1000)], None)
        .await
        .unwrap();
    let state = queue.state.into_inner().unwrap();
    assert_eq!(state.taken, (0..1000).map(|seq| (seq, 1)).collect());
}

#[tokio::test(start_paused = true)]
async fn the_bound_ends_the_run_while_pages_still_come() {
    let queue = moody(|_, _| Ok(vec![]));
    let offered = offered(&queue, vec![page(0..100), page(100..200), page(200..300)], Some(150))
        .await
        .unwrap();
    assert_eq!(offered.items, 150);
    assert_eq!(queue.state.into_inner().unwrap().taken.len(), 150);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_run_at_once() {
    let refused = || Error::Refused {
        reason: "no such queue".to_owned(),
    };
    let queue = moody(|_, _| Err(refused()));
    let error = offered(&queue, vec![page(0..1000)], None).await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "cannot offer items: the queue refuses: no such queue"
    );

    let queue = moody(|_, _| {
        Ok(vec![Failed {
            index: 3,
            error: refused(),
        }])
    });
    let error = offered(&queue, vec![page(0..10)], None).await.unwrap_err();
    assert!(
        format!("{error:#}").starts_with("cannot offer s3://b/3.ndjson: "),
        "{error:#}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_up_to_a_bound() {
    let began = Instant::now();
    let queue = moody(move |_, _| {
        if began.elapsed() < OUTAGE_MAX / 2 {
            Err(unavailable())
        } else {
            Ok(vec![])
        }
    });
    offered(&queue, vec![page(0..10)], None).await.unwrap();

    let queue = moody(|_, _| Err(unavailable()));
    let began = Instant::now();
    let error = offered(&queue, vec![page(0..10)], None).await.unwrap_err();
    assert!(began.elapsed() >= OUTAGE_MAX);
    assert_eq!(
        error.to_string(),
        "10 items were not taken for 10 minutes: the queue is unavailable: later"
    );
}

#[tokio::test(start_paused = true)]
async fn items_are_offered_while_the_listing_is_slow() {
    let queue = moody(|_, _| Ok(vec![]));
    let (sender, receiver) = mpsc::channel(2);
    let taken = async {
        sender.send(page(0..10)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let taken = queue.state.lock().unwrap().taken.len();
        drop(sender);
        taken
    };
    let (offered, taken) = tokio::join!(offer(receiver, terms(None), &queue), taken);
    assert_eq!((taken, offered.unwrap().items), (10, 10));
}
