//! Pod templates: restricted as "Pod Security Standards" in Kubernetes' documentation asks, whatever a program could do.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value, json};

use super::{
    super::{
        differ,
        merge::merge,
        names::{self, Role},
    },
    Error, METRICS_PORT, Material, SECRETS_FOLDER, account, credentials,
    verbatim::verbatim,
};
use crate::crd::{ElasticsearchAuth, IngestJob, Resources, SecretKey, SecretName, Workers};

/// Nobody on any usual system.
const USER: i64 = 65_532;

/// What a worker drains in, where the job does not say.
const DRAIN_SECONDS: u32 = 30;

/// From the end of a drain to the end of the pod: what was being acknowledged, and the process itself.
const GRACE_SECONDS: u32 = 15;

/// Lanes, where the job does not say: twice the CPUs that are set aside then.
const THREADS: u32 = 4;

/// What a worker needs besides its lanes, and a lane at most (a budget of the design), in MiB.
const MEMORY_BASE_MIB: u32 = 256;
const MEMORY_LANE_MIB: u32 = 100;

/// The files of the Secrets that a job's sink names: name of the Secret, and the keys that are read from it.
pub(super) fn secrets(job: &IngestJob) -> BTreeMap<&str, Vec<&str>> {
    let mut secrets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let Some(cluster) = &job.spec.sink.elasticsearch else {
        return secrets;
    };
    let (api_key, basic) = match &cluster.auth {
        Some(ElasticsearchAuth { api_key, basic }) => (api_key.as_ref(), basic.as_ref()),
        None => (None, None),
    };
    for SecretKey { name, key } in api_key.into_iter().chain(&cluster.ca) {
        secrets.entry(name).or_default().push(key);
    }
    if let Some(SecretName { name }) = basic {
        secrets.entry(name).or_default().extend(["username", "password"]);
    }
    for keys in secrets.values_mut() {
        keys.sort_unstable();
        keys.dedup();
    }
    secrets
}

/// A worker.
pub(super) fn worker(job: &IngestJob, material: Material<'_>) -> Result<PodTemplateSpec, Error> {
    let nothing = Workers::default();
    let workers = job.spec.workers.as_ref().unwrap_or(&nothing);
    let mut arguments = material.plan.worker.clone();
    arguments.push(format!("--metrics-addr=0.0.0.0:{METRICS_PORT}"));
    if workers.threads.is_none() && workers.resources.is_none() {
        arguments.push(format!("--threads={THREADS}"));
    }
    let drain = workers.drain_timeout_seconds.unwrap_or(DRAIN_SECONDS);
    let mut container = container(names::WORKER, "pf-worker", material.image, &arguments);
    let probe =
        |path: &str| json!({"httpGet": {"path": path, "port": "metrics"}, "periodSeconds": 10, "timeoutSeconds": 5});
    merge(
        &mut container,
        &json!({
            "resources": resources(workers),
            "ports": [{"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"}],
            // Queue and sink are looked at before a worker is ready: it may take its time, and ends by itself if it must.
            "startupProbe": {"httpGet": {"path": "/healthz", "port": "metrics"}, "periodSeconds": 2, "failureThreshold": 60},
            "livenessProbe": probe("/healthz"),
            "readinessProbe": probe("/readyz"),
        }),
    );
    let mut volumes = vec![json!({"name": "tmp", "emptyDir": {}})];
    let mut mounts = vec![json!({"name": "tmp", "mountPath": "/tmp"})];
    for (name, keys) in secrets(job) {
        let items: Vec<Value> = keys.iter().map(|key| json!({"key": key, "path": key})).collect();
        let volume = format!("secret-{}", &names::hash([name.as_bytes()])[..8]);
        volumes.push(json!({"name": volume, "secret": {"secretName": name, "items": items, "defaultMode": 0o440}}));
        mounts.push(json!({"name": volume, "mountPath": format!("{SECRETS_FOLDER}/{name}"), "readOnly": true}));
    }
    container["volumeMounts"] = Value::Array(mounts);
    let mut environment = credentials::environment(job);
    if let Some(basic) = basic(job) {
        environment.push(json!({
            "name": "PF_ES_USERNAME",
            "valueFrom": {"secretKeyRef": {"name": basic, "key": "username"}},
        }));
    }
    if !environment.is_empty() {
        container["env"] = Value::Array(environment);
    }
    let mut template = template(job, Role::Worker, material, &container, &volumes);
    merge(
        &mut template,
        &json!({
            "metadata": {"annotations": {(names::CONTENTS_HASH): material.contents_hash}},
            "spec": {
                "terminationGracePeriodSeconds": drain + GRACE_SECONDS,
                "topologySpreadConstraints": [{
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": names::worker_selector(job)},
                }],
            },
        }),
    );
    finished(template, workers.pod_template.as_ref(), "spec.workers.podTemplate")
}

