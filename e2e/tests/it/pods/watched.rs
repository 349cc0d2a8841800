//! A job as somebody sees it who watches: every state that it had, none left out.

use std::{
    fs::File,
    process::{Child, Stdio},
};

use pf_e2e::Cluster;
use tempfile::NamedTempFile;

/// Watches the number of workers of a job, from before it is there.
pub(super) struct Watched {
    kubectl: Child,
    seen: NamedTempFile,
}

impl Watched {
    pub(super) fn start(cluster: &Cluster, namespace: &str, job: &str) -> Self {
        let seen = NamedTempFile::new().unwrap();
        let mut kubectl = cluster.kubectl_command();
        kubectl.args(["get", "ingestjobs", "--namespace", namespace, "--watch"]);
        kubectl.args(["--field-selector", &format!("metadata.name={job}")]);
        kubectl.args(["--output", r#"jsonpath={.status.phase} {.status.workers}{"\n"}"#]);
        let kubectl = kubectl.stdin(Stdio::null()).stdout(File::create(seen.path()).unwrap());
        Self {
            kubectl: kubectl.spawn().unwrap(),
            seen,
        }
    }

    /// There was no worker, then there were some, and in the end none.
    #[track_caller]
    pub(super) fn assert_none_some_none(&self) {
        let seen = std::fs::read_to_string(self.seen.path()).unwrap();
        let workers = |line: &str| line.split(' ').nth(1)?.parse().ok();
        let mut numbers: Vec<u32> = seen.lines().filter_map(workers).collect();
        numbers.dedup();
        assert_eq!((numbers.first(), numbers.last()), (Some(&0), Some(&0)), "{seen}");
        assert!(numbers.iter().max() > Some(&1), "{seen}");
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
