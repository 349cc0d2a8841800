//! What is known of a job when it is decided what to do: plain values, read by [`super::dereference`], judged by
//! [`super::life`].

use std::net::IpAddr;

use k8s_openapi::{
    api::{
        apps::v1::Deployment, batch::v1::Job, core::v1::ServiceAccount, networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    jiff::Timestamp,
};
use pf_work::{discovery::Discovered, proof::Summary, sqs::AccessKey};

use super::names;
use crate::{
    crd::QueueStatus,
    fleet,
    scaler::{Decision, Depth},
    validate::Complaint,
};

/// Exit codes of the programs, as their `--help` tells them. Finished, and something is not where it was to go.
pub const EXIT_DEAD_LETTERS: i32 = 2;
/// Of a discoverer: no object matched.
pub const EXIT_NOTHING_MATCHED: i32 = EXIT_DEAD_LETTERS;
/// More records were rejected than the job allows.
pub const EXIT_ERROR_BUDGET: i32 = 3;
/// Queue, storage, state or sink refuse.
pub const EXIT_REFUSED: i32 = 4;
/// A flag is wrong.
pub const EXIT_USAGE: i32 = 64;

/// All that is known.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The moment that all of this is about.
    pub now: Timestamp,
    /// The discoverer of this run.
    pub discoverer: Option<Child>,
    /// The proof of this round.
    pub verify: Option<Child>,
    /// Where the discoverer of this run can be asked for its metrics, while it runs.
    pub discoverer_at: Option<fleet::Address>,
    /// How much there is so far, as the discoverer tells it meanwhile.
    pub found: Option<fleet::Found>,
    /// How much there is in all, as soon as the discoverer told it.
    pub discovered: Option<Discovered>,
    /// What this proof told, as soon as it told it.
    pub proof: Option<Summary>,
    /// Whether this proof found more rejected records than the job allows.
    pub is_over_budget: bool,
    /// What offers again after this proof.
    pub redrive: Option<Child>,
    /// The workers.
    pub workers: Option<Deployment>,
    /// Their disruption budget.
    pub budget: Option<PodDisruptionBudget>,
    /// The job's own account.
    pub account: Option<ServiceAccount>,
    /// The network policy of its pods.
    pub network: Option<NetworkPolicy>,
    /// What has the name of a child and is not one, as in `Deployment logs-worker`.
    pub taken: Vec<String>,
    /// Worker pods that are there.
    pub worker_pods: Vec<WorkerPod>,
    /// Why workers ended that should have gone on, if one did.
    pub trouble: Option<Trouble>,
    /// Names of all Jobs of this job, of every run.
    pub jobs: Vec<String>,
    /// A hash of what workers read of Secrets and ConfigMaps.
    pub contents_hash: String,
    /// What is wrong with what the job names: Secrets, ConfigMaps and keys that are not there.
    pub missing: Vec<Complaint>,
    /// The key that the queue is asked with, where the job names a Secret for it.
    pub queue_key: Option<AccessKey>,
    /// How the queue is, as far as it was asked.
    pub queue: Queue,
    /// What the queue holds, if it could be asked.
    pub depth: Option<Depth>,
    /// How many workers there are to be; absent as long as there is no queue to go by.
    pub decision: Option<Decision>,
    /// What the workers tell of themselves.
    pub fleet: fleet::Report,
    /// The most work items that the queue had lately: its counters lag, and too many are better than too few.
    pub backlog_most: Option<u64>,
    /// How long the backlog lasts at the present rate, if that is known.
    pub lasts: Option<std::time::Duration>,
    /// Whether the queue has looked empty for long.
    pub idle: bool,
}

impl Facts {
    /// How many worker pods there are, for the status.
    pub fn workers_running(&self) -> i32 {
        i32::try_from(self.worker_pods.len()).unwrap_or(i32::MAX)
    }
}

/// A pod of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerPod {
    /// Its name.
    pub name: String,
    /// Where it can be asked for its metrics; absent: it does not run, or is told to stop.
    pub address: Option<IpAddr>,
    /// What its deletion costs, as it was written last.
    pub deletion_cost: Option<i32>,
}

