//! A server on a free port, in a folder of its own, that ends with the test process that started it and leaves nothing
//! behind.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Runs a server (its folder, then its command line), and ends it and removes its folder when the test process is gone,
/// however that ended: the pipe on stdin closes with it. Signals that a terminal sends to everybody must not end this
/// guard before its work is done.
const GUARD: &str = r#"
trap '' INT TERM HUP
root=$1; shift
"$@" >"$root/log" 2>&1 &
server=$!
cat >/dev/null
kill -9 $server
wait $server 2>/dev/null
rm -rf "$root"
"#;

/// How often another port is tried: between choosing a free port and listening on it, somebody else may take it.
const STARTS_MAX: u32 = 3;

/// How long it is before a server that does not answer yet is asked again.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Who answers.
#[derive(Debug)]
pub(crate) enum Hello {
    /// The server that was started.
    Ours,
    /// Another process's server on the same port, which says this.
    Anothers(String),
}

/// A server under guard.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The folder that it may write to.
    pub(crate) root: PathBuf,
    /// Closed by the end of this process, which ends the server.
    _guard: ChildStdin,
}

impl Guarded {
    /// Starts a server and waits up to `answer_max` until it answers. `command` makes its command line for a folder and an
    /// address; `hello` asks who is there, and fails while nobody is.
    pub(crate) fn start(
        name: &str,
        answer_max: Duration,
        command: impl Fn(&Path, SocketAddr) -> Result<Command>,
        hello: impl Fn(SocketAddr) -> Result<Hello>,
    ) -> Result<Self> {
        let mut failure = String::new();
        for _ in 0..STARTS_MAX {
            let started = Self::run(name, &command).and_then(|server| {
                server.wait(name, answer_max, &hello)?;
                Ok(server)
            });
            match started {
                Ok(server) => return Ok(server),
                Err(error) => failure = format!("{error:#}"),
            }
        }
        bail!("no start in {STARTS_MAX}: {failure}")
    }

    fn run(name: &str, command: impl Fn(&Path, SocketAddr) -> Result<Command>) -> Result<Self> {
        let prefix = format!("paraflow-{name}-");
        let root = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let server = command(root.path(), address)?;
        let environment = server.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(root.path())
            .arg(server.get_program())
            .args(server.get_args())
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run sh")?;
        Ok(Self {
            address,
            // From here on the guard removes the folder.
            root: root.keep(),
            _guard: guard.stdin.take().context("stdin is a pipe")?,
        })
    }

    fn wait(&self, name: &str, answer_max: Duration, hello: impl Fn(SocketAddr) -> Result<Hello>) -> Result<()> {
        let address = self.address;
        let deadline = Instant::now() + answer_max;
        loop {
            match hello(address) {
                Ok(Hello::Ours) => return Ok(()),
                Ok(Hello::Anothers(said)) => bail!("another server answers at {address}: {said}"),
                Err(error) if Instant::now() > deadline => {
                    let log = std::fs::read_to_string(self.root.join("log")).unwrap_or_default();
                    return Err(error.context(format!("{name} does not answer at {address}; it says: {log}")));
                }
                Err(_) => std::thread::sleep(ASK_EVERY),
            }
        }
    }
}
