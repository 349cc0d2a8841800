//! `spec.discoverer`: how the discoverer runs.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::workers::pod_template;

/// How the discoverer runs.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Discoverer {
    /// Merged into the discoverer pod's template, by the rules of a strategic merge patch: labels, annotations, node
    /// selectors, tolerations, volumes, resources, the service account. Any field of a pod template may stand here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pod_template")]
    pub pod_template: Option<serde_json::Map<String, serde_json::Value>>,
}
