//! A run with a state directory: items are in the manifest before anybody is offered them, and a run that was stopped is
//! gone on with, with the same numbers.
//!
//! Items are collected into parts. A part is written, then offered, then noted as offered; so what a restart offers once
//! more is one part at most, and no number is ever given twice. A job that was listed to its end may be listed again, for what
//! is new since.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, Result};
use pf_state::{Books, Claim, ManifestWriter, Seal, StateDir, manifest::Addition};
use pf_work::WorkItem;
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, timeout_at},
};

use crate::{
    known::{Known, Look},
    listing::Found,
    numbering::{Numbering, Offered, Terms},
    outlet::Outlet,
    plan::KeptJob,
    redrive::come_back,
};

/// Items in a part, about: some hundred kilobytes as stored, some megabytes in memory.
const PART_ITEMS: usize = 10_000;

/// How long the first part is collected: workers wait for it.
const FIRST_PART_AGE: Duration = Duration::from_millis(250);

/// How long a part is collected at most, in a listing that finds little. Each takes twice as long as the one before.
const PART_AGE_MAX: Duration = Duration::from_secs(5);

/// A job's manifest, and what was done of the job before.
#[derive(Debug)]
pub(crate) struct Recording {
    state: StateDir,
    books: Books,
    manifest: ManifestWriter,
    before: Seal,
    /// What earlier listings found.
    known: Known,
    /// Archived objects that this run saw and the manifest was told of.
    archived: u64,
}

impl Recording {
    /// Begins the job, or goes on with it.
    pub(crate) async fn open(job: KeptJob) -> Result<Self> {
        let KeptJob {
            state,
            flags,
            owner,
            resume,
            again,
        } = job;
        let (owner, plan) = (&owner, &flags);
        let books = state.claim(Claim { owner, resume, plan }).await?;
        if let Some(from) = books.taken_from() {
            tracing::warn!(
                "the books in {} were taken over from `{from}`: what was settled for it stays settled",
                state.address()
            );
        }
        let mut manifest = state.open_manifest().await?;
        if again && manifest.is_sealed() {
            manifest.list_again();
        }
        let before = manifest.reached();
        let known = if manifest.is_sealed() || manifest.listing() == 1 {
            Known::default()
        } else {
            Known::of(&state).await?
        };
        if before.items > 0 {
            tracing::info!(
                items = before.items,
                objects = before.objects,
                "going on with the manifest in {}",
                state.address()
            );
        }
        Ok(Self {
            state,
            books,
            manifest,
            before,
            known,
            archived: 0,
        })
    }

    /// The lives that the job's books have had.
    pub(crate) fn books(&self) -> &Books {
        &self.books
    }

    /// The life that items carry.
    pub(crate) fn life(&self) -> Option<String> {
        self.books.life().map(|life| life.id.clone())
    }

    /// Whether the job was listed to its end before, and is listed for what is new since.
    pub(crate) fn is_again(&self) -> bool {
        self.manifest.listing() > 1
    }

    /// Whether the job's listing came to its end before.
    pub(crate) fn is_sealed(&self) -> bool {
        self.manifest.is_sealed()
    }

    /// What is in the manifest: the last key of each prefix, by [`Found::prefix`].
    pub(crate) fn cursors(&self) -> BTreeMap<String, String> {
        self.manifest.cursors().clone()
    }

    /// What the manifest held before this run.
    pub(crate) fn before(&self) -> Seal {
        self.before
    }

    /// Offers what an earlier run may not have offered, as far as nobody settled it: to a queue what it did not note as
    /// offered to it, to a reader of standard output everything, because its reader went with it. False when the reader left.
    pub(crate) async fn catch_up(&self, outlet: &Outlet) -> Result<bool> {
        let first = match outlet.queue() {
            Some(queue) => self.state.offered(queue).await?,
            None => 0,
        };
        let end = self.manifest.next_seq();
        if first >= end {
            return Ok(true);
        }
        let reader = self.state.read_ledger().await?;
        let ledger = reader.union().await?;
        let known = self.state.returns(&reader, &ledger).await?;
        let settled = ledger.settled();
        let mut manifest = self.state.read_manifest(first).await?;
        let mut count = 0;
        while let Some(mut items) = manifest.next().await? {
            items.retain(|item| !settled.contains(item.seq));
            // The books may have been taken over since they were written.
            for item in &mut items {
                item.life = self.life();
                come_back(item, known.get(&item.seq).copied());
            }
            count += items.len();
            if !outlet.offer(items).await? {
                return Ok(false);
            }
        }
        if count > 0 {
            tracing::info!(items = count, "offered what an earlier run may not have offered");
        }
        self.note_offered(outlet, end).await?;
        Ok(true)
    }

