//! `pf-operator run` as a program, on a control plane of its own.

use std::{
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use pf_e2e::{Kubernetes, Sqs, free_address};
use serde_json::json;

use crate::program::{operator, text};

const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until something is so.
#[track_caller]
fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    pf_e2e::until(what, PATIENCE, look)
}

/// What the program answers at its port.
fn ask(port: u16, path: &str) -> Option<String> {
    pf_e2e::ask((Ipv4Addr::LOCALHOST, port).into(), path)
}

pub(super) fn is_ready(port: u16) -> Option<bool> {
    ask(port, "/readyz").map(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// A program that ends with the test, however that ends.
pub(super) struct Program(pub(super) Child);

impl Program {
    /// The process.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to stop.
    fn terminate(&self) {
        let pid = rustix::process::Pid::from_raw(self.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Asks it to stop, and waits until it has, well.
    pub(super) fn stop(&mut self) {
        self.terminate();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(cluster: &Kubernetes, port: u16, pod: &str) -> Program {
    spawn(
        cluster,
        port,
        &["--look-every", "100ms", "--idle-for", "300ms", "--pod-name", pod],
    )
}

/// An operator with these flags, and its health at this port.
pub(super) fn spawn(cluster: &Kubernetes, port: u16, flags: &[&str]) -> Program {
    Program(command(cluster, port, flags).spawn().unwrap())
}

/// The same, not started yet.
pub(super) fn command(cluster: &Kubernetes, port: u16, flags: &[&str]) -> Command {
    let mut command = operator();
    command
        .args(["run", "--image", "paraflow:test"])
        .args(flags)
        .args(["--metrics-addr", &format!("127.0.0.1:{port}")])
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("PF_LOG_FORMAT", "json")
        .envs(Sqs::shared().environment())
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Asks it to stop, waits until it has, well, and returns what it logged.
pub(super) fn stop(mut program: Program) -> String {
    program.terminate();
    let child = &mut program.0;
    let mut log = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while lines.read_line(&mut log).unwrap() > 0 {}
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}\n{log}");
    log
}

#[test]
fn the_program_waits_for_the_definitions_leads_works_and_hands_over() {
    let cluster = Kubernetes::start_own();
    let kubectl = |arguments: &[&str]| {
        let output = cluster.kubectl(arguments.iter().copied());
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    };
    let (first_port, second_port) = (free_address().port(), free_address().port());
    let first = start(&cluster, first_port, "operator-1");
    until("it answers, and is not ready", || {
        (is_ready(first_port) == Some(false)).then_some(())
    });
    let mut asked = operator();
    asked.args(["ready", &format!("127.0.0.1:{first_port}"), "--patience", "100ms"]);
    let asked = asked.output().unwrap();
    assert_eq!(asked.status.code(), Some(1));
    assert!(
        text(&asked.stderr).contains("is not ready: it answers HTTP/1.1 503"),
        "{asked:?}"
    );
    assert!(ask(first_port, "/healthz").unwrap().starts_with("HTTP/1.1 200"));
    let events = until("one event says what is missing", || {
        let events = kubectl(&[
            "get",
            "events",
            "--output",
            "custom-columns=R:.reason,M:.message",
            "--no-headers",
        ]);
        events.contains("DefinitionsMissing").then_some(events)
    });
    // The API server has events of its own.
    let told = events.lines().filter(|event| event.starts_with("DefinitionsMissing"));
    assert_eq!(told.count(), 1, "{events}");

    let definition = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/ingestjobs.paraflow.dev.yaml");
    let applied = kubectl(&["apply", "--server-side", "--filename", definition]);
    assert!(applied.contains("serverside-applied"), "{applied}");
    until("it is ready", || (is_ready(first_port) == Some(true)).then_some(()));
    let holder = |wanted: &str| {
        let wanted = wanted.to_owned();
        let kubectl = &kubectl;
        move || {
            let holder = kubectl(&[
                "get",
                "lease",
                "pf-operator.paraflow.dev",
                "--output",
                "jsonpath={.spec.holderIdentity}",
            ]);
            holder.starts_with(&wanted).then_some(())
        }
    };
    until("the first one leads", holder("operator-1"));
    let second = start(&cluster, second_port, "operator-2");
    until("the second one is ready", || {
        (is_ready(second_port) == Some(true)).then_some(())
    });

    let job = json!({
        "apiVersion": "paraflow.dev/v1alpha1",
        "kind": "IngestJob",
        "metadata": {"name": "logs"},
        "spec": {
            "source": {"s3": {"bucket": "logs"}},
            "queue": {"sqs": {
                "endpoint": Sqs::shared().endpoint(),
                "region": Sqs::REGION,
                "credentials": {"secret": {"name": "aws"}},
            }},
            "state": {"uri": "s3://state/jobs"},
            "sink": {"stats": {}},
        },
    });
    let key = [
        "--from-literal=accessKeyId=AKIA1234567890",
        "--from-literal=secretAccessKey=geheim",
    ];
    kubectl(&[&["create", "secret", "generic", "aws"], &key[..]].concat());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), job.to_string()).unwrap();
    kubectl(&["apply", "--filename", file.path().to_str().unwrap()]);
    until("the discoverer is made", || {
        kubectl(&["get", "job", "logs-discover"])
            .contains("Running")
            .then_some(())
    });
    let metrics = until("it counts", || {
        ask(first_port, "/metrics").filter(|all| all.contains("pf_jobs{phase=\"Discovering\"} 1"))
    });
    assert!(metrics.contains("pf_reconciles_total{outcome=\"ok\"}"), "{metrics}");

    let log = stop(first);
    for secret in ["geheim", "AKIA1234567890", Sqs::SECRET_ACCESS_KEY] {
        assert!(!log.contains(secret) && !metrics.contains(secret), "{log}{metrics}");
    }
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let told_once = line["message"]
            .as_str()
            .unwrap_or_default()
            .contains("does not know IngestJob");
        assert!(line["level"] == "INFO" || told_once, "{line}");
    }
    until("the second one leads", holder("operator-2"));
    kubectl(&["delete", "ingestjob", "logs", "--wait=false"]);
    until("the second one lets the job go", || {
        kubectl(&["get", "ij", "logs"]).contains("NotFound").then_some(())
    });
    stop(second);
}
