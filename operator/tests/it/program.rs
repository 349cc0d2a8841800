//! Runs the program that was built for these tests.

use std::{
    path::Path,
    process::{Command, Output},
};

/// The program, without variables of the person who runs the tests.
pub(crate) fn operator() -> Command {
    clean(Path::new(env!("CARGO_BIN_EXE_pf-operator")))
}

pub(crate) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PF_") {
            command.env_remove(name);
        }
    }
    command
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
