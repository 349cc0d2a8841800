//! Every field of a job, changed while it runs and when it is over: what was asked for last is what there is, taking a change
//! back gives what was before, and what makes no sense is refused or stalls the job while its work goes on.
//!
//! The fields and their bounds are read from the schema, so that a new field is tried without anybody thinking of it.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment, core::v1::ServiceAccount, networking::v1::NetworkPolicy, policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ListParams, PostParams},
    core::{ApiResource, DynamicObject, NamespaceResourceScope},
};
use pf_operator::{
    controller::status::{STALLED, holds},
    crd::{self, IngestJob, Phase},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::world::World;

/// A field, and values for it.
struct Field {
    path: Vec<String>,
    good: Vec<Value>,
    bad: Vec<Value>,
}

impl Field {
    fn name(&self) -> String {
        self.path.join(".")
    }

    /// The spec with this value in it.
    fn set(&self, spec: &Value, value: &Value) -> Value {
        let mut spec = spec.clone();
        let mut place = &mut spec;
        for key in &self.path {
            if !place[key].is_object() && Some(key) != self.path.last() {
                place[key] = json!({});
            }
            place = &mut place[key];
        }
        *place = value.clone();
        spec
    }
}

/// All fields of the spec that hold a value.
fn fields() -> Vec<Field> {
    let mut found = Vec::new();
    walk(&crd::schema()["properties"]["spec"], &mut Vec::new(), &mut found);
    found
}

fn walk(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Field>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            path.push(name.clone());
            walk(property, path, found);
            path.pop();
        }
        return;
    }
    let (good, bad) = values(schema);
    found.push(Field {
        path: path.clone(),
        good,
        bad,
    });
}

/// Values that a schema allows, and values that it does not.
fn values(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        let template = json!({"metadata": {"labels": {"team": "search"}}, "spec": {"nodeSelector": {"disk": "fast"}}});
        return (vec![template], vec![json!("a text"), json!([1])]);
    }
    if let Some(choices) = schema["enum"].as_array() {
        return (choices.clone(), vec![json!("none of them"), json!(7)]);
    }
    let text_max = schema["maxLength"].as_u64();
    match schema["type"].as_str().unwrap_or_default() {
        "boolean" => (vec![json!(true)], vec![json!("yes")]),
        "integer" => {
            let bound = |key: &str| schema[key].as_f64().expect("a test finds bounds for every number") as i64;
            let (least, most) = (bound("minimum"), bound("maximum"));
            let bad = vec![json!(least - 1), json!(most.saturating_add(1)), json!("many")];
            // What is in the middle is asked for in other tests.
            (vec![json!(most)], bad)
        }
        "string" if schema["format"] == "date-time" => (vec![json!("2030-01-31T06:00:00Z")], vec![json!("tomorrow")]),
        "string" => {
            let good = schema["example"].as_str().unwrap_or("a text");
            let mut bad = vec![json!(7), json!("x".repeat(text_max.unwrap_or(5000) as usize + 1))];
            if schema["pattern"].is_string() {
                bad.push(json!("\u{1}"));
            }
            (vec![json!(good)], bad)
        }
        "array" => {
            let (good, bad) = values(&schema["items"]);
            (vec![json!(good[..1])], vec![json!(bad[..1]), json!("no list")])
        }
        "object" if schema["additionalProperties"].is_object() => {
            let (good, bad) = values(&schema["additionalProperties"]);
            let good = json!({"cpu": good[0]});
            (vec![good], vec![json!({"cpu": bad.last().unwrap()}), json!("no map")])
        }
        // A quantity.
        "" => (vec![json!("500m")], vec![json!("lots")]),
        // A list's item that is a map: without what it needs it is none, and with nothing there is nothing to try.
        "object" => (vec![json!({})], vec![json!("no map")]),
        other => panic!("no values for the type {other}"),
    }
}

/// What the job's children are, without what changes by itself.
async fn snapshot(world: &World) -> Value {
    json!([
        all::<Deployment>(world).await,
        all::<PodDisruptionBudget>(world).await,
        all::<ServiceAccount>(world).await,
        all::<NetworkPolicy>(world).await,
    ])
}

async fn all<K>(world: &World) -> Vec<Value>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let of_job = ListParams::default().labels("paraflow.dev/job=logs");
    let found = world.api::<K>().list(&of_job).await.unwrap();
    found.into_iter().map(|object| plain(&object)).collect()
}

