//! What an S3 server's or the SDK's error means for a caller.
//!
//! Error codes: "Error responses" in Amazon S3's API reference, and what versitygw, `MinIO` and `LocalStack` answer.

use std::{error::Error as StdError, fmt, ops::Range};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ConnectorError, ProvideErrorMetadata, SdkError},
};

use super::{
    client::Attempts,
    obstacle::{self, Obstacle, chain, find},
};
use crate::{Error, ObjectUri, Options, error::Reach, file::too_short};

/// What a server answers when it wants nothing to do with who is asking, whatever is asked for.
const STRANGER_CODES: &[&str] = &[
    "AccountProblem",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "NotSignedUp",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    // versitygw, with status 404, to a key id that it does not know.
    "XAdminUserNotFound",
];

/// What a server answers when it knows who is asking, and does not let them have this: the object may be another
/// account's, or encrypted with a key that is not ours to use.
const DENIED_CODES: &[&str] = &["AccessDenied", "AllAccessDisabled", "AccessDeniedException"];

/// How the codes begin of what the server of encryption keys has against a request, with status 400; of its own trouble
/// they end as [`KEY_SERVER_BUSY_ENDS`] say.
const KEY_SERVER_PREFIX: &str = "KMS.";

/// "Errors" of `Decrypt` in AWS KMS' API reference.
const KEY_SERVER_BUSY_ENDS: [&str; 4] = [
    "ThrottlingException",
    "InternalException",
    "DependencyTimeoutException",
    "KeyUnavailableException",
];

/// What a server answers when the same question may go well later, beside statuses 408, 429, 500, 502, 503 and 504.
const BUSY_CODES: &[&str] = &[
    "BandwidthLimitExceeded",
    // Another conditional write of the same key was on its way.
    "ConditionalRequestConflict",
    "InternalError",
    "OperationAborted",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// What a server answers when the bucket is in another region.
const REGION_CODES: &[&str] = &[
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidRegion",
    "PermanentRedirect",
    "TemporaryRedirect",
];

/// One call, as messages tell of it.
pub(super) struct Call<'a> {
    pub(super) action: &'static str,
    pub(super) uri: &'a ObjectUri,
    pub(super) options: &'a Options,
    pub(super) region: Option<String>,
    pub(super) attempts: Attempts,
}

/// A server's refusal, in its own words.
#[derive(Debug)]
struct Refusal {
    status: u16,
    code: Option<String>,
    message: Option<String>,
    /// Where the bucket is, in the header `x-amz-bucket-region`.
    bucket_region: Option<String>,
    /// Where a redirect leads.
    location: Option<String>,
    has_body: bool,
    /// The storage class or access tier that an archived object's answer names.
    archive: Option<String>,
}

impl Refusal {
    fn is_key_servers(&self) -> bool {
        self.code
            .as_deref()
            .is_some_and(|code| code.starts_with(KEY_SERVER_PREFIX))
    }

    fn is_key_server_busy(&self) -> bool {
        let ends = |code: &str| KEY_SERVER_BUSY_ENDS.iter().any(|end| code.ends_with(end));
        self.is_key_servers() && self.code.as_deref().is_some_and(ends)
    }

    fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 307 | 308)
    }

    /// Whether the answer can't be an S3 server's: all of them say a code where they say anything.
    fn is_foreign(&self) -> bool {
        // Proxies before an S3 server answer these in their own words.
        let is_proxys = matches!(self.status, 401 | 403 | 408 | 429 | 500..);
        let is_elsewhere = self.is_redirect() && self.bucket_region.is_none();
        self.code.is_none() && !is_proxys && (self.has_body || is_elsewhere)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        match &self.message {
            Some(message) => write!(f, ": {}", message.trim_end_matches('.')),
            None => Ok(()),
        }
    }
}

impl StdError for Refusal {}

type Failure<E> = SdkError<E, HttpResponse>;

