//! How fast records go from S3 through SQS into `_bulk`, with everything that production has: leases, ledger, checkpoints.

use std::{fs, io::Write as _, path::PathBuf, time::Duration};

use pf_e2e::{Elasticsearch, S3, Sqs};

use crate::{
    discard::Discard,
    programs::{Programs, RECORD_BYTES, Run, from_environment, s3_environment},
    stages::Stages,
};

const FORMATS: [&str; 4] = ["ndjson.gz", "ndjson.zst", "ndjson", "parquet"];
const THREADS: [&str; 2] = ["1", "2"];
const OBJECTS: &str = "16";
/// How long a worker looks for more before it ends, which is taken off its wall clock.
const IDLE: Duration = Duration::from_secs(1);

/// Measures these formats, all and tiny objects if none is named, and prints tables.
pub(crate) fn run(programs: &Programs, formats: &[String]) {
    let bench = Bench {
        programs,
        environment: environment(),
        runs: from_environment("PF_BENCH_RUNS", 3).max(1),
    };
    let discard = Discard::start();
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:<12} {:<15} {:>7} {:>6} {:>7} {:>7} {:>7} {:>9} {:>9} {:>9} {:>8}",
        "format", "into", "threads", "MB", "body MB", "wall s", "CPU s", "MB/CPU s", "CPU s/GB", "x stages", "peak MB"
    )
    .unwrap();
    let records = from_environment("PF_BENCH_MB", 400) * 1_000_000 / RECORD_BYTES;
    let is_wanted = |format: &&str| formats.is_empty() || formats.iter().any(|wanted| wanted == format);
    for format in FORMATS.into_iter().filter(is_wanted) {
        bench.format(format, records, &discard, &mut out);
    }
    if formats.is_empty() {
        bench.tiny_objects(from_environment("PF_BENCH_ITEMS", 10_000), &discard, &mut out);
    }
}

struct Bench<'a> {
    programs: &'a Programs,
    environment: Vec<(&'static str, String)>,
    runs: u64,
}

