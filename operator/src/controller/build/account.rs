//! The account of the job's pods, where the job names none. It may do nothing in Kubernetes: clouds give it its rights.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::{
    super::names::{self, Place, Role},
    metadata,
};
use crate::crd::IngestJob;

/// The name of the account that pods run as.
pub(super) fn name(job: &IngestJob) -> String {
    let given = job
        .spec
        .service_account
        .as_ref()
        .and_then(|account| account.name.clone());
    given.unwrap_or_else(|| names::account(job))
}

pub(super) fn own(job: &IngestJob, place: Place) -> Option<ServiceAccount> {
    let wished = job.spec.service_account.clone().unwrap_or_default();
    if wished.name.is_some() {
        return None;
    }
    let mut metadata = metadata(job, Role::Worker, place);
    // It outlives runs, and is of all roles.
    metadata.name = Some(names::account(job));
    metadata.labels = Some(names::job_labels(job));
    metadata.annotations = (!wished.annotations.is_empty()).then_some(wished.annotations);
    Some(ServiceAccount {
        metadata,
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}
