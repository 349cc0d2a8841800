//! The whole: `pf-discoverer | pf-worker --destination stats`, built as they ship, on generated access logs.
//!
//! - `cargo bench -p pf-worker --bench pipeline`: its speed. `PF_BENCH_MB`: how much of each format (400); `PF_BENCH_RUNS`:
//!   how often, of which the best counts (3).
//! - `cargo bench -p pf-worker --bench pipeline -- memory`: its peak memory; fails where a budget is broken.
//!   `PF_BENCH_LARGE_MB`: how much a large NDJSON.zst has, decompressed (10 000; other formats a fifth of it);
//!   `PF_BENCH_SMALL_MB`: how much a small object has (100).
#![allow(missing_docs, clippy::unwrap_used)] // a benchmark has no callers, and says what is wrong by stopping

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
    if !std::env::args().any(|argument| argument == "memory") {
        speed::run(&programs);
        return ExitCode::SUCCESS;
    }
    if memory::run(&programs) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
