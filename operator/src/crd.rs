//! The IngestJob: the type that people write, and the custom resource definition that is generated from it.
//!
//! The documentation comments of these types are what `kubectl explain` shows, so they speak to the person who writes
//! a job. What the API server can check is said in the schema and in CEL rules, and `pf-operator` evaluates the same
//! schema and rules on the client. Nothing here acts: a job is only described.
//!
//! Integers are unsigned where a negative number makes no sense. Defaults are in the schema only where the schema is
//! what fills them in: a field that nobody wrote stays absent in memory, so that `local` can tell what was asked for.

#![allow(
    unreachable_pub,
    reason = "KubeSchema makes a copy of each type inside of a function"
)]

mod definition;
mod discoverer;
mod pods;
mod queue;
mod sink;
mod source;
mod status;
mod transform;
mod wording;
mod workers;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use definition::{definition, schema, yaml};
pub use discoverer::Discoverer;
pub use pods::{NetworkPolicy, ServiceAccount};
pub use queue::{Queue, QueueCredentials, Sqs};
pub use sink::{
    Compression as SinkCompression, DocumentId, DocumentIdMode, Elasticsearch, ElasticsearchAuth, OnConflict,
    Operation, SecretKey, SecretName, Sink, Stats, Stdout,
};
pub use source::{Binary, Compression, Files, Format, S3, Source};
pub use status::{IngestJobStatus, Items, Phase, QueueStatus, Records, Run};
pub use transform::{ConfigMapKey, Enrichment, EnrichmentType, OnError, S3Object, Transform};
pub use workers::{Prefetch, Resources, Scaling, ScalingMode, Workers};

use self::wording::{REGION, SERVER, each_must_be, must_be};

/// The group of the type.
pub const GROUP: &str = "paraflow.dev";
/// The version of the type.
pub const VERSION: &str = "v1alpha1";
/// The kind of the type.
pub const KIND: &str = "IngestJob";

