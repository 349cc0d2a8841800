//! Queues that can't be made, used or removed: the job says what is wrong and what to do, and goes on by itself once it is done.
//! On LocalStack, which has regions and accounts; a proxy before it plays the permissions that it does not check.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{Event, Pod, Secret},
};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use pf_e2e::{Fault, FaultProxy, LocalStack, Sqs, fault_proxy::Request};
use pf_operator::{
    controller::status::{self, holds},
    crd::{IngestJob, Phase},
};
use serde_json::{Value, json};

use super::world::World;

const NAME: &str = "logs";

/// Runs what waits for servers.
fn wait<T>(what: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(what)
}

async fn world(name: &str) -> (World, &'static LocalStack) {
    (World::on_localstack(name, None).await, LocalStack::shared())
}

/// The message of a condition that holds.
fn said(job: &IngestJob, kind: &str) -> Option<String> {
    let conditions = &job.status.as_ref()?.conditions;
    let found = conditions.iter().find(|it| it.type_ == kind && it.status == "True");
    found.map(|condition| format!("{}: {}", condition.reason, condition.message))
}

/// Steps until the job says all of this, in a condition and, where it is stalled, in an event.
async fn until_said(world: &mut World, kind: &'static str, parts: &[&str]) {
    let has_all = |text: &str| parts.iter().all(|part| text.contains(part));
    let says = |job: &IngestJob| said(job, kind).is_some_and(|text| has_all(&text));
    world.until(NAME, says).await;
    if kind == status::STALLED {
        let events = world.api::<Event>().list(&ListParams::default()).await.unwrap();
        let told = events.iter().any(|event| {
            let note = event.message.clone().unwrap_or_default();
            event.type_.as_deref() == Some("Warning")
                && event.involved_object.name.as_deref() == Some(NAME)
                && has_all(&note)
        });
        assert!(told, "no event says {parts:?}");
    }
}

/// Steps until nothing is wrong any more.
async fn until_at_work(world: &mut World) {
    let is_at_work = |job: &IngestJob| {
        let started = job.status.as_ref().is_some_and(|status| status.started_at.is_some());
        started && said(job, status::STALLED).is_none()
    };
    world.until(NAME, is_at_work).await;
}

/// A job with this as its `spec.queue.sqs`.
async fn create(world: &World, sqs: Value) {
    let mut job = world.job(NAME);
    job["spec"]["queue"]["sqs"] = sqs;
    world.create(&job).await;
}

async fn change(world: &World, sqs: Value) {
    world.change(NAME, &json!({"spec": {"queue": {"sqs": sqs}}})).await;
}

