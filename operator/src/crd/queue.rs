//! `spec.queue`: how work items travel from the discoverer to the workers.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::wording::{ADDRESS, REGION, SERVER, must_be};

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
}
