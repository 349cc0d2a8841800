//! The values of named fields in Arrow columns, as the JSON text that they are written as: what a record's address is made
//! from is then the same for lines and for columns.

use std::ops::Range;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    buffer::NullBuffer,
    datatypes::{DataType, FieldRef, Fields as ColumnFields},
};

use crate::{
    indexer::json::{Column, Encoder, Error},
    predicate::FieldPath,
    reader::ndjson::fields::Fields,
};

/// The columns that the paths of an addressing lead to, in one batch.
pub(super) struct Columns<'a> {
    found: Vec<Found<'a>>,
    paths: usize,
}

/// A column that a path leads to, or leads into.
struct Found<'a> {
    path: usize,
    values: Column<'a>,
    /// Where what it lies in is null.
    nulls: Option<NullBuffer>,
    /// Where the path goes on in the column's JSON.
    rest: Option<Fields>,
}

impl<'a> Columns<'a> {
    /// Looks for the paths; `encoder` writes what they lead to.
    pub(super) fn new(encoder: &'a Encoder, records: &'a RecordBatch, paths: &[FieldPath]) -> Result<Self, Error> {
        let mut found = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            let columns: Vec<_> = records.columns().iter().map(AsRef::as_ref).collect();
            let search = Search { encoder, path: number };
            search.find(records.schema_ref().fields(), &columns, None, &path.0, &mut found)?;
        }
        Ok(Self {
            found,
            paths: paths.len(),
        })
    }

    /// Puts the JSON texts of a row's values into `text`, which is emptied first, and their places into `places`.
    pub(super) fn read(&mut self, row: usize, text: &mut Vec<u8>, places: &mut Vec<Option<Range<usize>>>) {
        text.clear();
        places.clear();
        places.resize(self.paths, None);
        let mut inner = Vec::new();
        for found in &mut self.found {
            if places[found.path].is_some() || found.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let start = text.len();
            found.values.write(row, text);
            places[found.path] = match &mut found.rest {
                None => Some(start..text.len()),
                Some(rest) => {
                    rest.find(text, start, &mut inner);
                    inner[0].take()
                }
            };
        }
    }
}

struct Search<'a> {
    encoder: &'a Encoder,
    path: usize,
}

impl<'a> Search<'a> {
    /// Follows a path through keys and structs. A key may have the path's dots in it, so there may be several ways.
    fn find(
        &self,
        fields: &'a ColumnFields,
        columns: &[&'a dyn Array],
        nulls: Option<&NullBuffer>,
        keys: &[String],
        found: &mut Vec<Found<'a>>,
    ) -> Result<(), Error> {
        for taken in 1..=keys.len() {
            let name = keys[..taken].join(".");
            let Some(index) = fields.iter().position(|field| *field.name() == name) else {
                continue;
            };
            let (field, column, rest) = (&fields[index], columns[index], &keys[taken..]);
            match column.data_type() {
                DataType::Struct(below) if !rest.is_empty() => {
                    let nulls = NullBuffer::union(nulls, column.nulls());
                    let columns: Vec<_> = column.as_struct().columns().iter().map(AsRef::as_ref).collect();
                    self.find(struct_fields(field, below), &columns, nulls.as_ref(), rest, found)?;
                }
                _ => found.push(Found {
                    path: self.path,
                    values: self.encoder.column(field, column)?,
                    nulls: nulls.cloned(),
                    rest: (!rest.is_empty()).then(|| Fields::new(&[FieldPath(rest.to_vec())])),
                }),
            }
        }
        Ok(())
    }
}

/// The fields of a struct as its own field has them, with their metadata.
fn struct_fields<'a>(field: &'a FieldRef, otherwise: &'a ColumnFields) -> &'a ColumnFields {
    match field.data_type() {
        DataType::Struct(fields) => fields,
        _ => otherwise,
    }
}
