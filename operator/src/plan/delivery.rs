//! The flags of delivery: queue, state directory, sink and error budget. Pure.

use std::path::Path;

use super::{Cluster, Plan, Settings, flag, switch};
use crate::{
    crd::{
        DocumentId, DocumentIdMode, Elasticsearch, ElasticsearchAuth, ErrorBudget, OnConflict, Operation, Queue,
        SecretKey, SecretName, Sink, SinkCompression, Source, Sqs, State,
    },
    validate::{Complaint, FieldPath},
};

/// How long a worker waits at an empty queue before it takes the job to be done. What nobody settled by then, `verify` tells.
const IDLE: &str = "20s";

/// A queue between the programs. In a cluster there always is one: the job's own, if it names none.
pub(super) fn queue(queue: Option<&Queue>, settings: &Settings<'_>, plan: &mut Plan, refused: &mut Vec<Complaint>) {
    let own = Sqs::default();
    let Sqs {
        url,
        dead_letter_queue_url,
        region,
        endpoint,
        visibility_timeout_seconds,
        max_receives,
        credentials,
    } = match (queue, settings.cluster) {
        (Some(Queue { sqs }), _) => sqs,
        (None, Some(_)) => &own,
        (None, None) => return,
    };
    plan.has_queue = true;
    flag(&mut plan.discoverer, "destination", Some("sqs"));
    flag(&mut plan.worker, "input", Some("sqs"));
    let (url, dead_letter_queue_url) = if let Some(cluster) = settings.cluster {
        let Cluster {
            books: _,
            owner: _,
            run: _,
            queue_url,
            dead_letter_queue_url,
        } = cluster;
        (Some(queue_url), dead_letter_queue_url)
    } else {
        here(url.as_deref(), region.as_deref(), refused);
        // In a cluster they are in the environment of pods.
        if credentials.is_some() {
            refuse(
                refused,
                "spec.queue.sqs.credentials",
                "is not supported by `pf-operator local`: leave it out, the programs sign as your environment says",
            );
        }
        flag(&mut plan.worker, "exit-when-idle", Some(IDLE));
        if max_receives.is_some() {
            plan.unused.push("spec.queue.sqs.maxReceives");
        }
        (url.as_deref(), dead_letter_queue_url.as_deref())
    };
    for arguments in [&mut plan.discoverer, &mut plan.worker] {
        flag(arguments, "sqs-queue-url", url);
        flag(arguments, "sqs-endpoint", endpoint.as_ref());
    }
    let visibility = visibility_timeout_seconds.map(|seconds| format!("{seconds}s"));
    flag(&mut plan.worker, "sqs-visibility-timeout", visibility);
    flag(&mut plan.worker, "sqs-dead-letter-queue-url", dead_letter_queue_url);
}

/// Refuses what a queue can only be in a cluster.
fn here(url: Option<&str>, region: Option<&str>, refused: &mut Vec<Complaint>) {
    if url.is_none() {
        refuse(
            refused,
            "spec.queue.sqs.url",
            "is needed by `pf-operator local`: only in a cluster a job makes a queue of its own",
        );
    }
    if region.is_some() {
        refuse(
            refused,
            "spec.queue.sqs.region",
            "is not supported by `pf-operator local`: leave it out, the queue's address names its region",
        );
    }
}

/// A state directory. Both programs know one S3 server, for objects and for state.
pub(super) fn state(
    state: Option<&State>,
    source: &Source,
    settings: &Settings<'_>,
    plan: &mut Plan,
    refused: &mut Vec<Complaint>,
) {
    let Some(State {
        uri,
        region,
        endpoint,
        resume,
    }) = state
    else {
        if settings.cluster.is_some() {
            refuse(
                refused,
                "spec.state",
                "is needed in a cluster: nothing but its books proves that a job is done",
            );
        }
        return;
    };
    let of_source = source.s3.as_ref();
    for (field, here, there) in [
        ("region", region, of_source.and_then(|s3| s3.region.as_ref())),
        ("endpoint", endpoint, of_source.and_then(|s3| s3.endpoint.as_ref())),
    ] {
        if here.is_some() && here.as_ref() != there {
            refuse(
                refused,
                &format!("spec.state.{field}"),
                &format!("is not supported unless spec.source.s3.{field} is the same"),
            );
        }
    }
    for arguments in [&mut plan.discoverer, &mut plan.worker] {
        flag(arguments, "state", Some(uri));
    }
    switch(&mut plan.discoverer, "resume", *resume);
}

