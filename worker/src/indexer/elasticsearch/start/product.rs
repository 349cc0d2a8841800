//! Which product a cluster is, and of which version.

use std::fmt;

use elasticsearch::http::headers::HeaderMap;
use serde_json::Value;

use crate::indexer::elasticsearch::judge::whole_words;

/// What answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Product {
    /// Elasticsearch, of this version if we may know it.
    Elasticsearch(Option<String>),
    /// OpenSearch, of this version.
    OpenSearch(String),
    /// Something that does not let us ask.
    Unknown,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elasticsearch(Some(version)) => write!(f, "Elasticsearch {version}"),
            Self::Elasticsearch(None) => f.write_str("Elasticsearch"),
            Self::OpenSearch(version) => write!(f, "OpenSearch {version}"),
            Self::Unknown => f.write_str("one that does not say what it is"),
        }
    }
}

/// The oldest major versions whose bulks are known to be as we take them to be.
const ELASTICSEARCH_MIN: u64 = 8;
const OPENSEARCH_MIN: u64 = 2;

/// Elasticsearch names itself in each answer's header, also where the question is not allowed.
const PRODUCT_HEADER: &str = "x-elastic-product";

/// Finds out what answered `GET /`. The error says what is wrong with it.
pub(super) fn identify(status: u16, headers: &HeaderMap, body: &[u8]) -> Result<Product, String> {
    if status == 401 {
        return Err(not_signed_in(body));
    }
    let about: Value = serde_json::from_slice(body).unwrap_or_default();
    let version = about["version"]["number"].as_str().filter(|_| status == 200);
    let is_opensearch = about["version"]["distribution"] == "opensearch";
    let is_elasticsearch = headers
        .get(PRODUCT_HEADER)
        .is_some_and(|value| value == "Elasticsearch");
    match version {
        Some(version) if is_opensearch => {
            known(version, OPENSEARCH_MIN, "OpenSearch")?;
            Ok(Product::OpenSearch(version.to_owned()))
        }
        // Before 7.14 there was no header.
        Some(version) if is_elasticsearch || about["tagline"] == "You Know, for Search" => {
            known(version, ELASTICSEARCH_MIN, "Elasticsearch")?;
            Ok(Product::Elasticsearch(Some(version.to_owned())))
        }
        _ if is_elasticsearch => Ok(Product::Elasticsearch(None)),
        _ if status == 200 => {
            Err("what answers at --es-url is neither Elasticsearch nor OpenSearch: is it the right address?".to_owned())
        }
        _ => Ok(Product::Unknown),
    }
}

fn known(version: &str, major_min: u64, name: &str) -> Result<(), String> {
    let major = version.split('.').next().and_then(|major| major.parse::<u64>().ok());
    match major {
        Some(major) if major < major_min => Err(format!(
            "{name} {version} is too old: Paraflow writes to Elasticsearch from 8 and to OpenSearch from 2 on"
        )),
        _ => Ok(()),
    }
}

/// What to do about an answer that says that we are nobody.
pub(super) fn not_signed_in(body: &[u8]) -> String {
    format!(
        "not signed in: give --es-api-key-file, --es-bearer-file, or --es-username with --es-password-file, and look whether what \
         is in the file is still valid: {}",
        whole_words(401, body)
    )
}

#[cfg(test)]
mod tests {
    use elasticsearch::http::headers::HeaderValue;

    use super::*;

    fn identified(status: u16, has_header: bool, body: &str) -> Result<Product, String> {
        let mut headers = HeaderMap::new();
        if has_header {
            headers.insert(PRODUCT_HEADER, HeaderValue::from_static("Elasticsearch"));
        }
        identify(status, &headers, body.as_bytes())
    }

    #[test]
    fn elasticsearch_and_opensearch_are_told_by_what_they_say_of_themselves() {
        for (status, has_header, body, product) in [
            (
                200,
                true,
                r#"{"version":{"number":"8.19.2"}}"#,
                Product::Elasticsearch(Some("8.19.2".to_owned())),
            ),
            (
                200,
                false,
                r#"{"version":{"number":"3.8.0","distribution":"opensearch"}}"#,
                Product::OpenSearch("3.8.0".to_owned()),
            ),
            (405, true, r#"{"error":"no"}"#, Product::Elasticsearch(None)),
            (403, true, "", Product::Elasticsearch(None)),
            (403, false, "", Product::Unknown),
            (404, false, "", Product::Unknown),
        ] {
            assert_eq!(identified(status, has_header, body), Ok(product), "{status} {body}");
        }
    }

    #[test]
    fn what_is_too_old_or_something_else_is_refused() {
        for (status, has_header, body, message) in [
            (
                200,
                true,
                r#"{"version":{"number":"7.17.0"}}"#,
                "Elasticsearch 7.17.0 is too old",
            ),
            (
                200,
                false,
                r#"{"version":{"number":"6.8.0"},"tagline":"You Know, for Search"}"#,
                "Elasticsearch 6.8.0 is too old",
            ),
            (
                200,
                false,
                r#"{"version":{"number":"1.3.0","distribution":"opensearch"}}"#,
                "OpenSearch 1.3.0 is too old",
            ),
            (200, false, "<html>", "what answers at --es-url is neither"),
            (401, true, "{}", "not signed in"),
        ] {
            let error = identified(status, has_header, body).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
