//! The command line, checked: whatever is wrong with it is said here, before anything is opened.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZero, path::PathBuf, thread, time::Duration};

use jiff::SignedDuration;
use pf_storage::ObjectUri;
use pf_work::{Limit, sqs};

use crate::{
    args::{self, Args},
    binding, decompress,
    indexer::elasticsearch,
    predicate::{FieldPath, Predicate},
    sources::Sources,
    values::binary::Binary,
};

/// What a worker is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where work items come from.
    pub input: Input,
    /// Which objects may be read.
    pub sources: Sources,
    /// Where documents go.
    pub destination: Destination,
    /// How many lanes.
    pub threads: usize,
    /// What becomes of records.
    pub records: Records,
    /// The columns that were named, without those that only addresses are made of.
    pub columns_named: Vec<FieldPath>,
    /// How far reading runs ahead.
    pub prefetch: Prefetch,
    /// Where a job's state is kept.
    pub state: Option<ObjectUri>,
    /// What documents and their destination depend on, which is bound in the job's state.
    pub binding: BTreeMap<String, String>,
    /// Who this worker is.
    pub worker: String,
    /// Where dead letters go, where no state is kept.
    pub dead_letters: Option<PathBuf>,
    /// What may be rejected; anything, if there is no limit.
    pub max_rejected: Vec<Limit>,
    /// How S3 is reached.
    pub storage: pf_storage::Options,
    /// Where metrics are served.
    pub metrics_addr: Option<SocketAddr>,
    /// How long lanes may take to end once they are asked to.
    pub drain_timeout: Duration,
    /// Whether checking was all that was asked for.
    pub check_only: bool,
}

/// Where work items come from.
#[derive(Debug, Clone)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A queue.
    Sqs(Box<Sqs>),
}

/// How a queue is leased from.
#[derive(Debug, Clone)]
pub struct Sqs {
    /// The queue.
    pub queue: sqs::Options,
    /// Polls at the same time.
    pub polls: usize,
    /// End when nothing came for so long.
    pub exit_when_idle: Option<Duration>,
}

/// Where documents go.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Nowhere but into the statistics.
    Stats,
    /// Elasticsearch or OpenSearch.
    Elasticsearch(Box<elasticsearch::Options>),
}

/// Polls of a queue at the same time: each brings ten items at most, so more would only be more requests.
const POLLS_MAX: usize = 64;

/// More lanes than any machine has use for: beyond it, threads spend their time on each other.
const THREADS_MAX: usize = 1024;

/// What becomes of records on their way.
#[derive(Debug, Clone)]
pub struct Records {
    /// The fields that are kept; all if none.
    pub columns: Option<Vec<FieldPath>>,
    /// Fields that are in no document, whatever else they are good for.
    pub exclude: Vec<FieldPath>,
    /// Which records are kept; all if none.
    pub filter: Option<Predicate>,
    /// Records in a batch, at most.
    pub batch_records_max: usize,
    /// A longer record is refused.
    pub record_bytes_max: usize,
    /// How columns of bytes are written.
    pub binary: Binary,
    /// Whether a NUL ends a record of NDJSON, and no newline.
    pub nul_ends_record: bool,
    /// The largest window of a zstd frame, as the exponent of a power of two.
    pub zstd_window_log: u32,
    /// Whether documents get the values that were captured from their object's key.
    pub partition_fields: bool,
}

impl Default for Records {
    /// All of them, as they are.
    fn default() -> Self {
        Self {
            columns: None,
            exclude: Vec::new(),
            filter: None,
            batch_records_max: 50_000,
            record_bytes_max: 16 << 20,
            binary: Binary::Text,
            nul_ends_record: false,
            zstd_window_log: decompress::WINDOW_LOG,
            partition_fields: false,
        }
    }
}

/// How far reading runs ahead of a lane, in pieces of [`pf_storage::read::PIECE_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// Objects that wait with their first piece, per lane.
    pub objects: usize,
    /// Pieces ahead of the lane in the object that it reads.
    pub pieces: usize,
}

/// As many pieces ahead keep a lane busy: more would only fill memory.
const PIECES_THAT_KEEP_BUSY: usize = 8;

