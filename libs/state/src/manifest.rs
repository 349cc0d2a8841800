//! The manifest: the job's work items in the order of their numbers, written before anybody is offered them.
//!
//! A part is named after the number of its first item, and the last part, without items, seals the manifest. All of them
//! are created and never overwritten: two discoverers that go on from the same number want the same name, and one of them
//! loses, also when one adds items where the other seals.
//!
//! A discoverer that was stopped reads what is there and goes on where it ends. For that each part says how far the listing
//! had come: a cursor for each prefix that its items are from.
//!
//! A sealed manifest may be gone on with by a further *listing*, for what is new since: its parts lie behind the seal, under
//! names of their own, and end in a seal of their own. The manifest is complete when its last listing is sealed.

mod reader;

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use pf_work::WorkItem;
use serde::{Deserialize, Serialize};

pub use self::reader::ManifestReader;
use crate::{
    Claim, Error, Result, StateDir,
    part::{self, Kind, Part},
    state_dir::computed,
};

pub(crate) const FOLDER: &str = "manifest/";

/// The end of a manifest that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seal {
    /// Items, numbered 0 up to this.
    pub items: u64,
    /// Parts that hold them.
    pub parts: u64,
    /// Objects that they cover.
    pub objects: u64,
    /// Bytes of these objects, as stored.
    pub bytes: u64,
    /// Objects that the last listing left out because they are archived.
    pub archived: u64,
    /// Of the objects, those of which the manifest has an earlier version: both were given out.
    pub superseding: u64,
}

/// What a part says of itself; the seal has the sums over all parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    job: String,
    /// The process that wrote it: what else is the same by chance is told apart by this.
    writer: String,
    /// Which listing it is of, from 1.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    listing: u64,
    first_seq: u64,
    objects: u64,
    bytes: u64,
    /// Objects that were left out because they are archived, since the part before; in the seal, by its whole listing.
    #[serde(default, skip_serializing_if = "is_zero")]
    archived: u64,
    /// Of the objects, those of which an earlier version is in a part before.
    #[serde(default, skip_serializing_if = "is_zero")]
    superseding: u64,
    /// Parts before the seal, over all listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<u64>,
    /// By prefix that was listed: the last key whose items are here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    cursors: BTreeMap<String, String>,
}

