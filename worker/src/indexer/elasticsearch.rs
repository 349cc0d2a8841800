//! Elasticsearch 8 and 9 and OpenSearch 2 and 3: bulks go there by `_bulk`, and each document's answer is judged by itself.
//!
//! The official client does transport, TLS and signing in. Bodies, answers, pace and patience are ours:
//!
//! ```text
//! room (bytes) ▶ deliver: permit (gate ◀ limit) ▶ attempt (wire = cluster: health, access) ▶ answer ▶ judge ▶ again, or a verdict
//! ```

mod access;
mod answer;
mod backoff;
mod brake;
mod cluster;
mod compress;
mod deliver;
mod earlier;
mod elsewhere;
mod gate;
mod health;
mod judge;
mod limit;
mod metrics;
mod options;
mod part;
mod size;
mod spell;
mod start;
mod stored;
mod wire;

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use self::{
    brake::Brake,
    cluster::Cluster,
    deliver::{Delivery, Ids, Rules, Shared},
    earlier::Earlier,
    gate::Gate,
    size::Size,
    spell::Spell,
};
pub use self::{
    metrics::Metrics,
    options::{ClientCertificate, Options, SignIn, Target},
    start::StartError,
};
use super::bulk::{Budget, Bulk, BulkSink, Delivered, IdMode, Room};
use crate::{args::elasticsearch::RequestCompression, batch::Reject};

/// Requests from this share of the largest bulk on are compared by their round trips; smaller ones are quicker for their size.
const FULL_SHARE: usize = 2;

/// The cluster as a sink of bulks, shared by all lanes.
pub struct Elasticsearch {
    cluster: Cluster,
    budget: Budget,
    shared: Shared,
    rules: Rules,
    options: Options,
    cluster_id: Option<String>,
}

impl fmt::Debug for Elasticsearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's own form would show what we sign in with.
        f.debug_struct("Elasticsearch")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Elasticsearch {
    /// Connects, and makes sure that the cluster can be reached, is one that we know, knows us, and has or may make what
    /// documents go to.
    pub async fn connect(options: Options, metrics: Metrics) -> Result<Arc<Self>, StartError> {
        let (for_files, counters) = (options.clone(), metrics.clone());
        let cluster = tokio::task::spawn_blocking(move || Cluster::new(&for_files, counters))
            .await
            .map_err(|error| StartError::Refused(format!("cannot read the files to sign in with: {error}")))?
            .map_err(|error| StartError::Refused(cluster::chain(&error)))?;
        let cluster_id = start::check(&cluster, &options).await?;
        let addressing = &options.addressing;
        let rules = Rules {
            patience: options.patience,
            compress: options.compression == RequestCompression::Gzip,
            request_bytes_max: options.request_bytes_max,
            full_bytes: options.bulk_bytes / FULL_SHARE,
            ids: match addressing.id {
                IdMode::Deterministic => Ids::Places,
                IdMode::Auto => Ids::Server,
                IdMode::Field(_) => Ids::Records(options.on_conflict),
            },
            index_is_theirs: addressing.index.has_field(),
        };
        let shared = Shared {
            gate: Gate::new(options.concurrency_max, metrics.concurrency_limit.clone()),
            brake: Brake::new(options.stops_when_all_is_rejected),
            spell: Spell::default(),
            size: Size::default(),
            earlier: Earlier::new(addressing.index.fixed(), addressing.operation),
            metrics,
        };
        Ok(Arc::new(Self {
            cluster,
            budget: Budget::new(
                options.in_flight_bytes_max,
                Some(shared.metrics.in_flight_bytes.clone()),
            ),
            shared,
            rules,
            options,
            cluster_id,
        }))
    }

    /// The cluster's own id, the same whichever of its addresses is asked; none where we may not know it.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }
}

#[async_trait]
impl BulkSink for Elasticsearch {
    async fn room(&self, bytes: usize) -> Room {
        self.budget.room(bytes).await
    }

    async fn deliver(&self, bulk: &Bulk) -> Delivered {
        let delivery = Delivery {
            wire: &self.cluster,
            shared: &self.shared,
            rules: self.rules,
        };
        delivery.deliver(bulk).await
    }

    fn doubt(&self, rejects: &[Reject]) -> Option<String> {
        let reasons = rejects.iter().map(|reject| ("no address", reject.reason.clone()));
        self.shared.brake.reject(reasons, true)
    }
}
