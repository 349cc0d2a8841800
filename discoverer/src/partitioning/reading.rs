//! Reads keys by the expression.
//!
//! A text may have several readings: `${a}-${b}` on `1-2-3`. All are followed, shorter values first; the first one that
//! the filters allow is the key's reading.

use std::collections::{BTreeMap, HashSet};

use super::{Known, Partitioning, Piece, Span, value};
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
        let found = |known, ends: &[usize], _| {
            first = Some(Reading {
                known,
                ends: ends.to_vec(),
            });
            false
        };
        Search::new(self, self.pieces.len(), below, true, found).follow(0, 0, Known::default());
        first
    }

    /// The values of a reading, decoded, those that stand for null left out; `_time` is the start of its partition, in
    /// RFC 3339.
    pub(crate) fn partition(&self, reading: Reading) -> BTreeMap<String, String> {
        let span = reading.known.span();
        let values = reading.known.values.into_iter();
        let mut partition: BTreeMap<String, String> = values
            .filter(|(_, value)| value != value::NULL)
            .map(|(name, value)| (name, value::decoded(&value).into_owned()))
            .collect();
        if let Span::Between(start, _) = span
            && let Some(start) = self.filters.instant_of(start)
        {
            partition.insert(TIME.to_owned(), start.to_string());
        }
        partition
    }

    /// All readings of exactly `text` by the pieces `from..to`, of which only what later pieces depend on is kept.
    pub(super) fn readings(&self, from: usize, to: usize, text: &str, known: &Known, filtered: bool) -> HashSet<Known> {
        let mut readings = HashSet::new();
        let found = |mut known: Known, _: &[usize], end: usize| {
            if end == text.len() {
                self.forget(&mut known, to);
                readings.insert(known);
            }
            true
        };
        Search::new(self, to, text, filtered, found).follow(from, 0, known.clone());
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

    /// Drops the values that no piece from `piece` on asks for again.
    fn forget(&self, known: &mut Known, piece: usize) {
        let again = |name: &String| {
            self.pieces[piece..]
                .iter()
                .any(|piece| matches!(piece, Piece::Value(value) if value == name))
        };
        known.values.retain(|name, _| again(name));
    }

    /// Whether a part of the path has two values, so that a text may be cut between them in several ways.
    pub(super) fn is_ambiguous(pieces: &[Piece]) -> bool {
        pieces
            .split(|piece| matches!(piece, Piece::Literal(text) if text.ends_with('/')))
            .any(|level| level.iter().filter(|piece| matches!(piece, Piece::Value(_))).count() > 1)
    }
}

/// One search for readings of a text.
struct Search<'a, F> {
    partitioning: &'a Partitioning,
    to: usize,
    text: &'a str,
    filtered: bool,
    ends: Vec<usize>,
    /// Places that were followed to their end. Without it a text of many separators would be cut in more ways than
    /// anybody can wait for.
    been: HashSet<(usize, usize, Known)>,
    /// Takes a reading; false ends the search.
    found: F,
}

impl<'a, F: FnMut(Known, &[usize], usize) -> bool> Search<'a, F> {
    fn new(partitioning: &'a Partitioning, to: usize, text: &'a str, filtered: bool, found: F) -> Self {
        Self {
            partitioning,
            to,
            text,
            filtered,
            ends: Vec::with_capacity(to),
            been: HashSet::new(),
            found,
        }
    }

    /// Follows every reading from a piece and an offset on. False when the search is over.
    fn follow(&mut self, piece: usize, at: usize, mut known: Known) -> bool {
        if piece == self.to {
            let allowed = known.span() != Span::Never && (!self.filtered || self.partitioning.allows(&known));
            return !allowed || (self.found)(known, &self.ends, at);
        }
        let (partitioning, text) = (self.partitioning, self.text);
        let rest = &text[at..];
        match &partitioning.pieces[piece] {
            Piece::Literal(literal) => !rest.starts_with(literal.as_str()) || self.go(piece, at + literal.len(), known),
            Piece::Time(field) => {
                let digits = rest.get(..field.digits());
                let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
                let Some(number) = digits.and_then(|digits| digits.parse().ok()) else {
                    return true;
                };
                !known.note(*field, number) || self.go(piece, at + field.digits(), known)
            }
            Piece::Value(name) => {
                if partitioning.ambiguous {
                    let mut past = known.clone();
                    partitioning.forget(&mut past, piece);
                    if !self.been.insert((piece, at, past)) {
                        return true;
                    }
                }
                self.follow_value(piece, at, name, &known)
            }
        }
    }

    /// Follows a value, the shortest first.
    fn follow_value(&mut self, piece: usize, at: usize, name: &str, known: &Known) -> bool {
        let (partitioning, rest) = (self.partitioning, &self.text[at..]);
        let part = rest.split('/').next().unwrap_or_default();
        let is_last = piece + 1 == partitioning.pieces.len();
        for (start, letter) in part.char_indices() {
            let end = start + letter.len_utf8();
            // Nothing tells where the last value ends but the end of its part.
            if is_last && end < part.len() {
                continue;
            }
            if let Some(Piece::Literal(next)) = partitioning.pieces.get(piece + 1)
                && !rest[end..].starts_with(next.as_str())
            {
                continue;
            }
            let value = &part[..end];
            if known.values.get(name).is_some_and(|earlier| earlier != value)
                || self.filtered && !partitioning.filters.allow_value(name, value)
            {
                continue;
            }
            let mut known = known.clone();
            known.values.insert(name.to_owned(), value.to_owned());
            if !self.go(piece, at + end, known) {
                return false;
            }
        }
        true
    }

    /// Goes on behind a piece that ends at `end`.
    fn go(&mut self, piece: usize, end: usize, known: Known) -> bool {
        self.ends.push(end);
        let more = self.follow(piece + 1, end, known);
        self.ends.pop();
        more
    }
}
