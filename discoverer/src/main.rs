//! `pf-discoverer`: lists objects and offers each as a work item.
//!
//! Arguments are read (`args`), checked (`plan`), the listing runs (`listing`) while items are numbered (`numbering`) and
//! written (`offer`) or put into a queue (`queue`). Items go to standard output or the queue, all else to standard error. Of objects it reads
//! no more than the first bytes, and that only to split them.

mod args;
mod counts;
mod dry_run;
mod filter;
mod given_up;
mod job;
mod known;
mod lines;
mod listing;
mod naming;
mod numbering;
mod offer;
mod outlet;
mod partitioning;
mod plan;
mod queue;
mod recording;
mod redrive;
mod run;
mod selection;
mod split;
mod summary;
mod totals;
mod verify;
mod walk;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use pf_telemetry::{Shutdown, logs};

use crate::{args::Args, job::Job, plan::Plan, run::Outcome, verify::Verdict};

/// The exit code of bad usage, as sysexits.h has it.
const USAGE: u8 = 64;

/// The exit code of work that ended with dead letters, or was none.
const DEAD_LETTERS: u8 = 2;

/// The exit code of a job with more rejected records than are allowed.
const BUDGET_SPENT: u8 = 3;

/// The exit code of a state directory that refuses, whoever tries again.
const REFUSED: u8 = 4;

/// What the flags ask for, checked.
enum Work {
    /// List and offer.
    Run(Box<Plan>),
    /// Look at a job that was discovered before.
    Job(Job),
}

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(error) => {
            if let Some(message) = args::complaint(&error) {
                return bad_usage(&message);
            }
            // Nobody is left to be told when this can't be written.
            error.print().ok();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    if let Err(message) = logs::init() {
        return bad_usage(&message);
    }
    let check = args.check;
    let work = match work(args) {
        Ok(work) => work,
        Err(error) => return bad_usage(&format!("{error:#}")),
    };
    if check {
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start the threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        match work {
            Work::Run(plan) => run::run(*plan, &shutdown).await,
            Work::Job(job) => tokio::select! {
                done = job.run() => done,
                () = shutdown.draining() => Ok(Outcome::Interrupted),
            },
        }
    });
    // The writer may be held by a reader that does not read: the process must end all the same.
    runtime.shutdown_background();
    match outcome {
        Ok(Outcome::Complete | Outcome::Verified(Verdict::Complete)) => ExitCode::SUCCESS,
        Ok(Outcome::LeftOut | Outcome::Empty | Outcome::Verified(Verdict::CompleteWithDeadLetters)) => {
            ExitCode::from(DEAD_LETTERS)
        }
        Ok(Outcome::BudgetSpent) => ExitCode::from(BUDGET_SPENT),
        Ok(Outcome::Interrupted | Outcome::Verified(Verdict::Incomplete)) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error:#}");
            if is_refusal(&error) {
                ExitCode::from(REFUSED)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn is_refusal(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<pf_state::Error>());
    causes.any(pf_state::Error::is_refusal)
}

fn work(mut args: Args) -> anyhow::Result<Work> {
    match args.command.take() {
        Some(command) => Job::new(command).map(Work::Job),
        None => Plan::new(args).map(|plan| Work::Run(Box::new(plan))),
    }
}

fn bad_usage(message: &str) -> ExitCode {
    writeln!(io::stderr(), "error: {message}").ok();
    ExitCode::from(USAGE)
}
