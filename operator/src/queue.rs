//! The queues of jobs, as the operator sees them: made, looked at, asked for their depth, removed. What is in them it never sees.
//!
//! Errors are told in two kinds, because they are met in two ways: what somebody must change, and what may pass.

mod identity;
mod kept;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use kube::ResourceExt as _;
use pf_work::{
    queue::Error,
    sqs::{
        AccessKey, Identity, Options, Patience, Role, SqsQueue,
        admin::{Admin, Wish},
    },
};
use tokio::sync::Mutex;

pub use self::identity::{Own, external_id};
use self::kept::Kept;

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

/// How to reach queues. Handles are kept while they are used, with their connections and credentials.
#[derive(Debug, Default)]
pub struct Queues {
    own: Own,
    handles: Mutex<Kept<Handle, SqsQueue>>,
}

/// What a handle is kept by: all that it was made of, so that no job asks a queue as another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Handle {
    url: String,
    region: Option<String>,
    endpoint: Option<String>,
    identity: Identity,
}

/// Each of these asks with `key` where the job names a Secret, which must hold it.
impl Queues {
    /// The operator's own identity is this one, and jobs' roles are taken on by it.
    pub fn new(own: Own) -> Self {
        Self {
            own,
            handles: Mutex::default(),
        }
    }

    /// Makes the queue of a job that has none, or finds it as it was made before.
    pub async fn make(&self, job: &IngestJob, key: Option<&AccessKey>) -> Queue {
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
        let made = match self.admin(job, key).await {
            Ok(admin) => admin.make(&wish).await,
            Err(error) => Err(error),
        };
        match made {
            Ok(made) => Queue::Ready(QueueStatus {
                url: made.url,
                dead_letter_queue_url: Some(made.dead_letter_url),
                owned: true,
            }),
            Err(error) => of_error(job, error),
        }
    }

    /// Looks whether the queue that a job names can be used, by workers too: with a dead-letter queue that is there, if it is to have
    /// one. What workers may do they try themselves, as who they are.
    pub async fn look(&self, job: &IngestJob, key: Option<&AccessKey>) -> Queue {
        let Sqs {
            url,
            dead_letter_queue_url,
            ..
        } = sqs(job);
        let url = url.unwrap_or_default();
        let looked = match self.handle(job, key, &url) {
            Ok(handle) => {
                let options = Options {
                    dead_letter_url: dead_letter_queue_url,
                    ..handle.options()
                };
                SqsQueue::connect(options, Role::Overseer).await
            }
            Err(error) => Err(error),
        };
        match looked {
            Ok(looked) => Queue::Ready(QueueStatus {
                url,
                // What the policy moves is found there alone.
                dead_letter_queue_url: looked.dead_letter_url().map(str::to_owned),
                owned: false,
            }),
            Err(error) => of_error(job, error),
        }
    }

    /// How much is in a job's queue; the error is the trouble that it is in.
    pub async fn depth(&self, job: &IngestJob, key: Option<&AccessKey>, url: &str) -> Result<Depth, Queue> {
        let depth = async { self.kept(self.handle(job, key, url)?).await?.depth().await };
        let depth = depth.await.map_err(|error| of_error(job, error))?;
        Ok(Depth {
            visible: depth.visible,
            in_flight: depth.in_flight,
            delayed: depth.delayed,
        })
    }

    /// Removes a queue that a job made, and its dead-letter queue.
    pub async fn remove(&self, job: &IngestJob, key: Option<&AccessKey>, queue: &QueueStatus) -> Result<(), Error> {
        let removed = async {
            let admin = self.admin(job, key).await?;
            for url in [Some(&queue.url), queue.dead_letter_queue_url.as_ref()]
                .into_iter()
                .flatten()
            {
                admin.remove(url).await?;
            }
            Ok(())
        };
        removed.await.map_err(|error| told(job, error))?;
        self.handles.lock().await.forget(|handle| handle.url == queue.url);
        Ok(())
    }

    fn handle(&self, job: &IngestJob, key: Option<&AccessKey>, url: &str) -> Result<Handle, Error> {
        let Sqs { region, endpoint, .. } = sqs(job);
        Ok(Handle {
            url: url.to_owned(),
            region,
            endpoint,
            identity: self.own.identity(job, key)?,
        })
    }

    /// A handle that was made before, or a new one. Those that nobody needs any more are dropped.
    async fn kept(&self, handle: Handle) -> Result<SqsQueue, Error> {
        let now = Instant::now();
        if let Some(queue) = self.handles.lock().await.get(&handle, now) {
            return Ok(queue);
        }
        let queue = SqsQueue::connect(handle.options(), Role::Sink).await?;
        self.handles.lock().await.keep(handle, queue.clone(), now);
        Ok(queue)
    }

    async fn admin(&self, job: &IngestJob, key: Option<&AccessKey>) -> Result<Admin, Error> {
        let Sqs { region, endpoint, .. } = sqs(job);
        Ok(Admin::new(region, endpoint, PATIENCE, self.own.identity(job, key)?).await)
    }
}

impl Handle {
    fn options(&self) -> Options {
        let Self {
            url,
            region,
            endpoint,
            identity,
        } = self.clone();
        Options {
            region,
            endpoint,
            identity,
            patience: PATIENCE,
            ..Options::new(url)
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

/// What an error means for a job.
fn of_error(job: &IngestJob, error: Error) -> Queue {
    match told(job, error) {
        Error::Refused { reason } => Queue::Refused { why: reason },
        Error::Unavailable { reason } => Queue::Unavailable { why: reason },
        Error::LeaseLost => Queue::Unavailable {
            why: "the queue speaks of a lease, and there is none".to_owned(),
        },
    }
}

/// The error with what its reader can do: where the queue was looked for, as whom, and in the words of a job.
fn told(job: &IngestJob, error: Error) -> Error {
    let Error::Refused { reason } = error else { return error };
    let reason = reason.replace("--sqs-dead-letter-queue-url", "spec.queue.sqs.deadLetterQueueUrl");
    let who = identity::name(job);
    let place = sqs(job)
        .region
        .map_or(String::new(), |region| format!(", in the region {region}"));
    Error::Refused {
        reason: format!(
            "{reason}. It was asked as {who}{place}: correct spec.queue.sqs, or what is allowed (`pf-operator explain` lists it)"
        ),
    }
}
