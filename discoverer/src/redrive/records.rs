//! Gives back rejected records, whole: as they were kept, or from their place in the object where only their beginning was.

use anyhow::Result;
use pf_state::RecordDeadLetter;
use pf_storage::{ObjectUri, Storage};

use crate::{job::Kept, lines, run::Outcome};

/// A longer record is left out: it is held in memory as a whole.
const RECORD_BYTES_MAX: u64 = 256 << 20;

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Does it; with `letters`, all that is known of each record as one line of JSON.
pub(crate) async fn run(job: &Kept, letters: bool) -> Result<Outcome> {
    let mut reader = job.state.read_dead_letters().await?;
    let (mut written, mut left_out) = (0_u64, 0_u64);
    while let Some(found) = reader.next().await? {
        let mut bytes = Vec::new();
        for letter in found {
            if letters {
                serde_json::to_writer(&mut bytes, &letter)?;
            } else {
                match whole(&job.storage, &letter).await {
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

/// All of the record. Of an object that is stored as it is, the ordinal is the place: what is there must begin like what was
/// kept.
async fn whole(storage: &Storage, letter: &RecordDeadLetter) -> Result<Vec<u8>, String> {
    let kept = &letter.raw[..];
    let Some(length) = letter.record_bytes.filter(|bytes| *bytes != kept.len() as u64) else {
        return Ok(kept.to_vec());
    };
    if length > RECORD_BYTES_MAX {
        return Err(format!("it has {length} bytes, more than can be held"));
    }
    let uri: ObjectUri = letter.uri.parse().map_err(|error| format!("{error}"))?;
    let etag = letter.etag.as_deref().ok_or("the object's version is not known")?;
    let range = letter.ordinal..letter.ordinal.saturating_add(length);
    let found = storage.read_range(&uri, Some(etag), range).await;
    let found = found.map_err(|error| format!("it can't be read from its object: {error}"))?;
    if !found.starts_with(kept) {
        return Err("the object is compressed, so that it can't be read from there".to_owned());
    }
    Ok(found.to_vec())
}
