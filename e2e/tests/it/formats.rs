//! Generated data: the same records come out of every format, and stdout is clean JSON.

use std::{collections::BTreeMap, path::Path};

use serde_json::value::RawValue;

use super::{
    oracle::query,
    programs::{file_uri, generate, pipe},
};

const FORMATS: [&str; 4] = ["ndjson", "ndjson.gz", "ndjson.zst", "parquet"];

/// Generates the kind of data in the format and reads it, with one thread so that the order is kept.
fn read(kind: &str, format: &str, worker: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let sizes = [
        "--records",
        "5000",
        "--objects",
        "3",
        "--frame-bytes",
        "50000",
        "--row-group-bytes",
        "200000",
    ];
    generate(
        folder.path(),
        &[&["--kind", kind, "--format", format], &sizes[..]].concat(),
    );
    let arguments = [&["--destination", "stdout", "--threads", "1"], worker].concat();
    let outcome = pipe(&["--uri", &file_uri(folder.path())], &arguments).success();
    outcome.text().to_owned()
}

/// A record as its parsed fields, without those that are null: a column can't tell null from absent.
fn record(line: &str) -> BTreeMap<String, String> {
    /// The value's text with escapes undone and nothing else changed, so that `1.0`, 2^64 and 1e400 stay what they are.
    fn plain(value: &RawValue) -> String {
        let text = value.get();
        match text.as_bytes().first() {
            Some(b'"') => format!("{:?}", serde_json::from_str::<String>(text).unwrap()),
            Some(b'{') => format!("{:?}", record(text)),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).unwrap();
                format!("{:?}", items.into_iter().map(plain).collect::<Vec<_>>())
            }
            _ => text.to_owned(),
        }
    }
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    fields
        .into_iter()
        .filter(|(_, value)| value.get() != "null")
        .map(|(key, value)| (key, plain(value)))
        .collect()
}

fn check_kind(kind: &str, worker: &[&str]) {
    let expected: Vec<_> = read(kind, "ndjson", &[]).lines().map(record).collect();
    assert_eq!(expected.len(), 5000);
    for format in FORMATS {
        let text = read(kind, format, worker);
        let mut found = 0;
        for (line, expected) in text.lines().zip(&expected) {
            assert_eq!(record(line), *expected, "{kind} as {format}, record {found}");
            found += 1;
        }
        assert_eq!((found, text.lines().count()), (5000, 5000), "{kind} as {format}");
    }
}

#[test]
fn access_logs_are_the_same_in_every_format() {
    check_kind("access-logs", &[]);
}

#[test]
fn records_whose_types_drift_are_the_same_in_every_format() {
    check_kind("drift", &[]);
}

#[test]
fn records_of_random_shape_are_the_same_in_every_format() {
    check_kind("wide", &[]);
}

#[test]
fn columns_of_access_logs_are_the_same_in_every_format() {
    // All of them, so that every value goes through Arrow and back.
    let columns = "timestamp,client_ip,user_id,method,path,status,bytes,request_id,latency_ms,user_agent,host,tls,geo,tags,\
                   trace,experiment";
    check_kind("access-logs", &["--columns", columns]);
}

#[test]
fn columns_whose_types_drift_are_the_same_in_every_format() {
    check_kind("drift", &["--columns", "timestamp,id,value,mixed,nested"]);
}

#[test]
fn untouched_text_is_the_same_byte_for_byte_however_it_was_compressed() {
    for kind in ["access-logs", "drift", "wide"] {
        let plain = read(kind, "ndjson", &[]);
        assert_eq!(plain, read(kind, "ndjson.gz", &[]));
        assert_eq!(plain, read(kind, "ndjson.zst", &[]));
    }
}

#[test]
fn duckdb_reads_the_same_access_logs_from_every_generated_format() {
    let hashed = "timestamp::TIMESTAMPTZ, client_ip, user_id, method, path, status, bytes, request_id, latency_ms, \
                  user_agent, host, tls, geo.country, geo.lat, geo.lon, tags, trace.id, trace.sampled";
    let sql =
        format!("SELECT count(*) AS records, count(trace) AS traced, sum(hash({hashed}))::TEXT AS hash FROM records");
    let answers = FORMATS.map(|format| {
        let folder = tempfile::tempdir().unwrap();
        let sizes = [
            "--records",
            "5000",
            "--objects",
            "1",
            "--frame-bytes",
            "50000",
            "--row-group-bytes",
            "200000",
        ];
        generate(folder.path(), &[&["--format", format], &sizes[..]].concat());
        let hour = folder.path().join("year=2024/month=01/day=01/hour=00");
        query(&sql, &[hour.join(format!("part-00000.{format}"))]).remove(0)
    });
    assert_eq!(answers[0]["records"], 5000);
    assert!(
        answers[0]["traced"].as_u64().unwrap() > 500,
        "late keys must be among them"
    );
    for (answer, format) in answers.iter().zip(FORMATS) {
        assert_eq!(*answer, answers[0], "{format}");
    }
}

#[test]
fn the_generator_is_deterministic_and_its_seed_matters() {
    let made = |folder: &Path, seed: &str| {
        generate(folder, &["--records", "1000", "--objects", "1", "--seed", seed]);
        std::fs::read(folder.join("year=2024/month=01/day=01/hour=00/part-00000.ndjson")).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let (first, again, other) = (
        made(folder.path(), "7"),
        made(folder.path(), "7"),
        made(folder.path(), "8"),
    );
    assert!(first == again && first != other);
}

#[test]
fn partitions_are_found_by_expression_and_filtered_by_time() {
    let folder = tempfile::tempdir().unwrap();
    generate(
        folder.path(),
        &["--records", "6000", "--objects", "6", "--format", "all"],
    );
    let uri = file_uri(folder.path());
    let expression = "year=${_time:%Y}/month=${_time:%m}/day=${_time:%d}/hour=${_time:%H}/";
    let hours = "_time=2024-01-01T02..2024-01-01T04";
    let stats = pipe(
        &["--uri", &uri, "--partitioning", expression, "--filter", hours],
        &["--destination", "stats"],
    )
    .success()
    .stats();
    assert_eq!((stats.count("objects"), stats.count("records_in")), (3, 3000));
}
