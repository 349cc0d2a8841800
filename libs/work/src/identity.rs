//! What the `_id`s of all records of one version of an object begin with, as docs/elasticsearch.md has it.
//!
//! The first 128 bits, as base64url without padding (RFC 4648), of the SHA-256 of: the object's URI, a zero byte, and its entity
//! tag without the quotes that HTTP puts around it. Where the item has no entity tag, a second zero byte, the size in decimal,
//! a zero byte, and the time of the last change as RFC 3339 text (nothing if that is unknown) stand in its place: neither a URI
//! nor a tag has a zero byte in it, so no two objects give the same input.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::WorkItem;

/// How long the beginning is.
pub const PREFIX_CHARACTERS: usize = 22;
const PREFIX_BYTES: usize = 16;

/// The beginning, in ASCII.
pub fn prefix(item: &WorkItem) -> [u8; PREFIX_CHARACTERS] {
    let mut hash = Sha256::new();
    hash.update(item.uri.as_bytes());
    hash.update([0]);
    if let Some(etag) = &item.etag {
        hash.update(etag.trim_matches('"').as_bytes());
    } else {
        let changed = item.last_modified.map(|time| time.to_string()).unwrap_or_default();
        hash.update(format!("\0{}\0{changed}", item.size_bytes).as_bytes());
    }
    let mut characters = [0; PREFIX_CHARACTERS];
    BASE64_URL_SAFE_NO_PAD
        .encode_slice(&hash.finalize()[..PREFIX_BYTES], &mut characters)
        .expect("16 bytes are 22 characters");
    characters
}

/// The beginning as text.
pub fn prefix_text(item: &WorkItem) -> String {
    prefix(item).map(char::from).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(etag: Option<&str>) -> WorkItem {
        let json = r#"{"v":1,"job":"j","seq":0,"uri":"s3://logs/a.ndjson","size_bytes":100,"enqueued_at":"2024-01-01T00:00:00Z"}"#;
        WorkItem {
            etag: etag.map(str::to_owned),
            ..WorkItem::from_json(json).unwrap()
        }
    }

    #[test]
    fn it_is_what_the_identities_of_records_begin_with() {
        // printf 's3://logs/a.ndjson\0abc' | sha256sum | cut -c-32 | xxd -r -p | base64 | tr '+/' '-_'
        assert_eq!(prefix_text(&item(Some("abc"))), "GU1QmbNac3wkS6osuxVpeQ");
        assert_eq!(prefix_text(&item(Some("\"abc\""))), "GU1QmbNac3wkS6osuxVpeQ");
        // The same of s3://logs/a.ndjson, two zero bytes, 100, a zero byte.
        assert_eq!(prefix_text(&item(None)), "ZqzSy5OWN-osQMbtwVoGWw");
    }
}
