//! A layer in the operator's own client that knows every call, and does to one of them what a network or a server may do.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use kube::client::{Body, DynBody};
use serde_json::json;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies before its call reaches the API server.
    DiesBefore,
    /// The process dies when the call is done, and before its answer is there.
    DiesAfter,
    /// The call does not reach the API server.
    Unsent,
    /// The call is done, and the answer is lost.
    Unheard,
    /// The API server refuses.
    Refused(u16),
    /// What is read is as it was before, by a server that lags; for the next [`STALE_CALLS`] calls.
    Stale,
    /// The process stands still for [`PAUSE`], as on a machine that swaps: this call and those that follow are sent after it,
    /// even if nobody waits for the answer any more.
    Pauses,
}

/// How long a process stands still.
const PAUSE: Duration = Duration::from_secs(4);

/// How many calls a server lags for.
const STALE_CALLS: usize = 12;

/// At which call it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// At this write, from 0.
    Write(usize),
    /// At this call, reads and writes, from 0.
    Call(usize),
}

/// What was called, and what is to happen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spy(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: Vec<(Method, String)>,
    writes: usize,
    numbered: usize,
    planned: Option<(At, Fault)>,
    has_happened: bool,
    is_dead: bool,
    /// Until when the process stands still.
    pauses_until: Option<Instant>,
    /// What was answered to each read before the last time.
    older: HashMap<String, [Option<Bytes>; 2]>,
}

impl Spy {
    /// One to whose call something happens.
    pub(crate) fn with(at: At, fault: Fault) -> Self {
        Self(Arc::new(Mutex::new(State {
            planned: Some((at, fault)),
            ..State::default()
        })))
    }

    /// Calls that may change something, as `PATCH /apis/…`, in their order. Events are told apart: they change nothing.
    pub(crate) fn writes(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let writes = state.calls.iter().filter(|(method, path)| is_write(method, path));
        writes.map(|(method, path)| format!("{method} {path}")).collect()
    }

    /// Whether the process has died.
    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().unwrap().is_dead
    }

    /// Whether something happens, so that steps may fail.
    pub(crate) fn is_faulty(&self) -> bool {
        self.0.lock().unwrap().planned.is_some()
    }

    /// Whether what was planned has happened.
    pub(crate) fn has_happened(&self) -> bool {
        self.0.lock().unwrap().has_happened
    }

    /// Forgets what was called.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap().calls.clear();
    }

    fn meets(&self, method: &Method, path: &str) -> Result<Option<Fault>, BoxError> {
        let mut state = self.0.lock().unwrap();
        if state.is_dead {
            return Err("this process is dead".into());
        }
        state.calls.push((method.clone(), path.to_owned()));
        if path.contains("/events") {
            return Ok(None);
        }
        if state.pauses_until.is_some_and(|until| Instant::now() < until) {
            return Ok(Some(Fault::Pauses));
        }
        let here = At::Call(state.numbered);
        state.numbered += 1;
        let write = is_write(method, path).then(|| {
            state.writes += 1;
            At::Write(state.writes - 1)
        });
        let Some((at, fault)) = state.planned else {
            return Ok(None);
        };
        let is_it = match (at, fault) {
            (At::Call(first), Fault::Stale) => {
                let older = state.older.get(path);
                (first..first + STALE_CALLS).contains(&(state.numbered - 1))
                    && older.is_some_and(|older| older[0].is_some())
            }
            _ => at == here || Some(at) == write,
        };
        if !is_it {
            return Ok(None);
        }
        state.has_happened = true;
        state.is_dead = matches!(fault, Fault::DiesBefore | Fault::DiesAfter);
        state.pauses_until = (fault == Fault::Pauses).then(|| Instant::now() + PAUSE);
        Ok(Some(fault))
    }

    /// Keeps what was read, and returns it, or what was read the time before.
    fn read(&self, path: &str, body: Bytes, stale: bool) -> Bytes {
        let mut state = self.0.lock().unwrap();
        let older = state.older.entry(path.to_owned()).or_default();
        if stale && let Some(before) = &older[0] {
            return before.clone();
        }
        older[0] = older[1].replace(body.clone());
        body
    }

    fn keeps_reads(&self) -> bool {
        matches!(self.0.lock().unwrap().planned, Some((_, Fault::Stale)))
    }
}

fn is_write(method: &Method, path: &str) -> bool {
    *method != Method::GET && !path.contains("/events")
}

impl<S> Layer<S> for Spy {
    type Service = Spied<S>;

    fn layer(&self, inner: S) -> Spied<S> {
        let spy = self.clone();
        Spied { inner, spy }
    }
}

/// A service that is spied on.
#[derive(Debug, Clone)]
pub(crate) struct Spied<S> {
    inner: S,
    spy: Spy,
}

type Answer = Result<Response<Box<DynBody>>, BoxError>;

impl<S> Service<Request<Body>> for Spied<S>
where
    S: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Box<DynBody>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let fault = match self.spy.meets(&method, &path) {
            Ok(fault) => fault,
            Err(dead) => return Box::pin(async { Err(dead) }),
        };
        match fault {
            Some(Fault::DiesBefore | Fault::Unsent) => Box::pin(async { Err("cut before the call".into()) }),
            Some(Fault::Refused(code)) => Box::pin(async move { Ok(refusal(code)) }),
            Some(Fault::DiesAfter | Fault::Unheard) => {
                let call = self.inner.call(request);
                Box::pin(async move {
                    call.await?;
                    Err("cut before the answer".into())
                })
            }
            Some(Fault::Pauses) => {
                let call = self.inner.call(request);
                let until = self.spy.0.lock().unwrap().pauses_until.unwrap();
                let sent = tokio::spawn(async move {
                    tokio::time::sleep_until(until).await;
                    call.await
                });
                Box::pin(async { sent.await? })
            }
            None | Some(Fault::Stale) if method == Method::GET && self.spy.keeps_reads() => {
                let (call, spy) = (self.inner.call(request), self.spy.clone());
                Box::pin(async move {
                    let (head, body) = call.await?.into_parts();
                    let body = body.collect().await?.to_bytes();
                    if head.status != StatusCode::OK {
                        return Ok(Response::from_parts(head, whole(body)));
                    }
                    let body = spy.read(&path, body, fault == Some(Fault::Stale));
                    Ok(Response::from_parts(head, whole(body)))
                })
            }
            None | Some(Fault::Stale) => Box::pin(self.inner.call(request)),
        }
    }
}

fn whole(body: Bytes) -> Box<DynBody> {
    Box::new(Full::new(body).map_err(BoxError::from))
}

/// How the API server refuses.
fn refusal(code: u16) -> Response<Box<DynBody>> {
    let (reason, retry_after) = match code {
        409 => ("Conflict", 0),
        429 => ("TooManyRequests", 1),
        504 => ("Timeout", 0),
        _ => ("InternalError", 0),
    };
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": format!("refused by a test with {code}"),
        "reason": reason,
        "details": {"retryAfterSeconds": retry_after},
        "code": code,
    });
    let mut response = Response::new(whole(Bytes::from(status.to_string())));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}
