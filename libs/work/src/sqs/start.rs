//! The start-up check: is the queue there, may we use it, how long do its leases hold, where do its dead letters go?
//!
//! It answers before anything is listed or leased, and says what to do where something is missing. It needs the
//! permissions `sqs:GetQueueAttributes`, on the dead-letter queue too, and `sqs:GetQueueUrl` where only the redrive policy
//! names that one; that is all for an overseer; a source then needs `sqs:ReceiveMessage`, `sqs:ChangeMessageVisibility` and `sqs:DeleteMessage`, and
//! `sqs:SendMessage` on both queues; a sink needs `sqs:SendMessage`. What a source needs is tried, by calls that change nothing:
//! the handle that they name is made up, and the batch that they send is empty. `permissions` does that.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use aws_sdk_sqs::types::QueueAttributeName;
use serde::Deserialize;
use tokio::sync::watch;

use super::{Inner, Options, Role, SqsQueue, address::Address, client, fault};
use crate::{queue::Error, settle::TRIES_MAX};

type Attributes = HashMap<QueueAttributeName, String>;

/// What decides where dead letters go ("Using dead-letter queues in Amazon SQS" in its developer guide).
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
    /// AWS writes a number, some of its imitations a text.
    #[serde(default)]
    max_receive_count: serde_json::Value,
}

impl RedrivePolicy {
    fn of(attributes: &Attributes) -> Option<Result<Self, String>> {
        let text = attributes.get(&QueueAttributeName::RedrivePolicy)?;
        Some(serde_json::from_str(text).map_err(|error| format!("can't be read: {error}: {text}")))
    }

    fn receives_max(&self) -> Option<u32> {
        match &self.max_receive_count {
            serde_json::Value::String(text) => text.parse().ok(),
            count => count.as_u64().and_then(|count| u32::try_from(count).ok()),
        }
    }
}

/// With fewer receives than this, the end of one worker may give up what only waited there.
const RECEIVES_ENOUGH: u32 = 3;

