//! One lane: an object at a time, from its bytes to its documents. Nothing here is shared with other lanes but counters and
//! the destination.
//!
//! Reading blocks, as a lane's thread may; what waits for others (the sink, the store of dead letters) is async, so the lane
//! waits for that through the runtime's handle, and never while it reads.

use std::sync::Arc;

use pf_state::Stage;
use pf_work::{Counts, WorkItem, settle::Outcome};
use tokio::{runtime::Handle, time::Instant};

use crate::{
    batch::Reject,
    delivery::{Leased, Letters, Weather, leasing::Taken},
    ending::{Cause, Ending},
    indexer::{
        bulk::Origin,
        outlet::{self, Outlet, Outlets},
    },
    input::reason,
    metrics::Metrics,
    opened::{Opened, Opener},
    permission::Permission,
    plan::Records,
    reader::object::{self, ObjectReader},
    sightings::Sightings,
};

/// What all lanes share.
pub struct Shared {
    /// What becomes of records.
    pub records: Records,
    /// Where documents go.
    pub outlets: Outlets,
    /// Where refused records go.
    pub letters: Letters,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether anything is in reach.
    pub weather: Arc<Weather>,
    /// The wish to stop, and whom to tell of a destination that fails.
    pub ending: Arc<Ending>,
    /// Whether a refusal is an object's or ours.
    pub permission: Arc<Permission>,
    /// Which of the columns that were asked for any record had.
    pub sightings: Arc<Sightings>,
}

/// An item on its way to a lane, its object opened.
pub struct Work {
    leased: Leased,
    opened: Result<Opened, Outcome>,
    opened_at: Instant,
}

impl Work {
    /// Opens the object of an item that was leased.
    pub fn open(taken: Taken, opener: &Opener) -> Self {
        let Taken { leased, checkpoint } = taken;
        let from = checkpoint.map(|checkpoint| checkpoint.position);
        let opened = opener.open(leased.tracked().item(), from);
        Self {
            leased,
            opened,
            opened_at: Instant::now(),
        }
    }
}

/// One lane's state: what is kept from object to object is buffers, never their contents.
pub struct Lane<'a> {
    shared: &'a Shared,
    outlet: Outlet,
    runtime: Handle,
}

impl<'a> Lane<'a> {
    /// A lane that waits on `runtime`.
    pub fn new(shared: &'a Shared, runtime: Handle) -> Self {
        Self {
            outlet: shared.outlets.outlet(&shared.letters, &shared.metrics, &runtime),
            shared,
            runtime,
        }
    }

    /// Reads the object to its end, or to where it breaks, and says so to its item. One that comes after the wish to stop is
    /// given back, and one that is not ours any more is left alone.
    pub fn process(&mut self, work: Work) {
        let Work {
            leased,
            mut opened,
            opened_at,
        } = work;
        self.wait_for_weather();
        if let Ok(opened) = &mut opened
            && self.shared.weather.was_bad_since(opened_at)
        {
            opened.open_anew();
        }
        let _reading = self.shared.permission.reading();
        let outcome = if self.shared.ending.shutdown().is_draining() {
            Outcome::Interrupted
        } else if let Some(stopped) = leased.tracked().stopped() {
            // Its lease was lost while it waited: whoever has it now reads it.
            stopped
        } else {
            match opened {
                Ok(mut opened) => match self.read(&leased, &mut opened) {
                    Ok(outcome) => outcome,
                    Err(error) => match self.judged(error) {
                        Ok(outcome) => outcome,
                        Err(refusal) => return self.shared.permission.hold(leased, refusal),
                    },
                },
                Err(outcome) => outcome,
            }
        };
        leased.end(outcome);
    }

    /// In an outage waits until it is over, until it is this lane's turn to try, or until somebody asks to stop.
    fn wait_for_weather(&mut self) {
        if self.shared.weather.is_stormy() {
            // What was gathered is of items that need not wait for this one.
            self.flush();
            let Shared { weather, ending, .. } = self.shared;
            self.runtime.block_on(async {
                tokio::select! {
                    () = weather.turn() => {}
                    () = ending.shutdown().draining() => {}
                }
            });
        }
    }

    /// Sends what was gathered.
    pub fn flush(&mut self) {
        self.runtime.block_on(self.outlet.flush());
    }

    /// Sends what was gathered, and waits for what becomes of it.
    pub fn finish(&mut self) {
        self.runtime.block_on(self.outlet.finish());
    }

