//! One operator at work at a time: leader election by a Lease, as Kubernetes' own components do it ("Leases" in its
//! documentation).
//!
//! Every write replaces the whole Lease at the version that was read, so that of two who write at once one is refused. Whether
//! the holder is gone is judged by our own clock alone: a Lease that did not change for its duration since we first saw it so.
//! Who can't renew in time ends, because somebody else may be at work by then.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, sleep, timeout};

/// Durations, as Kubernetes' own components have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durations {
    /// How long a Lease that does not change is its holder's.
    pub lease: Duration,
    /// How long the holder tries to renew before it gives up; shorter than `lease`.
    pub renew: Duration,
    /// Between two tries.
    pub retry: Duration,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// A candidate.
#[derive(Debug)]
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    durations: Durations,
    seen: Option<Seen>,
}

/// A Lease as it was seen first, and when.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    at: Instant,
}

impl Candidate {
    /// For the Lease of this name. `identity` is another one in each process.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String, durations: Durations) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            durations,
            seen: None,
        }
    }

    /// Waits until the Lease is ours.
    pub async fn lead(&mut self) {
        loop {
            match timeout(self.durations.renew, self.try_once()).await {
                Ok(Ok(true)) => {
                    tracing::info!(lease = self.name, identity = self.identity, "leading");
                    return;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "cannot take the lease"),
                Err(_) => tracing::warn!(lease = self.name, "no answer about the lease"),
            }
            // A part of it by chance, so that two do not try in step for ever.
            sleep(self.durations.retry.mul_f64(1.0 + 0.2 * fastrand::f64())).await;
        }
    }

    /// Renews the Lease until that fails for too long: then it may be somebody else's, and this returns why.
    pub async fn keep(&mut self) -> String {
        let mut renewed = Instant::now();
        loop {
            sleep(self.durations.retry).await;
            let left = self.durations.renew.saturating_sub(renewed.elapsed());
            match timeout(left, self.try_once()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return "somebody else has the lease".to_owned(),
                Ok(Err(error)) if renewed.elapsed() >= self.durations.renew => {
                    return format!("the lease could not be renewed in time: {error}");
                }
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "cannot renew the lease"),
                Err(_) => return "the lease could not be renewed in time: no answer".to_owned(),
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait for it to run out.
    pub async fn let_go(&mut self) {
        let Ok(Some(mut lease)) = self.leases.get_opt(&self.name).await else {
            return;
        };
        let Some(spec) = lease
            .spec
            .as_mut()
            .filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
        else {
            return;
        };
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        if let Err(error) = self.leases.replace(&self.name, &PostParams::default(), &lease).await {
            tracing::warn!(%error, lease = self.name, "cannot give the lease back: the next one waits until it runs out");
        }
    }

    /// Takes or renews the Lease, if that can be. False: somebody else has it.
    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.renewed(None)),
            };
            return won(self.leases.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if holder != self.identity && !holder.is_empty() && !self.has_run_out(&lease) {
            return Ok(false);
        }
        let renewed = Lease {
            // With the version that was read.
            metadata: lease.metadata,
            spec: Some(self.renewed(Some(spec))),
        };
        won(self.leases.replace(&self.name, &PostParams::default(), &renewed).await)
    }

    /// Whether a Lease has not changed for its duration, by our own clock.
    fn has_run_out(&mut self, lease: &Lease) -> bool {
        let version = lease.metadata.resource_version.clone();
        match &self.seen {
            Some(seen) if seen.version == version => {
                let spec = lease.spec.as_ref();
                let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
                let of_holder = seconds
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .map(Duration::from_secs);
                seen.at.elapsed() >= of_holder.unwrap_or(self.durations.lease)
            }
            _ => {
                self.seen = Some(Seen {
                    version,
                    at: Instant::now(),
                });
                false
            }
        }
    }

    fn renewed(&self, last: Option<LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let last = last.unwrap_or_default();
        let is_ours = last.holder_identity.as_ref() == Some(&self.identity);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.durations.lease.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if is_ours { last.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(last.lease_transitions.unwrap_or(0) + i32::from(!is_ours)),
            ..LeaseSpec::default()
        }
    }
}

/// A write that came second is no error: somebody else has the Lease.
fn won(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}
