//! The commands of the project's first description, letter for letter, against LocalStack: what people paste must work.
//!
//! Only the port differs, which is a free one here.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use pf_e2e::{
    LocalStack, S3, Sqs,
    oracle::{counted, walk},
    until,
};
use serde_json::{Value, json};

use super::programs::{Outcome, generate, program};

/// As the description has it.
const ENDPOINT: &str = "http://localhost:4566";
const REGION: &str = "us-east-1";
const BUCKET: &str = "test-bucket";

/// Records of the sample, and those below `data/YEAR=…/`, of which each year has one object.
const RECORDS: u64 = 400;
const YEARS: [u16; 3] = [2023, 2024, 2025];

/// How long a worker may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// What lies in the bucket.
struct Bucket {
    sqs: Sqs,
    objects: u64,
    parquet_objects: u64,
    records: u64,
}

/// The bucket of the description, made once: all tests only read it.
fn bucket() -> &'static Bucket {
    static BUCKET_MADE: OnceLock<Bucket> = OnceLock::new();
    BUCKET_MADE.get_or_init(|| {
        let (s3, sqs) = LocalStack::shared().in_region(REGION);
        let folder = tempfile::tempdir().unwrap();
        let records = RECORDS.to_string();
        generate(
            folder.path(),
            &["--records", &records, "--objects", "8", "--format", "all"],
        );
        let mut files = Vec::new();
        walk(folder.path(), &mut files);
        let is_parquet = |file: &&std::path::PathBuf| file.extension().is_some_and(|ending| ending == "parquet");
        let (count, _) = counted(folder.path());
        assert_eq!(count, RECORDS);
        fill(&s3, folder.path());
        Bucket {
            sqs,
            objects: (files.len() + YEARS.len()) as u64,
            parquet_objects: files.iter().filter(is_parquet).count() as u64,
            records: RECORDS + YEARS.len() as u64,
        }
    })
}

fn fill(s3: &S3, folder: &Path) {
    s3.make_bucket_called(BUCKET);
    s3.put_folder(BUCKET, folder, "data/");
    for year in YEARS {
        let key = format!("data/YEAR={year}/a.ndjson");
        s3.put(BUCKET, &key, format!("{{\"year\":{year}}}\n").as_bytes());
    }
}

