//! The definition in a real API server takes and refuses what is documented, and the client refuses the same.

use std::path::PathBuf;

use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject},
};
use pf_operator::{crd, job_file::JobFile};
use serde_json::{Value, json};

use super::world::World;

/// A change to a good job, and what the refusal speaks of; nothing: it is taken.
type Case = (&'static str, fn(&mut Value), Option<&'static str>);

const CASES: [Case; 46] = [
    ("as it is", |_| {}, None),
    (
        "a name of 50",
        |job| job["metadata"]["name"] = "x".repeat(50).into(),
        None,
    ),
    (
        "a name of 51",
        |job| job["metadata"]["name"] = "x".repeat(51).into(),
        Some("50 characters or fewer"),
    ),
    (
        "no source",
        |job| job["spec"]["source"] = json!({}),
        Some("exactly one of s3 and files"),
    ),
    (
        "two sources",
        |job| job["spec"]["source"]["files"] = json!({"path": "logs"}),
        Some("exactly one of s3 and files"),
    ),
    (
        "no bucket",
        |job| job["spec"]["source"]["s3"] = json!({}),
        Some("bucket"),
    ),
    (
        "a bad bucket",
        |job| job["spec"]["source"]["s3"]["bucket"] = "My Bucket".into(),
        Some("spec.source.s3.bucket"),
    ),
    (
        "no sink",
        |job| job["spec"]["sink"] = json!({}),
        Some("exactly one of elasticsearch, stats and stdout"),
    ),
    (
        "two sinks",
        |job| job["spec"]["sink"] = json!({"stats": {}, "stdout": {}}),
        Some("exactly one of elasticsearch, stats and stdout"),
    ),
    (
        "an index and a data stream",
        |job| {
            job["spec"]["sink"] =
                json!({"elasticsearch": {"urls": ["http://es:9200"], "index": "a", "dataStream": "b"}});
        },
        Some("exactly one of index and dataStream"),
    ),
    (
        "no address",
        |job| job["spec"]["sink"] = json!({"elasticsearch": {"urls": [], "index": "a"}}),
        Some("spec.sink.elasticsearch.urls"),
    ),
    (
        "seventeen addresses",
        |job| {
            let urls: Vec<String> = (0..17).map(|n| format!("http://es-{n}:9200")).collect();
            job["spec"]["sink"] = json!({"elasticsearch": {"urls": urls, "index": "a"}});
        },
        Some("spec.sink.elasticsearch.urls"),
    ),
    (
        "two ways to sign in",
        |job| {
            job["spec"]["sink"] = json!({"elasticsearch": {"urls": ["http://es:9200"], "index": "a",
                "auth": {"apiKey": {"name": "es", "key": "k"}, "basic": {"name": "es"}}}});
        },
        Some("exactly one of apiKey and basic"),
    ),
    (
        "an id by a field without the field",
        |job| {
            job["spec"]["sink"] =
                json!({"elasticsearch": {"urls": ["http://es:9200"], "index": "a", "id": {"mode": "field"}}});
        },
        Some("field must be given for mode field"),
    ),
    (
        "min above max",
        |job| job["spec"]["workers"] = json!({"min": 5, "max": 4}),
        Some("min must not be above max"),
    ),
    (
        "min at max",
        |job| job["spec"]["workers"] = json!({"min": 4, "max": 4}),
        None,
    ),
    // Defaults are there before rules are looked at.
    (
        "min above the default max",
        |job| job["spec"]["workers"] = json!({"min": 11, "max": 10}),
        Some("min must not be above max"),
    ),
    (
        "no lanes",
        |job| job["spec"]["workers"] = json!({"threads": 0}),
        Some("spec.workers.threads"),
    ),
    (
        "a negative number",
        |job| job["spec"]["workers"] = json!({"max": -1}),
        Some("spec.workers.max"),
    ),
    (
        "a text for a number",
        |job| job["spec"]["workers"] = json!({"max": "many"}),
        Some("spec.workers.max"),
    ),
    (
        "no drain",
        |job| job["spec"]["workers"] = json!({"drainTimeoutSeconds": 0}),
        Some("spec.workers.drainTimeoutSeconds"),
    ),
    (
        "a bad quantity",
        |job| job["spec"]["workers"] = json!({"resources": {"limits": {"memory": "lots"}}}),
        Some("spec.workers.resources.limits.memory"),
    ),
    (
        "any pod template",
        |job| job["spec"]["workers"] = json!({"podTemplate": {"spec": {"nodeSelector": {"a": "b"}}}}),
        None,
    ),
    (
        "a key of a Secret",
        |job| job["spec"]["queue"] = json!({"sqs": {"credentials": {"secret": {"name": "aws"}}}}),
        None,
    ),
    (
        "a role",
        |job| job["spec"]["queue"] = json!({"sqs": {"credentials": {"roleArn": "arn:aws:iam::123456789012:role/a/b"}}}),
        None,
    ),
    (
        "no credentials",
        |job| job["spec"]["queue"] = json!({"sqs": {"credentials": {}}}),
        Some("give exactly one of secret and roleArn"),
    ),
    (
        "two credentials",
        |job| {
            let role = "arn:aws:iam::123456789012:role/a";
            job["spec"]["queue"] = json!({"sqs": {"credentials": {"secret": {"name": "aws"}, "roleArn": role}}});
        },
        Some("give exactly one of secret and roleArn"),
    ),
    (
        "a role that is none",
        |job| {
            let user = "arn:aws:iam::123456789012:user/somebody";
            job["spec"]["queue"] = json!({"sqs": {"credentials": {"roleArn": user}}});
        },
        Some("spec.queue.sqs.credentials.roleArn"),
    ),
    (
        "a dead-letter queue without a queue",
        |job| {
            job["spec"]["queue"] =
                json!({"sqs": {"deadLetterQueueUrl": "https://sqs.eu-central-1.amazonaws.com/1/dead"}});
        },
        Some("deadLetterQueueUrl goes with url"),
    ),
    (
        "a visibility of a second",
        |job| job["spec"]["queue"] = json!({"sqs": {"visibilityTimeoutSeconds": 1}}),
        Some("visibilityTimeoutSeconds"),
    ),
    (
        "an empty error budget",
        |job| job["spec"]["errorBudget"] = json!({}),
        Some("rejectedRecords, rejectedPercent, or both"),
    ),
    (
        "a filter without partitioning",
        |job| job["spec"]["source"]["filters"] = json!(["a=b"]),
        Some("filters need partitioning"),
    ),
    (
        "a filter of no placeholder",
        |job| {
            job["spec"]["source"]["partitioning"] = "region=${region}/".into();
            job["spec"]["source"]["filters"] = json!(["zone=b"]);
        },
        Some("must name a placeholder"),
    ),
    (
        "sizes that fit together",
        |job| {
            job["spec"]["source"]["minSize"] = "999kB".into();
            job["spec"]["source"]["maxSize"] = "1MB".into();
        },
        None,
    ),
    (
        "sizes that do not",
        |job| {
            job["spec"]["source"]["minSize"] = "2MiB".into();
            job["spec"]["source"]["maxSize"] = "2MB".into();
        },
        Some("minSize must not be above maxSize"),
    ),
    (
        "times that do not",
        |job| {
            job["spec"]["source"]["modifiedAfter"] = "2024-02-01".into();
            job["spec"]["source"]["modifiedBefore"] = "2024-01-31T23:59:59Z".into();
        },
        Some("modifiedAfter must be earlier"),
    ),
    (
        "an empty nonce",
        |job| job["spec"]["restartNonce"] = "".into(),
        Some("spec.restartNonce"),
    ),
    (
        "a year and a second",
        |job| job["spec"]["ttlSecondsAfterFinished"] = json!(31_536_001),
        Some("ttlSecondsAfterFinished"),
    ),
    (
        "what may be found and how it is told",
        |job| {
            job["spec"]["source"]["partitioning"] = "region=${region}/".into();
            for field in ["allowEmpty", "includeHidden", "includeArchived", "partitionFields"] {
                job["spec"]["source"][field] = true.into();
            }
            job["spec"]["source"]["binary"] = "hex".into();
            job["spec"]["state"] = json!({"uri": "s3://state/jobs", "resume": true});
        },
        None,
    ),
    (
        "fields of no partitioning",
        |job| job["spec"]["source"]["partitionFields"] = true.into(),
        Some("partitionFields needs partitioning"),
    ),
    (
        "an unknown text of bytes",
        |job| job["spec"]["source"]["binary"] = "octal".into(),
        Some("spec.source.binary"),
    ),
    (
        "conflicts of ids that records choose",
        |job| job["spec"]["sink"] = sink(&json!({"id": {"mode": "field", "field": "a"}, "onConflict": "keep"})),
        None,
    ),
    (
        "conflicts of ids that are nobody's",
        |job| job["spec"]["sink"] = sink(&json!({"onConflict": "keep"})),
        Some("onConflict is for id.mode field"),
    ),
    (
        "a conflict that is kept and replaced",
        |job| {
            let twice = json!({"id": {"mode": "field", "field": "a"}, "onConflict": "keep", "operation": "index"});
            job["spec"]["sink"] = sink(&twice);
        },
        Some("mean the same"),
    ),
    (
        "a data stream that replaces",
        |job| job["spec"]["sink"] = sink(&json!({"index": null, "dataStream": "logs", "operation": "index"})),
        Some("operation must be create for a dataStream"),
    ),
    (
        "replacing what has no name",
        |job| job["spec"]["sink"] = sink(&json!({"id": {"mode": "auto"}, "operation": "index"})),
        Some("replaces nothing with id.mode auto"),
    ),
];

