//! `pf-worker`: work items in, documents out.

mod allocator;

use std::process::ExitCode;

use pf_worker::{args::Args, open_files, plan::Plan, run};

/// Bad usage, as BSD's sysexits(3) has it.
const EXIT_USAGE: u8 = 64;

/// Threads for reading ahead: they wait more than they work, the lanes do the work.
const READING_THREADS: usize = 2;
/// Threads that wait for files, beside one for each lane: two are taken by standard input and the lanes' owner. More would
/// read no faster, and each keeps memory that it once used: files of many columns took gigabytes that way.
const FILE_THREADS: usize = 6;

fn main() -> ExitCode {
    allocator::give_back_soon();
    // One TLS for all: without a choice each library that finds several would take its own. Nobody can have chosen before us.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let args = match Args::read() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors, and go to standard output.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            error.print().ok();
            return ExitCode::from(code);
        }
    };
    let plan = pf_telemetry::logs::init().and_then(|()| Plan::new(args));
    let mut plan = match plan {
        Ok(plan) => plan,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if plan.check_only {
        return ExitCode::SUCCESS;
    }
    open_files::keep_within(open_files::raise_limit(), &mut plan);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(READING_THREADS)
        .max_blocking_threads(plan.threads + FILE_THREADS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run::run(plan)).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    });
    // Standard input may still be read from, by a thread that only its end would wake.
    runtime.shutdown_background();
    code
}
