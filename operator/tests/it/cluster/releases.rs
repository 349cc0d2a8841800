//! Releases of the charts in a cluster, from nothing to nothing: the definition is upgraded, the operator lives by the roles
//! that its chart gives it, and what must stay stays.

use std::{
    collections::BTreeSet,
    fs,
    net::Ipv4Addr,
    process::{Command, Stdio},
    time::Duration,
};

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job};
use pf_e2e::{Kubernetes, Sqs};
use pf_operator::crd::{IngestJob, Phase};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    program::Program,
    roles,
    world::{World, eventually},
};
use crate::{
    charts::{objects, workspace},
    program::{operator, outcome, run},
};

const PATIENCE: Duration = Duration::from_mins(2);

/// A cluster, and the tools as one who may do everything uses them.
struct Cluster {
    kubernetes: Kubernetes,
    folder: TempDir,
}

impl Cluster {
    fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.given("", arguments)
    }

    fn given(&self, input: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.kubernetes.kubectl_command();
        run(command.args(arguments), input)
    }

    #[track_caller]
    fn get(&self, arguments: &[&str]) -> Vec<Value> {
        let list = self
            .kubectl(&[&["get", "--output", "json"], arguments].concat())
            .unwrap();
        let list: Value = serde_json::from_str(&list).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        let mut helm = Command::new(pf_e2e::tool("helm"));
        helm.args(arguments)
            .arg("--kubeconfig")
            .arg(self.kubernetes.kubeconfig())
            .current_dir(workspace().join("charts"));
        run(&mut helm, "")
    }

    /// The definition before a field and a column were added to it, as a chart.
    fn older_definition(&self) -> String {
        let chart = self.folder.path().join("pf-operator-crds");
        fs::create_dir_all(chart.join("templates")).unwrap();
        let new = workspace().join("charts/pf-operator-crds");
        for file in ["Chart.yaml", "templates/ingestjobs.yaml"] {
            fs::copy(new.join(file), chart.join(file)).unwrap();
        }
        let file = "ingestjobs.paraflow.dev.yaml";
        let mut definition = objects(&fs::read_to_string(new.join(file)).unwrap()).remove(0);
        let version = &mut definition["spec"]["versions"][0];
        let schema = &mut version["schema"]["openAPIV3Schema"];
        let spec = &mut schema["properties"]["spec"]["properties"];
        spec.as_object_mut().unwrap().remove("restartNonce").unwrap();
        // Nor was there a rule that spoke of it.
        let rules = schema["x-kubernetes-validations"].as_array_mut().unwrap();
        rules.retain(|rule| !rule["rule"].as_str().unwrap().contains("restartNonce"));
        let columns = version["additionalPrinterColumns"].as_array_mut().unwrap();
        columns.retain(|column| column["name"] != "Backlog");
        fs::write(chart.join(file), definition.to_string()).unwrap();
        chart.to_str().unwrap().to_owned()
    }
}

/// The operator's program, as its Deployment says, with the identity that the chart gave it and no other.
fn program_of_release(cluster: &Cluster, namespace: &str) -> Program {
    let operators = cluster.get(&["deployment", "--namespace", namespace]);
    let pod = &operators[0]["spec"]["template"]["spec"];
    let account = pod["serviceAccountName"].as_str().unwrap();
    let token = cluster
        .kubectl(&["create", "token", account, "--namespace", namespace])
        .unwrap();
    let mut kubeconfig: Value =
        serde_yaml::from_str(&fs::read_to_string(cluster.kubernetes.kubeconfig()).unwrap()).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    // Beside the other one, because it names the authority's file without its folder.
    let file = cluster
        .kubernetes
        .kubeconfig()
        .with_file_name(format!("{namespace}.kubeconfig"));
    fs::write(&file, kubeconfig.to_string()).unwrap();

    let container = &pod["containers"][0];
    let mut program = operator();
    for argument in container["args"].as_array().unwrap() {
        let argument = argument.as_str().unwrap();
        program.arg(
            argument
                .replace("$(POD_NAMESPACE)", namespace)
                .replace("$(POD_NAME)", "operator-1"),
        );
    }
    for variable in container["env"].as_array().unwrap() {
        if let Some(value) = variable["value"].as_str() {
            program.env(variable["name"].as_str().unwrap(), value);
        }
    }
    let log = fs::File::create(cluster.folder.path().join(format!("{namespace}.log"))).unwrap();
    program
        .env("KUBECONFIG", file)
        .envs(Sqs::shared().environment())
        .stdin(Stdio::null())
        .stderr(log);
    Program(program.spawn().unwrap())
}

/// Waits until something is so.
#[track_caller]
fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    pf_e2e::until(what, PATIENCE, look)
}

/// Plays the nodes until a job is so, as long as all is well.
async fn played(world: &World, well: &dyn Fn(), what: &str, done: impl Fn(&IngestJob) -> bool) {
    eventually(what, || async {
        well();
        world.play("logs").await;
        done(&world.jobs().get("logs").await.unwrap()).then_some(())
    })
    .await;
}

