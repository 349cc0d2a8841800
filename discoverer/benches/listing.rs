//! Listing many keys, on files and on a real S3 server: how long, how many a second, how soon the first item comes, and
//! how much memory it takes next to a tenth of the keys. `cargo bench --bench listing`;
//! `PF_BENCH_KEYS` says how many (200 000).
#![allow(missing_docs, clippy::unwrap_used)] // a benchmark has no callers, and says what is wrong by stopping

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use pf_e2e::S3;

/// Keys in one folder, as many as one page of S3 holds.
const FOLDER_KEYS: u64 = 1000;
/// How often the memory is looked at, in items: what is still in the pipe is more, so the program still runs then.
const LOOK_EVERY: u64 = 100;

/// What listing everything took.
struct Run {
    keys: u64,
    first: Duration,
    all: Duration,
    peak_bytes: u64,
}

fn main() {
    let keys = match std::env::var("PF_BENCH_KEYS") {
        Ok(text) => text.parse().expect("PF_BENCH_KEYS is a number"),
        Err(_) => 200_000,
    };
    let s3 = S3::shared();
    let bucket = s3.make_bucket("listing");
    // Files of the server's folder are its objects too: the same ones are listed both ways.
    let folder = s3.folder(&bucket);
    for (name, keys) in [("tenth", keys / 10), ("all", keys)] {
        make(&folder.join(name), keys);
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:<26} {:>8} {:>8} {:>9} {:>9} {:>8}",
        "what", "keys", "s", "keys/s", "first ms", "peak MB"
    )
    .unwrap();
    for (what, partitioning) in [("one prefix", None), ("16 partitions at a time", Some("day=${day}/"))] {
        for scheme in ["file", "s3"] {
            for name in ["tenth", "all"] {
                let uri = match scheme {
                    "file" => format!("file://{}/{name}/", folder.display()),
                    _ => format!("s3://{bucket}/{name}/"),
                };
                let run = list(s3, &uri, partitioning);
                assert_eq!(run.keys, if name == "all" { keys } else { keys / 10 });
                writeln!(
                    out,
                    "{:<26} {:>8} {:>8.2} {:>9.0} {:>9.0} {:>8.1}",
                    format!("{scheme}, {what}"),
                    run.keys,
                    run.all.as_secs_f64(),
                    run.keys as f64 / run.all.as_secs_f64(),
                    run.first.as_secs_f64() * 1e3,
                    run.peak_bytes as f64 / 1e6
                )
                .unwrap();
            }
        }
    }
}

/// Empty files, in folders that a partitioning expression can name.
fn make(root: &Path, keys: u64) {
    for first in (0..keys).step_by(FOLDER_KEYS as usize) {
        let folder = root.join(format!("day={:05}", first / FOLDER_KEYS));
        fs::create_dir_all(&folder).unwrap();
        for key in first..keys.min(first + FOLDER_KEYS) {
            File::create(folder.join(format!("part-{key:09}.ndjson.gz"))).unwrap();
        }
    }
}

fn list(s3: &S3, uri: &str, partitioning: Option<&str>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pf-discoverer"));
    command
        .args(["--uri", uri, "--s3-endpoint", &s3.endpoint()])
        .envs(s3.environment())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(expression) = partitioning {
        command.args(["--partitioning", expression]);
    }
    let start = Instant::now();
    let mut discoverer = command.spawn().unwrap();
    let status = format!("/proc/{}/status", discoverer.id());
    let mut lines = BufReader::new(discoverer.stdout.take().unwrap());
    let mut run = Run {
        keys: 0,
        first: Duration::ZERO,
        all: Duration::ZERO,
        peak_bytes: 0,
    };
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        if run.keys == 0 {
            run.first = start.elapsed();
        }
        run.keys += 1;
        line.clear();
        if run.keys.is_multiple_of(LOOK_EVERY) {
            run.peak_bytes = run.peak_bytes.max(peak_bytes(&status));
        }
    }
    assert!(discoverer.wait().unwrap().success());
    run.all = start.elapsed();
    run
}

/// `VmHWM` of proc(5)'s `status`; none of a program that has ended.
fn peak_bytes(status: &str) -> u64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or(0, |kib| kib * 1024)
}
