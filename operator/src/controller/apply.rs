//! Does what was decided. Writes only; each can be done again.
//!
//! Children are applied server-side, and each concern has a field manager of its own: the children, the number of workers,
//! the finalizer, the status. Jobs are made once and then only told to rest or to go on, because their pods can't be changed.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{Pod, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::{NamespaceResourceScope, params::ValidationDirective},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{
    differ::{CHILDREN_MANAGER, SCALE_MANAGER},
    life::Deed,
    names,
};
use crate::crd::{self, IngestJob, IngestJobStatus};

/// Who owns the finalizer.
const FINALIZER_MANAGER: &str = "paraflow-finalizer";
/// Who owns the status.
const STATUS_MANAGER: &str = "paraflow-status";

/// Does one thing to a child of the job.
pub(super) async fn deed(client: &Client, job: &IngestJob, deed: &Deed) -> Result<(), kube::Error> {
    let namespace = job.namespace().unwrap_or_default();
    match deed {
        Deed::Start(child) => start(client, &namespace, child).await,
        Deed::Rest { name, rest } => {
            let jobs = Api::<Job>::namespaced(client.clone(), &namespace);
            let patch = json!({"spec": {"suspend": rest}});
            let parameters = PatchParams {
                field_manager: Some(CHILDREN_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            or_gone(jobs.patch(name, &parameters, &Patch::Merge(patch)).await)
        }
        Deed::Account(account) => apply::<ServiceAccount>(client, &namespace, account).await,
        Deed::Network(network) => apply::<NetworkPolicy>(client, &namespace, network).await,
        Deed::Workers(workers) => apply::<Deployment>(client, &namespace, workers).await,
        Deed::Budget(budget) => apply::<PodDisruptionBudget>(client, &namespace, budget).await,
        Deed::Cost { pod, cost } => {
            let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
            let patch = json!({"metadata": {"annotations": {(names::DELETION_COST): cost.to_string()}}});
            let parameters = PatchParams {
                field_manager: Some(SCALE_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            or_gone(pods.patch_metadata(pod, &parameters, &Patch::Merge(patch)).await)
        }
        Deed::Scale { name, replicas } => scale(client, &namespace, name, *replicas).await,
        Deed::DeleteJob(name) => delete::<Job>(client, &namespace, name).await,
        Deed::DeleteWorkers(name) => delete::<Deployment>(client, &namespace, name).await,
        Deed::DeleteBudget(name) => delete::<PodDisruptionBudget>(client, &namespace, name).await,
        Deed::DeleteAccount(name) => delete::<ServiceAccount>(client, &namespace, name).await,
        Deed::DeleteNetwork(name) => delete::<NetworkPolicy>(client, &namespace, name).await,
    }
}

/// Puts our finalizer on the job, or takes it away. The uid keeps it from touching another job of the same name.
pub(super) async fn hold(client: &Client, job: &IngestJob, hold: bool) -> Result<(), kube::Error> {
    let finalizers = if hold { vec![names::FINALIZER] } else { Vec::new() };
    let patch = json!({
        "apiVersion": format!("{}/{}", crd::GROUP, crd::VERSION),
        "kind": crd::KIND,
        "metadata": {"name": job.name_any(), "uid": job.uid(), "finalizers": finalizers},
    });
    let written = jobs(client, job)
        .patch(&job.name_any(), &applying(FINALIZER_MANAGER), &Patch::Apply(patch))
        .await;
    if hold { written.map(drop) } else { or_gone(written) }
}

/// Writes the status, if the job is still as it was read: who knew less must not write over who knew more. Returns the job
/// as it is now.
pub(super) async fn status(
    client: &Client,
    job: &IngestJob,
    status: &IngestJobStatus,
) -> Result<IngestJob, kube::Error> {
    let patch = json!({
        "apiVersion": format!("{}/{}", crd::GROUP, crd::VERSION),
        "kind": crd::KIND,
        "metadata": {"name": job.name_any(), "uid": job.uid(), "resourceVersion": job.resource_version()},
        "status": status,
    });
    let parameters = applying(STATUS_MANAGER);
    jobs(client, job)
        .patch_status(&job.name_any(), &parameters, &Patch::Apply(patch))
        .await
}

fn jobs(client: &Client, job: &IngestJob) -> Api<IngestJob> {
    Api::namespaced(client.clone(), &job.namespace().unwrap_or_default())
}

fn applying(manager: &str) -> PatchParams {
    PatchParams {
        force: true,
        field_manager: Some(manager.to_owned()),
        // A field that the API server does not know would be dropped silently.
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    }
}

/// Makes a Job, unless one of this name is there: two that do this at once make one.
async fn start(client: &Client, namespace: &str, child: &Job) -> Result<(), kube::Error> {
    let jobs = Api::<Job>::namespaced(client.clone(), namespace);
    let parameters = PostParams {
        field_manager: Some(CHILDREN_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match jobs.create(&parameters, child).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        made => made.map(drop),
    }
}

async fn apply<K>(client: &Client, namespace: &str, child: &K) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let objects = Api::<K>::namespaced(client.clone(), namespace);
    let mut value = serde_json::to_value(child).expect("objects of Kubernetes are plain data");
    value["apiVersion"] = K::api_version(&()).into();
    value["kind"] = K::kind(&()).into();
    let patch = Patch::Apply(value);
    objects
        .patch(&child.name_any(), &applying(CHILDREN_MANAGER), &patch)
        .await
        .map(drop)
}

async fn scale(client: &Client, namespace: &str, name: &str, replicas: u32) -> Result<(), kube::Error> {
    let workers = Api::<Deployment>::namespaced(client.clone(), namespace);
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    let patch = json!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": metadata,
        "spec": {"replicas": replicas},
    });
    or_gone(
        workers
            .patch_scale(name, &applying(SCALE_MANAGER), &Patch::Apply(patch))
            .await,
    )
}

async fn delete<K>(client: &Client, namespace: &str, name: &str) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    // In the background: pods go too, each in its own grace period.
    or_gone(
        Api::<K>::namespaced(client.clone(), namespace)
            .delete(name, &DeleteParams::background())
            .await,
    )
}

/// What is gone needs nothing any more.
fn or_gone<T>(done: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match done {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        done => done.map(drop),
    }
}
