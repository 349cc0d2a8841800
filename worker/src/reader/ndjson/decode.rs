//! Records into columns, in the same walk that checks them.
//!
//! The columns form a tree like the records. Each object looks ahead to the keys that followed last time
//! ([`Object::predict`]) and puts each value straight into its column's buffers. What the buffers can't take as it is (a
//! value of another type, `-0`, a number of 30 digits, half of a surrogate pair, a null where other rows lack the key) is
//! never bent to fit: the place is pinned as JSON text, the batch ends before the record, and the record is decoded again.
//! Whatever a record had added before it turned out bad is cut off again.

use super::{
    column::{Column, Kind, NEVER, Nulls, UNTOUCHED, Values},
    escape,
    fault::{Fault, What},
    number,
    object::{self, Object, START, Target, UNKNOWN},
    scan,
    selection::{RECORD, Selection},
    walk,
};
use crate::predicate::FieldPath;

/// A record with more keys is refused: each is a column with buffers of its own.
pub(super) const ROOT_KEYS_MAX: usize = 16_384;
/// With more top-level keys the batch ends after the record, and what was learnt is forgotten.
const ROOT_KEYS_KEPT_MAX: usize = 4096;
/// Objects inside records with more different keys are maps rather than records, and stay JSON text.
const NESTED_KEYS_MAX: usize = 1024;
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

/// What comes behind a value in an object.
enum Next {
    End(usize),
    Child(usize, usize),
    Unknown(usize),
}

