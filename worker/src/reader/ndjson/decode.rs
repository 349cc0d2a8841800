//! Records into columns, in the same walk that checks them.
//!
//! The columns form a tree like the records. Each object looks ahead to the keys that followed last time
//! ([`Object::predict`]) and puts each value straight into its column's buffers. What the buffers can't take as it is (a
//! value of another type, `-0`, a number of 30 digits, half of a surrogate pair, a null where other rows lack the key) is
//! never bent to fit: the place is pinned as JSON text, the batch ends before the record, and the record is decoded again.
//! Whatever a record had added before it turned out bad is cut off again.

mod keys;
mod values;

use super::{
    fault::{Fault, What},
    object::Object,
    selection::{RECORD, Selection},
    walk::{self, Line},
};
use crate::predicate::FieldPath;

/// A record with more keys is refused: each is a column with buffers of its own.
pub(super) const ROOT_KEYS_MAX: usize = 16_384;
/// With more top-level keys the batch ends after the record, and what was learnt is forgotten.
const ROOT_KEYS_KEPT_MAX: usize = 4096;
/// Objects inside records with more different keys are maps rather than records, and stay JSON text.
const NESTED_KEYS_MAX: usize = 1024;
/// Keys that nobody asked for are remembered up to so many; where there are more, they hardly come again.
const SKIPPED_KEYS_MAX: usize = 256;
/// The columns of all levels together. With more of them the batch ends and what was learnt is forgotten; an object that
/// goes over twice as many on its own stays JSON text.
const COLUMNS_MAX: usize = 16_384;
/// Rows times columns of a batch, whether there is a value or not: 8 bytes each are the larger part of what a batch of
/// rows that have little in common needs.
const CELLS_MAX: usize = 4 << 20;

/// The columns of a batch in the making.
#[derive(Debug)]
pub(super) struct Decoder {
    pub(super) record: Object,
    pub(super) rows: u32,
    walker: Walker,
}

/// What became of a line that is a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// It is the batch's last row; its newline is here.
    Added(usize),
    /// It does not fit this batch: end the batch, and decode it again.
    Again,
    /// The line is blank; its newline is here.
    Blank(usize),
}

/// What is known while a record is walked.
#[derive(Debug)]
struct Walker {
    selection: Option<Selection>,
    /// Whether the batch has whole rows.
    has_rows: bool,
    /// A place was pinned, which holds from the next batch on.
    pinned: bool,
    /// The batch has become too large for this record.
    crowded: bool,
    /// Rows times columns so far.
    cells: usize,
    columns_total: usize,
    /// First nulls seen so far: whether an object has to look for new ones.
    first_nulls: usize,
    /// The key that was read last, without its escapes.
    key: Vec<u8>,
}

impl Decoder {
    /// A decoder of all fields, if no paths are given, or of those that the paths name.
    pub(super) fn new(paths: &[FieldPath]) -> Self {
        Self::of((!paths.is_empty()).then(|| Selection::new(paths)))
    }

    /// A decoder of no field at all: it only checks, and does that faster than a walk that doesn't look ahead.
    pub(super) fn checker() -> Self {
        Self::of(Some(Selection::new(&[])))
    }

    fn of(selection: Option<Selection>) -> Self {
        let part = selection.is_some().then_some(RECORD);
        let walker = Walker {
            selection,
            has_rows: false,
            pinned: false,
            crowded: false,
            cells: 0,
            columns_total: 0,
            first_nulls: 0,
            key: Vec::new(),
        };
        Self {
            record: Object::new(part),
            rows: 0,
            walker,
        }
    }

    /// Walks the line that starts at `start`, for a decoder of no field.
    #[inline]
    pub(super) fn check(&mut self, text: &[u8], start: usize) -> Result<Line, Fault> {
        self.rows = 0;
        match self.line(text, start)? {
            Row::Added(newline) => Ok(Line::Record(newline)),
            Row::Blank(newline) => Ok(Line::Blank(newline)),
            Row::Again => unreachable!("without columns nothing can disagree or crowd"),
        }
    }

    /// Decodes the line that starts at `start` as the batch's next row.
    pub(super) fn line(&mut self, text: &[u8], start: usize) -> Result<Row, Fault> {
        let at = walk::white_space(text, start);
        match text[at] {
            b'{' => {}
            b'\n' => return Ok(Row::Blank(at)),
            _ => return Err(Fault::new(at, What::ExpectedObject)),
        }
        let cells = self.walker.cells;
        self.walker.has_rows = self.rows > 0;
        let end = self.walker.object(text, at, &mut self.record, self.rows, None, 0);
        match end.and_then(|end| walk::line_end(text, end)) {
            Ok(newline) if !self.walker.pinned && !self.walker.crowded => {
                self.rows += 1;
                Ok(Row::Added(newline))
            }
            other => {
                self.record.truncate(self.rows);
                self.walker.cells = cells;
                other.map(|_| Row::Again)
            }
        }
    }

    /// Takes back the last row, which turned out not to be wanted.
    pub(super) fn take_back_row(&mut self) {
        self.rows -= 1;
        self.record.truncate(self.rows);
    }

    /// Whether the batch must end here.
    pub(super) fn full(&self) -> bool {
        let walker = &self.walker;
        walker.pinned
            || walker.crowded
            || walker.cells > CELLS_MAX
            || walker.columns_total > COLUMNS_MAX
            || self.record.children.len() > ROOT_KEYS_KEPT_MAX
    }

    /// Makes ready for the next batch.
    pub(super) fn reset(&mut self) {
        let walker = &mut self.walker;
        if walker.columns_total > COLUMNS_MAX || self.record.children.len() > ROOT_KEYS_KEPT_MAX {
            self.record = Object::new(self.record.part);
        }
        walker.columns_total = 0;
        self.record.reset(&mut walker.columns_total);
        self.rows = 0;
        (walker.pinned, walker.crowded, walker.cells, walker.first_nulls) = (false, false, 0, 0);
    }

    /// The key that the last fault was about.
    pub(super) fn faulty_key(&self) -> String {
        String::from_utf8_lossy(&self.walker.key).into_owned()
    }
}
