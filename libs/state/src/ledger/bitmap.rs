//! A set of numbers as base64 of its Roaring format (`RoaringFormatSpec`, the 64-bit extension).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use roaring::RoaringTreemap;
use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

pub(super) fn serialize<S: Serializer>(set: &RoaringTreemap, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::with_capacity(set.serialized_size());
    set.serialize_into(&mut bytes).expect("writing to memory does not fail");
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RoaringTreemap, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = BASE64_STANDARD.decode(text).map_err(D::Error::custom)?;
    RoaringTreemap::deserialize_from(&bytes[..]).map_err(D::Error::custom)
}

/// The same where there may be none.
pub(super) mod optional {
    use roaring::RoaringTreemap;
    use serde::{Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "serde gives references")]
    pub(in crate::ledger) fn serialize<S: Serializer>(
        set: &Option<RoaringTreemap>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match set {
            Some(set) => super::serialize(set, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<RoaringTreemap>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}
