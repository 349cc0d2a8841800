//! Runs a job on this machine: `pf-discoverer | pf-worker`, joined by a pipe of the operating system, or one after the other
//! where the job has a queue between them. Where it has a state directory, `pf-discoverer verify` proves the end.
//!
//! The work is theirs; here they are found, started, told to stop and waited for. The two get their own process groups, so
//! that each signal reaches each of them exactly once, whoever sent it and to whom.

mod check;

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use anyhow::{Context as _, bail};
use pf_telemetry::Shutdown;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use crate::{
    crd::IngestJob,
    plan::{Plan, origin::Program, shell_quoted},
};

pub use self::check::{Refusal, check};

/// All settled well.
pub const EXIT_OK: u8 = 0;
/// Something failed.
pub const EXIT_FAILED: u8 = 1;
/// Finished, with dead letters.
pub const EXIT_DEAD_LETTERS: u8 = 2;
/// Bad usage, or a bad job file.
pub const EXIT_USAGE: u8 = 64;

/// The variables of ours that children see. All others of this prefix set flags, and the plan alone decides on flags.
const VARIABLE_PREFIX: &str = "PF_";
const VARIABLES_KEPT: [&str; 2] = [pf_telemetry::logs::FILTER_VARIABLE, pf_telemetry::logs::FORMAT_VARIABLE];

/// Where the two programs are.
#[derive(Debug)]
pub struct Programs {
    discoverer: PathBuf,
    worker: PathBuf,
}

impl Programs {
    /// Looks beside the running program, then on the PATH.
    pub fn find() -> anyhow::Result<Self> {
        let own = env::current_exe().context("cannot tell where pf-operator itself is")?;
        let beside = own.parent().map(Path::to_path_buf);
        let path = env::var_os("PATH").unwrap_or_default();
        let find = |name: &str| {
            let folders = beside.iter().cloned().chain(env::split_paths(&path));
            match folders.map(|folder| folder.join(name)).find(|file| file.is_file()) {
                Some(file) => Ok(file),
                None => bail!(
                    "{name} is neither beside pf-operator ({}) nor on the PATH",
                    own.display()
                ),
            }
        };
        Ok(Self {
            discoverer: find("pf-discoverer")?,
            worker: find("pf-worker")?,
        })
    }

    fn path(&self, program: Program) -> &Path {
        match program {
            Program::Discoverer => &self.discoverer,
            Program::Worker => &self.worker,
        }
    }
}

/// The address of a folder or file that a job names, as the programs want it. The error says what is wrong with the path.
pub fn files_uri(folder: &Path, path: &str) -> Result<String, String> {
    let joined = folder.join(path);
    let found = fs::canonicalize(&joined).map_err(|error| format!("cannot open {}: {error}", joined.display()))?;
    let text = found
        .to_str()
        .ok_or_else(|| format!("{} is not valid UTF-8", found.display()))?;
    // A prefix without its slash would take in the folder's namesakes.
    let slash = if found.is_dir() && !text.ends_with('/') {
        "/"
    } else {
        ""
    };
    Ok(format!("file://{text}{slash}"))
}

/// The name that is in the Secret of `auth.basic`, if the job has one, as a file below `folder`.
pub fn username(job: &IngestJob, folder: &Path) -> Result<Option<String>, String> {
    let auth = job.spec.sink.elasticsearch.as_ref().and_then(|sink| sink.auth.as_ref());
    let Some(secret) = auth.and_then(|auth| auth.basic.as_ref()) else {
        return Ok(None);
    };
    let path = folder.join(&secret.name).join("username");
    match fs::read_to_string(&path) {
        Ok(name) => Ok(Some(name.trim_end().to_owned())),
        Err(error) => Err(format!("cannot read the name from {}: {error}", path.display())),
    }
}

/// Writes both command lines and lets the discoverer say what it would do. The result is the exit code.
pub async fn dry_run(programs: &Programs, plan: &Plan) -> anyhow::Result<u8> {
    let line =
        |name, arguments: &[String]| shell_quoted([name].into_iter().chain(arguments.iter().map(String::as_str)));
    let lines = format!(
        "{} {}\n  {}\n",
        line("pf-discoverer", &plan.discoverer),
        if plan.has_queue { "&&" } else { "|" },
        line("pf-worker", &plan.worker)
    );
    io::stdout()
        .write_all(lines.as_bytes())
        .context("cannot write to standard output")?;
    let mut discoverer = command(&programs.discoverer, &plan.discoverer);
    discoverer.arg("--dry-run").stdin(Stdio::null());
    let shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let mut discoverer = start("pf-discoverer", discoverer)?;
    let ended = wait(&mut discoverer, &shutdown).await?;
    Ok(verdict(ended, Ended::Code(EXIT_OK.into())))
}

/// Runs the plan to its end, and has it verified where there is a state directory. The result is the exit code.
pub async fn run(programs: &Programs, plan: &Plan, has_state: bool) -> anyhow::Result<u8> {
    let shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let ran = if plan.has_queue {
        in_turn(programs, plan, &shutdown).await?
    } else {
        joined(programs, plan, &shutdown).await?
    };
    if !has_state || ![EXIT_OK, EXIT_DEAD_LETTERS].contains(&ran) {
        return Ok(ran);
    }
    let mut verify = Command::new(&programs.discoverer);
    without_our_settings(verify.arg("verify").args(plan.verify_arguments()).process_group(0));
    verify.stdin(Stdio::null()).stdout(Stdio::null());
    let mut verify = start("pf-discoverer verify", verify)?;
    let proven = wait(&mut verify, &shutdown).await?.exit_code();
    Ok(if proven == EXIT_OK { ran } else { proven })
}

