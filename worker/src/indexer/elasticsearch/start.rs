//! The start-up check: everything that would stop the work is found before any is taken, and said in words that tell what to do.
//!
//! What we are not allowed to look at is passed over: the right to write comes without the right to look, and a bulk that is
//! refused says so, too.

mod product;
mod target;

use std::time::Duration;

use elasticsearch::http::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    cluster::{Cluster, NoAnswer, Request, Response, in_path, redirect},
    elsewhere,
    judge::whole_words,
    options::{Options, Target},
};

/// Why work can't begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// No node answers.
    #[error("cannot reach Elasticsearch: {0}")]
    Unreachable(String),
    /// It answers, but won't take our documents, or is none that we know.
    #[error("{0}")]
    Refused(String),
}

/// A cluster that starts together with the worker has this long to answer.
const REACH_WITHIN: Duration = Duration::from_secs(30);
/// And this long for one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Between rounds of asking all nodes.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks at everything that can be looked at. What comes back is the cluster's own id, the same whichever of its addresses is
/// asked; none where we may not know it.
pub(super) async fn check(cluster: &Cluster, options: &Options) -> Result<Option<String>, StartError> {
    let (node, first) = reach(cluster).await?;
    let product = product::identify(first.status, &first.headers, &first.body).map_err(StartError::Refused)?;
    tracing::debug!("the cluster is {product}");
    let desk = Desk { cluster, node };
    match &options.target {
        Target::Index(name) => {
            if let Some(name) = name.fixed() {
                target::index(&desk, name, options.addressing.operation).await?;
            }
        }
        Target::DataStream(name) => {
            if let Some(name) = name.fixed() {
                target::data_stream(&desk, name).await?;
            }
        }
    }
    if let Some(pipeline) = &options.pipeline {
        check_pipeline(&desk, pipeline).await?;
    }
    Ok(cluster_id(&desk, &first).await)
}

/// What a cluster without a name of its own yet says.
const NO_ID: &str = "_na_";

async fn cluster_id(desk: &Desk<'_>, first: &Response) -> Option<String> {
    let said = |body: &[u8]| {
        let about: Value = serde_json::from_slice(body).ok()?;
        let id = about["cluster_uuid"].as_str().filter(|id| *id != NO_ID)?;
        Some(id.to_owned())
    };
    if let Some(id) = said(&first.body) {
        return Some(id);
    }
    let answer = desk.ask(Method::Get, "/_cluster/state/version?filter_path=cluster_uuid", None);
    said(&answer.await.ok()?.body)
}

/// Asks each node who it is until one answers.
async fn reach(cluster: &Cluster) -> Result<(usize, Response), StartError> {
    let end = Instant::now() + REACH_WITHIN;
    loop {
        let mut last = String::new();
        for node in 0..cluster.nodes() {
            let desk = Desk { cluster, node };
            match desk.ask(Method::Get, "/", None).await {
                Ok(Response {
                    redirected: Some(target),
                    ..
                }) => return Err(StartError::Refused(redirect(cluster.url(node), &target))),
                Ok(response) if !is_unwell(response.status) => return Ok((node, response)),
                Ok(response) => last = whole_words(response.status, &response.body),
                Err(NoAnswer {
                    is_distrust: true,
                    reason,
                    ..
                }) => {
                    return Err(StartError::Refused(format!(
                        "{reason}: give the certificate of its authority with --es-ca-file, and, where it asks for one, a client \
                         certificate that it trusts"
                    )));
                }
                Err(error) => {
                    let asked = cluster.url(node);
                    if let Some(target) = elsewhere::target(asked).await {
                        let said = redirect(asked, &target);
                        return Err(StartError::Refused(format!("{said}; nobody answers there")));
                    }
                    last = error.reason;
                }
            }
        }
        if Instant::now() + PAUSE >= end {
            return Err(StartError::Unreachable(last));
        }
        sleep(PAUSE).await;
    }
}

/// Whether a node, or a proxy before it, can't work at the moment.
fn is_unwell(status: u16) -> bool {
    matches!(status, 429 | 500 | 502..=504)
}

async fn check_pipeline(desk: &Desk<'_>, name: &str) -> Result<(), StartError> {
    let path = format!("/_ingest/pipeline/{}", in_path(name));
    match desk.value(Method::Get, &path, None).await? {
        (404, _) => Err(StartError::Refused(format!(
            "the ingest pipeline `{name}` of --es-pipeline does not exist: make it first"
        ))),
        _ => Ok(()),
    }
}

/// Where questions are asked: a node that answers.
struct Desk<'a> {
    cluster: &'a Cluster,
    node: usize,
}

impl Desk<'_> {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Response, NoAnswer> {
        let body = body.map(|body| body.to_string().into());
        let question = Request::question(method, path, body, ANSWER_WITHIN);
        self.cluster.ask(self.node, question).await
    }

    /// An answer's status and its JSON, null if it is none. Not being signed in is an error.
    async fn value(&self, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value), StartError> {
        let response = self
            .ask(method, path, body)
            .await
            .map_err(|error| StartError::Unreachable(error.reason))?;
        if response.status == 401 {
            return Err(StartError::Refused(product::not_signed_in(&response.body)));
        }
        let value = serde_json::from_slice(&response.body).unwrap_or_default();
        Ok((response.status, value))
    }
}