/// A proxy that refuses the actions that are in the list at the moment, as IAM does.
fn guard(server: &LocalStack) -> (FaultProxy, Arc<Mutex<Vec<&'static str>>>) {
    let (proxy, denied) = (FaultProxy::new(&server.endpoint()), Arc::new(Mutex::new(Vec::new())));
    let refuses = Arc::clone(&denied);
    proxy.choose(move |request: &Request<'_>| match request.sqs_action() {
        Some(action) if refuses.lock().unwrap().contains(&action) => Fault::sqs_error(
            403,
            "AccessDenied",
            &format!("User: arn:aws:iam::1:user/x is not authorized to perform: sqs:{action} on resource: queue"),
        ),
        _ => Fault::Pass,
    });
    (proxy, denied)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_its_own_is_made_as_wished_for_used_and_deleted_and_a_given_one_is_left() {
    let (mut world, server) = world("queue-own").await;
    let mut sqs = json!({"endpoint": server.endpoint(), "region": Sqs::REGION});
    sqs["visibilityTimeoutSeconds"] = 77.into();
    sqs["maxReceives"] = 4.into();
    create(&world, sqs).await;
    until_at_work(&mut world).await;
    let queue = world.status(NAME).await.queue.unwrap();
    let dead = queue.dead_letter_queue_url.clone().unwrap();
    let made = wait(|| server.sqs().attributes(&queue.url)).unwrap();
    assert_eq!(made["VisibilityTimeout"], "77");
    assert!(made["RedrivePolicy"].as_str().unwrap().contains('4'), "{made}");
    world.until_phase(NAME, Phase::Complete).await;
    world.delete(NAME).await;
    for url in [&queue.url, &dead] {
        assert_eq!(wait(|| server.sqs().attributes(url)), None, "{url}");
    }

    let given = wait(|| server.sqs().make_queue("given", 60, 3));
    // The operator may look at it, and do no more: that is for pods.
    let (proxy, denied) = guard(server);
    let actions = ["changemessagevisibilitybatch", "deletemessagebatch", "sendmessagebatch"];
    denied.lock().unwrap().extend(actions);
    create(
        &world,
        json!({"url": given.url, "endpoint": proxy.endpoint(), "region": Sqs::REGION}),
    )
    .await;
    until_at_work(&mut world).await;
    let queue = world.status(NAME).await.queue.unwrap();
    assert!(!queue.owned);
    let dead = queue.dead_letter_queue_url;
    assert!(
        dead.is_some_and(|dead| dead.ends_with("-dead")),
        "what its policy moves is found there"
    );
    world.jobs().delete(NAME, &DeleteParams::default()).await.unwrap();
    assert!(wait(|| server.sqs().attributes(&given.url)).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_missing_is_told_and_used_when_it_is_there() {
    let (mut world, server) = world("queue-missing").await;
    let (name, dead) = (
        format!("late-{}", world.namespace),
        format!("late-{}-dead", world.namespace),
    );
    let url = server.without_region(&format!("/{name}"));
    let dead_url = server.without_region(&format!("/{dead}"));
    create(
        &world,
        json!({"url": url, "endpoint": server.endpoint(), "region": Sqs::REGION, "deadLetterQueueUrl": dead_url}),
    )
    .await;
    let missing = format!("there is no queue {url}. It was asked as the operator itself, in the region");
    until_said(&mut world, status::STALLED, &[&missing, "correct spec.queue.sqs"]).await;

    wait(|| server.sqs().make_plain_queue(&name, &json!({})));
    let missing = format!("the dead-letter queue of {url} can't be used: there is no queue {dead_url}");
    until_said(&mut world, status::STALLED, &[&missing]).await;

    wait(|| server.sqs().make_plain_queue(&dead, &json!({})));
    until_at_work(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_in_another_region_or_out_of_reach_is_told_and_used_when_the_job_is_corrected() {
    let (mut world, server) = world("queue-region").await;
    let url = wait(|| server.without_region(&server.sqs().make_queue("region", 60, 3).url));
    let nobody = pf_e2e::free_address();
    let endpoint = format!("http://{nobody}");
    create(&world, json!({"url": url, "endpoint": endpoint, "region": "eu-west-1"})).await;
    until_said(
        &mut world,
        status::RECONCILING,
        &["QueueUnavailable: cannot get the attributes of", &url],
    )
    .await;
    assert_eq!(
        said(&world.jobs().get(NAME).await.unwrap(), status::STALLED),
        None,
        "it may pass"
    );

    change(&world, json!({"endpoint": server.endpoint()})).await;
    until_said(
        &mut world,
        status::STALLED,
        &["there is no queue", "in the region eu-west-1"],
    )
    .await;
    change(&world, json!({"region": Sqs::REGION})).await;
    until_at_work(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_told_by_its_name_and_done_once_it_is_allowed() {
    let (mut world, server) = world("queue-denied").await;
    let (proxy, denied) = guard(server);
    let deny = |actions: &[&'static str]| *denied.lock().unwrap() = actions.to_vec();
    deny(&["createqueue"]);
    create(&world, json!({"endpoint": proxy.endpoint(), "region": Sqs::REGION})).await;
    let told = [
        "cannot make the queue",
        "403 AccessDenied",
        "sqs:createqueue",
        "`pf-operator explain`",
    ];
    until_said(&mut world, status::STALLED, &told).await;
    deny(&[]);
    until_at_work(&mut world).await;
    let queue = world.status(NAME).await.queue.unwrap();

    // At work: what runs goes on, and is not scaled by what nobody knows.
    deny(&["getqueueattributes"]);
    until_said(
        &mut world,
        status::STALLED,
        &["sqs:getqueueattributes", "as the operator itself"],
    )
    .await;
    let before = world.children().await;
    assert!(before.contains(&"Job logs-discover".to_owned()), "{before:?}");
    deny(&[]);
    until_at_work(&mut world).await;
    assert_eq!(world.children().await, before);

    deny(&["deletequeue"]);
    world.jobs().delete(NAME, &DeleteParams::default()).await.unwrap();
    let told = [
        "sqs:deletequeue",
        "by hand",
        "the finalizer paraflow.dev/queue of the job",
    ];
    until_said(&mut world, status::STALLED, &told).await;
    assert!(wait(|| server.sqs().attributes(&queue.url)).is_some());
    deny(&[]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while world.jobs().get_opt(NAME).await.unwrap().is_some() {
        world.step(NAME).await.unwrap();
        assert!(std::time::Instant::now() < deadline, "the job stays");
    }
    assert_eq!(wait(|| server.sqs().attributes(&queue.url)), None);
}

async fn put_key(world: &World, id: &str, secret: &str) {
    let key = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws"},
        "stringData": {"accessKeyId": id, "secretAccessKey": secret},
    });
    let put = world.api::<Secret>();
    put.patch("aws", &PatchParams::apply("test"), &Patch::Apply(key))
        .await
        .unwrap();
}

/// What pods are given to sign with, as it stands in a template.
fn environment(pod: &k8s_openapi::api::core::v1::PodSpec) -> Value {
    serde_json::to_value(&pod.containers[0].env).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_job_asks_its_queue_and_is_in_no_object_but_its_secret() {
    let (mut world, server) = world("queue-key").await;
    let proxy = FaultProxy::new(&server.endpoint());
    let sqs = json!({
        "endpoint": proxy.endpoint(), "region": Sqs::REGION, "credentials": {"secret": {"name": "aws"}},
    });
    create(&world, sqs).await;
    let missing = format!(
        "spec.queue.sqs.credentials.secret: there is no Secret aws in the namespace {}",
        world.namespace
    );
    until_said(&mut world, status::STALLED, &[&missing]).await;
    put_key(&world, "111111111111", "geheim-1\n").await;
    until_said(
        &mut world,
        status::STALLED,
        &[
            "secretAccessKey of the Secret aws must be",
            "without blanks or line ends",
        ],
    )
    .await;
    assert!(proxy.requests().is_empty(), "nobody else's key is used instead");

    put_key(&world, "111111111111", "geheim-1").await;
    until_at_work(&mut world).await;
    let queue = world.status(NAME).await.queue.unwrap();
    assert!(
        queue.url.contains("/111111111111/"),
        "LocalStack takes the key for this account's: {}",
        queue.url
    );
    world.until_phase(NAME, Phase::Running).await;
    let workers = world.api::<Deployment>().get("logs-worker").await.unwrap();
    let template = workers.spec.unwrap().template;
    let variable =
        |name: &str, key: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "aws", "key": key}}});
    let mut token = variable("AWS_SESSION_TOKEN", "sessionToken");
    token["valueFrom"]["secretKeyRef"]["optional"] = true.into();
    let expected = json!([
        variable("AWS_ACCESS_KEY_ID", "accessKeyId"),
        variable("AWS_SECRET_ACCESS_KEY", "secretAccessKey"),
        token,
    ]);
    assert_eq!(environment(template.spec.as_ref().unwrap()), expected);
    let discoverer = world.api::<Job>().get("logs-discover").await.unwrap();
    assert_eq!(environment(&discoverer.spec.unwrap().template.spec.unwrap()), expected);

    // Another key: it is used at once, and workers are replaced.
    put_key(&world, "222222222222", "geheim-2").await;
    world.step(NAME).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    world.step(NAME).await.unwrap();
    assert!(proxy.requests().last().unwrap().contains("credential=222222222222/"));
    let annotations = |template: k8s_openapi::api::core::v1::PodTemplateSpec| template.metadata.unwrap().annotations;
    let after = world.api::<Deployment>().get("logs-worker").await.unwrap();
    assert_ne!(annotations(after.spec.unwrap().template), annotations(template));

    let mut text = serde_json::to_string(&world.jobs().get(NAME).await.unwrap()).unwrap();
    for list in [
        serde_json::to_string(&world.api::<Deployment>().list(&ListParams::default()).await.unwrap()),
        serde_json::to_string(&world.api::<Job>().list(&ListParams::default()).await.unwrap()),
        serde_json::to_string(&world.api::<Pod>().list(&ListParams::default()).await.unwrap()),
        serde_json::to_string(&world.api::<Event>().list(&ListParams::default()).await.unwrap()),
    ] {
        text.push_str(&list.unwrap());
    }
    assert!(!text.contains("geheim") && !text.contains("222222222222"), "{text}");
    world.until_phase(NAME, Phase::Complete).await;
    world.delete(NAME).await;
    assert_eq!(wait(|| server.sqs().attributes(&queue.url)), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_role_asks_as_that_role_and_its_pods_do_not() {
    let endpoint = wait(|| LocalStack::shared().endpoint());
    let mut world = World::on_localstack("queue-role", Some(endpoint.clone())).await;
    let role = "arn:aws:iam::123456789012:role/queues";
    create(
        &world,
        json!({"endpoint": endpoint, "region": Sqs::REGION, "credentials": {"roleArn": role}}),
    )
    .await;
    let done = world.until_phase(NAME, Phase::Complete).await;
    assert!(!holds(done.status.as_ref().unwrap(), status::STALLED));
    let queue = done.status.unwrap().queue.unwrap();
    assert!(queue.url.contains("/123456789012/"), "{}", queue.url);
    let workers = world.api::<Deployment>().get("logs-worker").await.unwrap();
    assert_eq!(environment(&workers.spec.unwrap().template.spec.unwrap()), Value::Null);
    world.delete(NAME).await;
    assert_eq!(wait(|| LocalStack::shared().sqs().attributes(&queue.url)), None);
}
