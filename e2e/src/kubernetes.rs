//! A real Kubernetes without nodes: API server, etcd and controller manager, one for each test process.
//!
//! What people write is judged here as in any cluster: schemas and their rules, defaults, server-side apply, roles, owner
//! references, garbage collection. Jobs and Deployments make their pods, but nothing runs these: a test that needs a pod to
//! have run says so itself, in the pod's status.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::guarded::{Guarded, Hello};

/// How long it may take to answer; it takes five seconds on an idle machine.
const START_MAX: Duration = Duration::from_mins(3);

/// Who asked for what and what became of it, of service accounts outside Kubernetes itself; watches are told as they begin.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: None, userGroups: ["system:serviceaccounts:kube-system"]}
  - {level: Metadata, userGroups: ["system:serviceaccounts"]}
  - {level: None}
"#;

/// A call of the API, as rules of roles name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The API group; empty for the core group.
    pub group: String,
    /// With the sub-resource, as in `deployments/scale`; the path, where it is no resource.
    pub resource: String,
    /// As in `get`.
    pub verb: String,
    /// What it is in; empty for all of them.
    pub namespace: String,
    /// The HTTP status of the answer.
    pub code: u64,
}

impl Call {
    fn of(event: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let resource = match (object["resource"].as_str(), object["subresource"].as_str()) {
            (Some(resource), Some(sub)) => format!("{resource}/{sub}"),
            (Some(resource), None) => resource.to_owned(),
            (None, _) => text(&event["requestURI"]),
        };
        Self {
            group: text(&object["apiGroup"]),
            resource,
            verb: text(&event["verb"]),
            namespace: text(&object["namespace"]),
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        }
    }
}

fn audit(root: &Path, what: &str) -> PathBuf {
    root.join(format!("audit-{what}"))
}

/// A running control plane.
#[derive(Debug)]
pub struct Kubernetes {
    server: Guarded,
    namespaces: AtomicU32,
}

impl Kubernetes {
    /// The control plane of this test process, started by its first use.
    ///
    /// # Panics
    /// When Kubernetes is not installed or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kubernetes> = OnceLock::new();
        SHARED.get_or_init(Self::start_own)
    }

    /// A control plane of one's own, which ends when it is dropped.
    ///
    /// # Panics
    /// When Kubernetes is not installed or does not start.
    pub fn start_own() -> Self {
        Self::start(false).expect("the control plane must start")
    }

    /// One of one's own that writes down what service accounts ask for, for [`calls`](Self::calls). As some clusters do, it
    /// lets only those make children that hold back their owner's deletion who may finalize the owner.
    ///
    /// # Panics
    /// When Kubernetes is not installed or does not start.
    pub fn start_audited() -> Self {
        Self::start(true).expect("the control plane must start")
    }

    /// What a service account has asked for so far, on a control plane that writes it down.
    ///
    /// # Panics
    /// When this one does not, or writes something else.
    pub fn calls(&self, namespace: &str, account: &str) -> Vec<Call> {
        let log = std::fs::read_to_string(audit(&self.server.root, "log")).expect("calls are written down");
        let who = format!("system:serviceaccount:{namespace}:{account}");
        // The last line may not be whole yet.
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let events = lines.map(|line| serde_json::from_str::<Value>(line).expect("events are JSON"));
        events
            .filter(|event| event["user"]["username"] == who.as_str())
            .map(|event| Call::of(&event))
            .collect()
    }

    /// The file with which one may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.server.root.join("pki/admin.kubeconfig")
    }

    /// Makes a namespace whose name begins with `name` and is new each time.
    ///
    /// # Panics
    /// When the API server refuses.
    pub fn make_namespace(&self, name: &str) -> String {
        let name = format!("{name}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let made = self.kubectl(["create", "namespace", &name]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        name
    }

    /// Runs kubectl to its end.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn kubectl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        let output = self.kubectl_command().args(arguments).output();
        output.expect("kubectl is installed with Kubernetes")
    }

    /// kubectl, as one who may do everything, for tests that need its standard input or a process that runs on.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(crate::tool("kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig());
        // What it has learnt about another cluster on the same port is of no use here, and nobody's home is written to.
        command.arg("--cache-dir").arg(self.server.root.join("kubectl"));
        command
    }

    fn start(audited: bool) -> Result<Self> {
        let (program, components) = (crate::tool("kubernetes"), crate::tool("hyperkube"));
        // Each start has a folder of its own, in which a file appears when everything answers: the API server has its port
        // then, so that nobody else's can be taken for it.
        let root = Mutex::new(PathBuf::new());
        let command = |folder: &Path, address: SocketAddr| {
            folder.clone_into(&mut root.lock().expect("no holder of this lock panics"));
            let mut server = Command::new(&program);
            server
                .arg(folder)
                .args([address.ip().to_string(), address.port().to_string()])
                .env("HYPERKUBE", &components);
            if audited {
                std::fs::write(audit(folder, "policy"), AUDIT_POLICY)?;
                server
                    .arg("--enable-admission-plugins=OwnerReferencesPermissionEnforcement")
                    .arg("--audit-log-mode=blocking")
                    .arg(format!("--audit-policy-file={}", audit(folder, "policy").display()))
                    .arg(format!("--audit-log-path={}", audit(folder, "log").display()));
            }
            Ok(server)
        };
        let hello = |_| {
            let ready = root.lock().expect("no holder of this lock panics").join("ready");
            ensure!(ready.exists(), "not everything answers yet");
            Ok(Hello::Ours)
        };
        Ok(Self {
            server: Guarded::start("kubernetes", START_MAX, command, hello)?,
            namespaces: AtomicU32::new(0),
        })
    }
}
