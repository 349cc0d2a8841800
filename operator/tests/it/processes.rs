//! How `local` runs its two programs, with shell scripts in their place: pipes, exit codes, signals, variables.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::program::{clean, outcome, text};

/// A folder with a copy of pf-operator, scripts beside it, a job file and a folder of logs.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(discoverer: &str, worker: &str) -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let built = Path::new(env!("CARGO_BIN_EXE_pf-operator"));
        fs::hard_link(built, bench.path("pf-operator"))
            .or_else(|_| fs::copy(built, bench.path("pf-operator")).map(drop))
            .unwrap();
        bench.script("pf-discoverer", discoverer);
        bench.script("pf-worker", worker);
        fs::create_dir(bench.path("logs")).unwrap();
        fs::write(
            bench.path("job.yaml"),
            "apiVersion: paraflow.dev/v1alpha1\nkind: IngestJob\nmetadata: {name: logs}\nspec:\n  \
             source: {files: {path: logs}}\n  sink: {stdout: {}}\n  workers: {max: 3}\n",
        )
        .unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, body: &str) {
        self.checking_script(name, "exit 0", body);
    }

    /// A script that runs `check` where it is asked to check its flags.
    fn checking_script(&self, name: &str, check: &str, body: &str) {
        let path = self.path(name);
        let asked = format!("for flag; do [ \"$flag\" != --check ] || {{ {check}; }}; done");
        fs::write(&path, format!("#!/bin/sh\n{asked}\n{body}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = clean(&self.path("pf-operator"));
        command.args(["local", "-f"]).arg(self.path("job.yaml")).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

const REFUSE_FILTER: &str = "echo 'error: --filter: `05` is no number' >&2; exit 64";
const REFUSE_URI: &str = "echo 'error: --uri: too long' >&2; exit 64";

#[test]
fn flags_that_a_program_refuses_are_complaints_about_their_fields_before_anything_runs() {
    for arguments in [&[][..], &["--dry-run"]] {
        let bench = Bench::new("", "");
        bench.checking_script("pf-discoverer", REFUSE_URI, "touch ran");
        bench.checking_script("pf-worker", REFUSE_FILTER, "touch ran");
        let job = fs::read_to_string(bench.path("job.yaml")).unwrap();
        fs::write(bench.path("job.yaml"), job + "  where: status = 05\n").unwrap();
        let output = bench.command(arguments).current_dir(&bench.folder).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{}", outcome(&output));
        let file = bench.path("job.yaml");
        let expected = format!(
            "pf-operator: {0}:5:3: spec.source: too long\n{0}:8:3: spec.where: `05` is no number\n",
            file.display()
        );
        assert_eq!(text(&output.stderr), expected);
        assert_eq!(text(&output.stdout), "");
        assert!(!bench.path("ran").exists());
    }
}

#[test]
fn a_program_that_cannot_check_its_flags_is_a_failure_and_nothing_runs() {
    for (check, named) in [
        (
            "echo \"error: unexpected argument '--check' found\" >&2; exit 64",
            "pf-worker does not take what was planned for it: unexpected argument '--check' found",
        ),
        (
            "echo lost >&2; exit 3",
            "pf-worker could not check its flags (exit status: 3): lost",
        ),
    ] {
        let bench = Bench::new("touch ran", "touch ran");
        bench.checking_script("pf-worker", check, "touch ran");
        let output = bench.command(&[]).current_dir(&bench.folder).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", outcome(&output));
        assert_eq!(text(&output.stderr), format!("pf-operator: {named}\n"));
        assert!(!bench.path("ran").exists());
    }
}

#[test]
fn the_discoverer_speaks_to_the_worker_and_the_worker_to_us() {
    let bench = Bench::new("echo item", "sed s/item/record/");
    let output = bench.run(&[]);
    assert!(output.status.success(), "{}", outcome(&output));
    assert_eq!(text(&output.stdout), "record\n");
    assert!(
        text(&output.stderr).contains("not used by local: spec.workers.max"),
        "{}",
        outcome(&output)
    );
}

#[test]
fn the_programs_get_the_arguments_of_the_plan() {
    let bench = Bench::new("echo \"$@\"", "cat; echo \"$@\"");
    let output = bench.run(&["--threads", "3", "--dead-letters", "bad.ndjson"]);
    let logs = fs::canonicalize(bench.path("logs")).unwrap();
    let expected = format!(
        "--job=logs --uri=file://{}/\n--destination=stdout --threads=3 --dead-letters=bad.ndjson\n",
        logs.display()
    );
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn the_books_are_bound_to_what_is_delivered_and_the_proof_knows_what_is_allowed() {
    let bench = Bench::new("echo \"discoverer $@\" >&2", "cat; echo \"worker $@\" >&2");
    let job = fs::read_to_string(bench.path("job.yaml")).unwrap();
    let more =
        "  where: a = 1\n  state: {uri: 'file:///books'}\n  errorBudget: {rejectedRecords: 5, rejectedPercent: 1}\n";
    let job = job.replace("path: logs}", "path: logs}, allowEmpty: true") + more;
    fs::write(bench.path("job.yaml"), job).unwrap();
    let output = bench.run(&[]);
    assert!(output.status.success(), "{}", outcome(&output));
    let said = text(&output.stderr);
    let line = |start: &str| {
        let line = said.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("{start}: {said}")).to_owned()
    };
    let discovery = line("discoverer --job=logs");
    for flag in ["--allow-empty", "--delivers=sink.stdout={}", "--delivers=where=a = 1"] {
        assert!(discovery.contains(flag), "{flag}: {discovery}");
    }
    assert_eq!(
        line("discoverer verify"),
        "discoverer verify --job=logs --state=file:///books --max-rejected=5,1% --allow-empty"
    );
    assert!(!line("worker").contains("--source"), "nobody else writes into a pipe");
}

#[test]
fn a_worker_of_a_queue_reads_what_the_job_names() {
    let bench = Bench::new("true", "echo \"$@\"");
    let job = fs::read_to_string(bench.path("job.yaml")).unwrap();
    let queue = "  queue: {sqs: {url: 'https://sqs.eu-central-1.amazonaws.com/1/jobs'}}\n";
    fs::write(bench.path("job.yaml"), job + queue).unwrap();
    let output = bench.run(&[]);
    let logs = fs::canonicalize(bench.path("logs")).unwrap();
    let source = format!("--source=file://{}/ ", logs.display());
    assert!(
        (text(&output.stdout).trim_end().to_owned() + " ").contains(&source),
        "{}",
        outcome(&output)
    );
}

#[test]
fn the_exit_code_is_the_worse_of_both() {
    for (discoverer, worker, expected) in [
        (0, 0, 0),
        (0, 2, 2),
        (1, 2, 1),
        (1, 0, 1),
        (64, 1, 64),
        (0, 64, 64),
        (2, 1, 1),
        (0, 101, 1),
    ] {
        let bench = Bench::new(&format!("exit {discoverer}"), &format!("cat; exit {worker}"));
        let output = bench.run(&[]);
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{discoverer} {worker}: {}",
            outcome(&output)
        );
    }
}

#[test]
fn a_worker_that_fails_ends_the_discoverer_and_is_the_cause() {
    // This discoverer never writes, so that no closed pipe stops it.
    let bench = Bench::new("exec tail -f /dev/null", "exit 64");
    assert_eq!(bench.run(&[]).status.code(), Some(64));
    let bench = Bench::new("exec yes", "exit 1");
    assert_eq!(bench.run(&[]).status.code(), Some(1));
}

#[test]
fn a_signal_reaches_both_and_both_are_waited_for() {
    let stop = |name: &str| {
        format!(
            "trap 'echo {name} stopped >&2; kill $rest; exit 1' TERM\n\
             tail -f /dev/null & rest=$!\n\
             echo {name} started >&2\n\
             wait $rest"
        )
    };
    let bench = Bench::new(&stop("discoverer"), &stop("worker"));
    let mut child = bench
        .command(&[])
        .process_group(0)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    for _ in 0..2 {
        lines
            .by_ref()
            .find(|line| line.ends_with("started"))
            .expect("both start");
    }
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let mut stopped: Vec<String> = lines.filter(|line| line.ends_with("stopped")).collect();
    stopped.sort();
    assert_eq!(stopped, ["discoverer stopped", "worker stopped"]);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn variables_that_set_flags_do_not_reach_the_programs_but_credentials_and_logging_do() {
    let show = "echo \"${PF_PREFIX:-none} ${PF_LOG:-none} ${AWS_PROFILE:-none}\"";
    let bench = Bench::new(show, "cat");
    let output = bench
        .command(&[])
        .env("PF_PREFIX", "elsewhere/")
        .env("PF_LOG", "warn")
        .env("AWS_PROFILE", "mine")
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "none warn mine\n");
}

#[test]
fn a_program_that_is_missing_is_named() {
    let bench = Bench::new("exit 0", "exit 0");
    fs::remove_file(bench.path("pf-worker")).unwrap();
    let output = bench.command(&[]).env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("pf-worker is neither beside pf-operator"),
        "{}",
        outcome(&output)
    );
}

#[test]
fn a_dry_run_prints_both_command_lines_and_starts_no_worker() {
    let bench = Bench::new("echo \"would list ($*)\"", "echo worked");
    let output = bench.run(&["--dry-run"]);
    assert!(output.status.success(), "{}", outcome(&output));
    let stdout = text(&output.stdout);
    assert!(stdout.starts_with("pf-discoverer --job=logs --uri=file://"), "{stdout}");
    assert!(stdout.contains("\n  pf-worker --destination=stdout\n"), "{stdout}");
    assert!(stdout.contains("would list (--job=logs"), "{stdout}");
    assert!(stdout.trim_end().ends_with("--dry-run)"), "{stdout}");
    assert!(!stdout.contains("worked"), "{stdout}");
}
