//! What SQS' errors mean for a caller: try again later, the lease is lost, or we are refused.
//!
//! Codes: "Common errors" and the errors of each action in the SQS API reference. AWS answers in the names of its older
//! protocol (`AWS.SimpleQueueService.NonExistentQueue`), its imitations in those of the newer (`QueueDoesNotExist`).

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::{
    config::http::HttpResponse,
    error::{ConnectorError, ErrorMetadata, ProvideErrorMetadata, SdkError},
    types::BatchResultErrorEntry,
};

use crate::queue::Error;

/// There is no such queue, under its three names.
const MISSING_CODES: &[&str] = &["NonExistentQueue", "QueueDoesNotExist", "QueueDeletedRecently"];

/// The receipt names no lease that holds.
const LOST_CODES: &[&str] = &["InvalidReceiptHandle", "MessageNotInflight", "ReceiptHandleIsInvalid"];

/// A parameter has a wrong value, under its two names.
const PARAMETER_CODES: &[&str] = &["InvalidParameterValue", "InvalidParameterValueException"];

/// The same call may go well later, beside statuses 429 and 5xx.
const BUSY_CODES: &[&str] = &[
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "KmsThrottled",
    "OverLimit",
    "RequestExpired",
    "RequestThrottled",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// What a failed call means. `action` says what was asked for, as "receive messages".
pub(super) fn of_call<E>(action: &str, queue: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let told = |cause: &(dyn StdError + 'static)| format!("cannot {action} of {queue}: {}", chain(cause));
    if let Some(credentials) = find::<CredentialsError>(error) {
        // Whole, its answer would have the number of the request in it, and be another one each time.
        let reason = match find::<ErrorMetadata>(credentials) {
            Some(answer) => {
                let (code, message) = (
                    answer.code().unwrap_or("no code"),
                    answer.message().unwrap_or("no message"),
                );
                format!("cannot {action} of {queue}: the server that gives credentials answered {code}: {message}")
            }
            None => told(credentials),
        };
        return if is_passing(credentials) {
            Error::Unavailable { reason }
        } else {
            Error::Refused { reason }
        };
    }
    match (error, error.raw_response()) {
        (SdkError::ServiceError(_), Some(response)) => {
            let status = response.status().as_u16();
            let code = plain(error.code().unwrap_or_default());
            let message = error.message().unwrap_or("no message");
            of_answer(action, queue, status, code, message)
        }
        (SdkError::ConstructionFailure(_), _) => Error::Refused { reason: told(error) },
        (SdkError::DispatchFailure(failure), _) if failure.is_user() => Error::Refused { reason: told(error) },
        _ => Error::Unavailable { reason: told(error) },
    }
}

fn of_answer(action: &str, queue: &str, status: u16, code: &str, message: &str) -> Error {
    let message = message.trim_end_matches('.');
    if is_missing(code) {
        return Error::Refused {
            reason: format!("there is no queue {queue}"),
        };
    }
    if is_lost(code, message) {
        return Error::LeaseLost;
    }
    let shown = if code.is_empty() {
        String::new()
    } else {
        format!(" {code}")
    };
    let reason = format!("cannot {action} of {queue}: the server answered {status}{shown}: {message}");
    if BUSY_CODES.contains(&code) || matches!(status, 408 | 429 | 500..=599) {
        Error::Unavailable { reason }
    } else {
        Error::Refused { reason }
    }
}

/// What one failed entry of a call on several means.
pub(super) fn of_entry(action: &str, queue: &str, entry: &BatchResultErrorEntry) -> Error {
    let code = plain(entry.code());
    let message = entry.message().unwrap_or("no message").trim_end_matches('.');
    if is_lost(code, message) {
        return Error::LeaseLost;
    }
    let reason = format!("cannot {action} of {queue}: the server answered {code}: {message}");
    if BUSY_CODES.contains(&code) || !entry.sender_fault() {
        Error::Unavailable { reason }
    } else {
        Error::Refused { reason }
    }
}

/// Whether a code says that there is no such queue.
pub(super) fn is_missing(code: &str) -> bool {
    MISSING_CODES.contains(&plain(code))
}

/// Whether a call was answered with a lack of permission, and nothing else that may be wrong with it.
pub(super) fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code().is_some_and(is_denial)
}

/// Whether a code says that somebody may not do what was asked for, under the names of AWS and of its imitations.
pub(super) fn is_denial(code: &str) -> bool {
    let code = plain(code);
    code.contains("AccessDenied") || matches!(code, "AuthorizationError" | "UnauthorizedOperation" | "NotAuthorized")
}

/// AWS names a lease that is gone in the words of a bad parameter ("Message does not exist or is not available for
/// visibility timeout change", "The receipt handle has expired"), and also one that was held for twelve hours.
fn is_lost(code: &str, message: &str) -> bool {
    LOST_CODES.contains(&code)
        || (PARAMETER_CODES.contains(&code)
            && (message.contains("ReceiptHandle") || message.contains("Total VisibilityTimeout")))
}

/// A code without the family that AWS puts before it.
fn plain(code: &str) -> &str {
    code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code)
}

