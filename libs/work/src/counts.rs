//! What became of an item's records: the counts that a checkpoint carries on and that the ledger keeps.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Records and bytes of one work item, from its start up to where it was read.
///
/// Every record that was read is in the sink, filtered out, dropped, redirected or rejected, so `in = out + filtered + dropped +
/// redirected + rejected` holds whenever an item is settled or checkpointed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Records read.
    pub records_in: u64,
    /// Records that the sink has, whether it took them now or had them before.
    pub records_out: u64,
    /// Records that the filter did not let through.
    pub records_filtered: u64,
    /// Records that were taken and not kept: an ingest pipeline of the sink dropped them.
    pub records_dropped: u64,
    /// Records that the sink put elsewhere, because they did not fit where they were to go: a failure store.
    pub records_redirected: u64,
    /// Records that became dead letters.
    pub records_rejected: u64,
    /// Of `records_out`, those that the sink had before.
    pub records_duplicate: u64,
    /// Of `records_out`, those that took the place of another document.
    pub records_updated: u64,
    /// Of `records_rejected`, those whose `_id` another record has.
    pub records_conflicting: u64,
    /// Bytes of a raw NDJSON object that the item's lines take, their ends included: over the ranges of an object they add
    /// up to its size. 0 for what is compressed, and for Parquet, whose ranges are proven by rows.
    pub span_bytes: u64,
    /// Bytes of the object as stored.
    pub wire_bytes: u64,
    /// Bytes of records before any work on them: NDJSON decompressed, Parquet pages uncompressed.
    pub decompressed_bytes: u64,
    /// Bytes of documents.
    pub output_bytes: u64,
}

impl Counts {
    /// Whether every record that was read is accounted for.
    pub fn balances(&self) -> bool {
        let accounted = [
            self.records_out,
            self.records_filtered,
            self.records_dropped,
            self.records_redirected,
            self.records_rejected,
        ];
        accounted.into_iter().try_fold(0, u64::checked_add) == Some(self.records_in)
            && self.records_duplicate.saturating_add(self.records_updated) <= self.records_out
            && self.records_conflicting <= self.records_rejected
    }

    /// These without `others`, which are among them.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        let Self {
            records_in,
            records_out,
            records_filtered,
            records_dropped,
            records_redirected,
            records_rejected,
            records_duplicate,
            records_updated,
            records_conflicting,
            span_bytes,
            wire_bytes,
            decompressed_bytes,
            output_bytes,
        } = others;
        Self {
            records_in: self.records_in.saturating_sub(records_in),
            records_out: self.records_out.saturating_sub(records_out),
            records_filtered: self.records_filtered.saturating_sub(records_filtered),
            records_dropped: self.records_dropped.saturating_sub(records_dropped),
            records_redirected: self.records_redirected.saturating_sub(records_redirected),
            records_rejected: self.records_rejected.saturating_sub(records_rejected),
            records_duplicate: self.records_duplicate.saturating_sub(records_duplicate),
            records_updated: self.records_updated.saturating_sub(records_updated),
            records_conflicting: self.records_conflicting.saturating_sub(records_conflicting),
            span_bytes: self.span_bytes.saturating_sub(span_bytes),
            wire_bytes: self.wire_bytes.saturating_sub(wire_bytes),
            decompressed_bytes: self.decompressed_bytes.saturating_sub(decompressed_bytes),
            output_bytes: self.output_bytes.saturating_sub(output_bytes),
        }
    }

    /// Records that were read, were to arrive and are not where they belong: with any, a job is not plainly complete.
    pub fn records_astray(&self) -> u64 {
        self.records_dropped
            .saturating_add(self.records_redirected)
            .saturating_add(self.records_rejected)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Self {
            records_in,
            records_out,
            records_filtered,
            records_dropped,
            records_redirected,
            records_rejected,
            records_duplicate,
            records_updated,
            records_conflicting,
            span_bytes,
            wire_bytes,
            decompressed_bytes,
            output_bytes,
        } = other;
        // Numbers read from a damaged or hostile file must not bring the reader down.
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.records_in, records_in);
        add(&mut self.records_out, records_out);
        add(&mut self.records_filtered, records_filtered);
        add(&mut self.records_dropped, records_dropped);
        add(&mut self.records_redirected, records_redirected);
        add(&mut self.records_rejected, records_rejected);
        add(&mut self.records_duplicate, records_duplicate);
        add(&mut self.records_updated, records_updated);
        add(&mut self.records_conflicting, records_conflicting);
        add(&mut self.span_bytes, span_bytes);
        add(&mut self.wire_bytes, wire_bytes);
        add(&mut self.decompressed_bytes, decompressed_bytes);
        add(&mut self.output_bytes, output_bytes);
    }
}
