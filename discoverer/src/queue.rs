//! Puts work items into a queue: several calls in flight, what is not taken offered again.
//!
//! Memory is bounded by the chunks in flight, and the listing waits while none is done. The queue itself tries again for
//! some seconds; a longer outage is waited out here, because nothing is lost by waiting and much by listing again.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, stream::FuturesUnordered};
use pf_work::{WorkItem, WorkSink, queue::Error, sqs};
use tokio::{sync::mpsc::Receiver, time::Instant};

use crate::{
    listing::Found,
    numbering::{Numbering, Offered, Terms},
};

/// Items in one offer: as many as the queue sends at the same time.
pub(crate) const CHUNK_ITEMS: usize = 10 * sqs::CALLS_IN_FLIGHT_MAX;

/// Offers in flight, so that a slow call holds up its own chunk only.
pub(crate) const CHUNKS_IN_FLIGHT_MAX: usize = 3;

/// How long the queue may take nothing at all before we give up.
const OUTAGE_MAX: Duration = Duration::from_mins(10);

/// The pause before what was not taken is offered again, beside the queue's own.
const PAUSE: Duration = Duration::from_secs(2);

/// Offers what arrives until there is no more or the bound is reached.
pub(crate) async fn offer(mut pages: Receiver<Vec<Found>>, terms: Terms, queue: &dyn WorkSink) -> Result<Offered> {
    let mut numbering = Numbering::new(terms);
    let mut waiting: Vec<WorkItem> = Vec::new();
    let mut in_flight = FuturesUnordered::new();
    let mut ended = false;
    while !ended || !waiting.is_empty() || !in_flight.is_empty() {
        tokio::select! {
            page = pages.recv(), if !ended && waiting.len() < CHUNK_ITEMS => {
                ended = page.is_none();
                for found in page.into_iter().flatten() {
                    waiting.extend(numbering.items(found));
                }
                ended |= numbering.is_full();
            }
            Some(delivered) = in_flight.next(), if !in_flight.is_empty() => delivered?,
        }
        // Whoever leases shall have what there is while we wait: a chunk need not be full.
        while in_flight.len() < CHUNKS_IN_FLIGHT_MAX
            && !waiting.is_empty()
            && (waiting.len() >= CHUNK_ITEMS || ended || pages.is_empty())
        {
            let rest = waiting.split_off(waiting.len().min(CHUNK_ITEMS));
            in_flight.push(deliver(queue, std::mem::replace(&mut waiting, rest)));
        }
    }
    Ok(numbering.offered())
}

/// Offers items until each is taken.
pub(crate) async fn deliver(queue: &dyn WorkSink, mut items: Vec<WorkItem>) -> Result<()> {
    let mut last_success = Instant::now();
    let mut told = false;
    loop {
        let count = items.len();
        let reason = match queue.offer(&items).await {
            Ok(failed) => {
                let Some(first) = failed.first() else { return Ok(()) };
                if let Some(refused) = failed
                    .iter()
                    .find(|failed| matches!(failed.error, Error::Refused { .. }))
                {
                    let uri = items[refused.index].uri.clone();
                    return Err(refused.error.clone()).with_context(|| format!("cannot offer {uri}"));
                }
                let reason = first.error.to_string();
                items = failed.iter().map(|failed| items[failed.index].clone()).collect();
                reason
            }
            Err(error @ Error::Unavailable { .. }) => error.to_string(),
            Err(error) => return Err(error).context("cannot offer items"),
        };
        if items.len() < count {
            last_success = Instant::now();
        }
        if last_success.elapsed() >= OUTAGE_MAX {
            bail!(
                "{} items were not taken for {} minutes: {reason}",
                items.len(),
                OUTAGE_MAX.as_secs() / 60
            );
        }
        if !told {
            tracing::warn!("{} items wait to be offered again: {reason}", items.len());
            told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests;
