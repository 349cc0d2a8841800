//! The whole, built as it ships, on generated access logs.
//!
//! - `cargo bench --bench pipeline`: the speed of `pf-discoverer | pf-worker --destination stats`. `PF_BENCH_MB`:
//!   how much of each format (400); `PF_BENCH_RUNS`: how often, of which the best counts (3).
//! - `cargo bench --bench pipeline -- delivery`: the speed of S3 → SQS → `_bulk`, into a server that takes
//!   everything and keeps nothing, and into Elasticsearch; and with many tiny objects; `-- delivery parquet` for one format
//!   alone. `PF_BENCH_MB` and `PF_BENCH_RUNS` as above; `PF_BENCH_ITEMS`: how many tiny objects (10 000).
//! - `cargo bench --bench pipeline -- memory`: its peak memory; fails where a budget is broken; `-- memory parquet`
//!   for one format alone. `PF_BENCH_LARGE_MB`: how much a large NDJSON.zst has, decompressed (10 000; other formats a fifth
//!   of it); `PF_BENCH_SMALL_MB`: how much a small object has (100).
#![allow(missing_docs, clippy::unwrap_used)] // a benchmark has no callers, and says what is wrong by stopping

#[path = "bulk/assembly.rs"]
mod assembly;
#[path = "pipeline/delivery.rs"]
mod delivery;
#[path = "pipeline/discard.rs"]
mod discard;
#[path = "pipeline/memory.rs"]
mod memory;
#[path = "pipeline/programs.rs"]
mod programs;
#[path = "pipeline/speed.rs"]
mod speed;
#[path = "pipeline/stages.rs"]
mod stages;

use std::process::ExitCode;

use programs::Programs;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let programs = Programs::build();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    match words.split_first() {
        Some((what, formats)) if what == "memory" => {
            if !memory::run(&programs, formats) {
                return ExitCode::FAILURE;
            }
        }
        Some((what, formats)) if what == "delivery" => delivery::run(&programs, formats),
        _ => speed::run(&programs),
    }
    ExitCode::SUCCESS
}
