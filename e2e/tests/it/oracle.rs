//! DuckDB and pyarrow, asked through e2e/python/oracle.py: what they count is what we must count.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::programs::workspace;

/// Something that `e2e/install` brings; a missing one fails the test and never skips it.
fn tool(path: &str) -> PathBuf {
    let path = workspace().join(".tools").join(path);
    assert!(
        path.exists(),
        "{} is missing: run e2e/install (./test does)",
        path.display()
    );
    path
}

/// A file of npm's vega-datasets.
pub(crate) fn published(name: &str) -> PathBuf {
    tool(&format!("vega-datasets/data/{name}"))
}

fn ask(arguments: &[&str]) -> String {
    let output = Command::new(tool("python/bin/python"))
        .arg(workspace().join("e2e/python/oracle.py"))
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "oracle.py {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// DuckDB's answer to a question over the table `records`, which is made of the files: one object a row.
pub(crate) fn query(sql: &str, files: &[PathBuf]) -> Vec<Value> {
    let mut arguments = vec!["query", sql];
    arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
    ask(&arguments)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Writes a JSON array as newline-delimited JSON.
pub(crate) fn lines_from_array(source: &Path, target: &Path) {
    ask(&["lines", source.to_str().unwrap(), target.to_str().unwrap()]);
}

/// Writes a CSV file as Parquet.
pub(crate) fn parquet_from_csv(source: &Path, target: &Path) {
    ask(&["columns", source.to_str().unwrap(), target.to_str().unwrap()]);
}
