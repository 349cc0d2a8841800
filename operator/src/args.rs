//! The command line, as it is typed.

use std::path::PathBuf;

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
}

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
  pf-operator local -f examples/access-logs.yaml";

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
