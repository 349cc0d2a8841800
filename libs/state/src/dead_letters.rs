//! Record dead letters: records that were given up, with the reason and their bytes, to be looked at and tried again.
//!
//! They are stored before their item is settled, so a record may be here more than once when its item was delivered more
//! than once. Readers take each once, by item and ordinal, and only where the delivery that settled the item lets it stand:
//! what an earlier delivery gave up, and the one that counts took, is in the sink.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{TryStreamExt as _, stream::BoxStream};
use roaring::RoaringTreemap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tokio::sync::Mutex;

use crate::{
    Books, Delivery, Ledger, LedgerReader, Result, StateDir,
    growing::{Entries, Growing, last_generations},
    part::{Kind, Part},
};

const FOLDER: &str = "dead-letters/";

/// Bytes of records in a part, about: so many are put anew with each new one.
const PART_BYTES_MAX: usize = 1024 * 1024;

/// Where a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is no record of its format, or too large.
    Decode,
    /// The transform failed on it.
    Transform,
    /// The sink does not take it.
    Index,
    /// A stage that another version of the program knows.
    #[serde(other)]
    Other,
}

/// A record that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordDeadLetter {
    /// The item's number in its job.
    pub seq: u64,
    /// The object.
    pub uri: String,
    /// The version of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Decompressed offset of the record's first byte (NDJSON), or row number in the file (Parquet).
    pub ordinal: u64,
    /// Where it failed.
    pub stage: Stage,
    /// Why, in words for a person.
    pub reason: String,
    /// The record's bytes: all of them, or its beginning.
    #[serde(flatten, serialize_with = "write_raw", deserialize_with = "read_raw")]
    pub raw: Vec<u8>,
    /// How long the record is, if that is more than is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_bytes: Option<u64>,
    /// Which delivery gave it up.
    #[serde(flatten)]
    pub by: Delivery,
}

/// `raw` where it is text, else `raw_base64`.
#[derive(Serialize, Deserialize)]
struct Raw<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
}

fn write_raw<S: Serializer>(raw: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let raw = match std::str::from_utf8(raw) {
        Ok(text) => Raw {
            raw: Some(text.into()),
            raw_base64: None,
        },
        Err(_) => Raw {
            raw: None,
            raw_base64: Some(BASE64_STANDARD.encode(raw)),
        },
    };
    raw.serialize(serializer)
}

fn read_raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    match Raw::deserialize(deserializer)? {
        Raw { raw: Some(text), .. } => Ok(text.into_owned().into_bytes()),
        Raw {
            raw_base64: Some(text), ..
        } => BASE64_STANDARD.decode(text).map_err(D::Error::custom),
        Raw { .. } => Err(D::Error::missing_field("raw")),
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct About {
    job: String,
    worker: String,
}

#[derive(Debug, Clone, Default)]
struct Letters {
    letters: Vec<RecordDeadLetter>,
    bytes: usize,
}

impl Entries for Letters {
    type About = About;
    type Entry = RecordDeadLetter;
    const KIND: Kind = Kind::DeadLetters;
    const FOLDER: &str = FOLDER;

    fn take(&mut self, more: &mut &[RecordDeadLetter]) {
        while self.bytes < PART_BYTES_MAX
            && let Some((first, rest)) = more.split_first()
        {
            self.bytes += first.raw.len() + first.uri.len() + first.reason.len();
            self.letters.push(first.clone());
            *more = rest;
        }
    }

    fn about(&self, job: &str, worker: &str) -> About {
        About {
            job: job.to_owned(),
            worker: worker.to_owned(),
        }
    }

    fn lines(&self) -> impl ExactSizeIterator<Item = &RecordDeadLetter> {
        self.letters.iter()
    }
}

/// One worker's side of a job's record dead letters. All calls may be made at the same time; they follow one another.
#[derive(Debug)]
pub struct DeadLetterWriter(Mutex<Growing<Letters>>);

impl DeadLetterWriter {
    /// Stores records; they are when this returns, and only then may their items be settled.
    ///
    /// Each call is one put or more: give it everything that there is to store.
    pub async fn store(&self, letters: &[RecordDeadLetter]) -> Result<()> {
        self.0.lock().await.add(letters).await
    }
}

/// Reads a job's record dead letters, a part at a time.
pub struct DeadLetterReader {
    parts: BoxStream<'static, Result<Vec<RecordDeadLetter>>>,
    seen: HashSet<(u64, u64)>,
    standing: Standing,
    superseded: u64,
}

/// What the settlements say of letters.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    settled: RoaringTreemap,
    /// Of items that reject: by whom they were settled, and how many records are rejected.
    rejecting: HashMap<u64, (Delivery, u64)>,
}

