//! Queues as things that are made and removed, which is the business of who owns a job and of nobody who works on it.
//!
//! It needs `sqs:CreateQueue`, `sqs:TagQueue`, `sqs:GetQueueAttributes` and `sqs:DeleteQueue`. Every call here can be made
//! again: a queue that is there as it was wished for is as good as one that was made, one that is gone as one that was removed.

use std::{collections::HashMap, time::Duration};

use aws_sdk_sqs::{Client, error::ProvideErrorMetadata as _, types::QueueAttributeName};

use super::{Identity, Options, Patience, address::Address, client, fault, seconds};
use crate::queue::Error;

/// The longest that SQS keeps a message ("Amazon SQS message quotas" in its developer guide): a job may rest for days.
const RETENTION: Duration = Duration::from_hours(14 * 24);

/// How to reach the server; cheap to clone.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
}

/// The queue that is wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Its name; that of its dead-letter queue has `-dead` at the end. SQS takes 80 letters, digits, `-` and `_`.
    pub name: String,
    /// How long a lease holds unless it is extended, in whole seconds up to twelve hours.
    pub visibility: Duration,
    /// How often a message is received before it is moved to the dead-letter queue.
    pub receives_max: u32,
    /// Who owns it, for people who look at the account.
    pub tags: HashMap<String, String>,
}

/// A queue that was made, and the one that was made for its dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The queue's URL.
    pub url: String,
    /// Its dead-letter queue's URL.
    pub dead_letter_url: String,
}

impl Admin {
    /// Gets ready to ask AWS in a region, or an SQS-compatible server. Without a region, the environment's is taken. Nothing
    /// is asked yet.
    pub async fn new(region: Option<String>, endpoint: Option<String>, patience: Patience, identity: Identity) -> Self {
        let address = Address { region, endpoint };
        let options = Options {
            // Only an address is needed to connect, and there is none of a queue yet.
            identity,
            patience,
            ..Options::new("")
        };
        Self {
            client: client::connect(&options, &address).await,
        }
    }

    /// Makes a queue with a dead-letter queue, or finds them as they were made before.
    pub async fn make(&self, wish: &Wish) -> Result<Made, Error> {
        let dead_name = format!("{}-dead", wish.name);
        let retention = (
            QueueAttributeName::MessageRetentionPeriod,
            RETENTION.as_secs().to_string(),
        );
        let dead_letter_url = self
            .create(&dead_name, HashMap::from([retention.clone()]), wish)
            .await?;
        let arn = self.arn(&dead_letter_url).await?;
        let policy = serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": wish.receives_max.to_string()});
        let attributes = HashMap::from([
            retention,
            (
                QueueAttributeName::VisibilityTimeout,
                seconds(wish.visibility).to_string(),
            ),
            (QueueAttributeName::RedrivePolicy, policy.to_string()),
        ]);
        let url = self.create(&wish.name, attributes, wish).await?;
        Ok(Made { url, dead_letter_url })
    }

    /// Removes a queue, if it is there.
    pub async fn remove(&self, url: &str) -> Result<(), Error> {
        match self.client.delete_queue().queue_url(url).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code().is_some_and(fault::is_missing) => Ok(()),
            Err(error) => Err(fault::of_call("remove the queue", url, &error)),
        }
    }

    async fn create(
        &self,
        name: &str,
        attributes: HashMap<QueueAttributeName, String>,
        wish: &Wish,
    ) -> Result<String, Error> {
        let call = self.client.create_queue().queue_name(name);
        let call = call.set_attributes(Some(attributes)).set_tags(Some(wish.tags.clone()));
        let made = call.send().await;
        let made = made.map_err(|error| fault::of_call("make the queue", name, &error))?;
        made.queue_url.ok_or_else(|| Error::Unavailable {
            reason: format!("the server made {name} and does not say where"),
        })
    }

    async fn arn(&self, url: &str) -> Result<String, Error> {
        let call = self.client.get_queue_attributes().queue_url(url);
        let answer = call.attribute_names(QueueAttributeName::QueueArn).send().await;
        let answer = answer.map_err(|error| fault::of_call("read the attributes", url, &error))?;
        let arn = answer
            .attributes
            .and_then(|mut attributes| attributes.remove(&QueueAttributeName::QueueArn));
        arn.ok_or_else(|| Error::Unavailable {
            reason: format!("{url} does not say what its ARN is"),
        })
    }
}
