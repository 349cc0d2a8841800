//! Asks workers and discoverers for their metrics, many at a time, and none for long.

use std::{net::SocketAddr, time::Duration};

use futures::{StreamExt as _, stream};
use http::{StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use super::{Address, Found, Told};

/// A program that works answers within milliseconds; who waits for one that does not keeps a job waiting.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Workers that are asked at the same time.
const AT_ONCE: usize = 64;

/// An answer is some ten kilobytes.
const BYTES_MAX: usize = 1 << 20;

/// Asks them. Connections are kept for the next time.
#[derive(Debug, Clone)]
pub struct Asker {
    client: Client<HttpConnector, Empty<&'static [u8]>>,
    port: u16,
}

impl Asker {
    /// Asks at this port.
    pub fn new(port: u16) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(ANSWER_MAX));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_mins(1))
            .pool_max_idle_per_host(1)
            .build(connector);
        Self { client, port }
    }

    /// Asks each worker; absent answers are of those that did not answer in time, or not as a worker does.
    pub async fn workers(&self, workers: Vec<Address>) -> Vec<(Address, Option<Told>)> {
        let asked = stream::iter(workers).map(async |address| {
            let told = self.one(&address).await.and_then(|text| Told::parse(&text));
            (address, told)
        });
        asked.buffer_unordered(AT_ONCE).collect().await
    }

    /// Asks a discoverer; absent where it did not answer in time, or not as a discoverer does.
    pub async fn discoverer(&self, address: &Address) -> Option<Found> {
        Found::parse(&self.one(address).await?)
    }

    async fn one(&self, address: &Address) -> Option<String> {
        timeout(ANSWER_MAX, self.metrics(address)).await.ok().flatten()
    }

    async fn metrics(&self, address: &Address) -> Option<String> {
        let place = SocketAddr::new(address.ip, self.port);
        let uri: Uri = format!("http://{place}/metrics").parse().ok()?;
        let answer = self.client.get(uri).await;
        let answer = answer
            .inspect_err(|error| tracing::debug!(pod = address.pod, %error, "a pod does not answer"))
            .ok()?;
        if answer.status() != StatusCode::OK {
            return None;
        }
        let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await.ok()?;
        Some(String::from_utf8_lossy(&body.to_bytes()).into_owned())
    }
}
