//! What a run consists of, each stage alone on the same bytes in memory, on one thread.

use std::{
    ffi::OsStr,
    fs,
    hint::black_box,
    io::{Cursor, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pf_work::Compression;
use pf_worker::{
    batch::{Batch, ColumnBatch},
    decompress,
    indexer::{bulk::IdMode, json::Encoder},
    reader::ndjson::{Options, Reader, Span},
};

use crate::{
    assembly::{Assembly, BATCH_BYTES_MAX, addressing},
    programs::cpu_of_this_thread,
};

/// What a reader of lines takes at once.
const READ_BYTES: usize = 256 * 1024;
const ROWS: usize = 8192;

/// CPU time of the stages over all objects of one format.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    /// Decompression to the end of the object at once, by the library that we use too. For Parquet: its own reader.
    pub(crate) decode: Duration,
    /// Our decompression, as a stream.
    pub(crate) streamed: Duration,
    /// Checking every line. For Parquet: writing its rows as JSON.
    pub(crate) rest: Duration,
    /// Bulk bodies of the checked lines. For Parquet: of its rows, so that it stands for `rest` too.
    pub(crate) bodies: Duration,
}

impl Stages {
    /// The stages that a run can't do without.
    pub(crate) fn sum(&self) -> Duration {
        self.decode + self.rest
    }

    /// What a run into a bulk can't do without.
    pub(crate) fn sum_with_bodies(&self, format: &str) -> Duration {
        if format == "parquet" {
            return self.decode + self.bodies;
        }
        self.decode + self.rest + self.bodies
    }

    /// Measures every object below the folder.
    pub(crate) fn measure(folder: &Path) -> Self {
        let mut stages = Self::default();
        for path in objects(folder) {
            let bytes = fs::read(&path).unwrap();
            let text = match path.extension().and_then(OsStr::to_str) {
                Some("parquet") => {
                    stages.add_parquet(bytes.into());
                    continue;
                }
                Some("gz") => {
                    stages.streamed += timed(|| drain(decompress::reader(&bytes[..], Compression::Gzip).unwrap()));
                    stages.decode(|| {
                        let mut text = Vec::new();
                        let mut decoder = flate2::bufread::MultiGzDecoder::new(&bytes[..]);
                        decoder.read_to_end(&mut text).unwrap();
                        text
                    })
                }
                Some("zst") => {
                    stages.streamed += timed(|| drain(decompress::reader(&bytes[..], Compression::Zstd).unwrap()));
                    stages.decode(|| zstd::decode_all(&bytes[..]).unwrap())
                }
                _ => bytes,
            };
            stages.rest += timed(|| check(&text, Reader::recycle));
            let mut batches = Vec::new();
            check(&text, |_, batch| batches.push(batch));
            stages.add_bodies(&batches);
        }
        stages
    }

    fn decode(&mut self, decode: impl Fn() -> Vec<u8>) -> Vec<u8> {
        // Once before, so that no page of the heap is touched for the first time in what is measured.
        let text = decode();
        drop(text);
        let mut text = Vec::new();
        self.decode += timed(|| text = decode());
        text
    }

    fn add_parquet(&mut self, bytes: Bytes) {
        let mut batches = Vec::new();
        self.decode += timed(|| {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            let reader = reader.with_batch_size(ROWS).build().unwrap();
            batches.extend(reader.map(Result::unwrap));
        });
        let (mut encoder, mut text, mut places) = (Encoder::default(), Vec::new(), Vec::new());
        self.rest += timed(|| {
            for batch in &batches {
                text.clear();
                places.clear();
                encoder.write(batch, &mut text, &mut places).unwrap();
                black_box(&text);
            }
        });
        let columns = batches.into_iter().map(|records| {
            let ordinals = (0..records.num_rows() as u64).collect();
            Batch::Columns(ColumnBatch {
                records,
                ordinals,
                input_bytes: 0,
            })
        });
        self.add_bodies(&columns.collect::<Vec<_>>());
    }

    fn add_bodies(&mut self, batches: &[Batch]) {
        let mut assembly = Assembly::new(addressing("logs", IdMode::Deterministic));
        assembly.all(&batches[..batches.len().min(1)]);
        self.bodies += timed(|| assembly.all(batches));
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let before = cpu_of_this_thread();
    work();
    cpu_of_this_thread().saturating_sub(before)
}

fn drain(mut input: impl Read) {
    let mut buffer = vec![0; READ_BYTES];
    while input.read(&mut buffer).unwrap() > 0 {
        black_box(&buffer);
    }
}

type LineReader<'a> = Reader<Cursor<&'a [u8]>>;

fn check<'a>(text: &'a [u8], mut each: impl FnMut(&mut LineReader<'a>, Batch)) {
    let options = Options {
        columns: None,
        filter: None,
        record_bytes_max: 16 << 20,
        batch_records_max: 50_000,
        batch_bytes_max: BATCH_BYTES_MAX,
    };
    let mut reader = Reader::new(Cursor::new(text), Span::WHOLE, options);
    let mut rejects = Vec::new();
    while let Some(batch) = reader.next_batch(&mut rejects).unwrap() {
        each(&mut reader, black_box(batch));
    }
    assert!(rejects.is_empty());
}

/// Every file below the folder.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(objects(&path));
        } else {
            found.push(path);
        }
    }
    found
}
