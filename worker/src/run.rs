//! A worker's life: everything is opened, the lanes run, and what came of it is told.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use pf_storage::Storage;
use pf_telemetry::{Health, Progress, Shutdown, progress::Snapshot, report, server::Server};
use prometheus::Registry;
use tokio::{io::BufReader, runtime::Handle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    args::Destination,
    dead_letters::DeadLetters,
    input::{Fed, Input},
    lane::Shared,
    metrics::Metrics,
    plan::Plan,
    pool::{End, Pool},
    report::Report,
};

/// Finished, with dead letters.
const EXIT_DEAD_LETTERS: u8 = 2;
/// Failed, or stopped before the end.
const EXIT_FAILED: u8 = 1;

/// Does what the plan says.
pub async fn run(plan: Plan) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let registry = Registry::new();
    let metrics = Metrics::new(&registry);
    let health = Health::default();
    let dead_letters = match &plan.dead_letters {
        Some(path) => {
            DeadLetters::to_file(path).with_context(|| format!("cannot open {} for --dead-letters", path.display()))?
        }
        None => DeadLetters::shown(),
    };
    let server = match plan.metrics_addr {
        Some(address) => Some(Server::start(address, registry, health.clone()).await?),
        None => None,
    };
    health.set_ready(true);

    let started = Instant::now();
    let worked = tokio::select! {
        worked = work(&plan, &metrics, dead_letters, shutdown.clone()) => worked,
        () = shutdown.aborted() => Err(anyhow::anyhow!("stopped at once, on a second signal")),
        () = drained(&shutdown, plan.drain_timeout) => Err(anyhow::anyhow!(
            "stopped in the middle: what was being written was not taken within --drain-timeout, {:?}", plan.drain_timeout
        )),
    };
    let report = Report::new(&metrics, started.elapsed());
    health.set_ready(false);
    if let Some(server) = server {
        server.stop().await?;
    }
    let (fed, end) = worked?;
    if plan.destination == Destination::Stats {
        tell(&report)?;
    }
    Ok(verdict(&report, fed, &end, &shutdown))
}

/// Returns when somebody asked to stop, and the time for it is over.
async fn drained(shutdown: &Shutdown, timeout: Duration) {
    shutdown.draining().await;
    tokio::time::sleep(timeout).await;
}

async fn work(
    plan: &Plan,
    metrics: &Metrics,
    dead_letters: DeadLetters,
    shutdown: Shutdown,
) -> anyhow::Result<(Fed, End)> {
    let input = Arc::new(Input::default());
    let shared = Shared {
        records: plan.records.clone(),
        dead_letters,
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    };
    let shared = Arc::new(shared);
    let pool = Pool {
        input: input.clone(),
        storage: Storage::new(plan.storage.clone()),
        threads: plan.threads,
        prefetch: plan.prefetch,
        destination: plan.destination,
        shared: shared.clone(),
    };
    let offered = AtomicU64::new(0);
    let runtime = Handle::current();
    let lanes = tokio::task::spawn_blocking(move || pool.run(&runtime));
    let stop = CancellationToken::new();
    let feeding = input.feed(
        BufReader::new(tokio::io::stdin()),
        stop.clone(),
        |items| offered.store(items, Ordering::Relaxed),
        |line, reason| {
            shared.metrics.items_failed.inc();
            shared.dead_letters.line(line, reason)
        },
    );
    let feeding = async {
        tokio::select! {
            fed = feeding => fed.context("cannot read work items from standard input"),
            () = shutdown.draining() => Ok(Fed { items: offered.load(Ordering::Relaxed), ..Fed::default() }),
        }
    };
    let progress = Progress::on_terminal();
    let watching = async {
        let mut redraw = tokio::time::interval(pf_telemetry::progress::REDRAW_EVERY);
        loop {
            redraw.tick().await;
            progress.show(Snapshot {
                bytes: metrics.decompressed_bytes.get(),
                records: metrics.records_in.get(),
                objects_done: metrics.items_completed.get() + metrics.items_failed.get(),
                objects_total: offered.load(Ordering::Relaxed),
                total_is_final: input.has_ended(),
            });
        }
    };
    let both = async {
        let (fed, end) = tokio::join!(feeding, lanes);
        anyhow::Ok((fed?, end.context("the lanes panicked")??))
    };
    tokio::select! {
        both = both => both,
        never = watching => never,
    }
}

/// The statistics on standard output: a table on a terminal, JSON in a pipe.
fn tell(report: &Report) -> anyhow::Result<()> {
    let text = report::text(report).context("cannot write the statistics as JSON")?;
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told.context("cannot write the statistics"),
    }
}

fn verdict(report: &Report, fed: Fed, end: &End, shutdown: &Shutdown) -> ExitCode {
    if let Some(failure) = &end.failure {
        tracing::error!("{failure}");
        return ExitCode::from(EXIT_FAILED);
    }
    if end.output_closed {
        tracing::info!(
            "standard output was closed: stopped after {} records",
            report.records_out
        );
        return ExitCode::from(EXIT_FAILED);
    }
    if shutdown.was_signalled() {
        tracing::warn!(
            "stopped before the end: {} of {} items are settled",
            report.objects,
            fed.items + fed.bad_lines
        );
        return ExitCode::from(EXIT_FAILED);
    }
    if report.objects_failed + report.records_rejected > 0 {
        tracing::warn!(
            "finished with dead letters: {} objects failed, {} records rejected",
            report.objects_failed,
            report.records_rejected
        );
        return ExitCode::from(EXIT_DEAD_LETTERS);
    }
    ExitCode::SUCCESS
}
