//! A namespace of its own, a controller, and the hand that plays what nodes would do.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use http::{Request, Response};
use k8s_openapi::{
    api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    client::{Body, ClientBuilder, DynBody},
    config::{KubeConfigOptions, Kubeconfig},
};
use pf_e2e::{Kubernetes, LocalStack, Sqs};
use pf_operator::{
    controller::{Controller, Settings, names},
    crd::{self, IngestJob, IngestJobStatus, Phase},
    metrics::Metrics,
    queue::{Own, Queues},
};
use pf_work::{
    Counts,
    discovery::Discovered,
    proof::{Summary, Verdict},
    sqs::AccessKey,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tower::{BoxError, Layer, Service, util::BoxService};

use super::spy::Spy;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(2);

/// Work items that the discoverer of a test offers.
pub(crate) const ITEMS: u64 = 30;

/// Everything that a test of one job needs.
pub(crate) struct World {
    pub(crate) namespace: String,
    /// As the test itself speaks to the API server.
    pub(crate) client: Client,
    pub(crate) controller: Controller,
    pub(crate) spy: Spy,
    /// Uids of all discoverers that there ever were.
    pub(crate) discoverers: BTreeSet<String>,
    /// Where the jobs' queues are.
    pub(crate) sqs: &'static Sqs,
    own: Own,
    offered: AtomicU32,
}

impl World {
    /// A new namespace. The definition is installed with the first one.
    pub(crate) async fn new(name: &str) -> Self {
        let sqs = tokio::task::block_in_place(Sqs::shared);
        Self::with(name, sqs, own()).await
    }

    /// The same with queues on LocalStack, where each key may have an account of its own and roles can be taken on, at this
    /// address.
    pub(crate) async fn on_localstack(name: &str, sts_endpoint: Option<String>) -> Self {
        let sqs = tokio::task::block_in_place(LocalStack::shared).sqs();
        let own = Own { sts_endpoint, ..own() };
        Self::with(name, sqs, own).await
    }

    async fn with(name: &str, sqs: &'static Sqs, own: Own) -> Self {
        let namespace = tokio::task::block_in_place(|| Kubernetes::shared().make_namespace(name));
        let client = client(&Spy::default()).await;
        install(&client).await;
        let spy = Spy::default();
        Self {
            namespace,
            controller: controller(super::world::client(&spy).await, own.clone()),
            client,
            spy,
            discoverers: BTreeSet::new(),
            sqs,
            own,
            offered: AtomicU32::new(0),
        }
    }

    /// A namespace of another control plane, to which the definition came otherwise, and where the operator is a program.
    pub(crate) async fn on(cluster: &Kubernetes, namespace: &str) -> Self {
        let spy = Spy::default();
        let client = client_at(cluster, &spy).await;
        Self {
            namespace: namespace.to_owned(),
            controller: controller_as(client.clone()),
            client,
            spy,
            discoverers: BTreeSet::new(),
            sqs: tokio::task::block_in_place(Sqs::shared),
            own: own(),
            offered: AtomicU32::new(0),
        }
    }

    /// Another process in the place of the operator, which knows nothing of what was before.
    pub(crate) async fn restart(&mut self, spy: Spy) {
        self.controller = controller(client(&spy).await, self.own.clone());
        self.spy = spy;
    }

    pub(crate) fn jobs(&self) -> Api<IngestJob> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A job whose queue is its own.
    pub(crate) fn job(&self, name: &str) -> Value {
        json!({
            "apiVersion": "paraflow.dev/v1alpha1",
            "kind": "IngestJob",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "source": {"s3": {"bucket": "logs", "prefix": "2024/"}},
                "queue": {"sqs": {"endpoint": self.sqs.endpoint(), "region": Sqs::REGION}},
                "state": {"uri": "s3://state/jobs"},
                "sink": {"stats": {}},
                "workers": {"max": 3},
            },
        })
    }

    /// Creates a job.
    pub(crate) async fn create(&self, job: &Value) {
        let job = serde_json::from_value(job.clone()).unwrap();
        self.jobs().create(&PostParams::default(), &job).await.unwrap();
    }

    /// Merges this into a job.
    pub(crate) async fn change(&self, name: &str, patch: &Value) {
        let patch = Patch::Merge(patch);
        self.jobs().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    pub(crate) async fn status(&self, name: &str) -> IngestJobStatus {
        self.jobs().get(name).await.unwrap().status.unwrap_or_default()
    }

    /// One step of the operator; an error is one of the process.
    pub(crate) async fn step(&mut self, name: &str) -> Result<Option<Duration>, pf_operator::controller::Error> {
        let taken = self.controller.reconcile(&self.namespace, name).await;
        self.see_discoverers().await;
        taken
    }

    /// Notes the discoverers that are there.
    pub(crate) async fn see_discoverers(&mut self) {
        for job in self.api::<Job>().list(&ListParams::default()).await.unwrap() {
            if job.name_any().ends_with("-discover") {
                self.discoverers.insert(job.uid().unwrap());
            }
        }
    }

    /// Steps and plays, until `done` says so. A process that died is replaced.
    pub(crate) async fn until(&mut self, name: &str, done: impl Fn(&IngestJob) -> bool) -> IngestJob {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let taken = self.step(name).await;
            if self.spy.is_dead() {
                self.restart(Spy::default()).await;
            } else if let Err(error) = taken
                && !self.spy.is_faulty()
            {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                panic!("{error}: {source:?}");
            }
            let job = self.jobs().get(name).await.unwrap();
            if done(&job) {
                return job;
            }
            assert!(Instant::now() < deadline, "{:#?}", job.status);
            self.play(name).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Steps and plays until the job has this phase.
    pub(crate) async fn until_phase(&mut self, name: &str, phase: Phase) -> IngestJob {
        let has_it = move |job: &IngestJob| job.status.as_ref().and_then(|status| status.phase) == Some(phase);
        self.until(name, has_it).await
    }

    /// What nodes would do by now: discoverers offer and end, workers empty the queue, proofs tell what is so.
    pub(crate) async fn play(&self, name: &str) {
        let status = self.status(name).await;
        let Some(queue) = status.queue else { return };
        for job in self.api::<Job>().list(&ListParams::default()).await.unwrap() {
            let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let is_over = conditions
                .into_iter()
                .any(|condition| condition.status == "True" && condition.type_ != "Suspended");
            if is_over {
                continue;
            }
            let message = match job.labels().get(names::ROLE).map(String::as_str) {
                Some("discoverer") => {
                    if self.pod_of(&job.name_any()).await.is_none() {
                        continue;
                    }
                    if self.offered.swap(1, Ordering::SeqCst) == 0 {
                        tokio::task::block_in_place(|| {
                            (0..ITEMS).for_each(|item| self.sqs.send(&queue.url, &item.to_string()));
                        });
                    }
                    discovered(name, ITEMS, 1000 * ITEMS).to_json()
                }
                Some("verify") => summary(name, Verdict::Complete, 0).to_json(),
                _ => String::new(),
            };
            self.end(&job.name_any(), 0, &message).await;
        }
        let workers = self.api::<Deployment>().list(&ListParams::default()).await.unwrap();
        if workers
            .iter()
            .any(|workers| workers.spec.as_ref().unwrap().replicas.unwrap_or(0) > 0)
        {
            tokio::task::block_in_place(|| self.sqs.all_bodies(&queue.url));
        }
    }

    /// The pod of a Job that has not ended, if there is one.
    pub(crate) async fn pod_of(&self, job: &str) -> Option<Pod> {
        let of_job = ListParams::default().labels(&format!("job-name={job}"));
        let pods = self.api::<Pod>().list(&of_job).await.unwrap();
        let runs = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
            phase.as_deref() == Some("Pending") || phase.as_deref() == Some("Running")
        };
        pods.into_iter().find(runs)
    }

    /// The pod of the discoverer, as soon as it is there.
    pub(crate) async fn discoverer_pod(&self, name: &str) -> Pod {
        let job = format!("{name}-discover");
        eventually("the discoverer has a pod", || async { self.pod_of(&job).await }).await
    }

    /// Checks that a job that is complete has had one life: one discoverer that there ever was, no orphan, and no child beside
    /// those that it ends with.
    pub(crate) async fn assert_one_life(&self, done: &IngestJob, trial: &(dyn Debug + Sync)) {
        assert_eq!(self.discoverers.len(), 1, "{trial:?}: one discoverer there ever was");
        for job in self.api::<Job>().list(&ListParams::default()).await.unwrap() {
            assert_eq!(
                job.owner_references()[0].uid,
                done.uid().unwrap(),
                "{trial:?}: an orphan"
            );
        }
        assert_eq!(
            self.children().await,
            ["Job logs-discover", "Job logs-verify-1", "Deployment logs-worker"],
            "{trial:?}"
        );
    }

    /// Ends the pod of a Job, if it has one that runs.
    pub(crate) async fn end(&self, job: &str, exit_code: i32, message: &str) {
        if let Some(pod) = self.pod_of(job).await {
            let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
            self.pod_ended(&pod, phase, exit_code, message).await;
        }
    }

    /// Says how a pod's container ended.
    pub(crate) async fn pod_ended(&self, pod: &Pod, phase: &str, exit_code: i32, message: &str) {
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let patch = json!({"status": {
            "phase": phase,
            "containerStatuses": [{
                "name": container.name,
                "image": container.image,
                "imageID": "",
                "ready": false,
                "restartCount": 0,
                "state": {"terminated": {"exitCode": exit_code, "message": message}},
            }],
        }});
        let pods = self.api::<Pod>();
        let patched = pods
            .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await;
        match patched {
            // Its Job was deleted meanwhile.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            patched => drop(patched.unwrap()),
        }
    }

    /// Deletes the job, and steps until nothing of it is left.
    pub(crate) async fn delete(&mut self, name: &str) {
        self.jobs().delete(name, &DeleteParams::default()).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.jobs().get_opt(name).await.unwrap().is_some() {
            if self.step(name).await.is_err() {
                self.restart(Spy::default()).await;
            }
            assert!(Instant::now() < deadline, "the job stays");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The names of all Jobs and Deployments that are there.
    pub(crate) async fn children(&self) -> Vec<String> {
        let mut names = Vec::new();
        let jobs = self.api::<Job>().list(&ListParams::default()).await.unwrap();
        names.extend(jobs.iter().map(|job| format!("Job {}", job.name_any())));
        let workers = self.api::<Deployment>().list(&ListParams::default()).await.unwrap();
        names.extend(
            workers
                .iter()
                .map(|workers| format!("Deployment {}", workers.name_any())),
        );
        names
    }
}

/// Waits until something is so, and returns what was found.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a discoverer tells of a test's job whose objects are an item each.
pub(crate) fn discovered(job: &str, items: u64, object_bytes: u64) -> Discovered {
    Discovered {
        owner: None,
        life: None,
        resumed_from: None,
        job: job.to_owned(),
        items,
        objects: items,
        object_bytes,
    }
}

/// What a proof tells of a test's job.
pub(crate) fn summary(job: &str, verdict: Verdict, missing: u64) -> Summary {
    Summary {
        owner: None,
        life: None,
        resumed_from: None,
        settled_before: 0,
        budget_spent: None,
        job: job.to_owned(),
        verdict,
        discovered: true,
        objects: ITEMS,
        object_bytes: 1000 * ITEMS,
        expected: ITEMS,
        settled: ITEMS - missing,
        dead_lettered: u64::from(verdict == Verdict::CompleteWithDeadLetters),
        missing,
        wrong: if missing > 0 {
            format!("{missing} items are not settled")
        } else {
            String::new()
        },
        counts: Counts {
            records_in: 100 * ITEMS,
            records_out: 100 * ITEMS,
            wire_bytes: 1000 * ITEMS,
            ..Counts::default()
        },
    }
}

/// A client that everything is done with that a process does.
pub(crate) async fn client(spy: &Spy) -> Client {
    client_with(spy).await
}

/// A client with a layer between it and the API server.
pub(crate) async fn client_with<L: Between>(layer: &L) -> Client
where
    L::Service: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError> + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send,
{
    let cluster = tokio::task::block_in_place(Kubernetes::shared);
    client_at(cluster, layer).await
}

/// What may stand between a client and the API server.
pub(crate) trait Between: Layer<BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>> {}

impl<L: Layer<BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>>> Between for L {}

async fn client_at<L: Between>(cluster: &Kubernetes, layer: &L) -> Client
where
    L::Service: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError> + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send,
{
    let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap();
    ClientBuilder::try_from(config).unwrap().with_layer(layer).build()
}

/// The operator's own identity in tests.
fn own() -> Own {
    Own {
        key: Some(AccessKey {
            id: Sqs::ACCESS_KEY_ID.to_owned(),
            secret: Sqs::SECRET_ACCESS_KEY.to_owned(),
            session_token: None,
        }),
        sts_endpoint: None,
    }
}

/// An operator that speaks to the API server with this client.
pub(crate) fn controller_as(client: Client) -> Controller {
    controller(client, own())
}

fn controller(client: Client, own: Own) -> Controller {
    let settings = Settings {
        image: "paraflow:test".to_owned(),
        look_every: Duration::from_millis(40),
        idle_for: Duration::from_millis(120),
        instance: Some("a-test".to_owned()),
    };
    let metrics = Metrics::new(&prometheus::Registry::new());
    Controller::new(client, settings, Queues::new(own), metrics)
}

/// Installs the definition, once in each process, and waits until it is served.
pub(crate) async fn install(client: &Client) {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            let definitions = Api::<CustomResourceDefinition>::all(client.clone());
            let definition = crd::definition();
            let name = definition.name_any();
            let parameters = PatchParams::apply("test").force();
            definitions
                .patch(&name, &parameters, &Patch::Apply(&definition))
                .await
                .unwrap();
            let jobs = Api::<IngestJob>::all(client.clone());
            let served = || async { jobs.list(&ListParams::default()).await.ok() };
            eventually("the definition is served", served).await;
        })
        .await;
}
