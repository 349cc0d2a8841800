//! A place where writes come late: their answers were given up long ago, and others were done since. Whatever comes late adds
//! nothing that was not tried and takes nothing away.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use bytes::Bytes;
use pf_state::{
    Place, StateDir,
    place::{Memory, Names},
};
use pf_storage::{Error, Result};

use super::{
    dead_letters::letter,
    jobs::{JOB, QUEUE, completed, item, plan},
};

const SEEDS: u64 = 300;

/// A write on its way.
#[derive(Debug, Clone)]
enum Write {
    Create(String, Bytes),
    Put(String, Bytes),
    Delete(String),
}

/// Documents in memory, behind a network that holds writes back, loses their answers and brings some twice.
#[derive(Debug)]
struct Late {
    memory: Memory,
    state: Mutex<(fastrand::Rng, Vec<Write>)>,
}

impl Late {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(),
            state: Mutex::new((fastrand::Rng::with_seed(seed), Vec::new())),
        })
    }

    fn state(&self) -> MutexGuard<'_, (fastrand::Rng, Vec<Write>)> {
        self.state.lock().unwrap()
    }

    /// Has one of the waiting writes arrive. False when none is on its way.
    async fn arrive(&self) -> bool {
        let write = {
            let (random, waiting) = &mut *self.state();
            if waiting.is_empty() {
                return false;
            }
            let index = random.usize(..waiting.len());
            waiting.swap_remove(index)
        };
        self.apply(write).await;
        true
    }

    async fn apply(&self, write: Write) -> bool {
        match write {
            Write::Create(name, bytes) => self.memory.create(&name, bytes).await.unwrap(),
            Write::Put(name, bytes) => {
                self.memory.put(&name, bytes).await.unwrap();
                true
            }
            Write::Delete(name) => {
                self.memory.delete(&name).await.unwrap();
                true
            }
        }
    }

    async fn send(&self, write: Write) -> Result<bool> {
        let fate = self.state().0.u8(..12);
        if fate < 3 {
            self.arrive().await;
        }
        match fate {
            // Held back.
            3 | 4 => self.state().1.push(write),
            // The answer is lost.
            5 => {
                self.apply(write).await;
            }
            // It comes once more.
            6 | 7 => {
                self.state().1.push(write.clone());
                return Ok(self.apply(write).await);
            }
            _ => return Ok(self.apply(write).await),
        }
        Err(Error::Unavailable {
            action: "write",
            uri: "late:".to_owned(),
            attempts: 1,
            source: Box::new(io::Error::from(io::ErrorKind::TimedOut)),
        })
    }
}

