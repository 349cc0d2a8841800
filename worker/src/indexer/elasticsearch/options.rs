//! The flags about Elasticsearch, checked: whatever is wrong with them is said here, before anything is opened.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use elasticsearch::http::Url;
use jiff::SignedDuration;

use crate::{
    args::elasticsearch::{self as typed, EsArgs, OpType, RequestCompression},
    indexer::bulk::{Addressing, IdMode, IndexName, OnConflict, Operation},
    predicate::FieldPath,
};

/// The smallest bulk that is worth a request, and the smallest request that any cluster is set up for.
const BULK_BYTES_MIN: usize = 1 << 10;
/// Places in a body are 32 bits wide, and a batch is added to a body that is almost full.
const BULK_BYTES_MAX: usize = 1 << 30;
/// More requests at once than any cluster has threads for.
const CONCURRENCY_MAX: usize = 1024;

/// What the sink is to do, and how it gets there.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nodes of the cluster; never empty, without anything secret in them.
    pub urls: Vec<Url>,
    /// Where documents go.
    pub target: Target,
    /// How documents are addressed.
    pub addressing: Arc<Addressing>,
    /// What becomes of a record whose `_id`, a value of its own, another record has.
    pub on_conflict: OnConflict,
    /// Whether to stop when everything is rejected, because nobody has said how much may be.
    pub stops_when_all_is_rejected: bool,
    /// The ingest pipeline.
    pub pipeline: Option<String>,
    /// How requests are compressed.
    pub compression: RequestCompression,
    /// How to sign in.
    pub sign_in: SignIn,
    /// Certificates of authorities to trust besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// Certificate and key of our own.
    pub client_certificate: Option<ClientCertificate>,
    /// A body of this size is to be sent.
    pub bulk_bytes: usize,
    /// The largest body that may be sent.
    pub request_bytes_max: usize,
    /// The bound on bytes in flight, of all threads.
    pub in_flight_bytes_max: usize,
    /// The bound on requests in flight.
    pub concurrency_max: usize,
    /// How long a request may take.
    pub timeout: Duration,
    /// How long a bulk is tried again.
    pub patience: Duration,
}

/// What documents go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An index, or several of them.
    Index(IndexName),
    /// A data stream, or several of them.
    DataStream(IndexName),
}

impl Target {
    /// Its name, or the pattern of its names.
    pub fn name(&self) -> &IndexName {
        match self {
            Self::Index(name) | Self::DataStream(name) => name,
        }
    }
}

/// How to sign in: who, and the file with the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// Not at all, or by client certificate alone.
    Anonymous,
    /// With a name and a password.
    Basic {
        /// The name.
        username: String,
        /// The file with the password.
        password_file: PathBuf,
    },
    /// With the API key in this file.
    ApiKey(PathBuf),
    /// With the token in this file.
    Bearer(PathBuf),
}

/// A client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The file with the certificate.
    pub certificate_file: PathBuf,
    /// The file with the key.
    pub key_file: PathBuf,
}

impl Options {
    /// Checks what was typed, for a worker of so many threads. The error names the flag and says what would be right.
    pub fn from_args(args: EsArgs, threads: usize) -> Result<Self, String> {
        let EsArgs {
            es_url,
            es_index,
            es_data_stream,
            es_id,
            es_op_type,
            es_on_conflict,
            es_pipeline,
            es_routing_field,
            es_timestamp_field,
            es_compression,
            es_username,
            es_password_file,
            es_api_key_file,
            es_bearer_file,
            es_ca_file,
            es_client_cert_file,
            es_client_key_file,
            es_bulk_bytes,
            es_max_request_bytes,
            es_in_flight_mb,
            es_concurrency_max,
            es_timeout,
            es_patience,
        } = args;
        within(
            "--es-max-request-bytes",
            es_max_request_bytes,
            BULK_BYTES_MIN,
            BULK_BYTES_MAX,
        )?;
        within("--es-bulk-bytes", es_bulk_bytes, BULK_BYTES_MIN, es_max_request_bytes)?;
        within("--es-in-flight-mb", es_in_flight_mb, 1, usize::MAX >> 20)?;
        within("--es-concurrency-max", es_concurrency_max, 1, CONCURRENCY_MAX)?;
        let target = target(es_index.as_deref(), es_data_stream.as_deref())?;
        let id = id_mode(&es_id)?;
        let (operation, on_conflict) = conflict(operation(es_op_type, &target, &id)?, es_on_conflict, &target, &id)?;
        let addressing = Addressing {
            operation,
            id,
            index: target.name().clone(),
            routing: es_routing_field
                .map(|text| field("--es-routing-field", &text))
                .transpose()?,
            timestamp: field("--es-timestamp-field", &es_timestamp_field)?,
            left_out: Vec::new(),
            document_bytes_max: es_max_request_bytes - ACTION_BYTES_MAX.min(es_max_request_bytes / 2),
        };
        if es_pipeline.as_deref() == Some("") {
            return Err("--es-pipeline must be the name of a pipeline, not empty".to_owned());
        }
        let urls = urls(&es_url)?;
        let client_certificate = client_certificate(es_client_cert_file, es_client_key_file, &urls)?;
        let sign_in = sign_in(es_username, es_password_file, es_api_key_file, es_bearer_file)?;
        Ok(Self {
            urls,
            target,
            addressing: Arc::new(addressing),
            on_conflict,
            stops_when_all_is_rejected: true,
            pipeline: es_pipeline,
            compression: es_compression,
            sign_in,
            ca_file: es_ca_file,
            client_certificate,
            bulk_bytes: es_bulk_bytes,
            request_bytes_max: es_max_request_bytes,
            in_flight_bytes_max: (es_in_flight_mb << 20).saturating_mul(threads),
            concurrency_max: es_concurrency_max,
            timeout: length_of_time("--es-timeout", &es_timeout)?,
            patience: length_of_time("--es-patience", &es_patience)?,
        })
    }
}

