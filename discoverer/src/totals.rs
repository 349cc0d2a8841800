//! What was discovered so far, for whoever watches: gauges, because a run that goes on with a manifest begins with what is in
//! it.

use pf_telemetry::metrics::{names, registered};
use prometheus::{IntGauge, Registry};

use crate::numbering::Offered;

/// How much there is, as far as it is known.
#[derive(Debug, Clone)]
pub(crate) struct Totals {
    items: IntGauge,
    objects: IntGauge,
    bytes: IntGauge,
}

impl Totals {
    /// Nothing yet, registered with `registry`.
    pub(crate) fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        Self {
            items: gauge(
                names::DISCOVERED_ITEMS,
                "Work items of the job so far, with those of earlier runs",
            ),
            objects: gauge("pf_discovered_objects", "Objects that these items cover"),
            bytes: gauge(names::DISCOVERED_BYTES, "Bytes of these objects, as stored"),
        }
    }

    /// Says how much it is now.
    pub(crate) fn set(&self, offered: Offered) {
        let gauged = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.items.set(gauged(offered.items));
        self.objects.set(gauged(offered.objects));
        self.bytes.set(gauged(offered.bytes));
    }
}
