//! The command line as it was given, before anything in it is checked against anything else.
//!
//! What the flags mean together is decided in `plan`; what they promise the user is written here, and nowhere else.

mod commands;

use std::{error::Error as _, net::SocketAddr, num::NonZeroU64, path::PathBuf};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, ValueEnum,
    builder::BoolishValueParser,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};

pub(crate) use self::commands::{Command, JobArgs, RedriveArgs, VerifyArgs};

const EXAMPLES: &str = "\
Examples:
  Offer every gzipped NDJSON object below a prefix to a worker on this machine:
    pf-discoverer --bucket logs --prefix 2024/ --pattern '**/*.ndjson.gz' | pf-worker

  The same from a folder, only what was written in January:
    pf-discoverer --uri file:///var/logs/ --modified-after 2024-01-01 --modified-before 2024-02-01

  Two regions in January, without listing anything else:
    pf-discoverer --uri s3://logs/ --partitioning 'region=${region}/date=${_time:%Y-%m-%d}/' \\
      --filter region=eu,us --filter _time=2024-01-01..2024-01-31

  A server that is not AWS, objects of 10 MB to 1 GiB, at most a thousand of them:
    pf-discoverer --uri s3://logs/ --s3-endpoint http://localhost:9000 --min-size 10MB \\
      --max-size 1GiB --max-objects 1000

  To the workers of a queue, whose job is named in each item:
    pf-discoverer --uri s3://logs/2024/ --job logs-2024 --destination sqs \\
      --sqs-queue-url https://sqs.eu-central-1.amazonaws.com/123456789012/logs

  In a way that survives a restart, and can be proved to be complete:
    pf-discoverer --uri s3://logs/2024/ --job logs-2024 --state s3://logs-state/ --destination sqs \\
      --sqs-queue-url https://sqs.eu-central-1.amazonaws.com/123456789012/logs
    pf-discoverer verify --job logs-2024 --state s3://logs-state/

  What would that cost?
    pf-discoverer --uri s3://logs/ --partitioning 'date=${_time:%Y-%m-%d}/' \\
      --filter _time=2024-01-01..2024-12-31 --dry-run

  Each night what is new since the night before, as further items of the same job:
    pf-discoverer --uri s3://logs/2024/ --job logs-2024 --state s3://logs-state/ --again |
      pf-worker --state s3://logs-state/

Exit codes: 0 everything was listed; 1 failed or interrupted; 2 nothing matched, without --allow-empty;
4 the state directory refused: another owner's books, other flags, or a place that can't hold them; 64
bad usage.";

