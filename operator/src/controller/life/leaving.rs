//! The end of a job: what is over is cleaned up when its time has come, or made ready for another run; what is deleted goes
//! once its workers have handed back what they hold and its own queue is removed. State directories are left alone.

use std::time::Duration;

use kube::ResourceExt as _;

use super::{ASK_AGAIN, Deed, Next, Turn, draft, is_held, wait};
use crate::{
    controller::{
        facts::Facts,
        names,
        status::{self, Draft},
    },
    crd::{IngestJob, IngestJobStatus, Phase, QueueStatus, Run},
};

/// How soon children that were told to go are looked for again; their ends are watched too.
const GOING: Duration = Duration::from_secs(10);

/// A job that is being deleted. Its children have it as their owner, and would go by themselves; the queue would not.
pub(super) fn next(job: &IngestJob, facts: &Facts) -> Next {
    let draft = draft(job, facts);
    if !is_held(job) {
        return wait(draft, None);
    }
    gone(facts, draft).unwrap_or(Next::LetGo)
}

/// A job that is over.
pub(super) fn over(job: &IngestJob, facts: &Facts) -> Next {
    let draft = draft(job, facts);
    let last = job.status.clone().unwrap_or_default();
    let run = last.run.clone().unwrap_or_default();
    if job.spec.restart_nonce != run.nonce {
        return again(job, facts, draft, &run);
    }
    if let Some(left) = time_left(job, &last, facts) {
        let mut deeds = Vec::new();
        if let Some(workers) = &facts.workers
            && workers.spec.as_ref().and_then(|spec| spec.replicas) != Some(0)
        {
            deeds.push(Deed::Scale {
                name: workers.name_any(),
                replicas: 0,
            });
        }
        let mut status = draft.status;
        status.workers = Some(facts.workers_running());
        return Next::Do(Box::new(Turn {
            deeds,
            status,
            again: (left < Duration::MAX).then_some(left),
        }));
    }
    match gone(facts, draft) {
        Some(next) => next,
        None if is_held(job) => Next::LetGo,
        None => wait(super::draft(job, facts), None),
    }
}

/// How long the children of a finished job stay; absent: their time has come. `Duration::MAX`: until the job is deleted.
fn time_left(job: &IngestJob, last: &IngestJobStatus, facts: &Facts) -> Option<Duration> {
    let Some(stay) = job.spec.ttl_seconds_after_finished else {
        return Some(Duration::MAX);
    };
    let ended = last.completed_at.as_ref().map_or(facts.now, |time| time.0);
    let passed = u64::try_from(facts.now.duration_since(ended).as_secs()).unwrap_or(0);
    let left = u64::from(stay).checked_sub(passed)?;
    (left > 0).then(|| Duration::from_secs(left))
}

/// One more run: first all of the last one must be gone.
fn again(job: &IngestJob, facts: &Facts, draft: Draft, run: &Run) -> Next {
    if let Some(next) = gone(facts, draft) {
        return next;
    }
    let last = job.status.clone().unwrap_or_default();
    let status = IngestJobStatus {
        observed_generation: job.metadata.generation,
        phase: Some(Phase::Pending),
        // What the job reads and writes stays as it is, from its first start on.
        started_at: last.started_at,
        run: Some(Run {
            number: run.number.max(1) + 1,
            nonce: job.spec.restart_nonce.clone(),
            ..Run::default()
        }),
        ..IngestJobStatus::default()
    };
    Next::Mark(Box::new(status))
}

/// What must still be done until nothing of the job is left but its books; absent: nothing.
fn gone(facts: &Facts, mut draft: Draft) -> Option<Next> {
    let mut deeds: Vec<Deed> = facts.jobs.iter().cloned().map(Deed::DeleteJob).collect();
    if let Some(workers) = &facts.workers
        && workers.metadata.deletion_timestamp.is_none()
    {
        deeds.push(Deed::DeleteWorkers(workers.name_any()));
    }
    deeds.extend(facts.budget.iter().map(|budget| Deed::DeleteBudget(budget.name_any())));
    deeds.extend(
        facts
            .network
            .iter()
            .map(|network| Deed::DeleteNetwork(network.name_any())),
    );
    deeds.extend(
        facts
            .account
            .iter()
            .map(|account| Deed::DeleteAccount(account.name_any())),
    );
    if !deeds.is_empty() || facts.workers.is_some() || !facts.worker_pods.is_empty() {
        draft.status.workers = Some(facts.workers_running());
        return Some(Next::Do(Box::new(Turn {
            deeds,
            status: draft.status,
            again: Some(GOING),
        })));
    }
    let queue = draft.status.queue.clone()?;
    if queue.owned {
        return Some(Next::RemoveQueue(queue));
    }
    draft.status.queue = None;
    draft.status.workers = Some(0);
    Some(Next::Mark(Box::new(draft.status)))
}

/// The status once the job's own queue is removed.
pub fn without_queue(job: &IngestJob, facts: &Facts) -> IngestJobStatus {
    let mut draft = draft(job, facts);
    draft.status.queue = None;
    draft.clear(status::STALLED);
    draft.status
}

/// The status while somebody must do something before the job's own queue can be removed, and when to try again.
pub fn keeping_queue(job: &IngestJob, facts: &Facts, queue: &QueueStatus, why: &str) -> (IngestJobStatus, Duration) {
    let mut draft = draft(job, facts);
    let (url, finalizer) = (&queue.url, names::FINALIZER);
    let message = format!(
        "the queue {url} cannot be removed: {why}. Or remove it and its dead-letter queue by hand, and then the finalizer \
         {finalizer} of the job"
    );
    if status::is_over(draft.status.phase) {
        // How it ended stays as it was told.
        draft.set(status::STALLED, true, "QueueRefused", message);
    } else {
        draft.stalled("QueueRefused", &message);
    }
    (draft.status, ASK_AGAIN)
}
