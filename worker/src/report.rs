//! What a worker tells at the end: a table for a person, JSON for a program.

use std::{fmt, time::Duration};

use indicatif::{HumanBytes, HumanCount};
use pf_telemetry::report;
use serde::Serialize;

use crate::metrics::Metrics;

/// The statistics of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Work items settled: completed or given up.
    pub objects: u64,
    /// Work items given up.
    pub objects_failed: u64,
    /// Records read.
    pub records_in: u64,
    /// Records written.
    pub records_out: u64,
    /// Of these, records that the sink had before.
    pub records_duplicate: u64,
    /// Of these, records that took the place of other documents.
    pub records_updated: u64,
    /// Records that the filter did not let through.
    pub records_filtered: u64,
    /// Records that an ingest pipeline of the sink dropped.
    pub records_dropped: u64,
    /// Records that the sink put elsewhere, as they did not fit.
    pub records_redirected: u64,
    /// Records that became dead letters.
    pub records_rejected: u64,
    /// Of these, records whose `_id` is another record's.
    pub records_conflicting: u64,
    /// NaN and infinities in fractions, written as null.
    pub values_not_finite: u64,
    /// Bytes read from storage.
    pub wire_bytes: u64,
    /// Bytes of records as read, decompressed.
    pub decompressed_bytes: u64,
    /// Bytes of documents.
    pub output_bytes: u64,
    /// Wall-clock time from the first look at the input to the last document.
    pub seconds: f64,
    /// Decompressed megabytes (10^6) in a second of wall-clock time.
    pub mb_per_second: f64,
    /// The most memory that the process had resident at any time.
    pub peak_resident_bytes: u64,
}

impl Report {
    /// What the counters say after `elapsed`.
    pub fn new(metrics: &Metrics, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        let decompressed_bytes = metrics.decompressed_bytes.get();
        Self {
            objects: metrics.items_completed.get() + metrics.items_failed(),
            objects_failed: metrics.items_failed(),
            records_in: metrics.records_in.get(),
            records_out: metrics.records_out.get(),
            records_duplicate: metrics.records_duplicate.get(),
            records_updated: metrics.records_updated.get(),
            records_filtered: metrics.records_filtered.get(),
            records_dropped: metrics.records_dropped.get(),
            records_redirected: metrics.records_redirected.get(),
            records_rejected: metrics.records_rejected(),
            records_conflicting: metrics.records_conflicting.get(),
            values_not_finite: metrics.values_not_finite.get(),
            wire_bytes: metrics.wire_bytes.get(),
            decompressed_bytes,
            output_bytes: metrics.output_bytes.get(),
            seconds,
            mb_per_second: decompressed_bytes as f64 / 1e6 / seconds.max(1e-9),
            peak_resident_bytes: peak_resident_bytes(),
        }
    }
}

impl Report {
    /// Records that were read, were to arrive, and are not where they belong.
    pub fn records_astray(&self) -> u64 {
        self.records_dropped + self.records_redirected + self.records_rejected
    }

    /// Whether records were written, and the sink had every one of them before: nothing there is new.
    pub fn is_all_duplicate(&self) -> bool {
        self.records_out > 0 && self.records_duplicate == self.records_out
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What only some sinks know is shown where there is any.
        let rare = |name: &'static str, count: u64| (count > 0).then(|| (name, HumanCount(count).to_string()));
        let rare = [
            rare("records updated", self.records_updated),
            rare("records dropped", self.records_dropped),
            rare("records redirected", self.records_redirected),
            rare("records conflicting", self.records_conflicting),
        ];
        let rows = [
            ("objects", HumanCount(self.objects).to_string()),
            ("objects failed", HumanCount(self.objects_failed).to_string()),
            ("records in", HumanCount(self.records_in).to_string()),
            ("records out", HumanCount(self.records_out).to_string()),
            ("records duplicate", HumanCount(self.records_duplicate).to_string()),
            ("records filtered out", HumanCount(self.records_filtered).to_string()),
            ("records rejected", HumanCount(self.records_rejected).to_string()),
            ("NaN, infinities", HumanCount(self.values_not_finite).to_string()),
            ("wire bytes", HumanBytes(self.wire_bytes).to_string()),
            ("decompressed bytes", HumanBytes(self.decompressed_bytes).to_string()),
            ("output bytes", HumanBytes(self.output_bytes).to_string()),
            ("seconds", format!("{:.3}", self.seconds)),
            ("MB/s (decompressed)", format!("{:.1}", self.mb_per_second)),
            ("peak resident", HumanBytes(self.peak_resident_bytes).to_string()),
        ];
        let mut rows = Vec::from(rows);
        let behind_rejected = 7;
        rows.splice(behind_rejected..behind_rejected, rare.into_iter().flatten());
        f.write_str(&report::table(rows))
    }
}

/// Linux keeps the high-water mark in `/proc/self/status` (proc(5), `VmHWM`). 0 where it can't be read.
fn peak_resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or(0, |kib| kib * 1024)
}
