//! Peak resident memory of the worker on small and on large objects: the same, and below the budget of a lane.

use std::{fs, io::Write as _, path::Path};

use crate::programs::{Programs, RECORD_BYTES, file_uri, from_environment, s3_environment};
use pf_e2e::S3;

/// DESIGN: under 100 MB a thread.
const LANE_BYTES_MAX: u64 = 100_000_000;
/// How much more a large object may take than a small one: what differs from run to run.
const LARGE_MORE_THAN_SMALL_MAX: f64 = 1.25;
const THREADS: [usize; 2] = [1, 4];
/// Objects that wait while each lane reads one, as many as `--prefetch-count` opens.
const WAITING_PER_LANE: usize = 6;

/// What is read, and how.
struct Case {
    name: &'static str,
    format: &'static str,
    on_s3: bool,
    arguments: &'static [&'static str],
}

const COLUMNS: &[&str] = &["--columns", "timestamp,status,geo"];
const FILTER: &[&str] = &["--filter", "status >= 500"];

const CASES: [Case; 10] = [
    case("ndjson.zst", "ndjson.zst", &[]),
    case("ndjson.zst, columns", "ndjson.zst", COLUMNS),
    case("ndjson.zst, filter", "ndjson.zst", FILTER),
    on_s3("ndjson.zst on S3", "ndjson.zst"),
    case("ndjson.gz", "ndjson.gz", &[]),
    case("ndjson", "ndjson", &[]),
    on_s3("ndjson on S3", "ndjson"),
    case("parquet", "parquet", &[]),
    case("parquet, filter", "parquet", FILTER),
    on_s3("parquet on S3", "parquet"),
];

const fn case(name: &'static str, format: &'static str, arguments: &'static [&'static str]) -> Case {
    Case {
        name,
        format,
        on_s3: false,
        arguments,
    }
}

const fn on_s3(name: &'static str, format: &'static str) -> Case {
    Case {
        on_s3: true,
        ..case(name, format, &[])
    }
}

/// Measures these formats, all if none is named, prints a table, and says whether the budget holds.
pub(crate) fn run(programs: &Programs, formats: &[String]) -> bool {
    let large_mb = from_environment("PF_BENCH_LARGE_MB", 10_000);
    let small_mb = from_environment("PF_BENCH_SMALL_MB", 100);
    let s3 = S3::shared();
    // Files of the server's folder are its objects too: the same ones are read both ways.
    let bucket = s3.make_bucket("memory");
    let folder = s3.folder(&bucket);
    let environment = s3_environment();

    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:<22} {:>7} {:>10} {:>10} {:>6} {:>10} {:>10}",
        "what", "threads", "small MB", "large MB", "ratio", "peak small", "peak large"
    )
    .unwrap();
    let mut is_broken = false;
    let mut made = "";
    let is_wanted = |case: &&Case| formats.is_empty() || formats.iter().any(|format| format == case.format);
    for case in CASES.iter().filter(is_wanted) {
        let (small, large) = (format!("{}/small", case.format), format!("{}/large", case.format));
        if made != case.format {
            if !made.is_empty() {
                fs::remove_dir_all(folder.join(made)).unwrap();
            }
            let large_mb = if case.format == "ndjson.zst" {
                large_mb
            } else {
                large_mb / 5
            };
            generate(programs, &folder.join(&small), case.format, small_mb);
            generate(programs, &folder.join(&large), case.format, large_mb);
            made = case.format;
        }
        let items = |key: &str| {
            let uri = if case.on_s3 {
                format!("s3://{bucket}/{key}/")
            } else {
                file_uri(&folder.join(key))
            };
            programs.items(&uri, &environment)
        };
        for threads in THREADS {
            let peak = |object: &str| {
                let waiting = items(&small).into_iter().cycle().take(threads * WAITING_PER_LANE);
                // Every lane reads one, while as many small ones wait as are opened ahead.
                let items: Vec<String> = items(object).into_iter().cycle().take(threads).chain(waiting).collect();
                let threads = threads.to_string();
                let arguments = [&["--threads", &threads][..], case.arguments].concat();
                let run = programs.work(&items, &environment, &arguments);
                assert_eq!(run.count("objects"), items.len() as u64);
                (run.count("decompressed_bytes"), run.count("peak_resident_bytes"))
            };
            let (small_bytes, peak_small) = peak(&small);
            let (large_bytes, peak_large) = peak(&large);
            let ratio = peak_large as f64 / peak_small as f64;
            let is_over =
                peak_small.max(peak_large) > LANE_BYTES_MAX * threads as u64 || ratio > LARGE_MORE_THAN_SMALL_MAX;
            is_broken |= is_over;
            writeln!(
                out,
                "{:<22} {threads:>7} {:>10.0} {:>10.0} {ratio:>6.2} {:>7.1} MB {:>7.1} MB{}",
                case.name,
                small_bytes as f64 / 1e6,
                large_bytes as f64 / 1e6,
                peak_small as f64 / 1e6,
                peak_large as f64 / 1e6,
                if is_over { "  over budget" } else { "" }
            )
            .unwrap();
        }
    }
    !is_broken
}

/// One object of about so many megabytes; Parquet in one row group.
fn generate(programs: &Programs, folder: &Path, format: &str, megabytes: u64) {
    let records = (megabytes * 1_000_000 / RECORD_BYTES).to_string();
    let row_group_bytes = (megabytes * 2_000_000).to_string();
    programs.generate(
        folder,
        &[
            "--format",
            format,
            "--records",
            &records,
            "--objects",
            "1",
            "--row-group-bytes",
            &row_group_bytes,
        ],
    );
}