/// Whether credentials may be had later: their server was slow, busy or out of reach.
fn is_passing(error: &CredentialsError) -> bool {
    let code = find::<ErrorMetadata>(error).and_then(ProvideErrorMetadata::code);
    matches!(error, CredentialsError::ProviderTimedOut(_))
        || code.is_some_and(|code| BUSY_CODES.contains(&code))
        || find::<ConnectorError>(error).is_some_and(|cause| cause.is_io() || cause.is_timeout())
}

/// The first error of a kind among an error and its causes.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// An error and its causes in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(error: &Error) -> &'static str {
        match error {
            Error::LeaseLost => "lost",
            Error::Unavailable { .. } => "unavailable",
            Error::Refused { .. } => "refused",
        }
    }

    #[test]
    fn an_answer_is_judged_by_its_code_then_by_its_status() {
        for (status, code, message, expected) in [
            (400, "AWS.SimpleQueueService.NonExistentQueue", "", "refused"),
            (400, "QueueDoesNotExist", "", "refused"),
            (403, "AccessDenied", "", "refused"),
            (403, "InvalidClientTokenId", "", "refused"),
            (400, "InvalidMessageContents", "", "refused"),
            (403, "RequestThrottled", "", "unavailable"),
            (400, "ThrottlingException", "", "unavailable"),
            (403, "OverLimit", "", "unavailable"),
            (503, "", "", "unavailable"),
            (500, "Whatever", "", "unavailable"),
            (404, "ReceiptHandleIsInvalid", "", "lost"),
            (400, "AWS.SimpleQueueService.MessageNotInflight", "", "lost"),
            (
                400,
                "InvalidParameterValue",
                "Value A for parameter ReceiptHandle is invalid. Reason: Message does not exist.",
                "lost",
            ),
            (
                400,
                "InvalidParameterValueException",
                "Value A for parameter ReceiptHandle is invalid. Reason: Message does not exist.",
                "lost",
            ),
            (
                400,
                "InvalidParameterValue",
                "Value 3 for parameter MaxNumberOfMessages is invalid.",
                "refused",
            ),
        ] {
            let error = of_answer("receive messages", "q", status, plain(code), message);
            assert_eq!(kind(&error), expected, "{status} {code} {message}");
        }
    }

    #[test]
    fn a_lack_of_permission_is_told_from_a_handle_that_is_none() {
        for (code, is) in [
            ("AccessDenied", true),
            ("AccessDeniedException", true),
            ("AWS.SimpleQueueService.AccessDenied", true),
            ("KmsAccessDenied", true),
            ("AuthorizationError", true),
            ("ReceiptHandleIsInvalid", false),
            ("EmptyBatchRequest", false),
            ("InternalError", false),
            ("", false),
        ] {
            assert_eq!(is_denial(code), is, "{code}");
        }
    }

    #[test]
    fn an_entry_is_judged_by_its_code_then_by_whose_fault_it_is() {
        for (code, sender_fault, expected) in [
            ("InternalError", false, "unavailable"),
            ("RequestThrottled", true, "unavailable"),
            ("Unheard", false, "unavailable"),
            ("Unheard", true, "refused"),
            ("ReceiptHandleIsInvalid", true, "lost"),
            ("AWS.SimpleQueueService.MessageNotInflight", false, "lost"),
        ] {
            let entry = BatchResultErrorEntry::builder()
                .id("0")
                .code(code)
                .sender_fault(sender_fault)
                .build()
                .unwrap();
            assert_eq!(
                kind(&of_entry("delete messages", "q", &entry)),
                expected,
                "{code} {sender_fault}"
            );
        }
    }
}
