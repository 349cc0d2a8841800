//! Dead letters: how they are kept in the dead-letter queue, and how they are read there.
//!
//! A letter's body is what was given up, as it came, so that a queue's own redrive brings it back unchanged. Why, by whom
//! and what it was is in message attributes, which redrive leaves out. What the redrive policy itself moved has none.

use std::{collections::HashMap, time::Duration};

use aws_sdk_sqs::types::{Message, MessageAttributeValue, QueueAttributeName};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::{
    Inner, Options, SqsQueue,
    batch::{BYTES_MAX, Deed, ENTRIES_MAX},
    body_of, fault,
    message::{self, Content},
    seconds,
};
use crate::{WorkItem, queue::Error};

/// The longest text of an attribute. Reasons may quote an object's key, which has up to a kilobyte.
const ATTRIBUTE_BYTES_MAX: usize = 2048;

/// How long letters are out of sight while they are read. A reader that dies blinds the next one for so long at most; in it
/// more are read than anybody asks for.
const READING: Duration = Duration::from_mins(1);

/// How long a reader waits at first for letters that are out of sight: others read them, or died over it.
const OTHERS_MAX: Duration = Duration::from_mins(5);

/// How often it looks meanwhile.
const OTHERS_EVERY: Duration = Duration::from_secs(2);

/// Polls at the same time, each of ten letters at most.
const POLLS_AT_ONCE: usize = 8;

/// Rounds of polls in a row that find nothing new before a queue is taken to be read through.
const EMPTY_ROUNDS_MAX: u32 = 2;

/// How long each of these polls waits.
const POLL: Duration = Duration::from_secs(1);

/// What is sent to the dead-letter queue.
#[derive(Debug)]
pub(super) struct Letter {
    body: String,
    attributes: Vec<(&'static str, String)>,
}

impl Letter {
    /// A work item that was given up.
    pub(super) fn of_item(item: &WorkItem, reason: &str, worker: &str) -> Self {
        Self {
            body: body_of(item),
            attributes: vec![
                ("reason", reason.to_owned()),
                ("job", item.job.clone()),
                ("seq", item.seq.to_string()),
                ("life", item.life.clone().unwrap_or_default()),
                ("uri", item.uri.clone()),
                ("worker", worker.to_owned()),
            ],
        }
    }

    /// A message that holds no work.
    pub(super) fn of_rubbish(body: String, reason: &str, worker: &str) -> Self {
        Self {
            body,
            attributes: vec![("reason", reason.to_owned()), ("worker", worker.to_owned())],
        }
    }

    /// The attributes as SQS takes them: none empty, none with characters that it refuses, and none at all where the body
    /// leaves no room for them.
    fn attributes(&self) -> HashMap<String, MessageAttributeValue> {
        let mut bytes = self.body.len();
        let mut attributes = HashMap::new();
        for (name, text) in &self.attributes {
            let text = presentable(text);
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(&text)
                .build();
            bytes += name.len() + "String".len() + text.len();
            if let Ok(value) = value
                && !text.is_empty()
                && bytes <= BYTES_MAX
            {
                attributes.insert((*name).to_owned(), value);
            }
        }
        attributes
    }
}

/// The beginning of a text, with what SQS refuses replaced (the API reference of `SendMessage` says what it takes).
fn presentable(text: &str) -> String {
    let end = text.floor_char_boundary(ATTRIBUTE_BYTES_MAX);
    let taken = |character: char| match character {
        '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'.. => character,
        _ => '\u{FFFD}',
    };
    text[..end].chars().map(taken).collect()
}

/// What was given up, as the dead-letter queue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The item; absent where the message held none.
    pub item: Option<WorkItem>,
    /// The message's body.
    pub body: String,
    /// Why: the worker's reason, or that the redrive policy moved it.
    pub reason: String,
    /// Who gave it up; absent where the redrive policy did.
    pub worker: Option<String>,
}

/// Some dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Letters {
    /// Those that were read.
    pub letters: Vec<DeadLetter>,
    /// Whether there may be more in the queue: reading ended at its bound, or some stayed out of sight.
    pub more: bool,
}

impl SqsQueue {
    /// Reads about `count_max` letters (a round of polls may bring some more) of a dead-letter queue and leaves them there.
    ///
    /// SQS has no way to look without taking: letters are out of sight for the time of reading, and their receive counts
    /// rise. Where some are out of sight already, another reader has them or died over them: they are waited for, five minutes
    /// at most. The options' URL is that of the dead-letter queue.
    pub async fn read_dead_letters(options: Options, count_max: usize) -> Result<Letters, Error> {
        let queue = Self::connect(options, super::Role::Sink).await?;
        queue.inner.read_letters(count_max).await
    }
}

impl Inner {
    /// Sends a letter to the dead-letter queue.
    pub(super) async fn keep(&self, letter: Letter) -> Result<(), Error> {
        let Some(url) = &self.dead_letter_url else {
            return Err(Error::Refused {
                reason: format!("{} has no dead-letter queue", self.options.url),
            });
        };
        let attributes = letter.attributes();
        let call = self.client.send_message().queue_url(url).message_body(letter.body);
        let answer = call.set_message_attributes(Some(attributes)).send().await;
        answer
            .map(drop)
            .map_err(|error| fault::of_call("send a dead letter", url, &error))
    }

