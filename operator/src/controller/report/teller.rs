//! Publishes events. kube's recorder takes two of the same reason for one that happened twice, and keeps what the first one
//! said; here, only those that say the same are one.

use std::{
    collections::HashMap,
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

use kube::{
    Client, Resource as _, ResourceExt as _,
    runtime::events::{Event, Recorder},
};

use crate::crd::IngestJob;

/// How long an event is known, so that it is counted when it happens again; a recorder knows it as long.
const KNOWN_FOR: Duration = Duration::from_mins(6);

/// Publishes events of jobs.
pub(in crate::controller) struct Teller {
    client: Client,
    instance: Option<String>,
    known: Mutex<HashMap<Saying, (Recorder, Instant)>>,
}

/// The uid of a job, and what was said of it.
type Saying = (String, Option<String>);

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl Teller {
    /// `instance` is this process' pod.
    pub(in crate::controller) fn new(client: Client, instance: Option<String>) -> Self {
        Self {
            client,
            instance,
            known: Mutex::default(),
        }
    }

    /// Publishes events. One that can't be published is logged: an event is never worth a job's progress.
    pub(in crate::controller) async fn publish(&self, job: &IngestJob, events: &[Event]) {
        for event in events {
            let recorder = self.recorder((job.uid().unwrap_or_default(), event.note.clone()));
            if let Err(error) = recorder.publish(event, &job.object_ref(&())).await {
                tracing::warn!(%error, reason = event.reason, "cannot publish an event");
            }
        }
    }

    fn recorder(&self, saying: Saying) -> Recorder {
        let now = Instant::now();
        let mut known = self.known.lock().expect("no holder of this lock panics");
        known.retain(|_, (_, said)| now.duration_since(*said) < KNOWN_FOR);
        let new = || (super::recorder(&self.client, self.instance.clone()), now);
        let (recorder, said) = known.entry(saying).or_insert_with(new);
        *said = now;
        recorder.clone()
    }
}