impl Prefetch {
    /// Objects and pieces that together stay below `memory_mb` MiB.
    fn within(memory_mb: usize, objects: usize) -> Self {
        let pieces = PIECES_THAT_KEEP_BUSY.min(memory_mb / 2).max(1);
        Self {
            objects: objects.min(memory_mb.saturating_sub(pieces)).max(1),
            pieces,
        }
    }
}

impl Plan {
    /// Checks what was typed. The error names the flag and says what would be right.
    pub fn new(args: Args) -> Result<Self, String> {
        let mut binding = binding::of(&args);
        let Args {
            input,
            sqs_queue_url,
            sqs_endpoint,
            sqs_concurrent_polls,
            sqs_visibility_timeout,
            sqs_dead_letter_queue_url,
            exit_when_idle,
            source,
            state,
            worker,
            max_rejected,
            destination,
            elasticsearch,
            threads,
            batch_size,
            columns,
            exclude,
            filter,
            record_end,
            partition_fields,
            prefetch_count,
            prefetch_memory_mb,
            max_record_bytes,
            binary,
            zstd_window_mb,
            dead_letters,
            s3_endpoint,
            region,
            anonymous,
            request_payer,
            metrics_addr,
            drain_timeout,
            check,
        } = args;
        at_least_one("--batch-size", batch_size)?;
        at_least_one("--prefetch-count", prefetch_count)?;
        at_least_one("--prefetch-memory-mb", prefetch_memory_mb)?;
        at_least_one("--max-record-bytes", max_record_bytes)?;
        let threads = threads.unwrap_or_else(|| 2 * thread::available_parallelism().map_or(1, NonZero::get));
        at_least_one("--threads", threads)?;
        if threads > THREADS_MAX {
            return Err(format!("--threads must be {THREADS_MAX} or less, not {threads}"));
        }
        address("--s3-endpoint", s3_endpoint.as_deref())?;
        address("--sqs-endpoint", sqs_endpoint.as_deref())?;
        address("--sqs-dead-letter-queue-url", sqs_dead_letter_queue_url.as_deref())?;
        let drain_timeout = duration("--drain-timeout", &drain_timeout)?;
        let worker = worker.unwrap_or_else(host_name);
        let sources = sources(input, &source)?;
        let zstd_window_log = window_log(zstd_window_mb)?;
        let input = match input {
            args::Input::Stdin => Input::Stdin,
            args::Input::Sqs => {
                at_least_one("--sqs-concurrent-polls", sqs_concurrent_polls)?;
                let url = sqs_queue_url.ok_or("--input sqs needs --sqs-queue-url, the queue to lease from")?;
                let visibility = sqs_visibility_timeout
                    .map(|text| duration("--sqs-visibility-timeout", &text))
                    .transpose()?;
                let queue = sqs::Options {
                    endpoint: sqs_endpoint,
                    visibility,
                    dead_letter_url: sqs_dead_letter_queue_url,
                    worker: worker.clone(),
                    ..sqs::Options::new(url)
                };
                queue.check().map_err(|error| format!("--sqs-queue-url: {error}"))?;
                let exit_when_idle = exit_when_idle
                    .map(|text| duration("--exit-when-idle", &text))
                    .transpose()?;
                Input::Sqs(Box::new(Sqs {
                    queue,
                    polls: sqs_concurrent_polls.min(POLLS_MAX),
                    exit_when_idle,
                }))
            }
        };
        let columns = columns.map(|text| FieldPath::list(&text)).transpose();
        let mut columns = columns.map_err(|error| format!("--columns: {error}"))?;
        let columns_named = columns.clone().unwrap_or_default();
        let exclude = exclude.map(|text| FieldPath::list(&text)).transpose();
        let exclude = exclude
            .map_err(|error| format!("--exclude: {error}"))?
            .unwrap_or_default();
        let destination = match destination {
            args::Destination::Stdout => Destination::Stdout,
            args::Destination::Stats => Destination::Stats,
            args::Destination::Elasticsearch => {
                let mut options = elasticsearch::Options::from_args(elasticsearch, threads)?;
                options.leave_out(&exclude, columns.as_deref());
                // Who says how much may be rejected means it.
                options.stops_when_all_is_rejected = max_rejected.is_none();
                if let Some(columns) = &mut columns {
                    read_too(columns, &options.addressing.fields());
                }
                binding.extend(options.identity());
                Destination::Elasticsearch(Box::new(options))
            }
        };
        let state: Option<ObjectUri> = state
            .map(|uri| {
                uri.parse()
                    .map_err(|error: pf_storage::Error| format!("--state: {error}"))
            })
            .transpose()?;
        if state.is_some() && dead_letters.is_some() {
            return Err("--dead-letters is for runs without --state, which keeps rejected records itself".to_owned());
        }
        let max_rejected = max_rejected.map(|text| Limit::list(&text)).transpose();
        let max_rejected = max_rejected
            .map_err(|error| format!("--max-rejected: {error}"))?
            .unwrap_or_default();
        let binary = match binary {
            args::Binary::Text => Binary::Text,
            args::Binary::Base64 => Binary::Base64,
            args::Binary::Hex => Binary::Hex,
        };
        let filter = filter.map(|text| text.parse()).transpose();
        Ok(Self {
            input,
            sources,
            destination,
            state,
            binding,
            worker,
            max_rejected,
            threads,
            records: Records {
                columns,
                exclude,
                filter: filter.map_err(|error| format!("--filter: {error}"))?,
                batch_records_max: batch_size,
                record_bytes_max: max_record_bytes,
                binary,
                nul_ends_record: record_end == args::RecordEnd::Nul,
                zstd_window_log,
                partition_fields,
            },
            columns_named,
            prefetch: Prefetch::within(prefetch_memory_mb, prefetch_count),
            dead_letters,
            storage: pf_storage::Options {
                endpoint: s3_endpoint,
                region,
                anonymous,
                request_payer,
                ..Default::default()
            },
            metrics_addr,
            drain_timeout,
            check_only: check,
        })
    }
}

