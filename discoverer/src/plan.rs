//! What is to be done, checked: from here on nothing about the flags can be wrong.
//!
//! Nothing is listed or opened here, so that bad usage is told before anything is touched.

mod within;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use pf_state::StateDir;
use pf_storage::{ObjectUri, Options, Storage};
use pf_work::{Compression, Format, sqs};

use crate::{
    args::{self, Args, CompressionArg, FormatArg},
    filter::Filters,
    naming::Naming,
    partitioning::Partitioning,
    selection::{Conditions, Selection},
    split::{PART_BYTES_MIN, Splitting},
};

/// Everything that a run needs to know.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How to reach the objects.
    pub(crate) storage: Options,
    /// What every key begins with.
    pub(crate) root: ObjectUri,
    /// How keys are built below it.
    pub(crate) partitioning: Option<Partitioning>,
    /// At most so many prefixes are listed at the same time.
    pub(crate) parallel_max: usize,
    /// Which of the listed objects are taken.
    pub(crate) selection: Selection,
    /// What their names tell about their contents.
    pub(crate) naming: Naming,
    /// Whether and how objects are split.
    pub(crate) splitting: Option<Splitting>,
    /// At most so many objects.
    pub(crate) objects_max: Option<u64>,
    /// The job that items belong to.
    pub(crate) job: String,
    /// Which run of it.
    pub(crate) run: u32,
    /// Whether nothing may match.
    pub(crate) allow_empty: bool,
    /// Whether only to say what would be done.
    pub(crate) dry_run: bool,
    /// Where items go.
    pub(crate) destination: Destination,
    /// Where the job is kept, if it is.
    pub(crate) state: Option<KeptJob>,
    /// The file that is told how many items there are.
    pub(crate) summary: Option<PathBuf>,
    /// Where metrics are served.
    pub(crate) metrics_addr: Option<SocketAddr>,
}

/// A job that is kept in a state directory.
#[derive(Debug)]
pub(crate) struct KeptJob {
    /// Its documents.
    pub(crate) state: StateDir,
    /// The flags that its items depend on, and what becomes of their records, by name.
    pub(crate) flags: BTreeMap<String, String>,
    /// Whose it is.
    pub(crate) owner: String,
    /// Whether it is taken over from another owner.
    pub(crate) resume: bool,
    /// Whether what is new is added to it once it was listed to its end.
    pub(crate) again: bool,
}

/// Where items go.
#[derive(Debug)]
pub(crate) enum Destination {
    /// To standard output, one line each.
    Stdout,
    /// Into a queue, one message each.
    Queue(Box<sqs::Options>),
}

