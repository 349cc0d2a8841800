//! Connections that break between us and a real S3 server.

use std::{ops::Range, time::Duration};

use futures::TryStreamExt as _;
use pf_e2e::{Fault, FaultProxy, S3};
use pf_storage::{Error, ListRequest, ObjectUri, Options, Storage, contract::World as _};

use crate::worlds::{Bucket, options};

/// A bucket behind a proxy.
struct Behind {
    proxy: FaultProxy,
    bucket: Bucket,
}

impl Behind {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        let proxy = FaultProxy::new(&S3::shared().endpoint());
        let mut options = options(&proxy.endpoint());
        change(&mut options);
        let bucket = Bucket::through(options);
        Self { proxy, bucket }
    }

    /// Stores an object; returns its address and entity tag.
    fn object(&self, bytes: &[u8]) -> (ObjectUri, String) {
        let etag = S3::shared().put(&self.bucket.name, "object", bytes);
        (self.bucket.uri("object"), etag)
    }

    fn storage(&self) -> &Storage {
        self.bucket.storage()
    }

    fn all(&self) -> ListRequest {
        ListRequest {
            prefix: self.bucket.uri(""),
            start_after: None,
            by_folder: false,
            continuation: None,
            page_size: 1000,
        }
    }
}

fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        bytes.push((random(&mut seed) >> 32) as u8);
    }
    bytes
}

/// The generator `SplitMix64`.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[tokio::test]
async fn a_body_that_is_cut_at_random_places_arrives_whole() {
    for seed in 0..8 {
        let behind = Behind::new();
        let bytes = noise(2_000_000, seed);
        let (uri, etag) = behind.object(&bytes);
        let mut state = seed;
        // Each cut leaves enough for the next to count as progress.
        for _ in 0..12 {
            let after_bytes = 70_000 + random(&mut state) % 80_000;
            behind.proxy.then([if random(&mut state).is_multiple_of(2) {
                Fault::CutBody { after_bytes }
            } else {
                Fault::ResetBody { after_bytes }
            }]);
        }
        let range: Range<u64> = seed * 10..2_000_000 - seed;
        let pieces: Vec<_> = behind
            .storage()
            .read(&uri, Some(&etag), range.clone())
            .try_collect()
            .await
            .unwrap();
        assert!(
            pieces.concat() == bytes[range.start as usize..range.end as usize],
            "seed {seed}"
        );
        let requests = behind.proxy.requests();
        assert_eq!(requests.len(), 13, "seed {seed}");
        let if_match = format!("if-match: {}", etag.to_ascii_lowercase());
        assert!(
            requests.iter().all(|request| request.contains(&if_match)),
            "seed {seed}"
        );
    }
}

#[tokio::test]
async fn a_cut_body_is_asked_for_again_from_the_byte_that_was_reached() {
    let behind = Behind::new();
    let (uri, etag) = behind.object(&noise(300_000, 1));
    behind.proxy.then([Fault::CutBody { after_bytes: 123_456 }]);
    behind.storage().read_range(&uri, None, 1000..300_000).await.unwrap();
    let requests = behind.proxy.requests();
    assert!(requests[0].contains("range: bytes=1000-299999\r\n"));
    assert!(!requests[0].contains("if-match"));
    assert!(requests[1].contains("range: bytes=124456-299999\r\n"));
    assert!(requests[1].contains(&format!("if-match: {etag}\r\n")));
}

#[tokio::test]
async fn a_body_that_never_gets_anywhere_is_given_up() {
    let behind = Behind::new();
    let (uri, etag) = behind.object(&noise(1000, 2));
    behind.proxy.afterwards(Fault::CutBody { after_bytes: 0 });
    let error = behind
        .storage()
        .read_range(&uri, Some(&etag), 0..1000)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unavailable { attempts: 4, .. }), "{error:?}");
    assert_eq!(behind.proxy.requests().len(), 4);
}

