//! What DuckDB and pyarrow make of published data.

use std::path::{Path, PathBuf};

pub(crate) use pf_e2e::oracle::query;
use pf_e2e::oracle::{ask, installed};

/// A file of npm's vega-datasets.
pub(crate) fn published(name: &str) -> PathBuf {
    installed(&format!("vega-datasets/data/{name}"))
}

/// Writes a JSON array as newline-delimited JSON.
pub(crate) fn lines_from_array(source: &Path, target: &Path) {
    ask(&["lines", source.to_str().unwrap(), target.to_str().unwrap()]);
}

/// Writes a CSV file as Parquet.
pub(crate) fn parquet_from_csv(source: &Path, target: &Path) {
    ask(&["columns", source.to_str().unwrap(), target.to_str().unwrap()]);
}
