//! Random Parquet files against an independent reader: whatever pyarrow writes leaves as the values that pyarrow was given,
//! and a filter gives just those documents of the whole that it holds for. The files, what is right for them, and the
//! evaluator of filters are e2e/python/values.py's.

use std::{env, fmt::Write as _, fs, path::Path, sync::Arc};

use bytes::Bytes;
use pf_e2e::oracle;
use pf_worker::{
    indexer::json::Encoder,
    reader::parquet::{Options, Reader},
    values::binary::Binary,
};
use serde_json::Value;

/// Each type is in several of so many files, and within lists, groups and maps in one.
const FILES: u64 = 48;
/// For each file.
const FILTERS: u64 = 22;
/// Another one can be asked for.
const SEED: &str = "PF_DIFFERENTIAL_SEED";

#[test]
fn random_files_leave_as_pyarrow_has_them_and_filters_find_what_is_there() {
    let seed = env::var(SEED).map_or(13, |seed| seed.parse().unwrap());
    // Rows of a batch, so that these too have other borders each time.
    for (seed, batch_records_max) in [(seed, 7), (seed + 1, 5_000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let numbers = [seed, FILES, FILTERS].map(|number: u64| number.to_string());
        oracle::run("values.py", &["make", path, &numbers[0], &numbers[1], &numbers[2]]);
        let jobs: Vec<Value> = serde_json::from_slice(&fs::read(folder.path().join("jobs.json")).unwrap()).unwrap();
        assert_eq!(jobs.len() as u64, FILES * (FILTERS + 1));
        for (number, job) in jobs.iter().enumerate() {
            let file = fs::read(folder.path().join(job["file"].as_str().unwrap())).unwrap();
            let written = written(file.into(), job["filter"].as_str(), batch_records_max)
                .unwrap_or_else(|error| panic!("{SEED}={seed}, job {number} {job}: {error}"));
            fs::write(folder.path().join(format!("{number}.out")), written).unwrap();
        }
        let checked = std::panic::catch_unwind(|| oracle::run("values.py", &["check", path]));
        let Ok(counts) = checked else {
            panic!("{SEED}={seed} shows it again; {} is kept", keep(folder));
        };
        let counts: Value = serde_json::from_str(&counts).unwrap();
        assert!(counts["rows"].as_u64().unwrap() > 2_000, "{counts}");
    }
}

fn keep(folder: tempfile::TempDir) -> String {
    let path: &Path = &folder.keep();
    path.display().to_string()
}

/// Each row as its ordinal and its document.
fn written(file: Bytes, filter: Option<&str>, batch_records_max: usize) -> Result<String, Box<dyn std::error::Error>> {
    let options = Options {
        columns: None,
        filter: filter.map(str::parse).transpose()?,
        batch_records_max,
        batch_bytes_max: 1 << 20,
        record_bytes_max: 16 << 20,
        binary: Binary::Text,
    };
    let mut reader = Reader::open(Arc::new(file), None, options)?;
    let mut written = String::new();
    let mut encoder = Encoder::default();
    let mut rejects = Vec::new();
    while let Some(batch) = reader.next_batch(&mut rejects)? {
        let (mut text, mut rows) = (Vec::new(), Vec::new());
        encoder.write(&batch.records, &mut text, &mut rows)?;
        let text = String::from_utf8(text)?;
        for (ordinal, line) in batch.ordinals.iter().zip(text.lines()) {
            writeln!(written, "{ordinal}\t{line}")?;
        }
    }
    assert!(rejects.is_empty(), "{rejects:?}");
    Ok(written)
}
