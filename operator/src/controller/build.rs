//! The children of a job, as they are to be: a job and its plan in, Kubernetes objects out. Pure, one file for each kind.

mod budget;
mod credentials;
mod deployment;
mod job;
mod pod;

pub(crate) use self::{
    credentials::{QUEUE_KEY, queue_secret},
    pod::secrets,
};

use k8s_openapi::{
    api::{apps::v1::Deployment, batch::v1::Job, policy::v1::PodDisruptionBudget},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource as _, ResourceExt as _};
use thiserror::Error;

use super::names::{self, Place, Role};
use crate::{crd::IngestJob, plan::Plan};

/// Where the Secrets that a job names are mounted, each in a folder of its name.
pub const SECRETS_FOLDER: &str = "/etc/paraflow/secrets";

/// The port of a worker's metrics and probes.
pub const METRICS_PORT: u16 = 9090;

/// What children are made of, besides the job.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// The command lines.
    pub plan: &'a Plan,
    /// The image that has all programs.
    pub image: &'a str,
    /// A hash of what the Secrets that the job names hold.
    pub secrets_hash: &'a str,
    /// Which run, and which proof.
    pub place: Place,
}

/// Why children can't be made: the pod template of the job's author is none.
#[derive(Debug, Error)]
#[error("{field}: {wrong}")]
pub struct Error {
    /// The field.
    pub field: &'static str,
    /// What is wrong.
    pub wrong: String,
}

/// All that a job can need in its place. Which of them it needs now is not decided here.
#[derive(Debug, Clone, PartialEq)]
pub struct Children {
    /// Runs once.
    pub discoverer: Job,
    /// Without a number of replicas: that is the scaler's.
    pub workers: Deployment,
    /// Of the workers.
    pub budget: PodDisruptionBudget,
    /// Of this proof.
    pub verify: Job,
    /// After this proof, if items are missing.
    pub redrive: Job,
}

/// Makes them.
pub fn children(job: &IngestJob, material: Material<'_>) -> Result<Children, Error> {
    Ok(Children {
        discoverer: job::discoverer(job, material)?,
        workers: deployment::workers(job, material)?,
        budget: budget::workers(job, material.place),
        verify: job::verify(job, material)?,
        redrive: job::redrive(job, material)?,
    })
}

/// Name, labels and owner of a child.
fn metadata(job: &IngestJob, role: Role, place: Place) -> ObjectMeta {
    ObjectMeta {
        name: Some(names::child(job, role, place)),
        namespace: job.namespace(),
        labels: Some(names::labels(job, role, place)),
        owner_references: Some(vec![owner(job)]),
        ..ObjectMeta::default()
    }
}

fn owner(job: &IngestJob) -> OwnerReference {
    job.controller_owner_ref(&())
        .expect("a job that was read from the API server has a name and a uid")
}
