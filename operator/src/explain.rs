//! `explain`: what the controller would make of a job, before anybody applies it: the steps in words, what each identity must be
//! allowed, and the objects. Pure.

use std::fmt::Write as _;

use kube::ResourceExt as _;
use serde::Serialize;

use crate::{
    controller::{
        build::{self, Children, Material, QUEUE_KEY},
        life,
        names::{self, Place},
    },
    crd::{IngestJob, QueueStatus},
    plan::shell_quoted,
    queue::external_id,
    validate::{Complaint, FieldPath},
};

/// Stands for what the API server gives a job.
const UID: &str = "00000000-0000-0000-0000-000000000000";

/// Stands for the address of a queue that is not made yet.
const QUEUE: &str = "https://sqs.REGION.amazonaws.com/ACCOUNT/";

/// The explanation, as YAML whose comments are the words. The complaints name every field that the controller can't honour.
pub fn explain(job: &IngestJob, image: &str) -> Result<String, Vec<Complaint>> {
    let mut job = job.clone();
    job.metadata.uid.get_or_insert_with(|| UID.to_owned());
    job.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    let place = Place::of(&job);
    let queue = queue(&job, place);
    let plan = life::plan(&job, &queue)?;
    let material = Material {
        plan: &plan,
        image,
        contents_hash: "HASH",
        place,
    };
    let children = build::children(&job, material).map_err(|error| {
        let build::Error { field, wrong } = error;
        vec![Complaint::new(FieldPath::parse(field), wrong)]
    })?;
    let mut text = String::new();
    words(&job, &queue, &plan.discoverer, &mut text);
    permissions(&job, &queue, &mut text);
    let Children {
        account,
        network,
        discoverer,
        workers,
        budget,
        verify,
        redrive,
    } = &children;
    if let Some(account) = account {
        document("the account that all pods run as", account, &mut text);
    }
    if let Some(network) = network {
        document("whom the pods may speak to", network, &mut text);
    }
    document("first: finds the objects, and ends", discoverer, &mut text);
    document("from zero, as many as the backlog justifies", workers, &mut text);
    document("with the workers", budget, &mut text);
    document(
        "when the queue looks empty: proves that nothing is missing",
        verify,
        &mut text,
    );
    document(
        "only if something is: offers it again, and another proof follows",
        redrive,
        &mut text,
    );
    Ok(text)
}

fn queue(job: &IngestJob, place: Place) -> QueueStatus {
    let given = job.spec.queue.as_ref().and_then(|queue| queue.sqs.url.clone());
    let owned = given.is_none();
    let url = given.unwrap_or_else(|| format!("{QUEUE}{}", names::queue(job, place.run)));
    QueueStatus {
        dead_letter_queue_url: owned.then(|| format!("{url}-dead")),
        url,
        owned,
    }
}

fn words(job: &IngestJob, queue: &QueueStatus, discoverer: &[String], text: &mut String) {
    let of_queue = if queue.owned {
        format!("makes the queue {}, and removes it with the job", queue.url)
    } else {
        format!("uses the queue {}", queue.url)
    };
    let line = shell_quoted(
        ["pf-discoverer"]
            .into_iter()
            .chain(discoverer.iter().map(String::as_str)),
    );
    let name = job.name_any();
    // Whether what is tried here would find anything is said by the discoverer itself.
    writeln!(
        text,
        "# The job {name} {of_queue}.\n# To see what would be found: {line} --dry-run"
    )
    .expect("writing to a string can't fail");
}

fn permissions(job: &IngestJob, queue: &QueueStatus, text: &mut String) {
    let sqs = job
        .spec
        .queue
        .as_ref()
        .map(|queue| queue.sqs.clone())
        .unwrap_or_default();
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
        "s3:PutObject (state)",
        "sqs:GetQueueAttributes",
        "sqs:SendMessage",
    ];
    let worker = [
        "s3:GetObject",
        "s3:PutObject (state)",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueUrl and sqs:SendMessage (dead letters)",
    ];
    let mut allow = |who: &str, what: &[&str]| {
        writeln!(text, "# AWS must allow {who}: {}", what.join(", ")).expect("writing to a string can't fail");
    };
    match (&credentials.secret, &credentials.role_arn) {
        (Some(secret), _) => {
            let name = &secret.name;
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
    let mut have = |kind: build::Kind, name: &str, keys: &[&str]| {
        let namespace = job.namespace().unwrap_or_default();
        let with = if keys.is_empty() { "" } else { " with " };
        let keys = keys.join(", ");
        writeln!(
            text,
            "# The namespace {namespace} must have the {kind} {name}{with}{keys}"
        )
        .expect("writing to a string can't fail");
    };
    for needed in build::contents(job).iter().filter(|content| !content.is_optional) {
        let keys: Vec<&str> = needed.keys.iter().map(String::as_str).collect();
        have(needed.kind, &needed.name, &keys);
    }
    if let Some(secret) = build::queue_secret(job) {
        have(build::Kind::Secret, secret, &[QUEUE_KEY[0].0, QUEUE_KEY[1].0]);
    }
}

fn document(when: &str, object: &impl Serialize, text: &mut String) {
    let yaml = serde_yaml::to_string(object).expect("objects of Kubernetes are plain data");
    write!(text, "---\n# {when}\n{yaml}").expect("writing to a string can't fail");
}