/// A life with all that a job can need of the API server: a Secret, a `ConfigMap`, rest, a proof, an end.
async fn life(world: &World, well: &dyn Fn()) {
    let mut job = world.job("logs");
    job["spec"]["sink"] = json!({"elasticsearch": {
        "urls": ["http://es:9200"], "index": "logs", "auth": {"apiKey": {"name": "es", "key": "api-key"}},
    }});
    job["spec"]["networkPolicy"] = json!({});
    job["spec"]["workers"]["podTemplate"] = json!({"spec": {"containers": [
        {"name": "worker", "envFrom": [{"configMapRef": {"name": "settings"}}]},
    ]}});
    world.create(&job).await;
    let phase = |job: &IngestJob| job.status.as_ref().and_then(|status| status.phase);
    let discoverer = world.api::<Job>();
    let made = || async { discoverer.get_opt("logs-discover").await.unwrap() };
    eventually("a discoverer is made", made).await;
    // Twice, so that an event happens again, and is counted: each turn is waited for until the status tells it.
    for rests in [true, false, true, false] {
        world.change("logs", &json!({"spec": {"suspend": rests}})).await;
        eventually("discovery rests, or goes on", || async {
            let live = discoverer.get("logs-discover").await.unwrap();
            let job = world.jobs().get("logs").await.unwrap();
            let child_rests = live.spec.unwrap().suspend.unwrap_or(false);
            (child_rests == rests && (phase(&job) == Some(Phase::Suspended)) == rests).then_some(())
        })
        .await;
    }
    // Fewer workers than before: somebody says which of them is to go.
    let replicas = async |replicas: Value| {
        world
            .change("logs", &json!({"spec": {"workers": {"replicas": replicas}}}))
            .await;
    };
    replicas(json!(2)).await;
    let a_pod = || async { super::workers::worker_pods(world).await.pop() };
    let pod = eventually("there is a worker", a_pod).await;
    super::workers::runs(world, &pod, Ipv4Addr::LOCALHOST).await;
    replicas(json!(1)).await;
    eventually("there are fewer workers", || async {
        let workers = world.api::<Deployment>().get("logs-worker").await.unwrap();
        (workers.spec.unwrap().replicas == Some(1)).then_some(())
    })
    .await;
    replicas(Value::Null).await;
    played(world, well, "the job is complete", |job| {
        phase(job) == Some(Phase::Complete)
    })
    .await;
    played(world, well, "the workers are gone", |job| {
        job.status.as_ref().and_then(|status| status.workers) == Some(0)
    })
    .await;
}

const INSTANCE: &str = "app.kubernetes.io/instance=paraflow";

/// An operator's release, which was one for other namespaces before: it lives by its roles, and leaves nothing.
async fn release(cluster: &Cluster, namespace: &str, jobs: &str, [before, values]: [&str; 2]) -> BTreeSet<String> {
    let port = pf_e2e::free_address().port();
    let always = format!("lookEvery=100ms,idleFor=300ms,extraArgs[0]=--metrics-addr=127.0.0.1:{port}");
    let upgrade = |values: &str| {
        let release = ["upgrade", "--install", "--create-namespace", "--namespace", namespace];
        let sets = format!("{always},{values}");
        cluster.helm(&[&release[..], &["paraflow", "pf-operator", "--set", &sets]].concat())
    };
    let mut program = None;
    tokio::task::block_in_place(|| {
        upgrade(before).unwrap();
        let notes = upgrade(values).unwrap();
        assert!(notes.contains("helm test paraflow"), "{notes}");
        program = Some(program_of_release(cluster, namespace));
        if cluster.kubectl(&["get", "crd", "ingestjobs.paraflow.dev"]).is_err() {
            assert!(notes.contains("does not know IngestJobs"), "{notes}");
            until("an event says what is missing", || {
                let events = cluster.get(&["events", "--namespace", namespace]);
                events
                    .iter()
                    .any(|event| event["reason"] == "DefinitionsMissing")
                    .then_some(())
            });
            definition_is_upgraded(cluster);
        }
        lease_is_made_anew(cluster, namespace);
        let address = format!("127.0.0.1:{port}");
        let ready = operator().args(["ready", &address]).output().unwrap();
        assert!(ready.status.success(), "{}", outcome(&ready));
        let of_jobs = ["--namespace", jobs];
        for made in [
            ["secret", "generic", "es", "--from-literal=api-key=abc"].as_slice(),
            &["configmap", "settings"],
        ] {
            cluster.kubectl(&[&["create"], made, &of_jobs].concat()).unwrap();
        }
    });
    let world = World::on(&cluster.kubernetes, jobs).await;
    let calls = || cluster.kubernetes.calls(namespace, "paraflow-pf-operator");
    Box::pin(life(&world, &|| roles::none_is_forbidden(&calls()))).await;
    tokio::task::block_in_place(|| {
        cluster
            .kubectl(&["delete", "ingestjob", "logs", "--namespace", jobs, "--timeout=60s"])
            .unwrap();
        program.as_mut().unwrap().stop();
    });
    let mut roles = cluster.get(&["roles", "--all-namespaces", "--selector", INSTANCE]);
    roles.extend(cluster.get(&["clusterroles", "--selector", INSTANCE]));
    assert_eq!(roles.len(), 2, "one for jobs and one for the lease: {roles:#?}");
    let unused = roles::unused(&roles, &calls());
    tokio::task::block_in_place(|| {
        cluster
            .helm(&["uninstall", "paraflow", "--namespace", namespace, "--wait"])
            .unwrap();
        let kinds = "deployments,services,serviceaccounts,poddisruptionbudgets,configmaps,roles,rolebindings,\
            clusterroles,clusterrolebindings,networkpolicies,leases";
        let left = cluster.get(&[kinds, "--all-namespaces", "--selector", INSTANCE]);
        assert!(left.is_empty(), "{left:#?}");
    });
    // In words that do not depend on where: a rule that one of two releases needs is needed.
    unused
        .into_iter()
        .map(|(_, group, resource, verb)| format!("{verb} {group}/{resource}"))
        .collect()
}

