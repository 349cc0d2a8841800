//! What an answer means for a document, and for a request: one table each, pure.

use super::answer::whole_problem;

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Its `_id` is there.
    Exists,
    /// It may be taken another time.
    Retry,
    /// It will never be taken.
    Rejected,
    /// Its own fault, or that of what it goes to: what becomes of others tells.
    Doubtful,
    /// The fault of what it goes to, which may pass soon.
    Stuck,
    /// No document will be taken until somebody changes the cluster or the flags.
    Refused,
}

/// Errors of single documents that are no fault of theirs, and what to do about them.
struct Known {
    /// The error's type; any if it is empty.
    kind: &'static str,
    /// What stands in its reason, all of it.
    texts: &'static [&'static str],
    judgement: Judgement,
    advice: &'static str,
}

/// The texts are those of Elasticsearch 8 and 9, of OpenSearch 2 and 3, and of Amazon OpenSearch Serverless.
const KNOWN: [Known; 19] = [
    Known {
        kind: "",
        texts: &["maximum", "shards open"],
        judgement: Judgement::Stuck,
        advice: "delete indices, add nodes, or raise cluster.max_shards_per_node",
    },
    Known {
        kind: "validation_exception",
        texts: &[],
        judgement: Judgement::Stuck,
        advice: "the index can't be made: see its template and the cluster's limits",
    },
    Known {
        kind: "",
        texts: &["no write index is defined for alias"],
        judgement: Judgement::Stuck,
        advice: "give the alias one index with is_write_index",
    },
    Known {
        kind: "",
        texts: &["ocuments in", "exceed"],
        judgement: Judgement::Stuck,
        advice: "the index is full: roll it over, or write to another",
    },
    Known {
        kind: "",
        texts: &["Limit of total fields"],
        judgement: Judgement::Doubtful,
        advice: "raise index.mapping.total_fields.limit, or leave fields out with --columns or --exclude",
    },
    Known {
        kind: "",
        texts: &["Limit of nested fields"],
        judgement: Judgement::Doubtful,
        advice: "raise index.mapping.nested_fields.limit",
    },
    Known {
        kind: "",
        texts: &["Document ID is not supported"],
        judgement: Judgement::Refused,
        advice: "what documents go to makes up their ids itself: use --es-id auto",
    },
    Known {
        kind: "",
        texts: &["_id must be unset"],
        judgement: Judgement::Refused,
        advice: "what documents go to makes up their ids itself: use --es-id auto",
    },
    Known {
        kind: "",
        texts: &["specifying routing is not supported"],
        judgement: Judgement::Refused,
        advice: "leave out --es-routing-field",
    },
    Known {
        kind: "",
        texts: &["specifies a custom routing"],
        judgement: Judgement::Refused,
        advice: "leave out --es-routing-field, or set allow_custom_routing in the data stream's template",
    },
    Known {
        kind: "routing_missing_exception",
        texts: &[],
        judgement: Judgement::Refused,
        advice: "give --es-routing-field",
    },
    Known {
        kind: "",
        texts: &["only write ops with an op_type of create are allowed in data streams"],
        judgement: Judgement::Refused,
        advice: "use --es-op-type create",
    },
    Known {
        kind: "",
        texts: &["pipeline with id [", "does not exist"],
        judgement: Judgement::Refused,
        advice: "make the pipeline",
    },
    Known {
        kind: "no_such_pipeline_exception",
        texts: &[],
        judgement: Judgement::Refused,
        advice: "make the pipeline",
    },
    Known {
        kind: "index_closed_exception",
        texts: &[],
        judgement: Judgement::Refused,
        advice: "open the index",
    },
    Known {
        kind: "cluster_block_exception",
        texts: &["allow delete"],
        judgement: Judgement::Retry,
        advice: "the disks are too full: make room",
    },
    Known {
        kind: "cluster_block_exception",
        texts: &[],
        judgement: Judgement::Refused,
        advice: "take the block away, or write to another index",
    },
    Known {
        kind: "security_exception",
        texts: &[],
        judgement: Judgement::Refused,
        advice: "grant the right to write there, or sign in as somebody else",
    },
    Known {
        kind: "resource_already_exists_exception",
        texts: &[],
        judgement: Judgement::Retry,
        advice: "",
    },
];

fn known(kind: &str, reason: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        (known.kind.is_empty() || known.kind == kind) && known.texts.iter().all(|text| reason.contains(text))
    })
}

/// Kinds of errors with status 500 that are the document's fault: an ingest pipeline that fails on it, on purpose or not,
/// fails on it every time.
const REJECTIONS: [&str; 2] = ["fail_processor_exception", "ingest_processor_exception"];

