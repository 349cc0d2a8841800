//! The nodes of the cluster and the ways to them: which one is asked, what it answers, and whether it is well.

use std::{
    error::Error,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use elasticsearch::http::{
    Method, Url,
    headers::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    transport::Transport,
};
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::{
    access::{Access, AccessError, Look},
    answer::FILTER_PATH,
    backoff,
    health::Health,
    judge,
    metrics::Metrics,
    options::Options,
    wire::{Attempt, Payload, Reply, Wire},
};

/// How long a node that failed may take for the question that finds out whether it is back: less than a request may take, as
/// somebody waits for it who could have asked another node.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// How often it is looked whether the files with secrets have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The cluster as it is reached.
pub(super) struct Cluster {
    access: Arc<Access>,
    ways: Mutex<Ways>,
    health: Mutex<Health>,
    timeout: Duration,
    bulk_path: String,
    query: Vec<(&'static str, String)>,
    metrics: Metrics,
}

/// The ways to the nodes, by the files as they were.
struct Ways {
    transports: Vec<Transport>,
    look: Look,
    looked: Instant,
    /// Whether these were ever believed.
    believed: bool,
}

/// An answer to a question other than a bulk.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// It comes from another address, to which we were redirected.
    pub(super) redirected: Option<Url>,
}

/// Why there is no answer.
pub(super) struct NoAnswer {
    pub(super) timed_out: bool,
    /// The server's certificate, or ours, is not accepted: trying again won't help.
    pub(super) is_distrust: bool,
    pub(super) reason: String,
}

impl Cluster {
    /// The cluster, not yet spoken to. Blocks for the files.
    pub(super) fn new(options: &Options, metrics: Metrics) -> Result<Self, AccessError> {
        let access = Access::new(options);
        let look = access.look();
        let ways = Ways {
            transports: access.transports()?,
            look,
            looked: Instant::now(),
            believed: false,
        };
        let bulk_path = match options.target.name().fixed() {
            Some(name) => format!("/{}/_bulk", in_path(name)),
            None => "/_bulk".to_owned(),
        };
        // What the server waits for on its own (shards, mappings) must end before we do: its answer says more than none.
        let wait = format!("{}ms", options.timeout.as_millis() / 2);
        let mut query = vec![("filter_path", FILTER_PATH.to_owned()), ("timeout", wait)];
        if let Some(pipeline) = &options.pipeline {
            query.push(("pipeline", pipeline.clone()));
        }
        Ok(Self {
            access: Arc::new(access),
            health: Mutex::new(Health::new(ways.transports.len())),
            ways: Mutex::new(ways),
            timeout: options.timeout,
            bulk_path,
            query,
            metrics,
        })
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().expect("no one panics while holding it")
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().expect("no one panics while holding it")
    }

    pub(super) fn nodes(&self) -> usize {
        self.ways().transports.len()
    }

    pub(super) fn url(&self, node: usize) -> &Url {
        &self.access.urls()[node]
    }

    /// Asks a node, and waits for the whole answer.
    pub(super) async fn ask(&self, node: usize, request: Request<'_>) -> Result<Response, NoAnswer> {
        let transport = self.ways().transports[node].clone();
        let url = &self.access.urls()[node];
        let Request {
            method,
            path,
            query,
            headers,
            body,
            within,
        } = request;
        let asked = async {
            let response = transport.send(method, path, headers, Some(query), body, None).await?;
            let (status, headers) = (response.status_code().as_u16(), response.headers().clone());
            let redirected = is_elsewhere(url, response.url()).then(|| response.url().clone());
            let body = response.bytes().await?;
            Ok(Response {
                status,
                headers,
                body,
                redirected,
            })
        };
        match timeout(within, asked).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(no_answer(url, &error)),
            Err(_) => Err(NoAnswer {
                timed_out: true,
                is_distrust: false,
                reason: format!("{url}: no answer within {within:?}"),
            }),
        }
    }

    /// Reads the files again if they look different, at most every [`LOOK_EVERY`] unless `at_once`. Says whether they did.
    async fn renew(&self, at_once: bool) -> bool {
        let known = {
            let mut ways = self.ways();
            if !at_once && ways.looked.elapsed() < LOOK_EVERY {
                return false;
            }
            ways.looked = Instant::now();
            ways.look.clone()
        };
        let access = self.access.clone();
        let renewed = tokio::task::spawn_blocking(move || {
            let look = access.look();
            (look != known).then(|| access.transports().map(|transports| (look, transports)))
        });
        match renewed.await {
            Ok(Some(Ok((look, transports)))) => {
                tracing::info!("the files to sign in with have changed: read again");
                let mut ways = self.ways();
                (ways.look, ways.transports, ways.believed) = (look, transports, true);
                true
            }
            Ok(Some(Err(error))) => {
                // In the middle of being written, perhaps: what is known is used on, and it is looked again.
                tracing::warn!("cannot read the files to sign in with again: {}", chain(&error));
                false
            }
            Ok(None) | Err(_) => false,
        }
    }
}

/// A question to a node.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'static str, String)],
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    pub(super) within: Duration,
}

impl<'a> Request<'a> {
    /// One that is no bulk: without parameters and headers.
    pub(super) fn question(method: Method, path: &'a str, body: Option<Bytes>, within: Duration) -> Self {
        Self {
            method,
            path,
            query: &[],
            headers: HeaderMap::new(),
            body,
            within,
        }
    }
}

