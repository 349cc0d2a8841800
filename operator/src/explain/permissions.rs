//! What each identity of a job must be allowed, by AWS, by Kubernetes and by the sink, and which Secrets and ConfigMaps must be
//! there. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use kube::ResourceExt as _;

use crate::{
    controller::build::{self, Kind, QUEUE_KEY},
    crd::{IngestJob, OnConflict, Operation, QueueStatus, SecretName},
    queue::external_id,
};

/// What the operator does to resources of Kubernetes, whatever is in a job.
const OPERATOR: [(&str, &str); 10] = [
    ("ingestjobs", "get, list, watch, patch"),
    ("ingestjobs/status", "patch"),
    ("jobs", "list, watch, create, patch, delete"),
    ("deployments", "get, list, watch, create, patch, delete"),
    ("deployments/scale", "patch"),
    ("pods", "list, watch, patch"),
    ("poddisruptionbudgets", "get, create, patch, delete"),
    ("serviceaccounts", "get, create, patch, delete"),
    ("networkpolicies", "get, create, patch, delete"),
    ("events", "create, patch"),
];

/// Writes one line for each identity, and for each Secret and ConfigMap.
pub(super) fn write(job: &IngestJob, queue: &QueueStatus, text: &mut String) {
    let mut line = |line: &str| writeln!(text, "# {line}").expect("writing to a string can't fail");
    of_aws(job, queue, &mut line);
    of_kubernetes(job, &mut line);
    of_sink(job, &mut line);
    contents(job, &mut line);
}

fn of_aws(job: &IngestJob, queue: &QueueStatus, line: &mut impl FnMut(&str)) {
    let queue_of_job = job.spec.queue.as_ref();
    let sqs = queue_of_job.map(|queue| queue.sqs.clone()).unwrap_or_default();
    let credentials = sqs.credentials.unwrap_or_default();
    let mut asking = vec!["sqs:GetQueueAttributes"];
    if queue.owned {
        asking.extend(["sqs:CreateQueue", "sqs:TagQueue", "sqs:DeleteQueue"]);
    } else if sqs.dead_letter_queue_url.is_none() {
        asking.push("sqs:GetQueueUrl (dead letters)");
    }
    let discoverer = [
        "s3:ListBucket",
        "s3:GetObject",
        "s3:PutObject and s3:DeleteObject (state)",
        "sqs:GetQueueAttributes",
        "sqs:SendMessage",
        "sqs:ReceiveMessage and sqs:ChangeMessageVisibility (dead letters)",
    ];
    let worker = [
        "s3:GetObject",
        "s3:ListBucket, s3:PutObject and s3:DeleteObject (state)",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:SendMessage (what is given back says how often it was tried)",
        "sqs:GetQueueUrl and sqs:SendMessage (dead letters)",
    ];
    let mut allow = |who: &str, what: &[&str]| line(&format!("AWS must allow {who}: {}", what.join(", ")));
    match (&credentials.secret, &credentials.role_arn) {
        (Some(SecretName { name }), _) => {
            allow(
                &format!("the key in the Secret {name}, with which the operator asks"),
                &asking,
            );
            allow("the same key, with which discoverer pods sign", &discoverer);
            allow("the same key, with which worker pods sign", &worker);
        }
        (None, role) => {
            if let Some(arn) = role {
                let id = external_id(job);
                allow(
                    "the operator",
                    &[&format!("sts:AssumeRole of {arn}, with the external ID {id}")],
                );
                allow("that role", &asking);
            } else {
                allow("the operator", &asking);
            }
            allow("discoverer pods", &discoverer);
            allow("worker pods", &worker);
        }
    }
}

fn of_kubernetes(job: &IngestJob, line: &mut impl FnMut(&str)) {
    let always = OPERATOR.iter().map(|(resource, verbs)| format!("{resource} ({verbs})"));
    let mut allowed: Vec<String> = always.collect();
    let mut named: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    for content in build::contents(job) {
        named.entry(content.kind).or_default().push(content.name);
    }
    if let Some(secret) = build::queue_secret(job) {
        named.entry(Kind::Secret).or_default().push(secret.to_owned());
    }
    for (kind, mut names) in named {
        names.sort();
        names.dedup();
        let resource = format!("{kind}s").to_lowercase();
        allowed.push(format!("{resource} {} (get)", names.join(" and ")));
    }
    line(&format!(
        "Kubernetes must allow the operator, as its chart's role does: {}",
        allowed.join(", ")
    ));
    line("Kubernetes need not allow the job's pods anything");
}

fn of_sink(job: &IngestJob, line: &mut impl FnMut(&str)) {
    let Some(cluster) = &job.spec.sink.elasticsearch else {
        return;
    };
    let target = cluster.index.as_ref().or(cluster.data_stream.as_ref());
    let target = target.map_or_else(String::new, |name| pattern(name));
    // A document that is there already can only be replaced by who may write any.
    let replaces = cluster.operation == Some(Operation::Index) || cluster.on_conflict == Some(OnConflict::Replace);
    let writing = if replaces {
        "index"
    } else if cluster.index.is_some() && cluster.operation.is_none() {
        "create_doc (index in runs after the first)"
    } else {
        "create_doc"
    };
    line(&format!(
        "Elasticsearch must allow worker pods on {target}: {writing}, and auto_configure or create_index where it is made by them"
    ));
    line(&format!(
        "Elasticsearch should allow worker pods on {target}: view_index_metadata and read, by which ids are found that are in an \
         earlier index of a data stream or an alias that rolled over"
    ));
}

/// A name with whatever a record says in it, as roles write it: `logs-{+yyyy.MM.dd}` is `logs-*`.
fn pattern(name: &str) -> String {
    let mut pattern = String::new();
    for (place, part) in name.split('{').enumerate() {
        match part.split_once('}') {
            Some((_, fixed)) if place > 0 => {
                pattern.push('*');
                pattern.push_str(fixed);
            }
            _ => pattern.push_str(part),
        }
    }
    pattern
}

fn contents(job: &IngestJob, line: &mut impl FnMut(&str)) {
    let namespace = job.namespace().unwrap_or_default();
    let mut have = |kind: Kind, name: &str, keys: &[&str]| {
        let with = if keys.is_empty() { "" } else { " with " };
        line(&format!(
            "The namespace {namespace} must have the {kind} {name}{with}{}",
            keys.join(", ")
        ));
    };
    for needed in build::contents(job).iter().filter(|content| !content.is_optional) {
        let keys: Vec<&str> = needed.keys.iter().map(String::as_str).collect();
        have(needed.kind, &needed.name, &keys);
    }
    if let Some(secret) = build::queue_secret(job) {
        have(Kind::Secret, secret, &[QUEUE_KEY[0].0, QUEUE_KEY[1].0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_records_say_is_a_star_in_a_pattern() {
        for (name, expected) in [
            ("logs", "logs"),
            ("logs-{+yyyy.MM.dd}", "logs-*"),
            ("{tenant}-{+yyyy}-x", "*-*-x"),
        ] {
            assert_eq!(pattern(name), expected);
        }
    }
}