/// What may be read.
fn sources(input: args::Input, typed: &[String]) -> Result<Sources, String> {
    if typed.is_empty() {
        return Ok(match input {
            args::Input::Stdin => Sources::Anything,
            args::Input::Sqs => Sources::AnyBucket,
        });
    }
    let parsed = typed.iter().map(|uri| uri.parse());
    let sources = parsed.collect::<Result<_, pf_storage::Error>>();
    Ok(Sources::Below(sources.map_err(|error| format!("--source: {error}"))?))
}

/// The exponent of a window's size in bytes.
fn window_log(window_mb: usize) -> Result<u32, String> {
    if window_mb.is_power_of_two() && window_mb <= decompress::WINDOW_MB_MAX {
        return Ok(20 + window_mb.ilog2());
    }
    Err(format!(
        "--zstd-window-mb must be a power of two from 1 to {}, as 64 is, not {window_mb}",
        decompress::WINDOW_MB_MAX
    ))
}

/// Adds the fields that addresses of documents are read from to the columns that are read.
fn read_too(columns: &mut Vec<FieldPath>, fields: &[&FieldPath]) {
    for field in fields {
        if !columns.iter().any(|column| field.0.starts_with(&column.0)) {
            columns.push((*field).clone());
        }
    }
}

/// That an address, if there is one, begins as one does and has no secret in it, which would be repeated in logs.
fn address(flag: &str, address: Option<&str>) -> Result<(), String> {
    let Some(address) = address else { return Ok(()) };
    if address.contains('@') {
        return Err(format!(
            "{flag} must not hold credentials: they come from the environment"
        ));
    }
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| address.strip_prefix(scheme));
    let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']));
    if !has_host || address.contains(char::is_whitespace) {
        return Err(format!(
            "{flag} must begin with http:// or https:// and a host, as http://localhost:9000 does, not `{address}`"
        ));
    }
    Ok(())
}

/// A length of time, as a flag has it.
fn duration(flag: &str, text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| format!("{flag} must be a length of time as in 30s or 2m, not `{text}`"))
}

/// What the machine, or the pod, is called.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "worker".to_owned() } else { name }
}

impl Plan {
    /// Whether others than a person at a terminal wait for what becomes of it: they tell refusals from other failures.
    pub fn is_service(&self) -> bool {
        matches!(self.input, Input::Sqs(_)) || matches!(self.destination, Destination::Elasticsearch(_))
    }

    /// Whether it runs until somebody asks it to stop: then stopping is no failure.
    pub fn is_endless(&self) -> bool {
        matches!(&self.input, Input::Sqs(sqs) if sqs.exit_when_idle.is_none())
    }
}

