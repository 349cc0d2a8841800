//! The manifest: the job's work items in the order of their numbers, written before anybody is offered them.
//!
//! A part is named after the number of its first item, and the last part, without items, seals the manifest. All of them
//! are created and never overwritten: two discoverers that go on from the same number want the same name, and one of them
//! loses, also when one adds items where the other seals.
//!
//! A discoverer that was stopped reads what is there and goes on where it ends. For that each part says how far the listing
//! had come: a cursor for each prefix that its items are from.

mod reader;

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use pf_work::WorkItem;
use serde::{Deserialize, Serialize};

pub use self::reader::ManifestReader;
use crate::{
    Error, Result, StateDir,
    part::{self, Kind, Part, VERSION},
    state_dir::computed,
};

pub(crate) const FOLDER: &str = "manifest/";
const PLAN: &str = "plan.json";
const DELIVERY: &str = "delivery.json";
const OFFERED: &str = "offered.json";

/// The end of a manifest that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seal {
    /// Items, numbered 0 up to this.
    pub items: u64,
    /// Parts that hold them.
    pub parts: u64,
    /// Objects that they cover.
    pub objects: u64,
    /// Bytes of these objects, as stored.
    pub bytes: u64,
}

/// What a part says of itself; the seal has the sums over all parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    job: String,
    /// The process that wrote it: what else is the same by chance is told apart by this.
    writer: String,
    first_seq: u64,
    objects: u64,
    bytes: u64,
    /// Parts before the seal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<u64>,
    /// By prefix that was listed: the last key whose items are here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    cursors: BTreeMap<String, String>,
}

/// What one part adds.
#[derive(Debug, Clone, Default)]
pub struct Addition {
    /// Work items, numbered from [`ManifestWriter::next_seq`] without a gap. All items of an object belong in one addition.
    pub items: Vec<WorkItem>,
    /// Objects that they cover.
    pub objects: u64,
    /// Bytes of these objects, as stored.
    pub bytes: u64,
    /// For each listed prefix, by any name that stays the same, the last key that was taken from it.
    pub cursors: BTreeMap<String, String>,
}

/// The one writer of a job's manifest.
#[derive(Debug)]
pub struct ManifestWriter {
    state: StateDir,
    writer: String,
    reached: Seal,
    cursors: BTreeMap<String, String>,
    is_sealed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlanFile {
    v: u32,
    job: String,
    plan: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OfferedFile {
    v: u32,
    job: String,
    offered: u64,
}

impl StateDir {
    /// Opens the manifest to go on with it, or begins it. `plan` is everything that the choice and the numbers of items
    /// depend on: a job that was begun with another one is refused.
    pub async fn write_manifest(&self, plan: &BTreeMap<String, String>) -> Result<ManifestWriter> {
        self.agree(PLAN, plan).await?;
        let mut writer = ManifestWriter {
            state: self.clone(),
            writer: format!("{:016x}", fastrand::u64(..)),
            reached: Seal::default(),
            cursors: BTreeMap::new(),
            is_sealed: false,
        };
        let mut headers = self.parts(self.names(FOLDER).await?, |part: Part<About>| {
            let damaged = part.damaged("it is not where the parts before it end");
            Ok((part.header, damaged))
        });
        while let Some((header, damaged)) = headers.try_next().await? {
            if header.about.first_seq != writer.reached.items || writer.is_sealed {
                return Err(damaged);
            }
            match header.kind {
                Kind::Seal => writer.is_sealed = true,
                _ => writer.reach(header.entries, header.about),
            }
        }
        Ok(writer)
    }

    /// Binds what becomes of records to the job: `plan` is everything that documents and where they go depend on. The first
    /// worker's stands, and another one is refused.
    pub async fn bind_delivery(&self, plan: &BTreeMap<String, String>) -> Result<()> {
        self.agree(DELIVERY, plan).await
    }

    async fn agree(&self, document: &str, plan: &BTreeMap<String, String>) -> Result<()> {
        let ours = PlanFile {
            v: VERSION,
            job: self.job().to_owned(),
            plan: plan.clone(),
        };
        let bytes = serde_json::to_vec_pretty(&ours).expect("strings are always JSON");
        if self.place().create(document, bytes.into()).await? {
            return Ok(());
        }
        let address = self.place().address(document);
        let bytes = self.place().get(document).await?;
        let bytes = bytes.ok_or_else(|| part::damaged(&address, "it went away while it was read"))?;
        let PlanFile { plan: theirs, .. } = part::document(&address, &bytes)?;
        let absent = "not given";
        let mut flags: Vec<&String> = plan.keys().chain(theirs.keys()).collect();
        flags.sort();
        flags.dedup();
        let differences: Vec<String> = flags
            .into_iter()
            .map(|flag| (flag, theirs.get(flag), plan.get(flag)))
            .filter(|(_, theirs, ours)| theirs != ours)
            .map(|(flag, theirs, ours)| {
                let show = |value: Option<&String>| value.map_or(absent.to_owned(), |value| format!("`{value}`"));
                format!("{flag} was {}, now {}", show(theirs), show(ours))
            })
            .collect();
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::OtherPlan {
            job: self.job().to_owned(),
            differences: differences.join("; "),
        })
    }

    /// Notes that items below `seq` are in the queue, so that a restart does not offer them again.
    pub async fn set_offered(&self, seq: u64) -> Result<()> {
        let file = OfferedFile {
            v: VERSION,
            job: self.job().to_owned(),
            offered: seq,
        };
        let bytes = serde_json::to_vec(&file).expect("strings and numbers are always JSON");
        Ok(self.place().put(OFFERED, bytes.into()).await?)
    }

    /// Items below this number were offered; some behind it may have been too.
    pub async fn offered(&self) -> Result<u64> {
        match self.place().get(OFFERED).await? {
            None => Ok(0),
            Some(bytes) => {
                let file: OfferedFile = part::document(&self.place().address(OFFERED), &bytes)?;
                Ok(file.offered)
            }
        }
    }
}

impl ManifestWriter {
    /// The number of the next item.
    pub fn next_seq(&self) -> u64 {
        self.reached.items
    }

