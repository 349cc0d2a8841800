//! The key that a job's pods sign with, where the job names a Secret for it: in their environment, where AWS' own tools look
//! for one, and by reference, so that no object but the Secret holds it.

use serde_json::{Value, json};

use crate::crd::IngestJob;

/// The Secret's keys, the variables that pods find them in, and whether a key may be missing.
pub(crate) const QUEUE_KEY: [(&str, &str, bool); 3] = [
    ("accessKeyId", "AWS_ACCESS_KEY_ID", false),
    ("secretAccessKey", "AWS_SECRET_ACCESS_KEY", false),
    ("sessionToken", "AWS_SESSION_TOKEN", true),
];

/// The Secret whose key a job's queue is asked with, if it names one.
pub(crate) fn queue_secret(job: &IngestJob) -> Option<&str> {
    let credentials = job.spec.queue.as_ref()?.sqs.credentials.as_ref()?;
    Some(&credentials.secret.as_ref()?.name)
}

/// The variables of a container.
pub(super) fn environment(job: &IngestJob) -> Vec<Value> {
    let Some(secret) = queue_secret(job) else {
        return Vec::new();
    };
    let variable = |(key, variable, is_optional): (&str, &str, bool)| {
        let mut reference = json!({"name": secret, "key": key});
        if is_optional {
            reference["optional"] = true.into();
        }
        json!({"name": variable, "valueFrom": {"secretKeyRef": reference}})
    };
    QUEUE_KEY.map(variable).to_vec()
}
