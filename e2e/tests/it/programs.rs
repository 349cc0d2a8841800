//! The built programs, and how tests run them: alone, or joined by a pipe as a person would.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
};

use serde_json::Value;

/// The workspace's root.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("e2e/ lies in the workspace")
        .to_path_buf()
}

/// Where a program of the workspace is, built in this test's own profile.
///
/// All programs are built at the first call, with the same choice of features as `cargo test --workspace` makes, so that
/// after it there is nothing left to do.
pub(crate) fn program(name: &str) -> &'static Path {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(build);
    built
        .get(name)
        .unwrap_or_else(|| panic!("cargo built no program {name}, only {:?}", built.keys()))
}

fn build() -> BTreeMap<String, PathBuf> {
    let mut cargo = pf_e2e::cargo();
    cargo
        .args(["build", "--workspace", "--bins", "--examples", "--locked", "--quiet"])
        .arg("--message-format=json")
        .stderr(Stdio::inherit());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "the programs do not build");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| {
            let message: Value = serde_json::from_str(line).unwrap();
            let executable = message["executable"].as_str()?;
            Some((message["target"]["name"].as_str()?.to_owned(), executable.into()))
        })
        .collect()
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` if it was killed by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same, after making sure that all went well.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "stderr: {}", self.stderr);
        self
    }

    /// What was written to standard output, which must be text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Standard output as one JSON value a line.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// Standard output as the one JSON object that `--destination stats` writes into a pipe.
    pub(crate) fn stats(&self) -> Stats {
        Stats(serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stderr)))
    }
}

/// What `--destination stats` says.
#[derive(Debug)]
pub(crate) struct Stats(Value);

impl Stats {
    /// One of its numbers.
    #[track_caller]
    pub(crate) fn count(&self, key: &str) -> u64 {
        self.0[key]
            .as_u64()
            .unwrap_or_else(|| panic!("no whole number {key} in {}", self.0))
    }
}

/// A program that is about to run: without any of the settings that the person who runs the tests may have in the
/// environment.
pub(crate) fn command(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(name));
    for (key, _) in std::env::vars_os() {
        let key = key.to_string_lossy();
        if key.starts_with("PF_") || key.starts_with("AWS_") || key.starts_with("RUST_") {
            command.env_remove(&*key);
        }
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a program to its end.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Outcome {
    run_of(command(name, arguments))
}

/// Runs a program to its end, with what the test has added to its command.
pub(crate) fn run_of(mut command: Command) -> Outcome {
    Outcome::of(command.spawn().unwrap())
}

/// Runs a program to its end, with this on its standard input.
pub(crate) fn run_with_input(name: &str, arguments: &[&str], input: &str) -> Outcome {
    let mut child = command(name, arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that refuses its arguments does not read: a broken pipe is fine.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let outcome = Outcome::of(child);
    writer.join().unwrap();
    outcome
}

/// Runs `pf-discoverer … | pf-worker …` and gives what the worker said; the discoverer must have ended well.
#[track_caller]
pub(crate) fn pipe(discoverer: &[&str], worker: &[&str]) -> Outcome {
    pipe_of(command("pf-discoverer", discoverer), command("pf-worker", worker))
}

/// The same with commands that the test has added something to.
#[track_caller]
pub(crate) fn pipe_of(mut discoverer: Command, mut worker: Command) -> Outcome {
    let mut discoverer = discoverer.spawn().unwrap();
    let items = discoverer.stdout.take().unwrap();
    let worker = worker.stdin(items).spawn().unwrap();
    let discovered = thread::spawn(move || Outcome::of(discoverer));
    let outcome = Outcome::of(worker);
    discovered.join().unwrap().success();
    outcome
}

/// `file://` and the path, as the programs take it.
pub(crate) fn file_uri(path: &Path) -> String {
    format!("file://{}", path.to_str().unwrap())
}

/// Makes sample data in the folder.
pub(crate) fn generate(folder: &Path, arguments: &[&str]) {
    let mut all = vec!["--out", folder.to_str().unwrap()];
    all.extend(arguments);
    run("generate", &all).success();
}

/// A work item for the whole file, as the worker reads it from standard input.
pub(crate) fn work_item(path: &Path) -> String {
    let item = serde_json::json!({
        "v": 1,
        "job": "test",
        "seq": 0,
        "uri": file_uri(path),
        "size_bytes": fs::metadata(path).unwrap().len(),
        "enqueued_at": "2024-01-01T00:00:00Z",
    });
    format!("{item}\n")
}
