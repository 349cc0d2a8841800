//! A worker that is asked to stop while nobody takes what it writes.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

#[test]
fn a_reader_that_takes_nothing_does_not_keep_a_worker_that_was_asked_to_stop() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let object = folder.path().join("a.ndjson");
    // More than a pipe holds.
    let text = "{\"v\":1}\n".repeat(1 << 17);
    std::fs::write(&object, &text).expect("the folder is ours");
    let mut worker = Command::new(env!("CARGO_BIN_EXE_pf-worker"))
        .args(["--drain-timeout", "100ms"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built for this test");
    let item = format!(
        r#"{{"v":1,"job":"t","seq":0,"uri":"file://{}","size_bytes":{},"enqueued_at":"2024-01-01T00:00:00Z"}}"#,
        object.display(),
        text.len()
    );
    let mut stdin = worker.stdin.take().expect("it is piped");
    writeln!(stdin, "{item}").expect("the worker reads");
    let mut stdout = worker.stdout.take().expect("it is piped");
    let mut first = [0];
    stdout.read_exact(&mut first).expect("a document comes");

    let told = Command::new("kill")
        .arg(worker.id().to_string())
        .status()
        .expect("kill is there");
    assert!(told.success());
    let output = worker.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("--drain-timeout"), "{stderr}");
    drop((stdin, stdout));
}
