//! The worker Deployment.

use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{
    super::names::{self, Role},
    Error, Material, metadata, pod,
};
use crate::crd::IngestJob;

pub(super) fn workers(job: &IngestJob, material: Material<'_>) -> Result<Deployment, Error> {
    Ok(Deployment {
        metadata: metadata(job, Role::Worker, material.place),
        spec: Some(DeploymentSpec {
            // Belongs to the scaler.
            replicas: None,
            selector: LabelSelector {
                match_labels: Some(names::worker_selector(job)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    // A worker that is replaced hands back its work: nothing is served, so none must be there all the time.
                    max_unavailable: Some(IntOrString::String("50%".to_owned())),
                    max_surge: Some(IntOrString::String("25%".to_owned())),
                }),
            }),
            template: pod::worker(job, material)?,
            // To roll back, one changes the job.
            revision_history_limit: Some(1),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    })
}
