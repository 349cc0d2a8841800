//! How a row group is read. Without a filter: in one pass. With one: the filter's columns first, and then the other columns
//! of the rows that passed. A column that both need is held for the second pass if it is small; if it is not, all columns
//! are read in one pass, and filtered then, so that no byte is read twice.

use std::sync::Arc;

use arrow::{
    array::{BooleanArray, BooleanBufferBuilder},
    buffer::BooleanBuffer,
    compute::filter_record_batch,
    datatypes::Fields,
};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};

use super::{
    Counts, Error, Place,
    footer::Footer,
    guard,
    pages::{OffsetIndexes, Pages},
    pass::{Pass, StepLimits, TooLarge},
    prune::{self, pages::PageIndex},
    selection, size,
    windows::Windows,
};
use crate::{
    batch::{ColumnBatch, Reject},
    predicate::Predicate,
};

/// Columns that two passes need are held up to this size, together.
const TWICE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What all row groups of a file have in common.
pub(super) struct Plan {
    /// The leaves of the output, in order.
    output: Vec<usize>,
    filter: Option<Filter>,
    limits: StepLimits,
}

struct Filter {
    predicate: Predicate,
    leaves: Vec<usize>,
    /// The output's fields, to be cut out of the union of both.
    output_fields: Fields,
}

/// A row group that is being read.
pub(super) struct RowGroup {
    index: usize,
    pass: Pass,
    first_row: u64,
    /// Whether the rows of the pass have still to be asked.
    ask: bool,
    /// Uncompressed bytes of the columns, for each row.
    bytes_per_row: u64,
}

impl Plan {
    pub(super) fn new(footer: &Footer, output: Vec<usize>, filter: Option<Predicate>, limits: StepLimits) -> Self {
        let filter = filter.map(|predicate| Filter {
            leaves: selection::leaves(&footer.fields, predicate.terms.iter().map(|term| &term.path)),
            output_fields: selection::kept(&footer.fields, 0, &output),
            predicate,
        });
        Self { output, filter, limits }
    }

    /// Starts to read a row group from a row on; `None` if none of these passes.
    pub(super) fn begin(
        &self,
        start: Place,
        footer: &Footer,
        windows: &Windows,
        counts: &mut Counts,
        rejects: &mut Vec<Reject>,
    ) -> Result<Option<RowGroup>, Error> {
        // What was held for the second pass of the row group before is not wanted any more.
        windows.forget();
        let index = start.row_group;
        let rows = footer.row_count(index);
        let first = start.row.min(rows) as usize;
        let row_group = footer.metadata.row_group(index);
        let pass = |leaves: Vec<usize>, offsets: &Arc<OffsetIndexes>, twice: Vec<usize>, selected| {
            let pages = Pages::new(
                windows.clone(),
                footer.metadata.clone(),
                index,
                offsets.clone(),
                footer.is_padded,
                self.limits.record_bytes_max,
            );
            let levels = levels(footer, &leaves)?;
            Pass::start(pages, (levels, leaves), twice, (first, selected), self.limits)
        };
        let bytes_of = |leaves: &[usize]| -> u64 {
            let bytes = leaves.iter().map(|leaf| {
                let column = row_group.column(*leaf);
                let plain = column.unencoded_byte_array_data_bytes().unwrap_or(0);
                u64::try_from(column.uncompressed_size().max(plain)).unwrap_or(0)
            });
            bytes.sum()
        };
        let begun = |pass, ask, leaves: &[usize]| RowGroup {
            index,
            pass,
            first_row: footer.first_row(index),
            ask,
            bytes_per_row: bytes_of(leaves) / rows.max(1),
        };
        let Some(filter) = &self.filter else {
            footer.check_place(index, &self.output)?;
            // Without rows to skip, the places of pages are not worth a read.
            let offsets = if first > 0 {
                PageIndex::read(windows, row_group, &[], &self.output)?.offsets
            } else {
                OffsetIndexes::default()
            };
            let pass = pass(self.output.clone(), &Arc::new(offsets), Vec::new(), None)?;
            return Ok(Some(begun(pass, false, &self.output)));
        };
        let file = footer.metadata.file_metadata();
        let (predicate, fields) = (&filter.predicate, &footer.fields);
        let union = union(&filter.leaves, &self.output);
        footer.check_place(index, &union)?;
        let data_bytes = union.iter().map(|leaf| row_group.column(*leaf).byte_range().1).sum();
        if prune::impossible(predicate, fields, file, row_group)
            || prune::bloom::excludes(predicate, fields, windows, row_group, data_bytes)?
        {
            counts.pruned += rows - first as u64;
            return Ok(None);
        }
        let page_index = PageIndex::read(windows, row_group, &filter.leaves, &union)?;
        let possible = page_index.possible(predicate, fields, file, row_group, rows as usize);
        let offsets = Arc::new(page_index.offsets);
        let left = rows - first as u64;
        let possible_count = possible.as_ref().map_or(left, |possible| {
            possible.slice(first, possible.len() - first).count_set_bits() as u64
        });
        counts.pruned += left - possible_count;
        if possible_count == 0 {
            return Ok(None);
        }
        let shared: Vec<_> = common(&filter.leaves, &self.output);
        let held: u64 = shared
            .iter()
            .map(|leaf| row_group.column(*leaf).byte_range())
            .filter(|(start, length)| !windows.holds(&(*start..start.saturating_add(*length))))
            .map(|(_, length)| length)
            .sum();
        if shared.len() == self.output.len() || held > TWICE_BYTES_MAX {
            let pass = pass(union.clone(), &offsets, Vec::new(), possible)?;
            return Ok(Some(begun(pass, true, &union)));
        }
        let mut asked = pass(filter.leaves.clone(), &offsets, shared, possible)?;
        let passed = passed(&mut asked, predicate, rows as usize)?;
        let first_row = footer.first_row(index);
        rejects.extend(asked.take_too_large().into_iter().map(|row| too_large(first_row, row)));
        drop(asked);
        let count = passed.count_set_bits();
        if count == 0 {
            return Ok(None);
        }
        let selected = (count < rows as usize).then_some(passed);
        let pass = pass(self.output.clone(), &offsets, Vec::new(), selected)?;
        Ok(Some(begun(pass, false, &union)))
    }
}