/// Lists objects and offers each as a work item: one line of JSON on standard output, or one message of an SQS queue.
#[derive(Debug, Clone, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(name = "pf-discoverer", version, term_width = 100, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// What to do instead of listing.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Bucket to list. Either this or --uri must be given.
    #[arg(long, env = "PF_BUCKET", hide_env_values = true)]
    pub(crate) bucket: Option<String>,

    /// What every key begins with, character by character [default: the whole bucket].
    #[arg(long, env = "PF_PREFIX", hide_env_values = true)]
    pub(crate) prefix: Option<String>,

    /// Bucket and prefix in one, `s3://bucket/prefix`, or a folder on this machine, `file:///path/`.
    #[arg(long, env = "PF_URI", hide_env_values = true)]
    pub(crate) uri: Option<String>,

    /// Address of an S3-compatible server [default: AWS].
    #[arg(long, value_name = "URL", env = "PF_S3_ENDPOINT", hide_env_values = true)]
    pub(crate) s3_endpoint: Option<String>,

    /// Region of the bucket [default: from the environment or profile, else us-east-1].
    #[arg(long, env = "PF_REGION", hide_env_values = true)]
    pub(crate) region: Option<String>,

    /// Send no credentials, for public buckets [default: requests are signed].
    #[arg(long, env = "PF_ANONYMOUS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) anonymous: bool,

    /// Glob that the key below the prefix must match whole: `*` and `?` stay within one part of the path, `**` crosses
    /// `/`, `{a,b}` is either [default: every key].
    #[arg(long, value_name = "GLOB", env = "PF_PATTERN", hide_env_values = true)]
    pub(crate) pattern: Option<String>,

    /// How keys are built below the prefix: text as it stands, `${name}` for a part without a slash, and
    /// `${_time:FORMAT}` with %Y %y %m %d %j %H %M, as in 'YEAR=${_time:%Y}/region=${region}/'. What a filter names is
    /// listed directly, anything else is discovered folder by folder [default: everything below the prefix].
    #[arg(long, value_name = "EXPRESSION", env = "PF_PARTITIONING", hide_env_values = true)]
    pub(crate) partitioning: Option<String>,

    /// What placeholders of --partitioning may be, `region=eu,us` or `_time=2024-01-01..2024-01-31`: values are
    /// alternatives, a time is the whole of what is written, both ends of a range included, and either may be open.
    /// A comma within a value is written `\,`. Repeatable: all filters must hold; in the environment, one a line
    /// [default: no filter].
    #[arg(
        long,
        value_name = "NAME=VALUES",
        env = "PF_PARTITION_FILTER",
        hide_env_values = true,
        value_delimiter = '\n'
    )]
    pub(crate) filter: Vec<String>,

    /// Time zone of the times in --partitioning and of times in --filter that name none, as Europe/Paris
    /// [default: UTC].
    #[arg(long, value_name = "ZONE", env = "PF_TIMEZONE", hide_env_values = true)]
    pub(crate) timezone: Option<String>,

    /// With --partitioning, list this many prefixes at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256),
          env = "PF_PARALLEL_PREFIXES", hide_env_values = true)]
    pub(crate) parallel_prefixes: u16,

    /// Only objects of at least this size as stored: bytes, or with kB, MB, GB, TB, KiB, MiB, GiB, TiB
    /// [default: no bound].
    #[arg(long, value_name = "SIZE", env = "PF_MIN_SIZE", hide_env_values = true)]
    pub(crate) min_size: Option<String>,

    /// Only objects of at most this size as stored [default: no bound].
    #[arg(long, value_name = "SIZE", env = "PF_MAX_SIZE", hide_env_values = true)]
    pub(crate) max_size: Option<String>,

    /// Only objects last written at this time or later: RFC 3339, or a date for its midnight in UTC
    /// [default: no bound].
    #[arg(long, value_name = "TIME", env = "PF_MODIFIED_AFTER", hide_env_values = true)]
    pub(crate) modified_after: Option<String>,

    /// Only objects last written before this time; an object of this very time is not taken [default: no bound].
    #[arg(long, value_name = "TIME", env = "PF_MODIFIED_BEFORE", hide_env_values = true)]
    pub(crate) modified_before: Option<String>,

    /// How records are laid out. `auto` goes by the name (.ndjson .jsonl .json .log, .parquet .pq), and leaves other
    /// names to the worker, which looks at the first bytes.
    #[arg(long, value_enum, default_value_t = FormatArg::Auto, env = "PF_FORMAT", hide_env_values = true)]
    pub(crate) format: FormatArg,

    /// How objects are compressed. `auto` goes by the end of the name (.gz .gzip, .zst .zstd), and leaves other names
    /// to the worker, which looks at the first bytes.
    #[arg(long, value_enum, default_value_t = CompressionArg::Auto, env = "PF_COMPRESSION", hide_env_values = true)]
    pub(crate) compression: CompressionArg,

    /// Split larger objects into byte ranges of about equal sizes, none larger than this, at least 64KiB. Only Parquet
    /// and uncompressed NDJSON are split; their first bytes are looked at, unless --format and --compression say what
    /// they are [default: no splitting].
    #[arg(long, value_name = "SIZE", env = "PF_SPLIT_BYTES", hide_env_values = true)]
    pub(crate) split_bytes: Option<String>,

    /// Stop when this many objects were offered [default: no bound].
    #[arg(long, value_name = "COUNT", env = "PF_MAX_OBJECTS", hide_env_values = true)]
    pub(crate) max_objects: Option<NonZeroU64>,

    /// Name of the job that the items belong to [default: the last part of the prefix, else `local`].
    #[arg(long, value_name = "NAME", env = "PF_JOB", hide_env_values = true)]
    pub(crate) job: Option<String>,

    /// State directory, `s3://bucket/prefix` or `file:///path`, in which the job's items are kept before they are offered.
    /// With it, a run that was stopped is gone on with by the same flags: numbers stay, and nothing is forgotten. See
    /// also the sub-commands [default: nothing is kept].
    #[arg(long, value_name = "URI", env = "PF_STATE", hide_env_values = true)]
    pub(crate) state: Option<String>,

    /// Whose the job's books are, in words that tell this job from another of its name, as `namespace/name uid`. Books that
    /// another owner began are refused, with who that is and how far they came. Without --state there are no books
    /// [default: the job's name].
    #[arg(long, value_name = "TEXT", env = "PF_OWNER", hide_env_values = true)]
    pub(crate) owner: Option<String>,

    /// Take over the books that another owner began: what is settled stays settled, and is told apart. Other flags than
    /// the books were begun with are refused all the same [default: another owner's books are refused].
    #[arg(long, env = "PF_RESUME", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) resume: bool,

    /// Which run of the job this is: told to workers in each item, so that they know that what an earlier run wrote may be
    /// there.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..),
          env = "PF_RUN", hide_env_values = true)]
    pub(crate) run: u32,

    /// What becomes of records, as `index=logs-2024`: bound in the job's books, so that a run which would deliver
    /// otherwise is refused. Names and values mean nothing here. Repeatable; in the environment, one a line. Without
    /// --state nothing is bound [default: nothing].
    #[arg(
        long,
        value_name = "NAME=VALUE",
        env = "PF_DELIVERS",
        hide_env_values = true,
        value_delimiter = '\n'
    )]
    pub(crate) delivers: Vec<String>,

    /// Where the job was listed to its end: list again, and add what is new since, by name or entity tag, as further items
    /// behind the others. What is known of the job is held in memory, 16 bytes an object [default: such a job is not
    /// listed any more].
    #[arg(long, env = "PF_AGAIN", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) again: bool,

    /// A job to which nothing belongs is all right [default: exit code 2 where nothing matches].
    #[arg(long, env = "PF_ALLOW_EMPTY", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) allow_empty: bool,

    /// Offer nothing: print the prefixes that would be listed, what that costs at least in requests and dollars, and a
    /// sample of what matches [default: run].
    #[arg(long, env = "PF_DRY_RUN", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) dry_run: bool,

    /// Where items go.
    #[arg(long, value_enum, default_value_t = Destination::Stdout, env = "PF_DISCOVERER_DESTINATION",
          hide_env_values = true)]
    pub(crate) destination: Destination,

    /// The queue that --destination sqs puts items into. It must be a standard queue; its region is the one that the
    /// URL names, whatever --region says of the bucket [default: none].
    #[arg(long, value_name = "URL", env = "PF_SQS_QUEUE_URL", hide_env_values = true)]
    pub(crate) sqs_queue_url: Option<String>,

    /// Address of an SQS-compatible server [default: the one in --sqs-queue-url].
    #[arg(long, value_name = "URL", env = "PF_SQS_ENDPOINT", hide_env_values = true)]
    pub(crate) sqs_endpoint: Option<String>,

    /// When everything is listed, write how many items there are to this file, as one short line of JSON: for a cluster,
    /// which reads a container's last words [default: nowhere].
    #[arg(long, value_name = "FILE", env = "PF_SUMMARY", hide_env_values = true)]
    pub(crate) summary: Option<PathBuf>,

    /// Where to serve /metrics, /healthz and /readyz while it lists, as in 0.0.0.0:9090 [default: nowhere].
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "PF_DISCOVERER_METRICS_ADDR",
        hide_env_values = true
    )]
    pub(crate) metrics_addr: Option<SocketAddr>,

    /// Check the flags and exit, before anything is opened [default: run].
    #[arg(long, env = "PF_CHECK", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) check: bool,
}

