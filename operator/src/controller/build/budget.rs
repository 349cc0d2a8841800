//! The disruption budget of the workers. Each of them may be evicted at any time, and hands back what it holds: the budget
//! only keeps a drain of many nodes from taking all of them at once.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{
    super::names::{self, Place, Role},
    metadata,
};
use crate::crd::IngestJob;

/// The share of workers that may be away at the same time.
const UNAVAILABLE_MAX: &str = "50%";

pub(super) fn workers(job: &IngestJob, place: Place) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(job, Role::Worker, place),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::String(UNAVAILABLE_MAX.to_owned())),
            selector: Some(LabelSelector {
                match_labels: Some(names::worker_selector(job)),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
