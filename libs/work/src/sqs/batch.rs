//! Calls on several entries: ten at a time, several calls in flight, each entry judged by itself.
//!
//! A call that fails whole was already tried again by the SDK. An entry that fails for a passing reason inside a call that
//! succeeded is tried again here, with pauses that double and are jittered, a bounded number of times.

use std::{ops::Range, time::Duration};

use aws_sdk_sqs::{
    error::BuildError,
    types::{
        BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
        SendMessageBatchRequestEntry,
    },
};
use futures::{StreamExt as _, stream};

use super::{Inner, Patience, fault};
use crate::queue::{Error, Failed};

/// Entries in a call: SQS' bound ("Amazon SQS message quotas" in its developer guide).
pub(super) const ENTRIES_MAX: usize = 10;

/// Bytes of the bodies in a call. AWS has taken 1 MiB since 2025; many servers still take no more than this.
pub(super) const BYTES_MAX: usize = 262_144;

/// Calls in flight at the same time for one caller. At some 20 ms a call and ten entries in each, eight thousand a second.
pub const CALLS_IN_FLIGHT_MAX: usize = 16;

/// What is done with each entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// Its text is the body of a new message.
    Send,
    /// Its text is a receipt handle, whose message stays invisible for so long from now. Zero gives it back.
    Hide {
        /// Seconds, at most twelve hours.
        seconds: i32,
    },
    /// Its text is a receipt handle, whose message goes.
    Delete,
}

impl Deed {
    fn action(self) -> &'static str {
        match self {
            Self::Send => "send messages",
            Self::Hide { .. } => "change the visibility of messages",
            Self::Delete => "delete messages",
        }
    }
}

impl Inner {
    /// Does the deed with each text, and names those that failed by their places.
    pub(super) async fn each(&self, deed: Deed, texts: &[String]) -> Vec<Failed> {
        let calls: Vec<_> = groups(texts).map(|group| self.group(deed, texts, group)).collect();
        let failed: Vec<Vec<Failed>> = stream::iter(calls)
            .buffer_unordered(CALLS_IN_FLIGHT_MAX)
            .collect()
            .await;
        let mut failed: Vec<Failed> = failed.into_iter().flatten().collect();
        failed.sort_by_key(|failed| failed.index);
        failed
    }

    /// One call's worth of entries, until each is done or given up.
    async fn group(&self, deed: Deed, texts: &[String], group: Range<usize>) -> Vec<Failed> {
        let mut places: Vec<usize> = group.collect();
        let mut given_up = Vec::new();
        for attempt in 1.. {
            let answer = self.call(deed, texts, &places).await;
            let errors = match answer {
                Ok(errors) => errors,
                Err(error) => {
                    given_up.extend(places.into_iter().map(|index| Failed {
                        index,
                        error: error.clone(),
                    }));
                    break;
                }
            };
            let may_try = attempt < self.options.patience.attempts_max;
            let (again, hopeless): (Vec<_>, Vec<_>) = errors
                .into_iter()
                .partition(|failed| may_try && matches!(failed.error, Error::Unavailable { .. }));
            given_up.extend(hopeless);
            if again.is_empty() {
                break;
            }
            places = again.into_iter().map(|failed| failed.index).collect();
            tokio::time::sleep(pause(&self.options.patience, attempt)).await;
        }
        given_up
    }

