//! Writes work items to standard output, one line of JSON each.
//!
//! It runs on a thread of its own, because a pipe may block for as long as its reader likes.

use std::io::{self, BufWriter, Write};

use tokio::sync::mpsc::{Receiver, error::TryRecvError};

use crate::{
    listing::Found,
    numbering::{Numbering, Offered, Terms},
};

/// Bytes collected before they are written, as long as more items are at hand.
const BUFFER_BYTES: usize = 64 * 1024;

/// Writes what arrives until there is no more, the bound is reached, or the reader is gone.
pub(crate) fn offer(pages: Receiver<Vec<Found>>, terms: Terms, out: impl Write) -> io::Result<Offered> {
    let mut numbering = Numbering::new(terms);
    match offer_all(pages, &mut numbering, out) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Offered {
            reader_left: true,
            ..numbering.offered()
        }),
        Err(error) => Err(error),
        Ok(()) => Ok(numbering.offered()),
    }
}

fn offer_all(mut pages: Receiver<Vec<Found>>, numbering: &mut Numbering, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    while !numbering.is_full() {
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
            for item in numbering.items(found) {
                writeln!(out, "{}", item.to_json())?;
            }
        }
    }
    out.flush()
}
