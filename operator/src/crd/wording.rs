//! What a person is told about a text that must have a certain form: in words and with an example, not as a regular
//! expression.
//!
//! Both stand in the schema, beside the pattern that they explain, as its `title` and `example`: [`crate::validate`] makes
//! its messages of them. The words go on from "must be".

use schemars::Schema;

/// Says what the text of a field must be.
pub(super) fn must_be(words: &'static str, example: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("title".to_owned(), words.into());
        schema.insert("example".to_owned(), example.into());
    }
}

/// Says what each text of a list must be, and what it is for.
pub(super) fn each_must_be(
    words: &'static str,
    example: &'static str,
    description: &'static str,
) -> impl FnMut(&mut Schema) {
    move |schema| {
        let items = schema.get_mut("items").and_then(|items| items.as_object_mut());
        let items = items.expect("lists of texts have a schema for their texts");
        items.insert("title".to_owned(), words.into());
        items.insert("example".to_owned(), example.into());
        items.insert("description".to_owned(), description.into());
    }
}

pub(super) const SIZE: &str = "a number of bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB right after it";
pub(super) const TIME: &str = "a date, or a date and time with its zone (RFC 3339)";
pub(super) const REGION: &str = "the name of a region";
pub(super) const SERVER: &str = "the address of a server, with http:// or https:// and without a path";
pub(super) const ADDRESS: &str = "an address with http:// or https://";
pub(super) const ROLE: &str = "the ARN of an IAM role";
pub(super) const INDEX: &str =
    r"a name in lower case that does not begin with - _ or +, without blanks and \ / * ? < > | , #";
pub(super) const OBJECT_NAME: &str = "the name of an object of Kubernetes: lower-case letters, digits, `-` and `.`";
pub(super) const ENTRY: &str = "the name of an entry: letters, digits, `-`, `_` and `.`";
