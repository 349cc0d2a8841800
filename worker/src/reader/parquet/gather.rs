//! Few rows are put together until they are worth a batch: after a selective filter, batches of a row or two would cost
//! more downstream than they did here. What is large enough as it is, is never copied.

use arrow::{array::RecordBatch, compute::concat_batches};

use super::Error;
use crate::batch::ColumnBatch;

/// With this many rows a batch is worth its overhead.
const ROWS_ENOUGH: usize = 2048;

/// Rows that wait for more.
pub(super) struct Gather {
    waiting: Vec<ColumnBatch>,
    rows: usize,
    bytes: usize,
    records_max: usize,
    bytes_max: usize,
}

impl Gather {
    pub(super) fn new(records_max: usize, bytes_max: usize) -> Self {
        Self {
            waiting: Vec::new(),
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
        self.waiting.push(batch);
    }

    /// Whether what waits is worth a batch.
    pub(super) fn is_enough(&self) -> bool {
        self.rows >= ROWS_ENOUGH.min(self.records_max.div_ceil(2)) || self.bytes >= self.bytes_max / 2
    }

    /// What waits, as one batch; none if there is nothing.
    pub(super) fn take(&mut self) -> Result<Option<ColumnBatch>, Error> {
        (self.rows, self.bytes) = (0, 0);
        if self.waiting.len() < 2 {
            return Ok(self.waiting.pop());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let schema = waiting[0].records.schema();
        let records: Vec<&RecordBatch> = waiting.iter().map(|batch| &batch.records).collect();
        let records = concat_batches(&schema, records).map_err(|error| Error::Unsupported(error.to_string()))?;
        Ok(Some(ColumnBatch {
            records,
            ordinals: waiting.iter().flat_map(|batch| &batch.ordinals).copied().collect(),
            input_bytes: waiting.iter().map(|batch| batch.input_bytes).sum(),
        }))
    }

    /// Gives up what waits.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        (self.rows, self.bytes) = (0, 0);
    }
}
