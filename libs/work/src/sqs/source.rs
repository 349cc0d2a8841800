//! Leasing: receive, hold, extend, settle.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_sqs::{
    config::Builder,
    types::{Message, MessageSystemAttributeName},
};
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use super::{
    Inner, SqsQueue,
    batch::{Deed, ENTRIES_MAX},
    body_of, client,
    held::{Fate, Verdict, handle_of},
    letters::Letter,
    message::{self, Content},
    seconds,
};
use crate::{
    Lease, WorkItem, WorkSource,
    queue::{Error, Failed, Receipt},
};

/// The longest that a new message can be delayed (SQS' bound).
const SEND_DELAY_MAX: Duration = Duration::from_mins(15);

/// How long a message that holds no work stays out of sight where there is no queue for dead letters.
const RUBBISH_AGAIN: Duration = Duration::from_mins(15);

/// How long what was received for nobody stays out of sight where it can't be sent anew: as long as other polls of this
/// process may still wait, which would receive it again, and count.
const GIVE_BACK_DELAY: Duration = Duration::from_secs(20);

/// The longest that a server waits for messages (SQS' bound).
const POLL_MAX: Duration = Duration::from_secs(20);

#[async_trait]
impl WorkSource for SqsQueue {
    /// One poll's worth: up to ten messages, and the items of each, so that there may be more leases than asked for where
    /// notifications name several objects. `wait` is rounded up to whole seconds.
    ///
    /// Whoever drops this call while it waits loses nothing: what the poll under way receives is given back.
    async fn lease(&self, count: usize, wait: Duration) -> Result<Vec<Lease>, Error> {
        let (mut answer, answered) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        self.inner.aside(async move {
            let unclaimed = inner.poll(count, wait, &mut answer).await.map(|leases| Unclaimed {
                inner: Arc::clone(&inner),
                leases,
            });
            // Nobody there to take it: dropping it gives it back.
            answer.send(unclaimed).ok();
        });
        match answered.await {
            Ok(unclaimed) => unclaimed.map(Unclaimed::claim),
            Err(_) => Err(Error::Unavailable {
                reason: "the program is ending".to_owned(),
            }),
        }
    }

    async fn extend(&self, receipts: &[Receipt], duration: Duration) -> Result<Vec<Failed>, Error> {
        Ok(self.inner.extend(receipts, duration).await)
    }

    async fn complete(&self, receipts: &[Receipt]) -> Result<Vec<Failed>, Error> {
        Ok(self.inner.settle(receipts, Fate::Completed).await)
    }

    /// By a new message, and only then is the old one deleted; where sending is not allowed, by making the old one visible again.
    async fn release(&self, receipt: &Receipt, item: &WorkItem, delay: Duration) -> Result<(), Error> {
        self.inner.release(receipt, item, delay).await
    }

    fn keeps_dead_letters(&self) -> bool {
        self.inner.dead_letter_url.is_some()
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let known = inner.held().item(receipt);
        let Some((item, is_elsewhere)) = known else {
            return Err(Error::LeaseLost);
        };
        if !is_elsewhere {
            // What somebody else may hold by now is not ours to give up.
            only(inner.extend(std::slice::from_ref(receipt), inner.visibility).await)?;
            inner
                .keep(Letter::of_item(&item.given_up(), reason, &inner.options.worker))
                .await?;
        }
        only(inner.settle(std::slice::from_ref(receipt), Fate::DeadLettered).await)
    }
}

impl Inner {
    async fn extend(&self, receipts: &[Receipt], duration: Duration) -> Vec<Failed> {
        let asked = Instant::now();
        let deed = Deed::Hide {
            seconds: seconds(duration),
        };
        let messages = Messages::of(receipts);
        let failed = self.each(deed, &messages.handles).await;
        let mut held = self.held();
        for handle in &messages.handles {
            held.extend(handle, asked + duration);
        }
        for lost in failed.iter().filter(|failed| failed.error == Error::LeaseLost) {
            held.forget(&messages.handles[lost.index]);
        }
        messages.failed(failed)
    }

    async fn release(&self, receipt: &Receipt, item: &WorkItem, delay: Duration) -> Result<(), Error> {
        let receipts = std::slice::from_ref(receipt);
        let Some((_, is_elsewhere)) = self.held().item(receipt) else {
            return Err(Error::LeaseLost);
        };
        if !is_elsewhere {
            if !self.may_send() {
                return only(self.settle(receipts, Fate::Released { delay }).await);
            }
            // What somebody else may hold by now is not ours to give back.
            only(self.extend(receipts, self.visibility).await)?;
            match self.send_later(item, delay).await {
                Ok(()) => {}
                Err(Error::Refused { reason }) => {
                    self.give_up_sending(&reason);
                    return only(self.settle(receipts, Fate::Released { delay }).await);
                }
                Err(error) => return Err(error),
            }
        }
        only(self.settle(receipts, Fate::Resent).await)
    }

