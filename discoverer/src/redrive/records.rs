//! Gives back rejected records, whole: as they were kept, or from their place in the object where only their beginning was. What
//! can't be given back whole is named and counted, and its letter stays.

use anyhow::Result;
use pf_state::RecordDeadLetter;

use super::places::Places;
use crate::{job::Kept, lines, run::Outcome};

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Does it; with `letters`, all that is known of each record as one line of JSON.
pub(crate) async fn run(job: &Kept, letters: bool) -> Result<Outcome> {
    let mut reader = job.state.read_dead_letters().await?;
    let (mut written, mut left_out) = (0_u64, 0_u64);
    let mut places = Places::new(&job.storage);
    while let Some(mut found) = reader.next().await? {
        found.sort_by(|one, other| (&one.uri, one.ordinal).cmp(&(&other.uri, other.ordinal)));
        let mut bytes = Vec::new();
        for letter in found {
            if letters {
                serde_json::to_writer(&mut bytes, &letter)?;
            } else {
                match places.whole(&letter).await {
                    Ok(record) => bytes.extend_from_slice(&record),
                    Err(reason) => {
                        left_out += 1;
                        let RecordDeadLetter { uri, ordinal, .. } = letter;
                        tracing::warn!(
                            uri,
                            ordinal,
                            "left out, as only the record's beginning was kept, and {reason}"
                        );
                        continue;
                    }
                }
            }
            bytes.push(b'\n');
            written += 1;
            if bytes.len() >= WRITE_BYTES && !lines::write(std::mem::take(&mut bytes)).await? {
                tracing::info!(records = written, "the reader of the records left before the end");
                return Ok(Outcome::Complete);
            }
        }
        if !lines::write(bytes).await? {
            tracing::info!(records = written, "the reader of the records left before the end");
            return Ok(Outcome::Complete);
        }
    }
    tracing::info!(
        records = written,
        left_out,
        superseded = reader.superseded(),
        "wrote what was given up; letters of records that a later delivery took are superseded"
    );
    Ok(if left_out == 0 {
        Outcome::Complete
    } else {
        Outcome::LeftOut
    })
}
