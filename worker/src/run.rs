//! A worker's life: everything is opened and checked, the lanes run, and what came of it is told.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use futures::{FutureExt as _, StreamExt as _};
use pf_state::StateDir;
use pf_storage::{ObjectUri, Storage};
use pf_telemetry::{Health, Progress, Shutdown, progress::Snapshot, report, server::Server};
use pf_work::{
    WorkSource,
    queue::{self, Depth},
    settle::{Flaw, TRIES_MAX},
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
    binding,
    dead_letters::DeadLetters,
    delivery::{
        Account, ErrorBudget, Keeper, Letters, Settler, States, Untold, Weather, Witness,
        leasing::{Leasing, Until},
        letters::Place,
    },
    ending::{Cause, Ending},
    indexer::outlet::Outlets,
    input::{self, Input},
    lane::{Shared, Work},
    metrics::Metrics,
    opened::Opener,
    permission::Permission,
    plan::{self, Destination, Plan},
    pool,
    report::Report,
    sightings::Sightings,
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
    let worked = worked?;
    if matches!(plan.destination, Destination::Stats) {
        tell(&report)?;
    }
    Ok(verdict(&plan, &report, worked, &ending))
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
    tries_max: u32,
    /// How long an outage is waited for.
    outage_max: Option<Duration>,
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
            tries_max: TRIES_MAX,
            outage_max: Some(input::OUTAGE_MAX),
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
            tries_max: queue.receives_max().unwrap_or(TRIES_MAX),
            outage_max: None,
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

/// What came of working, beside what is counted.
#[derive(Debug, Clone, Copy, Default)]
struct Worked {
    /// How many items there were.
    offered: u64,
    /// Of how many of them the last word was no settlement that the queue took.
    owed: usize,
    /// Messages of the queue that held no work.
    rubbish: u64,
}

/// Works until the end.
async fn work(
    plan: &Plan,
    registry: &Registry,
    metrics: &Metrics,
    dead_letters: DeadLetters,
    ending: &Arc<Ending>,
    health: &Health,
) -> anyhow::Result<Worked> {
    // All that may be missing is looked at before the first lease.
    let Some((outlets, states, source)) = open(plan, registry, ending).await? else {
        return Ok(Worked::default());
    };
    health.set_ready(true);
    let dead_letters = Arc::new(dead_letters);
    let budget = Arc::new(ErrorBudget::new(plan.max_rejected.clone()));
    let weather = Arc::new(Weather::new(source.outage_max));
    let account = Arc::new(match source.until {
        Until::Idle(_) => Account::kept(),
        Until::Ended(_) | Until::Asked => Account::default(),
    });
    let keeper = Arc::new(Keeper::new(
        Arc::clone(&source.queue),
        source.visibility,
        Arc::clone(ending),
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
        witness: Arc::new(witness(plan, states.as_ref())),
        weather: Arc::clone(&weather),
        account: Arc::clone(&account),
        budget: Arc::clone(&budget),
        ending: Arc::clone(ending),
        metrics: metrics.clone(),
    };
    let leasing = Leasing {
        untold,
        queue: Arc::clone(&source.queue),
        polls: source.polls,
        until: source.until.clone(),
        keeper: Arc::clone(&keeper),
        states: states.clone(),
        tries_max: source.tries_max,
        weather: Arc::clone(&weather),
        account: Arc::clone(&account),
        settler: events,
        budget: Arc::clone(&budget),
        ending: Arc::clone(ending),
        metrics: metrics.clone(),
    };
    let storage = Storage::new(plan.storage.clone());
    let permission = Permission::new(storage.clone(), Arc::clone(ending), refusal_patience(plan));
    let permission = Arc::new(permission);
    let sightings = Arc::new(Sightings::of(&plan.columns_named));
    let shared = Shared {
        permission: Arc::clone(&permission),
        records: plan.records.clone(),
        outlets,
        letters,
        metrics: metrics.clone(),
        weather,
        ending: Arc::clone(ending),
        sightings: Arc::clone(&sightings),
    };
    let offered = AtomicU64::new(0);
    let runtime = Handle::current();
    let (sender, receiver) = channel(plan.prefetch.objects * plan.threads);
    let opener = Opener {
        runtime: runtime.clone(),
        storage,
        sources: plan.sources.clone(),
        pieces_ahead: plan.prefetch.pieces,
        metrics: metrics.clone(),
        permission: Arc::clone(&permission),
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
            if let Until::Idle(idle) = source.until {
                warn_of_left(sqs, idle).await;
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        all = all => all?,
        () = keeper.run() => {}
        () = permission.run() => {}
        () = watch(metrics, &source, &offered) => {}
        () = watch_budget(&budget, states.as_deref(), ending) => {}
    }
    if let Some(states) = states.as_ref().filter(|_| budget.is_limited()) {
        look_at_ledger(&budget, states).await;
    }
    if let Some(reason) = budget.spent_at_end() {
        ending.stop(Cause::ErrorBudgetSpent { reason });
    }
    if let Some(states) = &states {
        look_for_owed(&account, states).await;
    }
    warn_of_strange_names(metrics, &sightings);
    Ok(Worked {
        offered: source.total(&offered, metrics),
        owed: account.owed_count(),
        rubbish: source.sqs.as_ref().map_or(0, SqsQueue::rubbish),
    })
}

/// A name that no record has is most often mistyped, and what comes of it looks as if all was well.
fn warn_of_strange_names(metrics: &Metrics, sightings: &Sightings) {
    let (read, left_out) = (metrics.records_in.get(), metrics.records_filtered.get());
    let kept = read.saturating_sub(left_out + metrics.records_rejected());
    if left_out > 0 && kept == 0 {
        tracing::warn!(
            "the filter left out all {left_out} records that it saw: is each of its fields spelled as in the records?"
        );
    }
    if kept > 0 {
        for column in sightings.unseen() {
            tracing::warn!("none of {kept} records had a value of the column {column} that --columns names");
        }
    }
}

/// Whoever ends because a queue gave nothing may take its end for the job's, which it is not while others hold items.
async fn warn_of_left(queue: &SqsQueue, idle: Duration) {
    // Whoever may lease may be kept from looking at the depth; to know it is a comfort only.
    let Ok(Depth {
        visible,
        in_flight,
        delayed,
    }) = queue.depth().await
    else {
        return;
    };
    if visible + in_flight + delayed > 0 {
        tracing::warn!(
            "the queue gave nothing for {idle:?}, and is not empty: {in_flight} messages are leased by others, {visible} wait and \
             {delayed} are delayed; what becomes of them is not this worker's to say"
        );
    }
}

/// Whether others settled what this worker lost: the ledgers know.
async fn look_for_owed(account: &Account, states: &States) {
    for job in account.jobs() {
        match states.ledger(&job).await {
            Ok(ledger) => account.settled_elsewhere(&job, |seq| ledger.settled().contains(seq)),
            Err(error) => tracing::warn!(
                job,
                "cannot look who settled what this worker lost: {}",
                input::reason(&error)
            ),
        }
    }
}

/// Looks whether an object can be read, by its first byte, or the books, if they are in the same storage.
fn witness(plan: &Plan, states: Option<&Arc<States>>) -> Witness {
    let storage = Storage::new(plan.storage.clone());
    let witness = Witness::new(move |item| {
        let storage = storage.clone();
        async move {
            let Ok(uri) = item.uri.parse::<ObjectUri>() else {
                return false;
            };
            let mut stream = storage.read(&uri, item.etag.as_deref(), 0..1);
            matches!(stream.next().await, Some(Ok(_)))
        }
        .boxed()
    });
    let (Some(states), Some(ObjectUri::S3 { .. })) = (states, &plan.state) else {
        return witness;
    };
    let states = Arc::clone(states);
    witness.or_books(move |item| {
        let states = Arc::clone(&states);
        let (job, is_there) = (item.job.clone(), item.uri.starts_with("s3://"));
        async move { is_there && states.can_be_read(&job).await }.boxed()
    })
}

/// The shortest time from one look at the ledger to the next.
const LEDGER_LOOK_EVERY: Duration = Duration::from_mins(1);
/// Looking takes no more than this share of the time.
const LEDGER_LOOK_SHARE: u32 = 20;

/// Looks now and then at what the other workers of the job rejected, for ever.
async fn watch_budget(budget: &ErrorBudget, states: Option<&States>, ending: &Ending) {
    let Some(states) = states.filter(|_| budget.is_limited()) else {
        return std::future::pending().await;
    };
    let mut pause = LEDGER_LOOK_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let began = Instant::now();
        if let Some(reason) = look_at_ledger(budget, states).await {
            ending.stop(Cause::ErrorBudgetSpent { reason });
        }
        pause = LEDGER_LOOK_EVERY.max(began.elapsed() * LEDGER_LOOK_SHARE);
    }
}

/// Tells the budget what the ledger has. Whether too much was rejected, in words.
async fn look_at_ledger(budget: &ErrorBudget, states: &States) -> Option<String> {
    match states.settled_counts().await {
        Ok(counts) => budget.ledger_has(counts.records_in, counts.records_rejected),
        Err(error) => {
            tracing::warn!(
                "cannot see in the ledger how many records other workers rejected: {}",
                input::reason(&error)
            );
            None
        }
    }
}

/// How long a refused item is held while nothing else is read. From a queue more may come at any time.
fn refusal_patience(plan: &Plan) -> Duration {
    match plan.input {
        plan::Input::Stdin => Duration::from_secs(1),
        plan::Input::Sqs(_) => Duration::from_secs(30),
    }
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
    let outlets = match Outlets::open(&plan.destination, &plan.records.exclude, registry).await? {
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
    let binding = binding::to_cluster(plan.binding.clone(), outlets.cluster_id());
    let states = plan.state.as_ref().map(|root| states(plan, root, binding));
    Ok(Some((outlets, states, source)))
}

/// The state directories of jobs. Credentials are always sent: they are never public.
fn states(plan: &Plan, root: &ObjectUri, binding: BTreeMap<String, String>) -> Arc<States> {
    let storage = Storage::new(pf_storage::Options {
        anonymous: false,
        ..plan.storage.clone()
    });
    let root = root.clone();
    let open = move |job: &str| StateDir::new(storage.clone(), &root, job);
    Arc::new(States::new(plan.worker.clone(), open).bound_to(binding))
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

fn verdict(plan: &Plan, report: &Report, worked: Worked, ending: &Ending) -> ExitCode {
    let Worked { offered, owed, rubbish } = worked;
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
    if owed > 0 {
        tracing::error!(
            "{owed} of {offered} leased items are not settled as far as this worker knows: they were given back, lost to others, or \
             the queue could not be told"
        );
        return ExitCode::from(EXIT_FAILED);
    }
    if report.is_all_duplicate() {
        tracing::warn!(
            "nothing new was written: the sink had all {} records before, and has them as they were; --es-op-type index replaces them",
            report.records_out
        );
    }
    if rubbish > 0 {
        tracing::warn!(
            "{rubbish} messages of the queue held no work that can be read: what was meant by them was not read"
        );
    }
    if rubbish + report.objects_failed + report.records_astray() > 0 {
        tracing::warn!(
            "finished with dead letters: {} objects failed, {} records rejected, {} put elsewhere by the sink, {} dropped by it",
            report.objects_failed,
            report.records_rejected,
            report.records_redirected,
            report.records_dropped
        );
        return ExitCode::from(EXIT_DEAD_LETTERS);
    }
    if !matches!(plan.destination, Destination::Stats) {
        tracing::info!(
            "finished: {} objects, {} records written, {} of them there before, {} left out by the filter",
            report.objects,
            report.records_out,
            report.records_duplicate,
            report.records_filtered
        );
    }
    ExitCode::SUCCESS
}
