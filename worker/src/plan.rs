//! The command line, checked: whatever is wrong with it is said here, before anything is opened.

use std::{net::SocketAddr, num::NonZero, path::PathBuf, thread, time::Duration};

use jiff::SignedDuration;

use crate::{
    args::{Args, Destination, Input},
    predicate::{FieldPath, Predicate},
};

/// What a worker is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where documents go.
    pub destination: Destination,
    /// How many lanes.
    pub threads: usize,
    /// What becomes of records.
    pub records: Records,
    /// How far reading runs ahead.
    pub prefetch: Prefetch,
    /// Where dead letters go.
    pub dead_letters: Option<PathBuf>,
    /// How S3 is reached.
    pub storage: pf_storage::Options,
    /// Where metrics are served.
    pub metrics_addr: Option<SocketAddr>,
    /// How long lanes may take to end once they are asked to.
    pub drain_timeout: Duration,
    /// Whether checking was all that was asked for.
    pub check_only: bool,
}

/// More lanes than any machine has use for: beyond it, threads spend their time on each other.
const THREADS_MAX: usize = 1024;

/// What becomes of records on their way.
#[derive(Debug, Clone)]
pub struct Records {
    /// The fields that are kept; all if none.
    pub columns: Option<Vec<FieldPath>>,
    /// Which records are kept; all if none.
    pub filter: Option<Predicate>,
    /// Records in a batch, at most.
    pub batch_records_max: usize,
    /// A longer record is refused.
    pub record_bytes_max: usize,
}

/// How far reading runs ahead of a lane, in pieces of [`pf_storage::read::PIECE_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// Objects that wait with their first piece, per lane.
    pub objects: usize,
    /// Pieces ahead of the lane in the object that it reads.
    pub pieces: usize,
}

/// As many pieces ahead keep a lane busy: more would only fill memory.
const PIECES_THAT_KEEP_BUSY: usize = 8;

impl Prefetch {
    /// Objects and pieces that together stay below `memory_mb` MiB.
    fn within(memory_mb: usize, objects: usize) -> Self {
        let pieces = PIECES_THAT_KEEP_BUSY.min(memory_mb / 2).max(1);
        Self {
            objects: objects.min(memory_mb.saturating_sub(pieces)).max(1),
            pieces,
        }
    }
}

impl Plan {
    /// Checks what was typed. The error names the flag and says what would be right.
    pub fn new(args: Args) -> Result<Self, String> {
        let Args {
            input: Input::Stdin,
            destination,
            threads,
            batch_size,
            columns,
            filter,
            prefetch_count,
            prefetch_memory_mb,
            max_record_bytes,
            dead_letters,
            s3_endpoint,
            region,
            anonymous,
            metrics_addr,
            drain_timeout,
            check,
        } = args;
        at_least_one("--batch-size", batch_size)?;
        at_least_one("--prefetch-count", prefetch_count)?;
        at_least_one("--prefetch-memory-mb", prefetch_memory_mb)?;
        at_least_one("--max-record-bytes", max_record_bytes)?;
        let threads = threads.unwrap_or_else(|| 2 * thread::available_parallelism().map_or(1, NonZero::get));
        at_least_one("--threads", threads)?;
        if threads > THREADS_MAX {
            return Err(format!("--threads must be {THREADS_MAX} or less, not {threads}"));
        }
        let drain_timeout = drain_timeout
            .parse::<SignedDuration>()
            .ok()
            .and_then(|timeout| Duration::try_from(timeout).ok())
            .ok_or_else(|| {
                format!("--drain-timeout must be a length of time as in 30s or 2m, not `{drain_timeout}`")
            })?;
        let columns = columns.map(|text| FieldPath::list(&text)).transpose();
        let filter = filter.map(|text| text.parse()).transpose();
        Ok(Self {
            destination,
            threads,
            records: Records {
                columns: columns.map_err(|error| format!("--columns: {error}"))?,
                filter: filter.map_err(|error| format!("--filter: {error}"))?,
                batch_records_max: batch_size,
                record_bytes_max: max_record_bytes,
            },
            prefetch: Prefetch::within(prefetch_memory_mb, prefetch_count),
            dead_letters,
            storage: pf_storage::Options {
                endpoint: s3_endpoint,
                region,
                anonymous,
                ..Default::default()
            },
            metrics_addr,
            drain_timeout,
            check_only: check,
        })
    }
}

fn at_least_one(flag: &str, value: usize) -> Result<(), String> {
    if value == 0 {
        Err(format!("{flag} must be 1 or more, not 0"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_ahead_stays_below_the_memory_that_is_given() {
        for memory_mb in 1..300 {
            for objects in 1..20 {
                let prefetch = Prefetch::within(memory_mb, objects);
                assert!(prefetch.pieces >= 1 && prefetch.objects >= 1);
                assert!(
                    prefetch.pieces + prefetch.objects <= memory_mb.max(2),
                    "{memory_mb} MB, {objects}: {prefetch:?}"
                );
            }
        }
        assert_eq!(
            Prefetch::within(200, 6),
            Prefetch {
                objects: 6,
                pieces: PIECES_THAT_KEEP_BUSY
            }
        );
    }
}