/// Judges a document that was not taken. Where its index is `of_its_own` choice, what is wrong with the index may be its own
/// fault, or that of whoever wrote it.
pub(super) fn document(status: u16, kind: &str, reason: &str, of_its_own: bool) -> Judgement {
    let judgement = match status {
        409 => Judgement::Exists,
        500 if REJECTIONS.contains(&kind) => Judgement::Rejected,
        408 | 429 | 500.. => Judgement::Retry,
        _ => match known(kind, reason) {
            Some(known) => known.judgement,
            None if matches!(status, 401 | 403 | 404) => Judgement::Refused,
            None => Judgement::Rejected,
        },
    };
    match judgement {
        // That is said of every index.
        _ if reason.contains("shards open") || reason.contains("cluster read-only") => judgement,
        Judgement::Refused | Judgement::Stuck if of_its_own => Judgement::Doubtful,
        judgement => judgement,
    }
}

/// A document's error in words, with what is to be done about it where that is known.
pub(super) fn document_words(status: u16, kind: &str, reason: &str) -> String {
    let words = words(status, kind, reason);
    match known(kind, reason).filter(|known| !known.advice.is_empty() && status < 500) {
        Some(known) => format!("{words}: {}", known.advice),
        None => words,
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
            (409, "version_conflict_engine_exception", "", Judgement::Exists),
            (429, "es_rejected_execution_exception", "", Judgement::Retry),
            (429, "rejected_execution_exception", "", Judgement::Retry),
            (429, "cluster_block_exception", "", Judgement::Retry),
            (503, "unavailable_shards_exception", "", Judgement::Retry),
            (500, "", "", Judgement::Retry),
            (500, "fail_processor_exception", "", Judgement::Rejected),
            (403, "security_exception", "", Judgement::Refused),
            (
                403,
                "cluster_block_exception",
                "index [a] blocked by: [FORBIDDEN/8/index write (api)];",
                Judgement::Refused,
            ),
            (
                403,
                "cluster_block_exception",
                "blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];",
                Judgement::Retry,
            ),
            (404, "index_not_found_exception", "", Judgement::Refused),
            (400, "index_closed_exception", "", Judgement::Refused),
            (400, "resource_already_exists_exception", "", Judgement::Retry),
            (
                400,
                "routing_missing_exception",
                "routing is required for [a]/[b]",
                Judgement::Refused,
            ),
            (
                400,
                "validation_exception",
                "Validation Failed: 1: this action would add [2] total shards, but this cluster currently has [1000]/[1000] \
                 maximum normal shards open;",
                Judgement::Stuck,
            ),
            (
                400,
                "illegal_argument_exception",
                "this action would add [2] shards, but this cluster currently has [10]/[10] maximum shards open",
                Judgement::Stuck,
            ),
            (
                400,
                "illegal_argument_exception",
                "no write index is defined for alias [a]. The write index may be explicitly disabled",
                Judgement::Stuck,
            ),
            (
                400,
                "illegal_argument_exception",
                "Number of documents in the index can't exceed [2147483519]",
                Judgement::Stuck,
            ),
            (
                400,
                "document_parsing_exception",
                "[1:9] failed to parse: Limit of total fields [1000] has been exceeded while adding new fields [1]",
                Judgement::Doubtful,
            ),
            (
                400,
                "illegal_argument_exception",
                "Document ID is not supported in create/index operation request",
                Judgement::Refused,
            ),
            (
                400,
                "illegal_argument_exception",
                "_id must be unset or set to [a] but was [b] because [c] is in time_series mode",
                Judgement::Refused,
            ),
            (
                400,
                "illegal_argument_exception",
                "specifying routing is not supported because the destination index [a] is in time series mode",
                Judgement::Refused,
            ),
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
            assert_eq!(
                document(status, kind, reason, false),
                judgement,
                "{status} {kind} {reason}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_an_index_of_the_records_choice_may_be_the_records_fault() {
        for (status, kind, reason, judgement) in [
            (403, "security_exception", "", Judgement::Doubtful),
            (404, "index_not_found_exception", "", Judgement::Doubtful),
            (400, "index_closed_exception", "", Judgement::Doubtful),
            (
                403,
                "cluster_block_exception",
                "index [a] blocked by: [FORBIDDEN/8/index write (api)];",
                Judgement::Doubtful,
            ),
            (
                403,
                "cluster_block_exception",
                "blocked by: [FORBIDDEN/6/cluster read-only (api)];",
                Judgement::Refused,
            ),
            (
                400,
                "validation_exception",
                "[1]/[1] maximum normal shards open",
                Judgement::Stuck,
            ),
            (400, "document_parsing_exception", "", Judgement::Rejected),
            (409, "version_conflict_engine_exception", "", Judgement::Exists),
            (503, "", "", Judgement::Retry),
        ] {
            assert_eq!(
                document(status, kind, reason, true),
                judgement,
                "{status} {kind} {reason}"
            );
        }
    }

    #[test]
    fn what_is_to_be_done_is_said_behind_the_clusters_words() {
        assert_eq!(
            document_words(
                400,
                "illegal_argument_exception",
                "Document ID is not supported in create"
            ),
            "illegal_argument_exception: Document ID is not supported in create: what documents go to makes up their ids itself: \
             use --es-id auto"
        );
        assert_eq!(
            document_words(400, "document_parsing_exception", "r"),
            "document_parsing_exception: r"
        );
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
