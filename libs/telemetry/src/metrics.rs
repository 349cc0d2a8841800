//! Metrics on their way to the registry.

use prometheus::{Registry, core::Collector};

/// A metric that was just made of constants, registered.
///
/// # Panics
/// If Prometheus does not take its name or a label, or if its name is registered already.
pub fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<T>) -> T {
    let metric = metric.expect("the names are constants that Prometheus takes");
    registry
        .register(Box::new(metric.clone()))
        .expect("each metric is registered once");
    metric
}

/// Names of metrics that the operator reads: a worker's, by which it scales, and a discoverer's.
pub mod names {
    /// Work items of a job so far.
    pub const DISCOVERED_ITEMS: &str = "pf_discovered_items";
    /// Bytes of their objects, as stored.
    pub const DISCOVERED_BYTES: &str = "pf_discovered_bytes";
    /// Leases held now.
    pub const LEASES_HELD: &str = "pf_leases_held";
    /// Bytes read from storage.
    pub const WIRE_BYTES: &str = "pf_wire_bytes_total";
    /// Documents by what the sink said of them.
    pub const DOCUMENTS: &str = "pf_bulk_documents_total";
    /// The label of [`DOCUMENTS`] that says what.
    pub const OUTCOME: &str = "outcome";
    /// The sink took it.
    pub const TAKEN: &str = "taken";
    /// The sink had no room for it, and it was sent again.
    pub const RETRIED: &str = "retried";
    /// Bulk requests refused whole for lack of room.
    pub const REFUSED: &str = "pf_bulk_refused_total";
}
