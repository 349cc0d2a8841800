//! What an S3 server's or the SDK's error means for a caller.
//!
//! Error codes: "Error responses" in Amazon S3's API reference, and what versitygw, `MinIO` and `LocalStack` answer.

use std::{error::Error as StdError, fmt, ops::Range};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ConnectorError, ProvideErrorMetadata, SdkError},
};

use super::client::Attempts;
use crate::{Error, ObjectUri, Options, file::too_short};

/// What a server answers when it wants nothing to do with who is asking.
const DENIED_CODES: &[&str] = &[
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
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

/// What a server answers when the same question may go well later, beside statuses 429, 500, 502, 503 and 504.
const BUSY_CODES: &[&str] = &[
    "BandwidthLimitExceeded",
    "InternalError",
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
                self.denied(&chain(credentials))
            };
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
                };
                self.refused(refusal, response.headers().get("x-amz-bucket-region"))
            }
            (SdkError::ConstructionFailure(_), _) => self.failed(error),
            (SdkError::DispatchFailure(failure), _) if failure.is_user() => self.failed(error),
            _ => self.unavailable(error),
        }
    }

    /// What a failed read of `range` means.
    pub(super) fn range_failure<E>(&self, error: Failure<E>, etag: Option<&str>, range: &Range<u64>) -> Error
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
        match (etag, size) {
            (Some(_), _) => self.changed(),
            (None, Some(size)) => self.failed(too_short(range, size)),
            (None, None) => self.failure(error),
        }
    }

    fn refused(&self, refusal: Refusal, bucket_region: Option<&str>) -> Error {
        let uri = || self.uri.to_string();
        let code = refusal.code.as_deref().unwrap_or_default();
        let is_redirect = matches!(refusal.status, 301 | 302 | 307 | 308);
        match refusal.status {
            _ if code == "NoSuchBucket" => self.no_such_bucket(),
            // Before the statuses, which servers differ in.
            _ if DENIED_CODES.contains(&code) => self.denied(&refusal),
            404 if self.action == "list" && code.is_empty() => self.no_such_bucket(),
            404 if self.action == "list" => self.failed(refusal),
            404 => Error::NotFound { uri: uri() },
            412 => self.changed(),
            _ if is_redirect || REGION_CODES.contains(&code) => self.failed(self.elsewhere(&refusal, bucket_region)),
            401 | 403 => self.denied(&refusal),
            429 | 500 | 502 | 503 | 504 => self.unavailable(refusal),
            _ if BUSY_CODES.contains(&code) => self.unavailable(refusal),
            // A request to the wrong region that has no body to say so in, as HEAD's.
            400 if bucket_region.is_some() => self.failed(self.elsewhere(&refusal, bucket_region)),
            _ => self.failed(refusal),
        }
    }

    /// Names the right region where the server does.
    fn elsewhere(&self, refusal: &Refusal, bucket_region: Option<&str>) -> String {
        // The code AuthorizationHeaderMalformed says it in its message: "... is wrong; expecting 'eu-west-1'".
        let expected = refusal
            .message
            .as_deref()
            .and_then(|message| message.split_once("expecting '")?.1.split('\'').next());
        match bucket_region.or(expected) {
            Some(right) => format!("the bucket is in region {right} and was asked for in {}", self.region()),
            None => format!("{refusal}; the bucket is not in region {}", self.region()),
        }
    }

    fn denied(&self, reason: &dyn fmt::Display) -> Error {
        let endpoint = self.options.endpoint.as_deref().unwrap_or("AWS' own");
        let who = if self.options.anonymous {
            "asked anonymously, which the bucket must allow; without `--anonymous` credentials are used"
        } else if self.options.access_key.is_some() {
            "asked with the given access key"
        } else {
            "asked with the credentials of the environment; `--anonymous` reads public buckets"
        };
        Error::Denied {
            action: self.action,
            uri: self.uri.to_string(),
            reason: format!("{reason} (region {}, endpoint {endpoint}, {who})", self.region()),
        }
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

/// Whether credentials may be had later: their server was slow or out of reach.
fn is_passing(error: &CredentialsError) -> bool {
    matches!(error, CredentialsError::ProviderTimedOut(_))
        || find::<ConnectorError>(error).is_some_and(|cause| cause.is_io() || cause.is_timeout())
}

/// The first error of a kind among an error and its causes.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// An error and its causes in one line, for a field that has no source.
fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An error, then its cause, then that one's.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}
