//! One lane: an object at a time, from its bytes to its documents. Nothing here is shared with other lanes but counters and
//! the destination.

use std::io;

use pf_work::{Compression, WorkItem, settle::Outcome};

use crate::{
    batch::{Batch, Reject},
    dead_letters::DeadLetters,
    decompress::{self, MAGIC_BYTES, Magic},
    indexer::output::{self, Output},
    input::reason,
    metrics::Metrics,
    plan::Records,
    prefetch::{Body, ObjectRanges},
    reader::{ndjson, parquet},
};

/// Input bytes of a batch, at most: what a batch touches stays in the processor's cache.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// An object that is ready to be read.
pub enum Opened {
    /// A stream, for lines, or to find out what it is.
    Stream(Body, ObjectRanges),
    /// Ranges, for Parquet.
    Ranges(ObjectRanges),
    /// It can't be opened.
    Broken(String),
}

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
    pub fn process(&mut self, item: &WorkItem, opened: Opened) -> Result<Outcome, output::Error> {
        self.rejects.clear();
        let done = match opened {
            Opened::Broken(reason) => Err(Stop::Item(Outcome::Broken { reason })),
            Opened::Ranges(ranges) => self.parquet(item, ranges),
            Opened::Stream(body, ranges) => self.stream(item, body, ranges),
        };
        match done {
            Ok(()) => Ok(Outcome::Finished),
            Err(Stop::Item(outcome)) => Ok(outcome),
            Err(Stop::Output(error)) => Err(error),
        }
    }

    fn stream(&mut self, item: &WorkItem, mut body: Body, ranges: ObjectRanges) -> Result<(), Stop> {
        body.take();
        let starts_object = item.range.is_none_or(|range| range.start == 0);
        let first = if starts_object {
            body.peek(MAGIC_BYTES).map_err(failed)?
        } else {
            b""
        };
        let magic = Magic::of(first);
        let is_empty = first.is_empty();
        // No line of JSON begins like this, so the bytes are believed before the name.
        if magic == Magic::Parquet {
            drop(body);
            return self.parquet(item, ranges);
        }
        let compression = if starts_object {
            decompress::choose(item.compression, magic, is_empty).map_err(broken)?
        } else {
            Compression::None
        };
        let span = match item.range {
            None => ndjson::Span::WHOLE,
            Some(_) if compression != Compression::None => {
                return Err(broken(
                    "a compressed object can't be read in ranges: discover it again without them".to_owned(),
                ));
            }
            Some(range) => ndjson::Span {
                start: range.start,
                end: Some(range.end),
            },
        };
        let input = decompress::reader(body, compression).map_err(failed)?;
        let Records {
            columns,
            filter,
            batch_records_max,
            record_bytes_max,
        } = self.shared.records.clone();
        let options = ndjson::Options {
            columns,
            filter,
            record_bytes_max,
            batch_records_max,
            batch_bytes_max: BATCH_BYTES_MAX,
        };
        let mut reader = ndjson::Reader::new(input, span, options);
        let mut told = ndjson::Counts::default();
        loop {
            let batch = reader.next_batch(&mut self.rejects);
            let now = reader.counts();
            let metrics = &self.shared.metrics;
            metrics.decompressed_bytes.inc_by(now.bytes - told.bytes);
            metrics.records_in.inc_by(now.records - told.records);
            metrics.records_filtered.inc_by(now.filtered - told.filtered);
            told = now;
            self.reject(item)?;
            match batch.map_err(failed)? {
                Some(batch) => {
                    self.write(&batch)?;
                    reader.recycle(batch);
                }
                None => return Ok(()),
            }
            self.stop_if_asked()?;
        }
    }

    fn parquet(&mut self, item: &WorkItem, ranges: ObjectRanges) -> Result<(), Stop> {
        let Records {
            columns,
            filter,
            batch_records_max,
            record_bytes_max: _,
        } = self.shared.records.clone();
        let options = parquet::Options {
            columns,
            filter,
            batch_records_max,
            batch_bytes_max: BATCH_BYTES_MAX,
        };
        let range = item.range.map(|range| (range.start, range.end));
        let mut reader =
            parquet::Reader::open(std::sync::Arc::new(ranges), range, options).map_err(|error| unreadable(&error))?;
        let mut told = parquet::Counts::default();
        loop {
            let batch = reader.next_batch();
            let now = reader.counts();
            let metrics = &self.shared.metrics;
            metrics.records_in.inc_by(now.rows - told.rows);
            metrics.records_filtered.inc_by(now.filtered - told.filtered);
            told = now;
            let Some(batch) = batch.map_err(|error| unreadable(&error))? else {
                return Ok(());
            };
            metrics.decompressed_bytes.inc_by(batch.input_bytes);
            self.write(&Batch::Columns(batch))?;
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

/// What libzstd says of a frame whose window is larger than its limit; it has no code of its own in `io::Error`.
const ZSTD_WINDOW: &str = "Frame requires too much memory";

fn broken(reason: String) -> Stop {
    Stop::Item(Outcome::Broken { reason })
}

/// What an error of the input says of the item.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands on")]
fn failed(error: io::Error) -> Stop {
    let outcome = match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<pf_storage::Error>())
    {
        Some(error) => storage_outcome(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Outcome::Broken {
            reason: "truncated: the compressed stream ends early".to_owned(),
        },
        None if reason(&error).contains(ZSTD_WINDOW) => Outcome::Broken {
            reason: "unsupported: a zstd frame needs a window of more than 128 MiB, as `zstd --long=28` makes it"
                .to_owned(),
        },
        None => Outcome::Broken {
            reason: format!("corrupt: {}", reason(&error)),
        },
    };
    Stop::Item(outcome)
}

fn storage_outcome(error: &pf_storage::Error) -> Outcome {
    use pf_storage::Error;
    let reason = reason(error);
    match error {
        Error::Unavailable { .. } => Outcome::Unavailable { reason },
        Error::Denied { .. } | Error::NoSuchBucket { .. } => Outcome::Refused { reason },
        // A read has no reason to say that something exists.
        Error::BadUri { .. }
        | Error::NotFound { .. }
        | Error::Changed { .. }
        | Error::Exists { .. }
        | Error::Failed { .. } => Outcome::Broken { reason },
    }
}

/// What an error of the Parquet reader says of the item.
fn unreadable(error: &parquet::Error) -> Stop {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        // An error of the storage may lie under several layers of reading.
        let inner = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        let inner = inner.map_or(error, |inner| inner as &(dyn std::error::Error + 'static));
        if let Some(error) = inner.downcast_ref::<pf_storage::Error>() {
            return Stop::Item(storage_outcome(error));
        }
        cause = error.source();
    }
    broken(reason(error))
}
