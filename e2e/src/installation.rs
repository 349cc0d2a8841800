//! The whole of Paraflow in a cluster with real pods: the operator from its charts, the servers that pods speak to, and jobs
//! made from examples.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{Cluster, Elasticsearch, S3, Sqs, elasticsearch::Settings};

/// The name of the image in the cluster. Not `latest`, which a node would look for elsewhere.
const IMAGE: (&str, &str) = ("paraflow", "e2e");

/// The Secret with the key that S3 and SQS are asked with.
const KEY: &str = "aws";

/// The Secret with what Elasticsearch is asked with.
const SIGN_IN: &str = "elasticsearch";

/// What is installed in a cluster, and around it.
#[derive(Debug)]
pub struct Installation {
    /// Where it runs.
    pub cluster: Cluster,
    /// Where objects and state are.
    pub s3: S3,
    /// Where jobs make their queues.
    pub sqs: Sqs,
    /// Where documents go, by TLS and an API key.
    pub elasticsearch: Elasticsearch,
}

impl Installation {
    /// The namespace of the operator.
    pub const OPERATOR: &str = "paraflow";
    /// The namespace of the jobs.
    pub const JOBS: &str = "logs";

    /// Starts a cluster and the servers, and gives the node an image of these programs.
    ///
    /// # Panics
    /// When a server is not installed or does not start.
    pub fn start(programs: &[&Path]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let image = folder.path().join("image.tar");
        thread::scope(|scope| {
            let packed = scope.spawn(|| pack(programs, &image));
            let cluster = Cluster::start()?;
            let ip = cluster.address();
            let elasticsearch = scope.spawn(move || Elasticsearch::start(&Settings::default().secured().at(ip)));
            let (s3, sqs) = (S3::start_at(ip), Sqs::start_at(ip));
            packed.join().expect("it does not panic")?;
            cluster.load_image(&image)?;
            Ok(Self {
                s3,
                sqs,
                elasticsearch: elasticsearch.join().expect("Elasticsearch must start"),
                cluster,
            })
        })
    }

    /// Installs the charts, and the Secrets that operator and jobs need; returns when the operator is ready. Times are a
    /// person's who watches: jobs are looked at every second, and a queue is over when it has been empty for ten.
    pub fn install(&self) -> Result<()> {
        let mut objects = Vec::new();
        for namespace in [Self::OPERATOR, Self::JOBS] {
            objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
            let key: serde_json::Map<String, Value> = self
                .s3
                .environment()
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
                .collect();
            objects.push(secret(namespace, KEY, &Value::Object(key)));
        }
        let authority = std::fs::read_to_string(self.elasticsearch.ca_file())?;
        let sign_in = json!({"api-key": self.elasticsearch.api_key(), "ca.crt": authority});
        objects.push(secret(Self::JOBS, SIGN_IN, &sign_in));
        self.cluster.apply(&objects)?;

        let environment: Vec<Value> = self
            .s3
            .environment()
            .iter()
            .map(|(name, _)| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": KEY, "key": name}}}))
            .collect();
        let (repository, tag) = IMAGE;
        let values = json!({
            "image": {"repository": repository, "tag": tag},
            "lookEvery": "1s",
            "idleFor": "10s",
            "env": environment,
        });
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("values.json");
        std::fs::write(&file, values.to_string())?;
        let namespace = ["--namespace", Self::OPERATOR];
        let install = ["install", "--wait", "--timeout", "10m"];
        let definitions = chart("pf-operator-crds");
        let operator = chart("pf-operator");
        let file = file.to_str().context("temporary folders have plain names")?;
        self.cluster.helm(
            install
                .into_iter()
                .chain(["pf-operator-crds", &definitions])
                .chain(namespace),
        )?;
        let operator = ["pf-operator", &operator, "--values", file];
        self.cluster
            .helm(install.into_iter().chain(operator).chain(namespace))?;
        Ok(())
    }

    /// What `helm test` says of the operator: a pod asks it through its Service whether it is ready.
    pub fn test(&self) -> Result<()> {
        let test = ["test", "pf-operator", "--timeout", "5m", "--namespace", Self::OPERATOR];
        self.cluster.helm(test)?;
        Ok(())
    }

    /// Takes the charts away again. The definition stays, as they say.
    pub fn uninstall(&self) -> Result<()> {
        for chart in ["pf-operator", "pf-operator-crds"] {
            self.cluster
                .helm(["uninstall", chart, "--wait", "--namespace", Self::OPERATOR])?;
        }
        Ok(())
    }

    /// A job as an example has it, from this bucket into this index, with the servers and Secrets of this installation. Its
    /// state is in the same bucket.
    pub fn job(&self, example: &Value, bucket: &str, index: &str) -> Value {
        let mut job = example.clone();
        job["metadata"]["namespace"] = Self::JOBS.into();
        let s3 = json!({"endpoint": self.s3.endpoint(), "region": S3::REGION});
        let spec = &mut job["spec"];
        for (field, value) in [
            ("bucket", bucket),
            ("endpoint", &self.s3.endpoint()),
            ("region", S3::REGION),
        ] {
            spec["source"]["s3"][field] = value.into();
        }
        spec["state"] = s3;
        spec["state"]["uri"] = format!("s3://{bucket}/state").into();
        // A worker that was killed gives nothing back: what it had comes again after this time.
        let visible_again = 30;
        spec["queue"]["sqs"] =
            json!({"endpoint": self.sqs.endpoint(), "region": Sqs::REGION, "visibilityTimeoutSeconds": visible_again});
        let cluster = &mut spec["sink"]["elasticsearch"];
        cluster["urls"] = json!([self.elasticsearch.endpoint()]);
        cluster["index"] = index.into();
        cluster["auth"] = json!({"apiKey": {"name": SIGN_IN, "key": "api-key"}});
        cluster["ca"] = json!({"name": SIGN_IN, "key": "ca.crt"});
        job
    }
}

fn secret(namespace: &str, name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": data,
    })
}

/// Packs the image that the chart and every job run.
fn pack(programs: &[&Path], archive: &Path) -> Result<()> {
    let (repository, tag) = IMAGE;
    let mut pack = Command::new(room("images/pack"));
    pack.arg(archive)
        .args(programs)
        .args(["--name", &format!("{repository}:{tag}")]);
    let output = pack.output().context("cannot run Python")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn chart(name: &str) -> String {
    room("../charts").join(name).display().to_string()
}

fn room(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