impl LedgerReader {
    /// What the settlements say of letters: some dozen bytes for each item with rejected records.
    pub async fn standing_letters(&self, ledger: &Ledger) -> Result<Standing> {
        let mut rejecting = HashMap::new();
        self.standing(&ledger.rejecting, |settled| {
            if settled.counts.records_rejected > 0 {
                rejecting.insert(settled.seq, (settled.by, settled.counts.records_rejected));
            }
        })
        .await?;
        Ok(Standing {
            settled: ledger.settled(),
            rejecting,
        })
    }
}

impl Standing {
    /// Rejected records of each item that has any.
    pub fn rejected(&self) -> impl Iterator<Item = (u64, u64)> {
        self.rejecting.iter().map(|(seq, (_, rejected))| (*seq, *rejected))
    }

    fn keeps(&self, letter: &RecordDeadLetter) -> bool {
        match self.rejecting.get(&letter.seq) {
            Some((by, _)) => by.keeps(&letter.by, letter.ordinal),
            // Of what nobody settled, nobody knows better.
            None => !self.settled.contains(letter.seq),
        }
    }
}

impl StateDir {
    /// A writer of record dead letters for the process `worker`, a pod's name for example. Nothing is contacted yet.
    pub fn write_dead_letters(&self, worker: &str) -> DeadLetterWriter {
        DeadLetterWriter(Mutex::new(Growing::new(self, worker)))
    }

    /// Reads the job's record dead letters that stand, each record once. It remembers 16 bytes of each.
    pub async fn read_dead_letters(&self) -> Result<DeadLetterReader> {
        let reader = self.read_ledger().await?;
        let ledger = reader.union().await?;
        let standing = reader.standing_letters(&ledger).await?;
        self.read_dead_letters_that(standing).await
    }

    /// The same, where it is known already what the settlements say.
    pub async fn read_dead_letters_that(&self, standing: Standing) -> Result<DeadLetterReader> {
        let parts = self.letter_parts(self.books().await?).await?;
        Ok(DeadLetterReader {
            parts,
            seen: HashSet::new(),
            standing,
            superseded: 0,
        })
    }

    /// Gives every letter that is of these books, whether it stands or not.
    pub(crate) async fn letters(&self, books: Books, mut visit: impl FnMut(RecordDeadLetter)) -> Result<()> {
        let mut parts = self.letter_parts(books).await?;
        while let Some(letters) = parts.try_next().await? {
            letters.into_iter().for_each(&mut visit);
        }
        Ok(())
    }

    async fn letter_parts(&self, books: Books) -> Result<BoxStream<'static, Result<Vec<RecordDeadLetter>>>> {
        let names = last_generations(self.names(FOLDER).await?);
        Ok(self.parts(names, move |mut part: Part<About>| {
            if part.header.kind != Kind::DeadLetters {
                return Err(part.damaged("it is no part of dead letters"));
            }
            let mut letters: Vec<RecordDeadLetter> = part.rest()?;
            letters.retain(|letter| books.have(letter.by.life.as_deref()));
            Ok(letters)
        }))
    }
}

impl DeadLetterReader {
    /// The next records, none behind the last one.
    pub async fn next(&mut self) -> Result<Option<Vec<RecordDeadLetter>>> {
        while let Some(mut letters) = self.parts.try_next().await? {
            letters.retain(|letter| {
                let stands = self.standing.keeps(letter);
                self.superseded += u64::from(!stands);
                stands && self.seen.insert((letter.seq, letter.ordinal))
            });
            if !letters.is_empty() {
                return Ok(Some(letters));
            }
        }
        Ok(None)
    }

    /// Letters so far that do not stand: the delivery that counts took their records.
    pub fn superseded(&self) -> u64 {
        self.superseded
    }
}
