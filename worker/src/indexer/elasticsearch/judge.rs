//! What an answer means for a document, and for a request: one table each, pure.

use super::answer::whole_problem;

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It was there before.
    Duplicate,
    /// It may be taken another time.
    Retry,
    /// It will never be taken.
    Rejected,
    /// No document will be taken until somebody changes the cluster or the flags.
    Refused,
}

/// Kinds of errors with status 400 that are no fault of the document.
const REFUSALS: [&str; 2] = ["index_closed_exception", "no_such_pipeline_exception"];

/// Kinds of errors with status 500 that are the document's fault: an ingest pipeline that fails on it, on purpose or not,
/// fails on it every time.
const REJECTIONS: [&str; 2] = ["fail_processor_exception", "ingest_processor_exception"];

/// Judges a document that was not simply taken.
pub(super) fn document(status: u16, kind: &str, reason: &str) -> Judgement {
    match status {
        // With `create`: the `_id` is there. With `index` and an external version: this version or a later one is.
        409 => Judgement::Duplicate,
        401 | 403 | 404 => Judgement::Refused,
        500 if REJECTIONS.contains(&kind) => Judgement::Rejected,
        408 | 429 | 500.. => Judgement::Retry,
        _ if REFUSALS.contains(&kind) => Judgement::Refused,
        // Both say this as an illegal argument of every single document.
        _ if reason.starts_with("pipeline with id [") && reason.contains("does not exist") => Judgement::Refused,
        _ if reason.starts_with("only write ops with an op_type of create are allowed in data streams") => {
            Judgement::Refused
        }
        _ => Judgement::Rejected,
    }
}

/// What a request's status means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whole {
    /// Its documents were judged one by one.
    Answered,
    /// No room now.
    Busy,
    /// The node can't work now; another one may.
    Unwell,
    /// Who we are was not believed.
    NotSignedIn,
    /// Too large: half of it may be taken.
    TooLarge,
    /// Something in it is wrong, and it is not said what: half of it may be right.
    Malformed,
    /// Nothing like it will be taken.
    Refused,
}

/// Judges a request by its answer's status.
pub(super) fn request(status: u16) -> Whole {
    match status {
        200 => Whole::Answered,
        429 => Whole::Busy,
        408 | 500.. => Whole::Unwell,
        401 => Whole::NotSignedIn,
        413 => Whole::TooLarge,
        400 => Whole::Malformed,
        _ => Whole::Refused,
    }
}

/// An answer's error in words.
pub(super) fn words(status: u16, kind: &str, reason: &str) -> String {
    match (kind, reason) {
        ("", "") => format!("status {status}"),
        ("", reason) => format!("status {status}: {reason}"),
        (kind, "") => kind.to_owned(),
        (kind, reason) => format!("{kind}: {reason}"),
    }
}

/// The error of a request that was not answered document by document, in words.
pub(super) fn whole_words(status: u16, body: &[u8]) -> String {
    let (kind, reason) = whole_problem(body);
    match words(status, &kind, &reason) {
        words if kind.is_empty() => words,
        words => format!("status {status}: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_judged_by_its_status_and_by_errors_that_are_not_its_own() {
        for (status, kind, reason, judgement) in [
            (409, "version_conflict_engine_exception", "", Judgement::Duplicate),
            (429, "es_rejected_execution_exception", "", Judgement::Retry),
            (429, "rejected_execution_exception", "", Judgement::Retry),
            (429, "cluster_block_exception", "", Judgement::Retry),
            (503, "unavailable_shards_exception", "", Judgement::Retry),
            (500, "", "", Judgement::Retry),
            (500, "fail_processor_exception", "", Judgement::Rejected),
            (403, "security_exception", "", Judgement::Refused),
            (403, "cluster_block_exception", "", Judgement::Refused),
            (404, "index_not_found_exception", "", Judgement::Refused),
            (400, "index_closed_exception", "", Judgement::Refused),
            (
                400,
                "illegal_argument_exception",
                "pipeline with id [p] does not exist",
                Judgement::Refused,
            ),
            (
                400,
                "illegal_argument_exception",
                "only write ops with an op_type of create are allowed in data streams",
                Judgement::Refused,
            ),
            (
                400,
                "illegal_argument_exception",
                "limit of fields",
                Judgement::Rejected,
            ),
            (400, "document_parsing_exception", "", Judgement::Rejected),
            (400, "mapper_parsing_exception", "", Judgement::Rejected),
            (413, "", "", Judgement::Rejected),
        ] {
            assert_eq!(document(status, kind, reason), judgement, "{status} {kind} {reason}");
        }
    }

    #[test]
    fn a_request_is_judged_by_its_status() {
        for (status, whole) in [
            (200, Whole::Answered),
            (302, Whole::Refused),
            (400, Whole::Malformed),
            (401, Whole::NotSignedIn),
            (403, Whole::Refused),
            (404, Whole::Refused),
            (406, Whole::Refused),
            (408, Whole::Unwell),
            (413, Whole::TooLarge),
            (429, Whole::Busy),
            (500, Whole::Unwell),
            (502, Whole::Unwell),
            (503, Whole::Unwell),
            (504, Whole::Unwell),
        ] {
            assert_eq!(request(status), whole, "{status}");
        }
    }

    #[test]
    fn errors_are_said_as_the_cluster_says_them() {
        assert_eq!(words(400, "a", "b"), "a: b");
        assert_eq!(words(503, "", ""), "status 503");
        assert_eq!(
            whole_words(403, br#"{"error":{"type":"security_exception","reason":"no"}}"#),
            "status 403: security_exception: no"
        );
        assert_eq!(whole_words(502, b"Bad Gateway"), "status 502: Bad Gateway");
    }
}
