//! The whole thing, on real pods: charts, operator, an IngestJob from an example, objects in every format, documents; with a
//! worker and the leading operator killed in the middle, and nothing left behind.

mod watched;

use std::{fs, path::Path, time::Duration};

use pf_e2e::{Installation, oracle::counted};
use serde_json::{Value, json};

use self::watched::Watched;
use super::{
    delivery::definition,
    programs::{generate, program, workspace},
};

const RECORDS: u64 = 200_000;
const OBJECTS: u64 = 60;

/// No step takes longer, however busy the machine is; most take seconds.
const PATIENCE: Duration = Duration::from_mins(10);

/// The example, and the name that it has.
const EXAMPLE: &str = "examples/elasticsearch.yaml";
const JOB: &str = "access-logs-to-elasticsearch";
const INDEX: &str = "access-logs";

/// Waits until something is so.
#[track_caller]
fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    pf_e2e::until(what, PATIENCE, look)
}

/// The job of the example, with workers that fit on a node of two CPUs, and that are slow enough to be killed at work.
fn job(whole: &Installation, bucket: &str) -> Value {
    let example = fs::read_to_string(workspace().join(EXAMPLE)).unwrap();
    let mut job = whole.job(&serde_yaml::from_str(&example).unwrap(), bucket, INDEX);
    let workers = &mut job["spec"]["workers"];
    workers["threads"] = 1.into();
    workers["max"] = 3.into();
    workers["resources"] = json!({
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"cpu": "250m", "memory": "1Gi"},
    });
    job
}

/// What is in the namespace of the jobs, but for what Kubernetes itself and the test have put there.
fn left(whole: &Installation, namespace: &str) -> Vec<String> {
    let kinds = "ingestjobs,jobs,deployments,replicasets,pods,poddisruptionbudgets,serviceaccounts,leases";
    let all = whole.cluster.kubectl([
        "get",
        kinds,
        "--namespace",
        namespace,
        "--output",
        "name",
        "--ignore-not-found",
    ]);
    let all = all.unwrap();
    let names = all.lines().filter(|name| *name != "serviceaccount/default");
    names.map(str::to_owned).collect()
}

/// The pod that has the operator's lease.
fn leader(whole: &Installation) -> String {
    let lease = ["lease", "pf-operator", "--namespace", Installation::OPERATOR];
    let lease = whole.cluster.get(lease).unwrap();
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    holder.split('_').next().unwrap_or_default().to_owned()
}

/// Documents so far.
fn documents(whole: &Installation) -> u64 {
    whole.elasticsearch.api().refresh(INDEX);
    whole.elasticsearch.api().count(INDEX)
}

#[test]
fn the_whole_of_it_runs_on_real_pods_through_kills_and_leaves_nothing_behind() {
    let programs = ["pf-operator", "pf-discoverer", "pf-worker"].map(program);
    let whole = Installation::start(&programs).unwrap();
    whole.install().unwrap();
    whole.test().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (records, objects) = (RECORDS.to_string(), OBJECTS.to_string());
    generate(
        folder.path(),
        &["--records", &records, "--objects", &objects, "--format", "all"],
    );
    let bucket = whole.s3.make_bucket("logs");
    whole.s3.put_folder(&bucket, folder.path(), "logs/");
    whole.elasticsearch.api().create_index(INDEX, &definition());

    let watched = Watched::start(&whole.cluster, Installation::JOBS, JOB);
    whole.cluster.apply(&[job(&whole, &bucket)]).unwrap();
    killed_in_the_middle(&whole);
    wait_for_complete(&whole);
    let status = whole
        .cluster
        .get(["ingestjob", JOB, "--namespace", Installation::JOBS])
        .unwrap()["status"]
        .take();
    assert_documents(&whole, folder.path());
    assert_status(&status);
    until("no worker is left", || {
        let status = whole
            .cluster
            .get(["ingestjob", JOB, "--namespace", Installation::JOBS])
            .unwrap()["status"]
            .take();
        (status["workers"] == 0).then_some(())
    });
    watched.assert_none_some_none();
    removed(&whole, &bucket);
}

