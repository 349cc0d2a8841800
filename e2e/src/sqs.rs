//! A real SQS server: ElasticMQ with its queues in memory, one for each test process; and the same things to do to another
//! server's queues, which is LocalStack's.
//!
//! It keeps visibility, receipts, redrive and per-entry failures as SQS documents them, so that nothing of our SQS side is
//! tested against an imitation of our own. It does not check signatures.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    guarded::{Guarded, HERE, Hello},
    http::{Client, Request},
};

/// How long the server may take to answer; it takes two seconds on an idle machine.
const START_MAX: Duration = Duration::from_secs(90);

/// How long [`Sqs::all_bodies`] looks for more messages.
const LOOK: Duration = Duration::from_secs(1);

/// A running server's queues.
#[derive(Debug)]
pub struct Sqs {
    /// Ends with this; absent: it is kept elsewhere.
    _server: Option<Guarded>,
    client: Client,
    region: &'static str,
    account: String,
    queues: AtomicU32,
}

/// A queue and the one that its redrive policy names.
#[derive(Debug, Clone)]
pub struct Queue {
    /// The queue's URL.
    pub url: String,
    /// The URL of its dead-letter queue.
    pub dead_letter_url: String,
}

/// How much is in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that can be received.
    pub visible: u64,
    /// Messages that were received and are not settled.
    pub in_flight: u64,
    /// Messages that can be received later.
    pub delayed: u64,
}

impl Sqs {
    /// The region that the server says to be in.
    pub const REGION: &str = "eu-south-2";
    /// The id of a key; the server takes any.
    pub const ACCESS_KEY_ID: &str = "paraflow-test";
    /// Its secret.
    pub const SECRET_ACCESS_KEY: &str = "paraflow-test-secret";

