//! The gathered columns as one Arrow record batch.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Float64Array, Int64Array, ListArray, NullArray,
        RecordBatch, RecordBatchOptions, StructArray,
    },
    buffer::{BooleanBuffer, NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
};

use super::{
    column::{Column, NEVER, Nulls, Values},
    object::{Object, Target},
    pool::Pool,
};
use crate::batch::{NULLS, NULLS_ABSENT};

// As Arrow's columnar format specifies extension types, and its canonical extension `arrow.json`.
const EXTENSION_TYPE_NAME_KEY: &str = "ARROW:extension:name";
const EXTENSION_TYPE_METADATA_KEY: &str = "ARROW:extension:metadata";

/// The record's columns as a batch of `rows` rows. The schema is `last_schema` itself if it is the same.
pub(super) fn record_batch(
    record: &mut Object,
    rows: u32,
    last_schema: &mut Option<SchemaRef>,
    pool: &mut Pool,
) -> RecordBatch {
    let (fields, arrays) = children(record, rows, pool);
    let schema = match last_schema {
        Some(schema) if *schema.fields() == fields => Arc::clone(schema),
        _ => Arc::clone(last_schema.insert(Arc::new(Schema::new(fields)))),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
    RecordBatch::try_new_with_options(schema, arrays, &options).expect("every column was filled up to the same length")
}

/// The columns of an object with `rows` rows, in order of appearance.
fn children(object: &mut Object, rows: u32, pool: &mut Pool) -> (Fields, Vec<ArrayRef>) {
    let mut fields = Vec::with_capacity(object.order.len());
    let mut arrays = Vec::with_capacity(object.order.len());
    for child in &object.order {
        let child = &mut object.children[*child as usize];
        let Target::Column(column) = &mut child.target else {
            continue;
        };
        if column.first_null == NEVER && !column.has_values() {
            // Fields below it were asked for, and no record had an object here.
            continue;
        }
        let explicit_nulls = column.first_null != NEVER;
        column.push_nulls(rows - column.length);
        let (mut field, array) = field_and_array(&child.name, column, pool);
        if !explicit_nulls {
            field.metadata_mut().insert(NULLS, NULLS_ABSENT);
        }
        fields.push(field);
        arrays.push(array);
    }
    (fields.into(), arrays)
}

/// A column as an array, which takes its buffers.
fn field_and_array(name: &str, column: &mut Column, pool: &mut Pool) -> (Field, ArrayRef) {
    let length = column.length as usize;
    let field = |data_type: DataType| Field::new(name, data_type, true);
    if !column.has_values() {
        return (field(DataType::Null), Arc::new(NullArray::new(length)));
    }
    let nulls = null_buffer(&column.nulls, column.length);
    let array: ArrayRef = match &mut column.values {
        Values::Nothing => Arc::new(NullArray::new(length)),
        Values::Boolean(values) => {
            let bits = BooleanBuffer::collect_bool(length, |row| values[row]);
            Arc::new(BooleanArray::new(bits, nulls))
        }
        Values::Int64(values) => Arc::new(Int64Array::new(pool.ints.swap(values).into(), nulls)),
        Values::Float64(values) => Arc::new(Float64Array::new(pool.floats.swap(values).into(), nulls)),
        Values::Utf8(strings) => Arc::new(strings.take_array(nulls, pool)),
        Values::Json(strings) => {
            let mut field = field(DataType::Utf8);
            field.metadata_mut().insert(EXTENSION_TYPE_NAME_KEY, "arrow.json");
            field.metadata_mut().insert(EXTENSION_TYPE_METADATA_KEY, "");
            return (field, Arc::new(strings.take_array(nulls, pool)));
        }
        Values::Struct(object) => {
            let (fields, arrays) = children(object, column.length, pool);
            Arc::new(StructArray::try_new_with_length(fields, arrays, nulls, length).expect("children have its length"))
        }
        Values::List(list) => {
            let (item_field, items) = field_and_array(Field::LIST_FIELD_DEFAULT_NAME, &mut list.item, pool);
            let offsets = OffsetBuffer::new(pool.offsets.swap(&mut list.offsets).into());
            list.offsets.push(0);
            Arc::new(ListArray::new(Arc::new(item_field), offsets, items, nulls))
        }
    };
    (field(array.data_type().clone()), array)
}

fn null_buffer(nulls: &Nulls, length: u32) -> Option<NullBuffer> {
    if nulls.count == 0 {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(length as usize);
    for (start, count) in &nulls.runs {
        bits.append_n(*start as usize - bits.len(), true);
        bits.append_n(*count as usize, false);
    }
    bits.append_n(length as usize - bits.len(), true);
    Some(NullBuffer::new(bits.finish()))
}
