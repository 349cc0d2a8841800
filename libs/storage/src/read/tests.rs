//! Reading through a backend that fails on purpose.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use async_trait::async_trait;
use futures::TryStreamExt as _;
use proptest::prelude::*;

use super::*;
use crate::{ListPage, ListRequest, ObjectMeta, PutMode, backend::Put};

/// One object behind connections that break as planned, one break a connection; when the plan is done, none does.
#[derive(Debug)]
struct Unreliable {
    bytes: Bytes,
    piece_bytes: usize,
    /// What passes before each answer, and before each piece.
    answer_after: Duration,
    piece_after: Duration,
    breaks: Mutex<VecDeque<Break>>,
    /// What each connection says of the version, the last for all that follow.
    versions: Mutex<VecDeque<Version>>,
    /// The range and entity tag that each connection was asked for.
    opened: Mutex<Vec<(Range<u64>, Option<String>)>>,
}

#[derive(Debug, Clone)]
struct Break {
    after_bytes: u64,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Error,
    End,
    Stall,
}

#[async_trait]
impl Backend for Unreliable {
    async fn list(&self, _request: &ListRequest) -> Result<ListPage> {
        unreachable!("readers don't list")
    }

    async fn head(&self, _uri: &ObjectUri) -> Result<ObjectMeta> {
        unreachable!("readers don't ask for more")
    }

    async fn open(&self, _uri: &ObjectUri, version: &Version, range: Range<u64>, _trouble: &Trouble) -> Result<Body> {
        self.opened.lock().unwrap().push((range.clone(), version.etag.clone()));
        sleep(self.answer_after).await;
        let mut bytes = self.bytes.slice(range.start as usize..range.end as usize);
        let plan = self.breaks.lock().unwrap().pop_front();
        if let Some(plan) = &plan {
            bytes.truncate(plan.after_bytes as usize);
        }
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            pieces.push(Ok(bytes.split_to(self.piece_bytes.min(bytes.len()))));
        }
        let pieces = match plan.map(|plan| plan.how) {
            Some(How::Error) => {
                pieces.push(Err(BodyError::Broken("connection reset".into())));
                futures::stream::iter(pieces).boxed()
            }
            Some(How::Stall) => futures::stream::iter(pieces).chain(futures::stream::pending()).boxed(),
            Some(How::End) | None => futures::stream::iter(pieces).boxed(),
        };
        let mut versions = self.versions.lock().unwrap();
        let version = if versions.len() > 1 {
            versions.pop_front()
        } else {
            versions.front().cloned()
        };
        let piece_after = self.piece_after;
        let pieces = pieces.then(move |piece| async move {
            sleep(piece_after).await;
            piece
        });
        Ok(Body {
            version: version.expect("the last one stays"),
            pieces: pieces.boxed(),
        })
    }

    async fn put(&self, _uri: &ObjectUri, _bytes: Bytes, _mode: PutMode) -> Result<Put> {
        unreachable!("readers don't write")
    }

    async fn delete(&self, _uri: &ObjectUri) -> Result<()> {
        unreachable!("readers don't write")
    }
}

fn tagged(etag: &str) -> Version {
    Version {
        etag: Some(etag.to_owned()),
        ..Version::default()
    }
}

fn unreliable(length: usize, piece_bytes: usize, breaks: impl IntoIterator<Item = Break>) -> Unreliable {
    Unreliable {
        bytes: (0..length).map(|index| (index * 31 + index / 251) as u8).collect(),
        piece_bytes,
        answer_after: Duration::ZERO,
        piece_after: Duration::ZERO,
        breaks: Mutex::new(breaks.into_iter().collect()),
        versions: Mutex::new([tagged("\"v1\"")].into()),
        opened: Mutex::default(),
    }
}

fn reader(backend: &Arc<Unreliable>, etag: Option<&str>, range: Range<u64>) -> Reader {
    patient_reader(backend, Patience::default(), etag, range)
}

fn patient_reader(backend: &Arc<Unreliable>, patience: Patience, etag: Option<&str>, range: Range<u64>) -> Reader {
    let uri = "s3://bucket/key".parse().expect("it is an address");
    let backend = Arc::clone(backend) as Arc<dyn Backend>;
    Reader::new(backend, patience, uri, etag.map(str::to_owned), range)
}

/// Runs under a clock that jumps over pauses.
fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be made")
        .block_on(work)
}

fn some_break() -> impl Strategy<Value = Break> {
    let how = prop_oneof![Just(How::Error), Just(How::End), Just(How::Stall)];
    (prop_oneof![0..10_u64, 0..400_000_u64], how).prop_map(|(after_bytes, how)| Break { after_bytes, how })
}

