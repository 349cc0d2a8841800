//! Reads all that is known of a job. Reads only, and each child live from the API server: what is made or not made depends on
//! it, and a cache may not have heard yet.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
};

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ConfigMap, ContainerStateTerminated, ContainerStatus, Pod, Secret, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, ResourceExt as _, api::ListParams, core::NamespaceResourceScope};
use pf_work::{discovery::Discovered, proof::Summary};
use serde::de::DeserializeOwned;

use super::{
    build::{self, Entries, Kind},
    credentials,
    facts::{Child, EXIT_ERROR_BUDGET, EXIT_REFUSED, EXIT_USAGE, Ended, Facts, Trouble, WorkerPod},
    names::{self, Place, Role},
};
use crate::{crd::IngestJob, fleet, validate::Complaint};

/// Everything that the API server knows. The queue is asked elsewhere.
pub(super) async fn facts(client: &Client, job: &IngestJob) -> Result<Facts, kube::Error> {
    let namespace = job.namespace().unwrap_or_default();
    let labelled = ListParams::default().labels(&format!("{}={}", names::JOB, job.name_any()));
    let jobs = Api::<Job>::namespaced(client.clone(), &namespace);
    let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
    let (workers, account) = (names::child(job, Role::Worker, Place::of(job)), names::account(job));
    let (jobs, pods, workers, budget, account, network, contents, queue_key) = tokio::try_join!(
        jobs.list(&labelled),
        pods.list(&labelled),
        child::<Deployment>(client, job, &workers),
        child::<PodDisruptionBudget>(client, job, &workers),
        child::<ServiceAccount>(client, job, &account),
        child::<NetworkPolicy>(client, job, &account),
        contents(client, job, &namespace),
        credentials::queue_key(client, job, &namespace),
    )?;
    let (jobs, others): (Vec<Job>, Vec<Job>) = jobs.items.into_iter().partition(|child| is_owned(child, job));
    let (contents_hash, mut missing) = contents;
    let queue_key = queue_key.unwrap_or_else(|complaint| {
        missing.push(complaint);
        None
    });
    let contents_hash = credentials::hash_with(contents_hash, queue_key.as_ref());
    let mut facts = Facts {
        now: Timestamp::now(),
        jobs: jobs.iter().map(kube::ResourceExt::name_any).collect(),
        contents_hash,
        missing,
        queue_key,
        ..Facts::default()
    };
    let ours = [Role::Discoverer, Role::Verify, Role::Redrive].map(|role| names::child(job, role, Place::of(job)));
    let others = others
        .iter()
        .map(kube::ResourceExt::name_any)
        .filter(|name| ours.contains(name));
    facts.taken.extend(others.map(|name| format!("Job {name}")));
    facts.workers = workers.ours(&mut facts.taken);
    facts.budget = budget.ours(&mut facts.taken);
    // Where the job names another account, or asks for no policy, one of its name is no concern of ours.
    let (mut accounts, mut policies) = (Vec::new(), Vec::new());
    facts.account = account.ours(&mut accounts);
    facts.network = network.ours(&mut policies);
    if build::has_own_account(job) {
        facts.taken.extend(accounts);
    }
    if job.spec.network_policy.is_some() {
        facts.taken.extend(policies);
    }
    let pods = pods.items;
    let of_workers = || pods.iter().filter(|pod| plays(pod, Role::Worker));
    facts.worker_pods = of_workers().map(worker_pod).collect();
    facts.trouble = of_workers().find_map(trouble);
    let place = Place::of(job);
    let child = |role| {
        let name = names::child(job, role, place);
        let job = jobs.iter().find(|job| job.name_any() == name)?;
        Some(Child::new(job.clone(), failed(&pods, &name)))
    };
    facts.discoverer = child(Role::Discoverer);
    facts.verify = child(Role::Verify);
    facts.redrive = child(Role::Redrive);
    let discoverer = names::child(job, Role::Discoverer, place);
    facts.discoverer_at = of_job(&pods, &discoverer).find_map(|pod| {
        let ip = address(pod)?;
        Some(fleet::Address {
            pod: pod.name_any(),
            ip,
        })
    });
    facts.discovered = ends(&pods, &discoverer).find_map(|ended| Discovered::from_json(ended.message.as_deref()?));
    let verify = names::child(job, Role::Verify, place);
    let proof =
        ends(&pods, &verify).find_map(|ended| Some((Summary::from_json(ended.message.as_deref()?)?, ended.exit_code)));
    if let Some((proof, code)) = proof {
        facts.proof = Some(proof);
        facts.is_over_budget = code == EXIT_ERROR_BUDGET;
    }
    Ok(facts)
}

/// What there is under the name of a child.
enum Named<K> {
    Nothing,
    Ours(K),
    /// Somebody else made it: it is left alone.
    Taken(String),
}

impl<K> Named<K> {
    fn ours(self, taken: &mut Vec<String>) -> Option<K> {
        match self {
            Self::Nothing => None,
            Self::Ours(object) => Some(object),
            Self::Taken(name) => {
                taken.push(name);
                None
            }
        }
    }
}

async fn child<K>(client: &Client, job: &IngestJob, name: &str) -> Result<Named<K>, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let objects = Api::<K>::namespaced(client.clone(), &job.namespace().unwrap_or_default());
    Ok(match objects.get_opt(name).await? {
        None => Named::Nothing,
        Some(object) if is_owned(&object, job) => Named::Ours(object),
        Some(_) => Named::Taken(format!("{} {name}", K::kind(&()))),
    })
}

