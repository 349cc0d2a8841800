//! A writer's row of parts, the last of which grows: it is put anew with more entries until it is full.
//!
//! So every call is durable when it returns, and there are as many parts as entries ask for, not as many as calls. No name is
//! ever used twice: a part that grew has the name of its next generation, which has all entries of the ones before, and the
//! one before the last is taken away. So a put that comes late, long after its answer was given up, brings back a generation
//! that nobody reads, or none; it can't take away what later ones added.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    Place, Result, StateDir,
    part::{self, Kind},
    state_dir::{computed, file_name},
};

/// What a part is made of, and when it is full.
pub(crate) trait Entries: Clone + Default + Send + 'static {
    /// What a part's header says of its entries.
    type About: Serialize + Send;
    /// A line.
    type Entry: Serialize + Clone + Send;

    /// What the lines are.
    const KIND: Kind;
    /// The folder of the parts.
    const FOLDER: &str;

    /// Takes entries from the front of `more`, as many as fit, at least one when empty.
    fn take(&mut self, more: &mut &[Self::Entry]);
    /// The header.
    fn about(&self, job: &str, worker: &str) -> Self::About;
    /// The lines.
    fn lines(&self) -> impl ExactSizeIterator<Item = &Self::Entry>;
}

/// One process' parts of one kind.
#[derive(Debug)]
pub(crate) struct Growing<E> {
    place: Arc<dyn Place>,
    job: String,
    worker: String,
    /// Tells this process from another one of the same name, before or at the same time.
    run: u64,
    number: u64,
    /// Generations of this part that were put, or may have been.
    generations: u64,
    last: E,
    /// The generation before the last one, which nobody needs any more.
    stale: Option<String>,
}

impl<E: Entries> Growing<E> {
    pub(crate) fn new(state: &StateDir, worker: &str) -> Self {
        Self {
            place: state.place_shared(),
            job: state.job().to_owned(),
            worker: worker.to_owned(),
            run: fastrand::u64(..),
            number: 0,
            generations: 0,
            last: E::default(),
            stale: None,
        }
    }

    /// Adds entries; they are stored when this returns. After an error some may be stored and some not.
    pub(crate) async fn add(&mut self, mut entries: &[E::Entry]) -> Result<()> {
        while !entries.is_empty() {
            let before = entries.len();
            let mut grown = self.last.clone();
            grown.take(&mut entries);
            if entries.len() == before {
                self.begin_part();
                continue;
            }
            let about = grown.about(&self.job, &self.worker);
            let (bytes, grown) = computed(move || (part::encode(E::KIND, &about, grown.lines()), grown)).await;
            let name = self.name(self.generations + 1);
            if let Err(error) = self.create(&name, bytes).await {
                // It may be stored all the same, now or later. What comes next must not hide it, nor have its name.
                self.begin_part();
                return Err(error);
            }
            if self.generations > 0 {
                self.stale = Some(self.name(self.generations));
            }
            self.generations += 1;
            self.last = grown;
        }
        Ok(())
    }

    fn begin_part(&mut self) {
        self.number += 1;
        self.generations = 0;
        self.last = E::default();
    }

    /// Creates a generation, and meanwhile takes away the one before the last, so that whoever lists just now finds one of the
    /// two that stay.
    async fn create(&mut self, name: &str, bytes: Bytes) -> Result<()> {
        let place = &*self.place;
        let stale = self.stale.take();
        let created = async {
            // That there is one already may mean that our own was stored and its answer lost.
            if place.create(name, bytes.clone()).await? || place.get(name).await? == Some(bytes) {
                return Ok(());
            }
            Err(part::damaged(
                &place.address(name),
                "its name is this process' own, and another wrote it",
            ))
        };
        let deleted = async {
            if let Some(stale) = stale
                && let Err(error) = place.delete(&stale).await
            {
                // It is read by nobody.
                tracing::debug!("{} stays: {error}", place.address(&stale));
            }
        };
        futures::join!(created, deleted).0
    }

    fn name(&self, generation: u64) -> String {
        format!(
            "{}{}-{:016x}-{:06}{GENERATION}{generation:06}{ENDING}",
            E::FOLDER,
            file_name(&self.worker),
            self.run,
            self.number
        )
    }
}

const GENERATION: &str = ".g";
const ENDING: &str = ".ndjson.zst";

/// A part's name without its generation, and the generation. Other programs' names are parts of one generation.
fn apart(name: &str) -> (&str, u64) {
    let apart = name.strip_suffix(ENDING).and_then(|stem| {
        let (stem, generation) = stem.rsplit_once(GENERATION)?;
        Some((stem, generation.parse().ok()?))
    });
    apart.unwrap_or((name, 0))
}

/// Of each part the last generation, which has the entries of all.
pub(crate) fn last_generations(names: Vec<String>) -> Vec<String> {
    let mut parts: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for name in names {
        let (stem, generation) = apart(&name);
        let stem = stem.to_owned();
        match parts.get(&stem) {
            Some((known, _)) if *known >= generation => {}
            _ => {
                parts.insert(stem, (generation, name));
            }
        }
    }
    parts.into_values().map(|(_, name)| name).collect()
}

/// The generation that took the place of one that is there no more, and its bytes.
pub(crate) async fn successor(place: &dyn Place, name: &str) -> Result<Option<(String, Bytes)>> {
    const LOOKS_MAX: u32 = 20;
    let (stem, generation) = apart(name);
    if generation == 0 {
        return Ok(None);
    }
    let prefix = format!("{stem}{GENERATION}");
    let mut behind = name.to_owned();
    for _ in 0..LOOKS_MAX {
        let newer = place.list(&prefix, Some(&behind)).await?.names;
        let Some(last) = newer.last() else { return Ok(None) };
        if let Some(bytes) = place.get(last).await? {
            return Ok(Some((last.clone(), bytes)));
        }
        behind.clone_from(last);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_part_the_last_generation_is_read() {
        let names = [
            "l/a-1-000000.g000002.ndjson.zst",
            "l/a-1-000000.g000003.ndjson.zst",
            "l/a-1-000001.g000001.ndjson.zst",
            "l/b.g-1-000000.g999999.ndjson.zst",
            "l/b.g-1-000000.g1000000.ndjson.zst",
            "l/old-000000.ndjson.zst",
        ];
        let mut sorted = names.map(str::to_owned).to_vec();
        sorted.sort();
        assert_eq!(last_generations(sorted), [names[1], names[2], names[4], names[5]]);
    }
}
