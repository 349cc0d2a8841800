//! How many bytes the values of a row have.

use std::ops::Range;

use arrow::{
    array::{Array, AsArray, GenericByteArray, OffsetSizeTrait, RecordBatch},
    datatypes::{ByteArrayType, DataType},
};

/// The rows whose values have more than so many bytes, with how many they have.
pub(super) fn rows_above(records: &RecordBatch, limit: u64) -> Vec<(usize, u64)> {
    // A dictionary's values may be in many rows.
    let has_dictionary = records
        .columns()
        .iter()
        .any(|column| holds_dictionary(column.data_type()));
    if !has_dictionary && records.get_array_memory_size() as u64 <= limit {
        return Vec::new();
    }
    let bytes = |row: usize| -> u64 {
        let columns = records.columns().iter();
        columns.map(|column| of(column.as_ref(), row..row + 1)).sum()
    };
    let rows = (0..records.num_rows()).map(|row| (row, bytes(row)));
    rows.filter(|(_, bytes)| *bytes > limit).collect()
}

fn holds_dictionary(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| holds_dictionary(field.data_type())),
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _)
        | DataType::Map(element, _) => holds_dictionary(element.data_type()),
        _ => false,
    }
}

/// Bytes of the values in these places.
fn of(array: &dyn Array, places: Range<usize>) -> u64 {
    match array.data_type() {
        DataType::Utf8 => bytes_of(array.as_string::<i32>(), &places),
        DataType::LargeUtf8 => bytes_of(array.as_string::<i64>(), &places),
        DataType::Binary => bytes_of(array.as_binary::<i32>(), &places),
        DataType::LargeBinary => bytes_of(array.as_binary::<i64>(), &places),
        DataType::Utf8View => {
            let array = array.as_string_view();
            places.map(|place| array.value(place).len() as u64).sum()
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            places.map(|place| array.value(place).len() as u64).sum()
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            columns.map(|column| of(column.as_ref(), places.clone())).sum()
        }
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            of(array.values().as_ref(), within(array.value_offsets(), &places))
        }
        DataType::LargeList(_) => {
            let array = array.as_list::<i64>();
            of(array.values().as_ref(), within(array.value_offsets(), &places))
        }
        DataType::Map(..) => {
            let array = array.as_map();
            of(array.entries(), within(array.value_offsets(), &places))
        }
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or(0);
            let array = array.as_fixed_size_list();
            of(array.values().as_ref(), places.start * length..places.end * length)
        }
        DataType::Dictionary(..) => {
            let array = array.as_any_dictionary();
            let keys = array.normalized_keys();
            let of_place = |place: usize| of(array.values().as_ref(), keys[place]..keys[place] + 1);
            places.filter(|place| array.is_valid(*place)).map(of_place).sum()
        }
        DataType::FixedSizeBinary(length) => u64::try_from(*length).unwrap_or(0) * places.len() as u64,
        kind => kind.primitive_width().unwrap_or(1) as u64 * places.len() as u64,
    }
}

fn bytes_of<T: ByteArrayType>(array: &GenericByteArray<T>, places: &Range<usize>) -> u64 {
    let bytes = within(array.value_offsets(), places);
    bytes.len() as u64
}

fn within<O: OffsetSizeTrait>(offsets: &[O], places: &Range<usize>) -> Range<usize> {
    offsets[places.start].as_usize()..offsets[places.end].as_usize()
}
