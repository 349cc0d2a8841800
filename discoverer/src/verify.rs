//! `verify`: is the job done? Compares what the manifest names with what the ledger knows to be settled, what was read of each
//! object with what it has, and the rejected records with those that are kept.
//!
//! Reading is at the edge; what follows from it is decided by pure functions.

mod coverage;
mod report;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use pf_state::{Books, Ledger, LedgerReader, StateDir};
use pf_telemetry::report::text;
use pf_work::{Counts, WorkItem};

pub(crate) use self::report::{Allowed, Verdict};
use self::{
    coverage::Coverage,
    report::{Facts, Uncovered, report},
};
use crate::{job::Kept, lines, run::Outcome, summary};

/// Objects that are told by name; all are counted.
const GAPS_TOLD_MAX: usize = 10;

/// Checkpoints that are read at the same time.
const CHECKPOINTS_AT_ONCE: usize = 16;

/// Reads the job's state, prints the report, also in short to a file, and says how the job stands.
pub(crate) async fn run(job: &Kept, allowed: &Allowed, summary_file: Option<&Path>) -> Result<Outcome> {
    let state = &job.state;
    // The ledger first: what is discovered meanwhile must not look as if the ledger knew items that are none.
    let reader = state.read_ledger().await?;
    let mut ledger = reader.union().await?;
    let given_up = job.given_up(reader.books()).await?;
    let records_not_kept = not_kept(state, &reader, &ledger).await?;
    let mut manifest = state.read_manifest(0).await?;
    let mut uris = BTreeMap::new();
    let mut moved = Vec::new();
    let mut coverage = Coverage::default();
    while let Some(items) = manifest.next().await? {
        for item in items {
            coverage.see(&item);
            if let Some(reason) = given_up.reason(&item)
                && ledger.give_up(item.seq, reason.to_owned())
            {
                moved.push(item.clone());
            }
            if ledger.reasons.contains_key(&item.seq) {
                uris.insert(item.seq, item.uri);
            }
        }
    }
    ledger.counts += partial(state, reader.books(), moved).await?;
    reader
        .standing(&coverage.wanted(), |settled| coverage.settled(&settled))
        .await?;
    let gaps = told(state, &coverage).await?;
    let report = report(Facts {
        job: state.job().to_owned(),
        reached: manifest.reached(),
        is_sealed: manifest.seal().is_some(),
        ledger,
        uris,
        books: reader.books().clone(),
        records_not_kept,
        uncovered: coverage.gaps().count() as u64,
        gaps,
        allowed: allowed.clone(),
    });
    summary::write(summary_file, || report.summary().to_json()).await?;
    lines::write(text(&report)?.into_bytes()).await?;
    let wrong = report.what_is_wrong();
    if !wrong.is_empty() {
        tracing::warn!("{wrong}");
    }
    if report.archived > 0 {
        tracing::warn!(
            "{} objects are no part of the job because they are archived",
            report.archived
        );
    }
    if report.superseding > 0 {
        tracing::warn!(
            "{} objects are in the job in more than one version, as they changed between two listings: the documents of each \
             version are in the sink",
            report.superseding
        );
    }
    if let Some(spent) = &report.budget_spent {
        tracing::error!("{spent}");
        return Ok(Outcome::BudgetSpent);
    }
    Ok(Outcome::Verified(report.verdict))
}

/// Rejected records that no letter has: each item's, by the settlement that stands, against its letters.
async fn not_kept(state: &StateDir, reader: &LedgerReader, ledger: &Ledger) -> Result<u64> {
    if ledger.rejecting.is_empty() {
        return Ok(0);
    }
    let standing = reader.standing_letters(ledger).await?;
    let mut wanted: HashMap<u64, u64> = standing.rejected().collect();
    let mut letters = state.read_dead_letters_that(standing).await?;
    while let Some(letters) = letters.next().await? {
        for letter in letters {
            if let Some(wanted) = wanted.get_mut(&letter.seq) {
                *wanted = wanted.saturating_sub(1);
            }
        }
    }
    Ok(wanted.into_values().sum())
}

/// What became of records of items that nobody settled and that are given up all the same: the last checkpoint of each knows, if
/// it is of that very item.
async fn partial(state: &StateDir, books: &Books, moved: Vec<WorkItem>) -> Result<Counts> {
    let checkpoints = &state.checkpoints();
    let counts = stream::iter(moved)
        .map(async |item| -> Result<Counts> {
            let Some(etag) = &item.etag else {
                return Ok(Counts::default());
            };
            let found = checkpoints.get(item.seq, etag).await?;
            // The books may have been taken over since, with what was done.
            let own = found.filter(|found| {
                let life = found.life.clone();
                books.own(life.as_deref()) && found.is_of(&WorkItem { life, ..item.clone() })
            });
            Ok(own.map(|checkpoint| checkpoint.counts).unwrap_or_default())
        })
        .buffer_unordered(CHECKPOINTS_AT_ONCE)
        .try_fold(Counts::default(), async |mut sum, counts| {
            sum += counts;
            Ok(sum)
        });
    counts.await
}

/// The first objects that are not covered, by name.
async fn told(state: &StateDir, coverage: &Coverage) -> Result<Vec<Uncovered>> {
    let mut told = Vec::new();
    for gap in coverage.gaps().take(GAPS_TOLD_MAX) {
        let items = state.read_manifest(gap.seq).await?.next().await?;
        let item: Option<WorkItem> = items.and_then(|items| items.into_iter().next());
        told.push(Uncovered {
            uri: item.map_or_else(|| format!("item {}", gap.seq), |item| item.uri),
            reason: gap.reason,
        });
    }
    Ok(told)
}
