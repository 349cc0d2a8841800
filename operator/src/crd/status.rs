//! `status`: what became of the job so far. Written by the operator alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What became of the job so far. Written by the operator alone.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestJobStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far the job has come, in one word. The conditions say more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Ready, Discovered, ScalingActive, Complete, Failed and Suspended; and Reconciling and Stalled, which are there only
    /// while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[schemars(transform = bound_conditions)]
    pub conditions: Vec<Condition>,
    /// When the job was started: nothing was offered before. From then on source, queue, sink and state cannot change, nor what
    /// shapes documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the job ended, well or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// When the last work item is expected to be settled, at the present rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion_at: Option<Time>,
    /// Counts of work items. While the job is at work, those done with are an approximation by what the queue tells, and
    /// rather too few than too many; at its end they are proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Items>,
    /// Counts of records, of the work items that are settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
    /// Work items that wait in the queue or are with a worker, as the queue tells: an approximation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<i64>,
    /// Bytes that the workers read from storage in a second, lately and about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<i64>,
    /// Worker pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<i32>,
    /// Why there are as many worker pods as there are, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub scaling: Option<String>,
    /// The queue that work items go through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStatus>,
    /// Which run of the job this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// The label selector of the worker pods, for the scale sub-resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing has been offered yet.
    Pending,
    /// Objects are being discovered, and worked on as they are found.
    Discovering,
    /// All objects are known, and are being worked on.
    Running,
    /// At rest, by `spec.suspend`.
    Suspended,
    /// Every work item is settled, and every record is where it was to go.
    Complete,
    /// Every work item is settled, and some items or records are not where they were to go: given up, rejected, dropped, or
    /// put elsewhere by the sink. Or nothing was found at all.
    CompleteWithFailures,
    /// The job ended before its work items were settled, or more records were rejected than it allows.
    Failed,
}

impl Phase {
    /// All phases, in the order in which a job can have them.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Discovering,
        Self::Running,
        Self::Suspended,
        Self::Complete,
        Self::CompleteWithFailures,
        Self::Failed,
    ];
}

/// The queue that work items go through.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// The queue's URL.
    #[schemars(length(max = 1024))]
    pub url: String,
    /// The URL of its dead-letter queue, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub dead_letter_queue_url: Option<String>,
    /// Whether the job made the queue, and so deletes it.
    #[serde(default)]
    pub owned: bool,
}

/// Which run of a job this is, and how far its proof has come.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The first run is 1.
    #[serde(default)]
    pub number: u32,
    /// When this run was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// The `restartNonce` that this run belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub nonce: Option<String>,
    /// The name that the books of this run are kept under in the state directory, as in `--job` of `pf-discoverer verify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub books: Option<String>,
    /// Whose books this run took over, by `spec.state.resume`; what these had settled was not done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub resumed_from: Option<String>,
    /// How often ledger and manifest were compared and items were missing, which then were offered again.
    #[serde(default)]
    pub incomplete_proofs: u32,
}

/// Counts of work items.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Items {
    /// Found so far.
    #[serde(default)]
    pub discovered: i64,
    /// Whether `discovered` is the final number.
    #[serde(default)]
    pub discovered_is_final: bool,
    /// Done with, given up ones included.
    #[serde(default)]
    pub settled: i64,
    /// Given up.
    #[serde(default)]
    pub dead_letters: i64,
    /// Bytes of those found so far, as stored.
    #[serde(default)]
    pub discovered_bytes: i64,
    /// Bytes of those done with, as stored.
    #[serde(default)]
    pub settled_bytes: i64,
}

/// Counts of records, of the work items that are settled.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Records {
    /// Read.
    #[serde(default)]
    pub read: i64,
    /// Written to the sink.
    #[serde(default)]
    pub written: i64,
    /// Left out by `where`.
    #[serde(default)]
    pub filtered: i64,
    /// Found in the sink already, because they were written before.
    #[serde(default)]
    pub duplicates: i64,
    /// Of those written, in the place of another document.
    #[serde(default)]
    pub updated: i64,
    /// Kept aside as dead letters.
    #[serde(default)]
    pub rejected: i64,
    /// Of those rejected, because another record has their id.
    #[serde(default)]
    pub conflicting: i64,
    /// Put into a failure store by the sink, because they did not fit.
    #[serde(default)]
    pub redirected: i64,
    /// Taken by the sink and not kept: an ingest pipeline dropped them.
    #[serde(default)]
    pub dropped: i64,
}

/// The bounds that Kubernetes' own types set on the texts of a condition (`metav1.Condition`), which the type here lacks.
fn bound_conditions(conditions: &mut Schema) {
    let mut bound = |field: &str, keyword: &str, value| {
        let field = conditions.pointer_mut(&format!("/items/properties/{field}"));
        let field = field.and_then(|field| field.as_object_mut());
        let field = field.expect("a condition has the fields that Kubernetes gives it");
        field.insert(keyword.to_owned(), value);
    };
    bound("type", "minLength", json!(1));
    bound("type", "maxLength", json!(316));
    bound("status", "enum", json!(["True", "False", "Unknown"]));
    bound("reason", "minLength", json!(1));
    bound("reason", "maxLength", json!(1024));
    bound("message", "maxLength", json!(32_768));
    bound("observedGeneration", "minimum", json!(0));
}
