//! Finds the line and column of a field in a YAML text.
//!
//! The YAML library keeps no places in its values, but marks an error with the place that it was reading. So the text is
//! read once more, along the path, by a reader that fails on purpose at the field.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::validate::{FieldPath, Segment};

/// Line and column, both from 1, of the field's name or the list's element in the document with that number (from 0), or of
/// the closest thing around it that exists. `None` where the text has no such document.
pub fn locate(text: &str, document: usize, path: &FieldPath) -> Option<(usize, usize)> {
    // Shorter and shorter: what is missing has no place, but what it is missing from has.
    (0..=path.0.len()).rev().find_map(|length| {
        let document = serde_yaml::Deserializer::from_str(text).nth(document)?;
        let error = Along(&path.0[..length]).deserialize(document).err()?;
        let at = error.location()?;
        error.to_string().contains(FOUND).then_some((at.line(), at.column()))
    })
}

const FOUND: &str = "this is the place";

/// Reads a value along the rest of the path.
struct Along<'a>(&'a [Segment]);

impl<'de> DeserializeSeed<'de> for Along<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Along<'_> {
    fn scalar<E: de::Error>(&self) -> Result<(), E> {
        if self.0.is_empty() {
            Err(E::custom(FOUND))
        } else {
            Ok(())
        }
    }
}

impl<'de> Visitor<'de> for Along<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let wanted = match self.0.first() {
            None => return Err(de::Error::custom(FOUND)),
            Some(Segment::Key(name)) => name.as_str(),
            Some(Segment::Index(_)) => "",
        };
        let last = self.0.len() == 1;
        while let Some(here) = map.next_key_seed(Name { wanted, last })? {
            if here {
                map.next_value_seed(Along(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let wanted = match self.0.first() {
            None => return Err(de::Error::custom(FOUND)),
            Some(Segment::Index(index)) => Some(*index),
            Some(Segment::Key(_)) => None,
        };
        for at in 0.. {
            let more = if Some(at) == wanted {
                items.next_element_seed(Along(&self.0[1..]))?.is_some()
            } else {
                items.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.scalar()
    }
}

/// Reads a key: is it the wanted one? Fails there where it is the last of the path.
struct Name<'a> {
    wanted: &'a str,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<bool, E> {
        if name == self.wanted && self.last {
            return Err(E::custom(FOUND));
        }
        Ok(name == self.wanted)
    }
}
