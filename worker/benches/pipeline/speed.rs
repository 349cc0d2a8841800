//! How fast the whole is on files, next to the sum of its stages in the same run.

use std::{io::Write as _, time::Duration};

use crate::programs::{Programs, RECORD_BYTES, Run, file_uri, from_environment};
use crate::stages::Stages;

const FORMATS: [&str; 4] = ["ndjson", "ndjson.gz", "ndjson.zst", "parquet"];
const THREADS: [&str; 3] = ["1", "2", "4"];
/// Enough for four lanes to end at about the same time.
const OBJECTS: &str = "16";

/// Measures, and prints a table.
pub(crate) fn run(programs: &Programs) {
    let records = from_environment("PF_BENCH_MB", 400) * 1_000_000 / RECORD_BYTES;
    let runs = from_environment("PF_BENCH_RUNS", 3).max(1);
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:<12} {:>7} {:>9} {:>8} {:>8} {:>8} {:>10} {:>8}",
        "format", "threads", "MB", "wall s", "MB/s", "CPU s", "MB/CPU s", "x stages"
    )
    .unwrap();
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let records = records.to_string();
        programs.generate(
            folder.path(),
            &["--format", format, "--records", &records, "--objects", OBJECTS],
        );
        let stages: Vec<Stages> = (0..runs).map(|_| Stages::measure(folder.path())).collect();
        let sum = stages.iter().map(Stages::sum).min().unwrap();
        for threads in THREADS {
            let uri = file_uri(folder.path());
            let runs: Vec<Run> = (0..runs)
                .map(|_| programs.pipe(&uri, &["--threads", threads]))
                .collect();
            for run in &runs {
                assert_eq!(run.count("records_out").to_string(), records);
            }
            let megabytes = runs[0].count("decompressed_bytes") as f64 / 1e6;
            let wall = runs.iter().map(|run| run.wall).min().unwrap().as_secs_f64();
            let cpu = runs.iter().map(|run| run.cpu).min().unwrap().as_secs_f64();
            writeln!(
                out,
                "{format:<12} {threads:>7} {megabytes:>9.0} {wall:>8.2} {:>8.0} {cpu:>8.2} {:>10.0} {:>8.2}",
                megabytes / wall,
                megabytes / cpu,
                cpu / sum.as_secs_f64()
            )
            .unwrap();
        }
        let fastest = |of: fn(&Stages) -> Duration| stages.iter().map(of).min().unwrap().as_secs_f64();
        let (decode, streamed, rest) = (fastest(|s| s.decode), fastest(|s| s.streamed), fastest(|s| s.rest));
        writeln!(
            out,
            "{format:<12}  stages: decoding {decode:.2} CPU s (as our stream {streamed:.2}), checking or writing {rest:.2} CPU s"
        )
        .unwrap();
    }
}