/// What runs once: `pf-discoverer` with these arguments.
pub(super) fn once(
    job: &IngestJob,
    role: Role,
    material: Material<'_>,
    arguments: &[String],
) -> Result<PodTemplateSpec, Error> {
    let mut container = container(names::DISCOVERER, "pf-discoverer", material.image, arguments);
    // Listing waits for answers most of the time, in constant memory.
    container["resources"] = json!({"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}});
    container["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp"}]);
    let environment = credentials::environment(job);
    if !environment.is_empty() {
        container["env"] = Value::Array(environment);
    }
    let volumes = vec![json!({"name": "tmp", "emptyDir": {}})];
    let mut template = template(job, role, material, &container, &volumes);
    template["spec"]["restartPolicy"] = "Never".into();
    let patch = job
        .spec
        .discoverer
        .as_ref()
        .and_then(|discoverer| discoverer.pod_template.as_ref());
    finished(template, patch, "spec.discoverer.podTemplate")
}

fn basic(job: &IngestJob) -> Option<&str> {
    let auth = job.spec.sink.elasticsearch.as_ref()?.auth.as_ref()?;
    auth.basic.as_ref().map(|secret| secret.name.as_str())
}

fn container(name: &str, program: &str, image: &str, arguments: &[String]) -> Value {
    let arguments: Vec<String> = arguments.iter().map(|argument| verbatim(argument)).collect();
    json!({
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [program],
        "args": arguments,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        // Where it wrote nothing itself, the last lines of its log say why it failed.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
}

fn template(job: &IngestJob, role: Role, material: Material<'_>, container: &Value, volumes: &[Value]) -> Value {
    json!({
        "metadata": {"labels": names::labels(job, role, material.place)},
        "spec": {
            "containers": [container],
            "volumes": volumes,
            "serviceAccountName": account::name(job),
            // They never speak to the API server. Identities of clouds bring tokens of their own.
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
    })
}

/// What is set aside for a worker: what the job says, else what its lanes need.
fn resources(workers: &Workers) -> Value {
    if let Some(Resources { requests, limits }) = &workers.resources {
        let mut resources = Map::new();
        for (name, quantities) in [("requests", requests), ("limits", limits)] {
            if !quantities.is_empty() {
                resources.insert(name.to_owned(), json!(quantities));
            }
        }
        return Value::Object(resources);
    }
    let threads = workers.threads.unwrap_or(THREADS);
    let memory = MEMORY_BASE_MIB + threads * MEMORY_LANE_MIB;
    json!({
        "requests": {"cpu": cpus(threads), "memory": format!("{memory}Mi")},
        "limits": {"memory": format!("{}Mi", 2 * memory)},
    })
}

/// Two lanes share a CPU, as one of them waits for storage or sink. In Kubernetes' own spelling, so that nothing differs
/// from what is read back.
fn cpus(threads: u32) -> String {
    if threads.is_multiple_of(2) {
        (threads / 2).to_string()
    } else {
        format!("{}m", threads * 500)
    }
}

fn finished(
    mut template: Value,
    patch: Option<&Map<String, Value>>,
    field: &'static str,
) -> Result<PodTemplateSpec, Error> {
    if let Some(patch) = patch {
        merge(&mut template, &Value::Object(patch.clone()));
    }
    let made: PodTemplateSpec = serde_json::from_value(template.clone()).map_err(|error| Error {
        field,
        wrong: error.to_string(),
    })?;
    // A misspelt field must not be dropped silently.
    let kept = serde_json::to_value(&made).expect("objects of Kubernetes are plain data");
    match differ::lost(&template, &kept) {
        Some(path) => Err(Error {
            field,
            wrong: format!("pods have no field {path}"),
        }),
        None => Ok(made),
    }
}
