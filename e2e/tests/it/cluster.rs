//! `e2e/cluster`: what a person starts and ends by hand. It can be asked for what is so already, and cleans up after a crash.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

struct Cluster {
    folder: TempDir,
    port: u16,
}

impl Cluster {
    fn run(&self, script: &str) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster").join(script);
        let mut command = Command::new(script);
        if script_takes_port(&command) {
            command.arg(self.port.to_string());
        }
        command.env("PF_CLUSTER_FOLDER", self.root()).output().unwrap()
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

    fn namespaces(kubeconfig: &str) -> String {
        let mut kubectl = Command::new(pf_e2e::tool("kubectl"));
        let output = kubectl
            .args(["--kubeconfig", kubeconfig, "get", "namespaces"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The processes that were told of the cluster's folder.
    fn processes(&self) -> Vec<i32> {
        let root = self.root();
        let root = root.to_str().unwrap();
        let entries = std::fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(root)
        })
        .collect()
    }
}

fn script_takes_port(command: &Command) -> bool {
    command.get_program().to_string_lossy().ends_with("/up")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("down");
    }
}

#[test]
fn a_cluster_is_started_found_running_and_ended_also_after_a_crash() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let cluster = Cluster {
        folder: TempDir::new().unwrap(),
        port,
    };
    let kubeconfig = cluster.up();
    assert!(Cluster::namespaces(&kubeconfig).contains("kube-system"));
    let processes = cluster.processes();
    assert_eq!(cluster.up(), kubeconfig);
    assert_eq!(cluster.processes(), processes, "what runs is left alone");
    assert!(String::from_utf8_lossy(&cluster.run("logs").stdout).contains("kube-apiserver.log"));

    // The components go on without the one that would end them.
    let killed = Command::new("kill")
        .args(["-KILL", &processes[0].to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    std::fs::remove_file(cluster.root().join("ready")).unwrap();
    cluster.up();
    assert!(cluster.processes().iter().all(|process| !processes.contains(process)));

    for _ in 0..2 {
        assert!(cluster.run("down").status.success());
        assert_eq!(cluster.processes(), [] as [i32; 0]);
        assert!(!cluster.root().exists());
    }
}
