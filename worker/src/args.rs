//! The command line as it was typed. [`crate::plan`] checks it.

pub mod elasticsearch;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, ValueEnum, builder::BoolishValueParser, error::ErrorKind,
    parser::ValueSource,
};

/// Reads work items, and writes their records as documents
///
/// A work item is one line of JSON, as pf-discoverer writes it. Records that no option touches leave as the bytes they
/// came in. Progress and logs go to standard error, documents to standard output.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(name = "pf-worker", version, after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Args {
    /// Where work items come from
    #[arg(long, hide_env_values = true, env = "PF_INPUT", value_enum, default_value_t = Input::Stdin)]
    pub input: Input,
    /// The queue that --input sqs leases work items from [default: none]
    #[arg(long, hide_env_values = true, env = "PF_SQS_QUEUE_URL", value_name = "URL")]
    pub sqs_queue_url: Option<String>,
    /// Address of an SQS-compatible server [default: the one in --sqs-queue-url]
    #[arg(long, hide_env_values = true, env = "PF_SQS_ENDPOINT", value_name = "URL")]
    pub sqs_endpoint: Option<String>,
    /// Polls of the queue at the same time
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_SQS_CONCURRENT_POLLS",
        value_name = "POLLS",
        default_value_t = 2
    )]
    pub sqs_concurrent_polls: usize,
    /// How long a lease holds unless it is extended, as in 60s; leases are extended while work goes on, so this is how long an
    /// item waits after its worker died [default: as the queue says]
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_SQS_VISIBILITY_TIMEOUT",
        value_name = "DURATION"
    )]
    pub sqs_visibility_timeout: Option<String>,
    /// Where work items go that are given up [default: the queue that the redrive policy names]
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_SQS_DEAD_LETTER_QUEUE_URL",
        value_name = "URL"
    )]
    pub sqs_dead_letter_queue_url: Option<String>,
    /// End when the queue gave nothing for so long, as in 5m: for a queue that someone fills and nobody refills [default: run on]
    #[arg(long, hide_env_values = true, env = "PF_EXIT_WHEN_IDLE", value_name = "DURATION")]
    pub exit_when_idle: Option<String>,
    /// What may be read, `s3://bucket/prefix` or `file:///path/`; may be given several times. An item that names anything else
    /// becomes a dead letter [default: anything; with --input sqs anything in S3, and no file of this machine]
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_SOURCE",
        value_name = "URI",
        value_delimiter = '\n'
    )]
    pub source: Vec<String>,
    /// State directory of the job, `s3://bucket/prefix` or `file:///path`: ledger, checkpoints and rejected records are kept there.
    /// The same as pf-discoverer's --state [default: nothing is kept]
    #[arg(long, hide_env_values = true, env = "PF_STATE", value_name = "URI")]
    pub state: Option<String>,
    /// Who this is, in the ledger and beside dead letters [default: the host's name]
    #[arg(long, hide_env_values = true, env = "PF_WORKER", value_name = "NAME")]
    pub worker: Option<String>,
    /// Stop, with exit code 3, when more records than this are rejected: a number, a share of those read as in 0.5%, or both with a
    /// comma between
    /// [default: any number may be]
    #[arg(long, hide_env_values = true, env = "PF_MAX_REJECTED", value_name = "RECORDS")]
    pub max_rejected: Option<String>,
    /// Where documents go
    #[arg(long, hide_env_values = true, env = "PF_DESTINATION", value_enum, default_value_t = Destination::Stdout)]
    pub destination: Destination,
    /// How documents go to Elasticsearch
    #[command(flatten)]
    pub elasticsearch: elasticsearch::EsArgs,
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
    /// What ends a record of NDJSON: a newline, or a NUL as GELF has it
    #[arg(long, hide_env_values = true, env = "PF_RECORD_END", value_enum, default_value_t = RecordEnd::Newline)]
    pub record_end: RecordEnd,
    /// Give documents the values that the partitioning expression captured from their object's key, as text fields: those of
    /// --columns, where that is given. A record that has such a field keeps its own
    #[arg(long, hide_env_values = true, env = "PF_PARTITION_FIELDS", value_parser = BoolishValueParser::new())]
    pub partition_fields: bool,
    /// Which fields are left out of documents, as in password,user.email: also of those that --columns names or
    /// --partition-fields gives, and of whole lines. A filter may look at them [default: none]
    #[arg(long, hide_env_values = true, env = "PF_EXCLUDE", value_name = "FIELDS")]
    pub exclude: Option<String>,
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
    /// A longer record, a line of NDJSON or the values of a row of Parquet, becomes a dead letter
    #[arg(long, hide_env_values = true, env = "PF_MAX_RECORD_BYTES", value_name = "BYTES", default_value_t = 16 << 20)]
    pub max_record_bytes: usize,
    /// How Parquet columns of bytes that are not said to be text are written, and compared by --filter
    #[arg(long, hide_env_values = true, env = "PF_BINARY", value_enum, default_value_t = Binary::Text)]
    pub binary: Binary,
    /// The largest window of a zstd frame, a power of two: a thread may hold this much beside all else, so with more than the
    /// default it takes more than 100 MB. `zstd --long=31` needs 2048
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_ZSTD_WINDOW_MB",
        value_name = "MB",
        default_value_t = crate::decompress::WINDOW_MB
    )]
    pub zstd_window_mb: usize,
    /// File that dead letters are added to, one JSON object a line, where there is no --state
    /// [default: the first ten are shown on standard error]
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
    /// Say that whoever reads pays for it, for buckets that want so [default: the bucket's owner pays]
    #[arg(long, hide_env_values = true, env = "PF_REQUEST_PAYER", value_parser = BoolishValueParser::new())]
    pub request_payer: bool,
    /// How long a worker that was asked to stop may take to finish or to give back what it has, as in 30s or 2m
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