    async fn read_letters(&self, count_max: usize) -> Result<Letters, Error> {
        let mut read = Letters {
            more: !self.others_are_done().await?,
            ..Letters::default()
        };
        let mut handles = HashMap::new();
        let mut empty_rounds = 0;
        let outcome = loop {
            if read.letters.len() >= count_max {
                read.more = true;
                break Ok(());
            }
            let round = try_join_all((0..POLLS_AT_ONCE).map(|_| self.look())).await;
            let messages: Vec<Message> = match round {
                Ok(polls) => polls.into_iter().flatten().collect(),
                Err(error) => break Err(error),
            };
            let known = read.letters.len();
            for message in messages {
                // Reading took so long that one came into sight again, or it was there twice: its last handle is the one that holds.
                let handle = message.receipt_handle.clone();
                if handles.insert(message.message_id.clone(), handle).is_none() {
                    read.letters.push(self.letter(message));
                }
            }
            empty_rounds = if read.letters.len() == known {
                empty_rounds + 1
            } else {
                0
            };
            if empty_rounds == EMPTY_ROUNDS_MAX {
                break Ok(());
            }
        };
        let handles: Vec<String> = handles.into_values().flatten().collect();
        let seconds = 0;
        for failed in self.each(Deed::Hide { seconds }, &handles).await {
            // Lost is in sight again already.
            if failed.error != Error::LeaseLost {
                tracing::warn!("a dead letter stays out of sight for {READING:?}: {}", failed.error);
            }
        }
        outcome.map(|()| read)
    }

    /// Waits until no letter is out of sight. Whether that came to pass.
    async fn others_are_done(&self) -> Result<bool, Error> {
        let name = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let until = Instant::now() + OTHERS_MAX;
        let mut is_said = false;
        loop {
            let attributes = self.attributes(&self.options.url, std::slice::from_ref(&name)).await?;
            let hidden: u64 = attributes.get(&name).and_then(|text| text.parse().ok()).unwrap_or(0);
            if hidden == 0 {
                return Ok(true);
            }
            let url = &self.options.url;
            if Instant::now() >= until {
                tracing::warn!(
                    "{hidden} messages of {url} stayed out of sight for {OTHERS_MAX:?}, and could not be read"
                );
                return Ok(false);
            }
            if !is_said {
                tracing::info!(
                    "waiting for {hidden} messages of {url} that are out of sight: somebody reads them, or did"
                );
                is_said = true;
            }
            sleep(OTHERS_EVERY).await;
        }
    }

    /// One poll of a dead-letter queue.
    async fn look(&self) -> Result<Vec<Message>, Error> {
        let call = self
            .client
            .receive_message()
            .queue_url(&self.options.url)
            .max_number_of_messages(i32::try_from(ENTRIES_MAX).expect("ten"))
            .wait_time_seconds(seconds(POLL))
            .visibility_timeout(seconds(READING))
            .message_attribute_names("All");
        let answer = call
            .send()
            .await
            .map_err(|error| self.fault("receive messages", &error))?;
        Ok(answer.messages.unwrap_or_default())
    }

    fn letter(&self, message: Message) -> DeadLetter {
        let attributes = message.message_attributes.unwrap_or_default();
        let text = |name: &str| attributes.get(name)?.string_value.clone();
        let body = message.body.unwrap_or_default();
        let item = match message::read(&body, &self.options.event_job) {
            Content::Items(items) if items.len() == 1 => items.into_iter().next(),
            _ => None,
        };
        DeadLetter {
            item,
            reason: text("reason").unwrap_or_else(|| "leased too often without being settled".to_owned()),
            worker: text("worker"),
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::item;

    #[test]
    fn attributes_hold_what_sqs_takes() {
        let mut item = item(7);
        item.uri = format!("s3://b/\u{1}{}", "é".repeat(ATTRIBUTE_BYTES_MAX));
        let letter = Letter::of_item(&item, "cor\u{FFFF}rupt", "");
        let attributes = letter.attributes();
        let text = |name: &str| attributes.get(name).map(|value| value.string_value.clone().unwrap());
        assert_eq!(text("reason").unwrap(), "cor\u{FFFD}rupt");
        assert_eq!(text("seq").unwrap(), "7");
        assert_eq!(text("worker"), None, "SQS takes no empty attribute");
        let uri = text("uri").unwrap();
        assert!(
            uri.starts_with("s3://b/\u{FFFD}é") && uri.len() <= ATTRIBUTE_BYTES_MAX + 2,
            "{}",
            uri.len()
        );
    }

    #[test]
    fn a_body_that_fills_a_message_leaves_no_room_for_attributes() {
        let letter = Letter::of_rubbish("x".repeat(BYTES_MAX), "not JSON", "w");
        assert!(letter.attributes().is_empty());
    }
}