fn first() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_first(listing: &u64) -> bool {
    *listing == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What one part adds.
#[derive(Debug, Clone, Default)]
pub struct Addition {
    /// Work items, numbered from [`ManifestWriter::next_seq`] without a gap. All items of an object belong in one addition.
    pub items: Vec<WorkItem>,
    /// Objects that they cover.
    pub objects: u64,
    /// Bytes of these objects, as stored.
    pub bytes: u64,
    /// Of the objects, those of which the manifest has an earlier version.
    pub superseding: u64,
    /// For each listed prefix, by any name that stays the same, the last key that was taken from it.
    pub cursors: BTreeMap<String, String>,
}

/// The one writer of a job's manifest.
#[derive(Debug)]
pub struct ManifestWriter {
    state: StateDir,
    writer: String,
    listing: u64,
    /// Whether the listing has a part already.
    is_begun: bool,
    reached: Seal,
    /// Archived objects that no part tells of yet.
    archived: u64,
    cursors: BTreeMap<String, String>,
    is_sealed: bool,
}

impl StateDir {
    /// Begins the manifest of a job that is its own owner, or opens it to go on with it.
    pub async fn write_manifest(&self, plan: &BTreeMap<String, String>) -> Result<ManifestWriter> {
        let owner = self.job();
        let resume = false;
        self.claim(Claim { owner, resume, plan }).await?;
        self.open_manifest().await
    }

    /// Opens the manifest of claimed books, to begin it or to go on with it.
    pub async fn open_manifest(&self) -> Result<ManifestWriter> {
        let mut writer = ManifestWriter {
            state: self.clone(),
            writer: format!("{:016x}", fastrand::u64(..)),
            listing: 1,
            is_begun: false,
            reached: Seal::default(),
            archived: 0,
            cursors: BTreeMap::new(),
            is_sealed: false,
        };
        let mut headers = self.parts(self.names(FOLDER).await?, |part: Part<About>| {
            let damaged = part.damaged("it is not where the parts before it end");
            Ok((part.header, damaged))
        });
        while let Some((header, damaged)) = headers.try_next().await? {
            let listing = header.about.listing;
            if writer.is_sealed && listing == writer.listing + 1 {
                writer.list_again();
            }
            if header.about.first_seq != writer.reached.items || writer.is_sealed || listing != writer.listing {
                return Err(damaged);
            }
            match header.kind {
                Kind::Seal => {
                    writer.is_sealed = true;
                    writer.reached.archived = header.about.archived;
                }
                _ => writer.reach(header.entries, header.about),
            }
        }
        Ok(writer)
    }
}

impl ManifestWriter {
    /// The number of the next item.
    pub fn next_seq(&self) -> u64 {
        self.reached.items
    }

    /// What the manifest holds so far.
    pub fn reached(&self) -> Seal {
        self.reached
    }

    /// Which listing is being written, or was the last, from 1.
    pub fn listing(&self) -> u64 {
        self.listing
    }

    /// Goes on behind the seal, with a further listing. Nothing is written before its first addition.
    ///
    /// # Panics
    /// When the manifest is not sealed.
    pub fn list_again(&mut self) {
        assert!(self.is_sealed, "one listing ends before the next begins");
        self.listing += 1;
        self.is_begun = false;
        self.is_sealed = false;
        self.cursors.clear();
    }

    /// Counts objects that the listing left out because they are archived. The next part, or the seal, tells of them. Who goes
    /// on behind a part may count some twice, those that were seen when it was written and lie behind its cursors; none is
    /// forgotten.
    pub fn leave_out_archived(&mut self, objects: u64) {
        self.archived += objects;
    }

    /// Whether nothing may be added any more.
    pub fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// The last key of each prefix that is in the manifest, by the name that [`Addition::cursors`] gave it.
    pub fn cursors(&self) -> &BTreeMap<String, String> {
        &self.cursors
    }

    /// Adds a part. It is stored when this returns; after an error the writer is not to be used any more.
    ///
    /// # Panics
    /// When items are not numbered from [`next_seq`](Self::next_seq) on, or the manifest is sealed.
    pub async fn add(&mut self, addition: Addition) -> Result<()> {
        let Addition {
            items,
            objects,
            bytes,
            superseding,
            cursors,
        } = addition;
        assert!(!self.is_sealed, "nothing is added to a sealed manifest");
        for (item, seq) in items.iter().zip(self.reached.items..) {
            assert_eq!(item.seq, seq, "items are numbered without a gap");
        }
        if items.is_empty() {
            return Ok(());
        }
        let about = About {
            job: self.state.job().to_owned(),
            writer: self.writer.clone(),
            listing: self.listing,
            first_seq: self.reached.items,
            objects,
            bytes,
            archived: std::mem::take(&mut self.archived),
            superseding,
            parts: None,
            cursors,
        };
        let entries = items.len() as u64;
        let name = part_name(self.reached.items, self.listing);
        let (encoded, about) = computed(move || (part::encode(Kind::Manifest, &about, items.iter()), about)).await;
        self.create(&name, encoded).await?;
        self.reach(entries, about);
        Ok(())
    }

    /// Ends the manifest: all items are in it. A further listing that found nothing else leaves no trace.
    pub async fn seal(&mut self) -> Result<Seal> {
        let is_as_before = !self.is_begun && self.archived == self.reached.archived;
        if self.listing > 1 && is_as_before && !self.is_sealed {
            self.listing -= 1;
            self.is_sealed = true;
        }
        if !self.is_sealed {
            self.reached.archived = self.archived_of_listing() + std::mem::take(&mut self.archived);
            let about = About {
                job: self.state.job().to_owned(),
                writer: self.writer.clone(),
                listing: self.listing,
                first_seq: self.reached.items,
                objects: self.reached.objects,
                bytes: self.reached.bytes,
                archived: self.reached.archived,
                superseding: self.reached.superseding,
                parts: Some(self.reached.parts),
                cursors: BTreeMap::new(),
            };
            let name = part_name(self.reached.items, self.listing);
            let bytes = computed(move || part::encode(Kind::Seal, &about, std::iter::empty::<()>())).await;
            self.create(&name, bytes).await?;
            self.is_sealed = true;
        }
        Ok(self.reached)
    }

    /// Creates a part. That there is one already may mean that our own was stored and the answer lost.
    async fn create(&self, name: &str, bytes: bytes::Bytes) -> Result<()> {
        let place = self.state.place();
        if place.create(name, bytes.clone()).await? || place.get(name).await? == Some(bytes) {
            return Ok(());
        }
        Err(Error::Contested {
            document: place.address(name),
        })
    }

    /// Archived objects that the parts of the present listing tell of.
    fn archived_of_listing(&self) -> u64 {
        if self.is_begun { self.reached.archived } else { 0 }
    }

    fn reach(&mut self, entries: u64, about: About) {
        self.reached.archived = self.archived_of_listing() + about.archived;
        self.is_begun = true;
        self.reached.items += entries;
        self.reached.parts += 1;
        self.reached.objects += about.objects;
        self.reached.bytes += about.bytes;
        self.reached.superseding += about.superseding;
        self.cursors.extend(about.cursors);
    }
}

/// Twenty digits hold every number, so that the order of names is the order of items; and `r` lies behind the `n` of the first
/// listing's ending.
fn part_name(first_seq: u64, listing: u64) -> String {
    match listing {
        1 => format!("{FOLDER}{first_seq:020}.ndjson.zst"),
        _ => format!("{FOLDER}{first_seq:020}.r{listing:06}.ndjson.zst"),
    }
}
