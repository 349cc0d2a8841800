//! A job's life: what is known of it in, what is to be done next out. Pure; nothing here remembers anything, because all that
//! must be remembered is in the status or in the children, and so a restart at any moment goes on where it was.
//!
//! Two rules hold it together. What must be known before something is done is written to the status first, in a step of its
//! own ([`Next::Mark`]): that the job was started before its discoverer is, that it is over before its workers go. And what is
//! over stays over.

mod discovering;
mod leaving;
mod proving;
mod verdict;
mod working;

pub use self::{
    discovering::STATE_IN_USE,
    leaving::{keeping_queue, without_queue},
};

use std::time::Duration;

use k8s_openapi::{
    api::{
        apps::v1::Deployment, batch::v1::Job, core::v1::ServiceAccount, networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt as _;

use super::{
    facts::{Facts, Queue},
    names::{self, Place},
    status::{self, Draft},
};
use crate::{
    crd::{IngestJob, IngestJobStatus, Phase, QueueStatus, Run},
    plan::{self, Cluster, Plan, Settings},
    validate::Complaint,
};

/// How soon a job is looked at again whose Secrets or whose queue somebody must see to: nobody tells us when they did.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The address that a plan is tried with before there is a queue.
const NO_QUEUE: &str = "https://queue.invalid/0/none";

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Put our finalizer on the job, then ask again.
    Hold,
    /// Make the job's own queue, then ask again with the answer.
    MakeQueue,
    /// Look at the queue that the job names, then ask again with the answer.
    LookAtQueue,
    /// Write this status before anything else is done, then ask again.
    Mark(Box<IngestJobStatus>),
    /// Remove the job's own queue, then ask again.
    RemoveQueue(QueueStatus),
    /// Take our finalizer away. There is nothing more to do.
    LetGo,
    /// Do all of this.
    Do(Box<Turn>),
}

/// One turn of a job's life.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// What to do, in this order.
    pub deeds: Vec<Deed>,
    /// The status after that.
    pub status: IngestJobStatus,
    /// When to look again, where nothing that is watched may change.
    pub again: Option<Duration>,
}

/// Something to do to a child.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// Make a Job, unless it is there.
    Start(Box<Job>),
    /// Let a Job rest, or go on.
    Rest {
        /// Its name.
        name: String,
        /// Whether it rests.
        rest: bool,
    },
    /// Make the account of the pods, or change it.
    Account(Box<ServiceAccount>),
    /// Make the network policy of the pods, or change it.
    Network(Box<NetworkPolicy>),
    /// Make the worker Deployment, or change it.
    Workers(Box<Deployment>),
    /// Make the workers' disruption budget, or change it.
    Budget(Box<PodDisruptionBudget>),
    /// Say what a worker pod's deletion costs.
    Cost {
        /// The pod's name.
        pod: String,
        /// Leases that it holds.
        cost: i32,
    },
    /// Set the number of workers.
    Scale {
        /// The Deployment's name.
        name: String,
        /// The number.
        replicas: u32,
    },
    /// Delete a Job with its pods.
    DeleteJob(String),
    /// Delete the worker Deployment: its pods are asked to stop.
    DeleteWorkers(String),
    /// Delete the workers' disruption budget.
    DeleteBudget(String),
    /// Delete the account of the pods.
    DeleteAccount(String),
    /// Delete the network policy of the pods.
    DeleteNetwork(String),
}

/// What the operator adds to every job.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The image that has all programs.
    pub image: &'a str,
    /// How often a job that is at work is looked at.
    pub look_every: Duration,
}

/// What is to be done next about a job.
pub fn next(job: &IngestJob, facts: &Facts, surroundings: Surroundings<'_>) -> Next {
    let last = job.status.as_ref();
    if job.metadata.deletion_timestamp.is_some() {
        return leaving::next(job, facts);
    }
    if status::is_over(last.and_then(|status| status.phase)) {
        return leaving::over(job, facts);
    }
    match last.and_then(|status| status.queue.as_ref()) {
        None => start(job, facts),
        Some(queue) => working::next(job, facts, queue, surroundings),
    }
}

