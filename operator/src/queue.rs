//! The queues of jobs, as the operator sees them: made, looked at, asked for their depth, removed. What is in them it never sees.
//!
//! Errors are told in two kinds, because they are met in two ways: what somebody must change, and what may pass.

use std::{collections::HashMap, time::Duration};

use kube::ResourceExt as _;
use pf_work::{
    queue::Error,
    sqs::{
        AccessKey, Options, Patience, Role, SqsQueue,
        admin::{Admin, Wish},
    },
};
use tokio::sync::Mutex;

use crate::{
    controller::{
        facts::Queue,
        names::{self, Place},
    },
    crd::{IngestJob, QueueStatus, Sqs},
    scaler::Depth,
};

/// What the schema has as defaults.
const VISIBILITY_SECONDS: u32 = 300;
const RECEIVES_MAX: u32 = 5;

/// A turn of one job must not wait long for a queue: it is asked again at the next one.
const PATIENCE: Patience = Patience {
    connect_max: Duration::from_secs(2),
    answer_max: Duration::from_secs(5),
    attempts_max: 2,
    backoff_min: Duration::from_millis(100),
    backoff_max: Duration::from_secs(1),
};

/// How to reach queues. Handles are kept, with their connections and credentials.
#[derive(Debug, Default)]
pub struct Queues {
    /// Instead of what the environment has.
    key: Option<AccessKey>,
    handles: Mutex<HashMap<String, SqsQueue>>,
}

impl Queues {
    /// Signs with this key; without one, as the environment says.
    pub fn new(key: Option<AccessKey>) -> Self {
        Self {
            key,
            handles: Mutex::default(),
        }
    }

    /// Makes the queue of a job that has none, or finds it as it was made before.
    pub async fn make(&self, job: &IngestJob) -> Queue {
        let run = Place::of(job).run;
        let sqs = sqs(job);
        let namespace = job.namespace().unwrap_or_default();
        let visibility = sqs.visibility_timeout_seconds.unwrap_or(VISIBILITY_SECONDS);
        let wish = Wish {
            name: names::queue(job, run),
            visibility: Duration::from_secs(visibility.into()),
            receives_max: sqs.max_receives.unwrap_or(RECEIVES_MAX),
            tags: HashMap::from([
                (names::JOB.to_owned(), format!("{namespace}/{}", job.name_any())),
                ("paraflow.dev/uid".to_owned(), job.uid().unwrap_or_default()),
            ]),
        };
        match self.admin(&sqs).await.make(&wish).await {
            Ok(made) => Queue::Ready(QueueStatus {
                url: made.url,
                dead_letter_queue_url: Some(made.dead_letter_url),
                owned: true,
            }),
            Err(error) => of_error(error),
        }
    }

    /// Looks whether the queue that a job names can be used.
    pub async fn look(&self, job: &IngestJob) -> Queue {
        let url = sqs(job).url.unwrap_or_default();
        match self.handle(job, &url).await {
            Ok(_) => Queue::Ready(QueueStatus {
                url,
                dead_letter_queue_url: None,
                owned: false,
            }),
            Err(error) => of_error(error),
        }
    }

    /// How much is in a job's queue.
    pub async fn depth(&self, job: &IngestJob, url: &str) -> Result<Depth, Error> {
        let depth = self.handle(job, url).await?.depth().await?;
        Ok(Depth {
            visible: depth.visible,
            in_flight: depth.in_flight,
            delayed: depth.delayed,
        })
    }

    /// Removes a queue that a job made, and its dead-letter queue.
    pub async fn remove(&self, job: &IngestJob, queue: &QueueStatus) -> Result<(), Error> {
        let admin = self.admin(&sqs(job)).await;
        for url in [Some(&queue.url), queue.dead_letter_queue_url.as_ref()]
            .into_iter()
            .flatten()
        {
            admin.remove(url).await?;
        }
        self.handles.lock().await.remove(&queue.url);
        Ok(())
    }

    async fn handle(&self, job: &IngestJob, url: &str) -> Result<SqsQueue, Error> {
        if let Some(handle) = self.handles.lock().await.get(url) {
            return Ok(handle.clone());
        }
        let Sqs { region, endpoint, .. } = sqs(job);
        let options = Options {
            region,
            endpoint,
            access_key: self.key.clone(),
            patience: PATIENCE,
            ..Options::new(url)
        };
        let handle = SqsQueue::connect(options, Role::Sink).await?;
        self.handles.lock().await.insert(url.to_owned(), handle.clone());
        Ok(handle)
    }

    async fn admin(&self, sqs: &Sqs) -> Admin {
        let (region, endpoint) = (sqs.region.clone(), sqs.endpoint.clone());
        match &self.key {
            Some(key) => Admin::with_key(region, endpoint, PATIENCE, key.clone()).await,
            None => Admin::new(region, endpoint, PATIENCE).await,
        }
    }
}

fn sqs(job: &IngestJob) -> Sqs {
    job.spec
        .queue
        .as_ref()
        .map(|queue| queue.sqs.clone())
        .unwrap_or_default()
}

fn of_error(error: Error) -> Queue {
    match error {
        Error::Refused { reason } => Queue::Refused { why: reason },
        Error::Unavailable { reason } => Queue::Unavailable { why: reason },
        Error::LeaseLost => Queue::Unavailable {
            why: "the queue speaks of a lease, and there is none".to_owned(),
        },
    }
}
