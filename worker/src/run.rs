//! A worker's life: everything is opened and checked, the lanes run, and what came of it is told.

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
use pf_state::StateDir;
use pf_storage::{ObjectUri, Storage};
use pf_telemetry::{Health, Progress, Shutdown, progress::Snapshot, report, server::Server};
use pf_work::{
    WorkSource, queue,
    settle::Flaw,
    sqs::{self, SqsQueue},
};
use prometheus::Registry;
use tokio::{
    io::BufReader,
    runtime::Handle,
    sync::mpsc::{channel, unbounded_channel},
    time::Instant,
};

use crate::{
    dead_letters::DeadLetters,
    delivery::{
        ErrorBudget, Keeper, Letters, Settler, States, Untold,
        leasing::{Leasing, Until},
        letters::Place,
    },
    ending::{Cause, Ending},
    indexer::outlet::Outlets,
    input::{self, Input},
    lane::{Shared, Work},
    metrics::Metrics,
    opened::Opener,
    plan::{self, Destination, Plan},
    pool,
    report::Report,
};

/// Failed, or stopped before the end.
const EXIT_FAILED: u8 = 1;
/// Finished, with dead letters.
const EXIT_DEAD_LETTERS: u8 = 2;
/// More records were rejected than may be.
const EXIT_ERROR_BUDGET: u8 = 3;
/// Somebody refuses us: a person must act.
const EXIT_REFUSED: u8 = 4;

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
        Some(address) => Some(Server::start(address, registry.clone(), health.clone()).await?),
        None => None,
    };
    let started = Instant::now();
    let ending = Arc::new(Ending::new(shutdown.clone()));
    let worked = tokio::select! {
        worked = work(&plan, &registry, &metrics, dead_letters, &ending, &health) => worked,
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
    let offered = worked?;
    if matches!(plan.destination, Destination::Stats) {
        tell(&report)?;
    }
    Ok(verdict(&plan, &report, offered, &ending))
}

/// Returns when somebody asked to stop, and the time for it is over.
async fn drained(shutdown: &Shutdown, timeout: Duration) {
    shutdown.draining().await;
    tokio::time::sleep(timeout).await;
}

/// Where items come from, connected.
struct Source {
    queue: Arc<dyn WorkSource>,
    visibility: Duration,
    polls: usize,
    until: Until,
    tries_max: Option<u32>,
    stdin: Option<Arc<Input>>,
    sqs: Option<SqsQueue>,
}

impl Source {
    fn stdin() -> Self {
        let input = Arc::new(Input::default());
        Self {
            queue: Arc::clone(&input) as Arc<dyn WorkSource>,
            visibility: input::FOR_EVER,
            polls: 1,
            until: Until::Ended(Arc::clone(&input)),
            tries_max: Some(input::TRIES_MAX),
            stdin: Some(input),
            sqs: None,
        }
    }

    async fn sqs(options: &plan::Sqs) -> Result<Self, queue::Error> {
        let queue = SqsQueue::connect(options.queue.clone(), sqs::Role::Source).await?;
        Ok(Self {
            queue: Arc::new(queue.clone()),
            visibility: queue.visibility(),
            polls: options.polls,
            until: options.exit_when_idle.map_or(Until::Asked, Until::Idle),
            tries_max: None,
            stdin: None,
            sqs: Some(queue),
        })
    }

    /// Reads what fills the queue, where that is ours to do.
    async fn feed(
        &self,
        offered: &AtomicU64,
        metrics: &Metrics,
        dead_letters: &DeadLetters,
        ending: &Ending,
    ) -> anyhow::Result<()> {
        let Some(input) = &self.stdin else { return Ok(()) };
        let feeding = input.feed(
            BufReader::new(tokio::io::stdin()),
            |items| offered.store(items, Ordering::Relaxed),
            |line, reason| {
                metrics.item_failed(Flaw::Other);
                dead_letters.line(line, reason)
            },
        );
        tokio::select! {
            fed = feeding => fed.context("cannot read work items from standard input"),
            () = ending.shutdown().draining() => Ok(()),
        }
    }

    /// How many items there are to be settled, as far as we know.
    fn total(&self, offered: &AtomicU64, metrics: &Metrics) -> u64 {
        match self.stdin {
            Some(_) => offered.load(Ordering::Relaxed),
            None => metrics.leases.get(),
        }
    }
}