proptest! {
    #[test]
    fn a_range_arrives_whole_however_often_the_connection_breaks(
        length in 1..600_000_usize,
        from in 0.0..1.0_f64,
        to in 0.0..1.0_f64,
        piece_bytes in prop_oneof![1..5000_usize, Just(70_000), Just(3_000_000)],
        breaks in prop::collection::vec(some_break(), 0..Patience::ATTEMPTS_MAX as usize),
        budget_bytes in prop::option::of(1..3_000_000_u64),
    ) {
        let (from, to) = ((from * length as f64) as u64, (to * length as f64) as u64);
        let range = from.min(to)..from.max(to).max(from.min(to) + 1);
        let backend = Arc::new(unreliable(length, piece_bytes, breaks.clone()));
        let expected = backend.bytes.slice(range.start as usize..range.end as usize);

        let budget = budget_bytes.map(Budget::new);
        // Connections may stall as often as they may break before the first byte.
        let patience = Patience { call_max: Patience::STALL_MAX * Patience::ATTEMPTS_MAX * 2, ..Patience::default() };
        let reader = |etag| patient_reader(&backend, patience.clone(), etag, range.clone());
        let pieces: Vec<Bytes> = run(reader(None).into_stream(None).try_collect()).unwrap();
        prop_assert!(pieces.concat() == expected);
        prop_assert!(pieces.iter().all(|piece| (1..=PIECE_BYTES_MAX).contains(&piece.len())));
        let good = expected.len().div_ceil(PIECE_BYTES_MIN) * 2 + breaks.len();
        prop_assert!(pieces.len() <= good + 1, "{} pieces of {} bytes", pieces.len(), expected.len());
        // Each connection went on where the one before it broke, bound to the first one's version.
        let opened = backend.opened.lock().unwrap().clone();
        prop_assert_eq!(&opened[0], &(range.clone(), None));
        prop_assert!(opened[1..].iter().all(|(rest, etag)| rest.end == range.end && etag.as_deref() == Some("\"v1\"")));
        prop_assert!(opened.is_sorted_by_key(|(rest, _)| rest.start));

        *backend.breaks.lock().unwrap() = breaks.into();
        let whole = run(reader(Some("v1")).into_bytes(budget.clone())).unwrap();
        prop_assert!(whole == expected);
        if let Some(budget) = budget {
            prop_assert!(budget.free_bytes() < budget.bytes_max());
            drop(whole);
            prop_assert_eq!(budget.free_bytes(), budget.bytes_max());
        }
    }
}

#[test]
fn what_came_before_an_error_is_handed_out_before_it() {
    let breaks = vec![
        Break {
            after_bytes: 0,
            how: How::Error
        };
        100
    ];
    let first = Break {
        after_bytes: 1234,
        how: How::End,
    };
    let backend = Arc::new(unreliable(5000, 100, [first].into_iter().chain(breaks)));
    let mut stream = reader(&backend, None, 0..5000).into_stream(None);
    run(async {
        let piece = stream.try_next().await.unwrap().unwrap();
        assert_eq!(piece, backend.bytes[..1234]);
        let error = stream.try_next().await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Unavailable {
                    attempts: Patience::ATTEMPTS_MAX,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(stream.try_next().await.unwrap().is_none());
    });
}

#[test]
fn progress_forgives_the_breaks_before_it() {
    let breaks = vec![
        Break {
            after_bytes: PROGRESS_BYTES_MIN,
            how: How::Error
        };
        50
    ];
    let backend = Arc::new(unreliable(60 << 16, 4096, breaks));
    let whole = run(reader(&backend, None, 0..60 << 16).into_bytes(None)).unwrap();
    assert!(whole == backend.bytes);
    assert_eq!(backend.opened.lock().unwrap().len(), 51);
}

#[test]
fn a_stall_ends_after_its_limit() {
    let backend = Arc::new(unreliable(
        1000,
        10,
        [Break {
            after_bytes: 500,
            how: How::Stall,
        }],
    ));
    run(async {
        let start = Instant::now();
        let whole = reader(&backend, None, 0..1000).into_bytes(None).await.unwrap();
        assert!(whole == backend.bytes);
        let waited = start.elapsed();
        assert!(
            waited >= Patience::STALL_MAX && waited < Patience::STALL_MAX + Duration::from_secs(1),
            "{waited:?}"
        );
    });
}

#[test]
fn another_version_behind_a_break_is_told_as_changed() {
    let backend = unreliable(
        1000,
        10,
        [Break {
            after_bytes: 500,
            how: How::Error,
        }],
    );
    *backend.versions.lock().unwrap() = [tagged("v1"), tagged("v2")].into();
    let error = run(reader(&Arc::new(backend), None, 0..1000).into_bytes(None)).unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
}

/// A read of 1,000 bytes whose connection breaks once, and which meets these versions before and behind the break.
fn across_a_break(versions: [Version; 2]) -> Result<Bytes> {
    let first = Break {
        after_bytes: 500,
        how: How::Error,
    };
    let backend = unreliable(1000, 10, [first]);
    *backend.versions.lock().unwrap() = versions.into();
    run(reader(&Arc::new(backend), None, 0..1000).into_bytes(None))
}

fn untagged(size_bytes: Option<u64>, last_modified_seconds: Option<i64>) -> Version {
    Version {
        etag: None,
        size_bytes,
        last_modified: last_modified_seconds.map(|seconds| jiff::Timestamp::new(seconds, 0).unwrap()),
    }
}

#[test]
fn without_an_entity_tag_size_and_time_tell_whether_a_broken_read_goes_on() {
    let first = untagged(Some(1000), Some(50));
    let whole = across_a_break([first.clone(), first.clone()]).unwrap();
    assert_eq!(whole.len(), 1000);
    for other in [untagged(Some(1001), Some(50)), untagged(Some(1000), Some(51))] {
        let error = across_a_break([first.clone(), other]).unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error:?}");
    }
}

