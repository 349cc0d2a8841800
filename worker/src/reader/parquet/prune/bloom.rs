//! Bloom filters: a value that is in none of its bits is in no row of the row group.

use arrow::datatypes::{DataType, Fields};
use parquet::{
    basic::Type,
    bloom_filter::Sbbf,
    file::metadata::{ColumnChunkMetaData, RowGroupMetaData},
};

use super::{Bounded, bounded, plain};
use crate::{
    batch::EXTENSION,
    predicate::{Literal, Operator, Predicate},
    reader::parquet::{Error, guard, windows::Windows},
};

/// Whether a value that the predicate asks for is in no row of the row group. A filter is read only if it is smaller than
/// the `data_bytes` that it may save.
pub(in crate::reader::parquet) fn excludes(
    predicate: &Predicate,
    fields: &Fields,
    windows: &Windows,
    row_group: &RowGroupMetaData,
    data_bytes: u64,
) -> Result<bool, Error> {
    for bounded in bounded(predicate, fields) {
        let chunk = row_group.column(bounded.leaf);
        let length = chunk
            .bloom_filter_length()
            .and_then(|length| u64::try_from(length).ok());
        if bounded.term.operator != Operator::Equal || length.is_none_or(|length| length > data_bytes) {
            continue;
        }
        let is_there = match Sbbf::read_from_column_chunk(chunk, windows) {
            Ok(Some(filter)) if filter.num_blocks() > 0 => bounded.may_be_in(&filter, chunk),
            // A damaged filter says nothing; an input that fails says all.
            Err(error) if windows.has_failed() => return Err(guard::decoding(error)),
            _ => None,
        };
        if is_there == Some(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Bounded<'_> {
    /// `None` if the filter can't be asked.
    fn may_be_in(&self, filter: &Sbbf, chunk: &ColumnChunkMetaData) -> Option<bool> {
        if self.field.metadata().contains_key(EXTENSION) {
            return None;
        }
        let kind = plain(self.field.data_type());
        let physical = chunk.column_type();
        match (&self.term.literal, kind) {
            (
                Literal::Text(text) | Literal::Number(text),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View,
            ) if physical == Type::BYTE_ARRAY => Some(filter.check(text.as_str())),
            (Literal::Number(number), kind) if kind.is_integer() => {
                let number: i128 = number.parse().ok()?;
                match physical {
                    // Unsigned values are stored as the signed ones of the same bits.
                    Type::INT32 if kind.is_unsigned_integer() => {
                        Some(filter.check(&(u32::try_from(number).ok()? as i32)))
                    }
                    Type::INT32 => Some(filter.check(&i32::try_from(number).ok()?)),
                    Type::INT64 if kind.is_unsigned_integer() => {
                        Some(filter.check(&(u64::try_from(number).ok()? as i64)))
                    }
                    Type::INT64 => Some(filter.check(&i64::try_from(number).ok()?)),
                    _ => None,
                }
            }
            (Literal::Number(number), DataType::Float64) => {
                let number: f64 = number.parse().ok()?;
                // The two zeros are equal, and differ in their bits.
                Some(filter.check(&number) || (number == 0.0 && filter.check(&-number)))
            }
            (Literal::Number(number), DataType::Float32) => {
                let number: f32 = number.parse().ok()?;
                Some(filter.check(&number) || (number == 0.0 && filter.check(&-number)))
            }
            _ => None,
        }
    }
}
