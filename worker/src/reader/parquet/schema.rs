//! The Arrow types that a file's columns are read as.
//!
//! An embedded Arrow schema is a hint; one that contradicts the file is left aside. What differs from the `parquet` crate's
//! choice: an INT96 timestamp is read to the microsecond, because its nanoseconds would wrap silently outside of 1677 to
//! 2262; an ENUM is text; JSON and UUID columns are marked as such also where only an old annotation, or an embedded schema
//! that does not say so, is there.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use parquet::{
    arrow::parquet_to_arrow_schema,
    basic::{ConvertedType, LogicalType, Type},
    file::metadata::ParquetMetaData,
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};

use super::{Error, guard, selection};
use crate::batch::EXTENSION;

/// The fields of a file, one leaf for each of its columns, in order.
pub(super) fn fields(metadata: &ParquetMetaData) -> Result<Fields, Error> {
    let metadata = metadata.file_metadata();
    let schema = metadata.schema_descr();
    let embedded = metadata.key_value_metadata();
    let hinted = parquet_to_arrow_schema(schema, embedded)
        .ok()
        .filter(|arrow| leaf_count(&arrow.fields) == schema.num_columns());
    let fields = match hinted {
        Some(arrow) => arrow.fields,
        None => parquet_to_arrow_schema(schema, None).map_err(guard::decoding)?.fields,
    };
    let leaves = leaf_count(&fields);
    if leaves != schema.num_columns() {
        let found = schema.num_columns();
        return Err(Error::Unsupported(format!(
            "its {found} columns have {leaves} places in its schema"
        )));
    }
    if let Some(name) = selection::duplicate(&fields) {
        return Err(Error::Unsupported(format!("two of its columns have the name `{name}`")));
    }
    Ok(all(&fields, schema, &mut 0))
}

fn leaf_count(fields: &Fields) -> usize {
    fields
        .iter()
        .map(|field| selection::leaf_count(field.data_type()))
        .sum()
}

fn all(fields: &Fields, schema: &SchemaDescriptor, next: &mut usize) -> Fields {
    fields.iter().map(|field| one(field, schema, next)).collect()
}

/// A field, whose first leaf is the column `next`, as it is read.
fn one(field: &FieldRef, schema: &SchemaDescriptor, next: &mut usize) -> FieldRef {
    let kind = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(all(fields, schema, next)),
        DataType::List(element) => DataType::List(one(element, schema, next)),
        DataType::LargeList(element) => DataType::LargeList(one(element, schema, next)),
        DataType::ListView(element) => DataType::ListView(one(element, schema, next)),
        DataType::LargeListView(element) => DataType::LargeListView(one(element, schema, next)),
        DataType::FixedSizeList(element, length) => DataType::FixedSizeList(one(element, schema, next), *length),
        DataType::Map(entries, sorted) => DataType::Map(one(entries, schema, next), *sorted),
        _ => {
            let column = schema.column(*next);
            *next += 1;
            return Arc::new(leaf(field, &column));
        }
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

fn leaf(field: &Field, column: &ColumnDescriptor) -> Field {
    let (logical, converted) = (column.logical_type_ref(), column.converted_type());
    let is_enum = matches!(logical, Some(LogicalType::Enum)) || converted == ConvertedType::ENUM;
    let is_json = matches!(logical, Some(LogicalType::Json)) || converted == ConvertedType::JSON;
    let kind = match field.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) if column.physical_type() == Type::INT96 => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::Binary if is_enum => DataType::Utf8,
        kind => kind.clone(),
    };
    let extension = match &kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_json => Some("arrow.json"),
        DataType::FixedSizeBinary(16) if matches!(logical, Some(LogicalType::Uuid)) => Some("arrow.uuid"),
        _ => None,
    };
    let mut field = field.clone().with_data_type(kind);
    if let Some(extension) = extension
        && !field.metadata().contains_key(EXTENSION)
    {
        let mut metadata: std::collections::HashMap<_, _> = field.metadata().clone().into_iter().collect();
        metadata.insert(EXTENSION.to_owned(), extension.to_owned());
        field = field.with_metadata(metadata);
    }
    field
}
