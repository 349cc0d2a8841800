//! What must be true in the end, whatever happened: every record's fate is known, and books, index and letters say the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pf_state::{Stage, StateDir};
use pf_work::Counts;

use super::{
    objects::{JOB, Kind, Nature},
    sink::{CONFLICTING, REFUSED},
    world::World,
};

impl World {
    /// What must be true whatever happened.
    pub(super) async fn check(&mut self) {
        let state = StateDir::in_memory(Arc::clone(&self.memory), JOB);
        let ledger = state.ledger().await.unwrap();
        let depth = self.queue.depth();
        assert_eq!(
            (depth.visible, depth.in_flight, depth.delayed),
            (0, 0, 0),
            "the queue is empty"
        );

        let dead: BTreeMap<u64, String> = self
            .queue
            .dead_letters()
            .into_iter()
            .map(|letter| (letter.item.seq, letter.reason))
            .collect();
        let mut rejected = BTreeSet::new();
        let mut reader = state.read_dead_letters().await.unwrap();
        while let Some(letters) = reader.next().await.unwrap() {
            for letter in letters {
                let object = &self.objects[letter.seq as usize];
                let line = &object.lines[object.line_at(letter.ordinal)];
                assert_eq!(letter.raw, line.text.as_bytes());
                let truth = match line.kind {
                    Kind::Undecodable => (Stage::Decode, "not a JSON object"),
                    Kind::Conflicting => (Stage::Index, CONFLICTING),
                    _ => (Stage::Index, REFUSED),
                };
                assert_eq!(
                    (letter.stage, letter.reason.as_str()),
                    truth,
                    "a true reason of {line:?}"
                );
                assert!(rejected.insert((letter.seq, letter.ordinal)), "told once");
            }
        }

        let index = self.index.lock().unwrap();
        // By what they say, not by their ids: under two ids a record would be there twice.
        let mut documents = BTreeSet::new();
        for document in index.documents() {
            assert!(documents.insert(document), "{document} is there twice");
        }
        let mut expected = Counts::default();
        for object in &self.objects {
            let seq = object.seq;
            let moved_by_policy = !ledger.settled().contains(seq);
            match object.nature {
                Nature::Healthy => assert!(
                    !moved_by_policy,
                    "item {seq} is healthy, and given up or forgotten: {:?}",
                    dead.get(&seq)
                ),
                Nature::Killer if moved_by_policy => {
                    assert!(dead.contains_key(&seq), "item {seq} is forgotten");
                    self.met.killers_moved += 1;
                }
                Nature::Killer => {
                    assert!(
                        ledger.reasons[&seq].contains("workers ended without a word"),
                        "{:?}",
                        ledger.reasons
                    );
                    self.met.killers_given_up += 1;
                }
                Nature::Unreadable => {
                    assert!(!moved_by_policy, "item {seq} was in nobody's way");
                    assert!(
                        ["other objects were read well", "other objects could"]
                            .iter()
                            .any(|told| ledger.reasons[&seq].contains(told)),
                        "{:?}",
                        ledger.reasons
                    );
                    self.met.unreadable += 1;
                }
            }
            if object.nature != Nature::Healthy {
                for line in &object.lines {
                    assert!(!documents.contains(line.text.as_str()), "nothing of it was read");
                }
                continue;
            }
            let is_completed = ledger.completed.contains(seq);
            assert!(
                !(is_completed && object.broken_at.is_some()),
                "a broken object is no success"
            );
            if let Some(reason) = ledger.reasons.get(&seq) {
                assert_eq!(reason, "corrupt: simulated", "item {seq}");
                // A worker may die between ledger and queue; then the policy moves the item, or another worker does.
                assert!(dead.contains_key(&seq), "what is given up is kept");
            }
            for line in object.readable() {
                let is_there = documents.remove(line.text.as_str());
                let is_letter = rejected.contains(&(seq, line.offset));
                let must = (
                    line.kind == Kind::Good,
                    matches!(line.kind, Kind::Undecodable | Kind::Unindexable | Kind::Conflicting),
                );
                assert_eq!((is_there, is_letter), must, "item {seq}, {line:?}");
                match line.kind {
                    Kind::Good => expected.records_out += 1,
                    Kind::Filtered => expected.records_filtered += 1,
                    Kind::Undecodable | Kind::Unindexable => expected.records_rejected += 1,
                    Kind::Redirected => expected.records_redirected += 1,
                    Kind::Dropped => expected.records_dropped += 1,
                    Kind::Conflicting => {
                        expected.records_rejected += 1;
                        expected.records_conflicting += 1;
                    }
                }
                expected.records_in += 1;
            }
        }
        assert!(documents.is_empty(), "nothing else is there: {documents:?}");
        assert!(ledger.unbalanced.is_empty());
        let told = Counts {
            records_in: ledger.counts.records_in,
            records_out: ledger.counts.records_out,
            records_filtered: ledger.counts.records_filtered,
            records_rejected: ledger.counts.records_rejected,
            records_redirected: ledger.counts.records_redirected,
            records_dropped: ledger.counts.records_dropped,
            records_conflicting: ledger.counts.records_conflicting,
            ..Counts::default()
        };
        assert_eq!(told, expected, "each item counts once");
        self.met.settled_again += ledger.repeats;
        self.met.duplicates += index.duplicates;
        self.met.found_earlier += index.found_earlier;
    }
}