/// Where records go.
pub(super) fn sink(sink: &Sink, settings: &Settings<'_>, into: &mut Vec<String>, refused: &mut Vec<Complaint>) {
    let Sink {
        elasticsearch,
        stats,
        stdout,
    } = sink;
    let destination = match (elasticsearch, stats, stdout) {
        (Some(_), _, _) => "elasticsearch",
        (None, Some(_), _) => "stats",
        // The schema sees to it that there is one of the three.
        (None, None, _) => "stdout",
    };
    flag(into, "destination", Some(destination));
    if let Some(cluster) = elasticsearch {
        documents(cluster, settings, into, refused);
    }
}

fn documents(cluster: &Elasticsearch, settings: &Settings<'_>, into: &mut Vec<String>, refused: &mut Vec<Complaint>) {
    let Elasticsearch {
        urls,
        index,
        data_stream,
        id,
        operation: _,
        on_conflict,
        auth,
        ca,
        pipeline,
        compression,
    } = cluster;
    flag(into, "es-url", Some(urls.join(",")));
    flag(into, "es-index", index.as_ref());
    flag(into, "es-data-stream", data_stream.as_ref());
    flag(into, "es-id", id.as_ref().and_then(identity));
    flag(into, "es-operation", operation(cluster, run(settings)));
    flag(into, "es-on-conflict", on_conflict.map(on_conflict_name));
    flag(into, "es-pipeline", pipeline.as_ref());
    let compression = compression.map(|compression| match compression {
        SinkCompression::Gzip => "gzip",
        SinkCompression::None => "none",
    });
    flag(into, "es-compression", compression);
    let ElasticsearchAuth { api_key, basic } = auth.clone().unwrap_or_default();
    let mut file = |field: &str, name: &str, key: &str| {
        if settings.secrets.is_none() {
            let message = format!(
                "names a Secret of a cluster: give `--secrets DIR`, in which {name}/{key} is a file with what is in the Secret"
            );
            refuse(refused, field, &message);
        }
        let folder = settings.secrets.unwrap_or(Path::new(""));
        folder.join(name).join(key).display().to_string()
    };
    if let Some(SecretKey { name, key }) = &api_key {
        let path = file("spec.sink.elasticsearch.auth.apiKey", name, key);
        flag(into, "es-api-key-file", Some(path));
    }
    if let Some(SecretName { name }) = &basic {
        flag(into, "es-username", settings.username.as_ref());
        let path = file("spec.sink.elasticsearch.auth.basic", name, "password");
        flag(into, "es-password-file", Some(path));
    }
    if let Some(SecretKey { name, key }) = ca {
        let path = file("spec.sink.elasticsearch.ca", name, key);
        flag(into, "es-ca-file", Some(path));
    }
}

/// Which run it is; on this machine each is the first.
pub(super) fn run(settings: &Settings<'_>) -> u32 {
    settings.cluster.map_or(1, |cluster| cluster.run)
}

/// What happens to a document whose id is there already; absent: `create`, which is what the worker does unasked. Runs after
/// the first find their own documents in the sink, and would change nothing. A data stream takes nothing else.
pub(super) fn operation(cluster: &Elasticsearch, run: u32) -> Option<&'static str> {
    let is_auto = cluster
        .id
        .as_ref()
        .is_some_and(|id| id.mode == Some(DocumentIdMode::Auto));
    let stays = matches!(cluster.on_conflict, Some(OnConflict::DeadLetter | OnConflict::Keep));
    match cluster.operation {
        Some(Operation::Index) => Some("index"),
        None if run > 1 && cluster.index.is_some() && !is_auto && !stays => Some("index"),
        None | Some(Operation::Create) => None,
    }
}

pub(super) fn on_conflict_name(on_conflict: OnConflict) -> &'static str {
    match on_conflict {
        OnConflict::DeadLetter => "dead-letter",
        OnConflict::Keep => "keep",
        OnConflict::Replace => "replace",
    }
}

/// `deterministic` is what the worker does unasked.
pub(super) fn identity(id: &DocumentId) -> Option<String> {
    let DocumentId { mode, field } = id;
    match mode {
        None | Some(DocumentIdMode::Deterministic) => None,
        Some(DocumentIdMode::Auto) => Some("auto".to_owned()),
        Some(DocumentIdMode::Field) => Some(format!("field:{}", field.as_deref().unwrap_or_default())),
    }
}

/// How many records may be rejected.
pub(super) fn error_budget(budget: Option<&ErrorBudget>, into: &mut Vec<String>) {
    let Some(ErrorBudget {
        rejected_records,
        rejected_percent,
    }) = budget
    else {
        return;
    };
    let records = rejected_records.map(|records| records.to_string());
    let percent = rejected_percent.map(|percent| format!("{percent}%"));
    let limits: Vec<String> = [records, percent].into_iter().flatten().collect();
    flag(into, "max-rejected", Some(limits.join(",")));
}

fn refuse(refused: &mut Vec<Complaint>, field: &str, message: &str) {
    refused.push(Complaint::new(FieldPath::parse(field), message.to_owned()));
}
