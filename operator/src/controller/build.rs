//! The children of a job, as they are to be: a job and its plan in, Kubernetes objects out. Pure, one file for each kind.

mod account;
mod budget;
mod contents;
mod credentials;
mod deployment;
mod job;
mod network;
mod pod;
mod verbatim;

pub(crate) use self::{
    contents::{Entries, Kind, contents},
    credentials::{QUEUE_KEY, queue_secret},
};

use k8s_openapi::{
    api::{
        apps::v1::Deployment, batch::v1::Job, core::v1::ServiceAccount, networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use thiserror::Error;

use super::names::{self, Place, Role};
use crate::{crd::IngestJob, plan::Plan};

/// Where the Secrets that a job names are mounted, each in a folder of its name.
pub const SECRETS_FOLDER: &str = "/etc/paraflow/secrets";

/// Characters of a hash that tell one state of a child from another.
const HASH_CHARACTERS: usize = 16;

/// The port of the metrics of workers and discoverers, and of the workers' probes.
pub const METRICS_PORT: u16 = 9090;

/// What children are made of, besides the job.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// The command lines.
    pub plan: &'a Plan,
    /// The image that has all programs.
    pub image: &'a str,
    /// A hash of what workers read of Secrets and ConfigMaps.
    pub contents_hash: &'a str,
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
    /// Of all its pods; absent: the job names one.
    pub account: Option<ServiceAccount>,
    /// Of all its pods; absent: the job asks for none.
    pub network: Option<NetworkPolicy>,
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

/// Whether the job's pods run as an account that is the job's own.
pub(crate) fn has_own_account(job: &IngestJob) -> bool {
    account::own(job, Place::of(job)).is_some()
}

/// Makes them.
pub fn children(job: &IngestJob, material: Material<'_>) -> Result<Children, Error> {
    Ok(Children {
        account: account::own(job, material.place).map(sealed),
        network: network::policy(job, material.plan, material.place).map(sealed),
        discoverer: job::discoverer(job, material)?,
        workers: sealed(deployment::workers(job, material)?),
        budget: sealed(budget::workers(job, material.place)),
        verify: job::verify(job, material)?,
        redrive: job::redrive(job, material)?,
    })
}

/// A child that can change, with a hash of all that is wished for in it.
fn sealed<K: Resource + Serialize>(mut child: K) -> K {
    let text = serde_json::to_vec(&child).expect("objects of Kubernetes are plain data");
    let hash = names::hash([text.as_slice()])[..HASH_CHARACTERS].to_owned();
    let annotations = child.meta_mut().annotations.get_or_insert_default();
    annotations.insert(names::WISHED_HASH.to_owned(), hash);
    child
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
