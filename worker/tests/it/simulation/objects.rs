//! Simulated objects: lines of which it is known what must become of them.

use std::collections::BTreeMap;

use fastrand::Rng;
use pf_work::{Compression, Counts, Format, WorkItem, checkpoint::Position, item::VERSION};
use pf_worker::batch::{Batch, LineBatch, Reject};
use serde::Deserialize;

/// The job of all items.
pub(super) const JOB: &str = "simulation";

/// Each line counts as so many bytes, so that small objects are large enough for checkpoints.
const BYTES_A_LINE: u64 = 4 << 20;

/// What must become of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Kind {
    Good,
    /// The filter keeps it back.
    Filtered,
    /// It is no record.
    Undecodable,
    /// The sink doesn't take it.
    Unindexable,
    /// The sink takes it to its failure store.
    Redirected,
    /// The sink takes it and keeps it nowhere.
    Dropped,
    /// Another record has its name in the sink.
    Conflicting,
}

/// What may become of a line that is not good.
const BAD: [Kind; 6] = [
    Kind::Filtered,
    Kind::Undecodable,
    Kind::Unindexable,
    Kind::Redirected,
    Kind::Dropped,
    Kind::Conflicting,
];

/// A line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) offset: u64,
    pub(super) text: String,
}

/// An object: lines, and where it is broken if it is.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) seq: u64,
    pub(super) lines: Vec<Line>,
    /// Behind this line reading fails, each time.
    pub(super) broken_at: Option<usize>,
    pub(super) nature: Nature,
}

/// What reading an object is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Healthy,
    /// It ends the worker that reads it.
    Killer,
    /// The storage never gives it out, as if it were down.
    Unreadable,
}

/// What a lane reads at once.
pub(super) struct Read {
    pub(super) batch: Batch,
    pub(super) rejects: Vec<Reject>,
    pub(super) counts: Counts,
    pub(super) position: Position,
}

impl Object {
    pub(super) fn new(seq: u64, rng: &mut Rng) -> Self {
        let count = match rng.u32(0..10) {
            0 => 0,
            1..7 => rng.usize(1..6),
            _ => rng.usize(6..60),
        };
        let bad_percent = [0, 0, 5, 40][rng.usize(0..4)];
        let mut offset = 0;
        let lines = (0..count).map(|number| {
            let kind = if rng.u32(0..100) >= bad_percent {
                Kind::Good
            } else {
                BAD[rng.usize(0..BAD.len())]
            };
            let text = match kind {
                Kind::Undecodable => format!("not JSON {seq} {number}"),
                kind => format!(r#"{{"seq":{seq},"number":{number},"kind":"{kind:?}"}}"#),
            };
            let line = Line { kind, offset, text };
            offset += line.text.len() as u64 + 1;
            line
        });
        let lines: Vec<Line> = lines.collect();
        let broken_at = (rng.u32(0..12) == 0).then(|| rng.usize(0..=lines.len()));
        Self {
            seq,
            lines,
            broken_at,
            nature: Nature::Healthy,
        }
    }

    /// An object of so many good lines.
    pub(super) fn good(seq: u64, count: usize) -> Self {
        let mut offset = 0;
        let lines = (0..count).map(|number| {
            let text = format!(r#"{{"seq":{seq},"number":{number},"kind":"Good"}}"#);
            let line = Line {
                kind: Kind::Good,
                offset,
                text,
            };
            offset += line.text.len() as u64 + 1;
            line
        });
        Self {
            seq,
            lines: lines.collect(),
            broken_at: None,
            nature: Nature::Healthy,
        }
    }

    pub(super) fn item(&self) -> WorkItem {
        WorkItem {
            v: VERSION,
            life: None,
            run: 1,
            returns: 0,
            tries: 0,
            crashes: 0,
            job: JOB.to_owned(),
            seq: self.seq,
            uri: format!("s3://bucket/{}", self.seq),
            etag: Some(format!("etag-{}", self.seq)),
            size_bytes: self.size_bytes(),
            last_modified: None,
            format: Format::Ndjson,
            compression: Compression::None,
            range: None,
            partition: BTreeMap::new(),
            enqueued_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn size_bytes(&self) -> u64 {
        self.lines
            .last()
            .map_or(0, |last| last.offset + last.text.len() as u64 + 1)
    }

    /// The lines that reading reaches.
    pub(super) fn readable(&self) -> &[Line] {
        &self.lines[..self.broken_at.unwrap_or(self.lines.len())]
    }

    /// The place of the first line at or behind an offset.
    pub(super) fn line_at(&self, offset: u64) -> usize {
        self.lines.partition_point(|line| line.offset < offset)
    }

    /// Up to `count` lines from a place on; none at the end, or where it is broken.
    pub(super) fn read(&self, from: usize, count: usize) -> Option<Read> {
        let lines = self.readable().get(from..)?;
        let lines = &lines[..count.min(lines.len())];
        let first = lines.first()?;
        let mut batch = LineBatch {
            offset_bytes: first.offset,
            ..LineBatch::default()
        };
        let mut rejects = Vec::new();
        let mut counts = Counts::default();
        for line in lines {
            let start = batch.text.len() as u32;
            batch.text.extend_from_slice(line.text.as_bytes());
            let end = batch.text.len() as u32;
            batch.text.push(b'\n');
            counts.records_in += 1;
            counts.decompressed_bytes += BYTES_A_LINE;
            match line.kind {
                Kind::Filtered => counts.records_filtered += 1,
                Kind::Undecodable => rejects.push(Reject {
                    ordinal: line.offset,
                    reason: "not a JSON object".to_owned(),
                    raw: line.text.clone().into_bytes(),
                    record_bytes: line.text.len() as u64,
                }),
                Kind::Good | Kind::Unindexable | Kind::Redirected | Kind::Dropped | Kind::Conflicting => {
                    batch.lines.push(start..end);
                }
            }
        }
        let last = lines.last()?;
        Some(Read {
            batch: Batch::Lines(batch),
            rejects,
            counts,
            position: Position::Byte {
                offset: last.offset + last.text.len() as u64 + 1,
            },
        })
    }
}
