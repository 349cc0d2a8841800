//! The delivery of one bulk: attempts, pauses, halves, until every document has its verdict or patience is over.
//!
//! An attempt that brings no answer, or half of one, leaves open what was taken. It is made again: identities make that safe,
//! what was taken answers as a duplicate.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{
    answer::{Answer, Exception},
    backoff::Backoff,
    compress,
    gate::{Gate, Permit},
    judge::{self, Judgement, Whole},
    limit::Signal,
    metrics::Metrics,
    part::Part,
    wire::{Attempt, Payload, Reply, Wire},
};
use crate::indexer::bulk::{Bulk, Delivered, End, Verdict};

/// A part that was refused whole for lack of room so many times in a row is halved: alone it may be more than all the room that
/// the cluster has ("Indexing pressure", Elasticsearch reference).
const REFUSED_IN_A_ROW_MAX: u32 = 3;

/// After so many documents of a bulk were refused as malformed one by one, it is not the documents that are wrong.
const MALFORMED_MAX: u32 = 32;

/// What all deliveries share.
pub(super) struct Delivery<'a, W> {
    pub(super) wire: &'a W,
    pub(super) gate: &'a Gate,
    pub(super) metrics: &'a Metrics,
    pub(super) patience: Duration,
    pub(super) compress: bool,
    pub(super) request_bytes_max: usize,
    /// A request of this size is large enough for its round trip to be compared with others.
    pub(super) full_bytes: usize,
}

/// What is known of one bulk on its way.
struct Progress {
    exceptions: Vec<(u32, Verdict)>,
    /// Parts that are still to be sent.
    waiting: VecDeque<Part>,
    /// Patience is over then; it begins with the first failure.
    deadline: Option<Instant>,
    malformed: u32,
}

/// What follows from an attempt.
enum Next {
    /// Nothing is left of the part.
    Over,
    /// This is to be sent, after a pause.
    Again {
        part: Part,
        reason: String,
        retry_after: Option<Duration>,
        /// Another node may be asked without a pause.
        at_once: bool,
        /// There was no room for the whole of it.
        is_busy: bool,
    },
    /// Nothing will be taken.
    Refused { part: Part, reason: String },
}

