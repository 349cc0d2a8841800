//! `spec.source`: which objects are read. One field for each flag of `pf-discoverer` that selects or describes objects.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wording::{REGION, SERVER, SIZE, TIME, each_must_be, must_be};

/// Which objects are read: where they are, which of them, and what they hold.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.s3) != has(self.files)").message("give exactly one of s3 and files"),
    validation = Rule::new("!has(self.filters) || has(self.partitioning)")
        .message("filters need partitioning, whose placeholders they choose values for"),
    validation = Rule::new("!has(self.filters) || !has(self.partitioning) || self.filters.all(f, self.partitioning.contains('${' + f.split('=')[0] + '}') || self.partitioning.contains('${' + f.split('=')[0] + ':'))")
        .message("each of filters must name a placeholder of partitioning, as region=eu does for ${region}"),
    validation = Rule::new("!has(self.minSize) || !has(self.maxSize) || quantity(self.minSize.replace('B', '')).compareTo(quantity(self.maxSize.replace('B', ''))) <= 0")
        .message("minSize must not be above maxSize"),
    validation = Rule::new("!has(self.modifiedAfter) || !has(self.modifiedBefore) || timestamp(self.modifiedAfter.contains('T') ? self.modifiedAfter : self.modifiedAfter + 'T00:00:00Z') < timestamp(self.modifiedBefore.contains('T') ? self.modifiedBefore : self.modifiedBefore + 'T00:00:00Z')")
        .message("modifiedAfter must be earlier than modifiedBefore"),
    validation = Rule::new("!has(self.format) || self.format != 'parquet' || !has(self.compression) || self.compression == 'auto' || self.compression == 'none'")
        .message("compression cannot be given for parquet, which compresses inside"),
    validation = Rule::new("!has(self.partitionFields) || !self.partitionFields || has(self.partitioning)")
        .message("partitionFields needs partitioning, whose placeholders become fields"),
)]
pub struct Source {
    /// Objects of an S3 bucket. One of `s3` and `files` must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,

    /// Files of this machine, for `pf-operator local`. One of `s3` and `files` must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,

