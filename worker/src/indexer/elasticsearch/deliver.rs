//! The delivery of one bulk: attempts, pauses, halves, until every document has its verdict or patience is over.
//!
//! An attempt that brings no answer, or half of one, leaves open what was taken. It is made again: identities make that safe,
//! what was taken answers as a duplicate. Where an identity is not enough for that, because it is a value of the record's own or
//! because another index is written to by now, it is looked for.

mod sort;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{
    answer::{self, Answer},
    backoff::Backoff,
    brake::Brake,
    compress,
    earlier::{Earlier, Trouble as NotFound},
    gate::{Gate, Permit},
    judge::{self, Whole},
    limit::Signal,
    metrics::Metrics,
    part::Part,
    size::Size,
    spell::{Spell, Trouble},
    wire::{Attempt, Payload, Reply, Wire},
};
use crate::indexer::bulk::{Bulk, Delivered, End, OnConflict, Verdict};

/// A part that was refused whole for lack of room so many times in a row is halved: alone it may be more than all the room that
/// the cluster has ("Indexing pressure", Elasticsearch reference).
const REFUSED_IN_A_ROW_MAX: u32 = 3;

/// After so many documents of a bulk were refused as malformed one by one, and none was taken meanwhile, it is not the
/// documents that are wrong.
const MALFORMED_MAX: u32 = 32;

/// What may not be the documents' fault is tried again for so long: an alias that is being moved has its index back by then,
/// and other bulks show whether anything is taken.
const DOUBT_MAX: Duration = Duration::from_secs(10);
/// Between the tries.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// Where the ids of documents come from, as far as it says what an id that is there already means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// From their places: it means the record itself.
    Places,
    /// From Elasticsearch: it is never there.
    Server,
    /// From the records: it may mean another record.
    Records(OnConflict),
}

/// What all bulks share and learn.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) gate: Gate,
    pub(super) brake: Brake,
    pub(super) spell: Spell,
    pub(super) size: Size,
    pub(super) earlier: Earlier,
    pub(super) metrics: Metrics,
}

/// How all bulks are delivered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) patience: Duration,
    pub(super) compress: bool,
    pub(super) request_bytes_max: usize,
    /// A request of this size is large enough for its round trip to be compared with others.
    pub(super) full_bytes: usize,
    pub(super) ids: Ids,
    /// Whether records choose their index.
    pub(super) index_is_theirs: bool,
}

/// What a delivery needs.
pub(super) struct Delivery<'a, W> {
    pub(super) wire: &'a W,
    pub(super) shared: &'a Shared,
    pub(super) rules: Rules,
}

/// What is known of one bulk on its way.
struct Progress {
    exceptions: Vec<(u32, Verdict)>,
    /// Parts that are still to be sent.
    waiting: VecDeque<Part>,
    /// Patience is over then; it begins with the first failure.
    deadline: Option<Instant>,
    /// Single documents that were refused as malformed, and of which it is not known yet whether they are.
    malformed: u32,
    doubts: Vec<Doubt>,
    doubt: Option<Doubtful>,
    /// Documents that have the address of one before them in the bulk, by their places, with its place.
    twins: HashMap<u32, u32>,
}

/// Documents that were not taken, and it is not known yet whether that is their fault.
struct Doubt {
    part: Part,
    reason: String,
    /// It is never theirs.
    is_stuck: bool,
}

/// Since when there is doubt.
#[derive(Clone, Copy)]
struct Doubtful {
    until: Instant,
    /// How many documents were accepted before.
    mark: u64,
}

/// What follows from an attempt.
enum Next {
    /// Nothing is left of the part.
    Over,
    /// This is to be sent, after a pause.
    Again(Again),
    /// Nothing will be taken.
    Refused { part: Part, reason: String },
}

/// What is to be sent again.
struct Again {
    part: Part,
    reason: String,
    retry_after: Option<Duration>,
    /// Another node may be asked without a pause.
    at_once: bool,
    /// There was no room for the whole of it.
    is_busy: bool,
    /// It may have been taken.
    may_be_there: bool,
    /// What to say of a time in which this goes on.
    trouble: Option<Trouble>,
}

type Left = (Part, End);