#[test]
fn what_nothing_tells_from_another_version_is_not_resumed() {
    for version in [
        untagged(None, None),
        untagged(Some(1000), None),
        untagged(None, Some(50)),
    ] {
        let error = across_a_break([version.clone(), version]).unwrap_err();
        assert!(matches!(error, Error::Unavailable { attempts: 1, .. }), "{error:?}");
    }
}

#[test]
fn a_first_byte_that_never_comes_is_not_waited_for_longer_than_a_call_may_take() {
    let stall = Break {
        after_bytes: 0,
        how: How::Stall,
    };
    let backend = Arc::new(unreliable(1000, 10, vec![stall; 100]));
    run(async {
        let start = Instant::now();
        let error = reader(&backend, None, 0..1000).into_bytes(None).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { attempts: 4.., .. }), "{error:?}");
        let waited = start.elapsed();
        assert!(
            waited + Patience::STALL_MAX > Patience::CALL_MAX && waited <= Patience::CALL_MAX,
            "{waited:?}"
        );
    });
}

#[test]
fn a_read_may_take_longer_than_a_call_while_bytes_come() {
    let backend = Unreliable {
        piece_after: Patience::STALL_MAX / 2,
        ..unreliable(10_000, 100, [])
    };
    run(async {
        let start = Instant::now();
        let whole = reader(&Arc::new(backend), None, 0..10_000)
            .into_bytes(None)
            .await
            .unwrap();
        assert_eq!(whole.len(), 10_000);
        assert!(start.elapsed() > Patience::CALL_MAX * 10);
    });
}

#[test]
fn a_server_that_takes_long_for_each_answer_is_waited_for() {
    let breaks = [500, 0, PROGRESS_BYTES_MIN, 0].map(|after_bytes| Break {
        after_bytes,
        how: How::End,
    });
    let backend = Unreliable {
        answer_after: Duration::from_secs(50),
        ..unreliable(100_000, 100, breaks)
    };
    let backend = Arc::new(backend);
    let whole = run(reader(&backend, None, 0..100_000).into_bytes(None)).unwrap();
    assert!(whole == backend.bytes);
    assert_eq!(backend.opened.lock().unwrap().len(), 5);
}

#[test]
fn a_byte_behind_a_break_that_never_comes_is_not_waited_for_longer_than_a_call_may_take() {
    let breaks = [500].into_iter().chain([0; 100]).map(|after_bytes| Break {
        after_bytes,
        how: How::Stall,
    });
    let backend = Arc::new(unreliable(1000, 10, breaks));
    run(async {
        let start = Instant::now();
        let error = reader(&backend, None, 0..1000).into_bytes(None).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let waited = start.elapsed();
        // The stall in which the bytes ended, its pause, and then the call.
        let longest = Patience::STALL_MAX + Patience::BACKOFF_MIN + Patience::CALL_MAX;
        assert!(waited > Patience::CALL_MAX && waited <= longest, "{waited:?}");
    });
}

#[test]
fn pieces_that_are_held_stop_other_reads_until_they_are_dropped() {
    let backend = Arc::new(unreliable(2 << 20, 1 << 20, []));
    let budget = Budget::new(3 << 19);
    let mut first = reader(&backend, None, 0..2 << 20).into_stream(Some(budget.clone()));
    let mut second = reader(&backend, None, 0..2 << 20).into_stream(Some(budget));
    run(async {
        let held = first.try_next().await.unwrap().unwrap();
        assert_eq!(held.len(), 1 << 20);
        let mut waiting = second.try_next();
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        assert_eq!(waiting.await.unwrap().unwrap().len(), 1 << 20);
    });
}