/// Works until the end. The result is how many items there were.
async fn work(
    plan: &Plan,
    registry: &Registry,
    metrics: &Metrics,
    dead_letters: DeadLetters,
    ending: &Arc<Ending>,
    health: &Health,
) -> anyhow::Result<u64> {
    // All that may be missing is looked at before the first lease.
    let Some((outlets, states, source)) = open(plan, registry, ending).await? else {
        return Ok(0);
    };
    health.set_ready(true);
    let dead_letters = Arc::new(dead_letters);
    let budget = Arc::new(ErrorBudget::new(plan.max_rejected.clone()));
    let keeper = Arc::new(Keeper::new(
        Arc::clone(&source.queue),
        source.visibility,
        metrics.clone(),
    ));
    let (events, settler_events) = unbounded_channel();
    let place = match &states {
        Some(states) => Place::State(Arc::clone(states)),
        None => Place::Local(Arc::clone(&dead_letters)),
    };
    let (letters, store) = Letters::to(place, metrics.clone());
    let untold = Arc::new(Untold::default());
    let settler = Settler {
        untold: Arc::clone(&untold),
        queue: Arc::clone(&source.queue),
        keeper: Arc::clone(&keeper),
        states: states.clone(),
        dead_letters: Arc::clone(&dead_letters),
        tries_max: source.tries_max,
        ending: Arc::clone(ending),
        metrics: metrics.clone(),
    };
    let leasing = Leasing {
        untold,
        queue: Arc::clone(&source.queue),
        polls: source.polls,
        until: source.until.clone(),
        keeper: Arc::clone(&keeper),
        states,
        settler: events,
        budget: Arc::clone(&budget),
        ending: Arc::clone(ending),
        metrics: metrics.clone(),
    };
    let shared = Shared {
        records: plan.records.clone(),
        outlets,
        letters,
        metrics: metrics.clone(),
        ending: Arc::clone(ending),
    };
    let offered = AtomicU64::new(0);
    let runtime = Handle::current();
    let (sender, receiver) = channel(plan.prefetch.objects * plan.threads);
    let opener = Opener {
        runtime: runtime.clone(),
        storage: Storage::new(plan.storage.clone()),
        pieces_ahead: plan.prefetch.pieces,
        metrics: metrics.clone(),
    };
    let leasing = leasing.run(sender, |taken| Work::open(taken, &opener));
    let lanes = {
        let (threads, runtime) = (plan.threads, runtime.clone());
        tokio::task::spawn_blocking(move || pool::run(threads, &shared, &runtime, receiver))
    };
    let feeding = source.feed(&offered, metrics, &dead_letters, ending);
    // Each ends when the one before it has: leasing, the lanes, the store of their letters, and who settles their items.
    let all = async {
        let (fed, (), lanes, (), ()) = tokio::join!(feeding, leasing, lanes, store.run(), settler.run(settler_events));
        fed?;
        lanes.context("the lanes panicked")??;
        if let Some(sqs) = &source.sqs {
            sqs.quiet().await;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        all = all => all?,
        () = keeper.run() => {}
        () = watch(metrics, &source, &offered) => {}
    }
    if let Some(reason) = budget.spent_at_end() {
        ending.stop(Cause::ErrorBudgetSpent { reason });
    }
    Ok(source.total(&offered, metrics))
}

/// Connects to everything. None: somebody refused, which the ending knows.
async fn open(
    plan: &Plan,
    registry: &Registry,
    ending: &Ending,
) -> anyhow::Result<Option<(Outlets, Option<Arc<States>>, Source)>> {
    let refused = |reason: String| {
        ending.stop(Cause::Refused { reason });
        Ok(None)
    };
    let outlets = match Outlets::open(&plan.destination, &plan.exclude, registry).await? {
        Ok(outlets) => outlets,
        Err(reason) => return refused(reason),
    };
    let source = match &plan.input {
        plan::Input::Stdin => Source::stdin(),
        plan::Input::Sqs(options) => match Source::sqs(options).await {
            Ok(source) => source,
            Err(queue::Error::Refused { reason }) => return refused(reason),
            Err(error) => return Err(error).context("cannot connect to the queue"),
        },
    };
    Ok(Some((
        outlets,
        plan.state.as_ref().map(|root| states(plan, root)),
        source,
    )))
}

/// The state directories of jobs. Credentials are always sent: they are never public.
fn states(plan: &Plan, root: &ObjectUri) -> Arc<States> {
    let storage = Storage::new(pf_storage::Options {
        anonymous: false,
        ..plan.storage.clone()
    });
    let root = root.clone();
    let open = move |job: &str| StateDir::new(storage.clone(), &root, job);
    Arc::new(States::new(plan.worker.clone(), open))
}

/// Shows progress for ever.
async fn watch(metrics: &Metrics, source: &Source, offered: &AtomicU64) {
    let progress = Progress::on_terminal();
    let mut redraw = tokio::time::interval(pf_telemetry::progress::REDRAW_EVERY);
    loop {
        redraw.tick().await;
        progress.show(Snapshot {
            bytes: metrics.decompressed_bytes.get(),
            records: metrics.records_in.get(),
            objects_done: metrics.items_completed.get() + metrics.items_failed(),
            objects_total: source.total(offered, metrics),
            total_is_final: source.stdin.as_ref().is_some_and(|input| input.has_ended()),
        });
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

fn verdict(plan: &Plan, report: &Report, offered: u64, ending: &Ending) -> ExitCode {
    match ending.cause() {
        Some(Cause::OutputClosed) => {
            tracing::info!(
                "standard output was closed: stopped after {} records",
                report.records_out
            );
            return ExitCode::from(EXIT_FAILED);
        }
        Some(Cause::Failed { reason }) => {
            tracing::error!("{reason}");
            return ExitCode::from(EXIT_FAILED);
        }
        Some(Cause::ErrorBudgetSpent { reason }) => {
            tracing::error!("{reason}");
            return ExitCode::from(EXIT_ERROR_BUDGET);
        }
        Some(Cause::Refused { reason }) => {
            tracing::error!("{reason}");
            return ExitCode::from(if plan.is_service() { EXIT_REFUSED } else { EXIT_FAILED });
        }
        None => {}
    }
    if ending.shutdown().was_signalled() {
        tracing::warn!(
            "stopped before the end: {} of {offered} items are settled",
            report.objects,
        );
        return ExitCode::from(if plan.is_endless() { 0 } else { EXIT_FAILED });
    }
    if report.is_all_duplicate() {
        tracing::warn!(
            "nothing new was written: the sink had all {} records before, and has them as they were; --es-op-type index replaces them",
            report.records_out
        );
    }
    if report.objects_failed + report.records_astray() > 0 {
        tracing::warn!(
            "finished with dead letters: {} objects failed, {} records rejected, {} put elsewhere by the sink, {} dropped by it",
            report.objects_failed,
            report.records_rejected,
            report.records_redirected,
            report.records_dropped
        );
        return ExitCode::from(EXIT_DEAD_LETTERS);
    }
    ExitCode::SUCCESS
}
