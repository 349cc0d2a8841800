//! Writes to standard output from async code: on a thread of its own, because a pipe may block for as long as its reader
//! likes.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

/// Writes and flushes. False when nobody reads any more.
pub(crate) async fn write(bytes: Vec<u8>) -> Result<bool> {
    let written = tokio::task::spawn_blocking(move || {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&bytes).and_then(|()| stdout.flush())
    });
    match written.await.context("the writer panicked")? {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}
