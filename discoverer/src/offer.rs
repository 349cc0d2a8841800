//! Turns found objects into numbered work items and writes them, one line of JSON each.
//!
//! It runs on a thread of its own, because a pipe may block for as long as its reader likes.

use std::io::{self, BufWriter, Write};

use jiff::Timestamp;
use pf_work::{Compression, WorkItem, item};
use tokio::sync::mpsc::{Receiver, error::TryRecvError};

use crate::{listing::Found, naming::Naming, split};

/// Bytes collected before they are written, as long as more items are at hand.
const BUFFER_BYTES: usize = 64 * 1024;

/// What all items of a run share.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The job's name.
    pub(crate) job: String,
    /// What names tell.
    pub(crate) naming: Naming,
    /// At most so many objects.
    pub(crate) objects_max: Option<u64>,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Offered {
    /// Items, which are also the next item's number.
    pub(crate) items: u64,
    /// Objects that they cover.
    pub(crate) objects: u64,
    /// Bytes of these objects, as stored.
    pub(crate) bytes: u64,
    /// Whether the reader of the items went away before the end.
    pub(crate) reader_left: bool,
}

/// Writes what arrives until there is no more, the bound is reached, or the reader is gone.
pub(crate) fn offer(pages: Receiver<Vec<Found>>, terms: &Terms, out: impl Write) -> io::Result<Offered> {
    let mut offered = Offered::default();
    match offer_all(pages, terms, out, &mut offered) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            offered.reader_left = true;
            Ok(offered)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(offered),
    }
}

fn offer_all(mut pages: Receiver<Vec<Found>>, terms: &Terms, out: impl Write, offered: &mut Offered) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    loop {
        let page = match pages.try_recv() {
            Ok(page) => page,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // Whoever reads shall have what there is while we wait.
                out.flush()?;
                match pages.blocking_recv() {
                    Some(page) => page,
                    None => break,
                }
            }
        };
        for found in page {
            if terms.objects_max == Some(offered.objects) {
                return out.flush();
            }
            let size_bytes = found.object.size_bytes;
            let split = found.split;
            let mut item = item_of(found, terms);
            // Unsplit is one part, as large as it is.
            let part_bytes_max = split.map_or(size_bytes.max(1), |split| split.part_bytes_max);
            for range in split::parts(size_bytes, part_bytes_max) {
                item.seq = offered.items;
                item.range = split.map(|_| range);
                writeln!(out, "{}", item.to_json())?;
                offered.items += 1;
            }
            offered.objects += 1;
            offered.bytes += size_bytes;
        }
        if terms.objects_max == Some(offered.objects) {
            break;
        }
    }
    out.flush()
}

/// The item of a whole object, not yet numbered.
fn item_of(found: Found, terms: &Terms) -> WorkItem {
    let Found {
        object,
        partition,
        split,
    } = found;
    let (format, compression) = match split {
        Some(split) => (split.format, Compression::None),
        None => terms.naming.of(object.uri.key()),
    };
    WorkItem {
        v: item::VERSION,
        job: terms.job.clone(),
        seq: 0,
        uri: object.uri.to_string(),
        // A server that lists without entity tags leaves them empty.
        etag: Some(object.etag).filter(|etag| !etag.is_empty()),
        size_bytes: object.size_bytes,
        last_modified: Some(object.last_modified),
        format,
        compression,
        range: None,
        partition,
        enqueued_at: Timestamp::now(),
    }
}
