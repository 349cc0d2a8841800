//! Where items go that are offered part by part: standard output or a queue.

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use pf_work::{
    WorkItem,
    sqs::{Role, SqsQueue},
};

use crate::{lines, plan::Destination, queue};

/// Where items go.
pub(crate) enum Outlet {
    /// To whoever reads standard output.
    Stdout,
    /// Into a queue.
    Queue(SqsQueue),
}

impl Outlet {
    /// Makes sure that what is there takes items.
    pub(crate) async fn open(destination: Destination) -> Result<Self> {
        match destination {
            Destination::Stdout => Ok(Self::Stdout),
            Destination::Queue(options) => {
                let queue = SqsQueue::connect(*options, Role::Sink).await;
                Ok(Self::Queue(queue.context("cannot offer items")?))
            }
        }
    }

    /// The URL of the queue that items stay in when this process ends, if it is one.
    pub(crate) fn queue(&self) -> Option<&str> {
        match self {
            Self::Stdout => None,
            Self::Queue(queue) => Some(queue.url()),
        }
    }

    /// Offers items; all are taken when this returns. False when nobody reads any more.
    pub(crate) async fn offer(&self, items: Vec<WorkItem>) -> Result<bool> {
        match self {
            Self::Stdout => lines::write(json_lines(&items)).await,
            Self::Queue(queue) => {
                let chunks: Vec<Vec<WorkItem>> = items.chunks(queue::CHUNK_ITEMS).map(<[_]>::to_vec).collect();
                futures::stream::iter(chunks)
                    .map(|chunk| queue::deliver(queue, chunk))
                    .buffer_unordered(queue::CHUNKS_IN_FLIGHT_MAX)
                    .try_collect::<()>()
                    .await?;
                Ok(true)
            }
        }
    }
}

/// One line of JSON for each item.
fn json_lines(items: &[WorkItem]) -> Vec<u8> {
    let mut text = String::new();
    for item in items {
        text.push_str(&item.to_json());
        text.push('\n');
    }
    text.into_bytes()
}
