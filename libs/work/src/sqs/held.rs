//! The messages that this process holds: what is in them, and which of their items are settled.
//!
//! A message is leased, extended and deleted as a whole, an item is settled by itself. Most messages hold one item; a
//! notification of S3's may hold several, and its message goes only when all of them are settled. Pure: no calls, no
//! clock of its own.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{WorkItem, queue::Receipt};

/// How long a message is remembered beyond its deadline: a keeper that was late may still win it back, and a worker that
/// forgot it must not fill the memory.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);

/// Messages by their receipt handles.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: HashMap<String, Message>,
}

#[derive(Debug)]
struct Message {
    parts: Vec<Part>,
    deadline: Instant,
}

#[derive(Debug)]
struct Part {
    item: WorkItem,
    fate: Option<Fate>,
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Done.
    Completed,
    /// Kept among the dead letters.
    DeadLettered,
    /// Given back, in a message of its own.
    Resent,
    /// Given back.
    Released {
        /// How long nobody should lease it.
        delay: Duration,
    },
}

/// What follows for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet: other items of it are still worked on.
    Wait,
    /// Nothing any more: what became of its other items is not known, so that it must come again.
    Lost,
    /// All its items are done or kept elsewhere: it goes.
    Delete,
    /// At least one item was given back: the message is, after the shortest of the delays.
    Release {
        /// That delay.
        delay: Duration,
    },
}

impl Held {
    /// Takes note of a received message and gives each of its items a receipt.
    pub(super) fn hold(&mut self, handle: &str, items: Vec<WorkItem>, deadline: Instant) -> Vec<(Receipt, WorkItem)> {
        let given = items.iter().enumerate();
        let given = given
            .map(|(part, item)| (receipt(part, items.len(), handle), item.clone()))
            .collect();
        let parts = items.into_iter().map(|item| Part { item, fate: None }).collect();
        self.messages.insert(handle.to_owned(), Message { parts, deadline });
        given
    }

    /// The item that a receipt stands for, and whether another message has it already. None: the message is not held.
    pub(super) fn item(&self, receipt: &Receipt) -> Option<(WorkItem, bool)> {
        let Named { part, handle, .. } = named(receipt)?;
        let part = self.messages.get(handle)?.parts.get(part)?;
        let is_elsewhere = matches!(part.fate, Some(Fate::DeadLettered | Fate::Resent));
        Some((part.item.clone(), is_elsewhere))
    }

    /// Settles one item. A message that is not held (any more) can be settled if it has no other items.
    pub(super) fn settle(&mut self, receipt: &Receipt, fate: Fate) -> Verdict {
        let Some(Named { part, parts, handle }) = named(receipt) else {
            return Verdict::Lost;
        };
        match self.messages.get_mut(handle) {
            Some(message) => {
                if let Some(part) = message.parts.get_mut(part) {
                    part.fate = Some(fate);
                }
                verdict(message.parts.iter().map(|part| part.fate))
            }
            None if parts == 1 => verdict([Some(fate)]),
            None => Verdict::Lost,
        }
    }

    /// The lease of the whole message holds until then.
    pub(super) fn extend(&mut self, handle: &str, deadline: Instant) {
        if let Some(message) = self.messages.get_mut(handle) {
            message.deadline = deadline;
        }
    }

    /// The message is gone: deleted, given back, or leased by somebody else.
    pub(super) fn forget(&mut self, handle: &str) {
        self.messages.remove(handle);
    }

    /// Forgets what nobody has asked for long after its deadline.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.messages
            .retain(|_, message| message.deadline + FORGOTTEN_AFTER > now);
    }
}

/// What follows for a message from the fates of its items.
fn verdict(fates: impl IntoIterator<Item = Option<Fate>>) -> Verdict {
    let mut delay_min = None;
    for fate in fates {
        match fate {
            None => return Verdict::Wait,
            Some(Fate::Released { delay }) => {
                delay_min = Some(delay_min.map_or(delay, |least: Duration| least.min(delay)));
            }
            Some(Fate::Completed | Fate::DeadLettered | Fate::Resent) => {}
        }
    }
    delay_min.map_or(Verdict::Delete, |delay| Verdict::Release { delay })
}

/// What a receipt names.
struct Named<'a> {
    /// The number of the item in its message, from 0.
    part: usize,
    /// How many items the message has.
    parts: usize,
    /// The message's handle.
    handle: &'a str,
}

/// Handles are of letters that only the server knows the meaning of, so the numbers come first.
fn receipt(part: usize, parts: usize, handle: &str) -> Receipt {
    Receipt(format!("{part}/{parts}:{handle}"))
}

