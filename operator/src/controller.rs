//! The controller: an IngestJob in, Kubernetes objects and status out.
//!
//! A job is brought a step further by [`Controller::reconcile`], over and over: [`dereference`] reads all that is known,
//! [`life`] decides (with [`build`] for what children are to be), [`apply`] does it, [`report`] tells it. Only the first and
//! the last two speak to servers. What is remembered between two steps may be lost at any time: it is what the scaler has
//! seen of a queue, and how often a job failed.

mod apply;
pub mod build;
mod credentials;
mod dereference;
pub mod differ;
pub mod facts;
pub mod life;
pub mod merge;
pub mod names;
pub mod report;
mod scaling;
pub mod status;
mod watching;

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _};
use pf_work::queue;
use thiserror::Error;
use tokio::time::timeout;
use tracing::{Instrument as _, field::Empty};

pub use self::watching::watch;

use self::{
    facts::Facts,
    life::{Deed, Next, Surroundings, Turn},
    names::Place,
    report::Teller,
    status::Draft,
};
use crate::{
    crd::{IngestJob, IngestJobStatus},
    fleet::{self, Asker, Fleet, Report},
    metrics::Metrics,
    queue::Queues,
    scaler::{self, Decision, Depth, History},
};

/// Steps that can follow from each other at once; there are five in the longest life.
const STEPS_MAX: u32 = 16;

/// A step takes a part of a second. One that waits for a server that does not answer must not keep others from theirs.
const STEP_MAX: Duration = Duration::from_mins(1);

/// How soon a step that was cut short goes on.
const AT_ONCE: Duration = Duration::from_millis(10);

/// A look at the queue is taken for current for this share of the time between two.
const CURRENT: f64 = 0.9;

/// How the operator treats all jobs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The image that has all programs.
    pub image: String,
    /// How often a job that is at work is looked at.
    pub look_every: Duration,
    /// How long a queue must have looked empty before the job's books are compared.
    pub idle_for: Duration,
    /// Who tells events, for people: this process' pod.
    pub instance: Option<String>,
}

/// Why a step could not be taken. The next one may succeed.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server.
    #[error("cannot {action}")]
    Kubernetes {
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: kube::Error,
    },
    /// A server does not answer.
    #[error("gave up after {} s, because a server does not answer", STEP_MAX.as_secs())]
    TooLong,
    /// The queue.
    #[error("cannot remove the queue {url}")]
    Queue {
        /// Which.
        url: String,
        /// What it said.
        source: queue::Error,
    },
}

impl Error {
    /// How long the API server asks to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        let Self::Kubernetes {
            source: kube::Error::Api(status),
            ..
        } = self
        else {
            return None;
        };
        let seconds = status.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    fn of(action: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Kubernetes { action, source }
    }
}

/// What a job's steps share.
pub struct Controller {
    client: Client,
    settings: Settings,
    queues: Queues,
    asker: Asker,
    teller: Teller,
    metrics: Metrics,
    memory: Mutex<HashMap<String, Memory>>,
    began: Instant,
}

/// What is remembered of a job.
#[derive(Debug, Default)]
struct Memory {
    history: History,
    fleet: Fleet,
    /// The proof that the history is about: after each, emptiness must show itself anew.
    place: Option<Place>,
    last: Option<Look>,
    /// Why the queue could not be asked at that look, if it could not.
    queue: facts::Queue,
    failures: u32,
}

