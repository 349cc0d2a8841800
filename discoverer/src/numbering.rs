//! Turns found objects into numbered work items, up to the bound.

use jiff::Timestamp;
use pf_state::Seal;
use pf_work::{Compression, WorkItem, item};

use crate::{listing::Found, naming::Naming, split, totals::Totals};

/// What all items of a run share.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The job's name.
    pub(crate) job: String,
    /// Which life of it, where its books are kept.
    pub(crate) life: Option<String>,
    /// Which run of it.
    pub(crate) run: u32,
    /// What names tell.
    pub(crate) naming: Naming,
    /// At most so many objects.
    pub(crate) objects_max: Option<u64>,
    /// Where what was made of objects is told.
    pub(crate) totals: Totals,
}

/// What was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Offered {
    /// Items, which are also the next item's number.
    pub(crate) items: u64,
    /// Objects that they cover.
    pub(crate) objects: u64,
    /// Bytes of these objects, as stored.
    pub(crate) bytes: u64,
    /// Objects that were left out because they are archived.
    pub(crate) archived: u64,
    /// Whether the reader of the items went away before the end.
    pub(crate) reader_left: bool,
}

impl From<Seal> for Offered {
    /// What an earlier run offered.
    fn from(before: Seal) -> Self {
        Self {
            items: before.items,
            objects: before.objects,
            bytes: before.bytes,
            archived: before.archived,
            reader_left: false,
        }
    }
}

/// Makes items and counts them.
#[derive(Debug)]
pub(crate) struct Numbering {
    terms: Terms,
    offered: Offered,
}

impl Numbering {
    pub(crate) fn new(terms: Terms) -> Self {
        Self::after(terms, Offered::default())
    }

    /// Goes on with the numbers behind what was offered before; the bound is on both together.
    pub(crate) fn after(terms: Terms, offered: Offered) -> Self {
        terms.totals.set(offered);
        Self { terms, offered }
    }

    /// What was made of objects so far.
    pub(crate) fn offered(&self) -> Offered {
        self.offered
    }

    /// Whether the bound is reached: no further object becomes an item.
    pub(crate) fn is_full(&self) -> bool {
        self.terms.objects_max == Some(self.offered.objects)
    }

    /// The items of one object: one, or one for each range that it is split into; none beyond the bound.
    pub(crate) fn items(&mut self, found: Found) -> impl Iterator<Item = WorkItem> {
        let size_bytes = found.object.size_bytes;
        let split = found.split;
        let parts = if self.is_full() {
            None
        } else {
            self.offered.objects += 1;
            self.offered.bytes += size_bytes;
            // Unsplit is one part, as large as it is.
            let part_bytes_max = split.map_or(size_bytes.max(1), |split| split.part_bytes_max);
            Some(split::parts(size_bytes, part_bytes_max))
        };
        let item = item_of(found, &self.terms);
        parts.into_iter().flatten().map(move |range| {
            let seq = self.offered.items;
            self.offered.items += 1;
            self.terms.totals.set(self.offered);
            WorkItem {
                seq,
                range: split.map(|_| range),
                ..item.clone()
            }
        })
    }
}

/// The item of a whole object, not yet numbered.
fn item_of(found: Found, terms: &Terms) -> WorkItem {
    let Found {
        object,
        partition,
        split,
        prefix: _,
    } = found;
    let (format, compression) = match split {
        Some(split) => (split.format, Compression::None),
        None => terms.naming.of(object.uri.key()),
    };
    WorkItem {
        v: item::VERSION,
        life: terms.life.clone(),
        run: terms.run,
        returns: 0,
        tries: 0,
        crashes: 0,
        job: terms.job.clone(),
        seq: 0,
        uri: object.uri.to_string(),
        // A server that lists without entity tags leaves them empty.
        etag: Some(object.etag).filter(|etag| !etag.is_empty()),
        size_bytes: object.size_bytes,
        last_modified: Some(object.last_modified),
        format,
        compression,
        range: None,
        partition,
        enqueued_at: Timestamp::now(),
    }
}