/// A Job and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// As the API server has it.
    pub job: Job,
    /// How far it is.
    pub course: Course,
}

/// How far a Job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// Neither has it succeeded nor given up; it may rest.
    Running,
    /// It has succeeded.
    Succeeded,
    /// It has given up.
    Failed {
        /// What Kubernetes and the program's last words say.
        why: String,
        /// How its newest pod that failed ended, if that is known.
        ended: Option<Ended>,
    },
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// Its last words; its exit code where it had none; nothing where they went with its pod.
    pub said: String,
}

impl Ended {
    /// By what Kubernetes says of a Job that failed for an exit code ("Pod failure policy" in its documentation): pods may be
    /// gone with their nodes, and what they said with them.
    fn told(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once(" failed with exit code ")?;
        let code = rest.split(' ').next()?.parse().ok()?;
        Some(Self {
            code,
            said: String::new(),
        })
    }
}

/// Why workers ended that should have gone on. Exit codes are those of `pf-worker --help`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// More records were rejected than the job allows: it is over.
    ErrorBudget {
        /// The worker's last words.
        said: String,
    },
    /// Queue, storage, state or sink refuse, or a flag is wrong: somebody must change something.
    Refused {
        /// The worker's last words.
        said: String,
    },
}

/// How the job's queue is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Queue {
    /// Nobody has asked.
    #[default]
    Unasked,
    /// It can be used.
    Ready(QueueStatus),
    /// It can't be made or used until somebody changes something.
    Refused {
        /// What it said.
        why: String,
    },
    /// It can't be reached now.
    Unavailable {
        /// What it said.
        why: String,
    },
}

impl Child {
    /// Reads how far a Job is from its conditions. `ended` is how its newest pod that failed did.
    pub fn new(job: Job, ended: Option<Ended>) -> Self {
        let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
        let holds = |kind: &str| {
            let holding = |condition: &&k8s_openapi::api::batch::v1::JobCondition| {
                condition.type_ == kind && condition.status == "True"
            };
            conditions.into_iter().flatten().find(holding)
        };
        let course = if holds("Complete").is_some() {
            Course::Succeeded
        } else if let Some(failed) = holds("Failed") {
            let message = failed.message.as_deref().unwrap_or("it gave no reason");
            let ended = ended.or_else(|| Ended::told(message));
            let why = match &ended {
                Some(Ended { said, .. }) if !said.is_empty() => format!("{message}; its last words: {said}"),
                _ => message.to_owned(),
            };
            Course::Failed { why, ended }
        } else {
            Course::Running
        };
        Self { job, course }
    }

    /// What its program was started with.
    pub fn arguments(job: &Job) -> Option<&Vec<String>> {
        let pod = job.spec.as_ref()?.template.spec.as_ref()?;
        let ours = pod
            .containers
            .iter()
            .find(|container| container.name == names::DISCOVERER);
        ours?.args.as_ref()
    }

    /// Whether it is told to rest.
    pub fn rests(&self) -> bool {
        self.job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failed(message: &str, ended: Option<Ended>) -> Course {
        let condition = json!({"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": message});
        let job = json!({"status": {"conditions": [condition]}});
        Child::new(serde_json::from_value(job).unwrap(), ended).course
    }

    #[test]
    fn an_exit_code_is_known_also_when_the_pod_is_gone() {
        let message =
            "Container discoverer for pod a/logs-discover-x failed with exit code 4 matching FailJob rule at index 1";
        let ended = |code, said: &str| Ended {
            code,
            said: said.to_owned(),
        };
        let Course::Failed { why, ended: gone } = failed(message, None) else {
            panic!("it failed");
        };
        assert_eq!((why.as_str(), gone), (message, Some(ended(4, ""))));
        let Course::Failed { why, ended: there } = failed(message, Some(ended(4, "no"))) else {
            panic!("it failed");
        };
        assert_eq!(why, format!("{message}; its last words: no"));
        assert_eq!(there, Some(ended(4, "no")));
        for other in [
            "Job has reached the specified backoff limit",
            "x failed with exit code many",
        ] {
            assert!(
                matches!(failed(other, None), Course::Failed { ended: None, .. }),
                "{other}"
            );
        }
    }
}
