//! The queue between machines: Amazon SQS, and servers that speak its API.
//!
//! [`SqsQueue`] keeps the contract of [`crate::queue`] with messages whose bodies are work items. It also takes S3's
//! notifications of new objects for work. What is neither is moved to the dead-letter queue, with the reason, so that it
//! never comes back again and again.
//!
//! `message` reads bodies, `held` knows which items of a message are settled, `batch` makes calls on several entries,
//! `start` checks the queue before anything is done and `permissions` what we may do, `letters` keeps dead letters and reads them, `identity` says who signs,
//! `fault` makes sense of errors. Only this room knows the SQS SDK.

mod address;
pub mod admin;
mod batch;
mod client;
mod fault;
mod held;
mod identity;
mod letters;
mod message;
mod permissions;
mod source;
mod start;

use std::{
    error::Error as StdError,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::QueueAttributeName,
};
use tokio::sync::watch;

use self::{batch::Deed, held::Held};
use crate::{
    WorkItem, WorkSink,
    queue::{Depth, Error, Failed},
};

pub use self::{
    batch::CALLS_IN_FLIGHT_MAX,
    identity::{AccessKey, AssumedRole, Identity},
    letters::{DeadLetter, Letters},
};

/// How to reach a queue.
#[derive(Debug, Clone)]
pub struct Options {
    /// The queue's URL. Its region is the host's if that is one of AWS' own.
    pub url: String,
    /// Address of an SQS-compatible server; absent: the host of the URL.
    pub endpoint: Option<String>,
    /// Region where the URL names none; from the environment or profile when absent, else `us-east-1`.
    pub region: Option<String>,
    /// As whom requests are signed.
    pub identity: Identity,
    /// How long a lease holds unless it is extended, in whole seconds up to twelve hours; absent: as the queue says.
    pub visibility: Option<Duration>,
    /// Where dead letters go; absent: the queue that the redrive policy names.
    pub dead_letter_url: Option<String>,
    /// Who dead-letters, for people who look at dead letters: a host's or a pod's name.
    pub worker: String,
    /// The job that objects of S3's notifications belong to.
    pub event_job: String,
    /// How long to wait and how often to try.
    pub patience: Patience,
}

impl Options {
    /// The queue at `url`, all else by default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            endpoint: None,
            region: None,
            identity: Identity::default(),
            visibility: None,
            dead_letter_url: None,
            worker: String::new(),
            event_job: "events".to_owned(),
            patience: Patience::default(),
        }
    }

    /// Looks at what can be judged without asking the server; the error says what is wrong and with which URL.
    pub fn check(&self) -> Result<(), String> {
        for url in [Some(&self.url), self.dead_letter_url.as_ref()].into_iter().flatten() {
            address::Address::of(url)?;
        }
        if self.dead_letter_url.as_ref() == Some(&self.url) {
            return Err("a queue can't be its own dead-letter queue: what was given up would come back".to_owned());
        }
        if let Some(visibility) = self.visibility
            && !(Duration::from_secs(1)..=VISIBILITY_MAX).contains(&visibility)
        {
            return Err(format!(
                "a lease of {visibility:?} is not between one second and twelve hours"
            ));
        }
        Ok(())
    }
}

/// How long to wait for a server, and how often to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// For a connection to stand.
    pub connect_max: Duration,
    /// For the answer to one attempt, beside the time that the server was asked to wait for messages.
    pub answer_max: Duration,
    /// How often one call is sent in all, and how often one entry of a call on several.
    pub attempts_max: u32,
    /// The longest pause before the second attempt; it doubles with each attempt, and a random part of it is taken.
    pub backoff_min: Duration,
    /// What the longest pause never exceeds.
    pub backoff_max: Duration,
}

impl Default for Patience {
    /// SQS answers within tens of milliseconds. Trouble of some seconds is bridged; longer trouble is the caller's to
    /// know, who may have leases to keep.
    fn default() -> Self {
        Self {
            connect_max: Duration::from_secs(5),
            answer_max: Duration::from_secs(10),
            attempts_max: 6,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
        }
    }
}

/// What a queue is connected for, which decides what must be in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To offer items.
    Sink,
    /// To lease and settle them.
    Source,
    /// To look whether others can lease and settle them: nothing but attributes is asked for.
    Overseer,
}

/// The longest that a message can be invisible, and the longest delay (SQS' bound).
pub const VISIBILITY_MAX: Duration = Duration::from_hours(12);

/// A queue on SQS; cheap to clone.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    options: Options,
    /// As given, or as the queue says.
    visibility: Duration,
    /// As given, or as the redrive policy says; none: there is no place for dead letters.
    dead_letter_url: Option<String>,
    /// How often a message is received before the redrive policy moves it.
    receives_max: Option<u32>,
    /// Whether what is given back can be sent anew. If not it is made visible again, which the redrive policy counts.
    may_send: AtomicBool,
    /// Messages that hold no work: nobody knows what was meant.
    rubbish: AtomicU64,
    held: Mutex<Held>,
    /// How many tasks work behind the callers' backs: polls that nobody waits for any more, rubbish on its way.
    busy: watch::Sender<usize>,
}

impl SqsQueue {
    /// The queue's URL.
    pub fn url(&self) -> &str {
        &self.inner.options.url
    }

    /// How long leases of this queue hold unless they are extended.
    pub fn visibility(&self) -> Duration {
        self.inner.visibility
    }

