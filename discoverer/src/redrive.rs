//! `redrive`: offers exactly the items that are missing or were given up again, or gives back the rejected records.

mod as_they_are;
mod places;
mod records;

use anyhow::{Result, ensure};
use pf_work::WorkItem;

use self::as_they_are::AsTheyAre;
use crate::{job::Kept, outlet::Outlet, run::Outcome};

/// What is redriven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Items that nobody settled.
    Missing {
        /// Whether each object is looked at anew.
        as_they_are: bool,
    },
    /// Items that were given up.
    DeadItems {
        /// Whether each object is looked at anew.
        as_they_are: bool,
    },
    /// Records that were given up.
    Records {
        /// Whether with all that is known of them.
        letters: bool,
    },
}

/// Does it.
pub(crate) async fn run(job: &Kept, choice: Choice, outlet: &Outlet) -> Result<Outcome> {
    let state = &job.state;
    ensure!(
        state.books().await?.life().is_some()
            || state.read_manifest(0).await?.next().await?.is_some()
            || !state.ledger().await?.settled().is_empty()
            || state.read_dead_letters().await?.next().await?.is_some(),
        "no job `{}` was listed into this --state: {} holds nothing of it",
        state.job(),
        state.address()
    );
    match choice {
        Choice::Records { letters } => records::run(job, letters).await,
        Choice::Missing { as_they_are } => items(job, true, as_they_are, outlet).await,
        Choice::DeadItems { as_they_are } => items(job, false, as_they_are, outlet).await,
    }
}

async fn items(job: &Kept, missing: bool, as_they_are: bool, outlet: &Outlet) -> Result<Outcome> {
    let state = &job.state;
    let reader = state.read_ledger().await?;
    let mut ledger = reader.union().await?;
    let given_up = job.given_up(reader.books()).await?;
    let life = reader.books().life().map(|life| life.id.clone());
    let known = state.returns(&reader, &ledger).await?;
    let mut present = as_they_are.then(|| AsTheyAre::new(&job.storage));
    let mut manifest = state.read_manifest(0).await?;
    let mut offered = 0;
    while let Some(mut items) = manifest.next().await? {
        for item in &mut items {
            if let Some(reason) = given_up.reason(item) {
                ledger.give_up(item.seq, reason.to_owned());
            }
            item.life.clone_from(&life);
            let known = known.get(&item.seq).copied();
            come_back(item, known.max(given_up.returns(item)));
        }
        let is_wanted = |seq| {
            if missing {
                !ledger.completed.contains(seq) && !ledger.dead.contains(seq)
            } else {
                ledger.dead.contains(seq)
            }
        };
        match &mut present {
            None => items.retain(|item| is_wanted(item.seq)),
            Some(present) => items = present.look(items, is_wanted).await?,
        }
        offered += items.len();
        if !items.is_empty() && !outlet.offer(items).await? {
            tracing::info!(offered, "the reader of the items left before the end");
            return Ok(Outcome::Complete);
        }
    }
    if manifest.seal().is_none() {
        tracing::warn!("the discovery has not ended: items that it has not found yet are not offered");
    }
    let what = if missing { "missing" } else { "given up" };
    let left_out = present.map_or(0, |present| present.left_out());
    if offered == 0 && left_out == 0 {
        tracing::warn!("nothing to offer: no item of {} is {what}", state.address());
    } else {
        tracing::info!(items = offered, left_out, "offered what was {what}");
    }
    Ok(if left_out == 0 {
        Outcome::Complete
    } else {
        Outcome::LeftOut
    })
}

/// Makes an item of the manifest one that is offered again, of which it is known how often it came back at least: records of it
/// may be in the sink already, since the time when it was first offered.
pub(crate) fn come_back(item: &mut WorkItem, known: Option<u32>) {
    item.returns = item.returns.max(known.unwrap_or_default()).saturating_add(1);
}
