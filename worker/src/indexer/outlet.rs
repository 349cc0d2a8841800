//! Where documents go, whichever that is: as text, or in bulks.

use std::sync::Arc;

use anyhow::bail;
use pf_work::{
    Counts,
    settle::{Flaw, Outcome},
};
use prometheus::Registry;
use tokio::runtime::Handle;

use super::{
    bulk::{Addressing, BulkEncoder, BulkSink, Origin},
    elasticsearch::{self, Elasticsearch, StartError},
    json,
    output::{self, Output, To},
    sending::Sending,
};
use crate::{
    batch::Batch,
    delivery::{Hold, Letters},
    input::reason,
    metrics::Metrics,
    plan::Destination,
    predicate::FieldPath,
};

/// Why a batch was not taken.
#[derive(Debug)]
pub enum Error {
    /// The destination is at fault.
    Output(output::Error),
    /// The batch is: a column has no form in JSON. This is what it means for the item.
    Encode(Outcome),
}

/// What it means for an item that its columns have no form in JSON.
pub(super) fn unwritable(error: &json::Error) -> Outcome {
    Outcome::Broken {
        flaw: Flaw::Unsupported,
        reason: format!("unsupported: {}", reason(error)),
    }
}

/// The destination of all lanes.
pub enum Outlets {
    /// Text.
    Text {
        /// What becomes of it.
        to: To,
        /// Fields that documents don't have.
        left_out: Vec<FieldPath>,
    },
    /// Bulks.
    Bulks {
        /// Who takes them.
        sink: Arc<dyn BulkSink>,
        /// What documents are called.
        addressing: Arc<Addressing>,
        /// The size of a body.
        bytes_target: usize,
        /// Which cluster it is, whatever its addresses.
        cluster_id: Option<String>,
    },
}

impl Outlets {
    /// Connects to the destination and looks whether it can be used; documents don't have the fields `exclude`. The inner error
    /// is a refusal, in words.
    pub async fn open(
        destination: &Destination,
        exclude: &[FieldPath],
        registry: &Registry,
    ) -> anyhow::Result<Result<Self, String>> {
        let text = |to| Self::Text {
            to,
            left_out: exclude.to_vec(),
        };
        Ok(Ok(match destination {
            Destination::Stdout => text(To::Stdout),
            Destination::Stats => text(To::Statistics),
            Destination::Elasticsearch(options) => {
                let metrics = elasticsearch::Metrics::new(registry);
                match Elasticsearch::connect((**options).clone(), metrics).await {
                    Ok(sink) => Self::Bulks {
                        cluster_id: sink.cluster_id().map(str::to_owned),
                        sink,
                        addressing: Arc::clone(&options.addressing),
                        bytes_target: options.bulk_bytes,
                    },
                    Err(StartError::Refused(reason)) => return Ok(Err(reason)),
                    Err(StartError::Unreachable(reason)) => bail!(reason),
                }
            }
        }))
    }

    /// Which cluster documents go to, whatever its addresses; none if it is no cluster, or one that does not say.
    pub fn cluster_id(&self) -> Option<&str> {
        match self {
            Self::Text { .. } => None,
            Self::Bulks { cluster_id, .. } => cluster_id.as_deref(),
        }
    }

    /// One lane's way there.
    pub fn outlet(&self, letters: &Letters, metrics: &Metrics, runtime: &Handle) -> Outlet {
        match self {
            Self::Text { to, left_out } => {
                Outlet::Text(Box::new(Output::new(*to, left_out)), Box::new(metrics.clone()))
            }
            Self::Bulks {
                sink,
                addressing,
                bytes_target,
                cluster_id: _,
            } => Outlet::Bulks(Box::new(Sending::new(
                Arc::clone(sink),
                BulkEncoder::new(Arc::clone(addressing)),
                *bytes_target,
                letters.clone(),
                metrics.clone(),
                runtime.clone(),
            ))),
        }
    }
}

/// One lane's way to the destination.
pub enum Outlet {
    /// Text, written at once.
    Text(Box<Output>, Box<Metrics>),
    /// Bulks, sent when they are full or nothing else is to do.
    Bulks(Box<Sending>),
}

impl Outlet {
    /// Takes a batch; its item hears through `hold` what becomes of it.
    pub async fn write(&mut self, origin: &Origin, batch: &Batch, hold: Hold) -> Result<(), Error> {
        match self {
            Self::Bulks(sending) => sending.write(origin, batch, hold).await.map_err(Error::Encode),
            Self::Text(output, metrics) => {
                let output_bytes = match output.write(batch, origin.fields.as_deref()) {
                    Ok(bytes) => bytes,
                    Err(output::Error::Encode(error)) => {
                        let outcome = unwritable(&error);
                        hold.fail(outcome.clone());
                        return Err(Error::Encode(outcome));
                    }
                    Err(error) => {
                        hold.fail(Outcome::Interrupted);
                        return Err(Error::Output(error));
                    }
                };
                let counts = Counts {
                    records_out: batch.records() as u64,
                    output_bytes,
                    ..Counts::default()
                };
                metrics.records_out.inc_by(counts.records_out);
                metrics.values_not_finite.inc_by(output.take_not_finite());
                metrics.output_bytes.inc_by(counts.output_bytes);
                hold.acknowledge(counts);
                Ok(())
            }
        }
    }

    /// Sends what was gathered.
    pub async fn flush(&mut self) {
        if let Self::Bulks(sending) = self {
            sending.flush().await;
        }
    }

    /// Sends what was gathered, and waits for what becomes of it.
    pub async fn finish(&mut self) {
        if let Self::Bulks(sending) = self {
            sending.finish().await;
        }
    }
}
