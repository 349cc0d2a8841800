//! What runs once: discovery, proof, and offering again what the proof found missing.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};

use super::{super::names::Role, Error, METRICS_PORT, Material, metadata, pod};
use crate::{crd::IngestJob, local::EXIT_USAGE};

/// How often a program that failed is run again; Kubernetes waits 10 s, 20 s, 40 s, … between.
const RETRIES_MAX: i32 = 6;

/// The file whose content Kubernetes shows as a container's last words.
pub(super) const LAST_WORDS: &str = "/dev/termination-log";

pub(super) fn discoverer(job: &IngestJob, material: Material<'_>) -> Result<Job, Error> {
    let mut arguments = material.plan.discoverer.clone();
    arguments.push(format!("--metrics-addr=0.0.0.0:{METRICS_PORT}"));
    arguments.push(format!("--summary={LAST_WORDS}"));
    once(job, Role::Discoverer, material, &arguments)
}

pub(super) fn verify(job: &IngestJob, material: Material<'_>) -> Result<Job, Error> {
    let mut arguments = vec!["verify".to_owned()];
    arguments.extend(material.plan.verify_arguments().cloned());
    arguments.push(format!("--summary={LAST_WORDS}"));
    once(job, Role::Verify, material, &arguments)
}

pub(super) fn redrive(job: &IngestJob, material: Material<'_>) -> Result<Job, Error> {
    let mut arguments = vec!["redrive".to_owned(), "--missing".to_owned()];
    arguments.extend(material.plan.verify_arguments().cloned());
    let sink = ["--destination=", "--sqs-queue-url=", "--sqs-endpoint="];
    let is_sink = |argument: &&String| sink.iter().any(|flag| argument.starts_with(flag));
    arguments.extend(material.plan.discoverer.iter().filter(is_sink).cloned());
    once(job, Role::Redrive, material, &arguments)
}

fn once(job: &IngestJob, role: Role, material: Material<'_>, arguments: &[String]) -> Result<Job, Error> {
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
                    // What was refused for its flags is refused each time.
                    PodFailurePolicyRule {
                        action: "FailJob".to_owned(),
                        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                            container_name: None,
                            operator: "In".to_owned(),
                            values: vec![i32::from(EXIT_USAGE)],
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
