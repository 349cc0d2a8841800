//! What the scaler is given: a job and what is known of it in, the scaler's own terms out. Pure.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    facts::{Facts, Trouble},
    status,
};
use crate::{
    crd::{IngestJob, IngestJobStatus, ScalingMode},
    fleet::Report,
    scaler::{Depth, Inputs, Mode, Wishes},
};

/// What the scaler is told.
pub(super) fn inputs(job: &IngestJob, facts: &Facts, depth: Option<Depth>, fleet: &Report) -> Inputs {
    let live = facts.workers.as_ref().and_then(|workers| workers.spec.as_ref());
    let status = job.status.as_ref();
    Inputs {
        depth,
        replicas: live
            .and_then(|spec| spec.replicas)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0),
        busy: fleet.busy,
        discovering: !status.is_some_and(|status| status::holds(status, status::DISCOVERED)),
        saturated: fleet.saturated || matches!(facts.trouble, Some(Trouble::Refused { .. })),
        bytes_left: depth.zip(status).and_then(|(depth, status)| bytes_left(status, depth)),
        bytes_per_worker: fleet.bytes_per_worker,
    }
}

/// What is still to be read, once all is known: as if all work items were alike.
fn bytes_left(status: &IngestJobStatus, depth: Depth) -> Option<u64> {
    let items = status.items.as_ref().filter(|items| items.discovered_is_final)?;
    let count = |count: i64| u128::try_from(count).unwrap_or(0);
    let left = count(items.discovered_bytes) * u128::from(depth.backlog());
    u64::try_from(left.checked_div(count(items.discovered))?).ok()
}

/// What the job says of the number of workers, with the schema's defaults. `clock` is where the scaler's clock stands at
/// `now`.
pub(super) fn wishes(job: &IngestJob, now: Timestamp, clock: Duration) -> Wishes {
    let defaults = Wishes::default();
    let workers = job.spec.workers.clone().unwrap_or_default();
    let scaling = workers.scaling.unwrap_or_default();
    let after = scaling.scale_down_after_seconds;
    let due = scaling.complete_by.map(|time| time.0).or_else(|| {
        let started = job.status.as_ref()?.run.as_ref()?.started_at.as_ref()?.0;
        let span: SignedDuration = scaling.target_duration?.parse().ok()?;
        started.checked_add(span).ok()
    });
    let due = due.map(|due| {
        let left = Duration::try_from(due.duration_since(now)).unwrap_or_default();
        clock + left
    });
    Wishes {
        min: workers.min.unwrap_or(defaults.min),
        max: workers.max.unwrap_or(defaults.max),
        items_per_worker: scaling.items_per_worker.unwrap_or(defaults.items_per_worker).max(1),
        scale_down_after: after.map_or(defaults.scale_down_after, |seconds| Duration::from_secs(seconds.into())),
        due,
        mode: match (scaling.mode, workers.replicas) {
            (Some(ScalingMode::External), replicas) => Mode::External(replicas),
            (None | Some(ScalingMode::Fixed), Some(replicas)) => Mode::Fixed(replicas),
            // The schema lets no job through that is fixed at nothing, or managed and given a number.
            (None | Some(ScalingMode::Fixed), None) | (Some(ScalingMode::Managed), _) => Mode::Managed,
        },
    }
}
