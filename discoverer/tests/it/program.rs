//! Runs `pf-discoverer` in an environment that holds nothing but what the test says.

use std::process::{Command, Output};

use pf_e2e::S3;
use serde_json::Value;

/// A finished run.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) items: Vec<Value>,
    pub(crate) stderr: String,
}

impl Run {
    /// The part of each item's address behind `root`, in the order of output.
    pub(crate) fn keys_below(&self, root: &str) -> Vec<String> {
        let keys = self.items.iter().map(|item| {
            let uri = item["uri"].as_str().unwrap();
            uri.strip_prefix(root)
                .unwrap_or_else(|| panic!("{uri} is not below {root}"))
                .to_owned()
        });
        keys.collect()
    }
}

/// The program, not yet started.
pub(crate) fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pf-discoverer"));
    command.args(flags).env_clear();
    command
}

/// Runs it to its end.
pub(crate) fn run(flags: &[&str]) -> Run {
    finished(&command(flags).output().unwrap())
}

/// Runs it on the S3 server of the tests.
pub(crate) fn run_on_s3(flags: &[&str]) -> Run {
    let s3 = S3::shared();
    let mut command = command(flags);
    command.arg("--s3-endpoint").arg(s3.endpoint()).envs(s3.environment());
    finished(&command.output().unwrap())
}

/// Makes sure that a run ended well.
#[track_caller]
pub(crate) fn assert_success(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}

/// What a finished run gave.
pub(crate) fn finished(output: &Output) -> Run {
    let stdout = str::from_utf8(&output.stdout).unwrap();
    let items: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (position, item) in items.iter().enumerate() {
        assert_eq!(
            item["seq"], position as u64,
            "items are numbered in the order of output"
        );
        assert_eq!(item["v"], 1);
    }
    Run {
        code: output.status.code().expect("it was not killed"),
        items,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