    /// What an error means for its item. The error of this is a refusal that nobody can judge yet.
    fn judged(&self, error: object::Error) -> Result<Outcome, String> {
        let Some(refusal) = error.refusal() else {
            return Ok(error.into());
        };
        let judged = self.runtime.block_on(self.shared.permission.judge(&refusal));
        judged.ok_or(refusal)
    }

    fn read(&mut self, leased: &Leased, opened: &mut Opened) -> Result<Outcome, object::Error> {
        match self.read_from(leased, opened) {
            Err(object::Error::Misfit(trouble)) if opened.from.is_some() => {
                let item = leased.tracked().item();
                tracing::warn!(
                    uri = item.uri,
                    seq = item.seq,
                    "read from its start, as its checkpoint does not fit: {trouble}"
                );
                opened.from = None;
                leased.tracked().start_over();
                self.read_from(leased, opened)
            }
            read => read,
        }
    }

    fn read_from(&mut self, leased: &Leased, opened: &mut Opened) -> Result<Outcome, object::Error> {
        let item = leased.tracked().item();
        let origin = Origin::with_fields(item, &self.shared.records);
        let mut reader = ObjectReader::open(item, opened.from, &self.shared.records, opened)?;
        if let Some(rows) = reader.object_rows() {
            leased.tracked().note_object_rows(rows);
        }
        let mut told = object::Counts::default();
        let mut rejects = Vec::new();
        loop {
            let batch = reader.next_batch(&mut rejects);
            let now = reader.counts();
            let step = self.count(since(told, now));
            self.tell_of_nuls(item, now.nul_bytes - told.nul_bytes, told.nul_bytes == 0);
            told = now;
            // Also what was read before an error is delivered, and where nothing was read there may be bytes to count.
            let position = reader.position();
            let hold = leased.step(step, Some(position));
            if !rejects.is_empty() {
                let rejects: Vec<Reject> = std::mem::take(&mut rejects);
                self.runtime
                    .block_on(self.shared.letters.keep(hold.another(), Stage::Decode, rejects));
            }
            let batch = match batch {
                Ok(Some(batch)) => batch,
                ended => {
                    hold.acknowledge(Counts::default());
                    return ended.map(|_| Outcome::Finished);
                }
            };
            self.shared.sightings.look(&batch, item, &self.shared.records);
            match self.runtime.block_on(self.outlet.write(&origin, &batch, hold)) {
                Ok(()) => reader.recycle(batch),
                Err(error) => return Ok(self.not_written(error)),
            }
            if let Some(outcome) = leased.tracked().stopped() {
                return Ok(outcome);
            }
            if self.shared.ending.shutdown().is_draining() {
                return Ok(Outcome::Interrupted);
            }
        }
    }

    /// Adds to what is counted of all items.
    fn count(&self, counts: Counts) -> Counts {
        let metrics = &self.shared.metrics;
        metrics.records_in.inc_by(counts.records_in);
        metrics.records_filtered.inc_by(counts.records_filtered);
        metrics.decompressed_bytes.inc_by(counts.decompressed_bytes);
        counts
    }

    /// NULs before records are no records, and are not kept; that there were some is told once of each object.
    fn tell_of_nuls(&self, item: &WorkItem, bytes: u64, is_first: bool) {
        if bytes == 0 {
            return;
        }
        self.shared.metrics.nul_bytes.inc_by(bytes);
        if is_first {
            let (uri, seq) = (&item.uri, item.seq);
            tracing::warn!(
                uri,
                seq,
                "skipped NULs before a record, as a log has them that was cut while it was written"
            );
        }
    }

    /// What a batch that the outlet did not take means for its item, which has heard of it too.
    fn not_written(&self, error: outlet::Error) -> Outcome {
        match error {
            outlet::Error::Encode(outcome) => outcome,
            outlet::Error::Output(error) => {
                self.shared.ending.stop(if error.is_closed() {
                    Cause::OutputClosed
                } else {
                    Cause::Failed { reason: reason(&error) }
                });
                Outcome::Interrupted
            }
        }
    }
}

/// What was read between two looks at a reader's counts.
fn since(before: object::Counts, now: object::Counts) -> Counts {
    Counts {
        records_in: now.records - before.records,
        records_filtered: now.filtered - before.filtered,
        wire_bytes: now.wire_bytes - before.wire_bytes,
        decompressed_bytes: now.bytes - before.bytes,
        span_bytes: now.span_bytes - before.span_bytes,
        ..Counts::default()
    }
}
