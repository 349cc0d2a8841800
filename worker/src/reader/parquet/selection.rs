//! Which leaf columns of a file the named fields are.
//!
//! As for NDJSON, a path `a.b` means the key `b` in the struct or map `a`, and also a key with the dot in it.

use std::{collections::HashSet, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StructArray},
    datatypes::{DataType, Field, Fields, Schema},
    error::ArrowError,
};

use crate::predicate::FieldPath;

/// The leaves of all paths, in order; a path that the file doesn't have adds none.
pub(super) fn leaves<'a>(fields: &Fields, paths: impl IntoIterator<Item = &'a FieldPath>) -> Vec<usize> {
    let mut places = Vec::new();
    for path in paths {
        find(fields, 0, &path.0, &mut places);
    }
    let mut found: Vec<_> = places.into_iter().flat_map(|(_, leaves)| leaves).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The first of the paths that leads into a map, and that map's path. A filter can follow it; but a column chunk has all
/// entries of a map, so that one of them can't be chosen as a column.
pub(super) fn within_map<'a>(fields: &Fields, paths: &'a [FieldPath]) -> Option<(&'a FieldPath, FieldPath)> {
    fn inside(fields: &Fields, keys: &[String]) -> Option<usize> {
        (1..keys.len()).find_map(|taken| {
            let name = keys[..taken].join(".");
            let mut named = fields.iter().filter(|field| *field.name() == name);
            named.find_map(|field| match field.data_type() {
                DataType::Map(..) => Some(taken),
                DataType::Struct(inner) => Some(taken + inside(inner, &keys[taken..])?),
                _ => None,
            })
        })
    }
    paths.iter().find_map(|path| {
        let length = inside(fields, &path.0)?;
        Some((path, FieldPath(path.0[..length].to_vec())))
    })
}

/// The leaf that a path is, if it is just one, of a plain type.
pub(super) fn only_leaf<'a>(fields: &'a Fields, path: &FieldPath) -> Option<(usize, &'a Field)> {
    let mut places = Vec::new();
    find(fields, 0, &path.0, &mut places);
    match places.as_slice() {
        [(field, leaves)] if !field.data_type().is_nested() => Some((leaves.start, *field)),
        _ => None,
    }
}

fn find<'a>(fields: &'a Fields, first: usize, keys: &[String], found: &mut Vec<(&'a Field, Range<usize>)>) {
    for taken in 1..=keys.len() {
        let name = keys[..taken].join(".");
        for (field, leaves) in with_leaves(fields, first) {
            if *field.name() != name {
                continue;
            }
            match field.data_type() {
                _ if taken == keys.len() => found.push((field, leaves)),
                DataType::Struct(inner) => find(inner, leaves.start, &keys[taken..], found),
                // Its keys are among its values.
                DataType::Map(..) => found.push((field, leaves)),
                _ => {}
            }
        }
    }
}

/// Each field with the numbers of its leaves.
fn with_leaves(fields: &Fields, first: usize) -> impl Iterator<Item = (&Field, Range<usize>)> {
    fields.iter().scan(first, |next, field| {
        let start = *next;
        *next += leaf_count(field.data_type());
        Some((field.as_ref(), start..*next))
    })
}

/// How many leaf columns a type has in Parquet.
pub(super) fn leaf_count(kind: &DataType) -> usize {
    match kind {
        DataType::Struct(fields) => fields.iter().map(|field| leaf_count(field.data_type())).sum(),
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _)
        | DataType::Map(element, _) => leaf_count(element.data_type()),
        _ => 1,
    }
}

/// What is left of fields of which only some leaves are read.
pub(super) fn kept(fields: &Fields, first: usize, leaves: &[usize]) -> Fields {
    with_leaves(fields, first)
        .filter(|(_, of)| leaves.iter().any(|leaf| of.contains(leaf)))
        .map(|(field, of)| match field.data_type() {
            DataType::Struct(inner) => {
                let inner = kept(inner, of.start, leaves);
                Arc::new(field.clone().with_data_type(DataType::Struct(inner)))
            }
            _ => Arc::new(field.clone()),
        })
        .collect()
}

/// The columns of `records` that `wanted` names, which may be fewer, also within structs.
pub(super) fn narrowed(records: &RecordBatch, wanted: &Fields) -> Result<RecordBatch, ArrowError> {
    fn inside(have: &Fields, columns: &[ArrayRef], wanted: &Fields) -> (Vec<Arc<Field>>, Vec<ArrayRef>) {
        let places = wanted
            .iter()
            .filter_map(|field| Some((field, have.find(field.name())?)));
        let narrow = |(wanted, (place, field)): (&Arc<Field>, (usize, &Arc<Field>))| {
            let column = &columns[place];
            match (wanted.data_type(), column.data_type()) {
                (DataType::Struct(wanted), DataType::Struct(have)) => {
                    let array = column.as_struct();
                    let (fields, inner) = inside(have, array.columns(), wanted);
                    let array = StructArray::new(fields.into(), inner, array.nulls().cloned());
                    let field = field.as_ref().clone().with_data_type(array.data_type().clone());
                    (Arc::new(field), Arc::new(array) as ArrayRef)
                }
                _ => (field.clone(), column.clone()),
            }
        };
        places.map(narrow).unzip()
    }
    let schema = records.schema();
    let (fields, columns) = inside(schema.fields(), records.columns(), wanted);
    let rows = RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}

/// A name that two fields of one struct have: such records can't be told apart as JSON.
pub(super) fn duplicate(fields: &Fields) -> Option<&str> {
    fn inside(kind: &DataType) -> Option<&str> {
        match kind {
            DataType::Struct(fields) => duplicate(fields),
            DataType::List(element)
            | DataType::LargeList(element)
            | DataType::ListView(element)
            | DataType::LargeListView(element)
            | DataType::FixedSizeList(element, _)
            | DataType::Map(element, _) => inside(element.data_type()),
            _ => None,
        }
    }
    let mut seen = HashSet::new();
    fields.iter().find_map(|field| {
        if seen.insert(field.name()) {
            inside(field.data_type())
        } else {
            Some(field.name().as_str())
        }
    })
}
