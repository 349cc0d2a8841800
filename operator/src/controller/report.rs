//! What people are told besides the status: an event for every turn of a job's life that somebody cares about. Pure, but for
//! the publishing, which is in `teller`.

mod teller;

use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

pub(super) use self::teller::Teller;

use super::status;
use crate::crd::{IngestJobStatus, Phase};

/// The longest note that the API server takes, in bytes.
const NOTE_BYTES_MAX: usize = 1024;

/// Who publishes events; `instance` is this process' pod.
pub fn recorder(client: &Client, instance: Option<String>) -> Recorder {
    let reporter = Reporter {
        controller: "pf-operator".to_owned(),
        instance,
    };
    Recorder::new(client.clone(), reporter)
}

/// What happened between two statuses.
pub(super) fn events(last: Option<&IngestJobStatus>, now: &IngestJobStatus) -> Vec<Event> {
    let nothing = IngestJobStatus::default();
    let last = last.unwrap_or(&nothing);
    let mut events = Vec::new();
    if now.phase != last.phase
        && let Some(phase) = now.phase
    {
        let ready = condition(now, status::READY);
        let kind = match phase {
            Phase::Failed | Phase::CompleteWithFailures => EventType::Warning,
            // Complete, and yet there is something to be said about it.
            Phase::Complete if ready.is_some_and(|ready| ready.reason != "Complete") => EventType::Warning,
            _ => EventType::Normal,
        };
        let note = ready.map_or(String::new(), |ready| ready.message.clone());
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
