//! The same over a real S3 server.

use std::{fs, path::Path, process::Command};

use pf_e2e::S3;

use super::{
    datasets::{BIRDSTRIKES, Dataset, FLIGHTS_JSON, MOVIES, assert_same},
    programs::{command, file_uri, generate, pipe, pipe_of},
};

/// The program with what it needs to sign its requests.
fn signing(name: &str, arguments: &[&str]) -> Command {
    let mut command = command(name, arguments);
    command.envs(S3::shared().environment());
    command
}

fn check(dataset: &Dataset) {
    let server = S3::shared();
    let endpoint = server.endpoint();
    let folder = tempfile::tempdir().unwrap();
    let name = dataset.put_into(folder.path());
    let file = folder.path().join(&name);
    let bucket = server.make_bucket("published");
    server.put(&bucket, &format!("data sets/{name}"), &fs::read(&file).unwrap());

    let at = ["--s3-endpoint", &endpoint, "--region", S3::REGION];
    let from = ["--bucket", &bucket, "--prefix", "data sets/", "--split-bytes", "300KB"];
    let outcome = pipe_of(
        signing("pf-discoverer", &[&from[..], &at].concat()),
        signing("pf-worker", &[&["--destination", "stdout"], &at[..]].concat()),
    )
    .success();
    assert_same(&dataset.ours(&outcome), &dataset.theirs(&file));
}

#[test]
fn published_ndjson_on_s3_is_what_duckdb_says() {
    check(&FLIGHTS_JSON);
    check(&MOVIES);
}

#[test]
fn published_parquet_on_s3_is_what_duckdb_says() {
    check(&BIRDSTRIKES);
}

#[test]
fn generated_objects_come_out_of_s3_as_they_come_out_of_files() {
    let folder = tempfile::tempdir().unwrap();
    generate(
        folder.path(),
        &["--records", "8000", "--objects", "8", "--format", "all"],
    );
    let server = S3::shared();
    let bucket = server.make_bucket("generated");
    let mut objects = Vec::new();
    collect(folder.path(), "", &mut objects);
    assert_eq!(objects.len(), 8);
    server.put_all(&bucket, &objects);

    let endpoint = server.endpoint();
    let at = ["--s3-endpoint", &endpoint, "--region", S3::REGION];
    let in_order = ["--destination", "stdout", "--threads", "1"];
    let over_s3 = pipe_of(
        signing("pf-discoverer", &[&["--bucket", &bucket][..], &at].concat()),
        signing("pf-worker", &[&in_order[..], &at].concat()),
    )
    .success();
    let over_files = pipe(&["--uri", &file_uri(folder.path())], &in_order).success();
    assert_eq!(over_s3.records().len(), 8000);
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert!(sorted(over_s3.text()) == sorted(over_files.text()));
}

/// Every file below the folder as key and bytes.
fn collect(folder: &Path, prefix: &str, objects: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let key = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{key}/"), objects);
        } else {
            objects.push((key, fs::read(entry.path()).unwrap()));
        }
    }
}

#[test]
fn an_object_that_changed_after_it_was_found_is_a_failed_object() {
    let server = S3::shared();
    let bucket = server.make_bucket("changed");
    server.put(&bucket, "a.ndjson", b"{\"v\":1}\n");
    let endpoint = server.endpoint();
    let at = ["--s3-endpoint", &endpoint, "--region", S3::REGION];
    let found = signing("pf-discoverer", &[&["--bucket", &bucket][..], &at].concat())
        .output()
        .unwrap();
    server.put(&bucket, "a.ndjson", b"{\"v\":2}\n");

    let items = tempfile::NamedTempFile::new().unwrap();
    fs::write(items.path(), &found.stdout).unwrap();
    let output = signing("pf-worker", &[&["--destination", "stdout"][..], &at].concat())
        .stdin(fs::File::open(items.path()).unwrap())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()), "{stderr}");
    assert!(stderr.contains("changed"), "{stderr}");
}