/// What to ingest, from where, and where to. A job is finite: its objects are discovered once, and each of them is read
/// once. To ingest anew, make a new job.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "paraflow.dev",
    version = "v1alpha1",
    kind = "IngestJob",
    plural = "ingestjobs",
    singular = "ingestjob",
    shortname = "ij",
    category = "paraflow",
    namespaced,
    status = "IngestJobStatus",
    derive = "PartialEq",
    doc = "An IngestJob reads every object that its source selects, and writes the records of them to its sink, with nothing lost.",
    scale(
        spec_replicas_path = ".spec.workers.replicas",
        status_replicas_path = ".status.workers",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Phase",
        type_ = "string",
        json_path = ".status.phase",
        description = "How far the job has come"
    ),
    printcolumn(
        name = "Discovered",
        type_ = "integer",
        json_path = ".status.items.discovered",
        description = "Work items found so far"
    ),
    printcolumn(
        name = "Done",
        type_ = "integer",
        json_path = ".status.items.settled",
        description = "Work items that are done with"
    ),
    printcolumn(
        name = "Backlog",
        type_ = "integer",
        json_path = ".status.backlog",
        description = "Work items that wait or are with a worker"
    ),
    printcolumn(
        name = "Workers",
        type_ = "integer",
        json_path = ".status.workers",
        description = "Worker pods"
    ),
    printcolumn(
        name = "ETA",
        type_ = "date",
        json_path = ".status.estimatedCompletionAt",
        description = "When the last item is expected to be settled"
    ),
    printcolumn(
        name = "DLQ",
        type_ = "integer",
        json_path = ".status.items.deadLetters",
        description = "Work items that were given up",
        priority = 1
    ),
    printcolumn(
        name = "Bytes/s",
        type_ = "integer",
        json_path = ".status.bytesPerSecond",
        description = "Bytes that the workers read from storage in a second",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 50")
        .message("metadata.name must have 50 characters or fewer, because the names of the job's pods begin with it"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.startedAt) || self.spec.source == oldSelf.spec.source"
    )
    .message("spec.source cannot change once the job has started: make a new job"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.startedAt) || self.spec.sink == oldSelf.spec.sink"
    )
    .message("spec.sink cannot change once the job has started: make a new job"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.startedAt) || (has(self.spec.queue) == has(oldSelf.spec.queue) && (!has(self.spec.queue) || self.spec.queue == oldSelf.spec.queue))"
    )
    .message("spec.queue cannot change once the job has started: make a new job"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.startedAt) || (has(oldSelf.status.completedAt) && (has(self.spec.restartNonce) != has(oldSelf.spec.restartNonce) || (has(self.spec.restartNonce) && self.spec.restartNonce != oldSelf.spec.restartNonce))) || (has(self.spec.columns) == has(oldSelf.spec.columns) && (!has(self.spec.columns) || self.spec.columns == oldSelf.spec.columns))"
    )
    .message("spec.columns cannot change once the job has started: make a new job, or change it together with spec.restartNonce when the job is over"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.startedAt) || (has(oldSelf.status.completedAt) && (has(self.spec.restartNonce) != has(oldSelf.spec.restartNonce) || (has(self.spec.restartNonce) && self.spec.restartNonce != oldSelf.spec.restartNonce))) || (has(self.spec.where) == has(oldSelf.spec.where) && (!has(self.spec.where) || self.spec.where == oldSelf.spec.where))"
    )
    .message("spec.where cannot change once the job has started: make a new job, or change it together with spec.restartNonce when the job is over"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.startedAt) || (has(oldSelf.status.completedAt) && (has(self.spec.restartNonce) != has(oldSelf.spec.restartNonce) || (has(self.spec.restartNonce) && self.spec.restartNonce != oldSelf.spec.restartNonce))) || (has(self.spec.transform) == has(oldSelf.spec.transform) && (!has(self.spec.transform) || self.spec.transform == oldSelf.spec.transform))"
    )
    .message("spec.transform cannot change once the job has started: make a new job, or change it together with spec.restartNonce when the job is over"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.startedAt) || (has(oldSelf.status.completedAt) && (has(self.spec.restartNonce) != has(oldSelf.spec.restartNonce) || (has(self.spec.restartNonce) && self.spec.restartNonce != oldSelf.spec.restartNonce))) || (has(self.spec.enrichment) == has(oldSelf.spec.enrichment) && (!has(self.spec.enrichment) || self.spec.enrichment == oldSelf.spec.enrichment))"
    )
    .message("spec.enrichment cannot change once the job has started: make a new job, or change it together with spec.restartNonce when the job is over"),
    // Where others' books are found, nothing has begun yet; and whose books are taken over may be said at any time.
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.startedAt) || (has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c, c.type == 'Stalled' && c.reason == 'StateInUse')) || (has(self.spec.state) == has(oldSelf.spec.state) && (!has(self.spec.state) || (self.spec.state.uri == oldSelf.spec.state.uri && has(self.spec.state.region) == has(oldSelf.spec.state.region) && (!has(self.spec.state.region) || self.spec.state.region == oldSelf.spec.state.region) && has(self.spec.state.endpoint) == has(oldSelf.spec.state.endpoint) && (!has(self.spec.state.endpoint) || self.spec.state.endpoint == oldSelf.spec.state.endpoint))))"
    )
    .message("spec.state cannot change once the job has started, but for resume: make a new job"),
)]
#[serde(rename_all = "camelCase")]
pub struct IngestJobSpec {
    /// Which objects are read. Cannot change once the job has started.
    pub source: Source,

    /// How work items travel from the discoverer to the workers. Cannot change once the job has started. Absent: in a
    /// cluster the job makes a queue of its own, and `pf-operator local` joins the two by a pipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,