/// Which rows of a row group the predicate lets through.
fn passed(pass: &mut Pass, predicate: &Predicate, rows: usize) -> Result<BooleanBuffer, Error> {
    let mut passed = BooleanBufferBuilder::new(rows);
    passed.append_n(rows, false);
    while let Some((records, numbers)) = pass.next()? {
        for row in predicate.evaluate(&records).values().set_indices() {
            passed.set_bit(numbers[row], true);
        }
    }
    Ok(passed.finish())
}

impl RowGroup {
    /// The next rows, perhaps none of them; `None` at the end. A row that is too large is added to `rejects`.
    pub(super) fn next(&mut self, plan: &Plan, rejects: &mut Vec<Reject>) -> Result<Option<ColumnBatch>, Error> {
        let next = self.pass.next();
        let left_out = self.pass.take_too_large().into_iter();
        rejects.extend(left_out.map(|row| too_large(self.first_row, row)));
        let Some((mut records, mut rows)) = next? else {
            return Ok(None);
        };
        if let Some(filter) = plan.filter.as_ref().filter(|_| self.ask) {
            let passes = filter.predicate.evaluate(&records);
            records = selection::narrowed(&records, &filter.output_fields).map_err(|error| guard::arrow(&error))?;
            if passes.true_count() < rows.len() {
                records = filter_record_batch(&records, &passes).map_err(|error| guard::arrow(&error))?;
                rows = passes.values().set_indices().map(|row| rows[row]).collect();
            }
        }
        let limit = plan.limits.record_bytes_max;
        let large = size::rows_above(&records, limit);
        if !large.is_empty() {
            rejects.extend(large.iter().map(|(row, bytes)| {
                let row = TooLarge {
                    row: rows[*row],
                    bytes: *bytes,
                    column: None,
                };
                too_large(self.first_row, row)
            }));
            let is_large = |row: usize| large.iter().any(|(large, _)| *large == row);
            let kept: BooleanArray = (0..rows.len()).map(|row| Some(!is_large(row))).collect();
            records = filter_record_batch(&records, &kept).map_err(|error| guard::arrow(&error))?;
            rows = kept.values().set_indices().map(|row| rows[row]).collect();
        }
        Ok(Some(ColumnBatch {
            records,
            ordinals: rows.iter().map(|row| self.first_row + *row as u64).collect(),
            input_bytes: self.bytes_per_row * rows.len() as u64,
        }))
    }

    /// The row behind the last that was read.
    pub(super) fn place(&self) -> Place {
        Place {
            row_group: self.index,
            row: self.pass.at() as u64,
        }
    }
}

/// The dead letter of a row: what it holds was not read, or is more than a letter may have.
fn too_large(first_row: u64, row: TooLarge) -> Reject {
    let TooLarge { row, bytes, column } = row;
    let of = column
        .map(|column| format!(" in column `{column}`"))
        .unwrap_or_default();
    Reject {
        ordinal: first_row + row as u64,
        reason: format!("too large: a record of {bytes} bytes or more{of}, more than --max-record-bytes allows"),
        raw: Vec::new(),
        record_bytes: bytes,
    }
}

fn levels(footer: &Footer, leaves: &[usize]) -> Result<FieldLevels, Error> {
    let schema = &footer.decoded;
    let mask = ProjectionMask::leaves(schema, leaves.iter().copied());
    parquet_to_arrow_field_levels(schema, mask, Some(&footer.fields)).map_err(guard::decoding)
}

fn common(left: &[usize], right: &[usize]) -> Vec<usize> {
    left.iter().copied().filter(|leaf| right.contains(leaf)).collect()
}

fn union(left: &[usize], right: &[usize]) -> Vec<usize> {
    let mut all = [left, right].concat();
    all.sort_unstable();
    all.dedup();
    all
}
