//! The metrics port of a worker that runs.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

#[test]
fn a_worker_that_waits_for_items_tells_what_it_did_so_far() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let object = folder.path().join("a.ndjson");
    std::fs::write(&object, "{\"v\":1}\n{\"v\":2}\nno\n").expect("the folder is ours");
    let address = pf_e2e::free_address();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_pf-worker"))
        .args(["--metrics-addr", &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program was built for this test");
    let item = format!(
        r#"{{"v":1,"job":"t","seq":0,"uri":"file://{}","size_bytes":19,"enqueued_at":"2024-01-01T00:00:00Z"}}"#,
        object.display()
    );
    let mut stdin = worker.stdin.take().expect("it is piped");
    writeln!(stdin, "{item}").expect("the worker reads");
    let mut documents = BufReader::new(worker.stdout.take().expect("it is piped"));
    let mut line = String::new();
    documents.read_line(&mut line).expect("a document comes");

    let ask = |path| pf_e2e::ask(address, path).expect("the port is open");
    assert!(ask("/healthz").starts_with("HTTP/1.1 200"));
    assert!(ask("/readyz").starts_with("HTTP/1.1 200"));
    // Written before counted, so the first answers may be too early.
    let told = std::iter::repeat_with(|| ask("/metrics")).take(1000);
    let metrics = told
        .into_iter()
        .find(|metrics| metrics.contains("pf_items_completed_total 1"));
    let metrics = metrics.expect("the item completes");
    for told in [
        "pf_records_in_total 3",
        "pf_records_out_total 2",
        r#"pf_records_rejected_total{stage="decode"} 1"#,
    ] {
        assert!(metrics.contains(told), "{metrics} lacks {told}");
    }

    drop(stdin);
    assert_eq!(worker.wait().expect("it ends").code(), Some(2));
}
