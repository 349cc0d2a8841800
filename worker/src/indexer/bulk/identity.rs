//! The identity of a record, which makes delivery at least once have its effect once.
//!
//! `<22 characters>-<ordinal>`. The characters tell the version of the object, as [`pf_work::identity`] has it; the ordinal is
//! written in base 36, lower case.

use pf_work::{
    WorkItem,
    identity::{PREFIX_CHARACTERS, prefix},
};

/// The longest `_id` that Elasticsearch takes ("The `_id` field", Elasticsearch reference).
pub const ID_BYTES_MAX: usize = 512;

/// More digits than `u64::MAX` has in base 36.
const DIGITS_MAX: usize = 13;

/// What the identities of all records of an object begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdPrefix([u8; PREFIX_CHARACTERS]);

impl IdPrefix {
    /// The prefix for records of the item's object.
    pub fn new(item: &WorkItem) -> Self {
        Self(prefix(item))
    }

    /// Appends the identity of the record with this ordinal.
    pub(super) fn write(&self, ordinal: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
        out.push(b'-');
        base_36(ordinal, out);
    }
}

fn base_36(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize];
        number /= 36;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indexer::bulk::tests::item;

    fn id(item: &WorkItem, ordinal: u64) -> String {
        let mut out = Vec::new();
        IdPrefix::new(item).write(ordinal, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_identity_of_a_record_never_changes() {
        // printf 's3://logs/a.ndjson\0abc' | sha256sum | cut -c-32 | xxd -r -p | base64 | tr '+/' '-_'
        let tagged = item("s3://logs/a.ndjson", Some("abc"));
        assert_eq!(id(&tagged, 0), "GU1QmbNac3wkS6osuxVpeQ-0");
        assert_eq!(id(&tagged, 123_456_789), "GU1QmbNac3wkS6osuxVpeQ-21i3v9");
        assert_eq!(id(&tagged, u64::MAX), "GU1QmbNac3wkS6osuxVpeQ-3w5e11264sgsf");
        // The same of s3://logs/a.ndjson, two zero bytes, 100, a zero byte.
        assert_eq!(id(&item("s3://logs/a.ndjson", None), 35), "ZqzSy5OWN-osQMbtwVoGWw-z");
    }

    #[test]
    fn the_quotes_around_an_entity_tag_are_no_part_of_it() {
        assert_eq!(
            id(&item("s3://b/k", Some("\"abc\"")), 1),
            id(&item("s3://b/k", Some("abc")), 1)
        );
        assert_ne!(
            id(&item("s3://b/k", Some("abd")), 1),
            id(&item("s3://b/k", Some("abc")), 1)
        );
        assert_ne!(id(&item("s3://b/k", None), 1), id(&item("s3://b/k", Some("")), 1));
    }
}