impl<W: Wire> Delivery<'_, W> {
    /// Delivers a bulk.
    pub(super) async fn deliver(&self, bulk: &Bulk) -> Delivered {
        let mut progress = Progress {
            exceptions: Vec::new(),
            waiting: Part::all_of(bulk, self.request_bytes_max).into(),
            deadline: None,
            malformed: 0,
        };
        let mut end = End::Done;
        while let Some(part) = progress.waiting.pop_front() {
            if let Err((left, why)) = self.part(bulk, part, &mut progress).await {
                end = why;
                let pending = std::iter::once(&left).chain(&progress.waiting);
                let pending = pending.flat_map(Part::places).map(|place| (*place, Verdict::Pending));
                progress.exceptions.extend(pending);
                break;
            }
        }
        progress.exceptions.sort_unstable_by_key(|(place, _)| *place);
        Delivered {
            exceptions: progress.exceptions,
            end,
        }
    }

    /// Sends a part until it is over. The error has what is left of it.
    async fn part(&self, bulk: &Bulk, mut part: Part, progress: &mut Progress) -> Result<(), (Part, End)> {
        let permit = self.gate.permit().await;
        let mut backoff = Backoff::default();
        let mut payload = None;
        let (mut hops, mut refused) = (0, 0);
        loop {
            let ready = match payload.take() {
                Some(ready) => ready,
                None => self.payload(part.body(bulk)).await,
            };
            let before = part.len();
            let next = self.attempt(&ready, part, &permit, progress).await;
            let (left, reason, retry_after, at_once, is_busy) = match next {
                Next::Over => return Ok(()),
                Next::Refused { part, reason } => return Err((part, End::Refused { reason })),
                Next::Again {
                    part,
                    reason,
                    retry_after,
                    at_once,
                    is_busy,
                } => (part, reason, retry_after, at_once, is_busy),
            };
            part = left;
            refused = if is_busy { refused + 1 } else { 0 };
            // Each other node once, then a pause as if there were none.
            hops = if at_once { hops + 1 } else { 0 };
            let pause = if at_once && hops % HOPS_MAX != 0 {
                Duration::ZERO
            } else {
                backoff.pause(retry_after)
            };
            let now = Instant::now();
            let deadline = *progress.deadline.get_or_insert(now + self.patience);
            if now + pause >= deadline {
                return Err((part, End::Unavailable { reason }));
            }
            self.metrics.retries.inc();
            tracing::debug!("documents are sent again in {pause:?}: {reason}");
            sleep(pause).await;
            if refused >= REFUSED_IN_A_ROW_MAX
                && let Some((first, second)) = part.halves()
            {
                progress.waiting.push_front(second);
                part = first;
                refused = 0;
            }
            if part.len() == before {
                payload = Some(ready);
            } else {
                backoff.reset();
            }
        }
    }

    async fn payload(&self, bytes: Bytes) -> Payload {
        if self.compress
            && let Some(bytes) = compress::gzip(bytes.clone()).await
        {
            return Payload { bytes, is_gzip: true };
        }
        Payload { bytes, is_gzip: false }
    }

    /// One attempt, and what follows from it.
    async fn attempt(&self, payload: &Payload, part: Part, permit: &Permit<'_>, progress: &mut Progress) -> Next {
        let started = Instant::now();
        let reply = match self.wire.attempt(payload).await {
            Attempt::Answered(reply) => reply,
            Attempt::Lost {
                timed_out,
                reason,
                another_is_well,
            } => {
                permit.observe(started, if timed_out { Signal::Refused } else { Signal::Failed });
                return Next::Again {
                    part,
                    reason,
                    retry_after: None,
                    at_once: another_is_well,
                    is_busy: false,
                };
            }
        };
        let whole = judge::request(reply.status);
        match whole {
            Whole::Answered => {
                let is_full = payload.bytes.len() >= self.full_bytes;
                self.answered(&reply, part, started, is_full, permit, progress)
            }
            Whole::Busy => {
                permit.observe(started, Signal::Refused);
                self.metrics.refused_whole.inc();
                again(part, &reply)
            }
            Whole::Unwell => {
                permit.observe(started, Signal::Failed);
                again(part, &reply)
            }
            Whole::NotSignedIn if reply.may_sign_in_again => again(part, &reply),
            Whole::NotSignedIn | Whole::Refused => Next::Refused {
                part,
                reason: judge::whole_words(reply.status, &reply.body),
            },
            Whole::TooLarge | Whole::Malformed => self.halve(&reply, part, progress),
        }
    }

    /// Judges the documents of a part one by one.
    fn answered(
        &self,
        reply: &Reply,
        part: Part,
        started: Instant,
        is_full: bool,
        permit: &Permit<'_>,
        progress: &mut Progress,
    ) -> Next {
        let answer = match Answer::read(&reply.body) {
            Ok(answer) if answer.items as usize == part.len() => answer,
            read => {
                permit.observe(started, Signal::Failed);
                let reason = match read {
                    Ok(answer) => format!("{} documents were answered with {}", part.len(), answer.items),
                    Err(error) => format!("the answer can't be read: {error}"),
                };
                return Next::Again {
                    part,
                    reason,
                    retry_after: None,
                    at_once: false,
                    is_busy: false,
                };
            }
        };
        let sorted = self.sort(answer.exceptions, &part, progress);
        self.metrics.taken.inc_by(u64::from(answer.items - sorted.exceptions));
        permit.observe(
            started,
            Signal::Answered {
                round_trip: started.elapsed(),
                is_full,
                refused_share: f64::from(sorted.busy) / f64::from(answer.items.max(1)),
            },
        );
        let Some(left) = part.of_these(&sorted.again) else {
            return Next::Over;
        };
        if let Some(reason) = sorted.refused {
            return Next::Refused { part: left, reason };
        }
        self.metrics.retried.inc_by(left.len() as u64);
        Next::Again {
            part: left,
            reason: sorted.reason,
            retry_after: reply.retry_after,
            at_once: false,
            is_busy: false,
        }
    }

    /// Notes what is decided of documents, and sorts out what is not.
    fn sort(&self, exceptions: Vec<Exception>, part: &Part, progress: &mut Progress) -> Sorted {
        let mut sorted = Sorted::default();
        for exception in exceptions {
            let (status, kind, reason) = (exception.status, &exception.kind, &exception.reason);
            let place = part.places()[exception.place as usize];
            match judge::document(status, kind, reason) {
                Judgement::Duplicate => {
                    self.metrics.duplicate.inc();
                    progress.exceptions.push((place, Verdict::Duplicate));
                }
                Judgement::Rejected => {
                    self.metrics.rejected.inc();
                    let reason = judge::words(status, kind, reason);
                    progress.exceptions.push((place, Verdict::Rejected { reason }));
                }
                Judgement::Retry => {
                    sorted.busy += u32::from(status == 429);
                    sorted.again.push(exception.place);
                    sorted.reason = judge::words(status, kind, reason);
                }
                Judgement::Refused => {
                    sorted.again.push(exception.place);
                    sorted.refused.get_or_insert_with(|| judge::words(status, kind, reason));
                }
            }
            sorted.exceptions += 1;
        }
        sorted
    }

    /// Puts both halves before all that waits; a document alone is rejected.
    fn halve(&self, reply: &Reply, part: Part, progress: &mut Progress) -> Next {
        if let Some((first, second)) = part.halves() {
            progress.waiting.push_front(second);
            progress.waiting.push_front(first);
            self.metrics.retries.inc();
            return Next::Over;
        }
        let mut reason = judge::whole_words(reply.status, &reply.body);
        if judge::request(reply.status) == Whole::TooLarge {
            reason = format!("larger than the cluster takes, even alone: {reason}");
        } else {
            progress.malformed += 1;
            if progress.malformed > MALFORMED_MAX {
                return Next::Refused { part, reason };
            }
        }
        self.metrics.rejected.inc();
        let place = part.places()[0];
        progress.exceptions.push((place, Verdict::Rejected { reason }));
        Next::Over
    }
}

/// More nodes than these are not asked in one go.
const HOPS_MAX: u32 = 4;

/// The exceptions of an answer that need more than to be noted.
#[derive(Default)]
struct Sorted {
    exceptions: u32,
    /// Refused for lack of room.
    busy: u32,
    /// By their places in the part.
    again: Vec<u32>,
    reason: String,
    refused: Option<String>,
}

fn again(part: Part, reply: &Reply) -> Next {
    Next::Again {
        part,
        reason: judge::whole_words(reply.status, &reply.body),
        retry_after: reply.retry_after,
        at_once: reply.another_is_well,
        is_busy: judge::request(reply.status) == Whole::Busy,
    }
}
