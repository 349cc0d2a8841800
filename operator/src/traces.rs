//! Traces over OTLP, where somebody asks for them: a span for each step in a job's life, and in it one for each call to the
//! API server and to SQS. The spans are those of kube, the SDK and this crate; here they are sent.
//!
//! What else there is to say (the service's name, headers, sampling, attributes of the resource) the variables of
//! OpenTelemetry's SDKs say, `OTEL_…`.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SdkTracerProvider,
};
use pf_telemetry::logs;
use tokio::{runtime::Handle, time::timeout};
use tracing::Level;
use tracing_subscriber::{Layer as _, filter::Targets};

/// The name that traces are found by, where nobody gives another.
const SERVICE: &str = "pf-operator";

/// How long one delivery may take.
const DELIVERY_MAX: Duration = Duration::from_secs(10);

/// How long the last delivery may take when the program ends.
const LAST_DELIVERY_MAX: Duration = Duration::from_secs(3);

/// An answer says little more than that it worked.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Spans that are traced, by the module that they come from. What is finer would be a trace of the protocols beneath.
const TRACED: [(&str, Level); 4] = [
    ("pf_operator", Level::DEBUG),
    ("kube_runtime", Level::INFO),
    ("kube_client", Level::DEBUG),
    ("aws_sdk_sqs", Level::DEBUG),
];

/// Traces on their way out.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// To a collector that speaks OTLP over HTTP, by its address without `/v1/traces`. Nothing is asked of it yet; where it
    /// does not answer, spans are lost and the work goes on.
    pub fn to(endpoint: &str) -> anyhow::Result<Self> {
        let uri: Option<http::Uri> = endpoint.parse().ok();
        anyhow::ensure!(
            uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()),
            "no address of a collector that speaks OTLP over HTTP: write it as in http://collector:4318"
        );
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .context("the certificates of this machine can't be read")?
            .https_or_http()
            .enable_http1()
            .build();
        let collector = Collector {
            client: Client::builder(TokioExecutor::new()).build(connector),
            runtime: Handle::current(),
            loses: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource())
            .build();
        Ok(Self { provider })
    }

    /// What takes spans in.
    pub fn layer(&self) -> logs::Layer {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE))
            // Which thread and which line of whose source: nobody asks that of a step.
            .with_threads(false)
            .with_location(false)
            .with_filter(Targets::new().with_targets(TRACED));
        Box::new(layer)
    }

    /// Sends what is left.
    pub async fn end(self) {
        let last = move || self.provider.shutdown_with_timeout(LAST_DELIVERY_MAX);
        let sent: anyhow::Result<()> = async { Ok(tokio::task::spawn_blocking(last).await??) }.await;
        if let Err(error) = sent {
            tracing::warn!(%error, "the last spans are lost");
        }
    }
}

/// Who sends: by the variables of OpenTelemetry's SDKs, and called [`SERVICE`] where none of them gives a name.
fn resource() -> Resource {
    let named = Resource::builder_empty()
        .with_service_name(SERVICE)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => named.with_service_name(name).build(),
        _ => named.build(),
    }
}

/// Who takes spans. The SDK delivers from a thread of its own, which has no part in the runtime.
#[derive(Debug)]
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    /// Whether the last delivery was none.
    loses: AtomicBool,
}

impl Collector {
    /// Says when spans begin to get lost, and when they don't any more: not each time.
    fn tell(&self, delivered: &anyhow::Result<Response<Bytes>>) {
        let lost = match delivered {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answers {}", answer.status())),
            Err(error) => Some(format!("{error:#}")),
        };
        let lost_before = self.loses.swap(lost.is_some(), Ordering::Relaxed);
        match lost {
            Some(why) if !lost_before => tracing::warn!(%why, "traces are lost: the collector does not take them"),
            None if lost_before => tracing::info!("the collector takes traces again"),
            _ => {}
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = async move {
            let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
            Ok::<_, anyhow::Error>(Response::from_parts(head, body))
        };
        // Within the runtime from the start: a timeout takes its clock where it is made.
        let delivered = self.runtime.spawn(async { timeout(DELIVERY_MAX, sent).await? }).await?;
        self.tell(&delivered);
        Ok(delivered?)
    }
}
