//! The walk of a filter: checks all of a line, and reads only the fields that the filter names.

use super::{
    compare::Comparison,
    escape,
    fault::{Fault, What},
    scan,
    selection::{RECORD, Selection, StateId},
    walk::{self, Line},
};
use crate::predicate::Predicate;

/// A predicate, ready to be asked about lines.
#[derive(Debug)]
pub(super) struct Filter {
    selection: Selection,
    record: Record,
}

/// How the record that is walked stands.
#[derive(Debug)]
struct Record {
    comparisons: Vec<Comparison>,
    /// For each term.
    standing: Vec<Standing>,
    /// For each of the selection's keys, the object that it was last seen in: a second time is a duplicate.
    seen: Vec<u64>,
    /// Objects walked so far, which gives each a number.
    objects: u64,
    key: Vec<u8>,
    scratch: Vec<u8>,
}

/// What is known of a term. A field that a record spells in two ways (`a.b` nested and as a literal key) passes if one of
/// the two does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Missing,
    Fails,
    Holds,
}

impl Filter {
    pub(super) fn new(predicate: &Predicate) -> Self {
        let paths: Vec<_> = predicate.terms.iter().map(|term| term.path.clone()).collect();
        let selection = Selection::new(&paths);
        let record = Record {
            comparisons: predicate.terms.iter().map(Comparison::new).collect(),
            standing: vec![Standing::Missing; predicate.terms.len()],
            seen: vec![0; selection.keys_total()],
            objects: 0,
            key: Vec::new(),
            scratch: Vec::new(),
        };
        Self { selection, record }
    }

    /// Walks the line that starts at `start` and says whether its record passes.
    pub(super) fn line(&mut self, text: &[u8], start: usize) -> Result<(Line, bool), Fault> {
        let at = walk::white_space(text, start);
        match text[at] {
            b'{' => {}
            b'\n' => return Ok((Line::Blank(at), false)),
            _ => return Err(Fault::new(at, What::ExpectedObject)),
        }
        self.record.standing.fill(Standing::Missing);
        let end = self.record.object(&self.selection, text, at, RECORD, 1)?;
        Ok((Line::Record(walk::line_end(text, end)?), self.record.passes()))
    }

    /// The key that the last fault was about.
    pub(super) fn faulty_key(&self) -> String {
        String::from_utf8_lossy(&self.record.key).into_owned()
    }
}

impl Record {
    fn passes(&self) -> bool {
        self.standing
            .iter()
            .zip(&self.comparisons)
            .all(|(standing, comparison)| match standing {
                Standing::Missing => comparison.holds_for_missing(),
                Standing::Fails => false,
                Standing::Holds => true,
            })
    }

    /// Asks the terms that end at a field.
    fn ask(&mut self, terms: &[u32], value: &[u8]) {
        for term in terms {
            let term = *term as usize;
            if self.comparisons[term].holds(value, &mut self.scratch) {
                self.standing[term] = Standing::Holds;
            } else if self.standing[term] == Standing::Missing {
                self.standing[term] = Standing::Fails;
            }
        }
    }

    /// Walks an object at which named fields may be; `depth` counts it.
    fn object(
        &mut self,
        selection: &Selection,
        text: &[u8],
        at: usize,
        state: StateId,
        depth: u32,
    ) -> Result<usize, Fault> {
        if depth > walk::DEPTH_MAX {
            return Err(Fault::new(at, What::TooDeep));
        }
        self.objects += 1;
        let object = self.objects;
        let mut at = walk::white_space(text, at + 1);
        if text[at] == b'}' {
            return Ok(at + 1);
        }
        let mut otherwise = What::ExpectedKeyOrEnd;
        loop {
            if text[at] != b'"' {
                return Err(Fault::new(at, otherwise));
            }
            otherwise = What::ExpectedKey;
            let stop = scan::string_stop(text, at + 1);
            let (key, behind) = if text[stop] == b'"' {
                (selection.find(state, &text[at + 1..stop]), stop + 1)
            } else {
                self.key.clear();
                let behind = escape::string(text, at + 1, &mut self.key, &mut true)?;
                (selection.find(state, &self.key), behind)
            };
            let value = walk::colon(text, behind)?;
            let end = match key {
                None => walk::value(text, value, depth)?,
                Some(key) => {
                    if std::mem::replace(&mut self.seen[key.number as usize], object) == object {
                        self.key.clear();
                        escape::string(text, at + 1, &mut self.key, &mut true)?;
                        return Err(Fault::new(at, What::DuplicateKey));
                    }
                    let end = match key.below {
                        Some(below) if text[value] == b'{' => self.object(selection, text, value, below, depth + 1)?,
                        _ => walk::value(text, value, depth)?,
                    };
                    self.ask(&key.ends, &text[value..end]);
                    end
                }
            };
            at = walk::white_space(text, end);
            match text[at] {
                b',' => at = walk::white_space(text, at + 1),
                b'}' => return Ok(at + 1),
                _ => return Err(Fault::new(at, What::ExpectedCommaOrBrace)),
            }
        }
    }
}
