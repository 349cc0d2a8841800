//! One pass over a row group: some of its columns, of all rows or of selected ones, in steps that fit into memory.

use arrow::{array::RecordBatch, buffer::BooleanBuffer};
use parquet::arrow::{
    FieldLevels,
    arrow_reader::{ParquetRecordBatchReader, RowGroups as _, RowSelection, RowSelector},
};

use super::{Error, checked::PAGE_BYTES_MAX, guard, pages::Pages};

/// More rows than this aren't decoded in one step.
const STEP_ROWS_MAX: u64 = 8192;
/// What a step may hold if all its values are the longest that they can be.
const STEP_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// By how much a step that turned out too large is made smaller.
const SHRINK: usize = 8;
/// The `parquet` crate decodes the rows between the selected ones too, and takes them out again, if there are fewer than
/// this on average between one and the next.
const SPARSE_ROWS: usize = 64;

/// A pass. Rows that can't be read in the memory that there is are left out, and told.
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
    /// The reader goes up to this row, which is too large.
    until: Option<TooLarge>,
    too_large: Vec<TooLarge>,
    record_bytes_max: u64,
}

/// How large steps should be.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_field_names, reason = "units come last")]
pub(super) struct StepLimits {
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
    /// A row of more is left out.
    pub(super) record_bytes_max: u64,
}

/// A row that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TooLarge {
    /// Its number in the row group.
    pub(super) row: usize,
    /// How large it is at least.
    pub(super) bytes: u64,
    /// The column that is too large, if it is one.
    pub(super) column: Option<String>,
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
            until: None,
            too_large: Vec::new(),
            record_bytes_max: limits.record_bytes_max,
        };
        let selection = pass.selection();
        pass.pages.announce(&pass.leaves, selection.as_ref(), &pass.twice);
        let row = match pass.pages.begin(&pass.leaves) {
            Ok(row) => row,
            Err(error) => {
                pass.refuse(guard::decoding(error))?;
                return Ok(pass);
            }
        };
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

    /// The rows that were left out since this was asked last.
    pub(super) fn take_too_large(&mut self) -> Vec<TooLarge> {
        std::mem::take(&mut self.too_large)
    }

    /// The next rows with their numbers in the row group; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(RecordBatch, Vec<usize>)>, Error> {
        loop {
            let Some(reader) = &mut self.reader else {
                return Ok(None);
            };
            // A single row can't be made smaller.
            let limit = if self.step_rows == 1 {
                STEP_BYTES_MAX.max(self.record_bytes_max)
            } else {
                STEP_BYTES_MAX
            };
            self.pages.meter().begin(limit);
            match reader.next() {
                Some(Ok(records)) if records.num_rows() == 0 => {}
                Some(Ok(records)) => {
                    let rows = self.advance(records.num_rows())?;
                    return Ok(Some((records, rows)));
                }
                Some(Err(_)) if self.pages.meter().is_exceeded() => {
                    if self.step_rows > 1 {
                        self.step_rows = (self.step_rows / SHRINK).max(1);
                        self.again()?;
                    } else {
                        let bytes = limit;
                        self.until = self.next_row().map(|row| TooLarge {
                            row,
                            bytes,
                            column: None,
                        });
                        self.leave_out()?;
                    }
                }
                Some(Err(error)) => self.refuse(guard::arrow(&error))?,
                None => self.end()?,
            }
        }
    }

    /// The first row that is still to come.
    fn next_row(&self) -> Option<usize> {
        let rows = self.pages.num_rows();
        match &self.selected {
            None => (self.at < rows).then_some(self.at),
            Some(selected) => (self.at..rows).find(|row| selected.value(*row)),
        }
    }

    /// What follows when the reader has no more rows.
    fn end(&mut self) -> Result<(), Error> {
        self.reader = None;
        if self.until.is_some() {
            return self.leave_out();
        }
        match self.next_row() {
            None => Ok(()),
            Some(row) => Err(Error::Corrupt(format!(
                "a row group ends at row {row}, and is said to have {}",
                self.pages.num_rows()
            ))),
        }
    }

    /// What follows when the reader has failed: if it was for a page of one row, the rows before it are read, and then
    /// those behind.
    fn refuse(&mut self, error: Error) -> Result<(), Error> {
        let Some((refused, column)) = self.pages.take_refused() else {
            return Err(error);
        };
        let bytes = refused.bytes;
        let row = refused
            .rows
            .as_ref()
            .filter(|rows| rows.len() == 1)
            .map(|rows| rows.start);
        let is_new = self.until.is_none();
        match row.filter(|row| is_new && *row >= self.at && *row < self.pages.num_rows()) {
            Some(row) => {
                self.until = Some(TooLarge {
                    row,
                    bytes,
                    column: Some(column),
                });
                if self.next_row().is_none_or(|next| next >= row) {
                    self.leave_out()
                } else {
                    self.again()
                }
            }
            None if refused.values > 0 => Err(Error::Unsupported(format!(
                "a page of column `{column}` has {} values, more than are held at once",
                refused.values
            ))),
            None => Err(Error::Unsupported(format!(
                "a page of column `{column}` has {bytes} bytes, and {PAGE_BYTES_MAX} are held at once"
            ))),
        }
    }

    /// Goes on behind the row that is too large.
    fn leave_out(&mut self) -> Result<(), Error> {
        self.reader = None;
        if let Some(row) = self.until.take() {
            self.at = row.row + 1;
            if self.selected.as_ref().is_none_or(|selected| selected.value(row.row)) {
                self.too_large.push(row);
            }
        }
        if self.next_row().is_none() {
            return Ok(());
        }
        // The first look at the dictionaries may have failed.
        self.step_rows = self.step_rows.max(1);
        self.again()
    }

    /// Begins again where the last step ended.
    fn again(&mut self) -> Result<(), Error> {
        self.reader = None;
        self.pages.forget();
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
        let end = self.until.as_ref().map_or(rows, |until| until.row.min(rows));
        match &self.selected {
            None if self.at == 0 && end == rows => None,
            None => {
                let selectors = [
                    RowSelector::skip(self.at),
                    RowSelector::select(end - self.at),
                    RowSelector::skip(rows - end),
                ];
                Some(
                    selectors
                        .into_iter()
                        .filter(|part| part.row_count > 0)
                        .collect::<Vec<_>>()
                        .into(),
                )
            }
            Some(selected) => {
                let at = self.at;
                let rest = BooleanBuffer::collect_bool(rows, |row| (at..end).contains(&row) && selected.value(row));
                Some(RowSelection::from_boolean_buffer(rest))
            }
        }
    }

    /// The numbers of the next rows.
    fn advance(&mut self, count: usize) -> Result<Vec<usize>, Error> {
        let said = self.pages.num_rows();
        let rows: Vec<_> = match &self.selected {
            None => (self.at..self.at + count).take_while(|row| *row < said).collect(),
            Some(selected) => {
                let rest = selected.slice(self.at, selected.len() - self.at);
                rest.set_indices().take(count).map(|row| self.at + row).collect()
            }
        };
        if rows.len() < count {
            return Err(Error::Corrupt(format!(
                "a row group has more rows than the {said} that it is said to have"
            )));
        }
        self.at = rows.last().map_or(self.at, |row| row + 1);
        Ok(rows)
    }
}
