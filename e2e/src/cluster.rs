//! A real Kubernetes with a node, which runs pods: what `e2e/cluster/up --nodes 1` starts, with the provider that
//! `PF_CLUSTER_PROVIDER` names.
//!
//! A machine has one of these at a time: who finds another waits for its end. It ends with the process that started it, however
//! that ends, and gives back what it took of the machine.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    net::IpAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// How long another cluster's end is waited for.
const WAIT_SECONDS: u32 = 1200;

/// Runs until its standard input is closed, as it is when the process at the other end is gone, and then cleans up. Signals to
/// the terminal's group are for that process, not for this one.
const GUARD: &str = r#"
trap '' INT TERM HUP PIPE
scripts=$1
"$scripts/up" --nodes 1 --wait "$2" >"$3" 2>&1
echo $?
while read -r; do :; done
"$scripts/down"
rm -rf "$(dirname "$3")"
"#;

/// A running cluster with one node.
#[derive(Debug)]
pub struct Cluster {
    guard: Child,
    folder: TempDir,
    kubeconfig: PathBuf,
    address: IpAddr,
}

impl Cluster {
    /// Starts one, as soon as no other has the node of this machine.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("pf-").tempdir()?;
        let root = folder.path().join("c");
        let said = folder.path().join("said");
        let mut guard = Command::new("bash")
            .args(["-c", GUARD, "guard"])
            .arg(scripts())
            .arg(WAIT_SECONDS.to_string())
            .arg(&said)
            .env("PF_CLUSTER_FOLDER", &root)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run bash")?;
        let mut answer = String::new();
        let answers = guard.stdout.take().context("stdout is a pipe")?;
        BufReader::new(answers).read_line(&mut answer)?;
        let said = std::fs::read_to_string(said)?;
        // Dropped from here on, it cleans up.
        let mut cluster = Self {
            guard,
            folder,
            kubeconfig: PathBuf::new(),
            address: crate::guarded::HERE,
        };
        ensure!(answer == "0\n", "e2e/cluster/up --nodes 1: {said}");
        cluster.kubeconfig = said.lines().next_back().context("it names no kubeconfig")?.into();
        cluster.address = std::fs::read_to_string(root.join("address"))?.trim().parse()?;
        Ok(cluster)
    }

    /// The address of this machine as pods see it: servers that they are to reach must listen there.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The file with which one may do everything.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Gives the node an image, from an archive.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        self.run("load-image", archive.as_os_str())
    }

    /// Kills what runs in the first container of a pod, without a word, and deletes the pod: as if its node was lost.
    pub fn kill_pod(&self, namespace: &str, pod: &str) -> Result<()> {
        let found = self.get(["pod", "--namespace", namespace, pod])?;
        let container = found["status"]["containerStatuses"][0]["containerID"].as_str();
        self.run("kill-container", container.context("it has no container")?.as_ref())?;
        let now = ["--grace-period=0", "--force", "--wait=false"];
        let delete = ["delete", "pod", "--namespace", namespace, pod].into_iter().chain(now);
        self.kubectl(delete).map(drop)
    }

    /// kubectl, as one who may do everything.
    pub fn kubectl_command(&self) -> Command {
        let mut kubectl = Command::new(crate::tool("kubectl"));
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig);
        // Nobody's home is written to.
        kubectl.arg("--cache-dir").arg(self.folder.path().join("kubectl"));
        kubectl
    }

    /// Runs kubectl to its end, and returns what it says.
    pub fn kubectl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let mut kubectl = self.kubectl_command();
        kubectl.args(arguments);
        success(&kubectl.output()?).with_context(|| format!("{kubectl:?}"))
    }

    /// Asks for objects, as JSON.
    pub fn get<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<Value> {
        let arguments = ["get", "--output", "json"].into_iter().chain(arguments);
        Ok(serde_json::from_str(&self.kubectl(arguments)?)?)
    }

    /// Applies objects.
    pub fn apply(&self, objects: &[Value]) -> Result<()> {
        let mut kubectl = self.kubectl_command();
        kubectl.args(["apply", "--filename", "-"]);
        kubectl
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut kubectl = kubectl.spawn()?;
        let mut input = kubectl.stdin.take().context("stdin is a pipe")?;
        for object in objects {
            // JSON is YAML, of which one document follows another.
            write!(input, "---\n{object}\n")?;
        }
        drop(input);
        success(&kubectl.wait_with_output()?).map(drop)
    }

    /// Runs helm to its end.
    pub fn helm<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let mut helm = Command::new(crate::tool("helm"));
        let home = self.folder.path().join("helm");
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(variable, &home);
        }
        helm.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        success(&helm.output()?).with_context(|| format!("{helm:?}"))
    }

    fn run(&self, script: &str, argument: &OsStr) -> Result<()> {
        let mut command = Command::new(scripts().join(script));
        command
            .arg(argument)
            .env("PF_CLUSTER_FOLDER", self.folder.path().join("c"));
        success(&command.output()?)
            .with_context(|| format!("{command:?}"))
            .map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The guard hears that its stdin is closed, and its end is waited for: the folder is removed after it.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// The folder of `up`, `down` and their like.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster")
}

/// What a program said that must have ended well.
fn success(output: &Output) -> Result<String> {
    let (said, wrong) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(output.status.success(), "{}: {said}{wrong}", output.status);
    Ok(said.into_owned())
}
