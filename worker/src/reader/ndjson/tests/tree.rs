//! JSON as values that two texts, or a text and columns, can be compared by: exact numbers, and keys without order.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Field, Float64Type, Int64Type},
};
use serde_json::value::RawValue;

use crate::batch::{NULLS, NULLS_ABSENT};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Null,
    Boolean(bool),
    Int(i64),
    /// The bits of a number that an `f64` stands for.
    Float(u64),
    /// A number that neither stands for, or a string that is no text.
    Verbatim(String),
    Text(String),
    List(Vec<Tree>),
    Object(BTreeMap<String, Tree>),
}

/// The tree of a JSON text.
pub(super) fn parsed(json: &str) -> Tree {
    let json = json.trim();
    match json.as_bytes()[0] {
        b'{' => {
            // A key with half of a surrogate pair is no text to serde_json.
            let Ok(members) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(json) else {
                return Tree::Verbatim(json.to_owned());
            };
            Tree::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (key, parsed(value.get())))
                    .collect(),
            )
        }
        b'[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(json).expect(json);
            Tree::List(items.iter().map(|item| parsed(item.get())).collect())
        }
        b'"' => serde_json::from_str(json).map_or_else(|_| Tree::Verbatim(json.to_owned()), Tree::Text),
        b'n' => Tree::Null,
        b't' | b'f' => Tree::Boolean(json == "true"),
        _ => number(json),
    }
}

fn number(json: &str) -> Tree {
    let whole = !json.contains(['.', 'e', 'E']);
    if whole
        && json != "-0"
        && let Ok(value) = json.parse()
    {
        return Tree::Int(value);
    }
    let mantissa = json.split(['e', 'E']).next().expect("a split has a first part");
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0').len();
    let value: f64 = json.parse().expect(json);
    if whole || digits > 17 || value.is_infinite() || (value == 0.0 && digits > 0) {
        return Tree::Verbatim(json.to_owned());
    }
    Tree::Float(value.to_bits())
}

/// The rows of a batch.
pub(super) fn rows(batch: &RecordBatch) -> Vec<Tree> {
    for column in batch.columns() {
        column
            .to_data()
            .validate_full()
            .expect("a column is what Arrow says it must be");
    }
    let schema = batch.schema();
    let members = |row| {
        let fields = schema.fields().iter().zip(batch.columns());
        Tree::Object(fields.filter_map(|(field, array)| member(field, array, row)).collect())
    };
    (0..batch.num_rows()).map(members).collect()
}

/// A key and its value, if the row has it.
fn member(field: &Field, array: &dyn Array, row: usize) -> Option<(String, Tree)> {
    let absent = field.metadata().get(NULLS).is_some_and(|nulls| nulls == NULLS_ABSENT);
    if absent && array.is_null(row) {
        return None;
    }
    Some((field.name().clone(), value(field, array, row)))
}

fn value(field: &Field, array: &dyn Array, row: usize) -> Tree {
    if array.is_null(row) || *field.data_type() == DataType::Null {
        return Tree::Null;
    }
    let json = field
        .metadata()
        .get("ARROW:extension:name")
        .is_some_and(|name| name == "arrow.json");
    match field.data_type() {
        DataType::Boolean => Tree::Boolean(array.as_boolean().value(row)),
        DataType::Int64 => Tree::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Tree::Float(array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Utf8 if json => parsed(array.as_string::<i32>().value(row)),
        DataType::Utf8 => Tree::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            Tree::Object(columns.filter_map(|(field, array)| member(field, array, row)).collect())
        }
        DataType::List(item) => {
            let items = array.as_list::<i32>().value(row);
            Tree::List((0..items.len()).map(|index| value(item, &items, index)).collect())
        }
        other => panic!("the decoder makes no {other}"),
    }
}
