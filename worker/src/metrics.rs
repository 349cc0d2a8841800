//! What a worker counts. The same numbers are served to Prometheus and told in the statistics at the end.

use prometheus::{IntCounter, Registry};

/// Counters of one worker, shared by its lanes.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Items completed.
    pub items_completed: IntCounter,
    /// Items given up.
    pub items_failed: IntCounter,
    /// Records read: one is written, filtered or rejected.
    pub records_in: IntCounter,
    /// Records written.
    pub records_out: IntCounter,
    /// Records that the filter did not let through.
    pub records_filtered: IntCounter,
    /// Records that became dead letters.
    pub records_rejected: IntCounter,
    /// Bytes read from storage.
    pub wire_bytes: IntCounter,
    /// Bytes of records before any work on them: NDJSON decompressed, Parquet pages uncompressed.
    pub decompressed_bytes: IntCounter,
    /// Bytes of documents.
    pub output_bytes: IntCounter,
}

impl Metrics {
    /// New counters, registered with `registry`.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("the names are constants that Prometheus takes");
            registry
                .register(Box::new(counter.clone()))
                .expect("each name is registered once");
            counter
        };
        Self {
            items_completed: counter("pf_items_completed_total", "Work items completed"),
            items_failed: counter("pf_items_failed_total", "Work items given up"),
            records_in: counter("pf_records_in_total", "Records read"),
            records_out: counter("pf_records_out_total", "Records written"),
            records_filtered: counter(
                "pf_records_filtered_total",
                "Records that the filter did not let through",
            ),
            records_rejected: counter("pf_records_rejected_total", "Records that became dead letters"),
            wire_bytes: counter("pf_wire_bytes_total", "Bytes read from storage"),
            decompressed_bytes: counter("pf_decompressed_bytes_total", "Bytes of records as read, decompressed"),
            output_bytes: counter("pf_output_bytes_total", "Bytes of documents written"),
        }
    }
}