/// The last look at a queue, its workers and its discoverer.
#[derive(Debug, Clone)]
struct Look {
    at: Instant,
    generation: Option<i64>,
    depth: Option<Depth>,
    fleet: Report,
    found: Option<fleet::Found>,
    decision: Decision,
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Controller {
    /// Ready to take steps.
    pub fn new(client: Client, settings: Settings, queues: Queues, metrics: Metrics) -> Self {
        Self {
            teller: Teller::new(client.clone(), settings.instance.clone()),
            client,
            settings,
            queues,
            asker: Asker::new(build::METRICS_PORT),
            metrics,
            memory: Mutex::default(),
            began: Instant::now(),
        }
    }

    /// Takes a job as far as it can go now. Returns when to look again, where nothing that is watched may change.
    pub async fn reconcile(&self, namespace: &str, name: &str) -> Result<Option<Duration>, Error> {
        // Many calls wait inside: on the heap, not in each of the steps that may run at once. One that is cut short is gone on
        // with like one of a process that died.
        let step = Box::pin(self.advance(namespace, name));
        let span = tracing::debug_span!("step", namespace, job = name, otel.status_code = Empty);
        let taken = timeout(STEP_MAX, step).instrument(span.clone()).await;
        let taken = taken.unwrap_or(Err(Error::TooLong));
        if taken.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        taken
    }

    async fn advance(&self, namespace: &str, name: &str) -> Result<Option<Duration>, Error> {
        let jobs = Api::<IngestJob>::namespaced(self.client.clone(), namespace);
        let Some(mut job) = jobs.get_opt(name).await.map_err(Error::of("read the job"))? else {
            return Ok(None);
        };
        let read = dereference::facts(&self.client, &job).await;
        let mut facts = read.map_err(Error::of("read what belongs to the job"))?;
        self.look(&job, &mut facts).await;
        let surroundings = Surroundings {
            image: &self.settings.image,
            look_every: self.settings.look_every,
        };
        for _ in 0..STEPS_MAX {
            match life::next(&job, &facts, surroundings) {
                Next::Hold => {
                    let held = apply::hold(&self.client, &job, true).await;
                    held.map_err(Error::of("put the finalizer on the job"))?;
                    job = match jobs.get_opt(name).await.map_err(Error::of("read the job"))? {
                        Some(job) => job,
                        None => return Ok(None),
                    };
                }
                Next::MakeQueue => facts.queue = self.queues.make(&job, facts.queue_key.as_ref()).await,
                Next::LookAtQueue => facts.queue = self.queues.look(&job, facts.queue_key.as_ref()).await,
                Next::Mark(status) => {
                    self.write(&job, &status, Vec::new()).await?;
                    return Ok(Some(AT_ONCE));
                }
                Next::RemoveQueue(queue) => {
                    let removed = self.queues.remove(&job, facts.queue_key.as_ref(), &queue).await;
                    let (status, again) = match removed {
                        Ok(()) => (life::without_queue(&job, &facts), AT_ONCE),
                        Err(queue::Error::Refused { reason }) => life::keeping_queue(&job, &facts, &queue, &reason),
                        Err(source) => {
                            let url = queue.url;
                            return Err(Error::Queue { url, source });
                        }
                    };
                    self.write(&job, &status, Vec::new()).await?;
                    return Ok(Some(again));
                }
                Next::LetGo => {
                    let let_go = apply::hold(&self.client, &job, false).await;
                    let_go.map_err(Error::of("take the finalizer off the job"))?;
                    return Ok(None);
                }
                Next::Do(turn) => return self.turn(&job, *turn).await,
            }
        }
        Ok(Some(self.settings.look_every))
    }

    /// Does the deeds of a turn and writes its status, where that is another one.
    async fn turn(&self, job: &IngestJob, turn: Turn) -> Result<Option<Duration>, Error> {
        let Turn {
            deeds,
            mut status,
            again,
        } = turn;
        let mut events = Vec::new();
        for deed in &deeds {
            match apply::deed(&self.client, job, deed).await {
                Ok(()) => {
                    if matches!(deed, Deed::Scale { .. }) {
                        events.push(report::scaled(&status));
                    }
                }
                // What the API server does not take is for the job's author to mend; the rest of the job goes on.
                Err(kube::Error::Api(refusal)) if refusal.is_invalid() || refusal.code == 400 => {
                    let now = Timestamp::now();
                    let mut draft = Draft::new(Some(&status), job.metadata.generation, now);
                    draft.stalled(
                        "Invalid",
                        &format!("the API server refuses what the job asks for: {}", refusal.message),
                    );
                    status = draft.status;
                }
                Err(error) => return Err(Error::of("change what belongs to the job")(error)),
            }
        }
        self.write(job, &status, events).await?;
        Ok(again)
    }

    /// Writes the status, if it is another one, and tells what is new in it.
    async fn write(
        &self,
        job: &IngestJob,
        status: &IngestJobStatus,
        mut events: Vec<kube::runtime::events::Event>,
    ) -> Result<(), Error> {
        if job.status.as_ref() != Some(status) {
            let written = apply::status(&self.client, job, status).await;
            written.map_err(Error::of("write the status"))?;
            events.extend(report::events(job.status.as_ref(), status));
        }
        self.teller.publish(job, &events).await;
        Ok(())
    }

    /// Asks the queue of a job that is at work, unless it was asked just now, and lets the scaler decide.
    async fn look(&self, job: &IngestJob, facts: &mut Facts) {
        let status = job.status.clone().unwrap_or_default();
        let uid = job.uid().unwrap_or_default();
        let resting = job.spec.suspend == Some(true) || job.metadata.deletion_timestamp.is_some();
        let Some(queue) = status
            .queue
            .as_ref()
            .filter(|_| !resting && !status::is_over(status.phase))
        else {
            self.forget(&uid);
            return;
        };
        let place = Place::of(job);
        let current = self.settings.look_every.mul_f64(CURRENT);
        let last = self
            .memory()
            .get(&uid)
            .and_then(|memory| memory.last.clone().filter(|_| memory.place == Some(place)))
            .filter(|last| last.at.elapsed() < current && last.generation == job.metadata.generation);
        let look = match last {
            Some(last) => last,
            None => self.ask(job, &queue.url, facts).await,
        };
        facts.depth = look.depth;
        facts.decision = Some(look.decision);
        facts.fleet = look.fleet;
        facts.found = look.found;
        if let Some(memory) = self.memory().get(&uid) {
            let now = self.began.elapsed();
            facts.idle = memory.history.is_idle(self.settings.idle_for);
            facts.lasts = memory.history.lasts(now);
            facts.backlog_most = memory.history.most_backlog(now, scaler::LAG);
            facts.queue = memory.queue.clone();
        }
    }

    /// Asks a job's queue, its workers and its discoverer, lets the scaler decide, and remembers all.
    async fn ask(&self, job: &IngestJob, queue_url: &str, facts: &Facts) -> Look {
        let of_workers = facts.worker_pods.iter().filter_map(|pod| {
            let (pod, ip) = (pod.name.clone(), pod.address?);
            Some(fleet::Address { pod, ip })
        });
        let (asked, answers, found) = tokio::join!(
            self.queues.depth(job, facts.queue_key.as_ref(), queue_url),
            self.asker.workers(of_workers.collect()),
            async { self.asker.discoverer(facts.discoverer_at.as_ref()?).await },
        );
        self.metrics.asked(asked.is_ok());
        self.metrics.heard(&answers);
        let (depth, trouble) = match asked {
            Ok(depth) => (Some(depth), facts::Queue::Unasked),
            Err(trouble) => {
                tracing::warn!(job = job.name_any(), ?trouble, "cannot ask the queue for its depth");
                (None, trouble)
            }
        };
        let place = Place::of(job);
        let mut memory = self.memory();
        let memory = memory.entry(job.uid().unwrap_or_default()).or_default();
        if memory.place != Some(place) {
            memory.history.clear();
            memory.place = Some(place);
        }
        let now = self.began.elapsed();
        let fleet = memory.fleet.hear(now, &answers);
        let inputs = scaling::inputs(job, facts, depth, &fleet);
        let wishes = scaling::wishes(job, facts.now, now);
        let decision = scaler::decide(&mut memory.history, inputs, wishes, self.settings.idle_for, now);
        self.metrics.decided(inputs.replicas, decision.replicas);
        let look = Look {
            at: Instant::now(),
            generation: job.metadata.generation,
            depth,
            fleet,
            found,
            decision,
        };
        memory.last = Some(look.clone());
        memory.queue = trouble;
        look
    }

    /// How long a job waits after yet another failure: twice as long each time.
    fn pause(&self, uid: &str) -> Duration {
        let mut memory = self.memory();
        let failures = &mut memory.entry(uid.to_owned()).or_default().failures;
        *failures = (*failures + 1).min(16);
        FAILURE_PAUSE_MIN
            .saturating_mul(1 << (*failures - 1))
            .min(FAILURE_PAUSE_MAX)
    }

    /// Notes that a step was taken.
    fn succeeded(&self, uid: &str) {
        if let Some(memory) = self.memory().get_mut(uid) {
            memory.failures = 0;
        }
    }

    fn forget(&self, uid: &str) {
        self.memory().remove(uid);
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<String, Memory>> {
        self.memory.lock().expect("no holder of this lock panics")
    }
}

/// The pause after the first failure, and the longest.
const FAILURE_PAUSE_MIN: Duration = Duration::from_millis(500);
const FAILURE_PAUSE_MAX: Duration = Duration::from_mins(5);
