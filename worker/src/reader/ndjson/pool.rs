//! Buffers of batches that are done with, for the batches to come: memory that was just used needs no zeroing by the kernel.

use std::collections::VecDeque;

use arrow::{
    array::{Array, ArrayData, RecordBatch},
    buffer::Buffer,
    datatypes::{ArrowNativeType, DataType},
};

/// How many buffers of each type are kept.
const BUFFERS_MAX: usize = 1024;
/// A larger buffer is not kept: one batch of long values must not stay in memory.
const BUFFER_BYTES_MAX: usize = 16 << 20;

/// Buffers by type. First in, first out: batches of the same columns get each column's own back.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) ints: Queue<i64>,
    pub(super) floats: Queue<f64>,
    pub(super) offsets: Queue<i32>,
    pub(super) bytes: Queue<u8>,
}

/// Buffers of one type.
#[derive(Debug)]
pub(super) struct Queue<T>(VecDeque<Vec<T>>);

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: ArrowNativeType> Queue<T> {
    /// The values, leaving an empty buffer in their place: one that was used before, or a new one with as much room.
    pub(super) fn swap(&mut self, values: &mut Vec<T>) -> Vec<T> {
        // Batches of a kind differ little in size.
        let room = values.len() + values.len() / 16;
        let empty = self.0.pop_front().unwrap_or_else(|| Vec::with_capacity(room));
        std::mem::replace(values, empty)
    }

    fn give(&mut self, buffer: Buffer) {
        // Not ours alone, or not made by a `Vec` of this type: left to whoever has it.
        if let Ok(mut values) = buffer.into_vec::<T>()
            && self.0.len() < BUFFERS_MAX
            && values.capacity() > 0
            && values.capacity() * size_of::<T>() <= BUFFER_BYTES_MAX
        {
            values.clear();
            self.0.push_back(values);
        }
    }
}

impl Pool {
    /// Takes a batch apart. Buffers that somebody else still uses are left alone.
    pub(super) fn recycle(&mut self, records: RecordBatch) {
        let (_, columns, _) = records.into_parts();
        for column in columns {
            let data = column.to_data();
            drop(column);
            self.recycle_array(data);
        }
    }

    fn recycle_array(&mut self, data: ArrayData) {
        let (data_type, _, _, _, buffers, children) = data.into_parts();
        let mut buffers = buffers.into_iter();
        match data_type {
            DataType::Int64 => buffers.for_each(|buffer| self.ints.give(buffer)),
            DataType::Float64 => buffers.for_each(|buffer| self.floats.give(buffer)),
            DataType::Utf8 => {
                buffers
                    .next()
                    .into_iter()
                    .for_each(|offsets| self.offsets.give(offsets));
                buffers.for_each(|bytes| self.bytes.give(bytes));
            }
            DataType::List(_) => buffers.for_each(|offsets| self.offsets.give(offsets)),
            _ => {}
        }
        for child in children {
            self.recycle_array(child);
        }
    }
}