impl Options {
    /// Leaves these fields out of documents, and those that addresses are read from where they are none of the columns.
    pub fn leave_out(&mut self, fields: &[FieldPath], columns: Option<&[FieldPath]>) {
        Arc::make_mut(&mut self.addressing).leave_out(fields, columns);
    }

    /// Everything that decides where documents arrive, and under which name: two workers whose identities differ do not
    /// deliver to the same place in the same way. By the flags that say it. Nothing secret, and nothing of how fast or how patiently.
    pub fn identity(&self) -> BTreeMap<String, String> {
        let mut urls: Vec<&str> = self.urls.iter().map(Url::as_str).collect();
        urls.sort_unstable();
        urls.dedup();
        let addressing = &self.addressing;
        let kind = match &self.target {
            Target::Index(_) => "--es-index",
            Target::DataStream(_) => "--es-data-stream",
        };
        let id = match &addressing.id {
            IdMode::Deterministic => "deterministic".to_owned(),
            IdMode::Auto => "auto".to_owned(),
            IdMode::Field(path) => format!("field:{path}"),
        };
        let on_conflict = match self.on_conflict {
            OnConflict::DeadLetter => "dead-letter",
            OnConflict::Keep => "keep",
            OnConflict::Replace => "replace",
        };
        let is_field = matches!(addressing.id, IdMode::Field(_));
        let facts = [
            ("--es-url", Some(urls.join(","))),
            (kind, Some(self.target.name().pattern())),
            ("--es-id", Some(id)),
            ("--es-op-type", Some(addressing.operation.name().to_owned())),
            ("--es-on-conflict", is_field.then(|| on_conflict.to_owned())),
            ("--es-pipeline", self.pipeline.clone()),
            (
                "--es-routing-field",
                addressing.routing.as_ref().map(ToString::to_string),
            ),
            (
                "--es-timestamp-field",
                addressing.index.has_date().then(|| addressing.timestamp.to_string()),
            ),
        ];
        let facts = facts.into_iter();
        facts
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}

/// More than any action line has: two names of 512 bytes, each byte escaped, and an index name.
const ACTION_BYTES_MAX: usize = 8 << 10;

fn within(flag: &str, value: usize, min: usize, max: usize) -> Result<(), String> {
    if value < min {
        Err(format!("{flag} must be {min} or more, not {value}"))
    } else if value > max {
        Err(format!("{flag} must be {max} or less, not {value}"))
    } else {
        Ok(())
    }
}

fn length_of_time(flag: &str, text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|length| Duration::try_from(length).ok())
        .filter(|length| !length.is_zero())
        .ok_or_else(|| format!("{flag} must be a length of time as in 30s or 2m, not `{text}`"))
}

fn field(flag: &str, text: &str) -> Result<FieldPath, String> {
    text.parse().map_err(|error| format!("{flag}: {error}"))
}

fn target(index: Option<&str>, data_stream: Option<&str>) -> Result<Target, String> {
    let name = |flag: &str, text: &str| -> Result<IndexName, String> {
        text.parse().map_err(|error| format!("{flag}: {error}"))
    };
    match (index, data_stream) {
        (Some(index), None) => Ok(Target::Index(name("--es-index", index)?)),
        (None, Some(stream)) => Ok(Target::DataStream(name("--es-data-stream", stream)?)),
        (None, None) => Err("--destination elasticsearch needs --es-index or --es-data-stream".to_owned()),
        (Some(_), Some(_)) => {
            Err("--es-index and --es-data-stream can't be given together: documents go to one of them".to_owned())
        }
    }
}

fn id_mode(text: &str) -> Result<IdMode, String> {
    match text {
        "deterministic" => Ok(IdMode::Deterministic),
        "auto" => Ok(IdMode::Auto),
        other => match other.strip_prefix("field:") {
            Some(path) => Ok(IdMode::Field(field("--es-id", path)?)),
            None => Err(format!(
                "--es-id must be deterministic, auto or field:PATH, not `{other}`"
            )),
        },
    }
}

