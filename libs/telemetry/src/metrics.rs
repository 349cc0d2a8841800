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