    /// Records and offers what arrives until there is no more, the bound is reached or the reader left.
    /// `archived` counts meanwhile what is left out because it is archived.
    pub(crate) async fn run(
        &mut self,
        pages: Receiver<Vec<Found>>,
        terms: Terms,
        outlet: &Outlet,
        archived: &AtomicU64,
    ) -> Result<Offered> {
        let mut numbering = Numbering::after(terms, self.before.into());
        let mut age_max = FIRST_PART_AGE;
        let mut source = Source {
            known: std::mem::take(&mut self.known),
            pages,
            rest: Vec::new().into_iter(),
        };
        while let Some(addition) = source.part(&mut numbering, age_max).await {
            age_max = (age_max * 2).min(PART_AGE_MAX);
            let items = addition.items.clone();
            self.see_archived(archived.load(Relaxed));
            self.manifest.add(addition).await.context("cannot write the manifest")?;
            if !outlet.offer(items).await? {
                return Ok(Offered {
                    reader_left: true,
                    ..numbering.offered()
                });
            }
            self.note_offered(outlet, self.manifest.next_seq()).await?;
        }
        Ok(numbering.offered())
    }

    /// Ends the manifest: everything was listed, and so many objects were left out because they are archived. How many that are
    /// over all runs of the listing is what comes back.
    pub(crate) async fn seal(&mut self, archived: u64) -> Result<u64> {
        self.see_archived(archived);
        if self.is_again() && self.manifest.reached().items == self.before.items {
            tracing::info!("nothing is new since the job was listed to its end");
        }
        let Seal {
            items,
            parts,
            objects,
            bytes,
            archived,
            superseding,
        } = self.manifest.seal().await.context("cannot seal the manifest")?;
        tracing::info!(items, objects, bytes, parts, archived, "the manifest is complete");
        let changed = superseding - self.before.superseding;
        if changed > 0 {
            tracing::warn!(
                "{changed} objects changed since they were listed, and are offered as they are now: the documents of the versions \
                 before stay in the sink"
            );
        }
        Ok(archived)
    }

    fn see_archived(&mut self, archived: u64) {
        let more = archived - std::mem::replace(&mut self.archived, archived);
        self.manifest.leave_out_archived(more);
    }

    async fn note_offered(&self, outlet: &Outlet, seq: u64) -> Result<()> {
        if let Some(queue) = outlet.queue() {
            self.state.set_offered(queue, seq).await?;
        }
        Ok(())
    }
}

/// Objects that were listed and are not in a part yet.
struct Source {
    pages: Receiver<Vec<Found>>,
    /// What is known from before is passed over.
    known: Known,
    /// The rest of the page that the last part ended in.
    rest: std::vec::IntoIter<Found>,
}

impl Source {
    /// Collects a part: until it is full, or old, or there is no more. None when there was nothing.
    ///
    /// An object's items stay together, however many they are: a listing can only be gone on with behind an object.
    async fn part(&mut self, numbering: &mut Numbering, age_max: Duration) -> Option<Addition> {
        let before = numbering.offered();
        let mut items: Vec<WorkItem> = Vec::new();
        let mut cursors = BTreeMap::new();
        let mut superseding = 0;
        let mut deadline = None;
        while items.len() < PART_ITEMS && !numbering.is_full() {
            let Some(found) = self.rest.next() else {
                let page = match deadline {
                    None => self.pages.recv().await,
                    // In time, or too late, or there will be none: the latter two end the part.
                    Some(deadline) => timeout_at(deadline, self.pages.recv()).await.ok().flatten(),
                };
                let Some(page) = page else { break };
                self.rest = page.into_iter();
                continue;
            };
            match self.known.look(&found.object) {
                Look::Known => continue,
                Look::OtherVersion => superseding += 1,
                Look::New => {}
            }
            deadline.get_or_insert_with(|| Instant::now() + age_max);
            cursors.insert(found.prefix.to_string(), found.object.uri.key().to_owned());
            items.extend(numbering.items(found));
        }
        let now = numbering.offered();
        (!items.is_empty()).then(|| Addition {
            items,
            objects: now.objects - before.objects,
            bytes: now.bytes - before.bytes,
            superseding,
            cursors,
        })
    }
}