fn is_owned(object: &impl Resource, job: &IngestJob) -> bool {
    let owners = object.meta().owner_references.iter().flatten();
    owners
        .into_iter()
        .any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
}

fn plays(pod: &Pod, role: Role) -> bool {
    pod.labels().get(names::ROLE).is_some_and(|label| label == role.name())
}

/// Where a pod can be asked; absent: it does not run, or is told to stop.
fn address(pod: &Pod) -> Option<IpAddr> {
    let status = pod.status.as_ref()?;
    let works = status.phase.as_deref() == Some("Running") && pod.metadata.deletion_timestamp.is_none();
    status.pod_ip.as_ref().filter(|_| works)?.parse().ok()
}

fn worker_pod(pod: &Pod) -> WorkerPod {
    WorkerPod {
        name: pod.name_any(),
        address: address(pod),
        deletion_cost: pod
            .annotations()
            .get(names::DELETION_COST)
            .and_then(|cost| cost.parse().ok()),
    }
}

/// The pods of a Job, the newest first.
fn of_job<'a>(pods: &'a [Pod], job: &str) -> impl Iterator<Item = &'a Pod> {
    let owns = |owner: &OwnerReference| owner.kind == "Job" && owner.name == job;
    let mut pods: Vec<&Pod> = pods
        .iter()
        .filter(|pod| pod.owner_references().iter().any(owns))
        .collect();
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp()));
    pods.into_iter()
}

/// How the containers of a Job's pods ended, the newest first.
fn ends<'a>(pods: &'a [Pod], job: &str) -> impl Iterator<Item = &'a ContainerStateTerminated> {
    of_job(pods, job).flat_map(terminated)
}

/// How our program in a pod ended, the last time and the time before. What exit codes of sidecars mean is theirs to know.
fn terminated(pod: &Pod) -> impl Iterator<Item = &ContainerStateTerminated> {
    let ours = containers(pod).filter(|status| [names::WORKER, names::DISCOVERER].contains(&status.name.as_str()));
    ours.flat_map(|status| {
        let states = [&status.state, &status.last_state];
        states
            .into_iter()
            .flatten()
            .filter_map(|state| state.terminated.as_ref())
    })
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
}

/// How a Job's newest pod that failed ended.
fn failed(pods: &[Pod], job: &str) -> Option<Ended> {
    let failed = ends(pods, job).find(|ended| ended.exit_code != 0)?;
    Some(Ended {
        code: failed.exit_code,
        said: words(failed),
    })
}

fn words(ended: &ContainerStateTerminated) -> String {
    let message = ended.message.as_deref().unwrap_or_default().trim();
    if message.is_empty() {
        format!("exit code {}", ended.exit_code)
    } else {
        message.to_owned()
    }
}

/// Whether a worker ended for a reason that another start does not mend. One that works again is in no trouble any more,
/// unless what it did can't be undone.
fn trouble(pod: &Pod) -> Option<Trouble> {
    let works = containers(pod).all(|container| container.ready);
    let mut ended = terminated(pod).filter(|ended| !works || ended.exit_code == EXIT_ERROR_BUDGET);
    ended.find_map(|ended| match ended.exit_code {
        EXIT_ERROR_BUDGET => Some(Trouble::ErrorBudget { said: words(ended) }),
        EXIT_REFUSED | EXIT_USAGE => Some(Trouble::Refused { said: words(ended) }),
        _ => None,
    })
}

/// A hash of what workers read of Secrets and ConfigMaps, and a complaint about each that is not there. They are read one by
/// one, by name: the operator may not list them.
async fn contents(client: &Client, job: &IngestJob, namespace: &str) -> Result<(String, Vec<Complaint>), kube::Error> {
    let mut known: BTreeMap<(Kind, String), Option<Entries>> = BTreeMap::new();
    let (mut parts, mut missing) = (Vec::new(), Vec::new());
    for content in build::contents(job) {
        let entries = match known.entry((content.kind, content.name.clone())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(entries(client, namespace, content.kind, &content.name).await?),
        };
        match content.read(entries.as_ref(), namespace) {
            Ok(read) => parts.extend(read),
            Err(complaints) => missing.extend(complaints),
        }
    }
    let hash = names::hash(parts.iter().map(Vec::as_slice));
    Ok((hash, missing))
}

/// What a Secret or a ConfigMap holds, if it is there.
async fn entries(client: &Client, namespace: &str, kind: Kind, name: &str) -> Result<Option<Entries>, kube::Error> {
    let bytes = |(key, ByteString(bytes))| (key, bytes);
    Ok(match kind {
        Kind::Secret => {
            let secret = Api::<Secret>::namespaced(client.clone(), namespace)
                .get_opt(name)
                .await?;
            secret.map(|secret| secret.data.into_iter().flatten().map(bytes).collect())
        }
        Kind::ConfigMap => {
            let map = Api::<ConfigMap>::namespaced(client.clone(), namespace)
                .get_opt(name)
                .await?;
            map.map(|map| {
                let texts = map
                    .data
                    .into_iter()
                    .flatten()
                    .map(|(key, text)| (key, text.into_bytes()));
                texts.chain(map.binary_data.into_iter().flatten().map(bytes)).collect()
            })
        }
    })
}
