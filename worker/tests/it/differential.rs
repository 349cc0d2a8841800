//! Random Parquet files against an independent reader: whatever pyarrow writes leaves as the values that pyarrow was given,
//! and a filter gives just those documents of the whole that it holds for. So does what the parquet crate writes of the same
//! tables, with pages, encodings, statistics and bloom filters of its own. The files, what is right for them, and the evaluator of
//! filters are e2e/python/values.py's.

use std::{env, fmt::Write as _, fs, path::Path, sync::Arc};

use bytes::Bytes;
use fastrand::Rng;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties, WriterVersion},
};
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
        let path = folder.path().to_str().unwrap().to_owned();
        let numbers = [seed, FILES, FILTERS].map(|number: u64| number.to_string());
        oracle::run("values.py", &["make", &path, &numbers[0], &numbers[1], &numbers[2]]);
        let jobs: Vec<Value> = serde_json::from_slice(&fs::read(folder.path().join("jobs.json")).unwrap()).unwrap();
        assert_eq!(jobs.len() as u64, FILES * (FILTERS + 1));
        for by_crate in [false, true] {
            for (number, job) in jobs.iter().enumerate() {
                let mut file: Bytes = fs::read(folder.path().join(job["file"].as_str().unwrap()))
                    .unwrap()
                    .into();
                if by_crate && job["rewritten"] == true {
                    let mut rng = Rng::with_seed(seed + number as u64);
                    file = rewritten(file, &mut rng).unwrap_or_else(|error| panic!("{SEED}={seed}, {job}: {error}"));
                }
                let written = written(file, job["filter"].as_str(), batch_records_max)
                    .unwrap_or_else(|error| panic!("{SEED}={seed}, job {number} {job}, by_crate {by_crate}: {error}"));
                fs::write(folder.path().join(format!("{number}.out")), written).unwrap();
            }
            let path = folder.path().to_str().unwrap();
            let checked = std::panic::catch_unwind(|| oracle::run("values.py", &["check", path]));
            let Ok(counts) = checked else {
                panic!(
                    "{SEED}={seed} shows it again, by_crate {by_crate}; {} is kept",
                    keep(folder)
                );
            };
            let counts: Value = serde_json::from_str(&counts).unwrap();
            assert!(counts["rows"].as_u64().unwrap() > 2_000, "{counts}");
        }
    }
}

/// The same table, written by the parquet crate in some way.
fn rewritten(file: Bytes, rng: &mut Rng) -> Result<Bytes, Box<dyn std::error::Error>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(rng.usize(1..500));
    let statistics = [
        EnabledStatistics::None,
        EnabledStatistics::Chunk,
        EnabledStatistics::Page,
    ];
    let compressions = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    let properties = WriterProperties::builder()
        .set_writer_version([WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][rng.usize(0..2)])
        .set_dictionary_enabled(rng.bool())
        .set_dictionary_page_size_limit(rng.usize(1..2_000))
        .set_data_page_row_count_limit(rng.usize(1..200))
        .set_write_batch_size(rng.usize(1..100))
        .set_max_row_group_row_count(Some(rng.usize(20..1_000)))
        .set_statistics_enabled(statistics[rng.usize(0..3)])
        .set_statistics_truncate_length([None, Some(3), Some(64)][rng.usize(0..3)])
        .set_column_index_truncate_length([None, Some(3), Some(64)][rng.usize(0..3)])
        .set_bloom_filter_enabled(rng.bool())
        .set_compression(compressions[rng.usize(0..4)])
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, Arc::clone(reader.schema()), Some(properties))?;
    for batch in reader.build()? {
        writer.write(&batch?)?;
    }
    writer.close()?;
    Ok(bytes.into())
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