/// Whether our finalizer is on the job.
fn is_held(job: &IngestJob) -> bool {
    job.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER)
}

/// Whether the job makes a queue of its own.
pub fn owns_queue(job: &IngestJob) -> bool {
    let queue = job.spec.queue.as_ref();
    queue.is_none_or(|queue| queue.sqs.url.is_none())
}

/// A turn without deeds.
fn wait(draft: Draft, again: Option<Duration>) -> Next {
    Next::Do(Box::new(Turn {
        deeds: Vec::new(),
        status: draft.status,
        again,
    }))
}

fn draft(job: &IngestJob, facts: &Facts) -> Draft {
    Draft::new(job.status.as_ref(), job.metadata.generation, facts.now)
}

/// The command lines for a cluster, with this queue. The complaints name every field that can't be honoured.
pub fn plan(job: &IngestJob, queue: &QueueStatus) -> Result<Plan, Vec<Complaint>> {
    let given = job
        .spec
        .queue
        .as_ref()
        .and_then(|queue| queue.sqs.dead_letter_queue_url.as_deref());
    let settings = Settings {
        secrets: Some(super::build::SECRETS_FOLDER.as_ref()),
        cluster: Some(Cluster {
            books: &names::books(job),
            owner: &names::owner(job),
            run: Place::of(job).run,
            queue_url: &queue.url,
            dead_letter_queue_url: queue.dead_letter_queue_url.as_deref().or(given),
        }),
        ..Settings::default()
    };
    plan::plan(job, &settings)
}

fn told(complaints: &[Complaint]) -> String {
    let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// Before a run: everything must be in order, and there must be a queue. Then it is noted that the run has begun.
fn start(job: &IngestJob, facts: &Facts) -> Next {
    let mut draft = draft(job, facts);
    draft.status.phase = Some(Phase::Pending);
    if job.spec.suspend == Some(true) {
        draft.status.phase = Some(Phase::Suspended);
        draft.clear(status::RECONCILING);
        draft.clear(status::STALLED);
        draft.set(status::SUSPENDED, true, "Suspended", "spec.suspend is true");
        draft.set(status::READY, false, "Suspended", "spec.suspend is true");
        return wait(draft, None);
    }
    let tried = QueueStatus {
        url: NO_QUEUE.to_owned(),
        ..QueueStatus::default()
    };
    if let Err(complaints) = plan(job, &tried) {
        draft.stalled("Invalid", &told(&complaints));
        return wait(draft, None);
    }
    if !facts.missing.is_empty() {
        draft.stalled("NotFound", &told(&facts.missing));
        return wait(draft, Some(ASK_AGAIN));
    }
    if owns_queue(job) && !is_held(job) {
        return Next::Hold;
    }
    match &facts.queue {
        Queue::Unasked if owns_queue(job) => Next::MakeQueue,
        Queue::Unasked => Next::LookAtQueue,
        Queue::Refused { why } => {
            draft.stalled("QueueRefused", why);
            wait(draft, Some(ASK_AGAIN))
        }
        Queue::Unavailable { why } => {
            draft.reconciling("QueueUnavailable", why);
            wait(draft, Some(ASK_AGAIN))
        }
        Queue::Ready(queue) => {
            draft.status.queue = Some(queue.clone());
            draft.status.started_at = Some(Time(facts.now));
            draft.status.selector = Some(names::selector_text(&names::worker_selector(job)));
            draft.status.phase = Some(Phase::Discovering);
            let run = draft.status.run.get_or_insert_with(|| Run {
                number: 1,
                nonce: job.spec.restart_nonce.clone(),
                ..Run::default()
            });
            run.books = Some(names::books(job));
            run.started_at = Some(Time(facts.now));
            let message = "the queue is there; objects are being discovered";
            draft.reconciling("Started", message);
            draft.set(status::DISCOVERED, false, "Discovering", message);
            draft.set(status::COMPLETE, false, "Discovering", message);
            draft.set(status::FAILED, false, "Discovering", message);
            draft.set(status::SUSPENDED, false, "Discovering", message);
            Next::Mark(Box::new(draft.status))
        }
    }
}
