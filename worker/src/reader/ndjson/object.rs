//! The keys of objects at one place, and the order that they come in.
//!
//! Records repeat their shape. Each key remembers which keys came next and the bytes between the two values as they stood:
//! comma, white space, quotes, colon. A record that goes on like an earlier one is then not parsed but compared. Keeping
//! successors rather than whole shapes covers optional and reordered keys without counting their combinations.

use std::hash::{BuildHasher, RandomState};

use super::{
    column::{Column, UNTOUCHED},
    scan::{self, Head},
    selection::StateId,
};

/// How many ways to go on are remembered behind each key.
const LINKS_MAX: usize = 4;
/// Longer ways to go on (white space without end) are not remembered.
const LINK_BYTES_MAX: usize = 256;
/// The predecessor of an object's first key.
pub(super) const START: usize = 0;
/// The predecessor that stands for all keys that are not children.
pub(super) const UNKNOWN: usize = 1;

/// A child as the predecessor of the next key.
#[inline]
pub(super) fn behind(child: usize) -> usize {
    child + 2
}

/// The keys of objects at one place.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) children: Vec<Child>,
    /// The children that the batch has, by first appearance.
    pub(super) order: Vec<u32>,
    /// Those of them that have explicit nulls: they must be there in every row from then on, or are not what they seem.
    pub(super) strict: Vec<u32>,
    /// Whether it turned out that these objects can't become columns.
    pub(super) unfit: bool,
    /// If only some fields are selected: which.
    pub(super) part: Option<StateId>,
    /// For each predecessor, how objects went on.
    links: Vec<Links>,
    index: Index,
}

/// A key.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: String,
    pub(super) target: Target,
}

/// Where a key's values go.
#[derive(Debug)]
pub(super) enum Target {
    /// They are checked, and not kept.
    Skip,
    Column(Column),
}

impl Object {
    pub(super) fn new(part: Option<StateId>) -> Self {
        Self {
            children: Vec::new(),
            order: Vec::new(),
            strict: Vec::new(),
            unfit: false,
            part,
            links: vec![Links::default(), Links::default()],
            index: Index::default(),
        }
    }

    /// The child that comes behind `from` if the text goes on as it did the first time, and the place of its value.
    #[inline]
    pub(super) fn predict(&self, from: usize, text: &[u8], at: usize) -> Option<(usize, usize)> {
        let first = &self.links[from].ways[0];
        let same = first.head.begins(scan::chunk(text, at)?) && first.length <= scan::HEAD_BYTES as u32;
        same.then(|| (first.child as usize, at + first.length as usize))
    }

    /// [`Self::predict`] for the other ways that it once went on, and for long ones.
    pub(super) fn predict_other(&self, from: usize, text: &[u8], at: usize) -> Option<(usize, usize)> {
        let links = &self.links[from];
        let window = scan::chunk(text, at)?;
        links.ways[..links.used as usize].iter().find_map(|way| {
            let end = at + way.length as usize;
            let same = way.head.begins(window)
                && (way.rest.is_empty() || text.get(at + scan::HEAD_BYTES..end) == Some(&*way.rest));
            same.then_some((way.child as usize, end))
        })
    }

    /// Remembers that the text between `from`'s value and `child`'s was this.
    pub(super) fn learn(&mut self, from: usize, child: usize, between: &[u8]) {
        if between.len() > LINK_BYTES_MAX {
            return;
        }
        let links = &mut self.links[from];
        let slot = if (links.used as usize) < LINKS_MAX {
            links.used += 1;
            links.used as usize - 1
        } else {
            // The first way stays: it was there from the beginning.
            links.oldest = links.oldest % (LINKS_MAX as u8 - 1) + 1;
            links.oldest as usize
        };
        let link = &mut links.ways[slot];
        link.head = Head::new(between);
        link.rest = between.get(scan::HEAD_BYTES..).unwrap_or_default().into();
        link.length = between.len() as u32;
        link.child = child as u32;
    }

