//! What is said of each document of a request, sorted: what is decided, what is to be sent again, and what is in doubt.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{Delivery, Doubt, Ids, Progress};
use crate::indexer::{
    bulk::{Bulk, OnConflict, Verdict},
    elasticsearch::{
        answer::{Answer, Exception, Said},
        earlier::{self, Stored},
        judge::{self, Judgement},
        part::Part,
        wire::Wire,
    },
};

/// The exceptions of an answer that need more than to be noted.
#[derive(Default)]
pub(super) struct Sorted {
    /// Documents that are there now.
    pub(super) accepted: u64,
    /// Refused for lack of room.
    pub(super) busy: u32,
    /// To be sent again, by their places in the part.
    pub(super) again: Vec<u32>,
    pub(super) reason: String,
    pub(super) refused: Option<String>,
    /// By their places in the bulk: their ids are there, be it by an attempt of which no answer came or by an earlier delivery, be
    /// it by another record.
    pub(super) contested: Vec<u32>,
}

/// A document that is not taken, by its place in the part.
struct Failed {
    place: u32,
    kind: String,
    words: String,
}

impl<W: Wire> Delivery<'_, W> {
    /// Documents that have the address of one before them, where addresses are made of the records' own values.
    pub(super) fn twins(&self, bulk: &Bulk) -> HashMap<u32, u32> {
        let mut twins = HashMap::new();
        if !self.may_be_anothers() {
            return twins;
        }
        let mut known: HashMap<&[u8], u32> = HashMap::with_capacity(bulk.documents.len());
        for place in 0..bulk.documents.len() as u32 {
            match known.entry(bulk.action(place)) {
                Entry::Vacant(entry) => {
                    entry.insert(place);
                }
                Entry::Occupied(entry) => {
                    twins.insert(place, *entry.get());
                }
            }
        }
        twins
    }

    /// Notes what is decided of documents, and sorts out what is not.
    pub(super) fn sort(&self, bulk: &Bulk, answer: Answer, part: &Part, progress: &mut Progress) -> Sorted {
        let metrics = &self.shared.metrics;
        let mut sorted = Sorted::default();
        let (mut rejected, mut doubtful, mut stuck) = (Vec::new(), Vec::new(), Vec::new());
        let taken = u64::from(answer.items) - answer.exceptions.len() as u64;
        sorted.accepted = taken;
        metrics.taken.inc_by(taken);
        for Exception { place, said } in answer.exceptions {
            let in_bulk = part.places()[place as usize];
            let (status, kind, reason) = match said {
                Said::Updated => {
                    sorted.accepted += 1;
                    metrics.taken.inc();
                    progress.exceptions.push((in_bulk, Verdict::Updated));
                    continue;
                }
                Said::Dropped => {
                    metrics.dropped.inc();
                    tell_once(
                        &DROPPED,
                        "a document was dropped by an ingest pipeline of the cluster, and is nowhere: such documents are counted",
                    );
                    progress.exceptions.push((in_bulk, Verdict::Dropped));
                    continue;
                }
                Said::Redirected => {
                    metrics.redirected.inc();
                    tell_once(
                        &REDIRECTED,
                        "a document did not fit the data stream and was put into its failure store: such documents are counted",
                    );
                    progress.exceptions.push((in_bulk, Verdict::Redirected));
                    continue;
                }
                Said::Failed { status, kind, reason } => (status, kind, reason),
            };
            let judgement = judge::document(status, &kind, &reason, self.rules.index_is_theirs);
            let words = judge::document_words(status, &kind, &reason);
            match judgement {
                Judgement::Exists => {
                    sorted.accepted += 1;
                    self.exists(bulk, in_bulk, part.open_since().is_some(), &mut sorted, progress);
                }
                Judgement::Retry => {
                    sorted.busy += u32::from(status == 429);
                    sorted.again.push(place);
                    sorted.reason = words;
                }
                Judgement::Refused => {
                    sorted.again.push(place);
                    sorted.refused.get_or_insert(words);
                }
                Judgement::Rejected => rejected.push(Failed { place, kind, words }),
                Judgement::Doubtful => doubtful.push(Failed { place, kind, words }),
                Judgement::Stuck => stuck.push(Failed { place, kind, words }),
            }
        }
        if sorted.refused.is_some() || !stuck.is_empty() {
            // Nothing is given up while something is wrong with what they go to.
            sorted
                .again
                .extend(rejected.iter().chain(&doubtful).map(|failed| failed.place));
            sorted.again.extend(stuck.iter().map(|failed| failed.place));
            sorted.again.sort_unstable();
            if let Some(first) = stuck.first().filter(|_| sorted.refused.is_none()) {
                let words = first.words.clone();
                self.doubt(part, &mut sorted.again, words, true, progress);
            }
            self.shared.brake.accept(sorted.accepted);
            return sorted;
        }
        let mark = self.doubtful_mark(&doubtful, progress);
        self.shared.brake.accept(sorted.accepted);
        if !doubtful.is_empty() {
            let are_at_fault = sorted.accepted > 0 || self.shared.brake.are_at_fault(doubtful.len() as u64, mark);
            if are_at_fault {
                rejected.append(&mut doubtful);
                rejected.sort_unstable_by_key(|failed| failed.place);
            } else {
                let words = doubtful[0].words.clone();
                let mut places: Vec<u32> = doubtful.iter().map(|failed| failed.place).collect();
                self.doubt(part, &mut places, words, false, progress);
            }
        }
        self.give_up(part, rejected, answer.items, &mut sorted, progress);
        sorted.again.sort_unstable();
        sorted
    }

    fn doubtful_mark(&self, doubtful: &[Failed], progress: &mut Progress) -> u64 {
        if doubtful.is_empty() {
            0
        } else {
            self.doubtful(progress).mark
        }
    }

    /// Puts documents, by their places in the part, where they wait for what others show.
    fn doubt(&self, part: &Part, places: &mut Vec<u32>, reason: String, is_stuck: bool, progress: &mut Progress) {
        self.doubtful(progress);
        places.sort_unstable();
        if let Some(part) = part.of_these(places) {
            progress.doubts.push(Doubt { part, reason, is_stuck });
        }
        places.clear();
    }

    /// Gives documents up, unless it shows that they are not at fault.
    fn give_up(&self, part: &Part, rejected: Vec<Failed>, items: u32, sorted: &mut Sorted, progress: &mut Progress) {
        let is_all = rejected.len() == items as usize;
        let reasons = rejected
            .iter()
            .map(|failed| (failed.kind.as_str(), failed.words.clone()));
        if let Some(reason) = self.shared.brake.reject(reasons, is_all) {
            sorted.again.extend(rejected.iter().map(|failed| failed.place));
            sorted.refused.get_or_insert(reason);
            return;
        }
        self.shared.metrics.rejected.inc_by(rejected.len() as u64);
        progress.exceptions.extend(rejected.into_iter().map(|failed| {
            let reason = failed.words;
            (part.places()[failed.place as usize], Verdict::Rejected { reason })
        }));
    }

    /// Whether an `_id` that is there may be another record's, and it matters.
    pub(super) fn may_be_anothers(&self) -> bool {
        matches!(self.rules.ids, Ids::Records(OnConflict::DeadLetter))
    }

    /// A document whose `_id` is there, by its place in the bulk.
    fn exists(&self, bulk: &Bulk, place: u32, was_open: bool, sorted: &mut Sorted, progress: &mut Progress) {
        if !self.may_be_anothers() {
            self.shared.metrics.duplicate.inc();
            progress.exceptions.push((place, Verdict::Duplicate));
        } else if let Some(twin) = progress.twins.get(&place) {
            let (twin, document) = (&bulk.documents[*twin as usize], &bulk.documents[place as usize]);
            let whose = if twin.segment == document.segment {
                format!("the record at {} has it", twin.ordinal)
            } else {
                "a record of another item has it".to_owned()
            };
            self.conflict(bulk, place, &whose, progress);
        } else if was_open || bulk.sent_since(place).is_some() {
            sorted.contested.push(place);
        } else {
            self.conflict(bulk, place, "what is there has it", progress);
        }
    }

    fn conflict(&self, bulk: &Bulk, place: u32, whose: &str, progress: &mut Progress) {
        self.shared.metrics.conflicting.inc();
        let id = earlier::id(bulk, place).unwrap_or_default();
        let reason = format!("another record has the _id `{id}`: {whose}");
        progress.exceptions.push((place, Verdict::Conflict { reason }));
    }

    /// Whether contested documents are there by an attempt of ours, of which no answer came or which a worker made that has
    /// died: then all values that they were sent with are there. Where that can't be seen now, they are sent again, to be
    /// answered so once more.
    pub(super) async fn contested(&self, bulk: &Bulk, part: &Part, sorted: &mut Sorted, progress: &mut Progress) {
        let contested = std::mem::take(&mut sorted.contested);
        match self.shared.earlier.stored(self.wire, bulk, &contested).await {
            Ok(Stored { same, others }) => {
                for place in contested {
                    if same.binary_search(&place).is_ok() {
                        self.shared.metrics.duplicate.inc();
                        progress.exceptions.push((place, Verdict::Duplicate));
                    } else if others.binary_search(&place).is_ok() {
                        self.conflict(bulk, place, "what is there has it, and is something else", progress);
                    } else {
                        let whose = "what is there has it, and can't be looked at: it may be this record";
                        self.conflict(bulk, place, whose, progress);
                    }
                }
            }
            Err(trouble) => {
                sorted.reason = trouble.reason;
                let places = contested
                    .iter()
                    .filter_map(|place| part.places().binary_search(place).ok());
                sorted.again.extend(places.map(|place| place as u32));
                sorted.again.sort_unstable();
            }
        }
    }
}

static DROPPED: AtomicBool = AtomicBool::new(false);
static REDIRECTED: AtomicBool = AtomicBool::new(false);

/// Says something once in a process.
fn tell_once(told: &AtomicBool, words: &str) {
    if !told.swap(true, Ordering::Relaxed) {
        tracing::warn!("{words}");
    }
}
