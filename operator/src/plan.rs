//! What must be run for a job: an [`IngestJob`] and the settings of this run in, two command lines out. Pure, and the same
//! for a job that runs on one machine and one that runs in a cluster.
//!
//! Every struct of the job is taken apart without `..`, so that a new field can't be forgotten: it is translated, refused
//! with a message, or listed as unused.

mod delivers;
mod delivery;
pub mod origin;

use std::path::Path;

use crate::{
    crd::{Binary, Compression, Discoverer, Format, IngestJob, IngestJobSpec, Prefetch, S3, Sink, Source, Workers},
    validate::{Complaint, FieldPath},
};

/// What this run adds to the job.
#[derive(Debug, Clone, Default)]
pub struct Settings<'a> {
    /// The address of `source.files.path` on this machine, as in `file:///data/logs/`.
    pub files_uri: Option<String>,
    /// Lanes, instead of the job's own `workers.threads`.
    pub threads: Option<u16>,
    /// The file for rejected records.
    pub dead_letters: Option<&'a Path>,
    /// The folder in which each Secret is a folder of files, as Kubernetes mounts them.
    pub secrets: Option<&'a Path>,
    /// The name in the Secret of `sink.elasticsearch.auth.basic`. In a cluster the pod's environment has it.
    pub username: Option<String>,
    /// What a cluster adds; absent: the job runs on this machine.
    pub cluster: Option<Cluster<'a>>,
}

/// What a cluster adds to a job.
#[derive(Debug, Clone, Copy)]
pub struct Cluster<'a> {
    /// The name that the run's books are kept under.
    pub books: &'a str,
    /// Whose books they are: the job and its uid.
    pub owner: &'a str,
    /// Which run of the job it is, from 1.
    pub run: u32,
    /// The queue, which is there.
    pub queue_url: &'a str,
    /// Its dead-letter queue, where the redrive policy is not to be asked for it.
    pub dead_letter_queue_url: Option<&'a str>,
}

/// The arguments of the two programs, without their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Whether there is a queue between the two: then one runs after the other. Else the standard output of the first is the
    /// standard input of the second.
    pub has_queue: bool,
    /// Of pf-discoverer.
    pub discoverer: Vec<String>,
    /// Of pf-worker.
    pub worker: Vec<String>,
    /// Fields that are set but only mean something in a cluster.
    pub unused: Vec<&'static str>,
}

impl Plan {
    /// The flags of `verify`: where the books are, how many rejected records they may tell of, and whether they may be empty.
    pub fn verify_arguments(&self) -> impl Iterator<Item = &String> {
        let budget = |argument: &&String| argument.starts_with("--max-rejected=");
        let empty = |argument: &&String| *argument == "--allow-empty";
        let may = self.worker.iter().filter(budget);
        self.books_arguments()
            .chain(may)
            .chain(self.discoverer.iter().filter(empty))
    }

    /// The flags that it takes to find the same job's state and its dead-letter queue.
    pub fn books_arguments(&self) -> impl Iterator<Item = &String> {
        let mut shared = vec!["--job=", "--state=", "--s3-endpoint=", "--region=", "--request-payer"];
        // What the redrive policy moved is found in the dead-letter queue alone.
        let dead_letters = "--sqs-dead-letter-queue-url=";
        let dead_letters = self.worker.iter().find(|argument| argument.starts_with(dead_letters));
        if dead_letters.is_some() {
            shared.push("--sqs-endpoint=");
        }
        let is_shared = move |argument: &&String| shared.iter().any(|flag| argument.starts_with(flag));
        self.discoverer.iter().filter(is_shared).chain(dead_letters)
    }
}

