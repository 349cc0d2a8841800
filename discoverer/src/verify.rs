//! `verify`: is the job done? Compares what the manifest names with what the ledger knows to be settled.
//!
//! Reading is at the edge; what follows from it is decided by one pure function.

mod report;

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use pf_telemetry::report::text;

pub(crate) use self::report::Verdict;
use self::report::{Facts, report};
use crate::{job::Kept, lines, run::Outcome, summary};

/// Reads the job's state, prints the report, also in short to a file, and says how the job stands.
pub(crate) async fn run(job: &Kept, summary_file: Option<&Path>) -> Result<Outcome> {
    // The ledger first: what is discovered meanwhile must not look as if the ledger knew items that are none.
    let ledger = job.ledger().await?;
    let state = &job.state;
    let mut manifest = state.read_manifest(0).await?;
    let mut uris = BTreeMap::new();
    while let Some(items) = manifest.next().await? {
        for item in items {
            if ledger.reasons.contains_key(&item.seq) {
                uris.insert(item.seq, item.uri);
            }
        }
    }
    let report = report(Facts {
        job: state.job().to_owned(),
        reached: manifest.reached(),
        is_sealed: manifest.seal().is_some(),
        ledger,
        uris,
    });
    summary::write(summary_file, || report.summary().to_json()).await?;
    lines::write(text(&report)?.into_bytes()).await?;
    if report.verdict == Verdict::Incomplete {
        tracing::warn!("{}", report.what_is_wrong());
    }
    Ok(Outcome::Verified(report.verdict))
}