fn at_least_one(flag: &str, value: usize) -> Result<(), String> {
    if value == 0 {
        Err(format!("{flag} must be 1 or more, not 0"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_begin_as_addresses_do_and_hold_no_credentials() {
        for right in [None, Some("http://localhost:9000"), Some("https://[::1]:9000/")] {
            assert_eq!(address("--s3-endpoint", right), Ok(()));
        }
        for wrong in [
            "localhost:9000",
            "http://",
            "ftp://host",
            "http://:9000",
            "http://a host",
        ] {
            let error = address("--s3-endpoint", Some(wrong)).unwrap_err();
            assert!(error.starts_with("--s3-endpoint must begin"), "{error}");
        }
        let error = address("--s3-endpoint", Some("http://me:geheim@host")).unwrap_err();
        assert!(!error.contains("geheim"), "{error}");
    }

    #[test]
    fn a_queue_s_items_may_name_files_only_below_a_source() {
        assert_eq!(sources(args::Input::Stdin, &[]), Ok(Sources::Anything));
        assert_eq!(sources(args::Input::Sqs, &[]), Ok(Sources::AnyBucket));
        for input in [args::Input::Stdin, args::Input::Sqs] {
            let below = Sources::Below(vec![ObjectUri::File {
                path: "/data/".to_owned(),
            }]);
            assert_eq!(sources(input, &["file:///data/".to_owned()]), Ok(below));
        }
        let error = sources(args::Input::Sqs, &["/data/".to_owned()]).unwrap_err();
        assert!(error.starts_with("--source: `/data/` is not"), "{error}");
    }

    #[test]
    fn a_window_is_a_power_of_two() {
        assert_eq!(window_log(1), Ok(20));
        assert_eq!(window_log(decompress::WINDOW_MB), Ok(26));
        assert_eq!(window_log(2048), Ok(31));
        for wrong in [0, 3, 100, 4096] {
            let error = window_log(wrong).unwrap_err();
            assert!(error.starts_with("--zstd-window-mb must be a power of two"), "{error}");
        }
    }

    #[test]
    fn fields_of_addresses_are_read_beside_the_columns_and_left_out_of_documents() {
        let paths = |texts: &[&str]| -> Vec<FieldPath> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        for (flags, read, left_out) in [
            ("--es-index a --columns v", Some(&["v"][..]), &[][..]),
            ("--es-index a --es-id field:id", None, &[]),
            ("--es-index a --es-id field:id --columns v", Some(&["v", "id"]), &["id"]),
            ("--es-index a --es-id field:u.id --columns u", Some(&["u"]), &[]),
            ("--es-index l-{t} --columns v,t", Some(&["v", "t"]), &[]),
            (
                "--es-index l-{t}-{+yyyy} --es-routing-field t --columns v",
                Some(&["v", "t", "@timestamp"]),
                &["t", "@timestamp"],
            ),
            ("--es-index a --es-id field:_id.$oid", None, &["_id", "_id.$oid"]),
            (
                "--es-index a --columns v --exclude v.secret",
                Some(&["v"]),
                &["v.secret"],
            ),
        ] {
            let line = format!("pf-worker --destination elasticsearch --es-url http://a {flags}");
            let args = <Args as clap::Parser>::try_parse_from(line.split(' ')).unwrap();
            let plan = Plan::new(args).unwrap();
            assert_eq!(plan.records.columns, read.map(paths), "{flags}");
            let named = plan.columns_named.len();
            assert_eq!(
                named,
                usize::from(read.is_some()) + usize::from(flags.contains("v,t")),
                "{flags}"
            );
            let Destination::Elasticsearch(options) = plan.destination else {
                panic!("{flags}")
            };
            assert_eq!(options.addressing.left_out, paths(left_out), "{flags}");
            assert!(options.stops_when_all_is_rejected);
        }
    }

    #[test]
    fn what_is_read_ahead_stays_below_the_memory_that_is_given() {
        for memory_mb in 1..300 {
            for objects in 1..20 {
                let prefetch = Prefetch::within(memory_mb, objects);
                assert!(prefetch.pieces >= 1 && prefetch.objects >= 1);
                assert!(
                    prefetch.pieces + prefetch.objects <= memory_mb.max(2),
                    "{memory_mb} MB, {objects}: {prefetch:?}"
                );
            }
        }
        assert_eq!(
            Prefetch::within(200, 6),
            Prefetch {
                objects: 6,
                pieces: PIECES_THAT_KEEP_BUSY
            }
        );
    }
}
