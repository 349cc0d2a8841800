//! The command line, as it is typed.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Parser, Subcommand};

/// Ingest jobs: their type, their plan, and who carries them out.
#[derive(Debug, Parser)]
#[command(name = "pf-operator", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Task,
}

/// What the program can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Print the CustomResourceDefinition of the IngestJob, as YAML
    #[command(after_help = CRD_EXAMPLES)]
    Crd,
    /// Run an IngestJob on this machine, without a cluster
    ///
    /// The job is checked as the API server would check it, and then by pf-discoverer and pf-worker, found beside this
    /// program or on the PATH. Only then are the two run as its plan says: joined by a pipe, or one after the other where the job has a
    /// queue; and where it has a state directory, `pf-discoverer verify` has the last word. Credentials come from your own environment. PF_LOG and
    /// PF_LOG_FORMAT reach both programs; of other PF_ variables they see none, because the job file alone says what they do.
    #[command(after_help = LOCAL_EXAMPLES)]
    Local(Local),
    /// Run the controller: IngestJobs become queues, Jobs and worker Deployments
    ///
    /// The API server is found as kubectl finds it, in a pod by its service account. Of several operators with the same
    /// lease one is at work, and the others wait. Queues are reached as the AWS tools find credentials; what is in them, and
    /// what is in S3, the operator never sees. /healthz, /readyz and /metrics are served; it is not ready while the API
    /// server does not know IngestJobs.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Say what the controller would make of an IngestJob: steps, permissions and objects
    ///
    /// The job is checked as the API server and the controller would check it. Nothing is asked and nothing is made.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Explain),
    /// Ask a running controller whether it is ready
    ///
    /// Its /readyz is asked until it answers yes, or until the patience ends. `helm test` does this.
    #[command(after_help = READY_EXAMPLES)]
    Ready(Ready),
}

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub struct Ready {
    /// Where the controller serves /readyz, as HOST:PORT
    #[arg(value_name = "ADDRESS", env = "PF_READY_ADDRESS")]
    pub address: String,
    /// How long to ask, as in 30s
    #[arg(long, value_name = "DURATION", env = "PF_PATIENCE", default_value = "30s")]
    pub patience: Span,
}

/// What to explain.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The job file, YAML with one IngestJob; `-` reads standard input
    #[arg(short, long, value_name = "FILE", env = "PF_FILE")]
    pub file: PathBuf,
    /// The image of discoverers and workers
    #[arg(long, value_name = "IMAGE", env = "PF_IMAGE", default_value = "paraflow")]
    pub image: String,
}

/// How to run the controller.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The image of discoverers and workers, which has all programs
    #[arg(long, value_name = "IMAGE", env = "PF_IMAGE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub image: String,
    /// The namespace whose jobs are cared for [default: all]
    #[arg(long, value_name = "NAMESPACE", env = "PF_WATCH_NAMESPACE")]
    pub watch_namespace: Option<String>,
    /// The namespace that the operator itself is in: its lease and its events are there
    #[arg(long, value_name = "NAMESPACE", env = "PF_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// The name of the operator's own pod, for events and the lease [default: none]
    #[arg(long, value_name = "NAME", env = "PF_POD_NAME")]
    pub pod_name: Option<String>,
    /// The name of the lease: operators that care for different namespaces must not wait for each other
    #[arg(long, value_name = "NAME", env = "PF_LEASE", default_value = "pf-operator.paraflow.dev", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub lease: String,
    /// Take no lease: for an operator that is surely alone
    #[arg(long, env = "PF_NO_LEADER_ELECTION")]
    pub no_leader_election: bool,
    /// How often a job that is at work is looked at, as in 15s
    #[arg(long, value_name = "DURATION", env = "PF_LOOK_EVERY", default_value = "15s")]
    pub look_every: Span,
    /// How long a queue must have looked empty before a job is compared with its books, as in 2m
    #[arg(long, value_name = "DURATION", env = "PF_IDLE_FOR", default_value = "2m")]
    pub idle_for: Span,
    /// Where to serve /metrics, /healthz and /readyz
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "PF_METRICS_ADDR",
        default_value = "0.0.0.0:8080"
    )]
    pub metrics_addr: SocketAddr,
    /// Send traces to this collector, which speaks OTLP over HTTP, as in http://collector:4318; the other variables of
    /// OpenTelemetry's SDKs (OTEL_...) hold too [default: no traces]
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

/// A span of time as people write it: `500ms`, `15s`, `2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}, write it as in 15s"))?;
        let span = Duration::try_from(span).map_err(|_| "must not be negative".to_owned())?;
        if span < SPAN_MIN {
            return Err(format!("must be at least {} ms", SPAN_MIN.as_millis()));
        }
        Ok(Self(span))
    }
}

/// Less than this would keep servers busy with questions.
const SPAN_MIN: Duration = Duration::from_millis(50);

/// How to run a job here.
#[derive(Debug, clap::Args)]
pub struct Local {
    /// The job file, YAML with one IngestJob; `-` reads standard input
    #[arg(short, long, value_name = "FILE", env = "PF_FILE")]
    pub file: PathBuf,
    /// Work items to process at the same time [default: the job's workers.threads, else CPUs × 2]
    #[arg(long, value_name = "N", env = "PF_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Keep rejected records in this file [default: the first ten are shown, all are counted]
    #[arg(long, value_name = "FILE", env = "PF_DEAD_LETTERS")]
    pub dead_letters: Option<PathBuf>,
    /// Where the Secrets that the job names are: each a folder of files, as Kubernetes mounts them
    #[arg(long, value_name = "DIR", env = "PF_SECRETS")]
    pub secrets: Option<PathBuf>,
    /// Print the two command lines and what the listing would do, and process nothing
    #[arg(long, env = "PF_DRY_RUN")]
    pub dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  pf-operator crd | kubectl apply --server-side -f -
  pf-operator local -f examples/access-logs.yaml
  pf-operator run --image registry.example.com/paraflow:0.1.0";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  pf-operator explain -f job.yaml
  pf-operator explain -f job.yaml | kubectl apply --dry-run=server -f -

Exit codes:
   0  the job can be applied
  64  bad usage, or a bad job file";

const READY_EXAMPLES: &str = "\
Examples:
  pf-operator ready paraflow-pf-operator-metrics:8080

Exit codes:
   0  it is ready
   1  it is not, or nobody answers
  64  bad usage";

const RUN_EXAMPLES: &str = "\
Examples:
  pf-operator run --image registry.example.com/paraflow:0.1.0
  pf-operator run --image paraflow:dev --watch-namespace logs --no-leader-election

Exit codes:
   0  asked to stop
   1  failed, or no longer leading
  64  bad usage; nothing was opened";

const CRD_EXAMPLES: &str = "\
Examples:
  pf-operator crd > crds/ingestjobs.paraflow.dev.yaml
  pf-operator crd | kubectl apply --server-side -f -";

const LOCAL_EXAMPLES: &str = "\
Examples:
  pf-operator local -f examples/access-logs.yaml
  pf-operator local -f job.yaml --dry-run
  pf-operator local -f job.yaml --threads 4 --dead-letters rejected.ndjson > records.ndjson
  pf-operator local -f into-elasticsearch.yaml --secrets ./secrets   # ./secrets/NAME/KEY

Exit codes, the first that holds for one of the two programs:
  64  bad usage, or a bad job file; nothing was run
   1  failed
   2  finished, with dead letters
   0  all settled well";
