//! What of the command line is about Elasticsearch and OpenSearch, as it was typed. [`crate::indexer::elasticsearch::Options`]
//! checks it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Flags of the destination `elasticsearch`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Elasticsearch and OpenSearch")]
pub struct EsArgs {
    /// Where the cluster is: one URL, or several of its nodes, separated by commas [default: none; needed for this destination]
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_ES_URL",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub es_url: Vec<String>,
    /// The index that documents go to. A date as in logs-{+yyyy.MM.dd} and a field as in logs-{tenant} are each record's own
    #[arg(long, hide_env_values = true, env = "PF_ES_INDEX", value_name = "NAME")]
    pub es_index: Option<String>,
    /// The data stream that documents go to, instead of an index
    #[arg(long, hide_env_values = true, env = "PF_ES_DATA_STREAM", value_name = "NAME")]
    pub es_data_stream: Option<String>,
    /// Where a document's _id comes from: deterministic (the object and the place in it), auto (Elasticsearch makes one up, and
    /// what is delivered twice is there twice), or field:PATH (a text or number of the record)
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_ES_ID",
        value_name = "MODE",
        default_value = "deterministic"
    )]
    pub es_id: String,
    /// What is done with a document whose _id is there already. A run after the first, which is to write what the first wrote in
    /// another form, needs index
    #[arg(
        long,
        visible_alias = "es-operation",
        hide_env_values = true,
        env = "PF_ES_OP_TYPE",
        value_enum,
        default_value_t = OpType::Create
    )]
    pub es_op_type: OpType,
    /// What becomes of a record whose _id another record has, with --es-id field:PATH
    /// [default: dead-letter; with --es-op-type index, replace]
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_ES_ON_CONFLICT",
        value_enum,
        value_name = "WHAT"
    )]
    pub es_on_conflict: Option<OnConflict>,
    /// The ingest pipeline that documents go through [default: the index's own]
    #[arg(long, hide_env_values = true, env = "PF_ES_PIPELINE", value_name = "NAME")]
    pub es_pipeline: Option<String>,
    /// The field whose value decides the shard, a text or number [default: the _id decides]
    #[arg(long, hide_env_values = true, env = "PF_ES_ROUTING_FIELD", value_name = "FIELD")]
    pub es_routing_field: Option<String>,
    /// The field that dates in index names are made from: RFC 3339 text, or seconds or milliseconds since 1970
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_ES_TIMESTAMP_FIELD",
        value_name = "FIELD",
        default_value = "@timestamp"
    )]
    pub es_timestamp_field: String,
    /// How requests are compressed: gzip saves most of the wire and costs about as much time as all the rest
    #[arg(long, hide_env_values = true, env = "PF_ES_COMPRESSION", value_enum, default_value_t = RequestCompression::None)]
    pub es_compression: RequestCompression,
    /// The user to sign in as, with --es-password-file [default: nobody]
    #[arg(long, hide_env_values = true, env = "PF_ES_USERNAME", value_name = "NAME")]
    pub es_username: Option<String>,
    /// File with the user's password; read again when it changes, as all files here
    #[arg(long, hide_env_values = true, env = "PF_ES_PASSWORD_FILE", value_name = "FILE")]
    pub es_password_file: Option<PathBuf>,
    /// File with an API key to sign in with: as id:key, or encoded
    #[arg(long, hide_env_values = true, env = "PF_ES_API_KEY_FILE", value_name = "FILE")]
    pub es_api_key_file: Option<PathBuf>,
    /// File with a bearer token to sign in with
    #[arg(long, hide_env_values = true, env = "PF_ES_BEARER_FILE", value_name = "FILE")]
    pub es_bearer_file: Option<PathBuf>,
    /// File with the certificates (PEM) of authorities to trust besides the public ones
    #[arg(long, hide_env_values = true, env = "PF_ES_CA_FILE", value_name = "FILE")]
    pub es_ca_file: Option<PathBuf>,
    /// File with a client certificate (PEM) to sign in with, with --es-client-key-file
    #[arg(long, hide_env_values = true, env = "PF_ES_CLIENT_CERT_FILE", value_name = "FILE")]
    pub es_client_cert_file: Option<PathBuf>,
    /// File with the client certificate's private key (PEM)
    #[arg(long, hide_env_values = true, env = "PF_ES_CLIENT_KEY_FILE", value_name = "FILE")]
    pub es_client_key_file: Option<PathBuf>,
    /// How large the body of a request becomes before it is sent
    #[arg(long, hide_env_values = true, env = "PF_ES_BULK_BYTES", value_name = "BYTES", default_value_t = 4 << 20)]
    pub es_bulk_bytes: usize,
    /// The largest request that the cluster takes, its `http.max_content_length`; a document larger than that is a dead letter
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_ES_MAX_REQUEST_BYTES",
        value_name = "BYTES",
        default_value_t = 100 << 20
    )]
    pub es_max_request_bytes: usize,
    /// The most that may be on its way to the cluster at once, for each thread; all threads share it
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_ES_IN_FLIGHT_MB",
        value_name = "MB",
        default_value_t = 16
    )]
    pub es_in_flight_mb: usize,
    /// The most requests at once; how many there are below that follows what the cluster bears
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_ES_CONCURRENCY_MAX",
        value_name = "N",
        default_value_t = 32
    )]
    pub es_concurrency_max: usize,
    /// How long a request may take, as in 30s or 2m
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_ES_TIMEOUT",
        value_name = "DURATION",
        default_value = "60s"
    )]
    pub es_timeout: String,
    /// How long documents are tried again while the cluster is out of reach or overloaded, before their items are given back:
    /// longer than a cluster takes to restart node by node
    #[arg(
        long,
        hide_env_values = true,
        env = "PF_ES_PATIENCE",
        value_name = "DURATION",
        default_value = "15m"
    )]
    pub es_patience: String,
}

/// What is done with a document whose `_id` is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OpType {
    /// It stays as it is
    Create,
    /// It is replaced
    Index,
}

/// What becomes of a record whose `_id` another record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// It is a dead letter, which says which _id
    DeadLetter,
    /// What is there stays, and the record counts as a duplicate
    Keep,
    /// It takes the place of what is there: --es-op-type index
    Replace,
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RequestCompression {
    /// With gzip, at its fastest
    Gzip,
    /// Not at all
    None,
}