impl Decoder {
    /// A decoder of all fields, if no paths are given, or of those that the paths name.
    pub(super) fn new(paths: &[FieldPath]) -> Self {
        let selection = (!paths.is_empty()).then(|| Selection::new(paths));
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

impl Walker {
    /// Walks the object at `at` as row `row` of its columns, below `depth` others. `masked` are rows in which the object
    /// itself was not there, which says nothing of its keys; `None` for the record.
    fn object(
        &mut self,
        text: &[u8],
        mut at: usize,
        object: &mut Object,
        row: u32,
        masked: Option<&Nulls>,
        depth: u32,
    ) -> Result<usize, Fault> {
        if object.unfit || self.crowded {
            return walk::value(text, at, depth);
        }
        if depth == walk::DEPTH_MAX {
            return Err(Fault::new(at, What::TooDeep));
        }
        let first_nulls = self.first_nulls;
        let mut from = START;
        loop {
            let (child, value) = match object.predict(from, text, at) {
                Some(found) => found,
                None => match self.next(text, at, object, from, masked.is_none())? {
                    Next::End(end) => {
                        at = end;
                        break;
                    }
                    Next::Child(child, value) => (child, value),
                    Next::Unknown(value) => {
                        at = walk::value(text, value, depth + 1)?;
                        from = UNKNOWN;
                        continue;
                    }
                },
            };
            from = object::behind(child);
            at = match &mut object.children[child].target {
                Target::Skip => walk::value(text, walk::white_space(text, value), depth + 1)?,
                Target::Column(column) if column.length == row => self.value(text, value, column, depth + 1)?,
                Target::Column(_) => {
                    if self.touch(text, at, object, child, row, masked)?
                        && let Target::Column(column) = &mut object.children[child].target
                    {
                        self.value(text, value, column, depth + 1)?
                    } else {
                        walk::value(text, walk::white_space(text, value), depth + 1)?
                    }
                }
            };
            if text[at] == b'}' {
                at += 1;
                break;
            }
        }
        if self.first_nulls != first_nulls {
            object.note_nulls(row);
        }
        if !object.strict.is_empty() {
            self.pinned |= object.pin_missing(row);
        }
        self.cells += object.order.len();
        if self.cells > CELLS_MAX {
            self.crowd(object, masked.is_none());
        }
        Ok(at)
    }

    /// Brings a column up to `row`, and says whether its value is to be taken.
    #[cold]
    fn touch(
        &mut self,
        text: &[u8],
        at: usize,
        object: &mut Object,
        child: usize,
        row: u32,
        masked: Option<&Nulls>,
    ) -> Result<bool, Fault> {
        let Target::Column(column) = &mut object.children[child].target else {
            return Ok(false);
        };
        if column.length == UNTOUCHED {
            self.cells += row as usize;
            if self.cells > CELLS_MAX {
                self.crowd(object, masked.is_none());
                return Ok(false);
            }
            (column.length, column.first_row) = (0, row);
            object.order.push(child as u32);
        } else if column.length > row {
            if self.pinned || self.crowded {
                // The row is walked only to its end; the columns are out of step.
                return Ok(false);
            }
            self.key.clear();
            self.key.extend_from_slice(object.children[child].name.as_bytes());
            let quote = memchr::memchr(b'"', &text[at..]).map_or(at, |quote| at + quote);
            return Err(Fault::new(quote, What::DuplicateKey));
        }
        let gap = row - column.length;
        if gap > 0 {
            column.absent |= masked.map_or(0, |nulls| nulls.count_between(column.length, row)) < gap;
            column.push_nulls(gap);
        }
        Ok(true)
    }

    /// Gives up on more rows in this batch, or, where the record alone is too much, on this object as columns.
    #[cold]
    fn crowd(&mut self, object: &mut Object, is_record: bool) {
        if self.has_rows {
            self.crowded = true;
        } else if !is_record {
            object.unfit = true;
            self.pinned = true;
        }
    }

    /// Walks to the next value the long way: what is behind the last value, and which key.
    fn next(
        &mut self,
        text: &[u8],
        at: usize,
        object: &mut Object,
        from: usize,
        is_record: bool,
    ) -> Result<Next, Fault> {
        let mut quote = walk::white_space(text, at);
        let mut otherwise = What::ExpectedKey;
        match text[quote] {
            b'{' if from == START => {
                quote = walk::white_space(text, quote + 1);
                otherwise = What::ExpectedKeyOrEnd;
                if text[quote] == b'}' {
                    return Ok(Next::End(quote + 1));
                }
            }
            b'}' => return Ok(Next::End(quote + 1)),
            b',' => quote = walk::white_space(text, quote + 1),
            _ => return Err(Fault::new(quote, What::ExpectedCommaOrBrace)),
        }
        if text[quote] != b'"' {
            return Err(Fault::new(quote, otherwise));
        }
        let stop = scan::string_stop(text, quote + 1);
        let (known, behind, is_text) = if text[stop] == b'"' {
            (object.find(&text[quote + 1..stop]), stop + 1, true)
        } else {
            self.key.clear();
            let mut is_text = true;
            let behind = escape::string(text, quote + 1, &mut self.key, &mut is_text)?;
            (if is_text { object.find(&self.key) } else { None }, behind, is_text)
        };
        let value = walk::colon(text, behind)?;
        if text[value] == b'\n' {
            return Err(Fault::new(value, What::ExpectedValue));
        }
        let child = match known {
            Some(child) => child,
            None if is_text => {
                let name = if text[stop] == b'"' {
                    &text[quote + 1..stop]
                } else {
                    &self.key
                };
                let name = std::str::from_utf8(name)
                    .expect("the block was checked to be UTF-8")
                    .to_owned();
                match self
                    .new_child(object, name, is_record)
                    .map_err(|what| Fault::new(quote, what))?
                {
                    Some(child) => child,
                    None => return Ok(Next::Unknown(value)),
                }
            }
            // No column can have this name. If nobody asked for this key, that is no loss.
            None if object.part.is_some() => return Ok(Next::Unknown(value)),
            None if is_record => return Err(Fault::new(quote, What::KeyNotText)),
            None => {
                object.unfit = true;
                self.pinned = true;
                return Ok(Next::Unknown(value));
            }
        };
        object.learn(from, child, &text[at..value]);
        Ok(Next::Child(child, value))
    }

    /// Adds a key that was not there before. `None`: its value is to be skipped.
    fn new_child(&mut self, object: &mut Object, name: String, is_record: bool) -> Result<Option<usize>, What> {
        let target = match (object.part, &self.selection) {
            (Some(state), Some(selection)) => match selection.find(state, name.as_bytes()) {
                None => Target::Skip,
                Some(key) => {
                    let part = if key.ends.is_empty() { key.below } else { None };
                    Target::Column(Column::new(UNTOUCHED, part))
                }
            },
            _ => Target::Column(Column::new(UNTOUCHED, None)),
        };
        let crowded = object.children.len() >= if is_record { ROOT_KEYS_MAX } else { NESTED_KEYS_MAX }
            || (!is_record && self.columns_total > 2 * COLUMNS_MAX);
        if crowded {
            match target {
                // Nobody asked for this one; it is only not remembered.
                Target::Skip => return Ok(None),
                Target::Column(_) if object.part.is_some() => {}
                Target::Column(_) if is_record => return Err(What::TooManyKeys),
                Target::Column(_) => {
                    object.unfit = true;
                    self.pinned = true;
                    return Ok(None);
                }
            }
        }
        self.columns_total += 1;
        Ok(Some(object.insert(name, target)))
    }

    /// Walks the value at `at` (or behind white space there) into the column, as its next row. The scalars of known types
    /// are inlined where values are met; all else is a call.
    #[inline(always)]
    fn value(&mut self, text: &[u8], at: usize, column: &mut Column, depth: u32) -> Result<usize, Fault> {
        let end = match &mut column.values {
            Values::Utf8(strings) if text[at] == b'"' => match strings.push_string(text, at + 1)? {
                Some(end) => end,
                None => return self.pin(text, at, column, depth),
            },
            Values::Int64(values) => match number::int(text, at) {
                Some((value, end)) => {
                    values.push(value);
                    end
                }
                None => return self.surprise(text, at, column, depth),
            },
            Values::Float64(values) => match number::float(text, at) {
                Some((value, end)) => {
                    values.push(value);
                    end
                }
                None => return self.surprise(text, at, column, depth),
            },
            _ => return self.other_value(text, at, column, depth),
        };
        column.length += 1;
        Ok(end)
    }

    /// [`Self::value`] for what is not inlined.
    fn other_value(&mut self, text: &[u8], at: usize, column: &mut Column, depth: u32) -> Result<usize, Fault> {
        let end = match &mut column.values {
            Values::Boolean(values) if text[at..].starts_with(b"true") => {
                values.push(true);
                at + 4
            }
            Values::Boolean(values) if text[at..].starts_with(b"false") => {
                values.push(false);
                at + 5
            }
            Values::Struct(object) if text[at] == b'{' => {
                self.object(text, at, object, column.length, Some(&column.nulls), depth)?
            }
            Values::List(list) if text[at] == b'[' => {
                let end = self.list(text, at, &mut list.item, depth)?;
                list.offsets.push(list.item.length as i32);
                end
            }
            Values::Json(strings) => {
                let at = walk::white_space(text, at);
                let end = walk::value(text, at, depth)?;
                strings.push_text(&text[at..end]);
                end
            }
            _ => return self.surprise(text, at, column, depth),
        };
        column.length += 1;
        Ok(end)
    }

    /// Walks the items of the list at `at`.
    fn list(&mut self, text: &[u8], at: usize, item: &mut Column, depth: u32) -> Result<usize, Fault> {
        if depth == walk::DEPTH_MAX {
            return Err(Fault::new(at, What::TooDeep));
        }
        let mut at = walk::white_space(text, at + 1);
        if text[at] == b']' {
            return Ok(at + 1);
        }
        loop {
            at = walk::white_space(text, self.value(text, at, item, depth + 1)?);
            match text[at] {
                b',' => at = walk::white_space(text, at + 1),
                b']' => return Ok(at + 1),
                _ => return Err(Fault::new(at, What::ExpectedCommaOrBracket)),
            }
        }
    }

    /// Walks a value that is not what the column's buffers hold, or that has white space before it.
    #[cold]
    fn surprise(&mut self, text: &[u8], at: usize, column: &mut Column, depth: u32) -> Result<usize, Fault> {
        let start = walk::white_space(text, at);
        if start != at {
            return self.value(text, start, column, depth);
        }
        let kind = match text[at] {
            b'"' => Some(Kind::Utf8),
            b'{' => Some(Kind::Struct),
            b'[' => Some(Kind::List),
            b'n' => return self.null(text, at, column),
            b't' | b'f' => walk::value(text, at, depth).map(|_| Some(Kind::Boolean))?,
            _ => {
                walk::value(text, at, depth)?;
                let float = || number::float(text, at).map(|_| Kind::Float64);
                number::int(text, at).map(|_| Kind::Int64).or_else(float)
            }
        };
        match kind {
            // Fields below were asked for, and here is nothing below.
            _ if column.part.is_some() && kind != Some(Kind::Struct) => {
                let end = walk::value(text, at, depth)?;
                column.absent = true;
                column.push_nulls(1);
                Ok(end)
            }
            Some(kind) if !column.has_values() => {
                column.set_kind(kind);
                self.value(text, at, column, depth)
            }
            _ => self.pin(text, at, column, depth),
        }
    }

    /// Walks a null.
    fn null(&mut self, text: &[u8], at: usize, column: &mut Column) -> Result<usize, Fault> {
        let end = walk::literal(text, at, b"null")?;
        if column.part.is_some() {
            column.absent = true;
            column.push_nulls(1);
            return Ok(end);
        }
        if column.absent {
            return self.pin(text, at, column, 0);
        }
        if column.first_null == NEVER {
            column.first_null = column.length;
            self.first_nulls += 1;
        }
        column.push_nulls(1);
        Ok(end)
    }

    /// Says that this place's values are to stay JSON text, and walks on: the row will be decoded again, and what else in
    /// it does not fit is best found now.
    #[cold]
    fn pin(&mut self, text: &[u8], at: usize, column: &mut Column, depth: u32) -> Result<usize, Fault> {
        column.pinned = true;
        self.pinned = true;
        walk::value(text, at, depth)
    }
}
