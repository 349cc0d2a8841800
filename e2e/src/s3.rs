//! A real S3 server: versitygw over a folder of its own, one for each test process; and the same things to do to another
//! server's buckets, which is LocalStack's.
//!
//! It checks signatures, honours ranges and If-Match, and pages listings, so that nothing of our S3 side is tested
//! against an imitation of our own.

mod signed;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};

use self::signed::Client;
use crate::{
    guarded::{Guarded, HERE, Hello},
    http, random_secret,
};

/// How long the server may take to answer; it takes a third of a second on an idle machine.
const START_MAX: Duration = Duration::from_secs(30);

/// Where buckets are whose makers say nothing of a region.
const OLDEST_REGION: &str = "us-east-1";

/// Puts sent at the same time by [`S3::put_all`].
const PUTS_MAX: usize = 4;

/// A running server's buckets.
#[derive(Debug)]
pub struct S3 {
    /// Absent: it is kept elsewhere.
    server: Option<Guarded>,
    client: Client,
    buckets: AtomicU32,
}

impl S3 {
    /// The region that the server says to be in.
    pub const REGION: &str = "eu-south-2";
    /// The id of the key that may do everything.
    pub const ACCESS_KEY_ID: &str = "paraflow-test";

    /// The server of this test process, started by its first use.
    ///
    /// # Panics
    /// When versitygw is not installed or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_at(HERE))
    }

    /// A private server, which ends when it is dropped, at this address of the machine's.
    ///
    /// # Panics
    /// When versitygw is not installed or does not start.
    pub fn start_at(ip: IpAddr) -> Self {
        Self::try_start(ip).expect("the S3 server must start")
    }

    /// Its address, as `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.client.address())
    }

    /// The secret of [`ACCESS_KEY_ID`](Self::ACCESS_KEY_ID), another one in each process.
    pub fn secret_access_key(&self) -> &str {
        &self.client.secret
    }

    /// What a process under test needs in its environment to sign its requests to this server.
    pub fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ACCESS_KEY_ID", Self::ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key()),
            ("AWS_REGION", Self::REGION),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
    }

    /// Makes a bucket whose name begins with `name`, and returns its full name, which is new each time.
    pub fn make_bucket(&self, name: &str) -> String {
        let bucket = format!("{name}-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        self.make_bucket_called(&bucket);
        bucket
    }

    /// Makes a bucket of this very name.
    pub fn make_bucket_called(&self, bucket: &str) {
        let region = self.client.region;
        // S3 wants to be told outside of its oldest region (`CreateBucket` in its API reference).
        let body = if region == OLDEST_REGION {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            )
        };
        self.must("PUT", &format!("/{bucket}"), "", body.as_bytes());
    }

    /// Stores an object, and returns its entity tag.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) -> String {
        let answer = self.must("PUT", &signed::path(bucket, key), "", bytes);
        let etag = answer.header("etag");
        etag.expect("the server names the entity tag of what it stored")
            .to_owned()
    }

    /// The entity tag of an object, without its quotes.
    pub fn etag(&self, bucket: &str, key: &str) -> String {
        let answer = self.must("GET", &signed::path(bucket, key), "", b"");
        let etag = answer
            .header("etag")
            .expect("the server names the entity tag of what it has");
        etag.trim_matches('"').to_owned()
    }

    /// Stores many objects, some at a time.
    pub fn put_all(&self, bucket: &str, objects: &[(String, Vec<u8>)]) {
        std::thread::scope(|scope| {
            for part in objects.chunks(objects.len().div_ceil(PUTS_MAX).max(1)) {
                scope.spawn(move || {
                    for (key, bytes) in part {
                        self.put(bucket, key, bytes);
                    }
                });
            }
        });
    }

    /// Stores each file below a folder, under a prefix and its path in the folder.
    ///
    /// # Panics
    /// When a file can't be read.
    pub fn put_folder(&self, bucket: &str, folder: &Path, prefix: &str) {
        let mut files = Vec::new();
        crate::oracle::walk(folder, &mut files);
        let object = |file: &PathBuf| {
            let key = file.strip_prefix(folder).expect("it lies in the folder");
            let key = format!("{prefix}{}", key.to_str().expect("tests have plain names"));
            (key, std::fs::read(file).expect("the file can be read"))
        };
        let objects: Vec<_> = files.iter().map(object).collect();
        self.put_all(bucket, &objects);
    }

    /// The folder that a bucket lies in. A file put there is an object without an entity tag, which is quicker than
    /// [`put`](Self::put) where listings need very many.
    ///
    /// # Panics
    /// When the server is another one than versitygw.
    pub fn folder(&self, bucket: &str) -> PathBuf {
        let server = self.server.as_ref().expect("versitygw keeps objects as files");
        data(&server.root).join(bucket)
    }

    /// Removes an object.
    pub fn delete(&self, bucket: &str, key: &str) {
        self.must("DELETE", &signed::path(bucket, key), "", b"");
    }

    /// Lets everybody list the bucket and read its objects.
    pub fn allow_anonymous_reads(&self, bucket: &str) {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[
                {{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::{bucket}"}},
                {{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}}]}}"#
        );
        self.configure(bucket, "policy=", policy.as_bytes());
    }

    /// Sets what a query names of a bucket.
    pub(crate) fn configure(&self, bucket: &str, query: &str, body: &[u8]) {
        self.must("PUT", &format!("/{bucket}"), query, body);
    }

    /// Whether the server answers.
    pub(crate) fn hello(&self) -> Result<()> {
        let answer = self.client.send("GET", "/", "", b"")?;
        ensure!(answer.status == 200, "it answers {}: {}", answer.status, answer.body);
        Ok(())
    }

    fn must(&self, method: &str, path: &str, query: &str, body: &[u8]) -> http::Answer {
        let answer = self.client.send(method, path, query, body).and_then(|answer| {
            ensure!(
                (200..300).contains(&answer.status),
                "it answers {}: {}",
                answer.status,
                answer.body
            );
            Ok(answer)
        });
        answer.unwrap_or_else(|error| panic!("cannot {method} {path} on the S3 server: {error:#}"))
    }

    fn try_start(ip: IpAddr) -> Result<Self> {
        let program = crate::tool("versitygw");
        let secret = random_secret()?;
        let client = |address| Client::new(address, Self::ACCESS_KEY_ID, Self::REGION, secret.clone());
        let command = |root: &Path, address: SocketAddr| {
            let (data, attributes) = (data(root), root.join("attributes"));
            for folder in [&data, &attributes] {
                std::fs::create_dir(folder)?;
            }
            let mut server = Command::new(&program);
            server
                .args(["--port", &address.to_string(), "--region", Self::REGION])
                .args(["--quiet", "posix"])
                // Not every temporary folder can hold extended attributes.
                .arg("--sidecar")
                .args([attributes, data])
                .env("ROOT_ACCESS_KEY", Self::ACCESS_KEY_ID)
                .env("ROOT_SECRET_KEY", &secret);
            Ok(server)
        };
        // Signed with our own secret: another process's server on the same port refuses it.
        let hello = |address| {
            let answer = client(address).send("GET", "/", "", b"")?;
            Ok(match answer.status {
                200 => Hello::Ours,
                _ => Hello::Anothers(answer.body),
            })
        };
        let server = Guarded::start_at(ip, "versitygw", START_MAX, command, hello)?;
        Ok(Self {
            client: client(server.address),
            buckets: AtomicU32::new(0),
            server: Some(server),
        })
    }

    /// The buckets of a server that is kept elsewhere and takes any secret.
    pub(crate) fn at(address: SocketAddr, region: &'static str) -> Result<Self> {
        Ok(Self {
            client: Client::new(address, Self::ACCESS_KEY_ID, region, random_secret()?),
            buckets: AtomicU32::new(0),
            server: None,
        })
    }
}

/// The folder of the server's buckets.
fn data(root: &Path) -> PathBuf {
    root.join("data")
}
