//! One lane: an object at a time, from its bytes to its documents. Nothing here is shared with other lanes but counters and
//! the destination.

use pf_work::{WorkItem, settle::Outcome};

use crate::{
    batch::{Batch, Reject},
    dead_letters::DeadLetters,
    indexer::output::{self, Output},
    metrics::Metrics,
    opened::Opened,
    plan::Records,
    reader::object::{self, Counts, ObjectReader},
};

/// What all lanes share.
#[derive(Debug)]
pub struct Shared {
    /// What becomes of records.
    pub records: Records,
    /// Where refused records go.
    pub dead_letters: DeadLetters,
    /// What is counted.
    pub metrics: Metrics,
    /// The wish to stop.
    pub shutdown: pf_telemetry::Shutdown,
}

/// Why a lane stopped in the middle of an item.
enum Stop {
    /// What happened to the item.
    Item(Outcome),
    /// What happened to the destination, or to the place for dead letters.
    Output(output::Error),
}

impl From<object::Error> for Stop {
    fn from(error: object::Error) -> Self {
        Self::Item(error.into())
    }
}

impl From<output::Error> for Stop {
    fn from(error: output::Error) -> Self {
        Self::Output(error)
    }
}

/// One lane's state: what is kept from object to object is buffers, never their contents.
pub struct Lane<'a> {
    shared: &'a Shared,
    output: Output,
    rejects: Vec<Reject>,
}

impl<'a> Lane<'a> {
    /// A lane that writes to `output`.
    pub fn new(shared: &'a Shared, output: Output) -> Self {
        Self {
            shared,
            output,
            rejects: Vec::new(),
        }
    }

    /// Reads the object to its end, or to where it breaks. An error is the destination's.
    pub fn process(&mut self, item: &WorkItem, opened: Result<Opened, String>) -> Result<Outcome, output::Error> {
        self.rejects.clear();
        let done = opened
            .map_err(|reason| Stop::Item(Outcome::Broken { reason }))
            .and_then(|mut opened| self.read(item, &mut opened));
        match done {
            Ok(()) => Ok(Outcome::Finished),
            Err(Stop::Item(outcome)) => Ok(outcome),
            Err(Stop::Output(error)) => Err(error),
        }
    }

    fn read(&mut self, item: &WorkItem, opened: &mut Opened) -> Result<(), Stop> {
        let mut reader = ObjectReader::open(item, opened.from, &self.shared.records, opened)?;
        let mut told = Counts::default();
        loop {
            let batch = reader.next_batch(&mut self.rejects);
            let now = reader.counts();
            let metrics = &self.shared.metrics;
            metrics.decompressed_bytes.inc_by(now.bytes - told.bytes);
            metrics.records_in.inc_by(now.records - told.records);
            metrics.records_filtered.inc_by(now.filtered - told.filtered);
            told = now;
            self.reject(item)?;
            let Some(batch) = batch? else { return Ok(()) };
            self.write(&batch)?;
            reader.recycle(batch);
            self.stop_if_asked()?;
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Stop> {
        let records = match batch {
            Batch::Lines(batch) => batch.lines.len(),
            Batch::Columns(batch) => batch.records.num_rows(),
        };
        if records > 0 {
            let bytes = self.output.write(batch)?;
            self.shared.metrics.records_out.inc_by(records as u64);
            self.shared.metrics.output_bytes.inc_by(bytes);
        }
        Ok(())
    }

    fn reject(&mut self, item: &WorkItem) -> Result<(), Stop> {
        if !self.rejects.is_empty() {
            self.shared
                .dead_letters
                .records(item, &self.rejects)
                .map_err(output::Error::DeadLetters)?;
            self.shared.metrics.records_rejected.inc_by(self.rejects.len() as u64);
            self.rejects.clear();
        }
        Ok(())
    }

    fn stop_if_asked(&self) -> Result<(), Stop> {
        if self.shared.shutdown.is_draining() {
            Err(Stop::Item(Outcome::Interrupted))
        } else {
            Ok(())
        }
    }
}
