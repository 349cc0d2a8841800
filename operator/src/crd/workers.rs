//! `spec.workers`: how the workers run, and how many of them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::Time};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::wording::must_be;

/// How the workers run, and how many of them.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max")
    .message("min must not be above max"))]
#[x_kube(validation = Rule::new("!has(self.scaling) || !has(self.scaling.mode) || self.scaling.mode != 'Fixed' || has(self.replicas)")
    .message("scaling.mode Fixed needs replicas"))]
#[x_kube(validation = Rule::new("!has(self.scaling) || !has(self.scaling.mode) || self.scaling.mode != 'Managed' || !has(self.replicas)")
    .message("replicas goes with scaling.mode Fixed or External: with Managed, the operator says how many workers there are"))]
pub struct Workers {
    /// Lanes of one worker: each reads one object at a time. Absent: twice the CPUs that the worker may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<u32>,
    /// How many records are worked on together. Absent: 50000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub batch_size: Option<u32>,
    /// What is fetched ahead of the lanes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<Prefetch>,
    /// The longest record that is read, in bytes; a longer one becomes a dead letter. Absent: 16777216 (16 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub max_record_bytes: Option<u32>,
    /// How long a worker that is asked to stop may take to finish or to give back what it has, in seconds. A pod is given
    /// some seconds more before it is killed. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_600), extend("default" = 30))]
    pub drain_timeout_seconds: Option<u32>,
    /// CPU and memory of one worker pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The fewest worker pods while there is work. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10_000), extend("default" = 0))]
    pub min: Option<u32>,
    /// The most worker pods. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000), extend("default" = 10))]
    pub max: Option<u32>,
    /// The number of worker pods, which `kubectl scale` and autoscalers set: while it is given, neither the backlog nor `min`
    /// and `max` are looked at, and no worker is taken away before the job is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10_000))]
    pub replicas: Option<u32>,
    /// How the number of worker pods follows the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// Merged into the worker pods' template, by the rules of a strategic merge patch: labels, annotations, node
    /// selectors, tolerations, volumes, the service account. Any field of a pod template may stand here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pod_template")]
    pub pod_template: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What is fetched ahead of the lanes. Both are caps: only as much is fetched as keeps the lanes busy.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prefetch {
    /// At most this many objects for each thread. Absent: 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub count: Option<u32>,
    /// At most this much memory for each thread, in MiB. Absent: 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub memory_mb: Option<u32>,
}

/// How the number of worker pods follows the work.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.completeBy) || !has(self.targetDuration)")
    .message("give completeBy or targetDuration, not both"))]
pub struct Scaling {
    /// Who says how many worker pods there are. `Managed`: the operator, by the backlog or by a time to be done.
    /// `Fixed`: `replicas`. `External`: an autoscaler (HPA, KEDA) or a person, through the scale sub-resource, which sets
    /// `replicas`; the operator adds the first worker, and takes away all when the job is over. Absent: `Fixed` where
    /// `replicas` is given, else `Managed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ScalingMode>,
    /// How many waiting work items justify one worker pod. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 20))]
    pub items_per_worker: Option<u32>,
    /// How long fewer worker pods must be enough before their number goes down, in seconds. Default: 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 3_600), extend("default" = 120))]
    pub scale_down_after_seconds: Option<u32>,
    /// When the job is to be complete, as in `2026-01-31T06:00:00Z`. There are then as many worker pods as it takes to
    /// read what is left in the time that is left, by how fast they were lately, up to `max`; `itemsPerWorker` holds only
    /// until all objects are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_by: Option<Time>,
    /// How long the job may take from its start, as in `2h` or `1h30m`: like `completeBy`, told as a duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), pattern(r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"))]
    #[schemars(transform = must_be("a duration in hours, minutes and seconds", "1h30m"))]
    pub target_duration: Option<String>,
}

/// Who says how many worker pods there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScalingMode {
    /// The operator.
    Managed,
    /// The job: `replicas`.
    Fixed,
    /// Somebody else, through the scale sub-resource.
    External,
}

/// CPU and memory of a pod, as Kubernetes' resource quantities.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is set aside for the pod, as in `cpu: 2` and `memory: 1Gi`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "quantities")]
    pub requests: BTreeMap<String, Quantity>,
    /// What the pod may use at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "quantities")]
    pub limits: BTreeMap<String, Quantity>,
}

/// A map from a resource's name to a quantity. The pattern is the API server's own for quantities.
fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "title": "a quantity: a number, alone or with m, k, M, G, Ki, Mi or Gi right after it",
            "example": "500m",
            "description": "How much of this resource, as a quantity of Kubernetes.",
            "x-kubernetes-int-or-string": true,
            "maxLength": 64,
            "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
        },
    })
}

/// Anything that a pod template may hold: the API server checks it when the pods are made.
pub(super) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
