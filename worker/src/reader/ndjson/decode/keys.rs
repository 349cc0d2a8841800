//! Objects in records: what comes behind a value the first time, and when a key's column has to be brought into step.

use super::{
    super::{
        column::{Column, Nulls, UNTOUCHED},
        escape,
        fault::{Fault, What},
        object::{self, Object, START, Target, UNKNOWN},
        scan, walk,
    },
    CELLS_MAX, COLUMNS_MAX, NESTED_KEYS_MAX, ROOT_KEYS_MAX, SKIPPED_KEYS_MAX, Walker,
};

/// What comes behind a value in an object.
enum Next {
    /// Its end; the place is behind it.
    End(usize),
    /// This child, whose value is here.
    Child(usize, usize),
    /// A key that is no child, whose value is here.
    Unknown(usize),
}

impl Walker {
    /// Walks the object at `at` as row `row` of its columns, below `depth` others. `masked` are rows in which the object
    /// itself was not there, which says nothing of its keys; `None` for the record.
    pub(super) fn object(
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
            let predicted = match object.predict(from, text, at) {
                None if text[at] == b'}' && from != START => {
                    at += 1;
                    break;
                }
                None => object.predict_other(from, text, at),
                first => first,
            };
            let (child, value) = match predicted {
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
            // A first row adds no cells, and of the record and its parts nothing may be left out.
            if row > 0 && self.cells > CELLS_MAX {
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

    /// Gives up on more rows in this batch, or, where the record alone is too much, on this object as columns. An object of
    /// which only parts are selected is not what makes a record too much.
    #[cold]
    fn crowd(&mut self, object: &mut Object, is_record: bool) {
        if self.has_rows {
            self.crowded = true;
        } else if !is_record && object.part.is_none() {
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
        if matches!(target, Target::Skip) && object.children.len() >= SKIPPED_KEYS_MAX {
            return Ok(None);
        }
        let crowded = object.children.len() >= if is_record { ROOT_KEYS_MAX } else { NESTED_KEYS_MAX }
            || (!is_record && self.columns_total > 2 * COLUMNS_MAX);
        if crowded {
            match target {
                // As many as were asked for.
                Target::Skip | Target::Column(_) if object.part.is_some() => {}
                _ if is_record => return Err(What::TooManyKeys),
                Target::Skip | Target::Column(_) => {
                    object.unfit = true;
                    self.pinned = true;
                    return Ok(None);
                }
            }
        }
        self.columns_total += 1;
        Ok(Some(object.insert(name, target)))
    }
}
