//! What people are told besides the status: an event for every turn of a job's life that somebody cares about. Pure, but for
//! the publishing.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource as _,
    runtime::events::{self, Event, EventType, Reporter},
};

use super::status;
use crate::crd::{IngestJob, IngestJobStatus, Phase};

/// The longest note that the API server takes, in bytes.
const NOTE_BYTES_MAX: usize = 1024;

/// Who publishes events.
pub struct Recorder {
    client: Client,
    reporter: Reporter,
}

impl Recorder {
    /// Publishes an event about an object, as one of its own. kube's recorder would count it with an earlier one of the same
    /// reason, and show the note of that: why there were two workers then, and not why there are seven now.
    pub async fn publish(&self, event: &Event, about: &ObjectReference) -> Result<(), kube::Error> {
        let forgetful = events::Recorder::new(self.client.clone(), self.reporter.clone());
        forgetful.publish(event, about).await
    }
}

/// Who publishes events; `instance` is this process' pod.
pub fn recorder(client: &Client, instance: Option<String>) -> Recorder {
    Recorder {
        client: client.clone(),
        reporter: Reporter {
            controller: "pf-operator".to_owned(),
            instance,
        },
    }
}

/// What happened between two statuses.
pub(super) fn events(last: Option<&IngestJobStatus>, now: &IngestJobStatus) -> Vec<Event> {
    let nothing = IngestJobStatus::default();
    let last = last.unwrap_or(&nothing);
    let mut events = Vec::new();
    if now.phase != last.phase
        && let Some(phase) = now.phase
    {
        let kind = match phase {
            Phase::Failed | Phase::CompleteWithFailures => EventType::Warning,
            _ => EventType::Normal,
        };
        let note = condition(now, status::READY).map_or(String::new(), |ready| ready.message.clone());
        events.push(event(kind, &format!("{phase:?}"), "Advance", note));
    }
    let stalled = condition(now, status::STALLED);
    let was_stalled = condition(last, status::STALLED);
    if let Some(stalled) = stalled
        && was_stalled.is_none_or(|was| was.message != stalled.message)
        && now.phase != Some(Phase::Failed)
    {
        events.push(event(
            EventType::Warning,
            &stalled.reason,
            "Wait",
            stalled.message.clone(),
        ));
    }
    if let Some(proofs) = now.run.as_ref().map(|run| run.incomplete_proofs)
        && proofs > last.run.as_ref().map_or(0, |run| run.incomplete_proofs)
    {
        let note = "work items were missing, and are offered again".to_owned();
        events.push(event(EventType::Warning, "Incomplete", "Redrive", note));
    }
    events
}

/// That the number of workers was set, and why.
pub(super) fn scaled(status: &IngestJobStatus) -> Event {
    let note = status.scaling.clone().unwrap_or_default();
    event(EventType::Normal, "Scaled", "Scale", note)
}

/// Publishes events. One that can't be published is logged: an event is never worth a job's progress.
pub(super) async fn publish(recorder: &Recorder, job: &IngestJob, events: &[Event]) {
    for event in events {
        if let Err(error) = recorder.publish(event, &job.object_ref(&())).await {
            tracing::warn!(%error, reason = event.reason, "cannot publish an event");
        }
    }
}

fn condition<'a>(
    status: &'a IngestJobStatus,
    kind: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

fn event(kind: EventType, reason: &str, action: &str, mut note: String) -> Event {
    note.truncate(note.floor_char_boundary(NOTE_BYTES_MAX));
    Event {
        type_: kind,
        reason: reason.to_owned(),
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    }
}
