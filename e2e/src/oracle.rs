//! DuckDB and pyarrow, asked through e2e/python/oracle.py: what they count is what we must count.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Something that `e2e/install` brings, below `.tools`.
///
/// # Panics
/// When it is missing: that fails a test, it never skips it.
pub fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools").join(path);
    let shown = path.display();
    assert!(path.exists(), "{shown} is missing: run e2e/install (./test does)");
    path
}

/// Runs oracle.py, and returns what it answers.
///
/// # Panics
/// When it fails.
pub fn ask(arguments: &[&str]) -> String {
    run("oracle.py", arguments)
}

/// Runs a script of `e2e/python`, and returns what it answers.
///
/// # Panics
/// When it fails, with its words.
pub fn run(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(installed("python/bin/python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script))
        .args(arguments)
        .output()
        .expect("Python is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("JSON is UTF-8")
}

/// DuckDB's answer to a question over the table `records`, which is made of the files: one object a row.
///
/// # Panics
/// When it fails.
pub fn query(sql: &str, files: &[PathBuf]) -> Vec<Value> {
    let mut arguments = vec!["query", sql];
    arguments.extend(files.iter().map(|file| file.to_str().expect("tests have plain names")));
    let rows = ask(&arguments);
    rows.lines()
        .map(|line| serde_json::from_str(line).expect("each row is JSON"))
        .collect()
}

/// What DuckDB says of all files below a folder that `generate` has filled: how many records, and the sum of their `bytes`.
///
/// # Panics
/// When it fails.
pub fn counted(folder: &Path) -> (u64, f64) {
    let mut all = Vec::new();
    walk(folder, &mut all);
    let (mut count, mut sum) = (0, 0.0);
    for ending in [".ndjson", ".ndjson.gz", ".ndjson.zst", ".parquet"] {
        let has_it = |file: &&PathBuf| file.to_str().is_some_and(|name| name.ends_with(ending));
        let files: Vec<PathBuf> = all.iter().filter(has_it).cloned().collect();
        let answer = query("SELECT count(*) AS n, sum(bytes)::DOUBLE AS s FROM records", &files);
        count += answer[0]["n"].as_u64().expect("a count is a number");
        sum += answer[0]["s"].as_f64().expect("a sum is a number");
    }
    (count, sum)
}

/// All files below a folder, in the order of their paths.
///
/// # Panics
/// When the folder can't be read.
pub fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        if entry.path().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
}
