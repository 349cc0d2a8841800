//! Values in records: into the column's buffers if they hold it as it is, else whatever it takes to lose nothing.

use super::{
    super::{
        column::{Column, Kind, NEVER, Values},
        fault::{Fault, What},
        number, scan, walk,
    },
    Walker,
};

impl Walker {
    /// Walks the value at `at` (or behind white space there) into the column, as its next row. The scalars of known types
    /// are inlined where values are met; all else is a call.
    #[inline(always)]
    #[allow(clippy::inline_always)] // a call for each value was measurably slower
    pub(super) fn value(&mut self, text: &[u8], at: usize, column: &mut Column, depth: u32) -> Result<usize, Fault> {
        let end = match &mut column.values {
            Values::Utf8(strings) if text[at] == b'"' => {
                let stop = strings.push_plain(text, at + 1);
                if text[stop] == b'"' {
                    stop + 1
                } else {
                    match strings.push_rest(text, stop)? {
                        Some(end) => end,
                        None => return self.pin(text, at, column, depth),
                    }
                }
            }
            Values::Int64(values) => match number::short_int(text, at) {
                Some((value, end)) => {
                    values.push(value);
                    end
                }
                None => return self.other_value(text, at, column, depth),
            },
            Values::Float64(values) => match number::short_float(text, at) {
                Some((value, end)) => {
                    values.push(value);
                    end
                }
                None => return self.other_value(text, at, column, depth),
            },
            _ => return self.other_value(text, at, column, depth),
        };
        column.length += 1;
        Ok(end)
    }

    /// [`Self::value`] for what is not inlined.
    fn other_value(&mut self, text: &[u8], at: usize, column: &mut Column, depth: u32) -> Result<usize, Fault> {
        let end = match &mut column.values {
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
            Values::Boolean(values) => match boolean(text, at) {
                Some(value) => {
                    values.push(value);
                    at + 5 - usize::from(value)
                }
                None => return self.surprise(text, at, column, depth),
            },
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

/// The boolean that starts at `at`. Both are looked for at once: which of them it is, no branch could predict.
#[inline]
fn boolean(text: &[u8], at: usize) -> Option<bool> {
    let word = u64::from_le_bytes(*scan::chunk::<8>(text, at)?);
    let is_true = word as u32 == u32::from_le_bytes(*b"true");
    let is_false = word & 0xff_ffff_ffff == u64::from_le_bytes(*b"false\0\0\0");
    (is_true | is_false).then_some(is_true)
}
