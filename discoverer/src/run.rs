//! One run: the listing on one side, the writer on the other, a bounded channel between them.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::{Context as _, Result, ensure};
use pf_state::{Books, Seal};
use pf_storage::{ListRequest, ObjectUri, Storage};
use pf_telemetry::{Health, Shutdown, server::Server};
use pf_work::discovery::Discovered;
use prometheus::Registry;
use tokio::sync::mpsc;

use crate::{
    counts::Counts,
    dry_run, lines,
    listing::{self, Found, Listing},
    numbering::{Offered, Terms},
    offer,
    outlet::Outlet,
    plan::{Destination, KeptJob, Plan},
    queue,
    recording::Recording,
    summary,
    totals::Totals,
    verify::Verdict,
};

/// How a run without errors ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As planned, or because nobody reads any more.
    Complete,
    /// Somebody asked to stop: not everything was listed.
    Interrupted,
    /// How the job stands that was looked at.
    Verified(Verdict),
    /// Some records could not be given back whole, some objects not as they are, or some objects have no address.
    LeftOut,
    /// Nothing belongs to the job, and that is not allowed.
    Empty,
    /// More records were rejected than are allowed.
    BudgetSpent,
}

/// Lists and offers everything that the plan selects, and tells of it meanwhile where the plan says so.
pub(crate) async fn run(plan: Plan, shutdown: &Shutdown) -> Result<Outcome> {
    let registry = Registry::new();
    let totals = Totals::new(&registry);
    let health = Health::default();
    let server = match plan.metrics_addr {
        Some(address) => Some(Server::start(address, registry, health.clone()).await?),
        None => None,
    };
    let outcome = discover(plan, totals, &health, shutdown).await;
    health.set_ready(false);
    if let Some(server) = server {
        server.stop().await?;
    }
    outcome
}

async fn discover(plan: Plan, totals: Totals, health: &Health, shutdown: &Shutdown) -> Result<Outcome> {
    let Plan {
        storage,
        root,
        partitioning,
        parallel_max,
        selection,
        naming,
        splitting,
        objects_max,
        job,
        run,
        allow_empty,
        dry_run,
        destination,
        state,
        summary,
        metrics_addr: _,
    } = plan;
    let storage = Storage::new(storage);
    // A dry run leaves everything as it is.
    let (destination, state) = if dry_run {
        (Destination::Stdout, None)
    } else {
        (destination, state)
    };
    let (writer, reader_is_there) = tokio::select! {
        ready = Writer::ready(destination, &storage, &root, state) => ready?,
        () = shutdown.draining() => return Ok(Outcome::Interrupted),
    };
    if let Some(recording) = &writer.recording
        && (recording.is_sealed() || !reader_is_there)
    {
        tell_of_earlier_run(recording, reader_is_there);
        if !reader_is_there {
            return Ok(Outcome::Complete);
        }
        let offered = recording.before().into();
        summarise(summary.as_deref(), job, offered, Some(recording.books())).await?;
        return Ok(unless_empty(offered, allow_empty));
    }
    let cursors = writer.recording.as_ref().map(Recording::cursors).unwrap_or_default();
    let counts = Counts::default();
    let listing = Listing {
        storage: &storage,
        root: &root,
        partitioning: partitioning.as_ref(),
        selection: &selection,
        splitting,
        parallel_max,
        cursors: &cursors,
        in_order: writer.recording.is_some(),
        counts: &counts,
    };
    if dry_run {
        let report = tokio::select! {
            report = dry_run::report(&listing) => report?,
            () = shutdown.draining() => return Ok(Outcome::Interrupted),
        };
        lines::write(report.into_bytes())
            .await
            .context("cannot write the report")?;
        return Ok(Outcome::Complete);
    }
    health.set_ready(true);
    let (sender, receiver) = mpsc::channel(listing::PAGES_WAITING_MAX);
    let books = writer.recording.as_ref().map(|recording| recording.books().clone());
    let is_again = writer.recording.as_ref().is_some_and(Recording::is_again);
    let terms = Terms {
        job: job.clone(),
        life: writer.recording.as_ref().and_then(Recording::life),
        run,
        naming,
        objects_max,
        totals,
    };
    let writer = tokio::spawn(writer.write(receiver, terms, counts.archived_so_far()));

    let listed = tokio::select! {
        listed = listing.run(&sender) => Some(listed),
        () = sender.closed() => Some(Ok(())),
        () = shutdown.draining() => None,
    };
    // The writer ends when nobody can send any more.
    drop(sender);
    let (mut offered, recording) = tokio::select! {
        written = writer => written.context("the writer panicked")??,
        () = shutdown.aborted() => return Ok(Outcome::Interrupted),
    };
    let end = match &listed {
        _ if offered.reader_left => "the reader of the items left before the end",
        Some(Ok(())) if objects_max == Some(offered.objects) => "stopped at --max-objects",
        Some(Ok(())) => "listed",
        Some(Err(_)) => "failed before the end",
        None => "interrupted before the end",
    };
    tell(&counts, offered, recording.as_ref().map(Recording::before), end);
    let Some(listed) = listed else {
        tracing::warn!("interrupted: the items offered are not all that match");
        return Ok(Outcome::Interrupted);
    };
    listed?;
    offered.archived = counts.archived();
    if let Some(mut recording) = recording
        && !offered.reader_left
    {
        offered.archived = recording.seal(offered.archived).await?;
    }
    if !offered.reader_left {
        summarise(summary.as_deref(), job, offered, books.as_ref()).await?;
    }
    warn_of_folders(&counts);
    warn_of_archived(&counts);
    if counts.matched.load(Relaxed) == 0 && (offered.items == 0 || is_again) {
        let whereabouts = Whereabouts {
            root: &root,
            is_partitioned: partitioning.is_some(),
            is_behind_an_earlier_run: !cursors.is_empty(),
        };
        warn_of_nothing(&counts, &whereabouts);
    }
    if let Some((count, names)) = counts.unnameable() {
        tracing::warn!("{count} objects were left out because their names are not UTF-8: rename {names}");
        return Ok(Outcome::LeftOut);
    }
    Ok(if offered.reader_left {
        Outcome::Complete
    } else {
        unless_empty(offered, allow_empty)
    })
}

