//! Items that are read in one go, and the same items left anywhere and gone on with.
#![allow(clippy::unwrap_used)] // a test says what is wrong by failing

mod foreign;
mod lines;
mod model;
mod rows;

use std::{
    io::{self, Write as _},
    sync::Mutex,
};

use bytes::{Buf as _, Bytes};
use pf_work::{ByteRange, Compression};

use super::*;
use crate::{indexer::json, reader::range_source::Fetch};

/// An object in memory, and where it was read.
#[derive(Clone)]
struct Memory {
    bytes: Bytes,
    fetched: Arc<Mutex<Vec<Range<u64>>>>,
}

impl Memory {
    fn new(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            fetched: Arc::default(),
        }
    }
}

impl Source for Memory {
    type Stream = bytes::buf::Reader<Bytes>;

    fn stream(&mut self, range: Range<u64>) -> Self::Stream {
        self.fetched.lock().unwrap().push(range.clone());
        self.bytes.slice(range.start as usize..).reader()
    }

    fn ranges(&self) -> Arc<dyn RangeSource> {
        Arc::new(self.clone())
    }
}

impl RangeSource for Memory {
    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn fetch(&self, range: Range<u64>) -> Fetch {
        self.fetched.lock().unwrap().push(range.clone());
        self.bytes.fetch(range)
    }
}

fn item(bytes: &[u8], format: Format, compression: Compression) -> WorkItem {
    WorkItem {
        v: pf_work::item::VERSION,
        life: None,
        run: 1,
        returns: 0,
        tries: 0,
        crashes: 0,
        job: "job".to_owned(),
        seq: 0,
        uri: "file:///object".to_owned(),
        etag: Some("tag".to_owned()),
        size_bytes: bytes.len() as u64,
        last_modified: None,
        format,
        compression,
        range: None,
        partition: std::collections::BTreeMap::default(),
        enqueued_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn records() -> Records {
    Records {
        batch_records_max: 50_000,
        ..Records::default()
    }
}

/// What readers gave for an item.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// Ordinals and JSON.
    records: Vec<(u64, String)>,
    rejects: Vec<Reject>,
    /// Without the bytes on the wire.
    counts: Counts,
}

impl Outcome {
    fn add(&mut self, batch: &Batch) {
        match batch {
            Batch::Lines(batch) => self.records.extend(batch.lines.iter().map(|line| {
                let text = &batch.text[line.start as usize..line.end as usize];
                let ordinal = batch.offset_bytes + u64::from(line.start);
                (ordinal, String::from_utf8(text.to_vec()).unwrap())
            })),
            Batch::Columns(batch) => {
                let (mut text, mut rows) = (Vec::new(), Vec::new());
                let mut encoder = json::Encoder::default();
                encoder.write(&batch.records, &mut text, &mut rows).unwrap();
                let rows = rows
                    .into_iter()
                    .map(|row| String::from_utf8(text[row].to_vec()).unwrap());
                self.records.extend(batch.ordinals.iter().copied().zip(rows));
            }
        }
    }

    fn count(&mut self, counts: Counts) {
        self.counts.bytes += counts.bytes;
        self.counts.records += counts.records;
        self.counts.filtered += counts.filtered;
        self.counts.rejected += counts.rejected;
        self.counts.span_bytes += counts.span_bytes;
    }
}

/// Reads at most so many batches from a position on. Gives the position that it came to, or none at the end.
fn read_some(
    item: &WorkItem,
    source: &Memory,
    records: &Records,
    from: Option<Position>,
    batches_max: usize,
    outcome: &mut Outcome,
) -> Result<Option<Position>, Error> {
    let mut reader = ObjectReader::open(item, from, records, &mut source.clone())?;
    let (mut before, mut is_done, mut batches) = (from, false, 0);
    while !is_done && batches < batches_max {
        match reader.next_batch(&mut outcome.rejects)? {
            Some(batch) => {
                let was = outcome.records.len();
                outcome.add(&batch);
                // What only skips to the position is no step.
                if outcome.records.len() > was || before != Some(reader.position()) {
                    batches += 1;
                }
                reader.recycle(batch);
            }
            None => is_done = true,
        }
        before = Some(reader.position());
        let counts = reader.counts();
        assert!(counts.filtered + counts.rejected <= counts.records, "{counts:?}");
    }
    outcome.count(reader.counts());
    // What the object looks like is said where its first record is read, which is not in every range.
    for reject in &mut outcome.rejects {
        let said = reject.reason.find("; the object ").unwrap_or(reject.reason.len());
        reject.reason.truncate(said);
    }
    Ok(if is_done { None } else { Some(reader.position()) })
}

fn read_whole(item: &WorkItem, source: &Memory, records: &Records) -> Outcome {
    let mut outcome = Outcome::default();
    read_some(item, source, records, None, usize::MAX, &mut outcome).unwrap();
    outcome
}

/// Reads with one reader after the other, each of which is stopped after so many batches; the last of the list goes on.
fn read_with_stops(item: &WorkItem, source: &Memory, records: &Records, stops: &[usize]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut from = None;
    for batches in stops.iter().chain(std::iter::repeat(stops.last().unwrap_or(&1))) {
        let at = read_some(item, source, records, from, (*batches).max(1), &mut outcome).unwrap();
        let Some(position) = at else { break };
        let text = serde_json::to_string(&position).unwrap();
        from = Some(serde_json::from_str(&text).unwrap());
    }
    outcome
}