    /// The dead-letter queue's URL.
    pub fn dead_letter_url(&self) -> Option<&str> {
        self.inner.dead_letter_url.as_deref()
    }

    /// How often a message is received before the redrive policy moves it; none without such a policy.
    pub fn receives_max(&self) -> Option<u32> {
        self.inner.receives_max
    }

    /// How much is in the queue. SQS' counters are approximate, and lag by up to a minute: they may hint at the end of a
    /// job, never prove it.
    pub async fn depth(&self) -> Result<Depth, Error> {
        let inner = &self.inner;
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let attributes = inner.attributes(&inner.options.url, &names).await?;
        let [visible, in_flight, delayed] = names.map(|name| attributes.get(&name).and_then(|text| text.parse().ok()));
        match (visible, in_flight, delayed) {
            (Some(visible), Some(in_flight), Some(delayed)) => Ok(Depth {
                visible,
                in_flight,
                delayed,
            }),
            _ => Err(Error::Unavailable {
                reason: format!("{} does not say how many messages it has", inner.options.url),
            }),
        }
    }

    /// How many messages were received that hold no work that can be read; each is given up, or put aside where there is no
    /// dead-letter queue.
    pub fn rubbish(&self) -> u64 {
        self.inner.rubbish.load(Ordering::Relaxed)
    }

    /// Waits until no poll is under way whose [`lease`](crate::WorkSource::lease) was dropped, and what such a poll
    /// received is given back. A worker that is asked to stop drops its polls, and calls this before it exits; it takes
    /// at most as long as the polls would have taken.
    pub async fn quiet(&self) {
        let mut busy = self.inner.busy.subscribe();
        // The sender lives as long as we do.
        busy.wait_for(|count| *count == 0).await.ok();
    }
}

impl Inner {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no holder of this lock panics")
    }

    fn fault<E>(&self, action: &str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        fault::of_call(action, &self.options.url, error)
    }

    /// Whether what is given back can be sent anew, as far as is known.
    fn may_send(&self) -> bool {
        self.may_send.load(Ordering::Relaxed)
    }

    /// From now on nothing is sent anew. Said once.
    fn give_up_sending(&self, reason: &str) {
        if self.may_send.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                "items that are given back cannot be sent anew, so each time counts as a receive for the redrive policy: \
                 allow sqs:SendMessage on {}: {reason}",
                self.options.url
            );
        }
    }

    /// Runs a task that nobody waits for but [`SqsQueue::quiet`].
    fn aside(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let inner = Arc::clone(self);
        inner.busy.send_modify(|count| *count += 1);
        tokio::spawn(async move {
            task.await;
            inner.busy.send_modify(|count| *count -= 1);
        });
    }
}

#[async_trait]
impl WorkSink for SqsQueue {
    /// Any number of items: they are sent ten at a time, with up to [`CALLS_IN_FLIGHT_MAX`] calls in flight.
    async fn offer(&self, items: &[WorkItem]) -> Result<Vec<Failed>, Error> {
        let bodies: Vec<String> = items.iter().map(body_of).collect();
        let failed = self.inner.each(Deed::Send, &bodies).await;
        // Nothing was taken, and the reason is the same for all: it is the queue, not the items.
        match failed.first() {
            Some(first)
                if failed.len() == items.len()
                    && !matches!(first.error, Error::LeaseLost)
                    && failed.iter().all(|other| other.error == first.error) =>
            {
                Err(first.error.clone())
            }
            _ => Ok(failed),
        }
    }
}

/// An item as a message's body. JSON may hold two characters that SQS refuses; JSON can also write them in ASCII.
fn body_of(item: &WorkItem) -> String {
    let json = item.to_json();
    if json.contains(['\u{FFFE}', '\u{FFFF}']) {
        json.replace('\u{FFFE}', "\\ufffe").replace('\u{FFFF}', "\\uffff")
    } else {
        json
    }
}

/// In whole seconds, as SQS has it, rounded up and within its bounds.
fn seconds(duration: Duration) -> i32 {
    let whole = duration.min(VISIBILITY_MAX).as_millis().div_ceil(1000);
    i32::try_from(whole).expect("twelve hours are few seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_sqs_refuses_travel_in_ascii() {
        let mut item = crate::contract::item(1);
        item.uri = "s3://b/\u{FFFE}\u{FFFF}\u{1}é".to_owned();
        let body = body_of(&item);
        assert!(body.contains("\\ufffe\\uffff\\u0001é"), "{body}");
        assert_eq!(WorkItem::from_json(&body).unwrap(), item);
    }

    #[test]
    fn times_are_whole_seconds_that_are_never_too_short_or_too_long() {
        for (millis, whole) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (u64::MAX, 43_200)] {
            assert_eq!(seconds(Duration::from_millis(millis)), whole);
        }
    }

    #[test]
    fn options_that_cannot_work_are_refused_before_anything_is_asked() {
        let good = Options::new("http://localhost:9324/0/jobs");
        assert_eq!(good.check(), Ok(()));
        for bad in [
            Options::new("jobs"),
            Options {
                dead_letter_url: Some(good.url.clone()),
                ..good.clone()
            },
            Options {
                visibility: Some(Duration::from_millis(999)),
                ..good.clone()
            },
            Options {
                visibility: Some(VISIBILITY_MAX + Duration::from_secs(1)),
                ..good.clone()
            },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