/// Plans a job for this machine. The complaints name every field that can't be honoured here.
pub fn plan(job: &IngestJob, settings: &Settings<'_>) -> Result<Plan, Vec<Complaint>> {
    let IngestJobSpec {
        source,
        queue,
        columns,
        where_,
        transform,
        enrichment,
        sink,
        state,
        workers,
        discoverer,
        service_account,
        network_policy,
        error_budget,
        suspend,
        ttl_seconds_after_finished,
        restart_nonce,
    } = &job.spec;
    let mut refused = Vec::new();
    let unsupported = if settings.cluster.is_some() {
        "is not supported yet"
    } else {
        "is not supported by `pf-operator local`"
    };
    let mut refuse = |given: bool, field: &str, instead: &str| {
        if given {
            let message = format!("{unsupported}: {instead}");
            refused.push(Complaint::new(FieldPath::parse(field), message));
        }
    };
    refuse(transform.is_some(), "spec.transform", "`columns` and `where` are");
    refuse(!enrichment.is_empty(), "spec.enrichment", "`columns` and `where` are");
    refuse(
        *suspend == Some(true) && settings.cluster.is_none(),
        "spec.suspend",
        "leave it out, or interrupt the run",
    );
    let mut plan = Plan::default();
    discoverer_arguments(job, source, settings, &mut plan.discoverer);
    if state.is_some() {
        // The books are bound to it.
        for (field, value) in delivers::delivers(&job.spec, delivery::run(settings)) {
            flag(&mut plan.discoverer, "delivers", Some(format!("{field}={value}")));
        }
    }
    if ttl_seconds_after_finished.is_some() {
        plan.unused.push("spec.ttlSecondsAfterFinished");
    }
    for (given, field) in [
        (service_account.is_some(), "spec.serviceAccount"),
        (network_policy.is_some(), "spec.networkPolicy"),
        (restart_nonce.is_some(), "spec.restartNonce"),
    ] {
        if given {
            plan.unused.push(field);
        }
    }
    if let Some(Discoverer { pod_template }) = discoverer
        && pod_template.is_some()
    {
        plan.unused.push("spec.discoverer.podTemplate");
    }
    if settings.cluster.is_some() {
        only_here(source, sink, &mut refused);
    }
    delivery::queue(queue.as_ref(), settings, &mut plan, &mut refused);
    delivery::state(state.as_ref(), source, settings, &mut plan, &mut refused);
    delivery::sink(sink, settings, &mut plan.worker, &mut refused);
    delivery::error_budget(error_budget.as_ref(), &mut plan.worker);
    flag(
        &mut plan.worker,
        "columns",
        (!columns.is_empty()).then(|| columns.join(",")),
    );
    flag(&mut plan.worker, "filter", where_.as_ref());
    document_arguments(source, settings, plan.has_queue, &mut plan.worker);
    worker_arguments(workers.as_ref(), settings, &mut plan);
    if let Some(s3) = &source.s3 {
        s3_arguments(s3, &mut plan.worker);
    }
    if state.is_some() && settings.dead_letters.is_some() {
        let message = "keeps rejected records itself: leave out --dead-letters, or the state".to_owned();
        refused.push(Complaint::new(FieldPath::parse("spec.state"), message));
    }
    flag(
        &mut plan.worker,
        "dead-letters",
        settings.dead_letters.map(|path| path.display().to_string()),
    );
    if refused.is_empty() { Ok(plan) } else { Err(refused) }
}

/// Refuses what only means something on one machine.
fn only_here(source: &Source, sink: &Sink, refused: &mut Vec<Complaint>) {
    for (given, field, instead) in [
        (
            source.files.is_some(),
            "spec.source.files",
            "in a cluster, objects come from `s3`",
        ),
        (
            sink.stdout.is_some(),
            "spec.sink.stdout",
            "in a cluster, records go to `elasticsearch`, or are counted by `stats`",
        ),
    ] {
        if given {
            let message = format!("is for `pf-operator local`: {instead}");
            refused.push(Complaint::new(FieldPath::parse(field), message));
        }
    }
}

fn discoverer_arguments(job: &IngestJob, source: &Source, settings: &Settings<'_>, into: &mut Vec<String>) {
    let Source {
        s3,
        files: _,
        partitioning,
        filters,
        timezone,
        pattern,
        min_size,
        max_size,
        modified_after,
        modified_before,
        format,
        compression,
        split_bytes,
        max_objects,
        include_hidden,
        include_archived,
        allow_empty,
        partition_fields: _,
        binary: _,
    } = source;
    if let Some(Cluster {
        books,
        owner,
        run,
        queue_url: _,
        dead_letter_queue_url: _,
    }) = settings.cluster
    {
        flag(into, "job", Some(books));
        flag(into, "owner", Some(owner));
        flag(into, "run", Some(run));
    } else {
        flag(into, "job", job.metadata.name.as_deref());
    }
    flag(into, "uri", source_uri(source, settings));
    if let Some(s3) = s3 {
        s3_arguments(s3, into);
    }
    flag(into, "partitioning", partitioning.as_ref());
    for filter in filters {
        flag(into, "filter", Some(filter));
    }
    flag(into, "timezone", timezone.as_ref());
    flag(into, "pattern", pattern.as_ref());
    flag(into, "min-size", min_size.as_ref());
    flag(into, "max-size", max_size.as_ref());
    flag(into, "modified-after", modified_after.as_ref());
    flag(into, "modified-before", modified_before.as_ref());
    flag(into, "format", format.and_then(format_name));
    flag(into, "compression", compression.and_then(compression_name));
    flag(into, "split-bytes", split_bytes.as_ref());
    flag(into, "max-objects", max_objects.as_ref());
    switch(into, "include-hidden", *include_hidden);
    switch(into, "include-archived", *include_archived);
    switch(into, "allow-empty", *allow_empty);
}

