//! Reads a ledger: the headers of all parts first, and then the lines of as few as possible.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use roaring::RoaringTreemap;

use super::{About, FOLDER, Ledger, Outcome, Settled};
use crate::{
    Books, Result, StateDir,
    growing::last_generations,
    part::{Kind, Part},
};

/// A ledger as it was when its headers were read. Parts may grow meanwhile; what is new is left for the next reading.
#[derive(Debug)]
pub struct LedgerReader {
    state: StateDir,
    books: Books,
    parts: Vec<(String, About)>,
    /// Items that were settled more than once.
    repeated: RoaringTreemap,
    repeats: u64,
    foreign: u64,
}

impl StateDir {
    /// Reads what the parts of the ledger say of themselves.
    pub async fn read_ledger(&self) -> Result<LedgerReader> {
        let books = self.books().await?;
        let names = last_generations(self.names(FOLDER).await?);
        let mut headers = self.parts(names.clone(), |part: Part<About>| {
            if part.header.kind == Kind::Ledger {
                Ok(part.header.about)
            } else {
                Err(part.damaged("it is no part of a ledger"))
            }
        });
        let mut reader = LedgerReader {
            state: self.clone(),
            books,
            parts: Vec::with_capacity(names.len()),
            repeated: RoaringTreemap::new(),
            repeats: 0,
            foreign: 0,
        };
        let mut settled = RoaringTreemap::new();
        for name in names {
            let Some(about) = headers.try_next().await? else { break };
            let here = about.seqs();
            if !reader.books.have(about.life.as_deref()) {
                reader.foreign += here.len();
                continue;
            }
            let again = &settled & &here;
            reader.repeats += again.len();
            reader.repeated |= again;
            settled |= here;
            reader.parts.push((name, about));
        }
        Ok(reader)
    }
}

impl LedgerReader {
    /// The lives of the books that it is of.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// The union of all parts.
    pub async fn union(&self) -> Result<Ledger> {
        let mut ledger = Ledger {
            repeats: self.repeats,
            foreign: self.foreign,
            parts: self.parts.len() as u64,
            ..Ledger::default()
        };
        let mut in_detail = RoaringTreemap::new();
        for (_, about) in &self.parts {
            if self.is_plain(about) {
                ledger.counts += about.counts;
                ledger.rejecting |= about.rejecting();
                if self.books.is_before(about.life.as_deref()) {
                    ledger.counts_before += about.counts;
                    ledger.items_before += about.completed.len();
                }
                ledger.completed |= &about.completed;
            } else {
                in_detail |= about.seqs();
            }
        }
        // What a plain part settles, it settles alone.
        self.standing(&in_detail, |settled| {
            let is_before = self.books.is_before(settled.by.life.as_deref());
            ledger.count(settled, is_before);
        })
        .await?;
        Ok(ledger)
    }

    /// Gives each of the wanted items that is settled once: the settlement that stands. Lines are read of the parts that have
    /// any; those that were settled more than once come last.
    pub async fn standing(&self, wanted: &RoaringTreemap, mut visit: impl FnMut(Settled)) -> Result<()> {
        let mut best: BTreeMap<u64, Settled> = BTreeMap::new();
        self.settlements(wanted, |line| {
            if !self.repeated.contains(line.seq) {
                visit(line);
            } else if best.get(&line.seq).is_none_or(|known| line.rank() < known.rank()) {
                best.insert(line.seq, line);
            }
        })
        .await?;
        best.into_values().for_each(visit);
        Ok(())
    }

    /// Gives every settlement of the wanted items. Lines are read of the parts that have any.
    pub(crate) async fn settlements(&self, wanted: &RoaringTreemap, mut visit: impl FnMut(Settled)) -> Result<()> {
        let mut names = Vec::new();
        let mut here = Vec::new();
        for (name, about) in &self.parts {
            let seqs = about.seqs() & wanted;
            if !seqs.is_empty() {
                names.push(name.clone());
                here.push(seqs);
            }
        }
        let mut details = self.state.parts(names, |mut part: Part<About>| part.rest::<Settled>());
        for seqs in here {
            let lines = details.try_next().await?.unwrap_or_default();
            lines
                .into_iter()
                .filter(|line| seqs.contains(line.seq))
                .for_each(&mut visit);
        }
        Ok(())
    }

    /// Whether a part's header says all that the union needs.
    fn is_plain(&self, about: &About) -> bool {
        about.dead.is_empty() && about.unbalanced.is_empty() && about.completed.is_disjoint(&self.repeated)
    }
}

impl Ledger {
    /// Counts an item that was not counted yet.
    fn count(&mut self, settled: Settled, is_before: bool) {
        let Settled {
            seq,
            outcome,
            counts,
            object_rows: _,
            by: _,
        } = settled;
        if !counts.balances() {
            self.unbalanced.insert(seq);
        }
        if counts.records_rejected > 0 {
            self.rejecting.insert(seq);
        }
        self.counts += counts;
        if is_before {
            self.counts_before += counts;
            self.items_before += 1;
        }
        match outcome {
            Outcome::Completed => {
                self.completed.insert(seq);
            }
            Outcome::DeadLetter { reason } => {
                self.give_up(seq, reason);
            }
        }
    }
}