/// A shell that runs a line of the description, with the programs where it finds them, and with nothing else that the
/// person who runs the tests may have in the environment.
fn shell(line: &str) -> Command {
    let programs = ["pf-discoverer", "pf-worker"].map(|name| program(name).parent().unwrap().to_owned());
    let path = env::join_paths(
        programs
            .into_iter()
            .chain(env::split_paths(&env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let mut shell = Command::new("bash");
    for (key, _) in env::vars_os() {
        let key = key.to_string_lossy();
        if key.starts_with("PF_") || key.starts_with("AWS_") || key.starts_with("RUST_") {
            shell.env_remove(&*key);
        }
    }
    shell
        .args(["-o", "pipefail", "-c", &here(line)])
        .env("PATH", path)
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    shell
}

/// The text with the server's address in place of the description's.
fn here(text: &str) -> String {
    let address = LocalStack::shared().endpoint().replace("127.0.0.1", "localhost");
    text.replace(ENDPOINT, &address)
}

#[track_caller]
fn run(line: &str) -> Outcome {
    let output = shell(line).output().unwrap();
    let outcome = Outcome {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    outcome.success()
}

/// The keys of work items, sorted: partitions are listed at the same time.
fn keys(items: &[Value]) -> Vec<&str> {
    let uris = items.iter().map(|item| item["uri"].as_str().unwrap());
    let mut keys: Vec<&str> = uris.map(|uri| uri.strip_prefix("s3://test-bucket/").unwrap()).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_bucket_goes_through_a_pipe_into_statistics() {
    let bucket = bucket();
    let stats = run(
        "pf-discoverer --bucket test-bucket --prefix data/ --s3-endpoint http://localhost:4566 \
         --region us-east-1 | pf-worker --input stdin --destination stats --s3-endpoint http://localhost:4566 \
         --region us-east-1 --threads 4",
    )
    .stats();
    assert_eq!(stats.count("records_in"), bucket.records);
}

#[test]
fn a_pattern_without_a_slash_finds_names_at_any_depth() {
    let bucket = bucket();
    let found =
        run("pf-discoverer --bucket test-bucket --s3-endpoint http://localhost:4566 --pattern \"*.parquet\"").records();
    assert_eq!(found.len() as u64, bucket.parquet_objects);
    assert!(keys(&found).iter().all(|key| key.ends_with(".parquet")));
}

#[test]
fn a_partitioning_expression_and_a_range_of_times_choose_what_is_listed() {
    bucket();
    let all = "pf-discoverer --bucket test-bucket --s3-endpoint http://localhost:4566 \
               --partitioning 'data/YEAR=${_time:%Y}/'";
    let found = run(all).records();
    let years: Vec<String> = YEARS.iter().map(|year| format!("data/YEAR={year}/a.ndjson")).collect();
    assert_eq!(keys(&found), years);
    let found = run(&format!("{all} --filter \"_time=2024-01-01..2024-01-31\"")).records();
    assert_eq!(keys(&found), ["data/YEAR=2024/a.ndjson"]);
    assert_eq!(found[0]["partition"]["_time"], "2024-01-01T00:00:00Z");
}

/// Lets a worker work until the queue is empty, asks it to stop, and says what it has read.
fn work(worker: &mut Command, queue: &str) -> u64 {
    let mut worker = worker.spawn().unwrap();
    let sqs = &bucket().sqs;
    until("the queue is empty", PATIENCE, || {
        // Its standard error says why; nobody reads it before its end.
        if worker.try_wait().unwrap().is_some() {
            return Some(());
        }
        let depth = sqs.depth(queue);
        (depth.visible + depth.in_flight + depth.delayed == 0).then_some(())
    });
    // One that has ended already is seen by its exit code.
    let _ = Command::new("kill").arg(worker.id().to_string()).status();
    let output = worker.wait_with_output().unwrap();
    let outcome = Outcome {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    outcome.success().stats().count("records_in")
}

#[test]
fn a_queue_that_was_made_with_no_attributes_is_filled_and_worked_off() {
    let bucket = bucket();
    let queue = bucket.sqs.make_plain_queue("work-queue", &json!({}));
    run(
        "pf-discoverer --bucket test-bucket --s3-endpoint http://localhost:4566 --destination sqs \
         --sqs-queue-url http://localhost:4566/000000000000/work-queue --sqs-endpoint http://localhost:4566",
    );
    assert_eq!(bucket.sqs.depth(&queue).visible, bucket.objects);
    // `exec`, so that it is the worker that is asked to stop.
    let line = "exec pf-worker --input sqs --sqs-queue-url http://localhost:4566/000000000000/work-queue \
                --sqs-endpoint http://localhost:4566 --destination stats --threads 4";
    // Where the objects are the line leaves to the environment, as the description does.
    let mut worker = shell(line);
    worker.env("PF_S3_ENDPOINT", here(ENDPOINT));
    assert_eq!(work(&mut worker, &queue), bucket.records);

    // The same with the environment in place of flags.
    let in_environment = |line: &str| {
        let mut command = shell(line);
        command.env(
            "PF_SQS_QUEUE_URL",
            here("http://localhost:4566/000000000000/work-queue"),
        );
        command.env("PF_S3_ENDPOINT", here(ENDPOINT));
        command
    };
    let output = in_environment("pf-discoverer --bucket test-bucket --destination sqs")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bucket.sqs.depth(&queue).visible, bucket.objects);
    let mut worker = in_environment("exec pf-worker --input sqs --destination stats --threads 4");
    assert_eq!(work(&mut worker, &queue), bucket.records);
}
