//! Reads a manifest from its beginning or from an item on, a part at a time.

use futures::{StreamExt as _, stream::BoxStream};
use pf_work::WorkItem;

use super::{About, FOLDER, Seal, part_name};
use crate::{
    Result, StateDir,
    part::{Kind, Part},
};

/// Work items in order; holds a few parts at most, however long the manifest is.
pub struct ManifestReader {
    parts: BoxStream<'static, Result<Read>>,
    from: u64,
    reached: Seal,
    /// The listing that the last part was of.
    listing: Option<u64>,
    seal: Option<Seal>,
    /// Whether reading began with the first part, so that the sums of the seal can be checked.
    is_whole: bool,
}

struct Read {
    kind: Kind,
    about: About,
    items: Vec<WorkItem>,
    /// What to say if it doesn't follow on what came before.
    out_of_place: crate::Error,
    bad_sums: crate::Error,
}

impl StateDir {
    /// Reads the manifest from the item `seq` on. What is added meanwhile may or may not be seen.
    pub async fn read_manifest(&self, seq: u64) -> Result<ManifestReader> {
        let mut names = self.names(FOLDER).await?;
        // The part that holds the item is the last one that does not begin behind it.
        let wanted = part_name(seq, 1);
        let first = names.partition_point(|name| *name <= wanted).saturating_sub(1);
        names.drain(..first);
        let reader = ManifestReader {
            parts: self.parts(names, read),
            from: seq,
            reached: Seal::default(),
            listing: (first == 0).then_some(1),
            seal: None,
            is_whole: first == 0,
        };
        Ok(reader)
    }

    /// The seal of the manifest, if it has one already. It is the last part, so no other is read.
    pub async fn seal(&self) -> Result<Option<Seal>> {
        let names = self.names(FOLDER).await?;
        let Some(last) = names.last() else { return Ok(None) };
        let mut parts = self.parts(vec![last.clone()], |part: Part<About>| {
            Ok((part.header.kind == Kind::Seal).then(|| seal_of(&part.header.about)))
        });
        Ok(parts.next().await.transpose()?.flatten())
    }
}

fn read(mut part: Part<About>) -> Result<Read> {
    let kind = part.header.kind;
    if !matches!(kind, Kind::Manifest | Kind::Seal) {
        return Err(part.damaged("it is no part of a manifest"));
    }
    let about = part.header.about.clone();
    let mut items = Vec::new();
    while let Some(line) = part.next()? {
        let item = WorkItem::from_json(&line).map_err(|error| match error {
            pf_work::item::ParseError::Malformed(ref cause) => part.damaged(format!("{error}: {cause}")),
            error => part.damaged(error),
        })?;
        if item.seq != about.first_seq + items.len() as u64 {
            return Err(part.damaged(format!("item {} is out of order", item.seq)));
        }
        items.push(item);
    }
    Ok(Read {
        kind,
        about,
        items,
        out_of_place: part.damaged("it is not where the part before it ends: a part is missing"),
        bad_sums: part.damaged("its sums are not those of the parts"),
    })
}

fn seal_of(about: &About) -> Seal {
    Seal {
        items: about.first_seq,
        parts: about.parts.unwrap_or_default(),
        objects: about.objects,
        bytes: about.bytes,
        archived: about.archived,
        superseding: about.superseding,
    }
}

impl ManifestReader {
    /// The next items, none behind the last one.
    pub async fn next(&mut self) -> Result<Option<Vec<WorkItem>>> {
        while let Some(read) = self.parts.next().await.transpose()? {
            let Read {
                kind,
                about,
                mut items,
                out_of_place,
                bad_sums,
            } = read;
            // A listing is behind the seal of the one before; reading may begin with any.
            let due = self.listing.map(|listing| listing + u64::from(self.seal.is_some()));
            let follows = self.listing.is_none() || about.first_seq == self.reached.items;
            if !follows || due.is_some_and(|due| due != about.listing) {
                return Err(out_of_place);
            }
            if self.listing != Some(about.listing) {
                self.reached.archived = 0;
            }
            self.listing = Some(about.listing);
            self.seal = None;
            if kind == Kind::Seal {
                let seal = seal_of(&about);
                // Some were left out behind the last part.
                self.reached.archived = seal.archived;
                if self.is_whole && seal != self.reached {
                    return Err(bad_sums);
                }
                self.reached.items = seal.items;
                self.seal = Some(seal);
                continue;
            }
            self.reached.items = about.first_seq + items.len() as u64;
            self.reached.parts += 1;
            self.reached.objects += about.objects;
            self.reached.bytes += about.bytes;
            self.reached.superseding += about.superseding;
            self.reached.archived += about.archived;
            let early = self.from.saturating_sub(about.first_seq).min(items.len() as u64);
            items.drain(..early as usize);
            if !items.is_empty() {
                return Ok(Some(items));
            }
        }
        Ok(None)
    }

    /// The seal, once everything was read. None: the discoverer has not come to the end yet.
    pub fn seal(&self) -> Option<Seal> {
        self.seal
    }

    /// What was read so far.
    pub fn reached(&self) -> Seal {
        self.reached
    }
}
