//! How often items came back, as far as their settlements and letters know: who offers an item again counts on from there.
//!
//! A redriven item comes from the manifest, which knows of nothing that happened since. Were it always given back once, two
//! redrives of it to one worker would be one delivery to whoever asks which letters stand.

use std::collections::BTreeMap;

use crate::{Ledger, LedgerReader, Result, StateDir};

impl StateDir {
    /// Of the items that are not completed, those that are known to have come back, each with how often at most. It reads the
    /// lines of the items that were given up, and all letters.
    pub async fn returns(&self, reader: &LedgerReader, ledger: &Ledger) -> Result<BTreeMap<u64, u32>> {
        let mut known = BTreeMap::new();
        let mut see = |seq: u64, returns: Option<u32>| {
            let known = known.entry(seq).or_insert(0);
            *known = returns.unwrap_or_default().max(*known);
        };
        reader
            .settlements(&ledger.dead, |settled| see(settled.seq, settled.by.returns()))
            .await?;
        self.letters(reader.books().clone(), |letter| {
            if !ledger.completed.contains(letter.seq) {
                see(letter.seq, letter.by.returns());
            }
        })
        .await?;
        known.retain(|_, returns| *returns > 0);
        Ok(known)
    }
}