impl Args {
    /// Reads the process' arguments and environment. An error may also be the help that was asked for.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let mut args = Self::from_arg_matches(&matches)?;
        let is_flag = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        args.let_flags_win(is_flag("uri"), is_flag("bucket") || is_flag("prefix"));
        args.leave_to_others(is_flag("sqs_queue_url"), is_flag("sqs_endpoint"));
        Ok(args)
    }

    /// What to list is said in one of two ways. A way that was typed wins over another that the environment has.
    fn let_flags_win(&mut self, uri_is_flag: bool, bucket_is_flag: bool) {
        match (uri_is_flag, bucket_is_flag) {
            (true, false) => (self.bucket, self.prefix) = (None, None),
            (false, true) => self.uri = None,
            // Both from one place: `plan` refuses that.
            (true, true) | (false, false) => {}
        }
    }

    /// What the environment says of a queue may be meant for the workers alone.
    fn leave_to_others(&mut self, url_is_flag: bool, endpoint_is_flag: bool) {
        if self.destination != Destination::Sqs {
            self.sqs_queue_url.take_if(|_| !url_is_flag);
            self.sqs_endpoint.take_if(|_| !endpoint_is_flag);
        }
    }
}

/// What is wrong with a flag's value, the flag first, as `plan` tells what it finds. None if it is not that.
pub(crate) fn complaint(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?.split(' ').next()?;
    let value = text(ContextKind::InvalidValue)?;
    if value.is_empty() {
        return Some(format!("{flag}: needs a value"));
    }
    let reason = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(words)) if !words.is_empty() => format!("write {}", words.join(" or ")),
        _ => error.source()?.to_string(),
    };
    Some(format!("{flag}: `{value}`: {reason}"))
}

