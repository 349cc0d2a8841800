//! A server on a free port, in a folder of its own, that ends with the test process that started it and leaves nothing
//! behind.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

/// Runs a server (its folder, then its command line), ends and starts it as it is told on stdin, and ends it for good and
/// removes its folder when the test process is gone, however that ended: the pipe on stdin closes with it.
///
/// The server leads a process group (`set -m` gives each job one), because some are programs that start the real server:
/// the whole group is ended. Only the leader is a child of this shell, so that the others are asked for until they are gone.
/// A test process that is gone does not read what it is answered: that must not end the guard (`PIPE`).
const GUARD: &str = r#"
trap '' INT TERM HUP PIPE
root=$1; shift
start() {
    rm -f "$root/ended"
    set -m
    { trap - INT TERM HUP PIPE; "$@"; echo "$?" >"$root/ended"; } >>"$root/log" 2>&1 </dev/null &
    server=$!
    set +m
}
stop() {
    [[ -n "$server" ]] || return
    kill -KILL -- "-$server"
    wait "$server"
    for ((asked = 0; asked < 100; asked++)); do
        kill -0 -- "-$server" || break
        sleep 0.05
    done
    server=
}
start "$@"
while read -r wish; do
    case $wish in
        stop) stop ;;
        start) stop; start "$@" ;;
    esac
    echo done
done
stop
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

/// Where servers listen that only this machine is to reach.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A name that tells our server at an address from another process's.
pub(crate) fn ourselves(address: SocketAddr) -> String {
    format!("test-{}-{}", std::process::id(), address.port())
}

/// A server under guard.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The folder that it may write to.
    pub(crate) root: PathBuf,
    name: &'static str,
    guard: Child,
    pipes: Mutex<Option<Pipes>>,
}

