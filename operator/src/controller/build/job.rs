//! What runs once: discovery, proof, and offering again what the proof found missing.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};

use super::{
    super::{
        facts::{EXIT_DEAD_LETTERS, EXIT_ERROR_BUDGET, EXIT_NOTHING_MATCHED, EXIT_REFUSED, EXIT_USAGE},
        names::{self, Role},
    },
    Error, METRICS_PORT, Material, metadata, pod,
};
use crate::crd::IngestJob;

/// How often a program that failed is run again; Kubernetes waits 10 s, 20 s, 40 s, … between.
const RETRIES_MAX: i32 = 6;

/// Exit codes of `pf-discoverer` that another try does not change: that nothing matched, that the books or what else is needed
/// is refused, and bad usage.
const FINAL_OF_DISCOVERER: [i32; 3] = [EXIT_NOTHING_MATCHED, EXIT_REFUSED, EXIT_USAGE];
/// The same of `verify`: its verdict that not all is where it was to go, and that the error budget is spent.
const FINAL_OF_VERIFY: [i32; 4] = [EXIT_DEAD_LETTERS, EXIT_ERROR_BUDGET, EXIT_REFUSED, EXIT_USAGE];
/// The same of `redrive`.
const FINAL_OF_REDRIVE: [i32; 2] = [EXIT_REFUSED, EXIT_USAGE];

/// The file whose content Kubernetes shows as a container's last words.
pub(super) const LAST_WORDS: &str = "/dev/termination-log";

pub(super) fn discoverer(job: &IngestJob, material: Material<'_>) -> Result<Job, Error> {
    let mut arguments = material.plan.discoverer.clone();
    arguments.push(format!("--metrics-addr=0.0.0.0:{METRICS_PORT}"));
    arguments.push(format!("--summary={LAST_WORDS}"));
    once(job, Role::Discoverer, material, &arguments, &FINAL_OF_DISCOVERER)
}

pub(super) fn verify(job: &IngestJob, material: Material<'_>) -> Result<Job, Error> {
    let mut arguments = vec!["verify".to_owned()];
    arguments.extend(material.plan.verify_arguments().cloned());
    arguments.push(format!("--summary={LAST_WORDS}"));
    once(job, Role::Verify, material, &arguments, &FINAL_OF_VERIFY)
}

pub(super) fn redrive(job: &IngestJob, material: Material<'_>) -> Result<Job, Error> {
    let mut arguments = vec!["redrive".to_owned(), "--missing".to_owned()];
    arguments.extend(material.plan.books_arguments().cloned());
    let sink = ["--destination=", "--sqs-queue-url=", "--sqs-endpoint="];
    let is_sink = |argument: &&String| sink.iter().any(|flag| argument.starts_with(flag));
    arguments.extend(material.plan.discoverer.iter().filter(is_sink).cloned());
    once(job, Role::Redrive, material, &arguments, &FINAL_OF_REDRIVE)
}

fn once(
    job: &IngestJob,
    role: Role,
    material: Material<'_>,
    arguments: &[String],
    final_codes: &[i32],
) -> Result<Job, Error> {
    Ok(Job {
        metadata: metadata(job, role, material.place),
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES_MAX),
            pod_failure_policy: Some(PodFailurePolicy {
                rules: vec![
                    // An eviction is nobody's failure.
                    PodFailurePolicyRule {
                        action: "Ignore".to_owned(),
                        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                            type_: "DisruptionTarget".to_owned(),
                            status: "True".to_owned(),
                        }]),
                        on_exit_codes: None,
                    },
                    // What was said for good is not asked again. Sidecars have codes of their own.
                    PodFailurePolicyRule {
                        action: "FailJob".to_owned(),
                        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                            container_name: Some(names::DISCOVERER.to_owned()),
                            operator: "In".to_owned(),
                            values: final_codes.to_vec(),
                        }),
                        on_pod_conditions: None,
                    },
                ],
            }),
            template: pod::once(job, role, material, arguments)?,
            ..JobSpec::default()
        }),
        ..Job::default()
    })
}
