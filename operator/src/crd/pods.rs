//! What all pods of a job have in common: who they are, and whom they may speak to.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::wording::must_be;

/// Who the job's pods are: an account that exists, or the job's own.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.name) || !has(self.annotations)")
    .message("annotations are for the job's own account: leave out name, or annotate the account itself"))]
pub struct ServiceAccount {
    /// A ServiceAccount that exists. Absent: the job has one of its own, of its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[schemars(transform = must_be("the name of a ServiceAccount", "log-reader"))]
    pub name: Option<String>,
    /// Annotations of the job's own account: for IRSA, `eks.amazonaws.com/role-arn` with the role. For EKS Pod Identity,
    /// associate the role with the account of the job's name; nothing has to stand here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
}

/// Whom the job's pods may speak to.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// More TCP ports that pods may connect to, besides those of the addresses in this job, 443, DNS, and what clouds
    /// have for identities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "ports")]
    pub more_ports: Vec<u16>,
}

fn annotations(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {
            "type": "string",
            "maxLength": 2048,
            "description": "The annotation's value.",
        },
    })
}

fn ports(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "integer",
            "format": "int32",
            "minimum": 1,
            "maximum": 65_535,
            "description": "A TCP port.",
        },
    })
}