    /// The child of this name.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        self.index.find(name, &self.children)
    }

    /// Adds a child and returns its index.
    pub(super) fn insert(&mut self, name: String, target: Target) -> usize {
        self.children.push(Child { name, target });
        self.links.push(Links::default());
        self.index.insert(&self.children);
        self.children.len() - 1
    }

    /// Takes note of the keys whose first null was in this row.
    #[cold]
    pub(super) fn note_nulls(&mut self, row: u32) {
        for child in &self.order {
            if let Target::Column(column) = &self.children[*child as usize].target
                && column.first_null == row
            {
                self.strict.push(*child);
            }
        }
    }

    /// Pins the keys that had a null in this batch but are missing in this row, and says whether there are any: in one
    /// column a null would stand for both.
    pub(super) fn pin_missing(&mut self, row: u32) -> bool {
        let mut found = false;
        for child in &self.strict {
            if let Target::Column(column) = &mut self.children[*child as usize].target
                && column.length <= row
            {
                column.pinned = true;
                found = true;
            }
        }
        found
    }

    /// Cuts all columns back to `rows` whole rows; those that come only later are as if they never had.
    pub(super) fn truncate(&mut self, rows: u32) {
        let children = &mut self.children;
        for child in &self.order {
            if let Target::Column(column) = &mut children[*child as usize].target {
                column.truncate(rows);
            }
        }
        self.strict.retain(|child| match &children[*child as usize].target {
            Target::Column(column) => column.first_null < rows,
            Target::Skip => false,
        });
        while let Some(Child {
            target: Target::Column(column),
            ..
        }) = self.order.last().map(|child| &mut children[*child as usize])
            && column.first_row >= rows
        {
            column.reset(UNTOUCHED, &mut 0);
            self.order.pop();
        }
    }

    /// Makes the columns ready for the next batch.
    pub(super) fn reset(&mut self, columns_total: &mut usize) {
        self.order.clear();
        self.strict.clear();
        for child in &mut self.children {
            match &mut child.target {
                Target::Column(column) => column.reset(UNTOUCHED, columns_total),
                Target::Skip => *columns_total += 1,
            }
        }
    }
}

/// How objects went on behind a key.
#[derive(Debug, Default)]
struct Links {
    ways: [Link; LINKS_MAX],
    used: u8,
    oldest: u8,
}

/// One way to go on.
#[derive(Debug)]
struct Link {
    /// The first bytes, which almost always are all.
    head: Head,
    length: u32,
    child: u32,
    rest: Box<[u8]>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            head: Head::default(),
            // Longer than any text.
            length: u32::MAX,
            child: 0,
            rest: Box::default(),
        }
    }
}

/// Children by name: a hash table of their indexes, with open addressing.
#[derive(Debug)]
struct Index {
    /// Hash, and index plus one; zero is a free slot. A power of two in length, at most half full.
    slots: Vec<(u32, u32)>,
    /// Unknown outside, so that nobody can make keys that collide.
    seed: u64,
}

impl Index {
    fn find(&self, name: &[u8], children: &[Child]) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let hash = self.hash(name);
        let mut at = hash as usize;
        loop {
            at &= self.slots.len() - 1;
            match self.slots[at] {
                (_, 0) => return None,
                (other, child) if other == hash && children[child as usize - 1].name.as_bytes() == name => {
                    return Some(child as usize - 1);
                }
                _ => at += 1,
            }
        }
    }

    /// Takes up the last child.
    fn insert(&mut self, children: &[Child]) {
        if children.len() * 2 > self.slots.len() {
            self.slots = vec![(0, 0); (children.len() * 4).next_power_of_two()];
            for number in 1..=children.len() {
                self.put(&children[number - 1].name, number as u32);
            }
        } else {
            self.put(&children[children.len() - 1].name, children.len() as u32);
        }
    }

    fn put(&mut self, name: &str, child: u32) {
        let hash = self.hash(name.as_bytes());
        let mut at = hash as usize & (self.slots.len() - 1);
        while self.slots[at].1 != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = (hash, child);
    }

    /// Eight bytes at a time, each multiplied to twice its width and folded.
    #[inline]
    fn hash(&self, name: &[u8]) -> u32 {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let fold = |hash: u64, word: u64| {
            let product = u128::from(hash ^ word) * u128::from(FACTOR);
            (product as u64) ^ (product >> 64) as u64
        };
        let (words, rest) = name.as_chunks::<8>();
        let hash = words.iter().fold(self.seed ^ name.len() as u64, |hash, word| {
            fold(hash, u64::from_le_bytes(*word))
        });
        let rest = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        fold(hash, rest) as u32
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            seed: RandomState::new().hash_one(0),
        }
    }
}
