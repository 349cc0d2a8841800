//! `run`: the operator as a program. Health and metrics first, then the definitions must be there, then the lease, then jobs.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Config,
    api::ListParams,
    runtime::events::{Event, EventType},
};
use pf_telemetry::{Health, Shutdown, server::Server};

use crate::{
    args::Run,
    controller::{Controller, Settings, report, watch},
    crd::{self, IngestJob},
    leader::{Candidate, Durations},
    metrics::Metrics,
    queue::Queues,
};

/// How often the definitions are looked for while they are missing.
const LOOK_FOR_DEFINITIONS: Duration = Duration::from_secs(5);

/// Runs until asked to stop.
pub async fn run(args: &Run) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let registry = prometheus::Registry::new();
    let metrics = Metrics::new(&registry);
    let health = Health::default();
    let server = Server::start(args.metrics_addr, registry, health.clone()).await?;
    let outcome = tokio::select! {
        outcome = work(args, metrics, &health, &shutdown) => outcome,
        // Whoever asks twice does not want to wait for the steps under way.
        () = shutdown.aborted() => Ok(()),
    };
    health.set_ready(false);
    server.stop().await?;
    outcome
}

async fn work(args: &Run, metrics: Metrics, health: &Health, shutdown: &Shutdown) -> anyhow::Result<()> {
    let mut config = Config::infer()
        .await
        .context("cannot find out how to reach the API server")?;
    // Who is refused waits in its own queue, and does not keep others waiting: see `controller::watching`.
    config.default_retry = false;
    let client = Client::try_from(config).context("cannot make a client of the API server")?;
    if !definitions(args, &client, shutdown).await {
        return Ok(());
    }
    health.set_ready(true);
    let settings = Settings {
        image: args.image.clone(),
        look_every: args.look_every.0,
        idle_for: args.idle_for.0,
        instance: args.pod_name.clone(),
    };
    let controller = Arc::new(Controller::new(client.clone(), settings, Queues::default(), metrics));
    if args.no_leader_election {
        watch(controller, args.watch_namespace.as_deref(), shutdown).await;
        return Ok(());
    }
    let identity = format!(
        "{}_{:016x}",
        args.pod_name.as_deref().unwrap_or("pf-operator"),
        fastrand::u64(..)
    );
    let candidate = Candidate::new(client, &args.namespace, &args.lease, identity, Durations::default());
    lead(candidate, controller, args.watch_namespace.as_deref(), shutdown).await
}

/// Waits for the lease, and works as long as it is ours, until asked to stop. The error says why it is ours no more.
pub async fn lead(
    mut candidate: Candidate,
    controller: Arc<Controller>,
    namespace: Option<&str>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    tokio::select! {
        () = candidate.lead() => {}
        () = shutdown.draining() => return Ok(()),
    }
    let lost = tokio::select! {
        why = candidate.keep() => Some(why),
        () = watch(controller, namespace, shutdown) => None,
    };
    if let Some(why) = lost {
        // The steps under way were cut: somebody else may take them now.
        bail!("no longer leading: {why}");
    }
    candidate.let_go().await;
    Ok(())
}

/// Waits until the API server knows IngestJobs, and tells once that it does not. False when asked to stop meanwhile.
async fn definitions(args: &Run, client: &Client, shutdown: &Shutdown) -> bool {
    let jobs: Api<IngestJob> = match &args.watch_namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut told = false;
    loop {
        match jobs.list(&ListParams::default().limit(1)).await {
            Ok(_) => return true,
            // The answer about a group that nobody serves is a plain text, without a reason that could be read.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                if !told {
                    told = true;
                    missing(args, client).await;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot list IngestJobs"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_FOR_DEFINITIONS) => {}
            () = shutdown.draining() => return false,
        }
    }
}

async fn missing(args: &Run, client: &Client) {
    let note = format!(
        "the API server does not know {} ({}/{}): install the chart of the definitions, or apply what `pf-operator crd` prints",
        crd::KIND,
        crd::GROUP,
        crd::VERSION
    );
    tracing::error!("{note}");
    let Some(pod) = &args.pod_name else { return };
    let recorder = report::recorder(client, Some(pod.clone()));
    let event = Event {
        type_: EventType::Warning,
        reason: "DefinitionsMissing".to_owned(),
        note: Some(note),
        action: "Wait".to_owned(),
        secondary: None,
    };
    let pod = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.clone()),
        namespace: Some(args.namespace.clone()),
        ..ObjectReference::default()
    };
    if let Err(error) = recorder.publish(&event, &pod).await {
        tracing::warn!(%error, "cannot publish an event");
    }
}