fn operation(op_type: OpType, target: &Target, id: &IdMode) -> Result<Operation, String> {
    match op_type {
        OpType::Create => Ok(Operation::Create),
        OpType::Index if matches!(target, Target::DataStream(_)) => {
            Err("--es-op-type must be create for a data stream: it takes no other".to_owned())
        }
        OpType::Index if *id == IdMode::Auto => {
            Err("--es-op-type index with --es-id auto replaces nothing: leave one of them out".to_owned())
        }
        OpType::Index => Ok(Operation::Index),
    }
}

/// What is done with a document, and what becomes of one whose `_id` another record has.
fn conflict(
    operation: Operation,
    on_conflict: Option<typed::OnConflict>,
    target: &Target,
    id: &IdMode,
) -> Result<(Operation, OnConflict), String> {
    if on_conflict.is_some() && !matches!(id, IdMode::Field(_)) {
        return Err("--es-on-conflict is for --es-id field:PATH: other ids are never those of two records".to_owned());
    }
    match (on_conflict, operation) {
        (None | Some(typed::OnConflict::Replace), Operation::Index) => Ok((operation, OnConflict::Replace)),
        (Some(typed::OnConflict::DeadLetter | typed::OnConflict::Keep), Operation::Index) => Err(
            "--es-on-conflict must be replace with --es-op-type index, which replaces: leave one of them out"
                .to_owned(),
        ),
        (Some(typed::OnConflict::Replace), Operation::Create) if matches!(target, Target::DataStream(_)) => Err(
            "--es-on-conflict must be dead-letter or keep for a data stream, in which nothing is replaced".to_owned(),
        ),
        (Some(typed::OnConflict::Replace), Operation::Create) => Ok((Operation::Index, OnConflict::Replace)),
        (None | Some(typed::OnConflict::DeadLetter), Operation::Create) => Ok((operation, OnConflict::DeadLetter)),
        (Some(typed::OnConflict::Keep), Operation::Create) => Ok((operation, OnConflict::Keep)),
    }
}

fn urls(texts: &[String]) -> Result<Vec<Url>, String> {
    if texts.is_empty() {
        return Err("--destination elasticsearch needs --es-url".to_owned());
    }
    texts.iter().map(|text| url(text.trim())).collect()
}

fn url(text: &str) -> Result<Url, String> {
    let mut url: Url = text
        .parse()
        .map_err(|error| format!("--es-url must be a URL as in https://es:9200, not `{text}`: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Not said again: it would stand in a log.
        return Err(
            "--es-url must have no user or password in it: use --es-username and --es-password-file".to_owned(),
        );
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!(
            "--es-url must begin with http:// or https://, as in https://es:9200, not `{text}`"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("--es-url must end with a host or a path, not `{text}`"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

type Flag<T> = (&'static str, Option<T>);

fn both_or_none<A, B>(first: Flag<A>, second: Flag<B>) -> Result<Option<(A, B)>, String> {
    match (first, second) {
        ((_, Some(first)), (_, Some(second))) => Ok(Some((first, second))),
        ((_, None), (_, None)) => Ok(None),
        ((given, Some(_)), (missing, None)) | ((missing, None), (given, Some(_))) => {
            Err(format!("{given} needs {missing}"))
        }
    }
}

fn client_certificate(
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    urls: &[Url],
) -> Result<Option<ClientCertificate>, String> {
    let files = both_or_none(
        ("--es-client-cert-file", certificate_file),
        ("--es-client-key-file", key_file),
    )?;
    if files.is_some() && urls.iter().any(|url| url.scheme() != "https") {
        return Err("--es-client-cert-file needs https:// in every --es-url".to_owned());
    }
    Ok(files.map(|(certificate_file, key_file)| ClientCertificate {
        certificate_file,
        key_file,
    }))
}

fn sign_in(
    username: Option<String>,
    password_file: Option<PathBuf>,
    api_key_file: Option<PathBuf>,
    bearer_file: Option<PathBuf>,
) -> Result<SignIn, String> {
    let basic = both_or_none(("--es-username", username), ("--es-password-file", password_file))?;
    match (basic, api_key_file, bearer_file) {
        (None, None, None) => Ok(SignIn::Anonymous),
        (Some((username, _)), None, None) if username.contains(':') => {
            Err("--es-username must have no `:` in it: the password would begin there".to_owned())
        }
        (Some((username, password_file)), None, None) => Ok(SignIn::Basic {
            username,
            password_file,
        }),
        (None, Some(file), None) => Ok(SignIn::ApiKey(file)),
        (None, None, Some(file)) => Ok(SignIn::Bearer(file)),
        _ => Err("only one of --es-username, --es-api-key-file and --es-bearer-file can be given".to_owned()),
    }
}
