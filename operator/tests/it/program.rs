//! Runs the program that was built for these tests.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

/// The program, without variables of the person who runs the tests.
pub(crate) fn operator() -> Command {
    clean(Path::new(env!("CARGO_BIN_EXE_pf-operator")))
}

pub(crate) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if ["PF_", "OTEL_"]
            .iter()
            .any(|ours| name.to_string_lossy().starts_with(ours))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end with this on its standard input. The error is all that it said.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<String, String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        Ok(text(&output.stdout).to_owned())
    } else {
        Err(outcome(&output))
    }
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

pub(crate) fn outcome(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}--- stderr\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}
