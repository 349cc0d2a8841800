//! The programs that benchmarks of the whole run, built as they ship, the data they run on, and what a run took.
//!
//! Time is taken of the worker alone and as CPU seconds too: on a machine that does other things beside, these are what
//! can be compared.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use pf_e2e::S3;
use serde_json::Value;

/// What Linux counts CPU time in, as programs see it (`USER_HZ`, time(7)).
const TICKS_PER_SECOND: f64 = 100.0;

/// About what a record of the generator has.
pub(crate) const RECORD_BYTES: u64 = 430;

/// The built programs.
pub(crate) struct Programs {
    worker: PathBuf,
    discoverer: PathBuf,
    generate: PathBuf,
}

/// A finished run of a program.
pub(crate) struct Run {
    /// The statistics that it told, if it was asked to.
    pub(crate) told: Value,
    /// CPU time of all its threads.
    pub(crate) cpu: Duration,
    /// From its start to its end.
    pub(crate) wall: Duration,
    /// The most that it had in memory, as far as it was looked at while it ran.
    pub(crate) peak_resident_bytes: u64,
}

impl Run {
    /// A number of the statistics.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.told[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name} in {}", self.told))
    }
}

impl Programs {
    /// Builds what `cargo bench` does not build with this benchmark.
    pub(crate) fn build() -> Self {
        // Of the workspace: with the features that `just bench` builds everything with, so that nothing is built twice.
        let built = pf_e2e::cargo()
            .args(["build", "--release", "--locked", "--workspace"])
            .args(["--bin", "pf-discoverer", "--example", "generate"])
            .status()
            .unwrap();
        assert!(built.success(), "the programs must build");
        let worker = PathBuf::from(env!("CARGO_BIN_EXE_pf-worker"));
        let folder = worker.parent().unwrap();
        Self {
            discoverer: folder.join("pf-discoverer"),
            generate: folder.join("examples/generate"),
            worker,
        }
    }

    /// Access logs below `folder`.
    pub(crate) fn generate(&self, folder: &Path, arguments: &[&str]) {
        let output = Command::new(&self.generate)
            .arg("--out")
            .arg(folder)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// `pf-discoverer | pf-worker --destination stats`.
    pub(crate) fn pipe(&self, uri: &str, arguments: &[&str]) -> Run {
        let mut discoverer = self.discoverer(uri, &[]).stdout(Stdio::piped()).spawn().unwrap();
        let mut worker = Command::new(&self.worker);
        worker.stdin(discoverer.stdout.take().unwrap());
        let run = measured(worker.args(arguments).args(STATS), |_| ());
        assert!(discoverer.wait().unwrap().success());
        run
    }

    /// The discoverer, with these arguments alone.
    pub(crate) fn discover(&self, arguments: &[&str], environment: &[(&str, String)]) -> Run {
        let mut discoverer = Command::new(&self.discoverer);
        measured(discoverer.args(arguments).envs(environment.iter().cloned()), |_| ())
    }

    /// The worker, with these arguments alone.
    pub(crate) fn deliver(&self, arguments: &[&str], environment: &[(&str, String)]) -> Run {
        let mut worker = Command::new(&self.worker);
        measured(worker.args(arguments).envs(environment.iter().cloned()), |_| ())
    }

    /// The work items of everything below `uri`, as lines.
    pub(crate) fn items(&self, uri: &str, environment: &[(&str, String)]) -> Vec<String> {
        let output = self.discoverer(uri, environment).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The worker on these items.
    pub(crate) fn work(&self, items: &[String], environment: &[(&str, String)], arguments: &[&str]) -> Run {
        let mut worker = Command::new(&self.worker);
        worker
            .stdin(Stdio::piped())
            .args(arguments)
            .args(STATS)
            .envs(environment.iter().map(|(name, value)| (name, value)));
        measured(&mut worker, |worker| {
            let mut stdin = worker.stdin.take().unwrap();
            for item in items {
                writeln!(stdin, "{item}").unwrap();
            }
        })
    }

    fn discoverer(&self, uri: &str, environment: &[(&str, String)]) -> Command {
        let mut command = Command::new(&self.discoverer);
        command
            .args(["--uri", uri])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::null());
        command
    }
}

const STATS: [&str; 2] = ["--destination", "stats"];
/// How often a running program's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs a program to its end. No other child may end meanwhile.
fn measured(program: &mut Command, feed: impl FnOnce(&mut Child)) -> Run {
    let cpu_before = cpu_of_ended_children();
    let start = Instant::now();
    let mut program = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    feed(&mut program);
    let id = program.id();
    let ended = AtomicBool::new(false);
    let (output, peak_resident_bytes) = thread::scope(|scope| {
        let peak = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Ordering::Relaxed) {
                peak = peak.max(peak_resident_bytes(id).unwrap_or(0));
                thread::sleep(LOOK_EVERY);
            }
            peak
        });
        let output = program.wait_with_output().unwrap();
        ended.store(true, Ordering::Relaxed);
        (output, peak.join().unwrap())
    });
    let wall = start.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Run {
        told: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        cpu: cpu_of_ended_children().saturating_sub(cpu_before),
        wall,
        peak_resident_bytes,
    }
}

/// The most that a running process had in memory so far (`VmHWM`, proc(5)).
fn peak_resident_bytes(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// User and system time of the children that were waited for.
fn cpu_of_ended_children() -> Duration {
    cpu("/proc/self/stat", 16)
}

/// User and system time of the calling thread.
pub(crate) fn cpu_of_this_thread() -> Duration {
    cpu("/proc/thread-self/stat", 14)
}

/// Field `first` of proc(5)'s `stat`, and the one behind it, as time.
fn cpu(path: &str, first: usize) -> Duration {
    let stat = fs::read_to_string(path).unwrap();
    // The second field may have anything in it, and ends with the last bracket.
    let from_third = &stat[stat.rfind(')').unwrap() + 2..];
    let ticks = from_third.split(' ').skip(first - 3).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND)
}

/// The address of a folder, for everything in it.
pub(crate) fn file_uri(folder: &Path) -> String {
    format!("file://{}/", folder.display())
}

/// What programs need in their environment to reach the S3 server.
pub(crate) fn s3_environment() -> Vec<(&'static str, String)> {
    let s3 = S3::shared();
    let keys = s3.environment().map(|(name, value)| (name, value.to_owned()));
    keys.into_iter().chain([("PF_S3_ENDPOINT", s3.endpoint())]).collect()
}

/// A number from the environment, for smaller or larger runs.
pub(crate) fn from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}
