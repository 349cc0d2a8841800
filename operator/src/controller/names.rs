//! What children are called, and how they are found again. Names follow from the job alone, so that whoever restarts finds
//! what was made before.

use std::{collections::BTreeMap, fmt::Write as _};

use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};

use crate::crd::{IngestJob, Run};

/// The label with the job's name, on every child and every pod of one.
pub const JOB: &str = "paraflow.dev/job";
/// The label with what a pod does, [`Role`]'s names.
pub const ROLE: &str = "paraflow.dev/role";
/// The label with the number of the run.
pub const RUN: &str = "paraflow.dev/run";
/// The label with the number of the proof, on what proves and what offers again.
pub const ROUND: &str = "paraflow.dev/round";
/// The annotation with a hash of what a pod reads of Secrets and ConfigMaps, so that another content makes other pods.
pub const CONTENTS_HASH: &str = "paraflow.dev/contents-hash";
/// The annotation with a hash of all that is wished for in a child: what was wished for and is not any more shows by it alone.
pub const WISHED_HASH: &str = "paraflow.dev/wished-hash";
/// The annotation of pods, of Kubernetes: of a Deployment's pods those with less go first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The container of our program in a pod of workers.
pub const WORKER: &str = "worker";
/// The container of our program in a pod of what runs once.
pub const DISCOVERER: &str = "discoverer";
/// The finalizer of jobs that own a queue.
pub const FINALIZER: &str = "paraflow.dev/queue";

/// Characters of the job's uid that make a queue's name unique among clusters that share an account.
const UID_CHARACTERS: usize = 10;

/// What a child is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Lists objects and offers work items.
    Discoverer,
    /// Work on them.
    Worker,
    /// Compares ledger and manifest.
    Verify,
    /// Offers again what nobody settled.
    Redrive,
}

impl Role {
    /// The label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discoverer => "discoverer",
            Self::Worker => "worker",
            Self::Verify => "verify",
            Self::Redrive => "redrive",
        }
    }
}

/// Which run of a job, and which proof within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub run: u32,
    /// From 1.
    pub round: u32,
}

impl Place {
    /// Where a job is, by its status.
    pub fn of(job: &IngestJob) -> Self {
        let run = job.status.as_ref().and_then(|status| status.run.as_ref());
        let Run {
            number,
            started_at: _,
            nonce: _,
            books: _,
            resumed_from: _,
            incomplete_proofs,
        } = run.cloned().unwrap_or_default();
        Self {
            run: number.max(1),
            round: incomplete_proofs + 1,
        }
    }
}

/// The name of a child. A job's own has at most 50 characters (a rule of the schema), so that names of pods, which add to
/// it, stay within the 63 of a host's name.
pub fn child(job: &IngestJob, role: Role, place: Place) -> String {
    let job = run_name(job, place.run);
    match role {
        Role::Discoverer => format!("{job}-discover"),
        Role::Worker => format!("{job}-worker"),
        Role::Verify => format!("{job}-verify-{}", place.round),
        Role::Redrive => format!("{job}-redrive-{}", place.round),
    }
}

/// The name of what all runs of a job have in common: the account of its pods, and their network policy.
pub fn account(job: &IngestJob) -> String {
    job.name_any()
}

/// The name that a run's books are kept under: with the namespace in it, so that jobs of one name do not share books. Once a run
/// has begun it is what the status says.
pub fn books(job: &IngestJob) -> String {
    let run = job.status.as_ref().and_then(|status| status.run.as_ref());
    if let Some(books) = run.and_then(|run| run.books.as_ref()) {
        return books.clone();
    }
    let name = run_name(job, Place::of(job).run);
    if run.is_some_and(|run| run.started_at.is_some()) {
        // An earlier operator began it, and kept its books under the name alone.
        return name;
    }
    format!("{}/{name}", job.namespace().unwrap_or_default())
}

/// Whose books they are: a job that was made anew under its old name is another one.
pub fn owner(job: &IngestJob) -> String {
    let namespace = job.namespace().unwrap_or_default();
    format!("{namespace}/{} {}", job.name_any(), job.uid().unwrap_or_default())
}

/// The name of a run: the job's, and from the second run on the run's number.
pub fn run_name(job: &IngestJob, run: u32) -> String {
    let name = job.name_any();
    if run == 1 { name } else { format!("{name}-r{run}") }
}

/// The name of a run's own queue: letters, digits and `-`, at most 75 of them.
pub fn queue(job: &IngestJob, run: u32) -> String {
    let namespace = job.namespace().unwrap_or_default();
    let unique = hash([namespace.as_bytes(), job.uid().unwrap_or_default().as_bytes()]);
    let name = run_name(job, run).replace('.', "-");
    format!("pf-{name}-{}", &unique[..UID_CHARACTERS])
}

/// The labels of what belongs to a job as a whole.
pub fn job_labels(job: &IngestJob) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "paraflow".to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), "pf-operator".to_owned()),
        (JOB.to_owned(), job.name_any()),
    ])
}

/// The labels of what plays a role in a run of a job.
pub fn labels(job: &IngestJob, role: Role, place: Place) -> BTreeMap<String, String> {
    let mut labels = job_labels(job);
    labels.extend([
        ("app.kubernetes.io/component".to_owned(), role.name().to_owned()),
        (ROLE.to_owned(), role.name().to_owned()),
        (RUN.to_owned(), place.run.to_string()),
    ]);
    if matches!(role, Role::Verify | Role::Redrive) {
        labels.insert(ROUND.to_owned(), place.round.to_string());
    }
    labels
}

/// The labels that all pods of a job are chosen by.
pub fn of_job(job: &IngestJob) -> BTreeMap<String, String> {
    BTreeMap::from([(JOB.to_owned(), job.name_any())])
}

/// The labels that worker pods are chosen by; they never change.
pub fn worker_selector(job: &IngestJob) -> BTreeMap<String, String> {
    BTreeMap::from([
        (JOB.to_owned(), job.name_any()),
        (ROLE.to_owned(), Role::Worker.name().to_owned()),
    ])
}

/// A selector as one text, for `status.selector` and for lists.
pub fn selector_text(labels: &BTreeMap<String, String>) -> String {
    let terms: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    terms.join(",")
}

/// SHA-256 over parts that can't run into each other, in hexadecimal.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        write!(text, "{byte:02x}").expect("writing to a string can't fail");
    }
    text
}
