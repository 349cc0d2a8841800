//! The values of one place in the records, as they are gathered for a batch: buffers that can grow by a value and be cut
//! back to a whole number of records.

use super::{object::Object, selection::StateId, strings::Strings};

/// The length of a column that no record of the batch has had.
pub(super) const UNTOUCHED: u32 = u32::MAX;
/// No row.
pub(super) const NEVER: u32 = u32::MAX;

/// Values of one place.
#[derive(Debug)]
pub(super) struct Column {
    /// Rows so far, or [`UNTOUCHED`]. Rows without the key are added only when the next one has it, or at the end.
    pub(super) length: u32,
    pub(super) nulls: Nulls,
    /// The type is the first value's that is not null; as long as there is none, it's what the last batch had.
    pub(super) values: Values,
    /// The row that first had the key.
    pub(super) first_row: u32,
    /// The row that first had an explicit null; [`NEVER`] if none.
    pub(super) first_null: u32,
    /// Whether there are rows without the key, although what the key would be in is there.
    pub(super) absent: bool,
    /// Whether this place's values disagreed on their type once: from the next batch on they stay JSON text.
    pub(super) pinned: bool,
    /// If only fields below are selected: where the selection goes on.
    pub(super) part: Option<StateId>,
}

/// Buffers by type.
#[derive(Debug)]
pub(super) enum Values {
    Nothing,
    Boolean(Vec<bool>),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Utf8(Strings),
    Json(Strings),
    Struct(Box<Object>),
    List(Box<List>),
}

/// The type of a single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Int64,
    Float64,
    Utf8,
    Struct,
    List,
}

/// Lists: where each ends, and the items of all.
#[derive(Debug)]
pub(super) struct List {
    pub(super) offsets: Vec<i32>,
    pub(super) item: Column,
}

impl Column {
    /// A column without rows.
    pub(super) fn new(length: u32, part: Option<StateId>) -> Self {
        Self {
            length,
            nulls: Nulls::default(),
            values: Values::Nothing,
            first_row: 0,
            first_null: NEVER,
            absent: false,
            pinned: false,
            part,
        }
    }

    /// Whether there is any value that is not null.
    pub(super) fn has_values(&self) -> bool {
        self.nulls.count < self.length
    }

    /// Adds rows without a value.
    pub(super) fn push_nulls(&mut self, count: u32) {
        if count == 0 {
            return;
        }
        self.nulls.push(self.length, count);
        self.length += count;
        self.values.push_defaults(count as usize);
    }

    /// Gives a column that holds only nulls buffers of a type.
    pub(super) fn set_kind(&mut self, kind: Kind) {
        debug_assert!(!self.has_values());
        self.values = Values::new(kind, self.part);
        self.values.push_defaults(self.length as usize);
    }

    /// Cuts back to `rows` whole rows. What lies below is cut even where this column is no longer than that: the row that
    /// is taken back may have ended in the middle.
    pub(super) fn truncate(&mut self, rows: u32) {
        let rows = rows.min(self.length);
        self.length = rows;
        self.nulls.truncate(rows);
        if self.first_null != NEVER && self.first_null >= rows {
            self.first_null = NEVER;
        }
        let rows = rows as usize;
        match &mut self.values {
            Values::Nothing => {}
            Values::Boolean(values) => values.truncate(rows),
            Values::Int64(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Utf8(strings) | Values::Json(strings) => strings.truncate(rows),
            Values::Struct(object) => object.truncate(rows as u32),
            Values::List(list) => {
                list.offsets.truncate(rows + 1);
                list.item.truncate(list.offsets[rows] as u32);
            }
        }
    }

    /// Makes the column ready for the next batch, whose length it starts with. What was learnt stays; what disagreed on
    /// its type becomes JSON text. Counts the columns in `columns_total`.
    pub(super) fn reset(&mut self, length: u32, columns_total: &mut usize) {
        *columns_total += 1;
        self.length = length;
        self.nulls.clear();
        self.first_null = NEVER;
        self.absent = false;
        if matches!(&self.values, Values::Struct(object) if object.unfit) {
            self.pinned = true;
        }
        if self.pinned && !matches!(self.values, Values::Json(_)) {
            self.values = Values::Json(Strings::default());
        }
        match &mut self.values {
            Values::Nothing => {}
            Values::Boolean(values) => values.clear(),
            Values::Int64(values) => values.clear(),
            Values::Float64(values) => values.clear(),
            Values::Utf8(strings) | Values::Json(strings) => strings.truncate(0),
            Values::Struct(object) => object.reset(columns_total),
            Values::List(list) => {
                list.offsets.truncate(1);
                list.item.reset(0, columns_total);
            }
        }
    }
}

impl Values {
    fn new(kind: Kind, part: Option<StateId>) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean(Vec::new()),
            Kind::Int64 => Self::Int64(Vec::new()),
            Kind::Float64 => Self::Float64(Vec::new()),
            Kind::Utf8 => Self::Utf8(Strings::default()),
            Kind::Struct => Self::Struct(Box::new(Object::new(part))),
            Kind::List => Self::List(Box::new(List {
                offsets: vec![0],
                item: Column::new(0, None),
            })),
        }
    }

    /// Adds what stands in the buffers where there is no value. What is in objects is filled up later.
    fn push_defaults(&mut self, count: usize) {
        match self {
            Self::Nothing | Self::Struct(_) => {}
            Self::Boolean(values) => values.resize(values.len() + count, false),
            Self::Int64(values) => values.resize(values.len() + count, 0),
            Self::Float64(values) => values.resize(values.len() + count, 0.0),
            Self::Utf8(strings) | Self::Json(strings) => strings.push_empty(count),
            Self::List(list) => {
                let end = list.item.length as i32;
                list.offsets.resize(list.offsets.len() + count, end);
            }
        }
    }
}

/// Which rows have no value, as runs: a row with a value costs nothing.
#[derive(Debug, Default)]
pub(super) struct Nulls {
    /// First row and number of rows, in order.
    pub(super) runs: Vec<(u32, u32)>,
    pub(super) count: u32,
}

impl Nulls {
    fn push(&mut self, row: u32, count: u32) {
        self.count += count;
        match self.runs.last_mut() {
            Some((start, length)) if *start + *length == row => *length += count,
            _ => self.runs.push((row, count)),
        }
    }

    fn truncate(&mut self, rows: u32) {
        while let Some((start, length)) = self.runs.last_mut() {
            let kept = rows.saturating_sub(*start).min(*length);
            self.count -= *length - kept;
            *length = kept;
            if kept > 0 {
                break;
            }
            self.runs.pop();
        }
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.count = 0;
    }

    /// How many of the rows from `from` to before `to` have no value.
    pub(super) fn count_between(&self, from: u32, to: u32) -> u32 {
        let mut count = 0;
        for (start, length) in self.runs.iter().rev() {
            let end = start + length;
            if end <= from {
                break;
            }
            count += end.min(to).saturating_sub((*start).max(from));
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_nulls_are_counted_and_cut_like_single_rows() {
        let mut nulls = Nulls::default();
        for (row, count) in [(0, 2), (2, 1), (5, 3), (10, 1)] {
            nulls.push(row, count);
        }
        let rows = [0, 1, 2, 5, 6, 7, 10];
        for to in (0..12).rev() {
            nulls.truncate(to);
            assert_eq!(nulls.count as usize, rows.iter().filter(|row| **row < to).count());
            for from in 0..to {
                let expected = rows.iter().filter(|row| (from..to).contains(*row)).count();
                assert_eq!(nulls.count_between(from, to) as usize, expected);
            }
        }
    }
}