#[async_trait]
impl Wire for Cluster {
    async fn ask(&self, path: &str, body: Option<Bytes>) -> Attempt {
        self.renew(false).await;
        let node = match self.pick().await {
            Ok(node) => node,
            Err(lost) => return lost,
        };
        let method = if body.is_some() { Method::Post } else { Method::Get };
        match Cluster::ask(self, node, Request::question(method, path, body, self.timeout)).await {
            Ok(response) => Attempt::Answered(self.reply(node, response).await),
            Err(no_answer) => self.lost(node, no_answer),
        }
    }

    async fn attempt(&self, payload: &Payload) -> Attempt {
        self.renew(false).await;
        let node = match self.pick().await {
            Ok(node) => node,
            Err(lost) => return lost,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if payload.is_gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        self.metrics.wire_bytes.inc_by(payload.bytes.len() as u64);
        let started = Instant::now();
        let asked = self.ask(
            node,
            Request {
                method: Method::Post,
                path: &self.bulk_path,
                query: &self.query,
                headers,
                body: Some(payload.bytes.clone()),
                within: self.timeout,
            },
        );
        match asked.await {
            Ok(response) => {
                self.metrics.round_trips.observe(started.elapsed().as_secs_f64());
                Attempt::Answered(self.reply(node, response).await)
            }
            Err(no_answer) => self.lost(node, no_answer),
        }
    }
}

impl Cluster {
    /// The node for the next bulk. One that failed before is asked first whether it is back, where there are others: an address
    /// that nobody is behind any more would keep the bulk for as long as a request may take.
    async fn pick(&self) -> Result<usize, Attempt> {
        let (node, is_well) = {
            let mut health = self.health();
            let node = health.pick(Instant::now());
            (node, health.is_well(node))
        };
        if is_well || self.nodes() == 1 {
            return Ok(node);
        }
        let question = Request::question(Method::Get, "/", None, BACK_WITHIN);
        match self.ask(node, question).await {
            Ok(_) => Ok(node),
            // That says nothing of how much the others bear, as a bulk that takes too long does.
            Err(no_answer) => Err(self.lost(
                node,
                NoAnswer {
                    timed_out: false,
                    ..no_answer
                },
            )),
        }
    }

    fn lost(&self, node: usize, no_answer: NoAnswer) -> Attempt {
        let NoAnswer { timed_out, reason, .. } = no_answer;
        Attempt::Lost {
            timed_out,
            reason,
            another_is_well: self.health().failed(node, Instant::now()),
        }
    }

    async fn reply(&self, node: usize, response: Response) -> Reply {
        if let Some(target) = &response.redirected {
            // What was answered there is of no meaning: a redirected POST may have become a GET.
            return Reply {
                status: 308,
                body: redirect(&self.access.urls()[node], target).into(),
                ..Reply::default()
            };
        }
        let whole = judge::request(response.status);
        let another_is_well = if whole == judge::Whole::Unwell {
            self.health().failed(node, Instant::now())
        } else {
            self.health().succeeded(node);
            false
        };
        let may_sign_in_again = match whole {
            judge::Whole::NotSignedIn => self.renew(true).await || self.ways().believed,
            judge::Whole::Answered => {
                self.ways().believed = true;
                false
            }
            _ => false,
        };
        let retry_after = response.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Reply {
            status: response.status,
            retry_after: retry_after.and_then(|value| backoff::retry_after(value, Timestamp::now())),
            body: response.body,
            another_is_well,
            may_sign_in_again,
        }
    }
}

/// Whether an answer comes from elsewhere than from where it was asked for.
fn is_elsewhere(asked: &Url, answered: &Url) -> bool {
    asked.origin() != answered.origin() || !answered.path().starts_with(asked.path())
}

/// What to do about a redirect.
pub(super) fn redirect(asked: &Url, target: &Url) -> String {
    let mut target = target.clone();
    target.set_query(None);
    format!("{asked} answers with a redirect to {target}: give that address with --es-url")
}

/// A name as part of a path. Names were checked, but they may have characters that stand for something in a URL.
pub(super) fn in_path(name: &str) -> String {
    use std::fmt::Write as _;
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'*' | b',' => {
                path.push(char::from(byte));
            }
            other => write!(path, "%{other:02X}").expect("a string takes it"),
        }
    }
    path
}

fn no_answer(url: &Url, error: &elasticsearch::Error) -> NoAnswer {
    // The client's own error says what its source says, which says the whole of the address; what is wrong is below.
    let cause = error.source().unwrap_or(error);
    let cause = cause.source().unwrap_or(cause);
    NoAnswer {
        timed_out: error.is_timeout(),
        is_distrust: causes(cause).any(|cause| {
            matches!(
                cause.downcast_ref::<rustls::Error>(),
                Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
            )
        }),
        reason: format!("{url}: {}", chain(cause)),
    }
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        // Some layers only repeat what is below them.
        if said.last().is_none_or(|last| !last.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}

/// An error and its causes, also those that lie in an IO error.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inside) => Some(inside),
            None => error.source(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_path_can_stand_for_nothing_else() {
        assert_eq!(in_path("logs-2024.01_a"), "logs-2024.01_a");
        assert_eq!(in_path("a/../b?c#d%é"), "a%2F..%2Fb%3Fc%23d%25%C3%A9");
    }

    #[test]
    fn causes_are_said_once_also_those_in_an_io_error() {
        let inner = io::Error::other("the disk is on fire");
        let error = io::Error::other(inner);
        assert_eq!(chain(&error), "the disk is on fire");
    }
}
