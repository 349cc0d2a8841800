//! A real Prometheus, which scrapes what tests tell it to, each second.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
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

/// A running server.
#[derive(Debug)]
pub struct Prometheus {
    server: Guarded,
    client: Client,
}

/// What is scraped.
#[derive(Debug, Clone)]
pub struct Target {
    /// The label `job`.
    pub job: String,
    /// Where `/metrics` is, as `127.0.0.1:9090`.
    pub address: String,
    /// More labels.
    pub labels: Vec<(String, String)>,
}

impl Prometheus {
    /// A server of one's own that scrapes these, which ends when it is dropped.
    ///
    /// # Panics
    /// When Prometheus is not installed or does not start.
    pub fn start(targets: &[Target]) -> Self {
        Self::try_start(targets).expect("Prometheus must start")
    }

    /// The result of an instant query: samples, or one scalar. The error is what the server says of the query.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let answer = call(&self.client, "query", &[("query", query)]).expect("Prometheus answers");
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let result = answer["data"]["result"].clone();
        Ok(match result {
            Value::Array(samples) if answer["data"]["resultType"] == "vector" => samples,
            scalar => vec![scalar],
        })
    }

    /// The names of all metrics that it has seen.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub fn names(&self) -> Vec<String> {
        let answer = call(&self.client, "label/__name__/values", &[]).expect("Prometheus answers");
        let names = answer["data"].as_array().cloned().unwrap_or_default();
        names
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    }

    fn try_start(targets: &[Target]) -> Result<Self> {
        let program = crate::tool("prometheus");
        let command = |root: &Path, address: SocketAddr| {
            let file = root.join("prometheus.yml");
            // JSON is YAML.
            std::fs::write(&file, configuration(address, targets).to_string())?;
            let mut server = Command::new(&program);
            server
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.tsdb.path={}", root.join("data").display()))
                .arg(format!("--web.listen-address={address}"));
            Ok(server)
        };
        let hello = |address: SocketAddr| {
            let answer = call(&Client::new(address, None), "status/config", &[])?;
            let configuration = answer["data"]["yaml"].as_str().context("it has no configuration")?;
            Ok(if configuration.contains(&ourselves(address)) {
                Hello::Ours
            } else {
                Hello::Anothers(configuration.to_owned())
            })
        };
        let server = Guarded::start("prometheus", START_MAX, command, hello)?;
        Ok(Self {
            client: Client::new(server.address, None),
            server,
        })
    }

    /// Its address, as `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }
}

/// Runs promtool to its end, in this folder.
///
/// # Panics
/// When it is not installed.
pub fn promtool(folder: &Path, arguments: &[&str]) -> Output {
    let mut promtool = Command::new(crate::tool("promtool"));
    let output = promtool.args(arguments).current_dir(folder).output();
    output.expect("promtool is installed with Prometheus")
}

fn configuration(address: SocketAddr, targets: &[Target]) -> Value {
    let scrapes: Vec<Value> = targets
        .iter()
        .enumerate()
        .map(|(number, target)| {
            let mut labels: serde_json::Map<String, Value> = target
                .labels
                .iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect();
            labels.insert("job".to_owned(), json!(target.job));
            json!({
                "job_name": format!("target-{number}"),
                "static_configs": [{"targets": [target.address], "labels": labels}],
            })
        })
        .collect();
    json!({
        "global": {"scrape_interval": "1s", "external_labels": {"server": ourselves(address)}},
        "scrape_configs": scrapes,
    })
}

/// One call of the HTTP API, with its parameters as a form. Errors of queries are answers too.
fn call(client: &Client, path: &str, form: &[(&str, &str)]) -> Result<Value> {
    let fields: Vec<String> = form
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    let answer = client.send(&Request {
        method: if form.is_empty() { "GET" } else { "POST" },
        path: &format!("/api/v1/{path}"),
        headers: &[("content-type", "application/x-www-form-urlencoded")],
        body: fields.join("&").as_bytes(),
    })?;
    ensure!(
        [200, 400, 422].contains(&answer.status),
        "{}: {}",
        answer.status,
        answer.body
    );
    serde_json::from_str(&answer.body).context("the answer is not JSON")
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string can't fail");
        }
    }
    encoded
}
