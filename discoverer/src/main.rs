//! `pf-discoverer`: lists objects and offers each as a work item.
//!
//! Arguments are read (`args`), checked (`plan`), the listing runs (`listing`) while items are numbered (`numbering`) and
//! written (`offer`) or put into a queue (`queue`). Items go to standard output or the queue, all else to standard error. Of objects it reads
//! no more than the first bytes, and that only to split them.

mod args;
mod counts;
mod dry_run;
mod filter;
mod listing;
mod naming;
mod numbering;
mod offer;
mod partitioning;
mod plan;
mod queue;
mod run;
mod selection;
mod split;
mod walk;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use pf_telemetry::{Shutdown, logs};

use crate::{args::Args, plan::Plan, run::Outcome};

/// The exit code of bad usage, as sysexits.h has it.
const USAGE: u8 = 64;

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
    let plan = match Plan::new(args) {
        Ok(plan) => plan,
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
        run::run(plan, &shutdown).await
    });
    // The writer may be held by a reader that does not read: the process must end all the same.
    runtime.shutdown_background();
    match outcome {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bad_usage(message: &str) -> ExitCode {
    writeln!(io::stderr(), "error: {message}").ok();
    ExitCode::from(USAGE)
}
