//! The command line as it was typed. [`crate::plan`] checks it.

pub mod elasticsearch;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, ValueEnum, builder::BoolishValueParser};

/// Reads work items, and writes their records as documents
///
/// A work item is one line of JSON, as pf-discoverer writes it. Records that no option touches leave as the bytes they
/// came in. Progress and logs go to standard error, documents to standard output.
#[derive(Debug, Parser)]
#[command(name = "pf-worker", version, after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Args {
    /// Where work items come from
    #[arg(long, hide_env_values = true, env = "PF_INPUT", value_enum, default_value_t = Input::Stdin)]
    pub input: Input,
    /// Where documents go
    #[arg(long, hide_env_values = true, env = "PF_DESTINATION", value_enum, default_value_t = Destination::Stdout)]
    pub destination: Destination,
    /// How many lanes read objects at the same time [default: twice the CPUs]
    #[arg(long, hide_env_values = true, env = "PF_THREADS", value_name = "N")]
    pub threads: Option<usize>,
    /// How many records a batch has at most
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_BATCH_SIZE",
        value_name = "RECORDS",
        default_value_t = 50_000
    )]
    pub batch_size: usize,
    /// Which fields a record keeps: keys, or keys joined by dots, separated by commas [default: all]
    #[arg(long, hide_env_values = true, env = "PF_COLUMNS", value_name = "FIELDS")]
    pub columns: Option<String>,
    /// Which records are kept: comparisons with = != < <= > >=, joined by `and` [default: all]
    #[arg(long, hide_env_values = true, env = "PF_FILTER", value_name = "PREDICATE")]
    pub filter: Option<String>,
    /// How many objects a thread has open ahead of the one it reads
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_PREFETCH_COUNT",
        value_name = "OBJECTS",
        default_value_t = 6
    )]
    pub prefetch_count: usize,
    /// The most that a thread may hold of objects that it has not read yet; it takes what keeps it busy, not more
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_PREFETCH_MEMORY_MB",
        value_name = "MB",
        default_value_t = 200
    )]
    pub prefetch_memory_mb: usize,
    /// A longer line of NDJSON becomes a dead letter
    #[arg(long, hide_env_values = true, env = "PF_MAX_RECORD_BYTES", value_name = "BYTES", default_value_t = 16 << 20)]
    pub max_record_bytes: usize,
    /// File that dead letters are added to, one JSON object a line [default: the first ten are shown on standard error]
    #[arg(long, hide_env_values = true, env = "PF_DEAD_LETTERS", value_name = "FILE")]
    pub dead_letters: Option<PathBuf>,
    /// Address of an S3-compatible server [default: AWS]
    #[arg(long, hide_env_values = true, env = "PF_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// Region of the buckets [default: from the environment or profile]
    #[arg(long, hide_env_values = true, env = "PF_REGION")]
    pub region: Option<String>,
    /// Send no credentials: for public buckets
    #[arg(long, hide_env_values = true, env = "PF_ANONYMOUS", value_parser = BoolishValueParser::new())]
    pub anonymous: bool,
    /// How long a worker that was asked to stop may take for what it is writing, as in 30s or 2m
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_DRAIN_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub drain_timeout: String,
    /// Check the flags and exit, before anything is opened
    #[arg(long)]
    pub check: bool,
    /// Where to serve /metrics, /healthz and /readyz, as in 0.0.0.0:9090 [default: nowhere]
    #[arg(long, hide_env_values = true, env = "PF_METRICS_ADDR", value_name = "ADDRESS")]
    pub metrics_addr: Option<SocketAddr>,
}

/// Where work items come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Input {
    /// Standard input, one item a line
    Stdin,
}

/// Where documents go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Destination {
    /// Standard output, one document a line
    Stdout,
    /// Nowhere: they are counted, as a table on a terminal and as JSON in a pipe
    Stats,
}

const EXAMPLES: &str = "\
Examples:
  Every record below a folder, counted:
    pf-discoverer --uri file:///var/logs/ | pf-worker --destination stats

  Failed requests of a bucket, three fields each:
    pf-discoverer --bucket logs --prefix 2024/ |
      pf-worker --filter 'status >= 500' --columns timestamp,status,geo.country > failed.ndjson

Exit codes:
  0  every item is settled well
  1  failed, or stopped before the end
  2  finished, with dead letters
  64 bad usage; nothing was opened";
