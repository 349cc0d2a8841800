//! What tests of the whole stand on: real servers, and a proxy that breaks connections on purpose.
//!
//! A server that is not installed fails its tests with the advice to run `./test`, it never skips them. This crate
//! must not know our rooms or the S3 SDK, so that it can't share their mistakes.

mod certificates;
pub mod cluster;
pub mod collector;
pub mod elasticsearch;
pub mod fault_proxy;
mod guarded;
mod http;
pub mod installation;
pub mod kubernetes;
pub mod localstack;
pub mod opensearch;
pub mod oracle;
pub mod prometheus;
pub mod s3;
pub mod search;
pub mod sqs;

pub use cluster::Cluster;
pub use collector::Collector;
pub use elasticsearch::Elasticsearch;
pub use fault_proxy::{FailedEntries, Fault, FaultProxy};
pub use installation::Installation;
pub use kubernetes::Kubernetes;
pub use localstack::LocalStack;
pub use opensearch::OpenSearch;
pub use prometheus::Prometheus;
pub use s3::S3;
pub use search::SearchApi;
pub use sqs::Sqs;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

/// How often it is looked whether something is so that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The path of an installed tool, or folder of them: in `PF_TOOLS_DIR`, the workspace's `.tools/bin`, or `~/.cache/paraflow/bin`.
///
/// # Panics
/// When it is nowhere, with the advice how to install it.
pub fn tool(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin");
    let home = std::env::home_dir().map(|home| home.join(".cache/paraflow/bin"));
    let chosen = std::env::var_os("PF_TOOLS_DIR").map(PathBuf::from);
    let folders: Vec<PathBuf> = [chosen, Some(workspace), home].into_iter().flatten().collect();
    match folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
    {
        Some(path) => path,
        None => panic!("{name} is not installed in any of {folders:?}: run `./test`, or `e2e/servers/install` alone"),
    }
}

/// Waits until something is so, and returns what was found.
///
/// # Panics
/// When it is not so within `patience`; `what` says what was waited for.
#[track_caller]
pub fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(LOOK_EVERY);
    }
}

/// cargo, from within a test or benchmark, in the workspace's root.
///
/// What cargo tells a test of its own package is taken away: build scripts that look at it (ring's does) would run again, and a
/// third of all crates be built again after them, here and at the next `cargo test`.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// An address of loopback that nobody has, or had a moment ago: for a program that is told where to listen.
///
/// # Panics
/// When there is none.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound")
}

/// What a program answers to GET, head and all; nothing where nobody answers.
pub fn ask(address: SocketAddr, path: &str) -> Option<String> {
    let mut connection = TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A secret that is another one each time.
fn random_secret() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