/// A cluster with this too.
fn sink(more: &Value) -> Value {
    let mut cluster = json!({"urls": ["http://es:9200"], "index": "logs"});
    for (field, value) in more.as_object().unwrap() {
        cluster[field] = value.clone();
    }
    cluster.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    json!({"elasticsearch": cluster})
}

fn objects(world: &World) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<crd::IngestJob>(&());
    Api::namespaced_with(world.client.clone(), &world.namespace, &resource)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_and_the_client_take_and_refuse_the_same() {
    let world = World::new("schema").await;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for (what, change, refused) in CASES {
        let mut job = json!({
            "apiVersion": "paraflow.dev/v1alpha1",
            "kind": "IngestJob",
            "metadata": {"name": "logs"},
            "spec": {"source": {"s3": {"bucket": "logs"}}, "sink": {"stats": {}}},
        });
        change(&mut job);
        let text = serde_json::to_string(&job).unwrap();
        let here = JobFile::parse(text, "job.yaml".to_owned(), PathBuf::new());
        let there = objects(&world)
            .create(&dry_run, &serde_json::from_value(job).unwrap())
            .await;
        match refused {
            None => {
                here.unwrap_or_else(|error| panic!("{what}, here: {error}"));
                there.unwrap_or_else(|error| panic!("{what}, there: {error}"));
            }
            Some(words) => {
                let here = here.err().unwrap_or_else(|| panic!("{what} is taken here")).to_string();
                let there = there
                    .err()
                    .unwrap_or_else(|| panic!("{what} is taken there"))
                    .to_string();
                assert!(here.contains(words), "{what}, here: {here}");
                assert!(there.contains(words), "{what}, there: {there}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_started_job_reads_and_writes_cannot_change() {
    let world = World::new("fixed").await;
    let mut job = world.job("logs");
    job["spec"]["queue"] = json!({"sqs": {"url": "https://sqs.eu-central-1.amazonaws.com/1/logs"}});
    world.create(&job).await;
    let change = |patch: Value| {
        let jobs = world.jobs();
        async move { jobs.patch("logs", &PatchParams::default(), &Patch::Merge(patch)).await }
    };
    let changes = [
        ("source", json!({"spec": {"source": {"s3": {"prefix": "2025/"}}}})),
        (
            "sink",
            json!({"spec": {"sink": {"stats": null, "elasticsearch": {"urls": ["http://es:9200"], "index": "a"}}}}),
        ),
        (
            "queue",
            json!({"spec": {"queue": {"sqs": {"url": "https://sqs.eu-central-1.amazonaws.com/1/others"}}}}),
        ),
        ("queue", json!({"spec": {"queue": null}})),
        ("state", json!({"spec": {"state": {"uri": "s3://state/elsewhere"}}})),
        ("state", json!({"spec": {"state": null}})),
        ("columns", json!({"spec": {"columns": ["a"]}})),
        ("where", json!({"spec": {"where": "a = 1"}})),
        ("transform", json!({"spec": {"transform": {"script": "1"}}})),
        (
            "enrichment",
            json!({"spec": {"enrichment": [{"name": "a", "type": "exact", "configMap": {"name": "a", "key": "b"}}]}}),
        ),
    ];
    change(changes[0].1.clone()).await.expect("it has not started yet");
    let started = json!({"status": {"startedAt": "2024-01-01T00:00:00Z"}});
    world
        .jobs()
        .patch_status("logs", &PatchParams::default(), &Patch::Merge(started))
        .await
        .unwrap();
    change(json!({"spec": {"source": {"s3": {"prefix": "2025/"}}}}))
        .await
        .expect("nothing changes");
    for (field, patch) in changes.into_iter().skip(1) {
        let refused = change(patch).await.expect_err(field).to_string();
        assert!(refused.contains(&format!("spec.{field} cannot change")), "{refused}");
    }
    let source = change(json!({"spec": {"source": {"s3": {"prefix": "2026/"}}}}))
        .await
        .unwrap_err()
        .to_string();
    assert!(source.contains("spec.source cannot change"), "{source}");
    change(json!({"spec": {"workers": {"max": 8}, "state": {"resume": true}}}))
        .await
        .expect("these may change");

    // What shapes documents may be another one in another run, and which run it is is told by the nonce.
    let shaped = |nonce: &str| json!({"spec": {"columns": ["a"], "where": "a = 1", "restartNonce": nonce}});
    let refused = change(shaped("x")).await.expect_err("the job is at work").to_string();
    assert!(refused.contains("spec.where cannot change"), "{refused}");
    let over = json!({"status": {"completedAt": "2024-01-02T00:00:00Z"}});
    let over = Patch::Merge(over);
    world
        .jobs()
        .patch_status("logs", &PatchParams::default(), &over)
        .await
        .unwrap();
    change(shaped("x")).await.expect("a new run");
    let again = json!({"spec": {"columns": ["b"]}});
    let refused = change(again).await.expect_err("the same run").to_string();
    assert!(refused.contains("spec.columns cannot change"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_definition_is_served_without_a_complaint() {
    let world = World::new("served").await;
    let definitions: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
        Api::all(world.client.clone());
    let definition = definitions.get("ingestjobs.paraflow.dev").await.unwrap();
    let conditions = definition.status.unwrap().conditions.unwrap();
    let holds = |kind: &str| {
        conditions
            .iter()
            .any(|condition| condition.type_ == kind && condition.status == "True")
    };
    assert!(holds("Established") && holds("NamesAccepted"));
    assert!(!holds("NonStructuralSchema"), "{conditions:?}");
}