/// What a receipt names. None: it is no receipt of ours.
fn named(receipt: &Receipt) -> Option<Named<'_>> {
    let (numbers, handle) = receipt.0.split_once(':')?;
    let (part, parts) = numbers.split_once('/')?;
    Some(Named {
        part: part.parse().ok()?,
        parts: parts.parse().ok()?,
        handle,
    })
}

/// The handle of the message that a receipt's item is in. None: no receipt of ours.
pub(super) fn handle_of(receipt: &Receipt) -> Option<&str> {
    named(receipt).map(|named| named.handle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contract::item;

    const SECOND: Duration = Duration::from_secs(1);

    fn held(count: u64) -> (Held, Vec<Receipt>) {
        let mut held = Held::default();
        let given = held.hold("a:b/c", (0..count).map(item).collect(), Instant::now());
        (held, given.into_iter().map(|(receipt, _)| receipt).collect())
    }

    #[test]
    fn a_message_of_one_item_shares_its_fate() {
        let (mut held, receipts) = held(1);
        assert_eq!(handle_of(&receipts[0]), Some("a:b/c"));
        assert_eq!(held.settle(&receipts[0], Fate::Completed), Verdict::Delete);
        let release = Fate::Released { delay: SECOND };
        held.forget("a:b/c");
        assert_eq!(held.settle(&receipts[0], release), Verdict::Release { delay: SECOND });
    }

    #[test]
    fn a_message_of_several_items_goes_with_the_last_one() {
        let (mut held, receipts) = held(3);
        assert_eq!(held.settle(&receipts[2], Fate::Completed), Verdict::Wait);
        assert_eq!(held.settle(&receipts[0], Fate::Resent), Verdict::Wait);
        assert!(held.item(&receipts[0]).unwrap().1, "another message has it");
        assert_eq!(held.settle(&receipts[0], Fate::DeadLettered), Verdict::Wait);
        assert!(held.item(&receipts[0]).unwrap().1, "it is kept already");
        assert_eq!(
            held.settle(&receipts[2], Fate::Completed),
            Verdict::Wait,
            "twice is once"
        );
        assert_eq!(held.settle(&receipts[1], Fate::Completed), Verdict::Delete);
    }

    #[test]
    fn one_item_given_back_gives_the_message_back_once_all_are_settled() {
        let (mut held, receipts) = held(3);
        let after = |seconds| Fate::Released {
            delay: SECOND * seconds,
        };
        assert_eq!(held.settle(&receipts[0], after(5)), Verdict::Wait);
        assert_eq!(held.settle(&receipts[1], Fate::Completed), Verdict::Wait);
        assert_eq!(
            held.settle(&receipts[2], after(3)),
            Verdict::Release { delay: SECOND * 3 }
        );
    }

    #[test]
    fn what_is_long_past_its_deadline_is_forgotten() {
        let (mut held, receipts) = held(1);
        let now = Instant::now();
        held.sweep(now + FORGOTTEN_AFTER / 2);
        assert!(held.item(&receipts[0]).is_some());
        held.extend("a:b/c", now + FORGOTTEN_AFTER);
        held.sweep(now + FORGOTTEN_AFTER);
        assert!(held.item(&receipts[0]).is_some());
        held.sweep(now + FORGOTTEN_AFTER * 3);
        assert!(held.item(&receipts[0]).is_none());
    }

    #[test]
    fn a_receipt_of_another_queue_is_none_of_ours() {
        assert_eq!(handle_of(&Receipt("7".to_owned())), None);
        assert_eq!(handle_of(&Receipt("x:y".to_owned())), None);
    }

    #[test]
    fn what_became_of_the_other_items_is_never_guessed() {
        let (mut held, receipts) = held(2);
        assert_eq!(held.settle(&receipts[0], Fate::Completed), Verdict::Wait);
        held.forget("a:b/c");
        assert_eq!(held.settle(&receipts[1], Fate::Completed), Verdict::Lost);
    }

    proptest! {
        #[test]
        fn a_message_waits_for_its_last_item_and_comes_back_if_any_was_given_back(
            order in prop::collection::vec((0..5_usize, prop::option::of(0..9_u32)), 1..40)
        ) {
            let (mut held, receipts) = held(5);
            let mut fates = [None; 5];
            for (part, delay) in order {
                let delay = delay.map(|seconds| SECOND * seconds);
                let fate = delay.map_or(Fate::Completed, |delay| Fate::Released { delay });
                fates[part] = Some(delay);
                let expected = if fates.contains(&None) {
                    Verdict::Wait
                } else {
                    let delays = fates.iter().flatten().flatten();
                    delays.min().map_or(Verdict::Delete, |&delay| Verdict::Release { delay })
                };
                prop_assert_eq!(held.settle(&receipts[part], fate), expected);
            }
        }
    }
}
