//! A job as it is watched.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    core::{DeserializeGuard, error_boundary::InvalidObject},
};
use serde::{Deserialize, Deserializer};

use crate::crd::IngestJob;

/// A job that was read, or why it could not be: a malformed object must not stop the others. Without the notes of who set which
/// field, which would take more memory than all else of thousands of jobs.
#[derive(Debug, Clone)]
pub(super) struct Watched(DeserializeGuard<IngestJob>);

impl Watched {
    pub(super) fn job(&self) -> Result<&IngestJob, &InvalidObject> {
        self.0.0.as_ref()
    }
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut job = DeserializeGuard::deserialize(deserializer)?;
        job.meta_mut().managed_fields = None;
        Ok(Self(job))
    }
}

impl Resource for Watched {
    type DynamicType = <IngestJob as Resource>::DynamicType;
    type Scope = <IngestJob as Resource>::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        IngestJob::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        IngestJob::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        IngestJob::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        IngestJob::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}
