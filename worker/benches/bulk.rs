//! Bulk bodies, one core: assembled from raw lines and from columns, next to a mere copy of the same bytes and to what must be
//! done to them in any case. `cargo bench --bench bulk`.
#![allow(missing_docs, clippy::unwrap_used)] // a benchmark has no callers, and says what is wrong by stopping

#[path = "bulk/assembly.rs"]
mod assembly;
#[allow(dead_code)] // its other shapes of records are for decoding
#[path = "decode/data.rs"]
mod data;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput};
use pf_worker::{
    batch::Batch,
    indexer::{bulk::IdMode, json::Encoder},
    reader::ndjson::{Options, Reader, Span},
};

use assembly::{Assembly, BATCH_BYTES_MAX, BULK_BYTES, addressing};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: usize = 100_000;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let text = data::steady(RECORDS);
    lines(&mut criterion, &text);
    columns(&mut criterion, &text);
    criterion.final_summary();
}

/// From lines that stay lines.
fn lines(criterion: &mut Criterion, text: &[u8]) {
    let mut group = criterion.benchmark_group("bulk/lines");
    group.throughput(Throughput::Bytes(text.len() as u64));
    let batches = batches(text, false);
    group.bench_function("a copy of the text alone", |bencher| {
        let mut body = Vec::with_capacity(BULK_BYTES + BATCH_BYTES_MAX);
        bencher.iter(|| {
            for piece in text.chunks(BULK_BYTES) {
                body.clear();
                body.extend_from_slice(black_box(piece));
                black_box(&body);
            }
        });
    });
    group.bench_function("validation alone", |bencher| bencher.iter(|| black_box(read(text))));
    for (name, addressing) in [
        ("bodies, ids by place", addressing("logs", IdMode::Deterministic)),
        (
            "bodies, ids by a field",
            addressing("logs", IdMode::Field("user_id".parse().unwrap())),
        ),
        (
            "bodies, an index for each day",
            addressing("logs-{+yyyy.MM.dd}", IdMode::Deterministic),
        ),
    ] {
        let mut assembly = Assembly::new(addressing);
        group.bench_function(name, |bencher| bencher.iter(|| assembly.all(&batches)));
    }
    let mut assembly = Assembly::new(addressing("logs", IdMode::Deterministic));
    group.bench_function("validation and bodies", |bencher| {
        bencher.iter(|| {
            let mut reader = Reader::new(text, Span::WHOLE, options(false));
            while let Some(batch) = reader.next_batch(&mut Vec::new()).unwrap() {
                assembly.add(&batch);
                reader.recycle(batch);
            }
            assembly.bulk.clear();
        });
    });
    group.finish();
}

/// From columns.
fn columns(criterion: &mut Criterion, text: &[u8]) {
    let mut group = criterion.benchmark_group("bulk/columns");
    group.throughput(Throughput::Bytes(text.len() as u64));
    let batches = batches(text, true);
    let (mut encoder, mut out, mut rows) = (Encoder::default(), Vec::new(), Vec::new());
    group.bench_function("rows as JSON alone", |bencher| {
        bencher.iter(|| {
            for batch in &batches {
                let Batch::Columns(batch) = batch else {
                    unreachable!("columns were asked for")
                };
                out.clear();
                rows.clear();
                encoder.write(&batch.records, &mut out, &mut rows).unwrap();
                black_box(&out);
            }
        });
    });
    let mut assembly = Assembly::new(addressing("logs", IdMode::Deterministic));
    group.bench_function("bodies, ids by place", |bencher| {
        bencher.iter(|| assembly.all(&batches));
    });
    group.finish();
}

fn options(as_columns: bool) -> Options {
    Options {
        columns: as_columns.then(Vec::new),
        filter: None,
        record_bytes_max: 16 << 20,
        batch_records_max: 50_000,
        batch_bytes_max: BATCH_BYTES_MAX,
    }
}

fn batches(text: &[u8], as_columns: bool) -> Vec<Batch> {
    let mut reader = Reader::new(text, Span::WHOLE, options(as_columns));
    std::iter::from_fn(|| reader.next_batch(&mut Vec::new()).unwrap()).collect()
}

fn read(text: &[u8]) -> usize {
    let mut reader = Reader::new(text, Span::WHOLE, options(false));
    let mut records = 0;
    while let Some(batch) = reader.next_batch(&mut Vec::new()).unwrap() {
        if let Batch::Lines(lines) = &batch {
            records += lines.lines.len();
        }
        reader.recycle(batch);
    }
    records
}
