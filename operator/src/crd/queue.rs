//! `spec.queue`: how work items travel from the discoverer to the workers.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    SecretName,
    wording::{ADDRESS, REGION, ROLE, SERVER, must_be},
};

/// How work items travel from the discoverer to the workers.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// An SQS queue.
    pub sqs: Sqs,
}

/// An SQS queue: one that exists, or one that the job creates, owns and deletes.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.url) || !has(self.deadLetterQueueUrl)")
    .message("deadLetterQueueUrl goes with url: a queue that the job creates brings its own dead-letter queue"))]
pub struct Sqs {
    /// An existing queue, which only this job may use. Absent: the job creates a queue and a dead-letter queue, owns
    /// them, and deletes them with itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), pattern(r"^https?://[^\s]+$"))]
    #[schemars(transform = must_be(ADDRESS, "https://sqs.eu-central-1.amazonaws.com/123456789012/my-queue"))]
    pub url: Option<String>,
    /// The existing queue's dead-letter queue. Absent: the one that the queue's redrive policy names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), pattern(r"^https?://[^\s]+$"))]
    #[schemars(transform = must_be(ADDRESS, "https://sqs.eu-central-1.amazonaws.com/123456789012/my-queue-dead"))]
    pub dead_letter_queue_url: Option<String>,
    /// The region of the queue. Absent: from the queue's address, else from the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern(r"^[a-z0-9-]+$"), transform = must_be(REGION, "eu-central-1"))]
    pub region: Option<String>,
    /// The address of an SQS-compatible server. Absent: AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), pattern(r"^https?://[^/\s]+/?$"), transform = must_be(SERVER, "http://elasticmq:9324"))]
    pub endpoint: Option<String>,
    /// How long a work item stays with a worker that does not say that it is still at it, in seconds. Workers extend
    /// this while they work, so it bounds how soon an item of a lost worker is tried again, not how long an item may
    /// take. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 43_200), extend("default" = 300))]
    pub visibility_timeout_seconds: Option<u32>,
    /// How often a work item is tried before it is moved to the dead-letter queue. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000), extend("default" = 5))]
    pub max_receives: Option<u32>,
    /// As whom the queue is asked, made and deleted. Absent: as the operator itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<QueueCredentials>,
}

/// As whom the queue is asked, made and deleted.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secret) != has(self.roleArn)").message("give exactly one of secret and roleArn"))]
pub struct QueueCredentials {
    /// A Secret of the job's namespace with a key of AWS: `accessKeyId`, `secretAccessKey`, and `sessionToken` if the key has
    /// one. The job's pods sign with it too, also what they ask of S3: they find it in their environment. When the Secret
    /// gets another content, the operator uses it at once, and workers are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// An IAM role that the operator takes on for this job. Its trust policy must let the operator's identity do so, and should
    /// ask for the external ID `NAMESPACE/NAME` of the job, so that no other job can use the role. The job's pods do not
    /// take it on: they sign as their service account does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 20, max = 2048),
        pattern(r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[-a-zA-Z0-9_+=,.@/]+$")
    )]
    #[schemars(transform = must_be(ROLE, "arn:aws:iam::123456789012:role/paraflow-queues"))]
    pub role_arn: Option<String>,
}
