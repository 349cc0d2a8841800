//! A writer's row of parts, the last of which grows: it is put anew with more entries until it is full.
//!
//! So every call is durable when it returns, and there are as many parts as entries ask for, not as many as calls. A put
//! is atomic and only ever adds entries, so what was there once stays there.

use std::sync::Arc;

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
    last: E,
}

impl<E: Entries> Growing<E> {
    pub(crate) fn new(state: &StateDir, worker: &str) -> Self {
        Self {
            place: state.place_shared(),
            job: state.job().to_owned(),
            worker: worker.to_owned(),
            run: fastrand::u64(..),
            number: 0,
            last: E::default(),
        }
    }

    /// Adds entries; they are stored when this returns. After an error some may be stored and some not.
    pub(crate) async fn add(&mut self, mut entries: &[E::Entry]) -> Result<()> {
        while !entries.is_empty() {
            let before = entries.len();
            let mut grown = self.last.clone();
            grown.take(&mut entries);
            if entries.len() == before {
                self.number += 1;
                self.last = E::default();
                continue;
            }
            let about = grown.about(&self.job, &self.worker);
            let (bytes, grown) = computed(move || (part::encode(E::KIND, &about, grown.lines()), grown)).await;
            // Put, not created: the name is ours alone, and trying a lost answer again is harmless.
            self.place.put(&self.name(), bytes).await?;
            self.last = grown;
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!(
            "{}{}-{:016x}-{:06}.ndjson.zst",
            E::FOLDER,
            file_name(&self.worker),
            self.run,
            self.number
        )
    }
}
