//! A job from its objects to its documents, over real servers: what a person would run, with names of its own.

use std::{path::Path, process::Command};

use pf_e2e::{S3, Sqs, search::SearchApi, sqs::Queue};
use serde_json::Value;

use crate::it::programs::{Outcome, command, run_of};

/// One job, alone in its bucket, queues, state directory and index.
pub(crate) struct Flow {
    pub(crate) job: String,
    pub(crate) bucket: String,
    pub(crate) queue: Queue,
    pub(crate) index: String,
    pub(crate) s3_endpoint: String,
    pub(crate) sqs_endpoint: String,
}

impl Flow {
    /// A job whose objects are the files below `folder`. Leases hold for `visibility_seconds`, and an item is leased
    /// `receives_max` times at most.
    pub(crate) fn of(name: &str, folder: &Path, api: &SearchApi, visibility_seconds: u32, receives_max: u32) -> Self {
        let s3 = S3::shared();
        let bucket = s3.make_bucket(name);
        s3.put_folder(&bucket, folder, "logs/");
        Self {
            job: name.to_owned(),
            bucket,
            queue: Sqs::shared().make_queue(name, visibility_seconds, receives_max),
            index: api.new_name(name),
            s3_endpoint: s3.endpoint(),
            sqs_endpoint: Sqs::shared().endpoint(),
        }
    }

    fn state(&self) -> String {
        format!("s3://{}/state", self.bucket)
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = command(name, arguments);
        // Both servers sign with keys of S3's; ElasticMQ takes any.
        command.envs(S3::shared().environment());
        command.args([
            "--state",
            &self.state(),
            "--s3-endpoint",
            &self.s3_endpoint,
            "--region",
            S3::REGION,
        ]);
        command
    }

    /// Finds the objects and puts their items into the queue.
    #[track_caller]
    pub(crate) fn discover(&self, more: &[&str]) {
        run_of(self.discoverer(more)).success();
    }

    /// The discoverer that does so.
    pub(crate) fn discoverer(&self, more: &[&str]) -> Command {
        let mut command = self.command("pf-discoverer", more);
        command.args(["--job", &self.job, "--bucket", &self.bucket, "--prefix", "logs/"]);
        command.args(["--destination", "sqs", "--sqs-queue-url", &self.queue.url]);
        command.args(["--sqs-endpoint", &self.sqs_endpoint]);
        command
    }

    /// A worker from the queue into the cluster at `url`, that ends when there is nothing more to do.
    pub(crate) fn worker(&self, url: &str, more: &[&str]) -> Command {
        let mut command = self.endless_worker(url, more);
        command.args(["--exit-when-idle", "3s"]);
        command
    }

    /// The same, to be told when to end.
    pub(crate) fn endless_worker(&self, url: &str, more: &[&str]) -> Command {
        let mut command = self.command("pf-worker", more);
        command.args([
            "--input",
            "sqs",
            "--sqs-queue-url",
            &self.queue.url,
            "--sqs-endpoint",
            &self.sqs_endpoint,
        ]);
        command.args([
            "--destination",
            "elasticsearch",
            "--es-url",
            url,
            "--es-index",
            &self.index,
        ]);
        command
    }

    /// What `verify` says, and its exit code.
    pub(crate) fn verify(&self) -> (Option<i32>, Value) {
        let outcome = self.job_command("verify", &[]);
        let report =
            serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.stderr));
        (outcome.code, report)
    }

    /// A sub-command of the discoverer's on this job.
    pub(crate) fn job_command(&self, name: &str, more: &[&str]) -> Outcome {
        let mut command = command("pf-discoverer", &[name]);
        command.envs(S3::shared().environment());
        command.args(["--state", &self.state(), "--job", &self.job]);
        command.args(["--s3-endpoint", &self.s3_endpoint, "--region", S3::REGION]);
        command.args(more);
        run_of(command)
    }

    /// Nothing is left of the job in its queue, neither visible nor leased nor delayed.
    #[track_caller]
    pub(crate) fn assert_queue_is_empty(&self) {
        let depth = Sqs::shared().depth(&self.queue.url);
        assert_eq!((depth.visible, depth.in_flight, depth.delayed), (0, 0, 0), "{depth:?}");
    }
}
