//! One pass over a row group: some of its columns, of all rows or of selected ones, in steps that fit into memory.

use arrow::{array::RecordBatch, buffer::BooleanBuffer};
use parquet::arrow::{
    FieldLevels,
    arrow_reader::{ParquetRecordBatchReader, RowGroups as _, RowSelection, RowSelector},
};

use super::{Error, guard, pages::Pages};

/// More rows than this aren't decoded in one step.
const STEP_ROWS_MAX: u64 = 8192;
/// What a step may hold if all its values are the longest that they can be.
const STEP_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// By how much a step that turned out too large is made smaller.
const SHRINK: usize = 8;
/// The `parquet` crate decodes the rows between the selected ones too, and takes them out again, if there are fewer than
/// this on average between one and the next.
const SPARSE_ROWS: usize = 64;

/// A pass.
pub(super) struct Pass {
    pages: Pages,
    levels: FieldLevels,
    leaves: Vec<usize>,
    twice: Vec<usize>,
    /// Which rows of the row group are read; none: all.
    selected: Option<BooleanBuffer>,
    /// The row behind the last that was given.
    at: usize,
    step_rows: usize,
    reader: Option<ParquetRecordBatchReader>,
}

/// How large steps should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepLimits {
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
}

impl Pass {
    /// Starts a pass over `leaves`, which `levels` are, from row `at` on. Those in `twice` will be read by another pass too.
    pub(super) fn start(
        pages: Pages,
        (levels, leaves): (FieldLevels, Vec<usize>),
        twice: Vec<usize>,
        (at, selected): (usize, Option<BooleanBuffer>),
        limits: StepLimits,
    ) -> Result<Self, Error> {
        let mut pass = Self {
            pages,
            levels,
            leaves,
            twice,
            selected,
            at,
            step_rows: 0,
            reader: None,
        };
        let selection = pass.selection();
        pass.pages.announce(&pass.leaves, selection.as_ref(), &pass.twice);
        let row = pass.pages.begin(&pass.leaves).map_err(guard::decoding)?;
        let wanted = limits.bytes_max as u64 / row.usual.max(1);
        let bearable = STEP_BYTES_MAX / row.worst.max(1);
        pass.step_rows = wanted.min(bearable).min(limits.rows_max as u64).clamp(1, STEP_ROWS_MAX) as usize;
        pass.build(selection)?;
        Ok(pass)
    }

    /// The row behind the last that was given.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next rows with their numbers in the row group; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(RecordBatch, Vec<usize>)>, Error> {
        loop {
            let Some(reader) = &mut self.reader else {
                return Ok(None);
            };
            // A single row can't be made smaller.
            let limit = if self.step_rows == 1 { u64::MAX } else { STEP_BYTES_MAX };
            self.pages.meter().begin(limit);
            match reader.next() {
                Some(Ok(records)) if records.num_rows() == 0 => {}
                Some(Ok(records)) => {
                    let rows = self.advance(records.num_rows());
                    return Ok(Some((records, rows)));
                }
                Some(Err(_)) if self.pages.meter().is_exceeded() => self.shrink()?,
                Some(Err(error)) => return Err(guard::arrow(&error)),
                None => self.reader = None,
            }
        }
    }

    /// Begins again where the last step ended, with smaller steps.
    fn shrink(&mut self) -> Result<(), Error> {
        self.reader = None;
        self.step_rows = (self.step_rows / SHRINK).max(1);
        let selection = self.selection();
        self.pages.announce(&self.leaves, selection.as_ref(), &self.twice);
        self.build(selection)
    }

    fn build(&mut self, selection: Option<RowSelection>) -> Result<(), Error> {
        let step = match &selection {
            Some(selection) => {
                let (chosen, all) = (selection.row_count(), selection.total_row_count().max(1));
                if chosen.saturating_mul(SPARSE_ROWS) < all {
                    self.step_rows
                } else {
                    (self.step_rows * chosen / all).max(1)
                }
            }
            None => self.step_rows,
        };
        let reader = ParquetRecordBatchReader::try_new_with_row_groups(&self.levels, &self.pages, step, selection);
        self.reader = Some(reader.map_err(guard::decoding)?);
        Ok(())
    }

    /// The rows that are still to come; none: all.
    fn selection(&self) -> Option<RowSelection> {
        let rows = self.pages.num_rows();
        match &self.selected {
            None if self.at == 0 => None,
            None => Some(vec![RowSelector::skip(self.at), RowSelector::select(rows - self.at)].into()),
            Some(selected) => {
                let at = self.at;
                let rest = BooleanBuffer::collect_bool(rows, |row| row >= at && selected.value(row));
                Some(RowSelection::from_boolean_buffer(rest))
            }
        }
    }

    fn advance(&mut self, count: usize) -> Vec<usize> {
        let rows: Vec<_> = match &self.selected {
            None => (self.at..self.at + count).collect(),
            Some(selected) => {
                let rest = selected.slice(self.at, selected.len() - self.at);
                rest.set_indices().take(count).map(|row| self.at + row).collect()
            }
        };
        self.at = rows.last().map_or(self.at, |row| row + 1);
        rows
    }
}
