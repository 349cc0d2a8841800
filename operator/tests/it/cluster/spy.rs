//! A layer in the operator's own client that knows every call, and cuts the operator off at one of them.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

/// Where a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// Before its call reaches the API server.
    Before,
    /// When the call is done, and before its answer is there.
    After,
}

/// What was called, and what is to happen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spy(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: Vec<(Method, String)>,
    writes: usize,
    /// The number of the write that the process dies at, from 0.
    dies: Option<(usize, Death)>,
    is_dead: bool,
}

impl Spy {
    /// Dies at a write.
    pub(crate) fn dying(at: usize, death: Death) -> Self {
        Self(Arc::new(Mutex::new(State {
            dies: Some((at, death)),
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

    /// Forgets what was called.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap().calls.clear();
    }

    fn meets(&self, method: &Method, path: &str) -> Result<Option<Death>, BoxError> {
        let mut state = self.0.lock().unwrap();
        if state.is_dead {
            return Err("this process is dead".into());
        }
        state.calls.push((method.clone(), path.to_owned()));
        if !is_write(method, path) {
            return Ok(None);
        }
        let number = state.writes;
        state.writes += 1;
        match state.dies {
            Some((at, death)) if at == number => {
                state.is_dead = true;
                Ok(Some(death))
            }
            _ => Ok(None),
        }
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

impl<S, B> Service<Request<Body>> for Spied<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.spy.meets(request.method(), request.uri().path()) {
            Err(dead) => Box::pin(async { Err(dead) }),
            Ok(Some(Death::Before)) => Box::pin(async { Err("died before the call".into()) }),
            Ok(Some(Death::After)) => {
                let call = self.inner.call(request);
                Box::pin(async move {
                    call.await?;
                    Err("died before the answer".into())
                })
            }
            Ok(None) => Box::pin(self.inner.call(request)),
        }
    }
}
