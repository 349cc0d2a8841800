//! What the sink counts, served to Prometheus.

use pf_telemetry::metrics::{names, registered};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters of the sink, shared by all lanes.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Seconds from a request's first byte to its answer's last.
    pub(super) round_trips: Histogram,
    /// Bytes of bodies that are on their way or wait to be.
    pub(super) in_flight_bytes: IntGauge,
    /// How many requests there may be at once.
    pub(super) concurrency_limit: IntGauge,
    /// Documents taken.
    pub(super) taken: IntCounter,
    /// Documents that were there before.
    pub(super) duplicate: IntCounter,
    /// Documents that an ingest pipeline dropped.
    pub(super) dropped: IntCounter,
    /// Documents that a failure store has.
    pub(super) redirected: IntCounter,
    /// Documents whose `_id` is another record's.
    pub(super) conflicting: IntCounter,
    /// Documents that were sent again because they were refused for now.
    pub(super) retried: IntCounter,
    /// Documents that will never be taken.
    pub(super) rejected: IntCounter,
    /// Requests sent again, in whole or in part.
    pub(super) retries: IntCounter,
    /// Requests refused whole with 429.
    pub(super) refused_whole: IntCounter,
    /// Bytes of bodies as sent.
    pub(super) wire_bytes: IntCounter,
}

/// Bounds of the round trips' buckets, in seconds: from a small local bulk to a request that times out.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

impl Metrics {
    /// New counters, registered with `registry`.
    pub fn new(registry: &Registry) -> Self {
        let items = Opts::new(names::DOCUMENTS, "Documents by what the cluster said of them");
        let items = registered(registry, IntCounterVec::new(items, &[names::OUTCOME]));
        let round_trips = HistogramOpts::new("pf_bulk_round_trip_seconds", "Time from a bulk request to its answer")
            .buckets(SECONDS.to_vec());
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        Self {
            round_trips: registered(registry, Histogram::with_opts(round_trips)),
            in_flight_bytes: gauge("pf_bulk_in_flight_bytes", "Bytes of bulks that are not delivered yet"),
            concurrency_limit: gauge(
                "pf_bulk_concurrency_limit",
                "How many bulk requests there may be at once",
            ),
            taken: items.with_label_values(&[names::TAKEN]),
            duplicate: items.with_label_values(&["duplicate"]),
            dropped: items.with_label_values(&["dropped"]),
            redirected: items.with_label_values(&["redirected"]),
            conflicting: items.with_label_values(&["conflicting"]),
            retried: items.with_label_values(&[names::RETRIED]),
            rejected: items.with_label_values(&["rejected"]),
            retries: counter("pf_bulk_retries_total", "Bulk requests sent again, in whole or in part"),
            refused_whole: counter(names::REFUSED, "Bulk requests refused whole for lack of room"),
            wire_bytes: counter("pf_bulk_wire_bytes_total", "Bytes of bulk requests as sent"),
        }
    }
}