/// To and from the guard; their end, which comes with this process's, is the server's.
#[derive(Debug)]
struct Pipes {
    wishes: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Guarded {
    /// Starts a server and waits up to `answer_max` until it answers. `command` makes its command line for a folder and an
    /// address; `hello` asks who is there, and fails while nobody is.
    pub(crate) fn start(
        name: &'static str,
        answer_max: Duration,
        command: impl Fn(&Path, SocketAddr) -> Result<Command>,
        hello: impl Fn(SocketAddr) -> Result<Hello>,
    ) -> Result<Self> {
        Self::start_at(HERE, name, answer_max, command, hello)
    }

    /// The same at an address of this machine's, on a free port of it.
    pub(crate) fn start_at(
        ip: IpAddr,
        name: &'static str,
        answer_max: Duration,
        command: impl Fn(&Path, SocketAddr) -> Result<Command>,
        hello: impl Fn(SocketAddr) -> Result<Hello>,
    ) -> Result<Self> {
        let mut failure = String::new();
        for _ in 0..STARTS_MAX {
            let started = Self::run(ip, name, &command).and_then(|server| {
                server.wait(answer_max, &hello)?;
                Ok(server)
            });
            match started {
                Ok(server) => return Ok(server),
                Err(error) => failure = format!("{error:#}"),
            }
        }
        bail!("no start in {STARTS_MAX}: {failure}")
    }

    /// Ends the server at once, as a crash does; its folder stays.
    pub(crate) fn stop(&self) -> Result<()> {
        self.wish("stop")
    }

    /// Starts the server that was stopped, at the same address in the same folder, and waits until it answers.
    pub(crate) fn start_again(&self, answer_max: Duration, hello: impl Fn(SocketAddr) -> Result<Hello>) -> Result<()> {
        self.wish("start")?;
        self.wait(answer_max, hello)
    }

    fn wish(&self, wish: &str) -> Result<()> {
        let mut pipes = self.pipes.lock().expect("no holder of this lock panics");
        let pipes = pipes.as_mut().context("the guard has ended")?;
        writeln!(pipes.wishes, "{wish}")?;
        let mut answer = String::new();
        pipes.answers.read_line(&mut answer)?;
        ensure!(answer == "done\n", "the guard of {} ended early", self.name);
        Ok(())
    }

    fn run(ip: IpAddr, name: &'static str, command: impl Fn(&Path, SocketAddr) -> Result<Command>) -> Result<Self> {
        let prefix = format!("paraflow-{name}-");
        let root = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        let address = TcpListener::bind((ip, 0))?.local_addr()?;
        let server = command(root.path(), address)?;
        let environment = server.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut guard = Command::new("bash")
            .args(["-c", GUARD, "guard"])
            .arg(root.path())
            .arg(server.get_program())
            .args(server.get_args())
            .envs(environment)
            // What ends this process by its group must not end the guard before its work is done.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run bash")?;
        let pipes = Pipes {
            wishes: guard.stdin.take().context("stdin is a pipe")?,
            answers: BufReader::new(guard.stdout.take().context("stdout is a pipe")?),
        };
        Ok(Self {
            address,
            // From here on the guard removes the folder.
            root: root.keep(),
            name,
            guard,
            pipes: Mutex::new(Some(pipes)),
        })
    }

    fn wait(&self, answer_max: Duration, hello: impl Fn(SocketAddr) -> Result<Hello>) -> Result<()> {
        let (name, address) = (self.name, self.address);
        let deadline = Instant::now() + answer_max;
        loop {
            let ended = self.root.join("ended").exists();
            match hello(address) {
                Ok(Hello::Ours) => return Ok(()),
                Ok(Hello::Anothers(said)) => bail!("another server answers at {address}: {said}"),
                Err(error) if ended => {
                    return Err(error.context(format!("{name} has ended; it said: {}", self.log())));
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("{name} does not answer at {address}; it says: {}", self.log())));
                }
                Err(_) => std::thread::sleep(ASK_EVERY),
            }
        }
    }

    /// What the server has written so far.
    fn log(&self) -> String {
        std::fs::read(self.root.join("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The guard hears that its stdin is closed. Its end is waited for, so that the next server finds the memory free.
        self.pipes = Mutex::new(None);
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that starts another one, both of which write their ids into `pids` and never answer.
    fn family(root: &Path) -> Command {
        let mut command = Command::new("sh");
        let script = r#"echo $$ >>"$0/pids"; sleep 1000 & echo $! >>"$0/pids"; wait"#;
        command.args(["-c", script]).arg(root);
        command
    }

    /// Those of the programs that were started in this folder so far.
    fn pids(root: &Path) -> Vec<String> {
        let pids = std::fs::read_to_string(root.join("pids")).unwrap_or_default();
        pids.lines().map(str::to_owned).collect()
    }

    fn runs(pid: &str) -> bool {
        // A process that ended and that nobody has waited for has a line of its state, but runs no more.
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
        let state = String::from_utf8(state.stdout).unwrap();
        !state.is_empty() && !state.starts_with('Z')
    }

    fn start(root_of: &Mutex<PathBuf>) -> Guarded {
        let command = |root: &Path, _| {
            *root_of.lock().unwrap() = root.to_path_buf();
            Ok(family(root))
        };
        let hello = |_| {
            ensure!(pids(&root_of.lock().unwrap()).len() == 2, "not yet");
            Ok(Hello::Ours)
        };
        Guarded::start("family", Duration::from_mins(1), command, hello).unwrap()
    }

    #[test]
    fn a_server_that_is_dropped_ends_with_all_that_it_started_and_its_folder_goes() {
        let root = Mutex::default();
        let server = start(&root);
        let root = server.root.clone();
        let pids = pids(&root);
        assert!(pids.iter().all(|pid| runs(pid)));
        drop(server);
        assert!(!pids.iter().any(|pid| runs(pid)));
        assert!(!root.exists());
    }

    #[test]
    fn a_server_that_was_stopped_starts_again_in_the_same_folder() {
        let root = Mutex::default();
        let server = start(&root);
        let before = pids(&server.root);
        server.stop().unwrap();
        assert!(!before.iter().any(|pid| runs(pid)));
        let hello = |_| {
            ensure!(pids(&server.root).len() == 4, "not yet");
            Ok(Hello::Ours)
        };
        server.start_again(Duration::from_mins(1), hello).unwrap();
        assert!(pids(&server.root)[2..].iter().all(|pid| runs(pid)));
    }

    #[test]
    fn a_server_that_ends_by_itself_is_not_waited_for_and_what_it_said_is_told() {
        let command = |_: &Path, _| {
            let mut command = Command::new("sh");
            command.args(["-c", "echo the disk is full; exit 3"]);
            Ok(command)
        };
        let hello = |_| bail!("connection refused");
        let failed = Guarded::start("unlucky", Duration::from_mins(10), command, hello).unwrap_err();
        assert!(
            failed
                .to_string()
                .contains("unlucky has ended; it said: the disk is full"),
            "{failed}"
        );
    }
}