/// First everything is offered to the queue, and then worked on.
async fn in_turn(programs: &Programs, plan: &Plan, shutdown: &Shutdown) -> anyhow::Result<u8> {
    let mut discoverer = command(&programs.discoverer, &plan.discoverer);
    discoverer.stdin(Stdio::null());
    let mut discoverer = start("pf-discoverer", discoverer)?;
    let discovered = wait(&mut discoverer, shutdown).await?;
    if discovered.exit_code() != EXIT_OK {
        return Ok(discovered.exit_code());
    }
    if shutdown.is_draining() {
        return Ok(EXIT_FAILED);
    }
    let mut worker = command(&programs.worker, &plan.worker);
    worker.stdin(Stdio::null());
    let mut worker = start("pf-worker", worker)?;
    Ok(verdict(discovered, wait(&mut worker, shutdown).await?))
}

/// Both at the same time, joined by a pipe.
async fn joined(programs: &Programs, plan: &Plan, shutdown: &Shutdown) -> anyhow::Result<u8> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen to signals")?;
    let (items, items_in) = io::pipe().context("cannot make a pipe")?;
    let mut worker = command(&programs.worker, &plan.worker);
    worker.stdin(items);
    let mut discoverer = command(&programs.discoverer, &plan.discoverer);
    discoverer.stdin(Stdio::null()).stdout(items_in);
    // `start` drops our own ends of the pipe, else neither program would ever see the other one go.
    let mut worker = start("pf-worker", worker)?;
    // Should this fail, the worker finds its input closed and ends.
    let mut discoverer = start("pf-discoverer", discoverer)?;
    let discoverer_id = id(&discoverer);

    let both = async {
        tokio::join!(wait(&mut discoverer, shutdown), async {
            let ended = wait(&mut worker, shutdown).await;
            if let Ok(ended) = ended
                && ![EXIT_OK, EXIT_DEAD_LETTERS].contains(&ended.exit_code())
            {
                // Nobody is left to work on what it finds.
                tell(discoverer_id);
            }
            ended
        })
    };
    tokio::pin!(both);
    let (discoverer, worker) = loop {
        tokio::select! {
            ended = &mut both => break ended,
            // The terminal went away. The children are not in its foreground group and would not hear of it.
            _ = hangup.recv() => shutdown.drain(),
        }
    };
    Ok(verdict(discoverer?, worker?))
}

fn command(program: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    without_our_settings(&mut command);
    command
}

/// Takes out of a child's environment what would set its flags.
fn without_our_settings(command: &mut Command) {
    let ours = |name: &OsString| name.to_str().is_some_and(|name| name.starts_with(VARIABLE_PREFIX));
    let kept = |name: &OsString| VARIABLES_KEPT.iter().any(|kept| name.as_os_str() == *kept);
    for (name, _) in env::vars_os().filter(|(name, _)| ours(name) && !kept(name)) {
        command.env_remove(name);
    }
}

fn start(name: &str, mut command: Command) -> anyhow::Result<Child> {
    command.spawn().with_context(|| format!("cannot start {name}"))
}

/// Waits for a child, and passes on each wish to stop.
async fn wait(child: &mut Child, shutdown: &Shutdown) -> anyhow::Result<Ended> {
    let id = id(child);
    let forward = async {
        shutdown.draining().await;
        tell(id);
        shutdown.aborted().await;
        tell(id);
        std::future::pending::<()>().await;
    };
    let status = tokio::select! {
        status = child.wait() => status,
        () = forward => unreachable!("forwarding never ends by itself"),
    };
    status
        .map(Ended::from)
        .context("cannot wait for a program that was started")
}

fn id(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
}

/// Asks a child to stop. One that ended in the meantime needs no telling.
fn tell(id: Option<Pid>) {
    if let Some(id) = id
        && let Err(error) = kill_process(id, Signal::TERM)
    {
        tracing::debug!(%error, "cannot pass on the wish to stop");
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Ended {
    fn exit_code(self) -> u8 {
        match self {
            Self::Code(0) => EXIT_OK,
            Self::Code(2) => EXIT_DEAD_LETTERS,
            Self::Code(64) => EXIT_USAGE,
            Self::Code(_) | Self::Signal(_) => EXIT_FAILED,
        }
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

/// The exit code of both together: the worse one, where bad usage (64) is worse than a failure (1), and that is worse than
/// dead letters (2). Where the worker failed, how the discoverer ended is only a consequence: its reader was gone.
pub fn verdict(discoverer: Ended, worker: Ended) -> u8 {
    let (discoverer, worker) = (discoverer.exit_code(), worker.exit_code());
    if worker == EXIT_FAILED && discoverer != EXIT_USAGE {
        return worker;
    }
    [EXIT_USAGE, EXIT_FAILED, EXIT_DEAD_LETTERS]
        .into_iter()
        .find(|code| [discoverer, worker].contains(code))
        .unwrap_or(EXIT_OK)
}
