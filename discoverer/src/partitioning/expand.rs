//! Finds the prefixes worth listing: a walk from the expression's beginning, piece by piece, lazily.
//!
//! A piece whose values the filters name is enumerated; any other is discovered: its folder is listed by common prefixes,
//! and those are read. The fan-out of one piece is small (a time is enumerated token by token), so that minutes over years
//! take no memory. A prefix that is found may hold no key at all, or keys that don't read as the expression.

use std::collections::{BTreeMap, HashSet};

use super::{Field, Known, Partitioning, Piece, value};

/// A place in the walk.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The text up to here, below the prefix of all keys.
    pub(crate) prefix: String,
    /// Where enumerated pieces end in it: piece and offset.
    pub(crate) cuts: Vec<(usize, usize)>,
    piece: usize,
    /// Every way to read the text that the filters allow, as far as later pieces depend on it.
    readings: Vec<Known>,
}

impl Node {
    /// A name that no other leaf of the expression has, and that is the same in every run: two leaves may have one prefix,
    /// cut in different places.
    pub(crate) fn name(&self) -> String {
        let cuts = self.cuts.iter().map(|(piece, end)| format!("{piece}:{end}"));
        format!("{} {}", cuts.collect::<Vec<_>>().join(","), self.prefix)
    }
}

/// What is to be done at a node.
#[derive(Debug)]
pub(crate) enum Step {
    /// List all keys that begin with its prefix.
    Leaf(Node),
    /// Go on with these, in this order.
    Children(Vec<Node>),
    /// List by folder at its prefix, and give the common prefixes to [`Partitioning::folder`].
    Discover(Node),
}

impl Partitioning {
    /// Where the walk begins.
    pub(crate) fn start() -> Node {
        Node {
            prefix: String::new(),
            cuts: Vec::new(),
            piece: 0,
            readings: vec![Known::default()],
        }
    }

    /// The next step from a node.
    pub(crate) fn step(&self, node: Node) -> Step {
        let Some(piece) = self.pieces.get(node.piece) else {
            return Step::Leaf(node);
        };
        let mut children: BTreeMap<String, Vec<Known>> = BTreeMap::new();
        for known in &node.readings {
            let Some(candidates) = self.candidates(piece, known) else {
                let has_slash = self.level_end(node.piece).is_some();
                return if has_slash {
                    Step::Discover(node)
                } else {
                    Step::Leaf(node)
                };
            };
            for (text, known) in candidates {
                children.entry(text).or_default().push(known);
            }
        }
        let child = |(text, readings): (String, Vec<Known>)| {
            let prefix = format!("{}{text}", node.prefix);
            let mut cuts = node.cuts.clone();
            cuts.push((node.piece, prefix.len()));
            Node {
                prefix,
                cuts,
                piece: node.piece + 1,
                readings,
            }
        };
        Step::Children(children.into_iter().map(child).collect())
    }

    /// The node of a folder that was discovered at `node`; `below` is its whole text below the prefix of all keys.
    /// `Err(true)` when the filters keep it out, `Err(false)` when it does not read as the expression.
    pub(crate) fn folder(&self, node: &Node, below: &str) -> Result<Node, bool> {
        let end = self
            .level_end(node.piece)
            .expect("only levels that end in a slash are discovered");
        let text = below.get(node.prefix.len()..).ok_or(false)?;
        let read = |filtered| {
            let mut all: HashSet<Known> = HashSet::new();
            for known in &node.readings {
                all.extend(self.readings(node.piece, end, text, known, filtered));
            }
            all
        };
        let readings = read(true);
        if readings.is_empty() {
            return Err(!read(false).is_empty());
        }
        Ok(Node {
            prefix: below.to_owned(),
            cuts: node.cuts.clone(),
            piece: end,
            readings: readings.into_iter().collect(),
        })
    }

    /// Whether the folders at a node may have any name: its part of the path begins with a value.
    pub(crate) fn is_any_name(&self, node: &Node) -> bool {
        let begins_part = node.prefix.is_empty() || node.prefix.ends_with('/');
        begins_part && matches!(self.pieces.get(node.piece), Some(Piece::Value(_)))
    }

    /// The piece behind the one that ends the part of the path that `piece` is in.
    fn level_end(&self, piece: usize) -> Option<usize> {
        let slash = self.pieces[piece..]
            .iter()
            .position(|piece| matches!(piece, Piece::Literal(text) if text.ends_with('/')))?;
        Some(piece + slash + 1)
    }

    /// Every text that the piece can be, none when only a listing can tell.
    fn candidates(&self, piece: &Piece, known: &Known) -> Option<Vec<(String, Known)>> {
        match piece {
            Piece::Literal(text) => Some(vec![(text.clone(), known.clone())]),
            Piece::Value(name) => {
                if let Some(value) = known.values.get(name) {
                    return Some(vec![(value.clone(), known.clone())]);
                }
                let values = self.filters.values(name)?;
                if !values.iter().all(|value| value::is_written_one_way(value)) {
                    return None;
                }
                let with = |value: &String| {
                    let mut known = known.clone();
                    known.values.insert(name.clone(), value.clone());
                    (value.clone(), known)
                };
                Some(values.iter().map(with).collect())
            }
            Piece::Time(field) => {
                let years = self.filters.years()?;
                let numbers = match field {
                    Field::Year => years,
                    Field::ShortYear => 0..=99,
                    Field::Month => 1..=12,
                    Field::Day => 1..=31,
                    Field::DayOfYear => 1..=366,
                    Field::Hour => 0..=23,
                    Field::Minute => 0..=59,
                };
                let with = |number| {
                    let mut known = known.clone();
                    let possible = known.note(*field, number) && self.allows(&known);
                    possible.then(|| (format!("{number:0width$}", width = field.digits()), known))
                };
                Some(numbers.filter_map(with).collect())
            }
        }
    }
}