impl Plan {
    /// Checks the arguments. Errors are bad usage, and say which flag it is.
    pub(crate) fn new(args: Args) -> Result<Self> {
        let state = args.state.clone();
        let mut flags = flags_of_items(&args);
        let root = folder_or_file(root(args.uri, args.bucket, args.prefix)?);
        flags.insert("--uri".to_owned(), root.to_string());
        deliveries(&args.delivers, &mut flags)?;
        let partitioning = partitioning(args.partitioning, &args.filter, args.timezone)?;
        let naming = naming(args.format, args.compression)?;
        let splitting = splitting(args.split_bytes, naming)?;
        if state.is_some() {
            for (flag, time) in [
                ("--modified-after", &args.modified_after),
                ("--modified-before", &args.modified_before),
            ] {
                let is_relative = time.as_deref().is_some_and(|time| ago(time).is_some());
                ensure!(
                    !is_relative,
                    "{flag}: `{}` is another time in each run, and --state goes on with one: write the time itself",
                    time.as_deref().unwrap_or_default()
                );
            }
        }
        let job = match args.job {
            Some(job) if job.is_empty() => bail!("--job: a name must not be empty"),
            Some(job) => job,
            None => job_of(&root),
        };
        let state_within = match &state {
            Some(state) => within::state(&root, &state.parse().context("--state")?, &job)?,
            None => None,
        };
        let mut selection = Selection::new(
            root.key(),
            Conditions {
                pattern: args.pattern.as_deref(),
                size: bounds("size", args.min_size, args.max_size, bytes)?,
                modified: bounds("modified", args.modified_after, args.modified_before, time)?,
                include_hidden: args.include_hidden,
                include_archived: args.include_archived,
                state: state_within,
            },
        )?;
        if matches!(&root, ObjectUri::File { path } if Path::new(path).is_file()) {
            selection.only(root.key());
        }
        address("--s3-endpoint", args.s3_endpoint.as_deref())?;
        if let Some(region) = &args.region {
            ensure!(
                !region.is_empty() && !region.contains(char::is_whitespace),
                "--region: `{region}` is no region's name, as eu-central-1 is one"
            );
        }
        let destination = destination(
            args.destination,
            args.sqs_queue_url,
            args.sqs_endpoint,
            args.region.as_ref(),
        )?;
        ensure!(
            args.owner.as_deref() != Some(""),
            "--owner: must say something, as `namespace/name uid` does"
        );
        let storage = Options {
            endpoint: args.s3_endpoint,
            region: args.region,
            anonymous: args.anonymous,
            request_payer: args.request_payer,
            ..Options::default()
        };
        let state = if let Some(uri) = state {
            Some(KeptJob {
                state: state_dir(&uri, &job, storage.clone())?,
                flags,
                owner: args.owner.unwrap_or_else(|| job.clone()),
                resume: args.resume,
                again: args.again,
            })
        } else {
            ensure!(!args.resume, "--resume: needs --state, where the books are");
            ensure!(
                !args.again,
                "--again: needs --state, which knows what was listed before"
            );
            None
        };
        Ok(Self {
            storage,
            root,
            partitioning,
            parallel_max: args.parallel_prefixes.into(),
            selection,
            naming,
            splitting,
            objects_max: args.max_objects.map(std::num::NonZero::get),
            job,
            run: args.run,
            allow_empty: args.allow_empty,
            dry_run: args.dry_run,
            destination,
            state,
            summary: args.summary,
            metrics_addr: args.metrics_addr,
        })
    }
}

/// What the choice, the order and the cutting of items depend on, beside what they begin with: also the server, because two
/// may have a bucket of the same name.
fn flags_of_items(args: &Args) -> BTreeMap<String, String> {
    let filters = (!args.filter.is_empty()).then(|| args.filter.join("\n"));
    let format = format!("{:?}", args.format).to_lowercase();
    let compression = format!("{:?}", args.compression).to_lowercase();
    let is_set = |flag: bool| flag.then(|| "true".to_owned());
    let max_objects = args.max_objects.map(|count| count.to_string());
    let run = args.run.to_string();
    let given = [
        ("--s3-endpoint", &args.s3_endpoint),
        ("--region", &args.region),
        ("--run", &Some(run)),
        ("--partitioning", &args.partitioning),
        ("--filter", &filters),
        ("--timezone", &args.timezone),
        ("--pattern", &args.pattern),
        ("--min-size", &args.min_size),
        ("--max-size", &args.max_size),
        ("--modified-after", &args.modified_after),
        ("--modified-before", &args.modified_before),
        ("--format", &Some(format)),
        ("--compression", &Some(compression)),
        ("--split-bytes", &args.split_bytes),
        ("--include-hidden", &is_set(args.include_hidden)),
        ("--include-archived", &is_set(args.include_archived)),
        ("--max-objects", &max_objects),
    ]
    .map(|(flag, value)| Some((flag.to_owned(), value.clone()?)));
    given.into_iter().flatten().collect()
}

/// Adds what becomes of records, under names that no flag has.
fn deliveries(delivers: &[String], flags: &mut BTreeMap<String, String>) -> Result<()> {
    for text in delivers.iter().filter(|text| !text.is_empty()) {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.with_context(|| format!("--delivers: `{text}` must be NAME=VALUE"))?;
        let known = flags.insert(format!("--delivers {name}"), value.to_owned());
        ensure!(known.is_none(), "--delivers: `{name}` is given twice");
    }
    Ok(())
}

/// The documents of a job. Credentials are always sent: a state directory is never public.
pub(crate) fn state_dir(uri: &str, job: &str, storage: Options) -> Result<StateDir> {
    let root: ObjectUri = uri.parse().context("--state")?;
    ensure!(!job.is_empty(), "--job: a name must not be empty");
    address("--s3-endpoint", storage.endpoint.as_deref())?;
    let signed = Options {
        anonymous: false,
        ..storage
    };
    Ok(StateDir::new(Storage::new(signed), &root, job))
}

