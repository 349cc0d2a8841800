//! Reads keys by the expression.
//!
//! A text may have several readings: `${a}-${b}` on `1-2-3`. All are followed, shorter values first; the first one that
//! the filters allow is the key's reading.

use std::collections::BTreeMap;

use super::{Known, Partitioning, Piece, Span};
use crate::filter::TIME;

/// How a key reads.
#[derive(Debug)]
pub(crate) struct Reading {
    known: Known,
    /// Behind each piece, the offset below the prefix.
    ends: Vec<usize>,
}

impl Reading {
    /// Whether the pieces end where the node that the key was listed under says. Of nodes that overlap, only one does.
    pub(crate) fn belongs_to(&self, cuts: &[(usize, usize)]) -> bool {
        cuts.iter().all(|&(piece, end)| self.ends[piece] == end)
    }
}

impl Partitioning {
    /// Reads what is behind the prefix of a key. It must begin with the whole expression; more may follow.
    pub(crate) fn read(&self, below: &str) -> Option<Reading> {
        let mut first = None;
        let mut ends = Vec::with_capacity(self.pieces.len());
        self.follow(
            0,
            self.pieces.len(),
            below,
            0,
            Known::default(),
            true,
            &mut ends,
            &mut |known, ends, _| {
                first = Some(Reading {
                    known,
                    ends: ends.to_vec(),
                });
                false
            },
        );
        first
    }

    /// The values of a reading; `_time` is the start of its partition, in RFC 3339.
    pub(crate) fn partition(&self, reading: Reading) -> BTreeMap<String, String> {
        let span = reading.known.span();
        let mut partition = reading.known.values;
        if let Span::Between(start, _) = span
            && let Some(start) = self.filters.instant_of(start)
        {
            partition.insert(TIME.to_owned(), start.to_string());
        }
        partition
    }

    /// All readings of exactly `text` by the pieces `from..to`.
    pub(super) fn readings(&self, from: usize, to: usize, text: &str, known: &Known, filtered: bool) -> Vec<Known> {
        let mut readings = Vec::new();
        self.follow(
            from,
            to,
            text,
            0,
            known.clone(),
            filtered,
            &mut Vec::new(),
            &mut |known, _, end| {
                if end == text.len() && !readings.contains(&known) {
                    readings.push(known);
                }
                true
            },
        );
        readings
    }

    /// Whether the filters leave room for what is known.
    pub(super) fn allows(&self, known: &Known) -> bool {
        match known.span() {
            Span::Never => false,
            Span::Any => true,
            Span::Between(start, end) => self.filters.allow_time(start, end),
        }
    }

    /// Calls `found` for each reading until it says false; returns false then.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of a recursion that only this file calls"
    )]
    fn follow(
        &self,
        from: usize,
        to: usize,
        text: &str,
        at: usize,
        mut known: Known,
        filtered: bool,
        ends: &mut Vec<usize>,
        found: &mut dyn FnMut(Known, &[usize], usize) -> bool,
    ) -> bool {
        if from == to {
            let allowed = known.span() != Span::Never && (!filtered || self.allows(&known));
            return !allowed || found(known, ends, at);
        }
        let rest = &text[at..];
        let mut go = |known: Known, length: usize, ends: &mut Vec<usize>| {
            ends.push(at + length);
            let more = self.follow(from + 1, to, text, at + length, known, filtered, ends, found);
            ends.pop();
            more
        };
        match &self.pieces[from] {
            Piece::Literal(literal) => !rest.starts_with(literal.as_str()) || go(known, literal.len(), ends),
            Piece::Time(field) => {
                let digits = rest.get(..field.digits());
                let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
                let Some(number) = digits.and_then(|digits| digits.parse().ok()) else {
                    return true;
                };
                !known.note(*field, number) || go(known, field.digits(), ends)
            }
            Piece::Value(name) => {
                let part = rest.split('/').next().unwrap_or_default();
                let is_last = from + 1 == self.pieces.len();
                for (start, letter) in part.char_indices() {
                    let end = start + letter.len_utf8();
                    // Nothing tells where the last value ends but the end of its part.
                    if is_last && end < part.len() {
                        continue;
                    }
                    if let Some(Piece::Literal(next)) = self.pieces.get(from + 1)
                        && !rest[end..].starts_with(next.as_str())
                    {
                        continue;
                    }
                    let value = &part[..end];
                    if known.values.get(name).is_some_and(|earlier| earlier != value)
                        || filtered && !self.filters.allow_value(name, value)
                    {
                        continue;
                    }
                    let mut known = known.clone();
                    known.values.insert(name.clone(), value.to_owned());
                    if !go(known, end, ends) {
                        return false;
                    }
                }
                true
            }
        }
    }
}