/// Who leads makes the release's lease anew when it is deleted.
fn lease_is_made_anew(cluster: &Cluster, namespace: &str) {
    let lease = ["lease", "paraflow-pf-operator", "--namespace", namespace];
    let holder = || {
        let format = ["get", "--output", "jsonpath={.spec.holderIdentity}"];
        let held = cluster.kubectl(&[&format[..], &lease].concat()).ok()?;
        held.starts_with("operator-1_").then_some(held)
    };
    let leading = until("the operator leads", holder);
    cluster.kubectl(&[&["delete"][..], &lease].concat()).unwrap();
    assert_eq!(until("it leads again", holder), leading);
}

/// An older definition is installed first; the chart's own takes its place.
fn definition_is_upgraded(cluster: &Cluster) {
    let older = cluster.older_definition();
    let upgrade = |chart: &str| cluster.helm(&["upgrade", "--install", "crds", chart, "--namespace", "default"]);
    upgrade(&older).unwrap();
    let job = |nonce: &str| {
        let mut job = serde_json::to_value(crate::gitops::job()).unwrap();
        job["metadata"] = json!({"name": "kept", "namespace": "default"});
        job["spec"]["suspend"] = true.into();
        if !nonce.is_empty() {
            job["spec"]["restartNonce"] = nonce.into();
        }
        job.to_string()
    };
    until("the older definition is served", || {
        cluster.given(&job(""), &["apply", "--filename", "-"]).ok()
    });
    let refused = cluster.given(&job("again"), &["apply", "--filename", "-"]).unwrap_err();
    assert!(refused.contains("restartNonce"), "{refused}");
    let listed = cluster.kubectl(&["get", "ingestjobs"]).unwrap();
    assert!(listed.contains("PHASE") && !listed.contains("BACKLOG"), "{listed}");
    upgrade("pf-operator-crds").unwrap();
    until("the new definition is served", || {
        cluster.given(&job("again"), &["apply", "--filename", "-"]).ok()
    });
    until("the new column is shown", || {
        cluster
            .kubectl(&["get", "ingestjobs"])
            .unwrap()
            .contains("BACKLOG")
            .then_some(())
    });
}

/// The definition and its jobs outlive its chart, which can be installed again; a job goes when it is told to.
fn definition_stays(cluster: &Cluster) {
    let said = cluster
        .helm(&["uninstall", "crds", "--namespace", "default", "--wait"])
        .unwrap();
    assert!(said.contains("kept due to the resource policy"), "{said}");
    assert!(cluster.kubectl(&["get", "ingestjob", "kept"]).unwrap().contains("kept"));
    cluster
        .helm(&["install", "crds", "pf-operator-crds", "--namespace", "default"])
        .unwrap();
    cluster
        .kubectl(&["delete", "ingestjob", "kept", "--timeout=30s"])
        .unwrap();
    cluster
        .kubectl(&["delete", "crd", "ingestjobs.paraflow.dev", "--timeout=30s"])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_come_live_by_their_roles_are_upgraded_and_go() {
    let cluster = tokio::task::block_in_place(|| Cluster {
        kubernetes: Kubernetes::start_audited(),
        folder: tempfile::tempdir().unwrap(),
    });
    for namespace in ["logs", "other"] {
        cluster.kubectl(&["create", "namespace", namespace]).unwrap();
    }
    let of_all = Box::pin(release(
        &cluster,
        "everywhere",
        "logs",
        ["watchNamespace=logs", "replicas=1"],
    ))
    .await;
    let of_one = Box::pin(release(
        &cluster,
        "somewhere",
        "other",
        ["replicas=1", "watchNamespace=other"],
    ))
    .await;
    let unused: Vec<&String> = of_all.intersection(&of_one).collect();
    assert!(unused.is_empty(), "rules that nothing needs: {unused:?}");
    tokio::task::block_in_place(|| definition_stays(&cluster));
}