    /// One call, with the entries at `places`; says which of them failed.
    async fn call(&self, deed: Deed, texts: &[String], places: &[usize]) -> Result<Vec<Failed>, Error> {
        let entries = places.iter().map(|&place| (place.to_string(), texts[place].clone()));
        let (done, failed): (Vec<String>, Vec<BatchResultErrorEntry>) = match deed {
            Deed::Send => {
                let entries = built(entries.map(|(id, text)| {
                    let entry = SendMessageBatchRequestEntry::builder();
                    entry.id(id).message_body(text).build()
                }))?;
                let call = self.client.send_message_batch().queue_url(&self.options.url);
                let answer = call.set_entries(Some(entries)).send().await;
                let answer = answer.map_err(|error| self.fault(deed.action(), &error))?;
                (
                    answer.successful.into_iter().map(|done| done.id).collect(),
                    answer.failed,
                )
            }
            Deed::Hide { seconds } => {
                let entries = built(entries.map(|(id, text)| {
                    let entry = ChangeMessageVisibilityBatchRequestEntry::builder();
                    entry.id(id).receipt_handle(text).visibility_timeout(seconds).build()
                }))?;
                let call = self.client.change_message_visibility_batch();
                let call = call.queue_url(&self.options.url).set_entries(Some(entries));
                let answer = call.send().await;
                let answer = answer.map_err(|error| self.fault(deed.action(), &error))?;
                (
                    answer.successful.into_iter().map(|done| done.id).collect(),
                    answer.failed,
                )
            }
            Deed::Delete => {
                let entries = built(entries.map(|(id, text)| {
                    let entry = DeleteMessageBatchRequestEntry::builder();
                    entry.id(id).receipt_handle(text).build()
                }))?;
                let call = self.client.delete_message_batch().queue_url(&self.options.url);
                let answer = call.set_entries(Some(entries)).send().await;
                let answer = answer.map_err(|error| self.fault(deed.action(), &error))?;
                (
                    answer.successful.into_iter().map(|done| done.id).collect(),
                    answer.failed,
                )
            }
        };
        let judge = |&place: &usize| {
            let id = place.to_string();
            let error = match failed.iter().find(|entry| entry.id == id) {
                Some(entry) => fault::of_entry(deed.action(), &self.options.url, entry),
                None if done.contains(&id) => return None,
                // What is not named at all may or may not be done: again is right, as it is for a lost answer.
                None => Error::Unavailable {
                    reason: format!("cannot {} of {}: no word of an entry", deed.action(), self.options.url),
                },
            };
            Some(Failed { index: place, error })
        };
        Ok(places.iter().filter_map(judge).collect())
    }
}

/// All entries, of which none can lack a field.
fn built<T>(entries: impl Iterator<Item = Result<T, BuildError>>) -> Result<Vec<T>, Error> {
    entries.collect::<Result<_, _>>().map_err(|error| Error::Refused {
        reason: error.to_string(),
    })
}

/// The texts of each call, none with more entries or bytes than a call may have. One text alone may be too large: the
/// server says so.
fn groups(texts: &[String]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &texts[start..];
        let mut bytes = rest.first()?.len();
        let more = rest[1..].iter().take(ENTRIES_MAX - 1).take_while(|text| {
            bytes += text.len();
            bytes <= BYTES_MAX
        });
        let end = start + 1 + more.count();
        let group = start..end;
        start = end;
        Some(group)
    })
}

/// The pause before the next attempt: a random part of a bound that doubles ("Exponential Backoff And Jitter" in the AWS
/// Architecture Blog).
fn pause(patience: &Patience, attempt: u32) -> Duration {
    let bound = patience.backoff_min.saturating_mul(1 << (attempt - 1).min(16));
    bound.min(patience.backoff_max).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn calls_hold_every_entry_once_and_no_more_than_they_may(
            sizes in prop::collection::vec(prop_oneof![0..200_usize, 0..BYTES_MAX + 2], 0..40)
        ) {
            let texts: Vec<String> = sizes.iter().map(|&size| "x".repeat(size)).collect();
            let groups: Vec<_> = groups(&texts).collect();
            prop_assert_eq!(groups.iter().cloned().flatten().collect::<Vec<_>>(), (0..texts.len()).collect::<Vec<_>>());
            for (group, next) in groups.iter().zip(groups.iter().skip(1).map(Some).chain([None])) {
                let bytes: usize = sizes[group.clone()].iter().sum();
                prop_assert!(group.len() <= ENTRIES_MAX);
                prop_assert!(bytes <= BYTES_MAX || group.len() == 1);
                if let Some(next) = next {
                    prop_assert!(group.len() == ENTRIES_MAX || bytes + sizes[next.start] > BYTES_MAX, "it was full");
                }
            }
        }

        #[test]
        fn a_pause_is_never_longer_than_its_bounds(attempt in 1..60_u32) {
            let patience = Patience::default();
            let pause = pause(&patience, attempt);
            prop_assert!(pause <= patience.backoff_max);
            prop_assert!(pause <= patience.backoff_min * 2_u32.saturating_pow(attempt - 1));
        }
    }
}