    async fn send_later(&self, item: &WorkItem, delay: Duration) -> Result<(), Error> {
        let call = self.client.send_message().queue_url(&self.options.url);
        let call = call.message_body(body_of(item));
        let call = call.delay_seconds(seconds(delay.min(SEND_DELAY_MAX)));
        let answer = call.send().await;
        answer
            .map(drop)
            .map_err(|error| self.fault("send an item anew", &error))
    }

    /// Polls until there is something to work on, `wait` is over, or nobody waits any more.
    async fn poll<T>(
        self: &Arc<Self>,
        count: usize,
        wait: Duration,
        answer: &mut oneshot::Sender<T>,
    ) -> Result<Vec<Lease>, Error> {
        let until = Instant::now() + wait;
        if count == 0 {
            return Ok(Vec::new());
        }
        loop {
            self.held().sweep(Instant::now());
            let rest = until.saturating_duration_since(Instant::now());
            let messages = self.receive(count.min(ENTRIES_MAX), rest.min(POLL_MAX)).await?;
            let deadline = Instant::now() + self.visibility;
            let leases: Vec<Lease> = messages
                .into_iter()
                .flat_map(|message| self.leases_of(message, deadline))
                .collect();
            if !leases.is_empty() || Instant::now() >= until || answer.is_closed() {
                return Ok(leases);
            }
        }
    }

    async fn receive(&self, count: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        let wait_seconds = seconds(wait);
        let wait = Duration::from_secs(wait_seconds.unsigned_abs().into());
        let call = self
            .client
            .receive_message()
            .queue_url(&self.options.url)
            .max_number_of_messages(i32::try_from(count).expect("ten at most"))
            .wait_time_seconds(wait_seconds)
            .visibility_timeout(seconds(self.visibility))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .customize()
            .config_override(Builder::new().timeout_config(client::timeouts(&self.options.patience, wait)));
        let answer = call.send().await;
        let answer = answer.map_err(|error| self.fault("receive messages", &error))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// The leases of one message's items. A message without work goes, one without sense is given up.
    fn leases_of(self: &Arc<Self>, message: Message, deadline: Instant) -> Vec<Lease> {
        let receive_count: u32 = message
            .attributes
            .as_ref()
            .and_then(|attributes| attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount))
            .and_then(|text| text.parse().ok())
            .unwrap_or(1);
        // Where items can't be sent anew, what was given back is counted too.
        let lost_leases = if self.may_send() {
            receive_count.saturating_sub(1)
        } else {
            0
        };
        // Without a handle nothing can be done about a message but to let it come again.
        let Some(handle) = message.receipt_handle else {
            return Vec::new();
        };
        let body = message.body.unwrap_or_default();
        match message::read(&body, &self.options.event_job) {
            Content::Items(items) => {
                let given = self.held().hold(&handle, items, deadline);
                let lease = |(receipt, item)| Lease {
                    item,
                    receipt,
                    receive_count,
                    lost_leases,
                    deadline,
                };
                given.into_iter().map(lease).collect()
            }
            Content::Nothing => {
                let inner = Arc::clone(self);
                self.aside(async move { inner.drop_message(handle).await });
                Vec::new()
            }
            Content::Rubbish(reason) => {
                let inner = Arc::clone(self);
                if self.dead_letter_url.is_none() {
                    self.rubbish.fetch_add(1, Ordering::Relaxed);
                    self.aside(async move { inner.put_aside(handle, &reason).await });
                    return Vec::new();
                }
                self.rubbish.fetch_add(1, Ordering::Relaxed);
                let letter = Letter::of_rubbish(body, &reason, &self.options.worker);
                self.aside(async move {
                    tracing::warn!("a message of {} is given up: {reason}", inner.options.url);
                    match inner.keep(letter).await {
                        Ok(()) => inner.drop_message(handle).await,
                        // It comes back when its lease runs out, and is tried again.
                        Err(error) => tracing::warn!("it could not be moved to the dead-letter queue: {error}"),
                    }
                });
                Vec::new()
            }
        }
    }

    /// Leaves a message that holds no work in the queue, out of the way: there is no other place for it.
    async fn put_aside(&self, handle: String, reason: &str) {
        tracing::warn!(
            "a message of {} holds no work, and stays there for want of a dead-letter queue: {reason}",
            self.options.url
        );
        let deed = Deed::Hide {
            seconds: seconds(RUBBISH_AGAIN),
        };
        if let Err(error) = only(self.each(deed, &[handle]).await) {
            tracing::warn!("it could not be put aside, and comes when its lease runs out: {error}");
        }
    }

    /// Deletes a message that is of no use. Where that fails it comes back, and is deleted then.
    async fn drop_message(&self, handle: String) {
        if let Err(error) = only(self.each(Deed::Delete, &[handle]).await) {
            tracing::warn!("a message of {} could not be deleted: {error}", self.options.url);
        }
    }

