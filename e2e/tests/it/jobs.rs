//! IngestJob files, run here by `pf-operator local`.

use std::{fs, path::Path};

use super::programs::{Outcome, generate, run};

fn local(folder: &Path, spec: &str) -> Outcome {
    let job = folder.join("job.yaml");
    let head = "apiVersion: paraflow.dev/v1alpha1\nkind: IngestJob\nmetadata:\n  name: test\n";
    fs::write(&job, format!("{head}{spec}")).unwrap();
    run("pf-operator", &["local", "-f", job.to_str().unwrap()])
}

#[test]
fn a_job_over_every_format_ends_with_the_statistics_of_what_was_made() {
    let folder = tempfile::tempdir().unwrap();
    generate(
        &folder.path().join("logs"),
        &["--records", "8000", "--objects", "8", "--format", "all"],
    );
    let spec = "spec:\n  source:\n    files:\n      path: logs\n  sink:\n    stats: {}\n";
    let stats = local(folder.path(), spec).success().stats();
    assert_eq!((stats.count("objects"), stats.count("records_out")), (8, 8000));
}

#[test]
fn a_job_with_partitions_a_filter_and_columns_writes_those_documents() {
    let folder = tempfile::tempdir().unwrap();
    generate(
        &folder.path().join("logs"),
        &["--records", "8000", "--objects", "8", "--format", "all"],
    );
    let spec = "spec:
  source:
    files:
      path: logs
    partitioning: year=${_time:%Y}/month=${_time:%m}/day=${_time:%d}/hour=${_time:%H}/
    filters:
    - _time=2024-01-01T01..2024-01-01T02
  columns: [status, geo.country]
  where: status = 500
  sink:
    stdout: {}
";
    let records = local(folder.path(), spec).success().records();
    assert!(records.len() > 100 && records.len() < 1000);
    for record in records {
        let keys: Vec<_> = record.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["geo", "status"]);
        assert_eq!(record["status"], 500);
        assert_eq!(record["geo"].as_object().unwrap().len(), 1);
    }
}

#[test]
fn a_job_with_records_that_are_none_ends_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    fs::write(folder.path().join("logs/a.ndjson"), "{\"v\":1}\nnot json\n").unwrap();
    let spec = "spec:\n  source:\n    files:\n      path: logs\n  sink:\n    stdout: {}\n";
    let outcome = local(folder.path(), spec);
    assert_eq!((outcome.code, outcome.text()), (Some(2), "{\"v\":1}\n"));
    assert!(outcome.stderr.contains("expected '{' at byte 0"), "{}", outcome.stderr);
}