impl Args {
    /// Reads the process' arguments and environment. An error may also be the help that was asked for.
    ///
    /// What the environment says may be meant for another program or another worker; a flag that was typed is meant for this
    /// one, and refused where it would have no effect.
    pub fn read() -> Result<Self, clap::Error> {
        Self::of(std::env::args_os())
    }

    fn of(words: impl IntoIterator<Item: Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(words)?;
        let args = Self::from_arg_matches(&matches)?;
        let typed = |id: &clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        let useless = matches.ids().filter(|id| typed(id)).find_map(|id| {
            let needed = if id.as_str().starts_with("sqs_") || id == "exit_when_idle" {
                (args.input != Input::Sqs).then_some("--input sqs")
            } else if id.as_str().starts_with("es_") {
                (args.destination != Destination::Elasticsearch).then_some("--destination elasticsearch")
            } else {
                None
            };
            Some((id.as_str().replace('_', "-"), needed?))
        });
        match useless {
            Some((flag, needed)) => {
                let message = format!("--{flag} has no effect without {needed}");
                Err(command.error(ErrorKind::ArgumentConflict, message))
            }
            None => Ok(args),
        }
    }
}

/// Where work items come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Input {
    /// Standard input, one item a line
    Stdin,
    /// An SQS queue; see docs/queues.md
    Sqs,
}

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Binary {
    /// As text where the bytes of a value are UTF-8, else as base64
    Text,
    /// As base64 with padding, as Elasticsearch's field type `binary` takes it
    Base64,
    /// As two hexadecimal digits for each byte
    Hex,
}

/// What ends a record of NDJSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RecordEnd {
    /// A newline, with or without a carriage return
    Newline,
    /// A NUL; newlines within a record are white space
    Nul,
}

/// Where documents go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Destination {
    /// Standard output, one document a line
    Stdout,
    /// Nowhere: they are counted, as a table on a terminal and as JSON in a pipe
    Stats,
    /// Elasticsearch or OpenSearch; see docs/elasticsearch.md
    Elasticsearch,
}

const EXAMPLES: &str = "\
Examples:
  Every record below a folder, counted:
    pf-discoverer --uri file:///var/logs/ | pf-worker --destination stats

  Failed requests of a bucket, three fields each:
    pf-discoverer --bucket logs --prefix 2024/ |
      pf-worker --filter 'status >= 500' --columns timestamp,status,geo.country > failed.ndjson

  From a queue into Elasticsearch, with a state directory that proves what arrived:
    pf-worker --input sqs --sqs-queue-url https://sqs.eu-central-1.amazonaws.com/1/logs \\
      --state s3://bucket/state --destination elasticsearch --es-url https://es:9200 --es-index logs

Exit codes:
  0  every item is settled well
  1  failed, or stopped before the end
  2  finished, with dead letters
  3  stopped, as more records were rejected than --max-rejected allows
  4  refused by the queue, the storage, the state directory or the sink: somebody must change something
  64 bad usage; nothing was opened";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_would_have_no_effect_is_refused() {
        for (words, flag, needed) in [
            (
                vec!["pf-worker", "--sqs-queue-url", "http://localhost/0/q"],
                "--sqs-queue-url",
                "--input sqs",
            ),
            (
                vec!["pf-worker", "--exit-when-idle", "5m"],
                "--exit-when-idle",
                "--input sqs",
            ),
            (
                vec!["pf-worker", "--es-url", "http://localhost"],
                "--es-url",
                "--destination elasticsearch",
            ),
        ] {
            let error = Args::of(words).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{flag} has no effect without {needed}")),
                "{error}"
            );
        }
    }
}
