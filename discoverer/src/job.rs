//! What the sub-commands are to do, checked; the counterpart of `plan` for jobs that were discovered before.

use anyhow::{Context as _, Result, ensure};
use pf_state::StateDir;
use pf_storage::{ObjectUri, Options, Storage};

use crate::{
    args::{Command, JobArgs, RedriveArgs, VerifyArgs},
    redrive::{self, Choice},
    run::Outcome,
    verify,
};

/// A sub-command that may run.
#[derive(Debug)]
pub(crate) enum Job {
    Verify(StateDir),
    Redrive(StateDir, Choice),
}

impl Job {
    /// Checks the flags. Errors are bad usage, and say which flag it is.
    pub(crate) fn new(command: Command) -> Result<Self> {
        match command {
            Command::Verify(VerifyArgs { job }) => Ok(Self::Verify(state_dir(job)?)),
            Command::Redrive(RedriveArgs {
                job,
                choice,
                letters,
                destination: _,
            }) => {
                ensure!(choice.records || !letters, "--letters: needs --records");
                let choice = match (choice.missing, choice.dead_items) {
                    (true, _) => Choice::Missing,
                    (_, true) => Choice::DeadItems,
                    _ => Choice::Records { letters },
                };
                Ok(Self::Redrive(state_dir(job)?, choice))
            }
        }
    }

    /// Does it.
    pub(crate) async fn run(self) -> Result<Outcome> {
        match self {
            Self::Verify(state) => verify::run(&state).await,
            Self::Redrive(state, choice) => redrive::run(&state, choice).await,
        }
    }
}

fn state_dir(args: JobArgs) -> Result<StateDir> {
    let JobArgs {
        state,
        job,
        s3_endpoint,
        region,
    } = args;
    let root: ObjectUri = state.parse().context("--state")?;
    ensure!(!job.is_empty(), "--job: a name must not be empty");
    let options = Options {
        endpoint: s3_endpoint,
        region,
        ..Options::default()
    };
    Ok(StateDir::new(Storage::new(options), &root, &job))
}
