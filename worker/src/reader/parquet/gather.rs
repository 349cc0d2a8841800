//! Few rows are put together until they are worth a batch: after a selective filter, batches of a row or two would cost
//! more downstream than they did here. What is large enough as it is, is never copied.

use std::collections::VecDeque;

use arrow::{array::RecordBatch, compute::concat_batches};

use crate::batch::ColumnBatch;

/// With this many rows a batch is worth its overhead.
const ROWS_ENOUGH: usize = 2048;

/// Rows that wait for more.
pub(super) struct Gather {
    waiting: VecDeque<ColumnBatch>,
    rows: usize,
    bytes: usize,
    records_max: usize,
    bytes_max: usize,
}

impl Gather {
    pub(super) fn new(records_max: usize, bytes_max: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            rows: 0,
            bytes: 0,
            records_max,
            bytes_max,
        }
    }

    /// Whether `rows` more would be more than a batch may have: then what waits must be taken first.
    pub(super) fn is_full_for(&self, rows: usize) -> bool {
        self.rows > 0 && self.rows + rows > self.records_max
    }

    pub(super) fn put(&mut self, batch: ColumnBatch) {
        self.rows += batch.records.num_rows();
        self.bytes += batch.records.get_array_memory_size();
        self.waiting.push_back(batch);
    }

    /// The number of the first row that waits.
    pub(super) fn first_ordinal(&self) -> Option<u64> {
        self.waiting.iter().find_map(|batch| batch.ordinals.first().copied())
    }

    /// Whether what waits is worth a batch.
    pub(super) fn is_enough(&self) -> bool {
        self.rows >= ROWS_ENOUGH.min(self.records_max.div_ceil(2)) || self.bytes >= self.bytes_max / 2
    }

    /// What waits, as one batch if it can be; none if there is nothing.
    pub(super) fn take(&mut self) -> Option<ColumnBatch> {
        let records: Vec<&RecordBatch> = self.waiting.iter().map(|batch| &batch.records).collect();
        let joined = match records.as_slice() {
            [] | [_] => None,
            // Dictionaries that have too many values between them can't be joined.
            [first, ..] => concat_batches(&first.schema(), records).ok(),
        };
        let Some(records) = joined else {
            let first = self.waiting.pop_front()?;
            self.rows -= first.records.num_rows();
            self.bytes -= first.records.get_array_memory_size();
            return Some(first);
        };
        let waiting = std::mem::take(&mut self.waiting);
        (self.rows, self.bytes) = (0, 0);
        Some(ColumnBatch {
            records,
            ordinals: waiting.iter().flat_map(|batch| &batch.ordinals).copied().collect(),
            input_bytes: waiting.iter().map(|batch| batch.input_bytes).sum(),
        })
    }

    /// Gives up what waits.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        (self.rows, self.bytes) = (0, 0);
    }
}