impl SqsQueue {
    /// Connects to a queue and checks that it can be used: [`Error::Refused`] says what is wrong or missing,
    /// [`Error::Unavailable`] that the server can't be reached.
    pub async fn connect(options: Options, role: Role) -> Result<Self, Error> {
        options.check().map_err(|reason| Error::Refused { reason })?;
        let address = Address::of(&options.url).map_err(|reason| Error::Refused { reason })?;
        let client = client::connect(&options, &address).await;
        let mut inner = Inner {
            client,
            visibility: Duration::ZERO,
            dead_letter_url: None,
            receives_max: None,
            may_send: AtomicBool::new(true),
            rubbish: AtomicU64::default(),
            options,
            held: Mutex::default(),
            busy: watch::Sender::new(0),
        };
        let attributes = inner.attributes(&inner.options.url, &[QueueAttributeName::All]).await?;
        inner.visibility = match inner.options.visibility {
            Some(visibility) => visibility,
            None => visibility(&attributes).ok_or_else(|| Error::Refused {
                reason: format!("{} does not say how long its leases hold", inner.options.url),
            })?,
        };
        if role != Role::Sink {
            let policy = RedrivePolicy::of(&attributes).transpose();
            let policy = policy.map_err(|reason| Error::Refused {
                reason: format!("the redrive policy of {} {reason}", inner.options.url),
            })?;
            inner.receives_max = policy.as_ref().and_then(RedrivePolicy::receives_max);
            inner.dead_letter_url = inner.find_dead_letter_queue(policy.as_ref()).await?;
        }
        if role == Role::Source {
            // Four calls at once take much room: they are on the heap, not in each future that may connect.
            Box::pin(inner.try_permissions()).await?;
            inner.say_what_is_odd();
        }
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl Inner {
    /// The dead-letter queue, which must be there if one is named.
    async fn find_dead_letter_queue(&self, policy: Option<&RedrivePolicy>) -> Result<Option<String>, Error> {
        let url = &self.options.url;
        let dead_letter_url = match (&self.options.dead_letter_url, policy) {
            (Some(given), _) => given.clone(),
            (None, Some(policy)) => {
                let (account, name) = policy.target().map_err(|reason| Error::Refused {
                    reason: format!("the redrive policy of {url} {reason}"),
                })?;
                self.url_of(&account, &name).await?
            }
            (None, None) => return Ok(None),
        };
        if dead_letter_url == *url {
            return Err(Error::Refused {
                reason: format!("{url} is its own dead-letter queue: what is given up would come back"),
            });
        }
        let names = [QueueAttributeName::QueueArn];
        match self.attributes(&dead_letter_url, &names).await {
            Ok(_) => Ok(Some(dead_letter_url)),
            Err(Error::Refused { reason }) => Err(Error::Refused {
                reason: format!("the dead-letter queue of {url} can't be used: {reason}"),
            }),
            Err(error) => Err(error),
        }
    }

    /// What can be worked with and is no good idea. Said once.
    fn say_what_is_odd(&self) {
        let url = &self.options.url;
        match (&self.dead_letter_url, self.receives_max) {
            (None, _) => tracing::warn!(
                "{url} has no redrive policy: what is given up has no queue to go to, and stays in this one, to be tried again \
                 every quarter of an hour, unless --state or --dead-letters keeps it; set a policy, or name a queue with \
                 --sqs-dead-letter-queue-url"
            ),
            (Some(_), None) => tracing::warn!(
                "{url} has no redrive policy: an item that ends each worker that reads it is given up after {TRIES_MAX} of them"
            ),
            (Some(_), Some(receives_max)) if receives_max < RECEIVES_ENOUGH => tracing::warn!(
                "the redrive policy of {url} gives an item up after {receives_max} receives: a worker that is killed may take items \
                 with it that only waited there; a maxReceiveCount of {RECEIVES_ENOUGH} or more is right"
            ),
            (Some(_), Some(_)) => {}
        }
    }

    async fn url_of(&self, account: &str, name: &str) -> Result<String, Error> {
        let call = self.client.get_queue_url().queue_name(name);
        let answer = call.queue_owner_aws_account_id(account).send().await;
        let answer = answer.map_err(|error| match fault::of_call("get the URL", name, &error) {
            Error::Refused { reason } => Error::Refused {
                reason: format!(
                    "the dead-letter queue of {} can't be used, or be named with --sqs-dead-letter-queue-url: {reason}",
                    self.options.url
                ),
            },
            error => error,
        })?;
        answer.queue_url.ok_or_else(|| Error::Unavailable {
            reason: format!("the server does not tell the URL of {name}"),
        })
    }

    /// Attributes of a queue.
    pub(super) async fn attributes(&self, url: &str, names: &[QueueAttributeName]) -> Result<Attributes, Error> {
        let call = self.client.get_queue_attributes().queue_url(url);
        let answer = call.set_attribute_names(Some(names.to_vec())).send().await;
        let answer = answer.map_err(|error| fault::of_call("get the attributes", url, &error))?;
        Ok(answer.attributes.unwrap_or_default())
    }
}

fn visibility(attributes: &Attributes) -> Option<Duration> {
    let seconds: u64 = attributes.get(&QueueAttributeName::VisibilityTimeout)?.parse().ok()?;
    // A queue of no time at all would give each message to everybody.
    Some(Duration::from_secs(seconds.max(1)))
}

impl RedrivePolicy {
    /// Account and name of the queue that it names.
    fn target(&self) -> Result<(String, String), String> {
        let arn = &self.dead_letter_target_arn;
        match arn.split(':').collect::<Vec<_>>()[..] {
            ["arn", _, "sqs", _, account, name] if !account.is_empty() && !name.is_empty() => {
                Ok((account.to_owned(), name.to_owned()))
            }
            _ => Err(format!("names no queue: {arn}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrive_policy_names_account_queue_and_count_or_is_refused() {
        let policy = |text: &str| {
            let attributes = Attributes::from([(QueueAttributeName::RedrivePolicy, text.to_owned())]);
            let policy = RedrivePolicy::of(&attributes).unwrap()?;
            policy.target().map(|target| (target, policy.receives_max()))
        };
        let arn = "arn:aws-cn:sqs:cn-north-1:123456789012:jobs-dead";
        let target = ("123456789012".to_owned(), "jobs-dead".to_owned());
        for (count, receives_max) in [("3", Some(3)), ("\"3\"", Some(3)), ("null", None), ("-1", None)] {
            let text = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{count}}}"#);
            assert_eq!(policy(&text), Ok((target.clone(), receives_max)), "{text}");
        }
        for wrong in ["", "{}", r#"{"deadLetterTargetArn":"jobs-dead","maxReceiveCount":3}"#] {
            assert!(policy(wrong).is_err(), "{wrong}");
        }
        assert!(RedrivePolicy::of(&Attributes::new()).is_none());
    }
}
