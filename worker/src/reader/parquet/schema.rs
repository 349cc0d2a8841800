//! The Arrow types that a file's columns are read as.
//!
//! An embedded Arrow schema is a hint; one that contradicts the file is left aside. What differs from the `parquet` crate's
//! choice: INT96 timestamps and intervals are read as the twelve bytes that they are, because no type of Arrow's has the
//! whole of either (nanoseconds outside of 1677 to 2262, months beside days); an ENUM is text; JSON and UUID columns are
//! marked as such also where only an old annotation, or an embedded schema that does not say so, is there; columns of bytes
//! are marked with how they are to be written.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use parquet::{
    arrow::parquet_to_arrow_schema,
    basic::{ConvertedType, LogicalType, Type},
    errors::ParquetError,
    file::metadata::ParquetMetaData,
    schema::types::{self, ColumnDescriptor, SchemaDescPtr, SchemaDescriptor},
};

use super::{Error, guard, selection};
use crate::{
    batch::{BINARY, EXTENSION, INT96, INT96_INSTANT, INTERVAL, JSON, UUID},
    values::{binary::Binary, moments::INT96_BYTES},
};

/// The fields of a file, one leaf for each of its columns, in order; and its columns as decoders must see them to make
/// these fields of them.
pub(super) fn fields(metadata: &ParquetMetaData, binary: Binary) -> Result<(Fields, SchemaDescPtr), Error> {
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
    let fields = all(&fields, schema, binary, &mut 0);
    let decoded = if schema.columns().iter().any(|column| is_raw(column.self_type())) {
        let root = raw(schema.root_schema()).map_err(guard::decoding)?;
        Arc::new(SchemaDescriptor::new(Arc::new(root)))
    } else {
        metadata.schema_descr_ptr()
    };
    Ok((fields, decoded))
}

/// Whether a column is read as the bytes that it has.
fn is_raw(column: &types::Type) -> bool {
    let is_interval = column.get_basic_info().converted_type() == ConvertedType::INTERVAL;
    column.is_primitive() && (column.get_physical_type() == Type::INT96 || is_interval)
}

/// A type in which such columns are nothing but bytes.
fn raw(kind: &types::Type) -> Result<types::Type, ParquetError> {
    let info = kind.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if is_raw(kind) {
        return types::Type::primitive_type_builder(info.name(), Type::FIXED_LEN_BYTE_ARRAY)
            .with_repetition(info.repetition())
            .with_length(INT96_BYTES)
            .with_id(id)
            .build();
    }
    if kind.is_primitive() {
        return Ok(kind.clone());
    }
    let fields = kind.get_fields().iter().map(|field| Ok(Arc::new(raw(field)?)));
    let mut group = types::Type::group_type_builder(info.name())
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_fields(fields.collect::<Result<_, ParquetError>>()?)
        .with_id(id);
    if info.has_repetition() {
        group = group.with_repetition(info.repetition());
    }
    group.build()
}

fn leaf_count(fields: &Fields) -> usize {
    fields
        .iter()
        .map(|field| selection::leaf_count(field.data_type()))
        .sum()
}

fn all(fields: &Fields, schema: &SchemaDescriptor, binary: Binary, next: &mut usize) -> Fields {
    fields.iter().map(|field| one(field, schema, binary, next)).collect()
}

/// A field, whose first leaf is the column `next`, as it is read.
fn one(field: &FieldRef, schema: &SchemaDescriptor, binary: Binary, next: &mut usize) -> FieldRef {
    let kind = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(all(fields, schema, binary, next)),
        DataType::List(element) => DataType::List(one(element, schema, binary, next)),
        DataType::LargeList(element) => DataType::LargeList(one(element, schema, binary, next)),
        DataType::ListView(element) => DataType::ListView(one(element, schema, binary, next)),
        DataType::LargeListView(element) => DataType::LargeListView(one(element, schema, binary, next)),
        DataType::FixedSizeList(element, length) => {
            DataType::FixedSizeList(one(element, schema, binary, next), *length)
        }
        DataType::Map(entries, sorted) => DataType::Map(one(entries, schema, binary, next), *sorted),
        _ => {
            let column = schema.column(*next);
            *next += 1;
            return Arc::new(leaf(field, &column, binary));
        }
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

fn leaf(field: &Field, column: &ColumnDescriptor, binary: Binary) -> Field {
    let (logical, converted) = (column.logical_type_ref(), column.converted_type());
    let is_enum = matches!(logical, Some(LogicalType::Enum)) || converted == ConvertedType::ENUM;
    let is_json = matches!(logical, Some(LogicalType::Json)) || converted == ConvertedType::JSON;
    let mut metadata = field.metadata().clone();
    // What the bytes are is known from the file; a name from elsewhere says nothing of them.
    let mut is_certain = false;
    let (kind, extension) = match field.data_type() {
        kind if column.physical_type() == Type::INT96 => {
            is_certain = true;
            let is_instant = matches!(kind, DataType::Timestamp(_, Some(_)));
            let extension = if is_instant { INT96_INSTANT } else { INT96 };
            (DataType::FixedSizeBinary(INT96_BYTES), Some(extension))
        }
        _ if is_raw(column.self_type()) => {
            is_certain = true;
            (DataType::FixedSizeBinary(INT96_BYTES), Some(INTERVAL))
        }
        DataType::Binary if is_enum => (DataType::Utf8, None),
        kind @ (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) if is_json => (kind.clone(), Some(JSON)),
        kind @ DataType::FixedSizeBinary(16) if matches!(logical, Some(LogicalType::Uuid)) => {
            (kind.clone(), Some(UUID))
        }
        kind => (kind.clone(), None),
    };
    if let Some(extension) = extension
        && (is_certain || !metadata.contains_key(EXTENSION))
    {
        metadata.insert(EXTENSION.to_owned(), extension.to_owned());
    }
    let value = match &kind {
        DataType::Dictionary(_, value) => value.as_ref(),
        kind => kind,
    };
    if matches!(
        value,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
    ) {
        metadata.insert(BINARY.to_owned(), binary.name().to_owned());
    }
    field.clone().with_data_type(kind).with_metadata(metadata)
}
