//! `redrive`: offers exactly the items that are missing or were given up again, or gives back the rejected records.

use anyhow::Result;
use jiff::Timestamp;
use pf_state::{RecordDeadLetter, StateDir};

use crate::{job::Kept, lines, outlet::Outlet, run::Outcome};

/// What is redriven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Items that nobody settled.
    Missing,
    /// Items that were given up.
    DeadItems,
    /// Records that were given up.
    Records {
        /// Whether with all that is known of them.
        letters: bool,
    },
}

/// Does it.
pub(crate) async fn run(job: &Kept, choice: Choice, outlet: &Outlet) -> Result<Outcome> {
    match choice {
        Choice::Records { letters } => records(&job.state, letters).await,
        Choice::Missing => items(job, true, outlet).await,
        Choice::DeadItems => items(job, false, outlet).await,
    }
}

async fn items(job: &Kept, missing: bool, outlet: &Outlet) -> Result<Outcome> {
    let ledger = job.ledger().await?;
    let state = &job.state;
    let settled = ledger.settled();
    let wanted = |seq| {
        if missing {
            !settled.contains(seq)
        } else {
            ledger.dead.contains(seq)
        }
    };
    let mut manifest = state.read_manifest(0).await?;
    let mut offered = 0;
    while let Some(mut items) = manifest.next().await? {
        items.retain(|item| wanted(item.seq));
        offered += items.len();
        let enqueued_at = Timestamp::now();
        for item in &mut items {
            item.enqueued_at = enqueued_at;
        }
        if !items.is_empty() && !outlet.offer(items).await? {
            tracing::info!(offered, "the reader of the items left before the end");
            return Ok(Outcome::Complete);
        }
    }
    if manifest.seal().is_none() {
        tracing::warn!("the discovery has not ended: items that it has not found yet are not offered");
    }
    let what = if missing { "missing" } else { "given up" };
    if offered == 0 {
        tracing::warn!("nothing to offer: no item of {} is {what}", state.address());
    } else {
        tracing::info!(items = offered, "offered what was {what}");
    }
    Ok(Outcome::Complete)
}

async fn records(state: &StateDir, letters: bool) -> Result<Outcome> {
    let mut reader = state.read_dead_letters().await?;
    let (mut written, mut cut_off) = (0_u64, 0_u64);
    while let Some(found) = reader.next().await? {
        let mut bytes = Vec::new();
        for letter in found {
            if letters {
                serde_json::to_writer(&mut bytes, &letter)?;
            } else if let Some(raw) = whole(&letter) {
                bytes.extend_from_slice(raw);
            } else {
                cut_off += 1;
                let RecordDeadLetter { uri, ordinal, .. } = letter;
                tracing::warn!(uri, ordinal, "left out, as only the record's beginning was kept");
                continue;
            }
            bytes.push(b'\n');
            written += 1;
        }
        if !lines::write(bytes).await? {
            tracing::info!(records = written, "the reader of the records left before the end");
            return Ok(Outcome::Complete);
        }
    }
    tracing::info!(records = written, left_out = cut_off, "wrote what was given up");
    Ok(if cut_off == 0 {
        Outcome::Complete
    } else {
        Outcome::LeftOut
    })
}

/// The record, if all of it was kept.
fn whole(letter: &RecordDeadLetter) -> Option<&[u8]> {
    let is_whole = letter.record_bytes.is_none_or(|bytes| bytes == letter.raw.len() as u64);
    is_whole.then_some(&letter.raw[..])
}
