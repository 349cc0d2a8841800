//! Prefixes by a partitioning expression and filters, on a folder and on a real S3 server.

use std::fs;

use pf_e2e::S3;

use super::program::{Run, command, run, run_on_s3};

const KEYS: [&str; 8] = [
    "data/region=eu/date=2024-01-30/hour=23/a.json",
    "data/region=eu/date=2024-01-31/hour=00/a b.json",
    "data/region=us/date=2024-01-31/hour=05/a.json",
    "data/region=us/date=2024-02-01/hour=00/a.json",
    "data/region=a%20+b/date=2024-01-31/hour=07/a.json",
    "data/region=us/date=soon/hour=00/a.json",
    "data/region=us/date=readme",
    "other/region=us/date=2024-01-31/hour=00/a.json",
];

const EXPRESSION: &str = "region=${region}/date=${_time:%Y-%m-%d}/hour=${_time:%H}/";

/// Runs on a folder and on a bucket with the same keys, which must give the same, in any order.
fn sorted_keys(flags: &[&str]) -> (Vec<String>, Run) {
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3::shared();
    let bucket = s3.make_bucket("partitions");
    for key in KEYS {
        let path = folder.path().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}\n").unwrap();
        s3.put(&bucket, key, b"{}\n");
    }
    let sorted = |run: &Run, root: &str| {
        assert_eq!(run.code, 0, "{}", run.stderr);
        let mut keys = run.keys_below(root);
        keys.sort();
        keys
    };
    let root = format!("file://{}/data/", folder.path().display());
    let on_files = run(&[&["--uri", &root], flags].concat());
    let files = sorted(&on_files, &root);
    let root = format!("s3://{bucket}/data/");
    let on_s3 = run_on_s3(&[&["--uri", &root], flags].concat());
    assert_eq!(sorted(&on_s3, &root), files);
    (files, on_s3)
}

#[test]
fn filters_choose_partitions_and_the_values_travel_with_the_item() {
    let flags = [
        "--partitioning",
        EXPRESSION,
        "--filter",
        "region=eu,us",
        "--filter",
        "_time=2024-01-31",
    ];
    let (keys, run) = sorted_keys(&flags);
    assert_eq!(
        keys,
        [
            "region=eu/date=2024-01-31/hour=00/a b.json",
            "region=us/date=2024-01-31/hour=05/a.json"
        ]
    );
    let us = run
        .items
        .iter()
        .find(|item| item["partition"]["region"] == "us")
        .unwrap();
    assert_eq!(us["partition"]["_time"], "2024-01-31T05:00:00Z");
    assert!(run.stderr.contains("prefixes=48"), "{}", run.stderr);
}

#[test]
fn what_no_filter_names_is_discovered_and_odd_folders_are_told() {
    let flags = [
        "--partitioning",
        EXPRESSION,
        "--filter",
        "_time=2024-01-31..",
        "--timezone",
        "UTC",
    ];
    let (keys, run) = sorted_keys(&flags);
    assert_eq!(
        keys,
        [
            "region=a%20+b/date=2024-01-31/hour=07/a.json",
            "region=eu/date=2024-01-31/hour=00/a b.json",
            "region=us/date=2024-01-31/hour=05/a.json",
            "region=us/date=2024-02-01/hour=00/a.json",
        ]
    );
    assert!(
        run.stderr.contains("1 folders don't fit --partitioning"),
        "{}",
        run.stderr
    );
}

#[test]
fn partitions_that_are_not_there_are_told_and_may_be_allowed() {
    let flags = [
        "--partitioning",
        EXPRESSION,
        "--filter",
        "region=mars",
        "--filter",
        "_time=2024-01-31T00..2024-01-31T01",
        "--allow-empty",
    ];
    let (keys, run) = sorted_keys(&flags);
    assert!(keys.is_empty());
    assert!(run.stderr.contains("in any of the 2 partitions"), "{}", run.stderr);
}

#[test]
fn a_dry_run_tells_prefixes_cost_and_a_sample_and_offers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d=2024-02-29")).unwrap();
    fs::write(folder.path().join("d=2024-02-29/x.json"), "{}\n").unwrap();
    let root = format!("file://{}/", folder.path().display());
    let flags = [
        "--dry-run",
        "--uri",
        &root,
        "--partitioning",
        "d=${_time:%Y-%m-%d}/",
        "--filter",
        "_time=2024-02",
    ];
    let output = command(&flags).output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(
        report.contains("prefixes to list: 29\n") && report.contains("at least 29 (0 to discover"),
        "{report}"
    );
    assert!(report.contains("at least $0.000145 at S3's"), "{report}");
    assert!(report.contains(&format!("  {root}d=2024-02-01/\n")), "{report}");
    let discovering = ["--dry-run", "--uri", &root, "--partitioning", "d=${_time:%Y-%m-%d}/"];
    let report = String::from_utf8(command(&discovering).output().unwrap().stdout).unwrap();
    assert!(report.contains("at least 2 (1 to discover"), "{report}");
    assert!(
        report.contains(&format!("  {root}d=2024-02-29/x.json (3 bytes)\n")),
        "{report}"
    );
}
