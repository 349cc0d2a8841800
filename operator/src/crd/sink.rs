//! `spec.sink`: where records go. Secrets are named here, never written here.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wording::{ADDRESS, ENTRY, INDEX, OBJECT_NAME, each_must_be, must_be};

/// Where records go: exactly one of these.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.elasticsearch), has(self.stats), has(self.stdout)].exists_one(x, x)")
    .message("give exactly one of elasticsearch, stats and stdout"))]
pub struct Sink {
    /// Each record becomes a document of Elasticsearch or OpenSearch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elasticsearch: Option<Elasticsearch>,
    /// Records are only counted, and a table of the counts is printed at the end: `stats: {}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
    /// Each record is one line of JSON on standard output: `stdout: {}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<Stdout>,
}

/// Records are only counted. There is nothing to set: write `stats: {}`.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {}

/// Each record is one line of JSON on standard output. There is nothing to set: write `stdout: {}`.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stdout {}

/// An Elasticsearch or OpenSearch cluster.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.index) != has(self.dataStream)")
        .message("give exactly one of index and dataStream"),
    validation = Rule::new("!has(self.dataStream) || !has(self.operation) || self.operation == 'create'")
        .message("operation must be create for a dataStream, which takes nothing else"),
    validation = Rule::new("!has(self.onConflict) || (has(self.id) && has(self.id.mode) && self.id.mode == 'field')")
        .message("onConflict is for id.mode field: the other ids are never those of two records"),
    validation = Rule::new("!has(self.onConflict) || self.onConflict != 'replace' || !has(self.dataStream)")
        .message("onConflict must not be replace for a dataStream, whose documents cannot be replaced"),
    validation = Rule::new("!has(self.onConflict) || !has(self.operation) || (self.onConflict == 'replace') == (self.operation == 'index')")
        .message("onConflict replace and operation index mean the same: give one of them"),
    validation = Rule::new("!has(self.operation) || self.operation != 'index' || !has(self.id) || !has(self.id.mode) || self.id.mode != 'auto'")
        .message("operation index replaces nothing with id.mode auto, which makes a new id for each document"),
)]
pub struct Elasticsearch {
    /// The addresses of the cluster; requests go to all of them in turn.
    #[schemars(length(min = 1, max = 16), inner(length(max = 1024), pattern(r"^https?://[^\s]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[schemars(transform = each_must_be(ADDRESS, "https://elasticsearch:9200", "The address of one node, or of all."))]
    pub urls: Vec<String>,
    /// The index that documents go to. One of `index` and `dataStream` must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), pattern(r"^[^A-Z_+\\/*?<>| ,#-][^A-Z\\/*?<>| ,#]*$"), transform = must_be(INDEX, "access-logs"))]
    pub index: Option<String>,
    /// The data stream that documents go to. One of `index` and `dataStream` must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), pattern(r"^[^A-Z_+\\/*?<>| ,#-][^A-Z\\/*?<>| ,#]*$"), transform = must_be(INDEX, "logs-access-default"))]
    pub data_stream: Option<String>,
    /// What identifies a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DocumentId>,
    /// What happens to a document whose id is there already: `create` leaves the one that is there and counts a duplicate,
    /// `index` puts the new one in its place. Absent: `create` in the first run of a job, and `index` in those that
    /// `restartNonce` asks for, so that they bring what has changed; but `create` in all of them where `onConflict` says that
    /// what is there stays, and for data streams, which know nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// What becomes of a record whose id (`id.mode: field`) another record has: `deadLetter` keeps it aside with the reason,
    /// `keep` leaves the document that is there and counts a duplicate, `replace` puts the record in its place. Absent:
    /// `deadLetter`, and where `operation` is `index`, `replace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// How workers sign in. Absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<ElasticsearchAuth>,
    /// The certificate authority that signed the cluster's certificate, as PEM. Absent: those that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKey>,
    /// An ingest pipeline of the cluster that every document goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub pipeline: Option<String>,
    /// Whether requests are compressed: `none` (default), or `gzip`, which saves most of the wire and costs about as much
    /// time as all the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "none"))]
    pub compression: Option<Compression>,
}

/// What identifies a document.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.mode) && self.mode == 'field') == has(self.field)")
    .message("field must be given for mode field, and for no other mode"))]
pub struct DocumentId {
    /// `deterministic` (default): where the record came from, so that a record that is read again is not indexed again.
    /// `field`: the value of a field of the record. `auto`: Elasticsearch chooses, and a record that is read again is
    /// indexed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "deterministic"))]
    pub mode: Option<DocumentIdMode>,
    /// The field whose value identifies a document: a key, or keys joined by dots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub field: Option<String>,
}

/// What identifies a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DocumentIdMode {
    /// Where the record came from.
    Deterministic,
    /// A field of the record.
    Field,
    /// Whatever Elasticsearch chooses.
    Auto,
}

/// What happens to a document whose id is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The one that is there stays.
    Create,
    /// The new one takes its place.
    Index,
}

/// What becomes of a record whose id another record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnConflict {
    /// It is kept aside with the reason.
    DeadLetter,
    /// The document that is there stays.
    Keep,
    /// It takes the place of the document that is there.
    Replace,
}

/// How workers sign in to Elasticsearch.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.apiKey) != has(self.basic)").message("give exactly one of apiKey and basic"))]
pub struct ElasticsearchAuth {
    /// A Secret of the job's namespace that holds an API key, in the encoded form that Elasticsearch hands out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretKey>,
    /// A Secret of the job's namespace of the type kubernetes.io/basic-auth, with `username` and `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<SecretName>,
}

/// One entry of a Secret in the job's namespace.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"), transform = must_be(OBJECT_NAME, "elasticsearch-credentials"))]
    pub name: String,
    /// The key within it.
    #[schemars(length(min = 1, max = 253), pattern(r"^[-._a-zA-Z0-9]+$"), transform = must_be(ENTRY, "api-key"))]
    pub key: String,
}

/// A Secret in the job's namespace.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretName {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"), transform = must_be(OBJECT_NAME, "elasticsearch-credentials"))]
    pub name: String,
}

/// How requests to Elasticsearch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// gzip.
    Gzip,
    /// Not at all.
    None,
}
