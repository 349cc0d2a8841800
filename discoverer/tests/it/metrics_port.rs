//! The metrics port of a discoverer that lists.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::Duration,
};

use super::program::command;

const PARTS: u64 = 20_000;
const PART: u64 = 64 * 1024;

#[test]
fn who_lists_tells_how_much_there_is_so_far() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.ndjson", "b.ndjson"] {
        // Sparse: nothing is stored.
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_len(PARTS * PART).unwrap();
    }
    let address = pf_e2e::free_address();
    let uri = format!("file://{}/", folder.path().display());
    let flags = ["--split-bytes", "64KiB", "--format", "ndjson", "--compression", "none"];
    let mut discoverer = command(&flags)
        .args(["--uri", &uri, "--metrics-addr", &address.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let gauge = |name: &str| -> Option<u64> {
        let answer = pf_e2e::ask(address, "/metrics")?;
        let line = answer
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse().ok()
    };
    // Nobody reads what it writes: with its pipe full, it waits in the middle.
    let items = pf_e2e::until("it has begun", Duration::from_mins(1), || {
        gauge("pf_discovered_items").filter(|items| *items > 0)
    });
    assert!(items < 2 * PARTS, "{items} items do not fit into a pipe");
    let bytes = gauge("pf_discovered_bytes").unwrap();
    assert!([1, 2].contains(&(bytes / (PARTS * PART))), "{bytes} bytes");
    assert!(pf_e2e::ask(address, "/readyz").unwrap().starts_with("HTTP/1.1 200"));

    let lines = BufReader::new(discoverer.stdout.take().unwrap()).lines();
    assert_eq!(lines.map(Result::unwrap).count() as u64, 2 * PARTS);
    assert!(discoverer.wait().unwrap().success());
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_is_listed() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(&["--uri", "file:///nowhere/", "--metrics-addr", &address])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("cannot listen on {address}")), "{stderr}");
}