/// An object without what the API server and its controllers add as time goes by.
fn plain<K: Serialize>(object: &K) -> Value {
    let mut value = serde_json::to_value(object).unwrap();
    let fields = value.as_object_mut().unwrap();
    fields.remove("status");
    let metadata = fields["metadata"].as_object_mut().unwrap();
    for changing in [
        "managedFields",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "uid",
    ] {
        metadata.remove(changing);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("deployment.kubernetes.io/revision");
    }
    // The scaler's own test is elsewhere.
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("replicas");
    }
    value
}

/// Steps until nothing is written any more.
async fn settle(world: &mut World) {
    let mut quiet = 0;
    for _ in 0..60 {
        world.spy.forget();
        world.step("logs").await.unwrap();
        quiet = if world.spy.writes().is_empty() { quiet + 1 } else { 0 };
        if quiet == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    panic!("it never comes to rest: {:?}", world.spy.writes());
}

/// Puts a spec in the place of the one that is there. False: the API server refuses.
async fn put(world: &World, spec: &Value) -> bool {
    // Of no type, so that anything can be sent.
    let resource = ApiResource::erase::<IngestJob>(&());
    let jobs: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
    let mut job = jobs.get("logs").await.unwrap();
    job.data["spec"] = spec.clone();
    let written = jobs.replace("logs", &PostParams::default(), &job).await;
    match written {
        Ok(_) => true,
        // 400: what is no IngestJob at all; 422: one that breaks a rule.
        Err(kube::Error::Api(status)) if [400, 422].contains(&status.code) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn spec_of(world: &World) -> Value {
    serde_json::to_value(world.jobs().get("logs").await.unwrap().spec).unwrap()
}

/// What a job that is new, with this spec, has as children: made by another operator in another namespace.
async fn fresh(spec: Value) -> String {
    let mut world = World::new("fresh").await;
    let mut job = world.job("logs");
    job["spec"] = spec;
    world.create(&job).await;
    let began = |job: &IngestJob| job.status.as_ref().is_some_and(|status| status.queue.is_some());
    world.until("logs", began).await;
    settle(&mut world).await;
    let children = without_names(&world, &snapshot(&world).await);
    world.delete("logs").await;
    children
}

/// Children as a text, without the names that are others in each namespace.
fn without_names(world: &World, children: &Value) -> String {
    unnamed(&children.to_string().replace(&world.namespace, "NAMESPACE"))
}

/// A text without the names of queues, which are others in each namespace.
fn unnamed(text: &str) -> String {
    let queue = regex::Regex::new("pf-logs-[0-9a-f]{10}").unwrap();
    let owner = regex::Regex::new(r#""uid":"[0-9a-f-]{36}""#).unwrap();
    let hash = regex::Regex::new(r#""paraflow.dev/wished-hash":"[0-9a-f]{16}""#).unwrap();
    let text = queue.replace_all(text, "pf-logs-QUEUE");
    let text = owner.replace_all(&text, r#""uid":"UID""#);
    hash.replace_all(&text, r#""paraflow.dev/wished-hash":"HASH""#)
        .into_owned()
}

/// A job that has found all it has to do, and works on it.
async fn running(name: &str) -> (World, Value) {
    let mut world = World::new(name).await;
    let mut job = world.job("logs");
    job["spec"]["workers"] = json!({"max": 3, "drainTimeoutSeconds": 20});
    world.create(&job).await;
    world.until_phase("logs", Phase::Running).await;
    settle(&mut world).await;
    let spec = spec_of(&world).await;
    (world, spec)
}

/// New jobs that are made at the same time.
const FRESH_AT_ONCE: usize = 8;

/// These begin another run, let it rest, or put an end to its children, and have tests of their own.
const LIFE: [&str; 3] = ["suspend", "restartNonce", "ttlSecondsAfterFinished"];

#[tokio::test(flavor = "multi_thread")]
async fn every_field_can_be_changed_and_changed_back_while_a_job_runs() {
    let (mut world, spec) = Box::pin(running("mutations")).await;
    let before = snapshot(&world).await;
    let (mut taken, mut refused) = (BTreeMap::new(), Vec::new());
    for field in fields().iter().filter(|field| !LIFE.contains(&field.name().as_str())) {
        for value in &field.good {
            let changed = field.set(&spec, value);
            if !put(&world, &changed).await {
                refused.push(field.name());
                assert_eq!(spec_of(&world).await, spec, "{} refused in part", field.name());
                continue;
            }
            settle(&mut world).await;
            let now = snapshot(&world).await;
            let job = world.jobs().get("logs").await.unwrap();
            let name = field.name();
            if holds(job.status.as_ref().unwrap(), STALLED) {
                assert_eq!(now, before, "{name}: what runs goes on while the job is stalled");
            } else if now != before {
                taken.insert(name.clone(), (changed.clone(), without_names(&world, &now)));
            }
            assert_eq!(job.status.unwrap().phase, Some(Phase::Running), "{name}");
            assert!(put(&world, &spec).await, "{name} can't be taken back");
            settle(&mut world).await;
            assert_eq!(snapshot(&world).await, before, "{name} was taken back");
        }
        for value in &field.bad {
            assert!(
                !put(&world, &field.set(&spec, value)).await,
                "{} takes {value}",
                field.name()
            );
        }
    }
    for fixed in [
        "source.s3.prefix",
        "state.uri",
        "queue.sqs.maxReceives",
        "columns",
        "where",
    ] {
        assert!(
            refused.iter().any(|name| name == fixed),
            "{fixed} cannot change once the job has started"
        );
    }
    for wished in [
        "workers.threads",
        "workers.podTemplate",
        "serviceAccount.name",
        "networkPolicy.morePorts",
    ] {
        assert!(taken.contains_key(wished), "{wished} changes nothing");
    }
    let taken: Vec<_> = taken.into_iter().collect();
    for some in taken.chunks(FRESH_AT_ONCE) {
        let fresh = some
            .iter()
            .map(|(_, (changed, _))| tokio::spawn(fresh(changed.clone())));
        let fresh: Vec<_> = fresh.collect();
        for (fresh, (name, (_, here))) in fresh.into_iter().zip(some) {
            assert_eq!(&fresh.await.unwrap(), here, "{name}: not what a new job would have");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_of_a_field_brings_a_finished_job_back_to_life() {
    let mut world = World::new("finished").await;
    world.create(&world.job("logs")).await;
    world.until_phase("logs", Phase::Complete).await;
    world
        .until("logs", |job| job.status.as_ref().unwrap().workers == Some(0))
        .await;
    settle(&mut world).await;
    let (spec, before) = (spec_of(&world).await, snapshot(&world).await);
    let ended = world.status("logs").await.completed_at;
    for field in fields()
        .iter()
        .filter(|field| field.name() != "restartNonce" && field.name() != LIFE[2])
    {
        for value in &field.good {
            if put(&world, &field.set(&spec, value)).await {
                settle(&mut world).await;
                let status = world.status("logs").await;
                assert_eq!(
                    (status.phase, &status.completed_at),
                    (Some(Phase::Complete), &ended),
                    "{}",
                    field.name()
                );
                assert_eq!(snapshot(&world).await, before, "{}", field.name());
                assert!(put(&world, &spec).await, "{}", field.name());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_made_is_not_touched_and_the_job_says_so() {
    let mut world = World::new("taken").await;
    let theirs: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "logs", "annotations": {"theirs": "yes"}}})).unwrap();
    let accounts = world.api::<ServiceAccount>();
    accounts.create(&PostParams::default(), &theirs).await.unwrap();
    world.create(&world.job("logs")).await;
    let stalled = world
        .until("logs", |job| {
            job.status.as_ref().is_some_and(|status| holds(status, STALLED))
        })
        .await;
    let conditions = stalled.status.unwrap().conditions;
    let stalled = conditions.iter().find(|condition| condition.type_ == STALLED).unwrap();
    assert_eq!(stalled.reason, "NameTaken");
    assert!(stalled.message.contains("ServiceAccount logs"), "{}", stalled.message);
    assert_eq!(world.children().await, Vec::<String>::new());
    assert!(accounts.get("logs").await.unwrap().owner_references().is_empty());
    world
        .change("logs", &json!({"spec": {"serviceAccount": {"name": "logs"}}}))
        .await;
    world.until_phase("logs", Phase::Complete).await;
    assert_eq!(accounts.get("logs").await.unwrap().annotations()["theirs"], "yes");
}
