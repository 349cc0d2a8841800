//! As whom a job's queue is asked. Pure.

use kube::ResourceExt as _;
use pf_work::{
    queue::Error,
    sqs::{AccessKey, AssumedRole, Identity},
};

use crate::crd::{IngestJob, QueueCredentials};

/// What STS takes for the name of a session, in characters.
const SESSION_CHARACTERS_MAX: usize = 64;

/// The operator's own identity.
#[derive(Debug, Clone, Default)]
pub struct Own {
    /// Instead of what the environment has.
    pub key: Option<AccessKey>,
    /// The address of an STS-compatible server, instead of what the environment says.
    pub sts_endpoint: Option<String>,
}

impl Own {
    /// As whom a job's queue is asked: as the job says, and as the operator itself where it says nothing. It is refused while
    /// `key` is not there though the job names a Secret for it: nobody else's key is used instead.
    pub(super) fn identity(&self, job: &IngestJob, key: Option<&AccessKey>) -> Result<Identity, Error> {
        let own = || self.key.clone().map_or(Identity::Environment, Identity::Key);
        let Some(QueueCredentials { secret, role_arn }) = credentials(job) else {
            return Ok(own());
        };
        if let Some(secret) = secret {
            let refused = || Error::Refused {
                reason: format!("the Secret {} has no key to ask the queue with", secret.name),
            };
            return key.cloned().map(Identity::Key).ok_or_else(refused);
        }
        // The schema sees to it that there is one of the two.
        Ok(role_arn.as_ref().map_or_else(own, |arn| {
            Identity::Role(AssumedRole {
                arn: arn.clone(),
                external_id: external_id(job),
                session: session(job),
                by: self.key.clone(),
                endpoint: self.sts_endpoint.clone(),
            })
        }))
    }
}

fn credentials(job: &IngestJob) -> Option<&QueueCredentials> {
    job.spec.queue.as_ref()?.sqs.credentials.as_ref()
}

/// Who asks a job's queue, for people.
pub(super) fn name(job: &IngestJob) -> String {
    match credentials(job) {
        Some(QueueCredentials {
            secret: Some(secret), ..
        }) => format!("the owner of the key in the Secret {}", secret.name),
        Some(QueueCredentials {
            role_arn: Some(arn), ..
        }) => format!("the role {arn} (external ID {})", external_id(job)),
        _ => "the operator itself".to_owned(),
    }
}

/// What the trust policy of a job's role may ask for. Whoever may make a job may write any ARN into it, but can't choose
/// the namespace that they may make it in.
pub fn external_id(job: &IngestJob) -> String {
    format!("{}/{}", job.namespace().unwrap_or_default(), job.name_any())
}

/// What the account's records call a session. Names of Kubernetes' are within what STS takes, but for their length.
fn session(job: &IngestJob) -> String {
    let name = format!("pf-operator.{}.{}", job.namespace().unwrap_or_default(), job.name_any());
    name.chars().take(SESSION_CHARACTERS_MAX).collect()
}