/// Kills a worker that has written something, and the operator that leads, while most is still to be done.
fn killed_in_the_middle(whole: &Installation) {
    until("documents come", || (documents(whole) > 0).then_some(()));
    let workers = [
        "pods",
        "--namespace",
        Installation::JOBS,
        "--selector",
        "paraflow.dev/role=worker",
    ];
    // Who writes runs, and the API server hears of it a little later.
    let worker = until("a worker runs", || {
        let workers = whole.cluster.get(workers).unwrap();
        let runs = |pod: &&Value| pod["status"]["containerStatuses"][0]["state"]["running"].is_object();
        let worker = workers["items"].as_array().unwrap().iter().find(runs)?;
        worker["metadata"]["name"].as_str().map(str::to_owned)
    });
    let leading = leader(whole);
    whole.cluster.kill_pod(Installation::JOBS, &worker).unwrap();
    whole.cluster.kill_pod(Installation::OPERATOR, &leading).unwrap();
    let written = documents(whole);
    assert!(
        written < RECORDS / 2,
        "{written} of {RECORDS} were written before the kills: that is no middle"
    );
    until("another operator leads", || (leader(whole) != leading).then_some(()));
}

fn wait_for_complete(whole: &Installation) {
    let name = format!("ingestjob/{JOB}");
    let timeout = format!("--timeout={}s", PATIENCE.as_secs());
    let wait = [
        "wait",
        "--for=condition=Complete",
        &timeout,
        "--namespace",
        Installation::JOBS,
        &name,
    ];
    let waited = whole.cluster.kubectl(wait);
    let described = ["describe", "--namespace", Installation::JOBS, &name];
    waited.unwrap_or_else(|error| panic!("{error:#}\n{}", whole.cluster.kubectl(described).unwrap()));
}

/// The index holds exactly the records that an independent reader finds in the objects.
fn assert_documents(whole: &Installation, folder: &Path) {
    let (count, sum) = counted(folder);
    assert_eq!(count, RECORDS);
    assert_eq!(documents(whole), count);
    let everything = json!({"match_all": {}});
    let indexed = whole.elasticsearch.api().sum(INDEX, "bytes", &everything);
    assert!(
        (indexed - sum).abs() < 0.5,
        "the sum of bytes is {indexed} and not {sum}"
    );
}

fn assert_status(status: &Value) {
    let items = &status["items"];
    assert_eq!(status["phase"], "Complete", "{status:#}");
    assert_eq!(
        (&items["discovered"], &items["settled"]),
        (&json!(OBJECTS), &json!(OBJECTS)),
        "{status:#}"
    );
    assert_eq!(
        (&items["discoveredIsFinal"], &items["deadLetters"]),
        (&json!(true), &json!(0)),
        "{status:#}"
    );
    assert_eq!(items["discoveredBytes"], items["settledBytes"], "{status:#}");
    let records = &status["records"];
    assert_eq!(
        (&records["read"], &records["written"]),
        (&json!(RECORDS), &json!(RECORDS)),
        "{status:#}"
    );
    // Among those that were written: what the worker that was killed had written before the next one did.
    assert!(records["duplicates"].as_u64().unwrap() < RECORDS / 2, "{status:#}");
    assert_eq!(
        (&records["filtered"], &records["rejected"]),
        (&json!(0), &json!(0)),
        "{status:#}"
    );
}

/// Takes the job and then the operator away, and finds nothing of them.
fn removed(whole: &Installation, bucket: &str) {
    assert_eq!(whole.sqs.queues("pf-").len(), 2, "a queue and its dead letters");
    whole
        .cluster
        .kubectl([
            "delete",
            "ingestjob",
            JOB,
            "--namespace",
            Installation::JOBS,
            "--timeout=2m",
        ])
        .unwrap();
    assert_eq!(whole.sqs.queues("pf-"), [] as [String; 0]);
    until("what the job had is gone", || {
        left(whole, Installation::JOBS).is_empty().then_some(())
    });
    whole.uninstall().unwrap();
    until("what the operator had is gone", || {
        left(whole, Installation::OPERATOR).is_empty().then_some(())
    });
    assert!(
        whole.cluster.kubectl(["get", "crd", "ingestjobs.paraflow.dev"]).is_ok(),
        "the definition stays"
    );
    let books = whole.s3.folder(bucket).join("state");
    assert!(fs::read_dir(books).unwrap().next().is_some(), "the books stay");
}
