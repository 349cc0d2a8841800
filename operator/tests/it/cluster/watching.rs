//! The operator's streams are cut, delayed and run against each other, and jobs come to their ends all the same.
//!
//! What a cut takes with it is what was under way on it: the last event is lost, and comes again, or the API server has forgotten
//! where the stream was. Each stream lags on its own, so that pods are heard of before their Jobs, and the other way round.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use futures::{StreamExt as _, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use kube::{
    api::{DeleteParams, ListParams},
    client::{Body, DynBody},
};
use pf_operator::{controller::watch, crd::Phase};
use pf_telemetry::Shutdown;
use tower::{BoxError, Layer, Service};

use super::world::{World, client_with, controller_as};

/// Jobs that live at the same time.
const JOBS: [&str; 4] = ["logs", "clicks", "orders", "payments"];

/// The longest that an event is late, in milliseconds.
const LATE_MAX: u64 = 400;

/// A stream is cut after so many events, or handfuls of them, at the latest.
const EVENTS_MAX: u64 = 3;

/// So many streams are cut or forgotten: who is cut again and again waits longer each time, and a test has not that long.
const CUTS_MAX: u64 = 12;

/// A layer that disturbs streams, and leaves other calls alone.
#[derive(Debug, Clone, Default)]
struct Disturber {
    seed: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
}

impl Disturber {
    fn may_cut(&self) -> bool {
        self.cuts.fetch_add(1, Ordering::SeqCst) < CUTS_MAX
    }
}

impl<S> Layer<S> for Disturber {
    type Service = Disturbed<S>;

    fn layer(&self, inner: S) -> Disturbed<S> {
        let by = self.clone();
        Disturbed { inner, by }
    }
}

#[derive(Debug, Clone)]
struct Disturbed<S> {
    inner: S,
    by: Disturber,
}

impl<S> Service<Request<Body>> for Disturbed<S>
where
    S: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Box<DynBody>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Box<DynBody>>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_stream = request.uri().query().is_some_and(|query| query.contains("watch="));
        let call = self.inner.call(request);
        if !is_stream {
            return Box::pin(call);
        }
        let by = self.by.clone();
        let mut rng = Rng::with_seed(by.seed.fetch_add(1, Ordering::SeqCst));
        Box::pin(async move {
            if rng.u8(0..5) == 0 && by.may_cut() {
                return Ok(forgotten());
            }
            let response = call.await?;
            Ok(response.map(|body| disturbed(body, rng, by)))
        })
    }
}

/// What the API server says to who goes on from too long ago.
fn forgotten() -> Response<Box<DynBody>> {
    let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old resource version","reason":"Expired","code":410}"#;
    let body = http_body_util::Full::new(Bytes::from(status)).map_err(BoxError::from);
    let mut response = Response::new(Box::new(body) as Box<DynBody>);
    *response.status_mut() = StatusCode::GONE;
    response
}

/// Events that come late, until the stream is cut and the last one with it.
fn disturbed(body: Box<DynBody>, mut rng: Rng, by: Disturber) -> Box<DynBody> {
    let events = rng.u64(1..=EVENTS_MAX);
    let frames = stream::unfold((body, rng, 0), move |(mut body, mut rng, count)| {
        let by = by.clone();
        async move {
            let frame = body.frame().await?.ok()?;
            if count == events && by.may_cut() {
                return Some((Err(BoxError::from("cut within an event")), (body, rng, count + 1)));
            }
            tokio::time::sleep(Duration::from_millis(rng.u64(0..LATE_MAX))).await;
            Some((Ok(frame), (body, rng, count + 1)))
        }
    });
    Box::new(StreamBody::new(frames.boxed()))
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_come_to_their_ends_though_streams_are_cut_late_and_out_of_order() {
    let mut world = World::new("streams").await;
    let disturber = Disturber::default();
    let controller = Arc::new(controller_as(client_with(&disturber).await));
    let shutdown = Shutdown::new();
    let (namespace, stop) = (world.namespace.clone(), shutdown.clone());
    let operator = tokio::spawn(async move { watch(controller, Some(&namespace), &stop).await });
    for name in JOBS {
        world.create(&world.job(name)).await;
    }
    let deadline = std::time::Instant::now() + Duration::from_mins(2);
    for name in JOBS {
        while world.status(name).await.phase != Some(Phase::Complete) {
            assert!(
                std::time::Instant::now() < deadline,
                "{name}: {:#?}",
                world.status(name).await
            );
            for name in JOBS {
                world.play(name).await;
            }
            world.see_discoverers().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(world.discoverers.len(), JOBS.len(), "one discoverer for each job");
    let cuts = disturber.cuts.load(Ordering::SeqCst);
    assert!(cuts >= 4, "only {cuts} streams were cut");
    for name in JOBS {
        world.jobs().delete(name, &DeleteParams::default()).await.unwrap();
    }
    loop {
        let left = world.jobs().list(&ListParams::default()).await.unwrap();
        if left.items.is_empty() {
            break;
        }
        let names: Vec<String> = left.iter().map(kube::ResourceExt::name_any).collect();
        assert!(std::time::Instant::now() < deadline, "{names:?} are not let go");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shutdown.drain();
    operator.await.unwrap();
}