/// A job to which nothing belongs may be a slip of the pen, and is no plain success.
fn unless_empty(offered: Offered, allow_empty: bool) -> Outcome {
    if offered.items > 0 || allow_empty {
        return Outcome::Complete;
    }
    tracing::warn!("nothing belongs to the job: if that is as it should be, say --allow-empty");
    Outcome::Empty
}

/// Tells whoever waits for it how much there is in all.
async fn summarise(file: Option<&Path>, job: String, offered: Offered, books: Option<&Books>) -> Result<()> {
    let life = books.and_then(Books::life);
    let discovered = Discovered {
        job,
        owner: life.map(|life| life.owner.clone()),
        life: life.map(|life| life.id.clone()),
        resumed_from: books.and_then(Books::taken_from).map(str::to_owned),
        items: offered.items,
        objects: offered.objects,
        object_bytes: offered.bytes,
        archived: offered.archived,
    };
    summary::write(file, || discovered.to_json()).await
}

/// Takes what is found.
struct Writer {
    outlet: Outlet,
    recording: Option<Recording>,
}

impl Writer {
    /// Looks whether everything is in place, and offers what an earlier run of the job left. Also says whether whoever reads
    /// the items is still there.
    async fn ready(
        destination: Destination,
        storage: &Storage,
        root: &ObjectUri,
        state: Option<KeptJob>,
    ) -> Result<(Self, bool)> {
        let outlet = Outlet::open(destination).await?;
        see_root(storage, root).await?;
        let (recording, reader_is_there) = match state {
            None => (None, true),
            Some(job) => {
                let recording = Recording::open(job).await?;
                let reader_is_there = recording.catch_up(&outlet).await?;
                (Some(recording), reader_is_there)
            }
        };
        Ok((Self { outlet, recording }, reader_is_there))
    }

    /// Records and writes what is found to where it goes, until there is no more.
    async fn write(
        self,
        pages: mpsc::Receiver<Vec<Found>>,
        terms: Terms,
        archived: Arc<AtomicU64>,
    ) -> Result<(Offered, Option<Recording>)> {
        let Self { outlet, recording } = self;
        if let Some(mut recording) = recording {
            let offered = recording.run(pages, terms, &outlet, &archived).await?;
            return Ok((offered, Some(recording)));
        }
        let offered = match outlet {
            Outlet::Queue(queue) => queue::offer(pages, terms, &queue).await?,
            Outlet::Stdout => {
                let written = tokio::task::spawn_blocking(move || offer::offer(pages, terms, io::stdout()));
                let written = written.await.context("the writer panicked")?;
                written.context("cannot write to standard output")?
            }
        };
        Ok((offered, None))
    }
}

