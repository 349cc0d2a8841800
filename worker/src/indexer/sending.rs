//! One lane's way to a sink of bulks: documents of its items are gathered to bodies of a good size, and what becomes of each
//! document is told to its item.
//!
//! A body may carry documents of several items, so that many small objects are no more requests than one large one.

use std::{mem, sync::Arc};

use jiff::Timestamp;
use pf_state::Stage;
use pf_work::{Counts, settle::Outcome};
use tokio::{runtime::Handle, task::JoinSet};

use super::{
    bulk::{Bulk, BulkEncoder, BulkSink, Delivered, Document, End, Origin, Room, Verdict},
    outlet::unwritable,
};
use crate::{
    batch::{Batch, Reject},
    delivery::{Hold, Letters, Tracked},
    metrics::Metrics,
};

/// Bodies that are kept for their memory when they are delivered.
const SPARE_MAX: usize = 2;

/// A lane's bulk that is being filled, and those that are under way.
pub struct Sending {
    sink: Arc<dyn BulkSink>,
    encoder: BulkEncoder,
    letters: Letters,
    metrics: Metrics,
    runtime: Handle,
    /// A body of so many bytes is sent.
    bytes_target: usize,
    bulk: Bulk,
    /// The items that it carries documents of, in their order.
    holds: Vec<Hold>,
    under_way: JoinSet<Bulk>,
    spare: Vec<Bulk>,
}

impl Sending {
    /// A lane's way to `sink`, in bodies of about `bytes_target`, sent on `runtime`.
    pub fn new(
        sink: Arc<dyn BulkSink>,
        encoder: BulkEncoder,
        bytes_target: usize,
        letters: Letters,
        metrics: Metrics,
        runtime: Handle,
    ) -> Self {
        Self {
            sink,
            encoder,
            letters,
            metrics,
            runtime,
            bytes_target,
            bulk: Bulk::default(),
            holds: Vec::new(),
            under_way: JoinSet::new(),
            spare: Vec::new(),
        }
    }

    /// Takes a batch, whose item hears through `hold` what becomes of it. Waits only where the sink has no room.
    ///
    /// # Errors
    /// If a column has no form in JSON, or if it can't be the records' fault that none of them has an address: what that means
    /// for the item, which has heard of it. Nothing of the batch is sent.
    pub async fn write(&mut self, origin: &Origin, batch: &Batch, hold: Hold) -> Result<(), Outcome> {
        let segment = u32::try_from(self.holds.len()).expect("a body has fewer segments than bytes");
        let before = self.bulk.documents.len();
        let mut rejects = Vec::new();
        if let Err(error) = self
            .encoder
            .append(&mut self.bulk, origin, segment, batch, &mut rejects)
        {
            let outcome = unwritable(&error);
            hold.fail(outcome.clone());
            return Err(outcome);
        }
        self.metrics.values_not_finite.inc_by(self.encoder.take_not_finite());
        let is_empty = self.bulk.documents.len() == before;
        if !rejects.is_empty() {
            if is_empty && let Some(reason) = self.sink.doubt(&rejects) {
                let outcome = Outcome::Refused { reason };
                hold.fail(outcome.clone());
                return Err(outcome);
            }
            self.letters.keep(hold.another(), Stage::Index, rejects).await;
        }
        if is_empty {
            hold.acknowledge(Counts::default());
        } else {
            self.bulk.sent_since.push(sent_since(hold.tracked()));
            self.holds.push(hold);
        }
        if self.bulk.body.len() >= self.bytes_target {
            self.flush().await;
        }
        Ok(())
    }

    /// Sends what there is. Waits only where the sink has no room.
    pub async fn flush(&mut self) {
        if self.holds.is_empty() {
            return;
        }
        let room = self.sink.room(self.bulk.body.len()).await;
        while let Some(delivered) = self.under_way.try_join_next() {
            self.keep_spare(delivered.ok());
        }
        let bulk = mem::replace(&mut self.bulk, self.spare.pop().unwrap_or_default());
        let way = Way {
            sink: Arc::clone(&self.sink),
            letters: self.letters.clone(),
            metrics: self.metrics.clone(),
        };
        let delivery = way.deliver(bulk, mem::take(&mut self.holds), room);
        self.under_way.spawn_on(delivery, &self.runtime);
    }

    /// Sends what there is, and waits until nothing is under way any more.
    pub async fn finish(&mut self) {
        self.flush().await;
        while self.under_way.join_next().await.is_some() {}
    }

    fn keep_spare(&mut self, bulk: Option<Bulk>) {
        if let Some(mut bulk) = bulk
            && self.spare.len() < SPARE_MAX
        {
            bulk.clear();
            self.spare.push(bulk);
        }
    }
}

/// Since when documents of the item may be in the sink, if anybody may have sent them before. What an earlier run sent may have
/// been sent at any time.
fn sent_since(tracked: &Tracked) -> Option<Timestamp> {
    let item = tracked.item();
    let was_begun = item.was_begun(tracked.lease().receive_count);
    was_begun.then_some(if item.run > 1 { Timestamp::MIN } else { item.enqueued_at })
}

/// What one bulk needs on its way.
struct Way {
    sink: Arc<dyn BulkSink>,
    letters: Letters,
    metrics: Metrics,
}

