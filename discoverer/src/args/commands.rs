//! The flags of the sub-commands, which look at a job that was discovered before.

use std::path::PathBuf;

use clap::{Args, Subcommand, builder::BoolishValueParser};

use super::Destination;

const VERIFY_EXAMPLES: &str = "\
Examples:
  Is everything ingested?
    pf-discoverer verify --state s3://logs-state/ --job logs/2024

  The same for a program, with what the queue gave up counted:
    pf-discoverer verify --state s3://logs-state/ --job logs/2024 \\
      --sqs-dead-letter-queue-url https://sqs.eu-central-1.amazonaws.com/123456789012/logs-dead \\
      | jq .missing_ranges

  At most one record in a hundred may be rejected:
    pf-discoverer verify --state s3://logs-state/ --job logs/2024 --max-rejected 1%

Exit codes: 0 every item is completed, and every record that was to arrive did; 2 every item is settled,
but items or records are dead letters, or the sink dropped records or put them elsewhere, or nothing
matched (without --allow-empty); 3 more records were rejected than --max-rejected; 1 items are missing,
an object's ranges do not cover it, rejected records are not kept, the discovery has not ended, records
are unaccounted for, or the state can't be read; 64 bad usage.";

const REDRIVE_EXAMPLES: &str = "\
Examples:
  Ingest what is missing, here:
    pf-discoverer redrive --missing --state file:///var/state/ --job logs | pf-worker --state file:///var/state/

  Offer what was given up to a queue again:
    pf-discoverer redrive --dead-items --state s3://logs-state/ --job logs --destination sqs \\
      --sqs-queue-url https://sqs.eu-central-1.amazonaws.com/123456789012/logs

  Ingest objects that changed since they were discovered as they are now:
    pf-discoverer redrive --dead-items --as-they-are --state s3://logs-state/ --job logs |
      pf-worker --state s3://logs-state/

  See the records that were given up, and their reasons:
    pf-discoverer redrive --records --letters --state s3://logs-state/ --job logs | jq .reason

Exit codes: 0 all of it was offered, also if there was nothing; 1 failed or interrupted; 2 some records
could not be given back whole, or some objects not as they are; 64 bad usage.";

/// What to do instead of listing.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Compare what was discovered with what was settled.
    ///
    /// Reads the manifest and the ledger in the state directory: every item must be settled, the ranges of each object must
    /// cover it, of every record that was read it must be known what became of it, and every rejected record must be kept.
    /// Settlements of another job that had the name before do not count, nor do its dead letters. Prints a table on a terminal and JSON in a pipe.
    #[command(term_width = 100, after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Offer items of a job again, or give back its rejected records.
    ///
    /// Exactly those: from the manifest, with their numbers, so that the ledger counts them once.
    #[command(term_width = 100, after_help = REDRIVE_EXAMPLES)]
    Redrive(RedriveArgs),
}

/// Which job, and how to reach its state directory.
#[derive(Debug, Clone, Args)]
pub(crate) struct JobArgs {
    /// State directory of the job: `s3://bucket/prefix` or `file:///path`.
    #[arg(long, value_name = "URI", env = "PF_STATE", hide_env_values = true)]
    pub(crate) state: String,

    /// Name of the job.
    #[arg(long, value_name = "NAME", env = "PF_JOB", hide_env_values = true)]
    pub(crate) job: String,

    /// Address of an S3-compatible server [default: AWS].
    #[arg(long, value_name = "URL", env = "PF_S3_ENDPOINT", hide_env_values = true)]
    pub(crate) s3_endpoint: Option<String>,

    /// Region of the state directory's bucket [default: from the environment or profile, else us-east-1].
    #[arg(long, env = "PF_REGION", hide_env_values = true)]
    pub(crate) region: Option<String>,

    /// Say that whoever asks pays for it, for buckets that want so [default: the bucket's owner pays].
    #[arg(long, env = "PF_REQUEST_PAYER", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) request_payer: bool,

    /// Dead-letter queue, in which items are that the redrive policy moved: they count as given up. Its messages are out
    /// of sight for some minutes while they are read [default: only what workers noted counts].
    #[arg(
        long,
        value_name = "URL",
        env = "PF_SQS_DEAD_LETTER_QUEUE_URL",
        hide_env_values = true
    )]
    pub(crate) sqs_dead_letter_queue_url: Option<String>,

    /// Address of an SQS-compatible server [default: the one in the queue's URL].
    #[arg(long, value_name = "URL", env = "PF_SQS_ENDPOINT", hide_env_values = true)]
    pub(crate) sqs_endpoint: Option<String>,
}

/// Flags of `verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,

    /// Write the verdict and the counts, without lists, to this file too, as one short line of JSON: for a cluster, which
    /// reads a container's last words [default: nowhere].
    #[arg(long, value_name = "FILE", env = "PF_SUMMARY", hide_env_values = true)]
    pub(crate) summary: Option<PathBuf>,

    /// How many records may be rejected over the whole job, by workers or by the sink: a number, or a part of all records
    /// as 1% [default: any number].
    #[arg(long, value_name = "COUNT|P%", env = "PF_MAX_REJECTED", hide_env_values = true)]
    pub(crate) max_rejected: Option<String>,

    /// A job to which nothing belongs is complete [default: exit code 2].
    #[arg(long, env = "PF_ALLOW_EMPTY", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) allow_empty: bool,
}

/// Flags of `redrive`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,

    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,

    /// Look at each object anew and offer it with its present version and size under the same number, where it changed since
    /// it was discovered. Says how to find in Elasticsearch what the version before left there [default: the version that
    /// was discovered].
    #[arg(long, env = "PF_AS_THEY_ARE", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) as_they_are: bool,

    /// With --records, write each with its object, ordinal, stage and reason as one line of JSON, instead of the record
    /// alone [default: the record alone].
    #[arg(long, env = "PF_LETTERS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) letters: bool,

    /// Where items go.
    #[arg(long, value_enum, default_value_t = Destination::Stdout, env = "PF_DISCOVERER_DESTINATION",
          hide_env_values = true)]
    pub(crate) destination: Destination,

    /// The queue that --destination sqs puts items into [default: none].
    #[arg(long, value_name = "URL", env = "PF_SQS_QUEUE_URL", hide_env_values = true)]
    pub(crate) sqs_queue_url: Option<String>,
}

/// What is redriven, one of them.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ChoiceArgs {
    /// Offer the items that nobody settled. Some may still be queued or worked on: wait until the queue is empty.
    #[arg(long, env = "PF_MISSING", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) missing: bool,

    /// Offer the items that were given up.
    #[arg(long, env = "PF_DEAD_ITEMS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) dead_items: bool,

    /// Write the records that were given up to standard output as NDJSON, to be ingested after the fault was corrected.
    #[arg(long, env = "PF_RECORDS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) records: bool,
}