/// Where the objects are.
fn source_uri(source: &Source, settings: &Settings<'_>) -> Option<String> {
    let of_s3 = source.s3.as_ref().map(|S3 { bucket, prefix, .. }| {
        let prefix = prefix.as_deref().unwrap_or_default();
        format!("s3://{bucket}/{prefix}")
    });
    of_s3.or_else(|| settings.files_uri.clone())
}

/// What workers are told of the source.
fn document_arguments(source: &Source, settings: &Settings<'_>, has_queue: bool, into: &mut Vec<String>) {
    if has_queue {
        // Whoever can send to the queue could name any object.
        flag(into, "source", source_uri(source, settings));
    }
    switch(into, "partition-fields", source.partition_fields);
    let binary = source.binary.and_then(|binary| match binary {
        Binary::Text => None,
        Binary::Base64 => Some("base64"),
        Binary::Hex => Some("hex"),
    });
    flag(into, "binary", binary);
}

/// `auto` is what the discoverer does unasked.
fn format_name(format: Format) -> Option<&'static str> {
    match format {
        Format::Auto => None,
        Format::Ndjson => Some("ndjson"),
        Format::Parquet => Some("parquet"),
    }
}

fn compression_name(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::Auto => None,
        Compression::None => Some("none"),
        Compression::Gzip => Some("gzip"),
        Compression::Zstd => Some("zstd"),
    }
}

fn worker_arguments(workers: Option<&Workers>, settings: &Settings<'_>, plan: &mut Plan) {
    let nothing = Workers::default();
    let Workers {
        threads,
        batch_size,
        prefetch,
        max_record_bytes,
        drain_timeout_seconds,
        min,
        max,
        replicas,
        scaling,
        resources,
        pod_template,
    } = workers.unwrap_or(&nothing);
    let threads = settings.threads.map(u32::from).or(*threads);
    flag(&mut plan.worker, "threads", threads.as_ref());
    flag(&mut plan.worker, "batch-size", batch_size.as_ref());
    if let Some(Prefetch { count, memory_mb }) = prefetch {
        flag(&mut plan.worker, "prefetch-count", count.as_ref());
        flag(&mut plan.worker, "prefetch-memory-mb", memory_mb.as_ref());
    }
    flag(&mut plan.worker, "max-record-bytes", max_record_bytes.as_ref());
    let drain_timeout = drain_timeout_seconds.map(|seconds| format!("{seconds}s"));
    flag(&mut plan.worker, "drain-timeout", drain_timeout);
    let mut unused = |given: bool, field| {
        if given {
            plan.unused.push(field);
        }
    };
    unused(min.is_some(), "spec.workers.min");
    unused(max.is_some(), "spec.workers.max");
    unused(replicas.is_some(), "spec.workers.replicas");
    unused(scaling.is_some(), "spec.workers.scaling");
    unused(resources.is_some(), "spec.workers.resources");
    unused(pod_template.is_some(), "spec.workers.podTemplate");
}

fn s3_arguments(s3: &S3, into: &mut Vec<String>) {
    let S3 {
        bucket: _,
        prefix: _,
        region,
        endpoint,
        anonymous,
        requester_pays,
    } = s3;
    flag(into, "region", region.as_ref());
    flag(into, "s3-endpoint", endpoint.as_ref());
    switch(into, "anonymous", *anonymous);
    switch(into, "request-payer", *requester_pays);
}

/// A flag without a value, where it is asked for.
fn switch(into: &mut Vec<String>, name: &str, wanted: Option<bool>) {
    if wanted == Some(true) {
        into.push(format!("--{name}"));
    }
}

/// One argument, so that a value that begins with a dash stays a value.
fn flag(into: &mut Vec<String>, name: &str, value: Option<impl ToString>) {
    if let Some(value) = value {
        into.push(format!("--{name}={}", value.to_string()));
    }
}

/// A command line that a POSIX shell reads back as these words.
pub fn shell_quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    let quoted = words.into_iter().map(|word| {
        if !word.is_empty() && word.bytes().all(plain) {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