/// That an endpoint, if there is one, is an address.
fn address(flag: &str, endpoint: Option<&str>) -> Result<()> {
    let Some(endpoint) = endpoint else { return Ok(()) };
    ensure!(
        !endpoint.contains('@'),
        "{flag}: an address must not hold credentials: they come from the environment"
    );
    let host = endpoint
        .strip_prefix("http://")
        .or_else(|| endpoint.strip_prefix("https://"));
    let has_host = host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', ':']));
    ensure!(
        has_host && !endpoint.contains(char::is_whitespace),
        "{flag}: `{endpoint}` must begin with http:// or https:// and a host, as http://localhost:9000 does"
    );
    Ok(())
}

pub(crate) fn destination(
    destination: args::Destination,
    url: Option<String>,
    endpoint: Option<String>,
    region: Option<&String>,
) -> Result<Destination> {
    address("--sqs-endpoint", endpoint.as_deref())?;
    match (destination, url) {
        (args::Destination::Stdout, Some(_)) => bail!("--sqs-queue-url: needs --destination sqs"),
        (args::Destination::Stdout, None) => {
            ensure!(endpoint.is_none(), "--sqs-endpoint: needs --destination sqs");
            Ok(Destination::Stdout)
        }
        (args::Destination::Sqs, None) => bail!("--sqs-queue-url: --destination sqs needs it"),
        (args::Destination::Sqs, Some(url)) => {
            let options = sqs::Options {
                endpoint,
                region: region.cloned(),
                ..sqs::Options::new(url)
            };
            options
                .check()
                .map_err(|problem| anyhow!("--sqs-queue-url: {problem}"))?;
            Ok(Destination::Queue(Box::new(options)))
        }
    }
}

fn root(uri: Option<String>, bucket: Option<String>, prefix: Option<String>) -> Result<ObjectUri> {
    match (uri, bucket) {
        (Some(uri), None) => {
            ensure!(
                prefix.is_none(),
                "--prefix: can't be used with --uri, whose end is the prefix"
            );
            uri.parse().context("--uri")
        }
        (Some(_), Some(_)) => bail!("--bucket: can't be used with --uri: give one of them"),
        (None, Some(bucket)) => {
            ensure!(
                !bucket.is_empty() && !bucket.contains(['/', ':']),
                "--bucket: `{bucket}` must be a bucket's name alone; an address is given with --uri"
            );
            let key = prefix.unwrap_or_default();
            Ok(ObjectUri::S3 { bucket, key })
        }
        (None, None) if prefix.is_some() => bail!("--prefix: needs --bucket"),
        (None, None) => bail!("--uri: either this or --bucket must be given"),
    }
}

/// A folder of this machine means what is in it, with or without its last slash, and not its neighbours whose names begin
/// alike. This is the one look at the file system before the listing.
fn folder_or_file(root: ObjectUri) -> ObjectUri {
    match root {
        ObjectUri::File { path } if !path.ends_with('/') && Path::new(&path).is_dir() => {
            ObjectUri::File { path: path + "/" }
        }
        root => root,
    }
}

fn partitioning(
    expression: Option<String>,
    filters: &[String],
    timezone: Option<String>,
) -> Result<Option<Partitioning>> {
    let Some(expression) = expression else {
        if let Some(filter) = filters.first() {
            bail!("--filter: `{filter}` needs --partitioning, which says where its name is in a key");
        }
        ensure!(
            timezone.is_none(),
            "--timezone: needs --partitioning with a `${{_time:…}}`"
        );
        return Ok(None);
    };
    let zone = match timezone {
        Some(name) => TimeZone::get(&name).with_context(|| format!("--timezone: `{name}` is not known"))?,
        None => TimeZone::UTC,
    };
    let filters = Filters::new(filters, zone)?;
    Partitioning::new(&expression, filters).map(Some)
}

fn naming(format: FormatArg, compression: CompressionArg) -> Result<Naming> {
    let format = match format {
        FormatArg::Auto => Format::Auto,
        FormatArg::Ndjson => Format::Ndjson,
        FormatArg::Parquet => Format::Parquet,
    };
    let compression = match compression {
        CompressionArg::Auto => Compression::Auto,
        CompressionArg::None => Compression::None,
        CompressionArg::Gzip => Compression::Gzip,
        CompressionArg::Zstd => Compression::Zstd,
    };
    ensure!(
        format != Format::Parquet || matches!(compression, Compression::Auto | Compression::None),
        "--compression: --format parquet takes none but none: Parquet compresses inside"
    );
    Ok(Naming { format, compression })
}

