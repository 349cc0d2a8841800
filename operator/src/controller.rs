//! The controller: an IngestJob in, Kubernetes objects and status out.
//!
//! A job is brought a step further by [`Controller::reconcile`], over and over: [`dereference`] reads all that is known,
//! [`life`] decides (with [`build`] for what children are to be), [`apply`] does it, [`report`] tells it. Only the first and
//! the last two speak to servers. What is remembered between two steps may be lost at any time: it is what the scaler has
//! seen of a queue, and how often a job failed.

mod apply;
pub mod build;
mod dereference;
pub mod differ;
pub mod facts;
pub mod life;
pub mod merge;
pub mod names;
pub mod report;
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
use thiserror::Error;

pub use self::watching::watch;

use self::{
    facts::{Facts, Trouble},
    life::{Deed, Next, Surroundings, Turn},
    names::Place,
    status::Draft,
};
use crate::{
    crd::{IngestJob, IngestJobStatus},
    metrics::Metrics,
    queue::Queues,
    scaler::{self, Decision, Depth, History, Inputs, Wishes},
};

/// Steps that can follow from each other at once; there are five in the longest life.
const STEPS_MAX: u32 = 16;

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
    /// The queue.
    #[error("cannot remove the queue {url}")]
    Queue {
        /// Which.
        url: String,
        /// What it said.
        source: pf_work::queue::Error,
    },
}

impl Error {
    fn of(action: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Kubernetes { action, source }
    }
}

/// What a job's steps share.
pub struct Controller {
    client: Client,
    settings: Settings,
    queues: Queues,
    recorder: report::Recorder,
    metrics: Metrics,
    memory: Mutex<HashMap<String, Memory>>,
    began: Instant,
}

/// What is remembered of a job.
#[derive(Debug, Default)]
struct Memory {
    history: History,
    /// The proof that the history is about: after each, emptiness must show itself anew.
    place: Option<Place>,
    last: Option<Look>,
    failures: u32,
}

/// The last look at a queue.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    generation: Option<i64>,
    depth: Option<Depth>,
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
            recorder: report::recorder(&client, settings.instance.clone()),
            client,
            settings,
            queues,
            metrics,
            memory: Mutex::default(),
            began: Instant::now(),
        }
    }

    /// Takes a job as far as it can go now. Returns when to look again, where nothing that is watched may change.
    pub async fn reconcile(&self, namespace: &str, name: &str) -> Result<Option<Duration>, Error> {
        // Many calls wait inside: on the heap, not in each of the steps that may run at once.
        Box::pin(self.advance(namespace, name)).await
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
                Next::MakeQueue => facts.queue = self.queues.make(&job).await,
                Next::LookAtQueue => facts.queue = self.queues.look(&job).await,
                Next::Mark(status) => {
                    self.write(&job, &status, Vec::new()).await?;
                    return Ok(Some(AT_ONCE));
                }
                Next::RemoveQueue(queue) => {
                    let removed = self.queues.remove(&job, &queue).await;
                    let url = queue.url.clone();
                    removed.map_err(|source| Error::Queue { url, source })?;
                    let mut draft = Draft::new(job.status.as_ref(), job.metadata.generation, facts.now);
                    draft.status.queue = None;
                    self.write(&job, &draft.status, Vec::new()).await?;
                    return Ok(Some(AT_ONCE));
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
        report::publish(&self.recorder, job, &events).await;
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
            .and_then(|memory| memory.last.filter(|_| memory.place == Some(place)))
            .filter(|last| last.at.elapsed() < current && last.generation == job.metadata.generation);
        let look = match last {
            Some(last) => last,
            None => self.ask(job, &queue.url, facts).await,
        };
        facts.depth = look.depth;
        facts.decision = Some(look.decision);
        if let Some(memory) = self.memory().get(&uid) {
            facts.idle = memory.history.is_idle(self.settings.idle_for);
            facts.lasts = memory.history.lasts(self.began.elapsed());
        }
    }

    /// Asks a job's queue, lets the scaler decide, and remembers both.
    async fn ask(&self, job: &IngestJob, queue_url: &str, facts: &Facts) -> Look {
        let asked = self.queues.depth(job, queue_url).await;
        self.metrics.asked(asked.is_ok());
        let depth = match asked {
            Ok(depth) => Some(depth),
            Err(error) => {
                tracing::warn!(job = job.name_any(), %error, "cannot ask the queue for its depth");
                None
            }
        };
        let live = facts.workers.as_ref().and_then(|workers| workers.spec.as_ref());
        let discovered = job
            .status
            .as_ref()
            .is_some_and(|status| status::holds(status, status::DISCOVERED));
        let inputs = Inputs {
            depth,
            replicas: live
                .and_then(|spec| spec.replicas)
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(0),
            busy: None,
            discovering: !discovered,
            saturated: matches!(facts.trouble, Some(Trouble::Refused { .. })),
        };
        let place = Place::of(job);
        let mut memory = self.memory();
        let memory = memory.entry(job.uid().unwrap_or_default()).or_default();
        if memory.place != Some(place) {
            memory.history.clear();
            memory.place = Some(place);
        }
        let idle_for = self.settings.idle_for;
        let decision = scaler::decide(&mut memory.history, inputs, wishes(job), idle_for, self.began.elapsed());
        self.metrics.decided(inputs.replicas, decision.replicas);
        let look = Look {
            at: Instant::now(),
            generation: job.metadata.generation,
            depth,
            decision,
        };
        memory.last = Some(look);
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

/// What the job says of the number of workers, with the schema's defaults.
fn wishes(job: &IngestJob) -> Wishes {
    let defaults = Wishes::default();
    let workers = job.spec.workers.clone().unwrap_or_default();
    let scaling = workers.scaling.as_ref();
    let after = scaling.and_then(|scaling| scaling.scale_down_after_seconds);
    Wishes {
        min: workers.min.unwrap_or(defaults.min),
        max: workers.max.unwrap_or(defaults.max),
        items_per_worker: scaling
            .and_then(|scaling| scaling.items_per_worker)
            .unwrap_or(defaults.items_per_worker)
            .max(1),
        scale_down_after: after.map_or(defaults.scale_down_after, |seconds| Duration::from_secs(seconds.into())),
        fixed: workers.replicas,
    }
}