    /// Settles items, and does with their messages what then follows.
    async fn settle(&self, receipts: &[Receipt], fate: Fate) -> Vec<Failed> {
        let messages = Messages::of(receipts);
        let mut deletes = Vec::new();
        let mut releases = Vec::new();
        let mut failed = Vec::new();
        {
            let mut held = self.held();
            for (place, receipts_of) in messages.receipts.iter().enumerate() {
                // Each of them counts; what the last one says holds for the message.
                let verdicts = receipts_of.iter().map(|&index| held.settle(&receipts[index], fate));
                match verdicts.last() {
                    Some(Verdict::Delete) => deletes.push(place),
                    Some(Verdict::Release { delay }) => releases.push((place, delay)),
                    Some(Verdict::Lost) => failed.push(Failed {
                        index: place,
                        error: Error::LeaseLost,
                    }),
                    Some(Verdict::Wait) | None => {}
                }
            }
        }
        failed.extend(self.act(Deed::Delete, &messages, &deletes).await);
        while let Some(&(_, delay)) = releases.first() {
            let (same, others): (Vec<_>, Vec<_>) = releases.into_iter().partition(|(_, other)| *other == delay);
            let places: Vec<usize> = same.into_iter().map(|(place, _)| place).collect();
            let deed = Deed::Hide {
                seconds: seconds(delay),
            };
            failed.extend(self.act(deed, &messages, &places).await);
            releases = others;
        }
        messages.failed(failed)
    }

    /// Does the last deed with some of the messages, and forgets those that are gone by it.
    async fn act(&self, deed: Deed, messages: &Messages, places: &[usize]) -> Vec<Failed> {
        if places.is_empty() {
            return Vec::new();
        }
        let handles: Vec<String> = places.iter().map(|&place| messages.handles[place].clone()).collect();
        let failed = self.each(deed, &handles).await;
        let mut held = self.held();
        for (index, handle) in handles.iter().enumerate() {
            let error = failed.iter().find(|failed| failed.index == index);
            if error.is_none_or(|failed| failed.error == Error::LeaseLost) {
                held.forget(handle);
            }
        }
        failed
            .into_iter()
            .map(|Failed { index, error }| Failed {
                index: places[index],
                error,
            })
            .collect()
    }

    /// Gives back what was received for nobody.
    async fn give_back(&self, leases: Vec<Lease>) {
        let delay = if self.may_send() {
            Duration::ZERO
        } else {
            GIVE_BACK_DELAY
        };
        for lease in leases {
            if let Err(error) = self.release(&lease.receipt, &lease.given_back(), delay).await {
                tracing::warn!("an item could not be given back, and comes when its lease runs out: {error}");
            }
        }
    }
}

/// Leases on their way to whoever asked for them. Dropped on the way, they are given back.
struct Unclaimed {
    inner: Arc<Inner>,
    leases: Vec<Lease>,
}

impl Unclaimed {
    fn claim(mut self) -> Vec<Lease> {
        std::mem::take(&mut self.leases)
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let leases = std::mem::take(&mut self.leases);
        // Without a runtime the program has ended, and the leases run out.
        if !leases.is_empty() && Handle::try_current().is_ok() {
            let inner = Arc::clone(&self.inner);
            self.inner.aside(async move { inner.give_back(leases).await });
        }
    }
}

/// The messages that a call's receipts are of, each once.
struct Messages {
    handles: Vec<String>,
    /// For each handle, the places of its receipts in the call.
    receipts: Vec<Vec<usize>>,
    /// The places of receipts that no queue of this kind gave.
    foreign: Vec<usize>,
}

impl Messages {
    fn of(receipts: &[Receipt]) -> Self {
        let mut messages = Self {
            handles: Vec::new(),
            receipts: Vec::new(),
            foreign: Vec::new(),
        };
        let mut places = std::collections::HashMap::new();
        for (index, receipt) in receipts.iter().enumerate() {
            let Some(handle) = handle_of(receipt) else {
                messages.foreign.push(index);
                continue;
            };
            let place = *places.entry(handle).or_insert(messages.handles.len());
            if place == messages.handles.len() {
                messages.handles.push(handle.to_owned());
                messages.receipts.push(Vec::new());
            }
            messages.receipts[place].push(index);
        }
        messages
    }

    /// What failed, by receipt instead of by message.
    fn failed(&self, failed: Vec<Failed>) -> Vec<Failed> {
        let of_messages = failed.into_iter().flat_map(|Failed { index, error }| {
            let receipts = &self.receipts[index];
            receipts.iter().map(move |&index| Failed {
                index,
                error: error.clone(),
            })
        });
        let foreign = self.foreign.iter().map(|&index| Failed {
            index,
            error: Error::LeaseLost,
        });
        let mut failed: Vec<Failed> = of_messages.chain(foreign).collect();
        failed.sort_by_key(|failed| failed.index);
        failed
    }
}

/// The result of a call with one entry.
fn only(failed: Vec<Failed>) -> Result<(), Error> {
    match failed.into_iter().next() {
        Some(Failed { error, .. }) => Err(error),
        None => Ok(()),
    }
}
