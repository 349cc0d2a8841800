//! What a worker counts. The same numbers are served to Prometheus and told in the statistics at the end.

use pf_telemetry::metrics::{names, registered};
use pf_work::settle::Flaw;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters of one worker, shared by its lanes.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Items leased.
    pub leases: IntCounter,
    /// Leases held now.
    pub leases_held: IntGauge,
    /// Extensions of leases.
    pub leases_extended: IntCounter,
    /// Leases that others have now.
    pub leases_lost: IntCounter,
    /// Items completed.
    pub items_completed: IntCounter,
    /// Items given up, by what is wrong with their objects.
    items_failed: IntCounterVec,
    /// Items given back.
    pub items_released: IntCounter,
    /// Items that were gone on with at a checkpoint.
    pub items_resumed: IntCounter,
    /// Items that came again because the queue did not hear that they were done, and were not read again.
    pub items_told_again: IntCounter,
    /// Settled items of which records are unaccounted for.
    pub items_unbalanced: IntCounter,
    /// Checkpoints left.
    pub checkpoints: IntCounter,
    /// From the moment that nothing of an item is under way any more until the ledger names it.
    pub ledger_lag_seconds: Histogram,
    /// Records read: one is written, filtered or rejected.
    pub records_in: IntCounter,
    /// Records written.
    pub records_out: IntCounter,
    /// Of these, records that the sink had before.
    pub records_duplicate: IntCounter,
    /// Of these, records that took the place of other documents.
    pub records_updated: IntCounter,
    /// Records that the filter did not let through.
    pub records_filtered: IntCounter,
    /// Records that an ingest pipeline of the sink dropped.
    pub records_dropped: IntCounter,
    /// Records that the sink put elsewhere, as they did not fit.
    pub records_redirected: IntCounter,
    /// Of the rejected, records whose `_id` is another record's.
    pub records_conflicting: IntCounter,
    /// Records that became dead letters because they are none.
    pub records_undecodable: IntCounter,
    /// Records that became dead letters because the sink doesn't take them.
    pub records_unindexable: IntCounter,
    /// Numbers that JSON does not have, written as null.
    pub values_not_finite: IntCounter,
    /// Bytes read from storage.
    pub wire_bytes: IntCounter,
    /// Bytes of records before any work on them: NDJSON decompressed, Parquet pages uncompressed.
    pub decompressed_bytes: IntCounter,
    /// NULs before records, which were skipped.
    pub nul_bytes: IntCounter,
    /// Bytes of documents.
    pub output_bytes: IntCounter,
}

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 9] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

impl Metrics {
    /// New counters, registered with `registry`.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let rejected = |stage: &str| {
            let options = Opts::new("pf_records_rejected_total", "Records that became dead letters");
            registered(registry, IntCounter::with_opts(options.const_label("stage", stage)))
        };
        let seconds = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            registered(registry, Histogram::with_opts(options))
        };
        let items_failed = Opts::new("pf_items_failed_total", "Work items given up");
        let items_failed = registered(registry, IntCounterVec::new(items_failed, &["reason"]));
        for flaw in Flaw::ALL {
            // What never happened is shown as 0.
            items_failed.with_label_values(&[flaw.name()]);
        }
        Self {
            leases: counter("pf_leases_total", "Work items leased"),
            leases_held: registered(registry, IntGauge::new(names::LEASES_HELD, "Leases held now")),
            leases_extended: counter("pf_leases_extended_total", "Extensions of leases"),
            leases_lost: counter("pf_leases_lost_total", "Leases that ran out or were taken away"),
            items_completed: counter("pf_items_completed_total", "Work items completed"),
            items_failed,
            items_released: counter("pf_items_released_total", "Work items given back, to be tried again"),
            items_resumed: counter("pf_items_resumed_total", "Work items gone on with at a checkpoint"),
            items_told_again: counter(
                "pf_items_told_again_total",
                "Work items that came again though they were done, and were not read again",
            ),
            items_unbalanced: counter(
                "pf_items_unbalanced_total",
                "Settled work items of which records are unaccounted for: not 0 is a fault of ours",
            ),
            checkpoints: counter("pf_checkpoints_total", "Checkpoints left"),
            ledger_lag_seconds: seconds(
                "pf_ledger_lag_seconds",
                "From the moment that an item has nothing under way until the ledger names it",
            ),
            records_in: counter("pf_records_in_total", "Records read"),
            records_out: counter("pf_records_out_total", "Records written"),
            records_duplicate: counter(
                "pf_records_duplicate_total",
                "Records among those written that the sink had before",
            ),
            records_updated: counter(
                "pf_records_updated_total",
                "Records among those written that took the place of other documents",
            ),
            records_dropped: counter(
                "pf_records_dropped_total",
                "Records that an ingest pipeline of the sink dropped",
            ),
            records_redirected: counter(
                "pf_records_redirected_total",
                "Records that the sink put elsewhere, as they did not fit: a failure store",
            ),
            records_conflicting: counter(
                "pf_records_conflicting_total",
                "Records among those rejected whose _id is another record's",
            ),
            records_filtered: counter(
                "pf_records_filtered_total",
                "Records that the filter did not let through",
            ),
            records_undecodable: rejected("decode"),
            records_unindexable: rejected("index"),
            values_not_finite: counter(
                "pf_values_not_finite_total",
                "NaN and infinities, which JSON does not have: written as null",
            ),
            wire_bytes: counter(names::WIRE_BYTES, "Bytes read from storage"),
            decompressed_bytes: counter("pf_decompressed_bytes_total", "Bytes of records as read, decompressed"),
            nul_bytes: counter("pf_nul_bytes_total", "NULs before records, which were skipped"),
            output_bytes: counter("pf_output_bytes_total", "Bytes of documents written"),
        }
    }

    /// Notes an item that is given up.
    pub fn item_failed(&self, flaw: Flaw) {
        self.items_failed.with_label_values(&[flaw.name()]).inc();
    }

    /// Items given up.
    pub fn items_failed(&self) -> u64 {
        let of = |flaw: Flaw| self.items_failed.with_label_values(&[flaw.name()]).get();
        Flaw::ALL.into_iter().map(of).sum()
    }

    /// Records that became dead letters.
    pub fn records_rejected(&self) -> u64 {
        self.records_undecodable.get() + self.records_unindexable.get()
    }
}