    /// The server of this test process, started by its first use.
    ///
    /// # Panics
    /// When ElasticMQ is not installed or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Sqs> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_at(HERE))
    }

    /// A private server, which ends when it is dropped, at this address of the machine's.
    ///
    /// # Panics
    /// When ElasticMQ is not installed or does not start.
    pub fn start_at(ip: IpAddr) -> Self {
        Self::try_start(ip).expect("the SQS server must start")
    }

    /// Its address, as `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.client.address)
    }

    /// What a process under test needs in its environment to sign its requests.
    pub fn environment(&self) -> [(&'static str, &'static str); 4] {
        [
            ("AWS_ACCESS_KEY_ID", Self::ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", Self::SECRET_ACCESS_KEY),
            ("AWS_REGION", Self::REGION),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
    }

    /// Makes a queue whose leases hold for `visibility_seconds`, with a dead-letter queue behind it that takes what was
    /// received `receives_max` times. Both names begin with `name` and are new each time.
    pub fn make_queue(&self, name: &str, visibility_seconds: u32, receives_max: u32) -> Queue {
        let name = format!("{name}-{}", self.queues.fetch_add(1, Ordering::Relaxed));
        let dead_name = format!("{name}-dead");
        let dead_letter_url = self.make_plain_queue(&dead_name, &json!({}));
        let policy = json!({
            "deadLetterTargetArn": self.arn(&dead_letter_url),
            "maxReceiveCount": receives_max.to_string(),
        });
        let attributes = json!({
            "VisibilityTimeout": visibility_seconds.to_string(),
            "RedrivePolicy": policy.to_string(),
        });
        Queue {
            url: self.make_plain_queue(&name, &attributes),
            dead_letter_url,
        }
    }

    /// Makes a queue of this very name, with nothing but these attributes, and returns its URL.
    pub fn make_plain_queue(&self, name: &str, attributes: &Value) -> String {
        let made = self.must("CreateQueue", &json!({"QueueName": name, "Attributes": attributes}));
        made["QueueUrl"].as_str().expect("a queue has a URL").to_owned()
    }

    /// The name of a queue within AWS.
    pub fn arn(&self, url: &str) -> String {
        let name = url.rsplit('/').next().unwrap_or_default();
        format!("arn:aws:sqs:{}:{}:{name}", self.region, self.account)
    }

    /// What the server says of a queue, by attribute; [`None`] where there is no such queue.
    pub fn attributes(&self, url: &str) -> Option<Value> {
        let request = json!({"QueueUrl": url, "AttributeNames": ["All"]});
        let mut answer = call(&self.client, self.region, "GetQueueAttributes", &request).ok()?;
        Some(answer["Attributes"].take())
    }

    /// The URLs of all queues whose names begin so.
    pub fn queues(&self, prefix: &str) -> Vec<String> {
        let answer = self.must("ListQueues", &json!({"QueueNamePrefix": prefix}));
        let urls = answer["QueueUrls"].as_array().map(Vec::as_slice).unwrap_or_default();
        let url = |url: &Value| url.as_str().expect("a queue has a URL").to_owned();
        urls.iter().map(url).collect()
    }

    /// Removes a queue.
    pub fn delete_queue(&self, url: &str) {
        self.must("DeleteQueue", &json!({"QueueUrl": url}));
    }

    /// Puts a message into a queue.
    pub fn send(&self, url: &str, body: &str) {
        self.must("SendMessage", &json!({"QueueUrl": url, "MessageBody": body}));
    }

    /// Puts a message into a queue that can't be received before so much time has passed.
    pub fn send_later(&self, url: &str, body: &str, delay: Duration) {
        let request = json!({"QueueUrl": url, "MessageBody": body, "DelaySeconds": delay.as_secs()});
        self.must("SendMessage", &request);
    }

    /// Takes up to ten messages, as the server describes them, attributes and all; they stay out of sight for as long as
    /// the queue says.
    pub fn receive(&self, url: &str, wait: Duration) -> Vec<Value> {
        let request = json!({
            "QueueUrl": url,
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": wait.as_secs(),
            "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let mut answer = self.must("ReceiveMessage", &request);
        match answer["Messages"].take() {
            Value::Array(messages) => messages,
            _ => Vec::new(),
        }
    }

    /// Takes all messages out of a queue, until none has come for a while, and returns their bodies.
    pub fn all_bodies(&self, url: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let messages = self.receive(url, LOOK);
            if messages.is_empty() {
                return bodies;
            }
            for message in messages {
                bodies.push(message["Body"].as_str().expect("a message has a body").to_owned());
                let request = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
                self.must("DeleteMessage", &request);
            }
        }
    }

    /// Whether there is such a queue.
    ///
    /// # Panics
    /// When the server does not say.
    pub fn has(&self, url: &str) -> bool {
        match call(
            &self.client,
            self.region,
            "GetQueueAttributes",
            &json!({"QueueUrl": url}),
        ) {
            Ok(_) => true,
            Err(error) if error.to_string().contains("QueueDoesNotExist") => false,
            Err(error) => panic!("the SQS server does not say whether it has {url}: {error:#}"),
        }
    }

    /// How much is in a queue.
    pub fn depth(&self, url: &str) -> Depth {
        let answer = self.must(
            "GetQueueAttributes",
            &json!({"QueueUrl": url, "AttributeNames": ["All"]}),
        );
        let count = |name: &str| {
            let text = answer["Attributes"][name].as_str();
            text.and_then(|text| text.parse().ok())
                .expect("a queue counts its messages")
        };
        Depth {
            visible: count("ApproximateNumberOfMessages"),
            in_flight: count("ApproximateNumberOfMessagesNotVisible"),
            delayed: count("ApproximateNumberOfMessagesDelayed"),
        }
    }

    /// Moves all messages of a dead-letter queue back into the queue, as a person does in AWS' console.
    pub fn move_back(&self, queue: &Queue) {
        let (from, to) = (self.arn(&queue.dead_letter_url), self.arn(&queue.url));
        self.must(
            "StartMessageMoveTask",
            &json!({"SourceArn": from, "DestinationArn": to}),
        );
    }

    fn must(&self, action: &str, request: &Value) -> Value {
        call(&self.client, self.region, action, request)
            .unwrap_or_else(|error| panic!("cannot {action} on the SQS server: {error:#}"))
    }

    fn try_start(ip: IpAddr) -> Result<Self> {
        let program = crate::tool("elasticmq");
        let command = |root: &Path, address| {
            let file = root.join("server.conf");
            std::fs::write(&file, configuration(address, &account(address)))?;
            let mut server = Command::new(&program);
            server.env(
                "JAVA_TOOL_OPTIONS",
                format!(
                    "-Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dconfig.file={}",
                    file.display()
                ),
            );
            Ok(server)
        };
        let hello = |address| {
            let made = call(
                &Client::new(address, None),
                Self::REGION,
                "CreateQueue",
                &json!({"QueueName": "hello"}),
            )?;
            let url = made["QueueUrl"].as_str().unwrap_or_default();
            Ok(if url.contains(&account(address)) {
                Hello::Ours
            } else {
                Hello::Anothers(url.to_owned())
            })
        };
        let server = Guarded::start_at(ip, "elasticmq", START_MAX, command, hello)?;
        let queues = Self::at(server.address, account(server.address), Self::REGION);
        Ok(Self {
            _server: Some(server),
            ..queues
        })
    }

    /// The queues of a server that is kept elsewhere.
    pub(crate) fn at(address: SocketAddr, account: String, region: &'static str) -> Self {
        Self {
            _server: None,
            client: Client::new(address, None),
            region,
            account,
            queues: AtomicU32::new(0),
        }
    }
}

/// Tells our server from another process's on the same port.
fn account(address: SocketAddr) -> String {
    format!("{:06}{:06}", std::process::id() % 1_000_000, address.port())
}

fn configuration(address: SocketAddr, account: &str) -> String {
    let (host, port) = (address.ip(), address.port());
    format!(
        r#"include classpath("application.conf")
node-address {{ protocol = http, host = "{host}", port = {port}, context-path = "" }}
rest-sqs {{ enabled = true, bind-hostname = "{host}", bind-port = {port}, sqs-limits = strict }}
rest-stats {{ enabled = false }}
aws {{ region = "{}", accountId = "{account}" }}
"#,
        Sqs::REGION
    )
}

/// One call of SQS' JSON protocol.
pub(crate) fn call(client: &Client, region: &str, action: &str, request: &Value) -> Result<Value> {
    // What says whose queues are asked for, as "Authorization header" in the reference of Signature Version 4 has it.
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=paraflow-test/20240101/{region}/sqs/aws4_request, SignedHeaders=host, Signature=none"
    );
    let answer = client.send(&Request {
        method: "POST",
        path: "/",
        headers: &[
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", &format!("AmazonSQS.{action}")),
            // Nobody checks it; where there are several regions, it says which one is meant.
            ("authorization", &authorization),
        ],
        body: request.to_string().as_bytes(),
    })?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&answer.body).context("the answer is not JSON")
}