fn splitting(part: Option<String>, naming: Naming) -> Result<Option<Splitting>> {
    let Some(part) = part else { return Ok(None) };
    let part_bytes_max = bytes(&part).context("--split-bytes")?;
    ensure!(
        part_bytes_max >= PART_BYTES_MIN,
        "--split-bytes: {part} must be at least {} KiB",
        PART_BYTES_MIN / 1024
    );
    Ok(Some(Splitting { part_bytes_max, naming }))
}

/// The job's name where none was given.
fn job_of(root: &ObjectUri) -> String {
    let last = root.key().rsplit('/').find(|part| !part.is_empty());
    last.unwrap_or("local").to_owned()
}

type Bounds<T> = (Option<T>, Option<T>);

/// Reads a lower and an upper bound that must not contradict each other.
fn bounds<T: PartialOrd>(
    what: &str,
    low: Option<String>,
    high: Option<String>,
    read: impl Fn(&str) -> Result<T>,
) -> Result<Bounds<T>> {
    let (low_flag, high_flag) = match what {
        "size" => ("--min-size", "--max-size"),
        _ => ("--modified-after", "--modified-before"),
    };
    let low_value = low.as_deref().map(&read).transpose().context(low_flag)?;
    let high_value = high.as_deref().map(&read).transpose().context(high_flag)?;
    if let (Some(low_value), Some(high_value)) = (&low_value, &high_value) {
        ensure!(
            low_value <= high_value,
            "{low_flag}: {} lies above {high_flag} {}: nothing could match",
            low.unwrap_or_default(),
            high.unwrap_or_default()
        );
    }
    Ok((low_value, high_value))
}

/// Units of sizes in bytes, in lower case.
const UNITS: [(&str, u64); 12] = [
    ("", 1),
    ("b", 1),
    ("kb", 1000),
    ("mb", 1000 * 1000),
    ("gb", 1000 * 1000 * 1000),
    ("tb", 1000 * 1000 * 1000 * 1000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("pb", 1000 * 1000 * 1000 * 1000 * 1000),
    ("pib", 1 << 50),
];

/// Reads a size as people write it: `512`, `10MB`, `1.5 GiB`; units in any case.
pub(crate) fn bytes(text: &str) -> Result<u64> {
    let bad = || format!("`{text}` is no size: write bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB");
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).with_context(bad)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    ensure!(
        !whole.is_empty() && fraction.len() <= 9 && !number.ends_with('.'),
        bad()
    );
    let whole = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(*factor));
    let part = if fraction.is_empty() {
        0
    } else {
        // At most nine digits times 2^50 fits 128 bits with room to spare.
        let value = fraction.parse::<u64>().with_context(bad)?;
        (u128::from(value) * u128::from(*factor) / 10_u128.pow(fraction.len() as u32)) as u64
    };
    whole.and_then(|whole| whole.checked_add(part)).with_context(bad)
}

/// Reads a point in time: RFC 3339, a date for its midnight in UTC, or how long ago it was.
fn time(text: &str) -> Result<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let bad = || format!("`{text}` is no time: write 2024-01-31, 2024-01-31T05:00:00Z, or 2d for two days ago");
    if let Some(ago) = ago(text) {
        return Timestamp::now().checked_sub(ago).ok().with_context(bad);
    }
    ensure!(!text.contains(['T', 't', ' ', ':']), bad());
    let date: civil::Date = text.parse().ok().with_context(bad)?;
    let midnight = date.to_zoned(TimeZone::UTC).ok().with_context(bad)?;
    Ok(midnight.timestamp())
}

/// Reads how long ago something was: a whole number of minutes, hours, days of 24 hours, or weeks.
fn ago(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        "w" => 7 * 24 * 60,
        _ => return None,
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = is_number.then(|| number.parse().ok()).flatten()?;
    Some(SignedDuration::from_mins(i64::from(number) * minutes))
}

#[cfg(test)]
mod tests;
