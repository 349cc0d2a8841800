//! `e2e/cluster`: what a person starts and ends by hand. It can be asked for what is so already, and cleans up after a crash.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use tempfile::TempDir;

struct Cluster {
    folder: TempDir,
    /// What `up` is asked.
    wishes: Vec<String>,
}

impl Cluster {
    /// A cluster without nodes.
    fn without_nodes() -> Self {
        Self::of(&[&pf_e2e::free_address().port().to_string()])
    }

    /// A cluster with the node of this machine, as soon as nobody else has it.
    fn with_node() -> Self {
        Self::of(&["--nodes", "1", "--wait", "1200"])
    }

    fn of(wishes: &[&str]) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            wishes: wishes.iter().map(|wish| (*wish).to_owned()).collect(),
        }
    }

    fn run(&self, script: &str) -> Output {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster");
        let mut command = Command::new(folder.join(script));
        if script == "up" {
            command.args(&self.wishes);
        }
        let host = command
            .env("PF_CLUSTER_PROVIDER", "host")
            .env_remove("PF_CLUSTER_NODES");
        host.env("PF_CLUSTER_FOLDER", self.root()).output().unwrap()
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("c")
    }

    #[track_caller]
    fn up(&self) -> String {
        let output = self.run("up");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn kubectl(kubeconfig: &str, arguments: &[&str]) -> String {
        let mut kubectl = Command::new(pf_e2e::tool("kubectl"));
        kubectl.args(["--kubeconfig", kubeconfig]).args(arguments);
        let output = kubectl.output().unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    /// The processes that were told of the cluster's folder.
    fn processes(&self) -> Vec<i32> {
        let root = self.root();
        let root = root.to_str().unwrap();
        let entries = fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(root)
        })
        .collect()
    }
}

/// Kills processes without a word, those that have ended meanwhile included.
fn kill(processes: &[i32]) {
    let pids = processes.iter().map(ToString::to_string);
    Command::new("kill").arg("-KILL").args(pids).output().unwrap();
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("down");
    }
}

#[test]
fn a_cluster_is_started_found_running_and_ended_also_after_a_crash() {
    let cluster = Cluster::without_nodes();
    let kubeconfig = cluster.up();
    assert!(Cluster::kubectl(&kubeconfig, &["get", "namespaces"]).contains("kube-system"));
    let processes = cluster.processes();
    assert_eq!(cluster.up(), kubeconfig);
    assert_eq!(cluster.processes(), processes, "what runs is left alone");
    assert!(String::from_utf8_lossy(&cluster.run("logs").stdout).contains("kube-apiserver.log"));

    // The components go on without the one that would end them.
    kill(&processes[..1]);
    fs::remove_file(cluster.root().join("ready")).unwrap();
    cluster.up();
    assert!(cluster.processes().iter().all(|process| !processes.contains(process)));

    for _ in 0..2 {
        assert!(cluster.run("down").status.success());
        assert_eq!(cluster.processes(), [] as [i32; 0]);
        assert!(!cluster.root().exists());
    }
}

/// What is mounted below a folder.
fn mounts(root: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = format!(" {}/", root.display());
    mounts
        .lines()
        .filter(|mount| mount.contains(&root))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_node_runs_pods_and_what_is_left_of_one_that_was_killed_is_removed_by_the_next() {
    let first = Cluster::with_node();
    let kubeconfig = first.up();
    let pod = ["run", "pod", "--image", "paraflow.local/pause:1"];
    // The account that pods run as comes a moment after the namespace.
    let deadline = Instant::now() + Duration::from_mins(1);
    while !Cluster::kubectl(&kubeconfig, &pod).contains("created") {
        assert!(Instant::now() < deadline, "no pod can be made");
    }
    let ready = Cluster::kubectl(
        &kubeconfig,
        &["wait", "--for=condition=Ready", "--timeout=2m", "pod/pod"],
    );
    assert!(ready.contains("condition met"), "{ready}");
    assert!(!mounts(&first.root()).is_empty());
    let second = Cluster::of(&["--nodes", "1"]);
    let refused = second.run("up");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("another cluster has the node"),
        "{told}"
    );

    // Pods go on without whoever started them.
    kill(&first.processes());
    let third = Cluster::with_node();
    // It finds no bridge in its way either.
    third.up();
    assert!(!first.root().exists());
    assert_eq!(mounts(&first.root()), [] as [String; 0]);
    assert_eq!(first.processes(), [] as [i32; 0]);
    assert!(third.run("down").status.success());
    assert!(!third.root().exists());
    assert_eq!(mounts(&third.root()), [] as [String; 0]);
}
