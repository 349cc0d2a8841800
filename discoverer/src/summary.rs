//! The file that a cluster reads as a container's last words.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Writes one short line of JSON, if there is a file for it.
pub(crate) async fn write(file: Option<&Path>, line: impl FnOnce() -> String) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let written = tokio::fs::write(file, line()).await;
    written.with_context(|| format!("cannot write the summary to {}", file.display()))
}
