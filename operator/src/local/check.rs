//! Asks each program whether it would take its flags, before anything runs.
//!
//! What a filter, an expression or a time may look like is known to the program that reads it, and to it alone.

use std::process::Stdio;

use anyhow::{Context as _, bail};

use super::{EXIT_OK, EXIT_USAGE, Programs, command};
use crate::plan::{Plan, origin::Program};

/// The flag with which a program checks its flags and does nothing else.
const CHECK: &str = "--check";

/// What comes before the program's own words.
const ERROR: &str = "error: ";

/// What a program says against its flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Who says it.
    pub program: Program,
    /// What it says, as one text that begins with the flag.
    pub said: String,
}

/// Asks both programs. The error is one of running them, not of their flags.
pub async fn check(programs: &Programs, plan: &Plan) -> anyhow::Result<Vec<Refusal>> {
    let (discoverer, worker) = tokio::join!(
        ask(programs, Program::Discoverer, &plan.discoverer),
        ask(programs, Program::Worker, &plan.worker),
    );
    Ok([discoverer?, worker?].into_iter().flatten().collect())
}

async fn ask(programs: &Programs, program: Program, arguments: &[String]) -> anyhow::Result<Option<Refusal>> {
    let name = program.name();
    let mut command = command(programs.path(program), arguments);
    command.arg(CHECK).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("cannot start {name}"))?;
    let said = said(&String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(code) if code == i32::from(EXIT_OK) => Ok(None),
        Some(code) if code == i32::from(EXIT_USAGE) => Ok(Some(Refusal { program, said })),
        _ => bail!("{name} could not check its flags ({}): {said}", output.status),
    }
}

/// What follows `error: ` up to the next empty line; all of it where a program has other words for its errors.
fn said(stderr: &str) -> String {
    let from = stderr
        .find(&format!("\n{ERROR}"))
        .map(|at| at + 1)
        .filter(|_| !stderr.starts_with(ERROR));
    let text = &stderr[from.unwrap_or(0)..];
    let text = text.strip_prefix(ERROR).unwrap_or(text);
    let text = text.split_once("\n\n").map_or(text, |(first, _)| first);
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_without_what_is_around_it() {
        for stderr in [
            "error: --filter: no\n",
            "2024-01-01 WARN something else\nerror: --filter: no\n",
            "error: --filter: no\n\nUsage: pf-worker [OPTIONS]\n",
            "--filter: no",
        ] {
            assert_eq!(said(stderr), "--filter: no", "{stderr}");
        }
        assert_eq!(
            said("error: --filter: no\n  a == 1\n     ^\n"),
            "--filter: no\n  a == 1\n     ^"
        );
        assert_eq!(said(""), "");
    }
}
