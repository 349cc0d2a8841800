//! NDJSON, one core: into columns, checked only, and filtered, each next to what others make of the same bytes in the same
//! run. `cargo bench --bench decode`; a table of the ratios comes last. Needs what `e2e/python/install`
//! installs.
#![allow(missing_docs, clippy::unwrap_used)] // a benchmark has no callers, and says what is wrong by stopping

#[path = "decode/data.rs"]
mod data;
#[path = "decode/peers.rs"]
mod peers;

use std::{
    cell::RefCell,
    hint::black_box,
    io::{BufReader, Cursor, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{datatypes::SchemaRef, json::ReaderBuilder, json::reader::infer_json_schema};
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use peers::Python;
use pf_worker::{
    batch::Batch,
    predicate::{FieldPath, Literal, Operator, Predicate, Term},
    reader::ndjson::{Options, Reader, Span},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: usize = 100_000;

/// The fastest iteration of each benchmark, by group and name.
#[derive(Default)]
struct Fastest(RefCell<Vec<(String, String, usize, Duration)>>);

impl Fastest {
    /// Runs a benchmark whose iterations say themselves how long they took.
    fn bench(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        of: (&str, usize),
        name: &str,
        mut timed: impl FnMut() -> Duration,
    ) {
        let mut fastest = Duration::MAX;
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    let time = timed();
                    fastest = fastest.min(time);
                    total += time;
                }
                total
            });
        });
        if fastest < Duration::MAX {
            self.0
                .borrow_mut()
                .push((of.0.to_owned(), name.to_owned(), of.1, fastest));
        }
    }

    /// A line for each benchmark: its speed, and how many times as long it took as the group's first.
    fn print(&self) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{:<10} {:<40} {:>9} {:>9}", "data", "what", "MB/s", "times").unwrap();
        let mut first = (String::new(), Duration::ZERO);
        for (group, name, bytes, time) in self.0.borrow().iter() {
            if first.0 != *group {
                first = (group.clone(), *time);
            }
            let speed = *bytes as f64 / 1e6 / time.as_secs_f64();
            let times = time.as_secs_f64() / first.1.as_secs_f64();
            writeln!(out, "{group:<10} {name:<40} {speed:>9.0} {times:>8.2}x").unwrap();
        }
    }
}

fn timed<T>(mut work: impl FnMut() -> T) -> impl FnMut() -> Duration {
    move || {
        let start = Instant::now();
        black_box(work());
        start.elapsed()
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let fastest = Fastest::default();
    let python = RefCell::new(Python::start());
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("steady", data::steady(RECORDS)),
        ("spaced", data::spaced(RECORDS)),
        ("random", data::random(RECORDS)),
    ] {
        let path = folder.path().join(format!("{name}.ndjson"));
        std::fs::write(&path, &text).unwrap();
        let path = path.to_str().unwrap();
        columns(&mut criterion, &fastest, name, &text, path, &python);
        if name == "steady" {
            checked(&mut criterion, &fastest, &text);
            filtered(&mut criterion, &fastest, &text, path, &python);
        }
    }
    fastest.print();
    criterion.final_summary();
}

/// All fields into Arrow columns.
fn columns(
    criterion: &mut Criterion,
    fastest: &Fastest,
    name: &str,
    text: &[u8],
    path: &str,
    python: &RefCell<Python>,
) {
    let mut group = criterion.benchmark_group(format!("columns/{name}"));
    group.throughput(Throughput::Bytes(text.len() as u64));
    let of = (name, text.len());
    let options = Options {
        columns: Some(Vec::new()),
        ..options()
    };
    fastest.bench(&mut group, of, "paraflow", timed(|| read(text, &options)));
    let small = Options {
        batch_bytes_max: 1 << 20,
        ..options
    };
    fastest.bench(
        &mut group,
        of,
        "paraflow, batches of 1 MiB",
        timed(|| read(text, &small)),
    );
    let schema = Arc::new(infer_json_schema(Cursor::new(text), None).unwrap().0);
    fastest.bench(
        &mut group,
        of,
        "arrow-json, schema given",
        timed(|| read_with_arrow_json(text, &schema)),
    );
    let statement = peers::duckdb_all(path);
    fastest.bench(&mut group, of, "duckdb, schema given", || {
        python.borrow_mut().run(&statement)
    });
    let statement = peers::pyarrow_all(path);
    fastest.bench(&mut group, of, "pyarrow", || python.borrow_mut().run(&statement));
    group.finish();
}

/// Lines checked and left as they are.
fn checked(criterion: &mut Criterion, fastest: &Fastest, text: &[u8]) {
    let mut group = criterion.benchmark_group("lines/steady");
    group.throughput(Throughput::Bytes(text.len() as u64));
    let of = ("lines", text.len());
    fastest.bench(&mut group, of, "paraflow", timed(|| read(text, &options())));
    fastest.bench(
        &mut group,
        of,
        "newlines alone",
        timed(|| memchr::memchr_iter(b'\n', text).count()),
    );
    fastest.bench(
        &mut group,
        of,
        "utf-8 alone",
        timed(|| simdutf8::basic::from_utf8(text).is_ok()),
    );
    let ignore = |text: &[u8]| {
        text.split(|byte| *byte == b'\n')
            .filter(|line| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok())
            .count()
    };
    fastest.bench(&mut group, of, "serde_json, values ignored", timed(|| ignore(text)));
    group.finish();
}

/// Records with a status of 500 or more, counted.
fn filtered(criterion: &mut Criterion, fastest: &Fastest, text: &[u8], path: &str, python: &RefCell<Python>) {
    let mut group = criterion.benchmark_group("count/steady");
    group.throughput(Throughput::Bytes(text.len() as u64));
    let of = ("count", text.len());
    let term = Term {
        path: FieldPath(vec!["status".to_owned()]),
        operator: Operator::GreaterOrEqual,
        literal: Literal::Number("500".to_owned()),
    };
    let options = Options {
        filter: Some(Predicate { terms: vec![term] }),
        ..options()
    };
    fastest.bench(&mut group, of, "paraflow", timed(|| read(text, &options)));
    let statement = peers::duckdb_count(path);
    fastest.bench(&mut group, of, "duckdb, schema given", || {
        python.borrow_mut().run(&statement)
    });
    group.finish();
}

fn options() -> Options {
    Options {
        columns: None,
        filter: None,
        record_bytes_max: 16 << 20,
        batch_records_max: 50_000,
        batch_bytes_max: 8 << 20,
    }
}

fn read(text: &[u8], options: &Options) -> usize {
    let mut reader = Reader::new(text, Span::WHOLE, options.clone());
    let mut rejects = Vec::new();
    let mut records = 0;
    while let Some(batch) = reader.next_batch(&mut rejects).unwrap() {
        records += match &batch {
            Batch::Lines(lines) => lines.lines.len(),
            Batch::Columns(columns) => columns.records.num_rows(),
        };
        reader.recycle(batch);
    }
    assert!(rejects.is_empty());
    records
}

/// Through its streaming reader, with a buffer as large as ours.
fn read_with_arrow_json(text: &[u8], schema: &SchemaRef) -> usize {
    let input = BufReader::with_capacity(256 << 10, text);
    let reader = ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(8192)
        .build(input)
        .unwrap();
    reader.map(|batch| batch.unwrap().num_rows()).sum()
}
