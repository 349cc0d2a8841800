//! The keys of a map as the keys of a JSON object.

use std::io::Write as _;

use arrow::{
    array::{Array, MapArray},
    datatypes::{DataType, Field},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

use super::texts::Texts;

/// The keys of a column of maps.
pub struct Keys<'a>(Kind<'a>);

enum Kind<'a> {
    Texts(Texts<'a>),
    Others(ArrayFormatter<'a>),
}

impl<'a> Keys<'a> {
    /// The keys of all entries, in the order of these.
    ///
    /// # Errors
    /// If keys of this type have no text.
    pub fn new(map: &'a MapArray) -> Result<Self, ArrowError> {
        let keys = map.keys().as_ref();
        let texts = key_field(map.data_type()).and_then(|field| Texts::new(field, keys));
        Ok(Self(match texts {
            Some(texts) => Kind::Texts(texts),
            None => Kind::Others(ArrayFormatter::try_new(
                keys,
                &FormatOptions::new().with_display_error(false),
            )?),
        }))
    }

    /// Appends the text of an entry's key, without quotes or escapes.
    pub fn write(&self, entry: usize, out: &mut Vec<u8>) {
        match &self.0 {
            Kind::Texts(keys) => keys.write(entry, out),
            // What is no moment always has a text.
            Kind::Others(keys) => write!(out, "{}", keys.value(entry)).expect("memory takes it"),
        }
    }
}

fn key_field(map: &DataType) -> Option<&Field> {
    let DataType::Map(entries, _) = map else { return None };
    let DataType::Struct(fields) = entries.data_type() else {
        return None;
    };
    Some(fields.first()?.as_ref())
}
