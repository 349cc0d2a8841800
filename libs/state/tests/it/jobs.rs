//! What tests write: items, additions, settlements.

use std::{collections::BTreeMap, sync::Arc};

use pf_state::{Delivery, Outcome, Settled, StateDir, manifest::Addition, place::Memory};
use pf_work::{Compression, Counts, Format, WorkItem, item::VERSION};

pub(crate) const JOB: &str = "ns/job";
pub(crate) const QUEUE: &str = "https://queue";

pub(crate) fn in_memory() -> (Arc<Memory>, StateDir) {
    let memory = Arc::new(Memory::new());
    let state = StateDir::in_memory(Arc::clone(&memory), JOB);
    (memory, state)
}

pub(crate) fn plan() -> BTreeMap<String, String> {
    BTreeMap::from([("--uri".to_owned(), "s3://logs/".to_owned())])
}

pub(crate) fn item(seq: u64) -> WorkItem {
    WorkItem {
        v: VERSION,
        life: None,
        run: 1,
        returns: 0,
        tries: 0,
        crashes: 0,
        job: JOB.to_owned(),
        seq,
        uri: format!("s3://logs/{seq:06}.ndjson"),
        etag: Some("\"e\"".to_owned()),
        size_bytes: 10,
        last_modified: None,
        format: Format::Ndjson,
        compression: Compression::None,
        range: None,
        partition: BTreeMap::new(),
        enqueued_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// One part of items, each an object of ten bytes.
pub(crate) fn addition(seqs: std::ops::Range<u64>) -> Addition {
    let items: Vec<WorkItem> = seqs.map(item).collect();
    let last = items.last().map(|item| item.uri.clone());
    Addition {
        objects: items.len() as u64,
        bytes: items.len() as u64 * 10,
        superseding: 0,
        cursors: last.map(|key| (String::new(), key)).into_iter().collect(),
        items,
    }
}

pub(crate) fn counts(records_in: u64, records_rejected: u64) -> Counts {
    Counts {
        records_in,
        records_out: records_in - records_rejected,
        records_rejected,
        wire_bytes: 10,
        ..Counts::default()
    }
}

pub(crate) fn completed(seq: u64) -> Settled {
    Settled {
        seq,
        outcome: Outcome::Completed,
        counts: counts(100 + seq, 1),
        object_rows: None,
        by: Delivery::default(),
    }
}

pub(crate) fn dead(seq: u64, reason: &str) -> Settled {
    Settled {
        seq,
        outcome: Outcome::DeadLetter {
            reason: reason.to_owned(),
        },
        counts: counts(3, 0),
        object_rows: None,
        by: Delivery::default(),
    }
}

/// All items of the manifest, and whether it is sealed.
pub(crate) async fn items_of(state: &StateDir) -> pf_state::Result<(Vec<WorkItem>, bool)> {
    let mut reader = state.read_manifest(0).await?;
    let mut items = Vec::new();
    while let Some(more) = reader.next().await? {
        items.extend(more);
    }
    Ok((items, reader.seal().is_some()))
}
