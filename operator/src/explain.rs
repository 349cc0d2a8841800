//! `explain`: what the controller would make of a job, before anybody applies it: the steps in words, what each identity must be
//! allowed, and the objects. Pure.

mod permissions;

use std::fmt::Write as _;

use kube::ResourceExt as _;
use serde::Serialize;

use crate::{
    controller::{
        build::{self, Children, Material},
        life,
        names::{self, Place},
    },
    crd::{IngestJob, QueueStatus},
    plan::shell_quoted,
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
    permissions::write(&job, &queue, &mut text);
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

fn document(when: &str, object: &impl Serialize, text: &mut String) {
    let yaml = serde_yaml::to_string(object).expect("objects of Kubernetes are plain data");
    write!(text, "---\n# {when}\n{yaml}").expect("writing to a string can't fail");
}
