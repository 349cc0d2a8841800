//! Parquet, one core: read next to what the `parquet` crate's own reader does with the same bytes, and rows written as JSON
//! next to arrow-json's writer. `cargo bench --bench parquet`; a table of the ratios comes last.
#![allow(missing_docs, clippy::unwrap_used)] // a benchmark has no callers, and says what is wrong by stopping

#[path = "decode/data.rs"]
#[allow(dead_code, reason = "the other benchmark's shapes aren't needed here")]
mod data;

use std::{
    cell::RefCell,
    hint::black_box,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    compute::kernels::cmp::gt_eq,
    datatypes::Int64Type,
    json::LineDelimitedWriter,
};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{ArrowPredicateFn, ParquetRecordBatchReaderBuilder, RowFilter},
    },
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use pf_worker::{
    batch::Batch,
    indexer::json::Encoder,
    predicate::FieldPath,
    reader::{
        ndjson,
        parquet::{Options, Reader},
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: usize = 400_000;
const COLUMNS: &str = "status,bytes,path";
const FILTER: &str = "status >= 500";

/// The fastest iteration of each benchmark, by group and name.
#[derive(Default)]
struct Fastest(RefCell<Vec<(String, String, usize, Duration)>>);

impl Fastest {
    fn group<const N: usize>(
        &self,
        criterion: &mut Criterion,
        (name, bytes): (&str, usize),
        work: [(&str, &mut dyn FnMut() -> usize); N],
    ) {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes as u64));
        for (what, work) in work {
            let mut fastest = Duration::MAX;
            group.bench_function(what, |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut total = Duration::ZERO;
                    for _ in 0..iterations {
                        let start = Instant::now();
                        black_box(work());
                        let time = start.elapsed();
                        fastest = fastest.min(time);
                        total += time;
                    }
                    total
                });
            });
            if fastest < Duration::MAX {
                self.0
                    .borrow_mut()
                    .push((name.to_owned(), what.to_owned(), bytes, fastest));
            }
        }
        group.finish();
    }

    /// A line for each benchmark: its speed, and how many times as long it took as the group's first.
    fn print(&self) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{:<24} {:<40} {:>9} {:>9}", "data", "what", "MB/s", "times").unwrap();
        let mut first = (String::new(), Duration::ZERO);
        for (group, name, bytes, time) in self.0.borrow().iter() {
            if first.0 != *group {
                first = (group.clone(), *time);
            }
            let speed = *bytes as f64 / 1e6 / time.as_secs_f64();
            let times = time.as_secs_f64() / first.1.as_secs_f64();
            writeln!(out, "{group:<24} {name:<40} {speed:>9.0} {times:>8.2}x").unwrap();
        }
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let fastest = Fastest::default();
    let text = data::steady(RECORDS);
    let batches = columns_of(&text);
    let bytes = parquet_of(&batches);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} bytes of NDJSON, {} of Parquet", text.len(), bytes.len()).unwrap();
    drop(out);
    reading(&mut criterion, &fastest, &bytes, text.len());
    writing(&mut criterion, &fastest, &batches, text.len());
    fastest.print();
    criterion.final_summary();
}

fn reading(criterion: &mut Criterion, fastest: &Fastest, bytes: &Bytes, text_bytes: usize) {
    let some = Some(FieldPath::list(COLUMNS).unwrap());
    let filter = Some(FILTER.parse().unwrap());
    fastest.group(
        criterion,
        ("read, all columns", text_bytes),
        [
            ("paraflow", &mut || read(bytes, options())),
            ("parquet's reader", &mut || read_with_parquet(bytes, false, false)),
        ],
    );
    fastest.group(
        criterion,
        ("read, three columns", text_bytes),
        [
            ("paraflow", &mut || {
                let columns = some.clone();
                read(bytes, Options { columns, ..options() })
            }),
            ("parquet's reader", &mut || read_with_parquet(bytes, true, false)),
        ],
    );
    fastest.group(
        criterion,
        ("read, filtered", text_bytes),
        [
            ("paraflow", &mut || {
                let filter = filter.clone();
                read(bytes, Options { filter, ..options() })
            }),
            ("parquet's reader, row filter", &mut || {
                read_with_parquet(bytes, false, true)
            }),
        ],
    );
}

fn writing(criterion: &mut Criterion, fastest: &Fastest, batches: &[RecordBatch], text_bytes: usize) {
    let mut encoder = Encoder::default();
    let (mut ours, mut rows, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    fastest.group(
        criterion,
        ("columns to JSON", text_bytes),
        [
            ("paraflow", &mut || {
                let mut bytes = 0;
                for batch in batches {
                    ours.clear();
                    rows.clear();
                    encoder.write(batch, &mut ours, &mut rows).unwrap();
                    bytes += ours.len();
                }
                bytes
            }),
            ("arrow-json", &mut || {
                let mut bytes = 0;
                for batch in batches {
                    theirs.clear();
                    let mut writer = LineDelimitedWriter::new(&mut theirs);
                    writer.write(batch).unwrap();
                    writer.finish().unwrap();
                    bytes += theirs.len();
                }
                bytes
            }),
        ],
    );
}

fn options() -> Options {
    Options {
        columns: None,
        filter: None,
        batch_records_max: 50_000,
        batch_bytes_max: 1 << 20,
        record_bytes_max: 16 << 20,
        binary: pf_worker::values::binary::Binary::Text,
    }
}

fn read(bytes: &Bytes, options: Options) -> usize {
    let mut reader = Reader::open(Arc::new(bytes.clone()), None, options).unwrap();
    let mut rows = 0;
    while let Some(batch) = reader.next_batch(&mut Vec::new()).unwrap() {
        rows += batch.records.num_rows();
    }
    rows
}

fn read_with_parquet(bytes: &Bytes, some_columns: bool, filtered: bool) -> usize {
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())
        .unwrap()
        .with_batch_size(8192);
    let schema = builder.parquet_schema();
    if some_columns {
        let mask = ProjectionMask::columns(schema, COLUMNS.split(','));
        builder = builder.with_projection(mask);
    } else if filtered {
        let mask = ProjectionMask::columns(schema, ["status"]);
        let ask = ArrowPredicateFn::new(mask, |records: RecordBatch| {
            let status = records.column(0).as_primitive::<Int64Type>();
            let least = arrow::array::Int64Array::new_scalar(500);
            let passes: BooleanArray = gt_eq(status, &least)?;
            Ok(passes)
        });
        builder = builder.with_row_filter(RowFilter::new(vec![Box::new(ask)]));
    }
    builder.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum()
}

/// As our own reader makes them.
fn columns_of(text: &[u8]) -> Vec<RecordBatch> {
    let options = ndjson::Options {
        columns: Some(Vec::new()),
        filter: None,
        record_bytes_max: 16 << 20,
        batch_records_max: 50_000,
        batch_bytes_max: 1 << 20,
    };
    let mut reader = ndjson::Reader::new(text, ndjson::Span::WHOLE, options);
    let mut batches = Vec::new();
    while let Some(batch) = reader.next_batch(&mut Vec::new()).unwrap() {
        match batch {
            Batch::Columns(columns) => batches.push(columns.records),
            Batch::Lines(_) => unreachable!("columns were asked for"),
        }
    }
    batches
}

fn parquet_of(batches: &[RecordBatch]) -> Bytes {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(RECORDS / 4))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    bytes.into()
}
