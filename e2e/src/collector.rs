//! A real collector of OpenTelemetry's, which takes in traces by OTLP over HTTP.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    guarded::{Guarded, Hello, ourselves},
    http::{Client, Request},
};

/// How long the server may take to answer; it takes half a second on an idle machine.
const START_MAX: Duration = Duration::from_mins(1);

/// The header by which our server is told from another process's on the same port.
const NAME: &str = "x-collector";

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    server: Guarded,
}

/// A span, as the collector took it in.
#[derive(Debug, Clone)]
pub struct Span {
    /// The name of the service that sent it.
    pub service: String,
    /// OTLP's JSON of it: `name`, `traceId`, `spanId`, `parentSpanId`, `status`, …
    pub json: Value,
}

impl Span {
    /// An attribute, as text.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        attribute(&self.json, key)
    }
}

impl Collector {
    /// A collector of one's own, which ends when it is dropped.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start() -> Self {
        Self::try_start().expect("the collector must start")
    }

    /// Its address, as `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// All spans that it has taken in so far.
    ///
    /// # Panics
    /// When what it wrote can't be read.
    pub fn spans(&self) -> Vec<Span> {
        // A line that is being written is read the next time.
        let text = std::fs::read_to_string(traces(&self.server.root)).expect("the collector writes a file");
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let batches = lines.map(|line| serde_json::from_str::<Value>(line).expect("the collector writes JSON"));
        batches.flat_map(|batch| spans(&batch)).collect()
    }

    fn try_start() -> Result<Self> {
        let program = crate::tool("collector");
        let command = |root: &Path, address: SocketAddr| {
            let mut server = Command::new(&program);
            // JSON is YAML.
            server.arg(format!("--config=yaml:{}", configuration(root, address)));
            Ok(server)
        };
        let hello = |address: SocketAddr| {
            let answer = Client::new(address, None).send(&Request {
                method: "POST",
                path: "/v1/traces",
                headers: &[("content-type", "application/json")],
                body: b"{}",
            })?;
            ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
            let name = answer.header(NAME).context("no collector of tests")?;
            Ok(if name == ourselves(address) {
                Hello::Ours
            } else {
                Hello::Anothers(name.to_owned())
            })
        };
        let server = Guarded::start("collector", START_MAX, command, hello)?;
        Ok(Self { server })
    }
}

fn traces(root: &Path) -> PathBuf {
    root.join("traces.jsonl")
}

fn configuration(root: &Path, address: SocketAddr) -> Value {
    json!({
        "receivers": {"otlp": {"protocols": {"http": {
            "endpoint": address,
            "response_headers": {(NAME): ourselves(address)},
        }}}},
        "exporters": {"lines": {"path": traces(root)}},
        "service": {
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["lines"]}},
            // Its own metrics would need another port.
            "telemetry": {"metrics": {"level": "none"}},
        },
    })
}

/// The spans of a batch: resource, scope, span.
fn spans(batch: &Value) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in list(&batch["resourceSpans"]) {
        let service = attribute(&resource["resource"], "service.name").unwrap_or_default();
        for span in list(&resource["scopeSpans"])
            .iter()
            .flat_map(|scope| list(&scope["spans"]))
        {
            spans.push(Span {
                service: service.to_owned(),
                json: span.clone(),
            });
        }
    }
    spans
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn attribute<'a>(of: &'a Value, key: &str) -> Option<&'a str> {
    let found = list(&of["attributes"])
        .iter()
        .find(|attribute| attribute["key"] == key)?;
    found["value"]["stringValue"].as_str()
}