fn tell_of_earlier_run(recording: &Recording, reader_is_there: bool) {
    let Seal {
        items,
        objects,
        bytes,
        archived,
        parts: _,
        superseding: _,
    } = recording.before();
    if reader_is_there {
        tracing::warn!(
            items,
            objects,
            bytes,
            archived,
            "the job was listed to its end by an earlier run, so nothing new is looked for: --again adds what is new since, \
             and another --job begins anew"
        );
    } else {
        tracing::info!("the reader of the items left before the end");
    }
}

/// What ends without a slash may be a mistyped folder. On S3 any prefix may be empty; of files, somebody wanted one.
async fn see_root(storage: &Storage, root: &ObjectUri) -> Result<()> {
    if matches!(root, ObjectUri::File { path } if !path.ends_with('/')) {
        let request = ListRequest {
            prefix: root.clone(),
            start_after: None,
            by_folder: true,
            continuation: None,
            page_size: 1,
        };
        let seen = storage.list(&request).await?;
        ensure!(
            !seen.objects.is_empty() || !seen.common_prefixes.is_empty(),
            "there is no file or folder {root}, and no file below a name that begins with it"
        );
    }
    Ok(())
}

/// Says what this run did; what an earlier one put into the manifest is not counted.
fn tell(counts: &Counts, offered: Offered, before: Option<Seal>, end: &str) {
    let before = before.unwrap_or_default();
    let items = offered.items - before.items;
    let objects = offered.objects - before.objects;
    let bytes = offered.bytes - before.bytes;
    let skips = counts.skips();
    tracing::info!(
        prefixes = counts.prefixes.load(Relaxed),
        requests = counts.requests.load(Relaxed),
        keys = counts.keys.load(Relaxed),
        matched = counts.matched.load(Relaxed),
        skipped = if skips.is_empty() { "none" } else { &skips },
        objects,
        items,
        bytes,
        "{end}"
    );
}

fn warn_of_folders(counts: &Counts) {
    let (_, unread) = counts.folders();
    if unread > 0 {
        let names = counts.unread_folders();
        tracing::warn!("{unread} folders don't fit --partitioning and were not gone into: {names}");
    }
}

fn warn_of_archived(counts: &Counts) {
    let archived = counts.archived();
    if archived > 0 {
        tracing::warn!(
            "{archived} objects were left out because they are archived: restore them, and list again; \
             --include-archived takes them as they are"
        );
    }
}

/// Where was looked.
struct Whereabouts<'a> {
    root: &'a ObjectUri,
    is_partitioned: bool,
    /// Only behind the keys that an earlier run of the job had seen.
    is_behind_an_earlier_run: bool,
}

fn warn_of_nothing(counts: &Counts, whereabouts: &Whereabouts<'_>) {
    let Whereabouts {
        root,
        is_partitioned,
        is_behind_an_earlier_run,
    } = *whereabouts;
    let (kept_out, unread) = counts.folders();
    let prefixes = counts.prefixes.load(Relaxed);
    let keys = counts.keys.load(Relaxed);
    let skips = counts.skips();
    let why = if kept_out + unread > 0 {
        let of_keys = if keys == 0 {
            String::new()
        } else {
            format!("; of {keys} keys {skips}")
        };
        format!(
            "no key below {root} is in a partition that is asked for; of the folders found, {kept_out} are kept out by \
             --filter and {unread} don't fit --partitioning{of_keys}"
        )
    } else if keys > 0 {
        format!("of {keys} keys {skips}")
    } else if !skips.is_empty() {
        skips
    } else if is_behind_an_earlier_run {
        format!("no key below {root} comes after those that an earlier run of the job had seen")
    } else if is_partitioned {
        format!("no key below {root} is in any of the {prefixes} partitions that were looked into")
    } else {
        format!("no key begins with {root}")
    };
    tracing::warn!("nothing to offer: {why}");
}
