//! `spec.transform` and `spec.enrichment`: what changes records on their way.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wording::{ENTRY, OBJECT_NAME, REGION, must_be};

/// A script that changes records on their way.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.script) != has(self.configMap)")
    .message("give exactly one of script and configMap"))]
pub struct Transform {
    /// The script itself, in Rhai.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub script: Option<String>,
    /// A ConfigMap of the job's namespace that holds the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
    /// What becomes of a record that the script fails for: `deadLetter` (default) keeps it aside with the reason,
    /// `keep` lets it go on as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "deadLetter"))]
    pub on_error: Option<OnError>,
}

/// What becomes of a record that a script fails for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnError {
    /// It is kept aside with the reason.
    DeadLetter,
    /// It goes on as it came.
    Keep,
}

/// One lookup table.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.configMap) != has(self.s3)").message("give exactly one of configMap and s3"))]
pub struct Enrichment {
    /// The name that the script knows the table by.
    #[schemars(length(min = 1, max = 63), pattern(r"^[A-Za-z_][A-Za-z0-9_]*$"), transform = must_be("a name of letters, digits and `_` that does not begin with a digit", "customers"))]
    pub name: String,
    /// How a value finds its row: `exact`, or `cidr` for the longest network that holds an IP address.
    #[serde(rename = "type")]
    pub type_: EnrichmentType,
    /// The field of the table that is looked up. Default: `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("default" = "key"))]
    pub key: Option<String>,
    /// A ConfigMap of the job's namespace that holds the table as NDJSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
    /// An S3 object that holds the table as NDJSON or Parquet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Object>,
}

/// How a value finds its row in a lookup table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnrichmentType {
    /// The value is the key.
    Exact,
    /// The value is an IP address, the key the longest network that holds it.
    Cidr,
}

/// One entry of a ConfigMap in the job's namespace.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// The name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"), transform = must_be(OBJECT_NAME, "lookup-tables"))]
    pub name: String,
    /// The key within it.
    #[schemars(length(min = 1, max = 253), pattern(r"^[-._a-zA-Z0-9]+$"), transform = must_be(ENTRY, "customers.ndjson"))]
    pub key: String,
}

/// One S3 object.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Object {
    /// Where it is: `s3://bucket/key`.
    #[schemars(length(max = 1100), pattern(r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+$"))]
    #[schemars(transform = must_be("the address of an object, s3://bucket/key", "s3://my-bucket/tables/customers.ndjson"))]
    pub uri: String,
    /// The region of the bucket. Absent: from the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern(r"^[a-z0-9-]+$"), transform = must_be(REGION, "eu-central-1"))]
    pub region: Option<String>,
}