    /// The fields that are kept of each record: keys of the record, or keys joined by dots for what lies deeper. All
    /// other fields are left out, and of a Parquet object only the bytes of these columns are fetched. Absent: every
    /// field, and an NDJSON record that nothing else touches leaves byte for byte as it came. Cannot change once the job has
    /// started, but for another run: together with `restartNonce`, when the job is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 500), inner(length(min = 1, max = 512), pattern(r"^[^,]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[schemars(transform = each_must_be(
        "a field without a comma in its name",
        "request.method",
        "A key of the record, or keys joined by dots."
    ))]
    pub columns: Vec<String>,

    /// Which records are kept: comparisons joined by `and`, as in `status >= 500 and request.method = "GET"`. The
    /// operators are `=` `!=` `<` `<=` `>` `>=`. A missing field matches nothing but `= null`. Cannot change once the job
    /// has started, but for another run, as `columns`.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub where_: Option<String>,

    /// A script that changes records on their way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<Transform>,

    /// Lookup tables that the transform's script can ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub enrichment: Vec<Enrichment>,

    /// Where records go. Cannot change once the job has started.
    pub sink: Sink,

    /// Where the job keeps its books: manifest, ledger, checkpoints and record dead letters. Needed in a cluster. Cannot
    /// change once the job has started, but for `resume`, and while the job is Stalled with the reason StateInUse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,

    /// How the workers run, and how many of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<Workers>,

    /// How the discoverer runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discoverer: Option<Discoverer>,

    /// Who the job's pods are: the account by which a cloud gives them their rights. Absent: the job has a ServiceAccount
    /// of its own, of its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccount>,

    /// Keeps the job's pods from speaking to anybody but the servers that the job names, and others from speaking to them
    /// but to read metrics; needs a network that enforces policies. Write `{}` for it. Absent: there is no policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,

    /// How many records may be rejected before the job stops taking work; at its end, all of its records are counted
    /// together, and more fail it. Absent: any number, and each of them is kept as a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_budget: Option<ErrorBudget>,

    /// Whether the job rests: no worker runs, nothing is discovered, and nothing that was done is lost. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub suspend: Option<bool>,

    /// How long the pods and the queue of a finished job are kept, in seconds. The IngestJob itself is never deleted.
    /// Absent: until the IngestJob is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<u32>,

    /// Runs a finished job once more, from its discovery on, whenever this text changes: what it is does not matter, a
    /// date for example. The new run has books of its own beside those of the earlier ones. While a job runs, the change
    /// waits for its end. Documents of earlier runs are replaced, see `sink.elasticsearch.operation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub restart_nonce: Option<String>,
}

/// Where a job keeps its books.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The state directory: `s3://bucket/prefix` or `file:///path`. Jobs may share it: in it, each has books of its own under
    /// its namespace and name.
    #[schemars(
        length(max = 1100),
        pattern(r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?|file:///.+)$")
    )]
    #[schemars(transform = must_be("an address, s3://bucket/prefix or file:///path", "s3://my-bucket/paraflow/my-job"))]
    pub uri: String,
    /// The region of the bucket. Absent: from the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern(r"^[a-z0-9-]+$"), transform = must_be(REGION, "eu-central-1"))]
    pub region: Option<String>,
    /// The address of an S3-compatible server. Absent: AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), pattern(r"^https?://[^/\s]+/?$"), transform = must_be(SERVER, "http://minio:9000"))]
    pub endpoint: Option<String>,
    /// Whether books that another job began in this place, under the same namespace and name, are gone on with: what they
    /// have as settled is not read again. For a job that was deleted and applied again, and for a cluster that was rebuilt.
    /// Source, filters and sink must be the same. Default: false, and the job is Stalled with the reason StateInUse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub resume: Option<bool>,
}

/// How many records may be rejected before the job stops taking work and says so.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.rejectedRecords) || has(self.rejectedPercent)")
    .message("give rejectedRecords, rejectedPercent, or both"))]
pub struct ErrorBudget {
    /// At most this many rejected records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000_000_000_u64))]
    pub rejected_records: Option<u64>,
    /// At most this share of all records read, in percent; looked at from the ten thousandth record on, and at the job's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub rejected_percent: Option<u32>,
}