/// What became of the documents of one segment.
#[derive(Debug, Default)]
struct Tally {
    counts: Counts,
    rejects: Vec<Reject>,
    /// Not all of it was taken.
    is_pending: bool,
}

impl Way {
    async fn deliver(self, bulk: Bulk, holds: Vec<Hold>, room: Room) -> Bulk {
        let delivered = self.sink.deliver(&bulk).await;
        drop(room);
        let not_taken = not_taken(&delivered.end);
        for (hold, tally) in holds.into_iter().zip(tallies(&bulk, delivered)) {
            let Tally {
                counts,
                rejects,
                is_pending,
            } = tally;
            if is_pending {
                // Its rejected records are met again when the item is.
                hold.fail(not_taken.clone());
                continue;
            }
            self.metrics.records_out.inc_by(counts.records_out);
            self.metrics.records_duplicate.inc_by(counts.records_duplicate);
            self.metrics.records_updated.inc_by(counts.records_updated);
            self.metrics.records_dropped.inc_by(counts.records_dropped);
            self.metrics.records_redirected.inc_by(counts.records_redirected);
            self.metrics.records_conflicting.inc_by(counts.records_conflicting);
            self.metrics.output_bytes.inc_by(counts.output_bytes);
            if !rejects.is_empty() {
                self.letters.keep(hold.another(), Stage::Index, rejects).await;
            }
            hold.acknowledge(counts);
        }
        bulk
    }
}

/// What it means for an item that its documents were not taken.
fn not_taken(end: &End) -> Outcome {
    match end {
        End::Done => Outcome::Unavailable {
            reason: "the sink did not say what became of every document".to_owned(),
        },
        End::Unavailable { reason } => Outcome::Unavailable { reason: reason.clone() },
        End::Refused { reason } => Outcome::Refused { reason: reason.clone() },
    }
}

/// What became of each segment's documents.
fn tallies(bulk: &Bulk, delivered: Delivered) -> Vec<Tally> {
    let segments = bulk.documents.last().map_or(0, |last| last.segment as usize + 1);
    let mut tallies: Vec<Tally> = (0..segments).map(|_| Tally::default()).collect();
    let mut exceptions = delivered.exceptions.into_iter().peekable();
    for (place, document) in bulk.documents.iter().enumerate() {
        let tally = &mut tallies[document.segment as usize];
        let verdict = exceptions
            .next_if(|(exception, _)| *exception as usize == place)
            .map(|(_, verdict)| verdict);
        match verdict {
            Some(Verdict::Pending) => tally.is_pending = true,
            Some(Verdict::Rejected { reason }) => {
                tally.rejects.push(reject(document, bulk.source(place as u32), reason));
            }
            Some(Verdict::Conflict { reason }) => {
                tally.counts.records_conflicting += 1;
                tally.rejects.push(reject(document, bulk.source(place as u32), reason));
            }
            Some(Verdict::Dropped) => tally.counts.records_dropped += 1,
            Some(Verdict::Redirected) => tally.counts.records_redirected += 1,
            None | Some(Verdict::Duplicate | Verdict::Updated) => {
                tally.counts.records_out += 1;
                tally.counts.records_duplicate += u64::from(verdict == Some(Verdict::Duplicate));
                tally.counts.records_updated += u64::from(verdict == Some(Verdict::Updated));
                tally.counts.output_bytes += u64::from(document.source.end - document.source.start);
            }
        }
    }
    debug_assert!(
        exceptions.next().is_none(),
        "exceptions are of documents of the bulk, in their order"
    );
    tallies
}

/// The document as a rejected record.
fn reject(document: &Document, source: &[u8], reason: String) -> Reject {
    Reject {
        ordinal: document.ordinal,
        reason,
        raw: source.to_vec(),
        record_bytes: source.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_is_counted_as_what_it_is_and_the_counts_balance() {
        let mut bulk = Bulk::default();
        for place in 0..7 {
            bulk.body.text_mut().extend_from_slice(b"{}\n{}\n");
            bulk.documents.push(Document {
                segment: u32::from(place == 6),
                ordinal: place,
                action: place as u32 * 6,
                source: place as u32 * 6 + 3..place as u32 * 6 + 5,
            });
        }
        let reason = || "r".to_owned();
        let exceptions = vec![
            (0, Verdict::Duplicate),
            (1, Verdict::Updated),
            (2, Verdict::Dropped),
            (3, Verdict::Redirected),
            (4, Verdict::Rejected { reason: reason() }),
            (5, Verdict::Conflict { reason: reason() }),
        ];
        let end = End::Done;
        let tallies = tallies(&bulk, Delivered { exceptions, end });
        let counts = Counts {
            records_out: 2,
            records_duplicate: 1,
            records_updated: 1,
            records_dropped: 1,
            records_redirected: 1,
            records_conflicting: 1,
            output_bytes: 4,
            ..Counts::default()
        };
        assert_eq!(tallies[0].counts, counts);
        assert_eq!(tallies[0].rejects.len(), 2);
        // The letters' keeper counts what it has kept.
        let whole = Counts {
            records_in: 6,
            records_rejected: 2,
            ..counts
        };
        assert!(whole.balances() && whole.records_astray() == 4);
        assert_eq!((tallies[1].counts.records_out, tallies[1].counts.output_bytes), (1, 2));
    }
}