    /// What the manifest holds so far.
    pub fn reached(&self) -> Seal {
        self.reached
    }

    /// Whether nothing may be added any more.
    pub fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// The last key of each prefix that is in the manifest, by the name that [`Addition::cursors`] gave it.
    pub fn cursors(&self) -> &BTreeMap<String, String> {
        &self.cursors
    }

    /// Adds a part. It is stored when this returns; after an error the writer is not to be used any more.
    ///
    /// # Panics
    /// When items are not numbered from [`next_seq`](Self::next_seq) on, or the manifest is sealed.
    pub async fn add(&mut self, addition: Addition) -> Result<()> {
        let Addition {
            items,
            objects,
            bytes,
            cursors,
        } = addition;
        assert!(!self.is_sealed, "nothing is added to a sealed manifest");
        for (item, seq) in items.iter().zip(self.reached.items..) {
            assert_eq!(item.seq, seq, "items are numbered without a gap");
        }
        if items.is_empty() {
            return Ok(());
        }
        let about = About {
            job: self.state.job().to_owned(),
            writer: self.writer.clone(),
            first_seq: self.reached.items,
            objects,
            bytes,
            parts: None,
            cursors,
        };
        let entries = items.len() as u64;
        let name = part_name(self.reached.items);
        let (encoded, about) = computed(move || (part::encode(Kind::Manifest, &about, items.iter()), about)).await;
        self.create(&name, encoded).await?;
        self.reach(entries, about);
        Ok(())
    }

    /// Ends the manifest: all items are in it.
    pub async fn seal(&mut self) -> Result<Seal> {
        if !self.is_sealed {
            let about = About {
                job: self.state.job().to_owned(),
                writer: self.writer.clone(),
                first_seq: self.reached.items,
                objects: self.reached.objects,
                bytes: self.reached.bytes,
                parts: Some(self.reached.parts),
                cursors: BTreeMap::new(),
            };
            let name = part_name(self.reached.items);
            let bytes = computed(move || part::encode(Kind::Seal, &about, std::iter::empty::<()>())).await;
            self.create(&name, bytes).await?;
            self.is_sealed = true;
        }
        Ok(self.reached)
    }

    /// Creates a part. That there is one already may mean that our own was stored and the answer lost.
    async fn create(&self, name: &str, bytes: bytes::Bytes) -> Result<()> {
        let place = self.state.place();
        if place.create(name, bytes.clone()).await? || place.get(name).await? == Some(bytes) {
            return Ok(());
        }
        Err(Error::Contested {
            document: place.address(name),
        })
    }

    fn reach(&mut self, entries: u64, about: About) {
        self.reached.items += entries;
        self.reached.parts += 1;
        self.reached.objects += about.objects;
        self.reached.bytes += about.bytes;
        self.cursors.extend(about.cursors);
    }
}

/// Twenty digits hold every number, so that the order of names is the order of items.
fn part_name(first_seq: u64) -> String {
    format!("{FOLDER}{first_seq:020}.ndjson.zst")
}
