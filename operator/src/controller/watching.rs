//! The streams that wake jobs: jobs themselves, and the Jobs, Deployments and pods that belong to one. Never Secrets.

mod watched;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        controller::{Action, Config, Controller as Runtime},
        reflector::ObjectRef,
        watcher,
    },
};
use pf_telemetry::Shutdown;

use self::watched::Watched;
use super::{Controller, Error, names, status};
use crate::crd::IngestJob;

/// Jobs that take a step at the same time.
const CONCURRENCY_MAX: u16 = 16;

/// Jobs that are listed at once: what is not decoded yet is in memory beside what is.
const PAGE_JOBS: u32 = 100;

/// How often jobs are counted.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// By when the first list of jobs is there. If it comes later, there are no jobs until then, for those who read metrics.
const LISTED_WITHIN: Duration = Duration::from_secs(30);

/// Watches a namespace, or all, and takes each job as far as it can go, until asked to stop and the steps under way are done.
pub async fn watch(controller: Arc<Controller>, namespace: Option<&str>, shutdown: &Shutdown) {
    let client = controller.client.clone();
    let of_job = watcher::Config::default().labels(names::JOB);
    let stop = shutdown.clone();
    let runtime = Runtime::new(
        api::<Watched>(&client, namespace),
        watcher::Config::default().page_size(PAGE_JOBS),
    );
    let store = runtime.store();
    let watched = Arc::clone(&controller);
    watched.metrics.leads();
    let gauge = tokio::spawn(async move {
        let began = Instant::now();
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            let jobs = store.state();
            // The store is filled at once. Until then fewer would be told than there are. It can't be waited for: only one may
            // wait for a store, and that is the runtime.
            if jobs.is_empty() && began.elapsed() < LISTED_WITHIN {
                continue;
            }
            let jobs = jobs.iter().filter_map(|job| job.job().ok());
            watched.metrics.jobs(jobs.map(|job| job.status.as_ref()));
        }
    });
    runtime
        .with_config(Config::default().concurrency(CONCURRENCY_MAX))
        .owns(api::<Job>(&client, namespace), of_job.clone())
        .owns(api::<Deployment>(&client, namespace), of_job.clone())
        .watches(api::<Pod>(&client, namespace), of_job, |pod: Pod| {
            let name = pod.labels().get(names::JOB)?;
            let namespace = pod.namespace()?;
            Some(ObjectRef::<Watched>::new(name).within(&namespace))
        })
        .graceful_shutdown_on(async move { stop.draining().await })
        .run(step, failed, controller)
        .for_each(|taken| async move {
            if let Err(error) = taken {
                tracing::debug!(%error, "a step was not taken");
            }
        })
        .await;
    gauge.abort();
}

fn api<K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>>(
    client: &Client,
    namespace: Option<&str>,
) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn step(job: Arc<Watched>, controller: Arc<Controller>) -> Result<Action, Error> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    match job.job() {
        Ok(known) if is_at_rest(known) => return Ok(Action::await_change()),
        Ok(_) => {}
        Err(invalid) => {
            tracing::error!(%namespace, job = %name, error = %invalid.error, "an IngestJob can't be read, and is left alone");
            return Ok(Action::await_change());
        }
    }
    let timer = controller.metrics.step();
    let again = controller.reconcile(&namespace, &name).await;
    timer.done(again.is_ok());
    let again = again?;
    controller.succeeded(&job.uid().unwrap_or_default());
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// Whether nothing can come of a look at a job: it is over, its workers are gone, and nobody waits for it to be cleaned up.
/// Thousands of these must cost nothing. What is over stays over, so that what the watch has seen last is good enough.
fn is_at_rest(job: &IngestJob) -> bool {
    let Some(last) = &job.status else { return false };
    let nonce = last.run.as_ref().and_then(|run| run.nonce.as_ref());
    status::is_over(last.phase)
        && last.workers.unwrap_or(0) == 0
        && last.observed_generation == job.metadata.generation
        && nonce == job.spec.restart_nonce.as_ref()
        && job.metadata.deletion_timestamp.is_none()
        && (job.spec.ttl_seconds_after_finished.is_none() || last.queue.is_none())
}

#[allow(clippy::needless_pass_by_value, reason = "the runtime calls it so")]
fn failed(job: Arc<Watched>, error: &Error, controller: Arc<Controller>) -> Action {
    let pause = controller.pause(&job.uid().unwrap_or_default());
    let pause = pause.max(error.retry_after().unwrap_or_default());
    let source = std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default();
    // Somebody else wrote first: what they wrote is read next time.
    if is_conflict(error) {
        tracing::debug!(job = job.name_any(), %error, source, "taking the step again");
    } else {
        tracing::warn!(job = job.name_any(), %error, source, again_in_ms = pause.as_millis(), "a step failed");
    }
    Action::requeue(pause)
}

fn is_conflict(error: &Error) -> bool {
    match error {
        Error::Kubernetes {
            source: kube::Error::Api(status),
            ..
        } => status.is_conflict(),
        Error::Kubernetes { .. } | Error::Queue { .. } | Error::TooLong => false,
    }
}