#[async_trait]
impl Place for Late {
    fn address(&self, name: &str) -> String {
        format!("late:{name}")
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        self.memory.get(name).await
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.send(Write::Put(name.to_owned(), bytes)).await.map(drop)
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool> {
        self.send(Write::Create(name.to_owned(), bytes)).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.send(Write::Delete(name.to_owned())).await.map(drop)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Names> {
        self.memory.list(prefix, after).await
    }
}

fn in_turn(seed: u64, test: impl AsyncFnOnce(Arc<Late>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(test(Late::new(seed)));
}

#[test]
fn what_was_settled_stays_settled_whatever_comes_late() {
    for seed in 0..SEEDS {
        in_turn(seed, async |late| {
            let state = StateDir::at(Arc::clone(&late) as Arc<dyn Place>, JOB);
            let ledgers = ["a", "b"].map(|worker| state.write_ledger(worker));
            let mut promised = BTreeSet::new();
            let mut seen = 0;
            for seq in 0..40 {
                if ledgers[seq as usize % 2].record(&[completed(seq)]).await.is_ok() {
                    promised.insert(seq);
                }
                let ledger = state.ledger().await.unwrap();
                let has = |seq: &u64| ledger.completed.contains(*seq);
                assert!(promised.iter().all(has), "seed {seed}, item {seq}");
                assert!(ledger.completed.len() >= seen, "seed {seed}: nothing is forgotten");
                seen = ledger.completed.len();
            }
            while late.arrive().await {
                let ledger = state.ledger().await.unwrap();
                assert!(
                    promised.iter().all(|seq| ledger.completed.contains(*seq)),
                    "seed {seed}"
                );
                assert!(ledger.completed.len() >= seen, "seed {seed}: nothing is forgotten");
                seen = ledger.completed.len();
                let records: u64 = ledger.completed.iter().map(|seq| 100 + seq).sum();
                assert_eq!(ledger.counts.records_in, records, "seed {seed}: each counts once");
                assert_eq!(ledger.repeats, 0, "seed {seed}: a generation repeats nothing");
            }
        });
    }
}

#[test]
fn letters_that_were_stored_stay_stored_whatever_comes_late() {
    for seed in 0..SEEDS {
        in_turn(seed, async |late| {
            let state = StateDir::at(Arc::clone(&late) as Arc<dyn Place>, JOB);
            let writer = state.write_dead_letters("a");
            let mut promised = BTreeSet::new();
            for ordinal in 0..30 {
                if writer.store(&[letter(0, ordinal, b"{")]).await.is_ok() {
                    promised.insert(ordinal);
                }
            }
            loop {
                let mut reader = state.read_dead_letters().await.unwrap();
                let mut found = Vec::new();
                while let Some(letters) = reader.next().await.unwrap() {
                    found.extend(letters.iter().map(|letter| letter.ordinal));
                }
                let distinct: BTreeSet<u64> = found.iter().copied().collect();
                assert_eq!(found.len(), distinct.len(), "seed {seed}: each once");
                assert!(promised.is_subset(&distinct), "seed {seed}");
                if !late.arrive().await {
                    break;
                }
            }
        });
    }
}

#[test]
fn the_mark_of_what_was_offered_is_never_turned_back() {
    for seed in 0..SEEDS {
        in_turn(seed, async |late| {
            let state = StateDir::at(Arc::clone(&late) as Arc<dyn Place>, JOB);
            let mut marked = 0;
            for seq in 1..30 {
                if state.set_offered(QUEUE, seq * 10).await.is_ok() {
                    marked = seq * 10;
                }
                assert!(state.offered(QUEUE).await.unwrap() >= marked, "seed {seed}");
            }
            while late.arrive().await {
                assert!(state.offered(QUEUE).await.unwrap() >= marked, "seed {seed}");
            }
        });
    }
}

/// Lists twelve objects, three in a part, under names that tell the attempt. What was offered is noted.
async fn discover(state: &StateDir, attempt: u32, offered: &mut BTreeMap<u64, String>) -> pf_state::Result<()> {
    let mut writer = state.write_manifest(&plan()).await?;
    while !writer.is_sealed() && writer.next_seq() < 12 {
        let mut items: Vec<_> = (writer.next_seq()..).take(3).map(item).collect();
        for item in &mut items {
            item.uri = format!("s3://logs/{}-{attempt}", item.seq);
        }
        let addition = pf_state::manifest::Addition {
            objects: 3,
            bytes: 30,
            superseding: 0,
            cursors: BTreeMap::new(),
            items: items.clone(),
        };
        writer.add(addition).await?;
        for item in items {
            let before = offered.insert(item.seq, item.uri.clone());
            assert!(
                before.is_none_or(|before| before == item.uri),
                "a number has one meaning"
            );
        }
    }
    writer.seal().await.map(drop)
}

#[test]
fn a_number_keeps_its_meaning_whatever_comes_late() {
    for seed in 0..SEEDS {
        in_turn(seed, async |late| {
            let state = StateDir::at(Arc::clone(&late) as Arc<dyn Place>, JOB);
            let mut offered = BTreeMap::new();
            let mut attempts = 0;
            while discover(&state, attempts, &mut offered).await.is_err() {
                attempts += 1;
                assert!(attempts < 1000, "seed {seed}: it comes to an end");
            }
            loop {
                let (items, is_sealed) = super::jobs::items_of(&state).await.unwrap();
                assert_eq!((items.len(), is_sealed), (12, true), "seed {seed}");
                for item in items {
                    if let Some(uri) = offered.get(&item.seq) {
                        assert_eq!(item.uri, *uri, "seed {seed}");
                    }
                }
                if !late.arrive().await {
                    break;
                }
            }
        });
    }
}