impl Call<'_> {
    /// What a failed call means.
    pub(super) fn failure<E>(&self, error: Failure<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        if let Some(credentials) = find::<CredentialsError>(&error) {
            return if is_passing(credentials) {
                self.unavailable(error)
            } else {
                self.denied(&chain(credentials), Reach::Everything)
            };
        }
        if let Some(obstacle) = obstacle::of(&error) {
            return self.obstructed(obstacle, &error);
        }
        match (&error, error.raw_response()) {
            (SdkError::ServiceError(_), Some(response)) if response.status().is_success() && error.code().is_none() => {
                self.nonsense(&chain(&error))
            }
            (SdkError::ServiceError(_), Some(response)) => {
                let refusal = Refusal {
                    status: response.status().as_u16(),
                    code: error.code().map(str::to_owned),
                    message: error.message().map(str::to_owned),
                    bucket_region: response.headers().get("x-amz-bucket-region").map(str::to_owned),
                    location: response.headers().get("location").map(str::to_owned),
                    has_body: response.body().bytes().is_some_and(|bytes| !bytes.is_empty()),
                    archive: response.body().bytes().and_then(archive_of),
                };
                self.refused(refusal)
            }
            (SdkError::ConstructionFailure(_), _) => self.failed(error),
            // No request could be made of the endpoint's address, as of one without a scheme.
            (SdkError::DispatchFailure(failure), _) if failure.is_user() => self.misaddressed(&chain(&error)),
            _ => self.unavailable(error),
        }
    }

    /// What a failed read of `range` means.
    pub(super) fn range_failure<E>(&self, error: Failure<E>, is_bound: bool, range: &Range<u64>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let Some(response) = error
            .raw_response()
            .filter(|response| response.status().as_u16() == 416)
        else {
            return self.failure(error);
        };
        let size = response
            .headers()
            .get("content-range")
            .and_then(|text| text.strip_prefix("bytes */")?.parse().ok());
        match (is_bound, size) {
            (true, _) => self.changed(),
            (false, Some(size)) => self.failed(too_short(range, size)),
            (false, None) => self.failure(error),
        }
    }

    fn refused(&self, refusal: Refusal) -> Error {
        let uri = || self.uri.to_string();
        let code = refusal.code.as_deref().unwrap_or_default();
        match refusal.status {
            _ if code == "NoSuchBucket" => self.no_such_bucket(),
            // Before the statuses, which servers differ in.
            _ if STRANGER_CODES.contains(&code) => self.denied(&refusal, Reach::Everything),
            _ if code == "InvalidObjectState" => Error::Archived {
                uri: uri(),
                class: refusal
                    .archive
                    .unwrap_or_else(|| "a storage class of archives".to_owned()),
            },
            _ if refusal.is_key_server_busy() => self.unavailable(refusal),
            _ if refusal.is_key_servers() || DENIED_CODES.contains(&code) => self.denied(&refusal, self.reach()),
            _ if refusal.is_foreign() => self.foreign(&refusal),
            404 if matches!(self.action, "list" | "write") && code.is_empty() => self.no_such_bucket(),
            404 if matches!(self.action, "list" | "write") => self.failed(refusal),
            404 => Error::NotFound { uri: uri() },
            412 if self.action == "write" => Error::Exists { uri: uri() },
            412 => self.changed(),
            _ if refusal.is_redirect() || REGION_CODES.contains(&code) => self.elsewhere(&refusal),
            401 => self.denied(&refusal, Reach::Everything),
            // HEAD has no body to say a code in; proxies have their own words.
            403 => self.denied(&refusal, self.reach()),
            408 | 429 | 500 | 502 | 503 | 504 => self.unavailable(refusal),
            _ if BUSY_CODES.contains(&code) => self.unavailable(refusal),
            // A request to the wrong region that has no body to say so in, as HEAD's.
            400 if refusal.bucket_region.is_some() => self.elsewhere(&refusal),
            _ => self.failed(refusal),
        }
    }

    /// Names the right region where the server does.
    fn elsewhere(&self, refusal: &Refusal) -> Error {
        // The code AuthorizationHeaderMalformed says it in its message: "... is wrong; expecting 'eu-west-1'".
        let expected = refusal
            .message
            .as_deref()
            .and_then(|message| message.split_once("expecting '")?.1.split('\'').next());
        let asked = self.region();
        self.misconfigured(match refusal.bucket_region.as_deref().or(expected) {
            // Some servers redirect to an endpoint and name the region that was asked for.
            Some(right) if right != asked => {
                format!("the bucket is in region {right} and was asked for in {asked}; use `--region {right}`")
            }
            _ => format!("{refusal}; say with `--region` where the bucket is, it was asked for in {asked}"),
        })
    }

    fn foreign(&self, refusal: &Refusal) -> Error {
        let to = match &refusal.location {
            Some(location) => format!(" to {location}"),
            None => String::new(),
        };
        self.misaddressed(&format!(
            "the server answered {}{to}, which is no answer of S3",
            refusal.status
        ))
    }

    /// What an obstacle on the way to the server means.
    fn obstructed(&self, obstacle: Obstacle, error: &(dyn StdError + 'static)) -> Error {
        match obstacle {
            Obstacle::Certificate => self.misconfigured(format!(
                "the certificate of {} is not trusted; SSL_CERT_FILE may name a file of its authority's certificate: {}",
                self.endpoint(),
                chain(error)
            )),
            Obstacle::NoUrl => self.misaddressed(&chain(error)),
            Obstacle::NoTls => self.misaddressed("it does not speak TLS, which `http://` does without"),
            Obstacle::NoHttp => self.misaddressed("it does not speak HTTP; a port for TLS wants `https://`"),
            Obstacle::UnknownHost => self.misaddressed(&format!(
                "its host is not known (its name may hold the region {}): {}",
                self.region(),
                chain(error)
            )),
        }
    }

    /// The endpoint is none of S3.
    fn misaddressed(&self, what: &str) -> Error {
        self.misconfigured(format!(
            "the endpoint {} is not an S3 server's; `--s3-endpoint` must be one's URL: {what}",
            self.endpoint()
        ))
    }

    /// Not the object's fault but of who asks, and so the same for all others.
    fn misconfigured(&self, reason: String) -> Error {
        self.kept_out(reason, Reach::Everything)
    }

    fn kept_out(&self, reason: String, reach: Reach) -> Error {
        Error::Denied {
            action: self.action,
            uri: self.uri.to_string(),
            reason,
            reach,
        }
    }

    /// Whom a refusal of this call is about where it does not say so: an object that may not be read need not be like
    /// others, and what may not be listed or written is a whole bucket.
    fn reach(&self) -> Reach {
        match self.action {
            "read" => Reach::Object,
            _ => Reach::Everything,
        }
    }

    fn endpoint(&self) -> &str {
        self.options.endpoint.as_deref().unwrap_or("AWS' own")
    }

    fn denied(&self, reason: &dyn fmt::Display, reach: Reach) -> Error {
        let who = if self.options.anonymous {
            "asked anonymously, which the bucket must allow; without `--anonymous` credentials are used"
        } else if self.options.access_key.is_some() {
            "asked with the given access key"
        } else {
            "asked with the credentials of the environment; `--anonymous` reads public buckets"
        };
        let missing = match reach {
            Reach::Object => "; a missing object is answered so too, to who may not list its bucket",
            Reach::Everything => "",
        };
        self.kept_out(
            format!(
                "{reason} (region {}, endpoint {}, {who}{missing})",
                self.region(),
                self.endpoint()
            ),
            reach,
        )
    }

    fn unavailable(&self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        Error::Unavailable {
            action: self.action,
            uri: self.uri.to_string(),
            // None is counted when credentials were not to be had for the first.
            attempts: self.attempts.count().max(1),
            source: source.into(),
        }
    }

    /// The request or the answer is wrong in itself.
    pub(super) fn failed(&self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        Error::Failed {
            action: self.action,
            uri: self.uri.to_string(),
            source: source.into(),
        }
    }

    /// The answer makes no sense.
    pub(super) fn nonsense(&self, what: &str) -> Error {
        self.failed(format!("the server's answer makes no sense: {what}"))
    }

    pub(super) fn changed(&self) -> Error {
        Error::Changed {
            uri: self.uri.to_string(),
        }
    }

    fn no_such_bucket(&self) -> Error {
        Error::NoSuchBucket {
            uri: self.uri.with_key("").to_string(),
        }
    }

    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or("unknown")
    }
}

/// What an answer to a read of an archived object says of where it is ("`InvalidObjectState`" in Amazon S3's API
/// reference): the access tier, where the storage class has several.
fn archive_of(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let element = |name: &str| {
        let (_, behind) = text.split_once(&format!("<{name}>"))?;
        let (inside, _) = behind.split_once('<')?;
        let is_word = !inside.is_empty() && inside.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_word.then(|| inside.to_owned())
    };
    element("AccessTier").or_else(|| element("StorageClass"))
}

/// Whether credentials may be had later: their server was slow or out of reach.
fn is_passing(error: &CredentialsError) -> bool {
    matches!(error, CredentialsError::ProviderTimedOut(_))
        || find::<ConnectorError>(error).is_some_and(|cause| cause.is_io() || cause.is_timeout())
}