impl Bench<'_> {
    fn format(&self, format: &str, records: u64, discard: &Discard, out: &mut impl std::io::Write) {
        let (bucket, folder) = bucket("delivery");
        let many = records.to_string();
        self.programs.generate(
            &folder.join("logs"),
            &["--format", format, "--records", &many, "--objects", OBJECTS],
        );
        let stages = (0..self.runs).map(|_| Stages::measure(&folder.join("logs")));
        let stages = stages.map(|stages| stages.sum_with_bodies(format)).min().unwrap();
        let uri = format!("s3://{bucket}/logs/");
        let items = self.programs.items(&uri, &self.environment);
        let statistics = self.programs.work(&items, &self.environment, &["--threads", "1"]);
        let megabytes = statistics.count("decompressed_bytes") as f64 / 1e6;

        let api = Elasticsearch::shared().api();
        for threads in THREADS {
            let runs: Vec<Run> = (0..self.runs)
                .map(|_| {
                    discard.take_counts();
                    self.deliver(&bucket, &discard.endpoint, "logs", threads)
                })
                .collect();
            let (documents, body_bytes) = discard.take_counts();
            assert_eq!(documents, records);
            row(out, [format, "nothing", threads], megabytes, body_bytes, &runs, stages);

            let runs: Vec<Run> = (0..self.runs)
                .map(|_| {
                    let index = api.new_name("bench");
                    api.create_index(&index, &definition());
                    let run = self.deliver(&bucket, &Elasticsearch::shared().endpoint(), &index, threads);
                    api.refresh(&index);
                    assert_eq!(api.count(&index), records);
                    api.delete_index(&index);
                    run
                })
                .collect();
            row(
                out,
                [format, "Elasticsearch", threads],
                megabytes,
                body_bytes,
                &runs,
                stages,
            );
        }
        fs::remove_dir_all(folder.join("logs")).unwrap();
    }

    /// Objects of one record each: how many messages a second go through.
    fn tiny_objects(&self, items: u64, discard: &Discard, out: &mut impl std::io::Write) {
        let (bucket, folder) = bucket("tiny");
        fs::create_dir(folder.join("logs")).unwrap();
        for item in 0..items {
            let record = format!("{{\"item\":{item}}}\n");
            fs::write(folder.join(format!("logs/{item:08}.ndjson")), record).unwrap();
        }
        let queue = Sqs::shared().make_queue("tiny", 60, 5).url;
        let discovered = self.discover(&bucket, &queue);
        discard.take_counts();
        let worked = self.work(&bucket, &queue, &discard.endpoint, "logs", "2");
        assert_eq!(discard.take_counts().0, items);
        for (what, run, idle) in [
            ("discoverer", discovered, Duration::ZERO),
            ("worker, 2 threads", worked, IDLE),
        ] {
            let wall = run.wall.saturating_sub(idle).as_secs_f64();
            writeln!(
                out,
                "{what}, {items} objects of one record: {wall:.2} s, {:.0} messages/s, {:.2} CPU s, peak {:.0} MB",
                items as f64 / wall,
                run.cpu.as_secs_f64(),
                run.peak_resident_bytes as f64 / 1e6
            )
            .unwrap();
        }
    }

    /// Fills a queue, and what the worker took to empty it.
    fn deliver(&self, bucket: &str, url: &str, index: &str, threads: &str) -> Run {
        let queue = Sqs::shared().make_queue("bench", 60, 5).url;
        self.discover(bucket, &queue);
        let run = self.work(bucket, &queue, url, index, threads);
        Sqs::shared().delete_queue(&queue);
        run
    }

    fn discover(&self, bucket: &str, queue: &str) -> Run {
        let state = format!("s3://{bucket}/state");
        // Each queue is another job's, with a state of its own.
        let job = queue.rsplit('/').next().unwrap();
        let arguments = ["--job", job, "--bucket", bucket, "--prefix", "logs/", "--state", &state];
        let to = ["--destination", "sqs", "--sqs-queue-url", queue];
        self.programs
            .discover(&[&arguments[..], &to].concat(), &self.environment)
    }

    fn work(&self, bucket: &str, queue: &str, url: &str, index: &str, threads: &str) -> Run {
        let state = format!("s3://{bucket}/state");
        let from = ["--input", "sqs", "--sqs-queue-url", queue, "--exit-when-idle", "1s"];
        let to = ["--destination", "elasticsearch", "--es-url", url, "--es-index", index];
        let how = ["--threads", threads, "--state", &state];
        self.programs
            .deliver(&[&from[..], &to, &how].concat(), &self.environment)
    }
}

fn row(
    out: &mut impl std::io::Write,
    [format, into, threads]: [&str; 3],
    megabytes: f64,
    body_bytes: u64,
    runs: &[Run],
    stages: Duration,
) {
    let wall = runs.iter().map(|run| run.wall).min().unwrap().saturating_sub(IDLE);
    let cpu = runs.iter().map(|run| run.cpu).min().unwrap().as_secs_f64();
    let peak = runs.iter().map(|run| run.peak_resident_bytes).max().unwrap();
    writeln!(
        out,
        "{format:<12} {into:<15} {threads:>7} {megabytes:>6.0} {:>7.0} {:>7.2} {cpu:>7.2} {:>9.0} {:>9.2} {:>9.2} {:>8.0}",
        body_bytes as f64 / 1e6,
        wall.as_secs_f64(),
        megabytes / cpu,
        cpu / (megabytes / 1e3),
        cpu / stages.as_secs_f64(),
        peak as f64 / 1e6
    )
    .unwrap();
}

fn environment() -> Vec<(&'static str, String)> {
    let mut environment = s3_environment();
    environment.push(("PF_SQS_ENDPOINT", Sqs::shared().endpoint()));
    environment
}

/// A new bucket and its folder, whose files are its objects.
fn bucket(name: &str) -> (String, PathBuf) {
    let bucket = S3::shared().make_bucket(name);
    let folder = S3::shared().folder(&bucket);
    (bucket, folder)
}

/// An index that takes documents as fast as one node can.
fn definition() -> serde_json::Value {
    serde_json::json!({
        "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"},
        "mappings": {"dynamic": false}
    })
}