#[tokio::test]
async fn an_object_that_changes_while_it_is_read_is_told_as_changed() {
    let behind = Behind::new();
    let (uri, etag) = behind.object(&noise(400_000, 3));
    behind.proxy.then([Fault::CutBody { after_bytes: 200_000 }]);
    let mut stream = behind.storage().read(&uri, Some(&etag), 0..400_000);
    let first = stream.try_next().await.unwrap().unwrap();
    assert!(first.len() < 200_000);
    behind.object(&noise(400_000, 4));
    let rest: Result<Vec<_>, Error> = stream.try_collect().await;
    assert!(matches!(rest, Err(Error::Changed { .. })), "{rest:?}");
}

#[tokio::test]
async fn a_body_that_stalls_without_closing_is_resumed() {
    let behind = Behind::with(|options| options.patience.stall_max = Duration::from_millis(200));
    let bytes = noise(300_000, 5);
    let (uri, etag) = behind.object(&bytes);
    behind.proxy.then([Fault::StallBody { after_bytes: 100_000 }]);
    let whole = behind
        .storage()
        .read_range(&uri, Some(&etag), 0..300_000)
        .await
        .unwrap();
    assert!(whole == bytes);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_asked_again() {
    let behind = Behind::with(|options| options.patience.answer_max = Duration::from_millis(500));
    let (uri, etag) = behind.object(b"bytes");
    behind.proxy.then([Fault::Stall, Fault::Reset]);
    let whole = behind.storage().read_range(&uri, Some(&etag), 0..5).await.unwrap();
    assert_eq!(whole, "bytes");
    behind.proxy.then([Fault::Stall, Fault::Reset]);
    assert_eq!(behind.storage().list(&behind.all()).await.unwrap().objects.len(), 1);
}

#[tokio::test]
async fn a_listing_that_is_cut_is_asked_for_again() {
    let behind = Behind::new();
    behind.object(b"bytes");
    behind.proxy.then([
        Fault::CutBody { after_bytes: 50 },
        Fault::ResetBody { after_bytes: 100 },
    ]);
    let page = behind.storage().list(&behind.all()).await.unwrap();
    assert_eq!(page.objects.len(), 1);
    assert_eq!(behind.proxy.requests().len(), 3);
    behind.proxy.afterwards(Fault::CutBody { after_bytes: 50 });
    let error = behind.storage().list(&behind.all()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { attempts: 4, .. }), "{error:?}");
}

#[tokio::test]
async fn a_throttled_call_is_tried_again_and_then_given_up() {
    let behind = Behind::new();
    let (uri, etag) = behind.object(b"bytes");
    behind.proxy.then(vec![Fault::slow_down(); 3]);
    behind.storage().list(&behind.all()).await.unwrap();
    behind.proxy.then(vec![Fault::slow_down(); 3]);
    behind.storage().read_range(&uri, Some(&etag), 0..5).await.unwrap();
    behind.proxy.then(vec![Fault::slow_down(); 4]);
    let error = behind.storage().list(&behind.all()).await.unwrap_err();
    let Error::Unavailable {
        attempts: 4, source, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        source.to_string(),
        "the server answered 503 SlowDown: Please reduce your request rate"
    );
}

#[tokio::test]
async fn when_every_call_fails_the_budget_of_retries_runs_out() {
    let behind = Behind::new();
    behind.object(b"bytes");
    behind.proxy.afterwards(Fault::slow_down());
    let mut last = None;
    // 500 tokens, 5 a retry, 3 retries a call.
    for _ in 0..500 / (5 * 3) + 2 {
        last = Some(behind.storage().list(&behind.all()).await.unwrap_err());
    }
    assert!(matches!(last, Some(Error::Unavailable { attempts: 1, .. })), "{last:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let unused = pf_e2e::free_address();
    let storage = Storage::new(options(&format!("http://{unused}")));
    let uri: ObjectUri = "s3://bucket/key".parse().unwrap();
    let error = storage.head(&uri).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { attempts: 4, .. }), "{error:?}");
}