    /// How keys below the prefix are laid out, as in `year=${_time:%Y}/month=${_time:%m}/region=${region}/`. Literal
    /// text stays as it is. `${_time:FORMAT}` stands for a part of the time (`%Y` `%m` `%d` `%H` `%M` `%j` `%y`), and
    /// `${name}` for one path part or a piece of it. Only prefixes that fit the filters are listed. Every captured value
    /// travels with the work item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        pattern(r"^([^$]|\$[^{]|\$\{[A-Za-z_][A-Za-z0-9_]*(:[^{}]+)?\})*\$?$")
    )]
    #[schemars(transform = must_be(
        "text with placeholders, each `${name}` or `${_time:FORMAT}`",
        "year=${_time:%Y}/region=${region}/"
    ))]
    pub partitioning: Option<String>,

    /// Which values of the placeholders are wanted: `region=eu,us`, or a time range whose ends both belong to it, as in
    /// `_time=2024-01-01..2024-01-31`. Values of one filter are alternatives; all filters must fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 3, max = 1024), pattern(r"^[A-Za-z_][A-Za-z0-9_]*=.+$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[schemars(transform = each_must_be(
        "the name of a placeholder, `=` and its values",
        "region=eu,us",
        "One placeholder and the values that are wanted of it."
    ))]
    pub filters: Vec<String>,

    /// A glob on objects. Without a `/` it is for their names, at any depth, as in `*.parquet`. With one it is for the key
    /// below the prefix, whole, as in `2024/**/*.ndjson.gz`: `*` and `?` stay within one path part, `**` goes through any
    /// number of them. `{a,b}` gives a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), extend("example" = "*.parquet"))]
    pub pattern: Option<String>,

    /// The smallest object that is read, as stored: `10MB`, `1GiB`, or a number of bytes in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), pattern(r"^[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?B?$"), transform = must_be(SIZE, "10MB"))]
    pub min_size: Option<String>,

    /// The largest object that is read, as stored: `10MB`, `1GiB`, or a number of bytes in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), pattern(r"^[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?B?$"), transform = must_be(SIZE, "10MB"))]
    pub max_size: Option<String>,

    /// Only objects that were written at this time or later: a date (its start in UTC) or an RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 40),
        pattern(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2}))?$")
    )]
    #[schemars(transform = must_be(TIME, "2024-01-31T12:00:00Z"))]
    pub modified_after: Option<String>,

    /// Only objects that were written before this time: a date (its start in UTC) or an RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 40),
        pattern(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2}))?$")
    )]
    #[schemars(transform = must_be(TIME, "2024-01-31T12:00:00Z"))]
    pub modified_before: Option<String>,

    /// How records lie in the objects: `ndjson` (one JSON object a line), `parquet`, or `auto` (default), which goes by
    /// the name of each object, and then by its first bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "auto"))]
    pub format: Option<Format>,

    /// How the objects are compressed: `none`, `gzip`, `zstd`, or `auto` (default), which goes by the name of each
    /// object, and then by its first bytes. Not for Parquet, which compresses inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "auto"))]
    pub compression: Option<Compression>,

    /// Objects larger than this are split into ranges of about this size, which are read side by side: `256MiB`. Only
    /// Parquet and uncompressed NDJSON can be split. Absent: no object is split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), pattern(r"^[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?B?$"), transform = must_be(SIZE, "256MiB"))]
    pub split_bytes: Option<String>,

    /// The time zone that the times in keys and filters are in, as an IANA name. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), pattern(r"^[A-Za-z][A-Za-z0-9_+/-]*$"), transform = must_be("the IANA name of a time zone", "Europe/Berlin"))]
    pub timezone: Option<String>,

    /// Read at most this many objects, the first ones found: to try a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub max_objects: Option<u64>,

    /// Whether objects are read too whose name, or a folder of it below the prefix, begins with `_` or `.`: what other
    /// tools keep for themselves, as `_SUCCESS` and `_temporary/`. Default: false, and they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub include_hidden: Option<bool>,

    /// Whether objects of the storage classes GLACIER and DEEP_ARCHIVE are read too: for those that were restored. One that
    /// was not is a dead letter then. Default: false, and they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub include_archived: Option<bool>,

    /// Whether it is well that no object is found. Default: false, and such a job ends as CompleteWithFailures with the
    /// reason NothingMatched, because more often than not a prefix or a pattern is misspelt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub allow_empty: Option<bool>,

    /// Whether the values that `partitioning` captures become fields of each document, as texts, under the names of their
    /// placeholders: those of `columns`, where these are given. A record that has such a field keeps its own. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub partition_fields: Option<bool>,

    /// How bytes of Parquet become text: `text` (default) where they are UTF-8, else `base64`; or always `base64` or `hex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "text"))]
    pub binary: Option<Binary>,
}

/// Objects of an S3 bucket.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.anonymous) || !self.anonymous || !has(self.requesterPays) || !self.requesterPays")
        .message("requesterPays needs a signature, which anonymous leaves out"),
)]
pub struct S3 {
    /// The bucket.
    #[schemars(length(min = 3, max = 63), pattern(r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"), transform = must_be("the name of a bucket: lower-case letters, digits, `-` and `.`", "my-bucket"))]
    pub bucket: String,
    /// Only keys that begin with this, as in `logs/2024/`. Absent: the whole bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub prefix: Option<String>,
    /// The region of the bucket. Absent: from the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern(r"^[a-z0-9-]+$"), transform = must_be(REGION, "eu-central-1"))]
    pub region: Option<String>,
    /// The address of an S3-compatible server. Absent: AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), pattern(r"^https?://[^/\s]+/?$"), transform = must_be(SERVER, "http://minio:9000"))]
    pub endpoint: Option<String>,
    /// Whether requests are sent without a signature, for public buckets. Default: false, and credentials come from the
    /// environment, as they do for the AWS tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub anonymous: Option<bool>,
    /// Whether requests say that whoever sends them pays for them, as buckets with the setting Requester Pays want it.
    /// Default: false, and such a bucket refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub requester_pays: Option<bool>,
}

/// Files of the machine that the job runs on.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Files {
    /// A folder, of which all files at any depth are read, or one file. A relative path starts at the folder that the
    /// job file is in.
    #[schemars(length(min = 1, max = 4096))]
    pub path: String,
}

/// How records lie in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// By the name of the object, and then by its first bytes.
    Auto,
    /// One JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
}

/// How an object is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// By the name of the object, and then by its first bytes.
    Auto,
    /// Stored as it is.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// How bytes of Parquet become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Binary {
    /// As they are where they are UTF-8, else as base64.
    Text,
    /// As base64.
    Base64,
    /// As hexadecimal digits.
    Hex,
}
