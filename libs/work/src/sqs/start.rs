//! The start-up check: is the queue there, may we use it, how long do its leases hold, where do its dead letters go?
//!
//! It answers before anything is listed or leased, and says what to do where something is missing. It needs the
//! permissions `sqs:GetQueueAttributes`, on the dead-letter queue too, and `sqs:GetQueueUrl` where only the redrive policy
//! names that one; a source then needs `sqs:ReceiveMessage`, `sqs:ChangeMessageVisibility` and `sqs:DeleteMessage`, and
//! `sqs:SendMessage` on the dead-letter queue; a sink needs `sqs:SendMessage`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_sqs::types::QueueAttributeName;
use serde::Deserialize;
use tokio::sync::watch;

use super::{Inner, Options, Role, SqsQueue, address::Address, client, fault};
use crate::queue::Error;

type Attributes = HashMap<QueueAttributeName, String>;

/// What decides where dead letters go ("Using dead-letter queues in Amazon SQS" in its developer guide).
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
}

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
        if role == Role::Source {
            inner.dead_letter_url = Some(inner.find_dead_letter_queue(&attributes).await?);
        }
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl Inner {
    /// The dead-letter queue, which must be there.
    async fn find_dead_letter_queue(&self, attributes: &Attributes) -> Result<String, Error> {
        let url = &self.options.url;
        let policy = attributes.get(&QueueAttributeName::RedrivePolicy);
        let dead_letter_url = match (&self.options.dead_letter_url, policy) {
            (Some(given), policy) => {
                if policy.is_none() {
                    tracing::warn!(
                        "{url} has no redrive policy: an item that kills its worker comes back for ever, \
                         set one with a maxReceiveCount"
                    );
                }
                given.clone()
            }
            (None, Some(policy)) => {
                let (account, name) = target(policy).map_err(|reason| Error::Refused {
                    reason: format!("the redrive policy of {url} {reason}"),
                })?;
                self.url_of(&account, &name).await?
            }
            (None, None) => {
                return Err(Error::Refused {
                    reason: format!(
                        "{url} has no redrive policy, so that what is given up would be lost: give it one, \
                         or name a queue with --sqs-dead-letter-queue-url"
                    ),
                });
            }
        };
        if dead_letter_url == *url {
            return Err(Error::Refused {
                reason: format!("{url} is its own dead-letter queue: what is given up would come back"),
            });
        }
        let names = [QueueAttributeName::QueueArn];
        match self.attributes(&dead_letter_url, &names).await {
            Ok(_) => Ok(dead_letter_url),
            Err(Error::Refused { reason }) => Err(Error::Refused {
                reason: format!("the dead-letter queue of {url} can't be used: {reason}"),
            }),
            Err(error) => Err(error),
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

/// Account and name of the queue that a redrive policy names.
fn target(policy: &str) -> Result<(String, String), String> {
    let policy: RedrivePolicy =
        serde_json::from_str(policy).map_err(|error| format!("can't be read: {error}: {policy}"))?;
    let arn = policy.dead_letter_target_arn;
    match arn.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "sqs", _, account, name] if !account.is_empty() && !name.is_empty() => {
            Ok((account.to_owned(), name.to_owned()))
        }
        _ => Err(format!("names no queue: {arn}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrive_policy_names_account_and_queue_or_is_refused() {
        let arn = r#"{"deadLetterTargetArn":"arn:aws-cn:sqs:cn-north-1:123456789012:jobs-dead","maxReceiveCount":"3"}"#;
        assert_eq!(target(arn), Ok(("123456789012".to_owned(), "jobs-dead".to_owned())));
        for wrong in ["", "{}", r#"{"deadLetterTargetArn":"jobs-dead","maxReceiveCount":3}"#] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
