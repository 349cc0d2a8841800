//! A real server of S3 and SQS together: LocalStack, one for each test process.
//!
//! It is a second opinion on what both services answer, and the one that tells a queue of new objects. It checks no signature
//! and no permission, sweeps expired leases about once a second, and is slow with bytes: it is for what is right, not for
//! what is fast.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    S3, Sqs,
    guarded::{Guarded, Hello},
    http,
};

/// How long the server may take to answer; it takes five seconds on an idle machine, and twice as long the very first time.
const START_MAX: Duration = Duration::from_mins(3);

/// What it writes when it listens and its services are there.
const READY: &str = "Ready.";

/// The account of keys that name none.
const ACCOUNT: &str = "000000000000";

/// A running server.
#[derive(Debug)]
pub struct LocalStack {
    s3: S3,
    sqs: Sqs,
    server: Guarded,
}

impl LocalStack {
    /// The server of this test process, started by its first use.
    ///
    /// # Panics
    /// When LocalStack is not installed or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<LocalStack> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().expect("LocalStack must start"))
    }

    /// Its address, as `http://127.0.0.1:port`, for both services.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Its buckets.
    pub fn s3(&self) -> &S3 {
        &self.s3
    }

    /// Its queues.
    pub fn sqs(&self) -> &Sqs {
        &self.sqs
    }

    /// The same server's buckets and queues as somebody in another region has them.
    ///
    /// # Panics
    /// When the machine has no random numbers.
    pub fn in_region(&self, region: &'static str) -> (S3, Sqs) {
        let address = self.server.address;
        let s3 = S3::at(address, region).expect("a secret can be made");
        (s3, Sqs::at(address, ACCOUNT.to_owned(), region))
    }

    /// The address of a queue without its region, as AWS' own have it in their host: who asks says in which region to look.
    pub fn without_region(&self, url: &str) -> String {
        let name = url.rsplit('/').next().unwrap_or_default();
        format!("{}/{ACCOUNT}/{name}", self.endpoint())
    }

    /// Tells a queue of every object that is made in a bucket from now on.
    pub fn notify(&self, bucket: &str, queue_url: &str) {
        let arn = self.sqs.arn(queue_url);
        let told = format!(
            "<NotificationConfiguration><QueueConfiguration><Queue>{arn}</Queue><Event>s3:ObjectCreated:*</Event>\
             </QueueConfiguration></NotificationConfiguration>"
        );
        self.s3.configure(bucket, "notification=", told.as_bytes());
    }

    fn start() -> Result<Self> {
        let program = crate::tool("localstack");
        // Each start has a folder of its own, and a log that says when this very server listens, so that nobody else's can be
        // taken for it.
        let root = Mutex::new(PathBuf::new());
        let command = |folder: &Path, address: SocketAddr| {
            folder.clone_into(&mut root.lock().expect("no holder of this lock panics"));
            let mut server = Command::new(&program);
            server.arg(folder).arg(address.to_string());
            Ok(server)
        };
        let hello = |address| {
            let log = root.lock().expect("no holder of this lock panics").join("log");
            let said = std::fs::read(log)?;
            let ready = String::from_utf8_lossy(&said).lines().any(|line| line.trim() == READY);
            ensure!(ready, "it is not ready yet");
            let client = http::Client::new(address, None);
            crate::sqs::call(&client, Sqs::REGION, "ListQueues", &json!({}))?;
            // It loads each service at its first call, and two at the same time may find none.
            S3::at(address, S3::REGION)?.hello()?;
            Ok(Hello::Ours)
        };
        let server = Guarded::start("localstack", START_MAX, command, hello)?;
        Ok(Self {
            s3: S3::at(server.address, S3::REGION)?,
            sqs: Sqs::at(server.address, ACCOUNT.to_owned(), Sqs::REGION),
            server,
        })
    }
}