impl<W: Wire> Delivery<'_, W> {
    /// Delivers a bulk.
    pub(super) async fn deliver(&self, bulk: &Bulk) -> Delivered {
        let mut progress = Progress {
            exceptions: Vec::new(),
            waiting: VecDeque::new(),
            deadline: None,
            malformed: 0,
            doubts: Vec::new(),
            doubt: None,
            twins: self.twins(bulk),
        };
        let end = match self.all(bulk, &mut progress).await {
            Ok(()) => End::Done,
            Err((left, end)) => {
                let doubted = progress.doubts.iter().map(|doubt| &doubt.part);
                let pending = left.iter().chain(&progress.waiting).chain(doubted);
                let pending = pending.flat_map(Part::places).map(|place| (*place, Verdict::Pending));
                progress.exceptions.extend(pending);
                end
            }
        };
        progress.exceptions.sort_unstable_by_key(|(place, _)| *place);
        Delivered {
            exceptions: progress.exceptions,
            end,
        }
    }

    /// Delivers all documents. The error has what was being sent; what waits is in the progress.
    async fn all(&self, bulk: &Bulk, progress: &mut Progress) -> Result<(), (Option<Part>, End)> {
        let some = |(part, end): Left| (Some(part), end);
        let places = 0..bulk.documents.len() as u32;
        let Some(whole) = Part::all_of(bulk, places, usize::MAX).pop() else {
            return Ok(());
        };
        let Some(whole) = self.without_known(bulk, whole, None, progress).await.map_err(some)? else {
            return Ok(());
        };
        let bytes_max = self.bytes_max();
        progress.waiting = Part::all_of(bulk, whole.places().iter().copied(), bytes_max).into();
        loop {
            while let Some(part) = progress.waiting.pop_front() {
                if part.bytes(bulk) > self.bytes_max()
                    && let Some((first, second)) = part.halves()
                {
                    progress.waiting.push_front(second);
                    progress.waiting.push_front(first);
                    continue;
                }
                self.part(bulk, part, progress).await.map_err(some)?;
            }
            if !self.doubts(progress).await? {
                return Ok(());
            }
        }
    }

    fn bytes_max(&self) -> usize {
        self.rules.request_bytes_max.min(self.shared.size.limit())
    }

    /// Looks at what is in doubt when nothing else waits, and says whether something waits again.
    async fn doubts(&self, progress: &mut Progress) -> Result<bool, (Option<Part>, End)> {
        let Some(Doubtful { until, mark }) = progress.doubt.filter(|_| !progress.doubts.is_empty()) else {
            return Ok(false);
        };
        let others_are_taken = self.shared.brake.mark() > mark;
        // These are answered once more, and are given up each for its own reason then.
        let is_decided = others_are_taken && progress.doubts.iter().all(|doubt| !doubt.is_stuck);
        if !is_decided {
            if Instant::now() + DOUBT_PAUSE >= until {
                let reason = progress.doubts[0].reason.clone();
                return Err((None, End::Refused { reason }));
            }
            sleep(DOUBT_PAUSE).await;
        }
        self.shared.metrics.retries.inc();
        progress.malformed = 0;
        progress
            .waiting
            .extend(progress.doubts.drain(..).map(|doubt| doubt.part));
        Ok(true)
    }

    /// Gives documents up.
    fn reject(&self, part: &Part, reason: &str, progress: &mut Progress) {
        self.shared.metrics.rejected.inc_by(part.len() as u64);
        let rejected = part.places().iter().map(|place| {
            let reason = reason.to_owned();
            (*place, Verdict::Rejected { reason })
        });
        progress.exceptions.extend(rejected);
    }

    /// A part without the documents that are known to be there: those that somebody may have sent before, or, with `since`, all
    /// that may have been taken since then. Nothing if it has no others.
    async fn without_known(
        &self,
        bulk: &Bulk,
        part: Part,
        since: Option<Timestamp>,
        progress: &mut Progress,
    ) -> Result<Option<Part>, Left> {
        if self.rules.ids == Ids::Server {
            return Ok(Some(part));
        }
        let sent = |place: &u32| Some((*place, since.or_else(|| bulk.sent_since(*place))?));
        let sent: Vec<_> = part.places().iter().filter_map(sent).collect();
        if sent.is_empty() {
            return Ok(Some(part));
        }
        let compared = self.may_be_anothers();
        let mut backoff = Backoff::default();
        loop {
            match self.shared.earlier.find(self.wire, bulk, &sent, compared).await {
                Ok(found) => {
                    self.shared.metrics.duplicate.inc_by(found.len() as u64);
                    let known = found.iter().map(|place| (*place, Verdict::Duplicate));
                    progress.exceptions.extend(known);
                    return Ok(part.without(&found));
                }
                Err(NotFound { reason, retry_after }) => {
                    let pause = backoff.pause(retry_after);
                    if self.is_over(pause, progress) {
                        return Err((part, End::Unavailable { reason }));
                    }
                    self.shared.spell.fail(Trouble::Down, &reason);
                    self.shared.metrics.retries.inc();
                    sleep(pause).await;
                }
            }
        }
    }

    /// Whether patience is over before the end of a pause.
    fn is_over(&self, pause: Duration, progress: &mut Progress) -> bool {
        let now = Instant::now();
        now + pause >= *progress.deadline.get_or_insert(now + self.rules.patience)
    }

    /// Sends a part until it is over. The error has what is left of it.
    async fn part(&self, bulk: &Bulk, mut part: Part, progress: &mut Progress) -> Result<(), Left> {
        let permit = self.shared.gate.permit().await;
        let mut backoff = Backoff::default();
        let mut payload = None;
        let (mut hops, mut refused) = (0, 0);
        loop {
            let ready = match payload.take() {
                Some(ready) => ready,
                None => self.payload(part.body(bulk)).await,
            };
            let before = part.len();
            let now = Timestamp::now();
            let again = match self.attempt(bulk, &ready, part, &permit, progress).await {
                Next::Over => return Ok(()),
                Next::Refused { part, reason } => return Err((part, End::Refused { reason })),
                Next::Again(again) => again,
            };
            part = again.part;
            refused = if again.is_busy { refused + 1 } else { 0 };
            // Each other node once, then a pause as if there were none.
            hops = if again.at_once { hops + 1 } else { 0 };
            let goes_on = again.at_once && hops % HOPS_MAX != 0;
            let pause = if goes_on {
                Duration::ZERO
            } else {
                backoff.pause(again.retry_after)
            };
            if let Some(trouble) = again.trouble.filter(|_| !goes_on) {
                self.shared.spell.fail(trouble, &again.reason);
            }
            if self.is_over(pause, progress) {
                return Err((part, End::Unavailable { reason: again.reason }));
            }
            self.shared.metrics.retries.inc();
            tracing::debug!("documents are sent again in {pause:?}: {}", again.reason);
            sleep(pause).await;
            if again.may_be_there {
                let since = part.unanswered(now);
                match self.without_known(bulk, part, Some(since), progress).await? {
                    Some(left) => part = left,
                    None => return Ok(()),
                }
            }
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
        if self.rules.compress
            && let Some(bytes) = compress::gzip(bytes.clone()).await
        {
            return Payload { bytes, is_gzip: true };
        }
        Payload { bytes, is_gzip: false }
    }

    /// One attempt, and what follows from it.
    async fn attempt(
        &self,
        bulk: &Bulk,
        payload: &Payload,
        part: Part,
        permit: &Permit<'_>,
        progress: &mut Progress,
    ) -> Next {
        let started = Instant::now();
        let reply = match self.wire.attempt(payload).await {
            Attempt::Answered(reply) => reply,
            Attempt::Lost {
                timed_out,
                reason,
                another_is_well,
            } => {
                permit.observe(started, if timed_out { Signal::Refused } else { Signal::Failed });
                return Next::Again(Again {
                    part,
                    reason,
                    retry_after: None,
                    at_once: another_is_well,
                    is_busy: false,
                    may_be_there: true,
                    trouble: Some(Trouble::Down),
                });
            }
        };
        match judge::request(reply.status) {
            Whole::Answered => self.answered(bulk, &reply, part, started, permit, progress).await,
            Whole::Busy => {
                permit.observe(started, Signal::Refused);
                self.shared.metrics.refused_whole.inc();
                again(part, &reply, Some(Trouble::Busy))
            }
            Whole::Unwell => {
                permit.observe(started, Signal::Failed);
                again(part, &reply, Some(Trouble::Down))
            }
            Whole::NotSignedIn if reply.may_sign_in_again => again(part, &reply, None),
            Whole::NotSignedIn | Whole::Refused => Next::Refused {
                part,
                reason: judge::whole_words(reply.status, &reply.body),
            },
            Whole::TooLarge | Whole::Malformed => self.halve(bulk, &reply, part, progress),
        }
    }

    /// Judges the documents of a part one by one.
    async fn answered(
        &self,
        bulk: &Bulk,
        reply: &Reply,
        part: Part,
        started: Instant,
        permit: &Permit<'_>,
        progress: &mut Progress,
    ) -> Next {
        let answer = match Answer::read(&reply.body) {
            Ok(answer) if answer.items as usize == part.len() => answer,
            read => {
                permit.observe(started, Signal::Failed);
                let reason = match read {
                    Ok(answer) => format!("{} documents were answered with {}", part.len(), answer.items),
                    Err(error) => {
                        let start = answer::start(&reply.body);
                        format!("the answer can't be read, which begins with `{start}`: {error}")
                    }
                };
                return Next::Again(Again {
                    part,
                    reason,
                    retry_after: None,
                    at_once: false,
                    is_busy: false,
                    may_be_there: true,
                    trouble: Some(Trouble::Down),
                });
            }
        };
        let documents = answer.items;
        let body_bytes = part.bytes(bulk);
        let mut sorted = self.sort(bulk, answer, &part, progress);
        permit.observe(
            started,
            Signal::Answered {
                round_trip: started.elapsed(),
                is_full: body_bytes >= self.rules.full_bytes,
                refused_share: f64::from(sorted.busy) / f64::from(documents.max(1)),
            },
        );
        self.shared.size.accept(body_bytes);
        if sorted.accepted > 0 {
            self.shared.spell.end();
        }
        if !sorted.contested.is_empty() {
            self.contested(bulk, &part, &mut sorted, progress).await;
        }
        let trouble = (sorted.accepted == 0).then_some(Trouble::Busy);
        let Some(left) = part.of_these(&sorted.again) else {
            return Next::Over;
        };
        if let Some(reason) = sorted.refused {
            return Next::Refused { part: left, reason };
        }
        self.shared.metrics.retried.inc_by(left.len() as u64);
        Next::Again(Again {
            part: left,
            reason: sorted.reason,
            retry_after: reply.retry_after,
            at_once: false,
            is_busy: false,
            may_be_there: false,
            trouble,
        })
    }

    /// Puts both halves before all that waits; a document alone is rejected, or in doubt.
    fn halve(&self, bulk: &Bulk, reply: &Reply, part: Part, progress: &mut Progress) -> Next {
        let is_too_large = judge::request(reply.status) == Whole::TooLarge;
        let reason = judge::whole_words(reply.status, &reply.body);
        if let Some((first, second)) = part.halves() {
            if is_too_large {
                self.shared.size.refuse(part.bytes(bulk), &reason);
            }
            progress.waiting.push_front(second);
            progress.waiting.push_front(first);
            self.shared.metrics.retries.inc();
            return Next::Over;
        }
        if is_too_large {
            let reason = format!("larger than the cluster takes, even alone: {reason}");
            self.reject(&part, &reason, progress);
            return Next::Over;
        }
        let mark = self.doubtful(progress).mark;
        if self.shared.brake.are_at_fault(1, mark) {
            self.reject(&part, &reason, progress);
            return Next::Over;
        }
        progress.malformed += 1;
        if progress.malformed > MALFORMED_MAX {
            return Next::Refused { part, reason };
        }
        progress.doubts.push(Doubt {
            part,
            reason,
            is_stuck: false,
        });
        Next::Over
    }

    /// Since when there is doubt, from now on if there was none.
    fn doubtful(&self, progress: &mut Progress) -> Doubtful {
        *progress.doubt.get_or_insert_with(|| Doubtful {
            until: Instant::now() + DOUBT_MAX,
            mark: self.shared.brake.mark(),
        })
    }
}

/// More nodes than these are not asked in one go.
const HOPS_MAX: u32 = 4;

fn again(part: Part, reply: &Reply, trouble: Option<Trouble>) -> Next {
    Next::Again(Again {
        part,
        reason: judge::whole_words(reply.status, &reply.body),
        retry_after: reply.retry_after,
        at_once: reply.another_is_well,
        is_busy: judge::request(reply.status) == Whole::Busy,
        may_be_there: judge::request(reply.status) == Whole::Unwell,
        trouble,
    })
}
