//! The port that a cluster looks at: `/metrics` for Prometheus, `/healthz` for liveness, `/readyz` for readiness.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use axum::{Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get};
use prometheus::{Encoder as _, Gauge, Registry, TextEncoder};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::metrics::registered;

/// Whether the program can do its work now. Alive it is as long as it answers.
#[derive(Debug, Clone, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// Says from now on that the program is, or isn't, ready.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

/// A server that is running. It must be ended with [`Server::stop`], which waits for its last answer.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Binds `address` (port 0 for any free one) and answers from then on. When the process began is told too, under the name
    /// that Prometheus' own libraries give it, so that restarts can be seen.
    pub async fn start(address: SocketAddr, registry: Registry, health: Health) -> anyhow::Result<Self> {
        let since = Gauge::new(
            "process_start_time_seconds",
            "When this process began, in seconds since 1970",
        );
        registered(&registry, since).set(now_seconds());
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} for metrics"))?;
        let address = listener
            .local_addr()
            .context("cannot read the address that metrics are served on")?;
        let app = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readiness))
            .with_state((registry, health));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serve = axum::serve(listener, app).with_graceful_shutdown(stopped.cancelled_owned());
        let task = tokio::spawn(async move { serve.await });
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more questions, and returns when the last one is answered.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task
            .await
            .context("the metrics server panicked")?
            .context("the metrics server failed")
    }
}

/// In seconds since 1970; a clock that stands before that is told as 0.
fn now_seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

async fn metrics(State((registry, _)): State<(Registry, Health)>) -> impl IntoResponse {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot encode metrics: {error}\n"),
        )
            .into_response(),
    }
}

async fn readiness(State((_, health)): State<(Registry, Health)>) -> impl IntoResponse {
    if health.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_port_tells_metrics_and_readiness_and_frees_itself_when_stopped() {
        let registry = Registry::new();
        let counter = prometheus::IntCounter::new("pf_test_total", "A test's counter").unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        counter.inc_by(7);
        let health = Health::default();
        let server = Server::start("127.0.0.1:0".parse().unwrap(), registry, health.clone())
            .await
            .unwrap();
        let address = server.address();

        let metrics = ask(address, "/metrics").await;
        assert!(metrics.contains("pf_test_total 7"));
        let began = metrics
            .lines()
            .find_map(|line| line.strip_prefix("process_start_time_seconds "));
        let began: f64 = began.unwrap().parse().unwrap();
        assert!((now_seconds() - began).abs() < 60.0, "{began}");
        assert!(ask(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        health.set_ready(true);
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));

        server.stop().await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