/// Values of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    Auto,
    Ndjson,
    Parquet,
}

/// Values of `--compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionArg {
    Auto,
    None,
    Gzip,
    Zstd,
}

/// Values of `--destination`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Destination {
    Stdout,
    Sqs,
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    #[test]
    fn help_is_as_the_golden_file_says() {
        let help = Args::command().render_long_help().to_string();
        expect_file!["../tests/help.txt"].assert_eq(&help);
        for (name, golden) in [
            ("verify", expect_file!["../tests/help-verify.txt"]),
            ("redrive", expect_file!["../tests/help-redrive.txt"]),
        ] {
            let mut command = Args::command();
            let command = command.find_subcommand_mut(name).unwrap();
            golden.assert_eq(&command.render_long_help().to_string());
        }
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let command = Args::command();
        let commands = std::iter::once(&command).chain(command.get_subcommands());
        for argument in commands
            .flat_map(clap::Command::get_arguments)
            .filter(|argument| argument.get_id() != "help")
        {
            let long = argument
                .get_long()
                .expect("only long flags")
                .replace('-', "_")
                .to_uppercase();
            let variable = match long.as_str() {
                "VERSION" => continue,
                // `pf-worker` has flags of these names that mean something else, and often the same environment.
                "FILTER" => "PF_PARTITION_FILTER".to_owned(),
                "DESTINATION" => "PF_DISCOVERER_DESTINATION".to_owned(),
                "METRICS_ADDR" => "PF_DISCOVERER_METRICS_ADDR".to_owned(),
                _ => format!("PF_{long}"),
            };
            assert_eq!(argument.get_env().unwrap().to_str().unwrap(), variable);
        }
    }
}
