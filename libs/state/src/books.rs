//! Whose a job's books are, and what they are to prove: bound before anything else is written.
//!
//! A name alone is not enough: a job that is deleted and made anew has the name of the first, and must neither be taken for
//! done because the first was, nor count what the first did as its own. So the books have an owner and a random number, the
//! *life*, which every item carries. Who takes over the books of another owner says so, and begins another life in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result, StateDir,
    part::{VERSION, damaged, document},
};

const PLAN: &str = "plan.json";
const DELIVERY: &str = "delivery.json";
const OWNERS: &str = "owners/";
const PROBE: &str = "creates.json";

/// One owner's time with the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Which items carry.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// When it began.
    pub since: Timestamp,
}

/// The lives that a job's books have had, the present one last. Without any, the books are not begun, or by an older program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Books {
    /// In their order.
    pub lives: Vec<Life>,
}

/// Who wants the books, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Whose they are to be.
    pub owner: &'a str,
    /// Whether they are taken over from another owner.
    pub resume: bool,
    /// Everything that decides what arrives: the choice and the numbers of items, and what becomes of records.
    pub plan: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlanFile {
    v: u32,
    job: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    life: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    plan: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OwnerFile {
    v: u32,
    job: String,
    owner: String,
    life: String,
    since: Timestamp,
}

impl Books {
    /// The present life.
    pub fn life(&self) -> Option<&Life> {
        self.lives.last()
    }

    /// Whose they were before they were taken over.
    pub fn taken_from(&self) -> Option<&str> {
        let before = self.lives.len().checked_sub(2)?;
        Some(&self.lives[before].owner)
    }

    /// Whether what names this life belongs here. An older worker names none.
    pub(crate) fn have(&self, life: Option<&str>) -> bool {
        let Some(life) = life else { return true };
        self.lives.is_empty() || self.lives.iter().any(|known| known.id == life)
    }

    /// Whether what names this life is certainly of these books.
    pub fn own(&self, life: Option<&str>) -> bool {
        match life {
            Some(life) => self.lives.iter().any(|known| known.id == life),
            None => self.lives.is_empty(),
        }
    }

    /// Whether what names this life was done for an earlier owner.
    pub(crate) fn is_before(&self, life: Option<&str>) -> bool {
        match (life, self.life()) {
            (Some(life), Some(present)) => life != present.id,
            _ => false,
        }
    }
}

impl StateDir {
    /// Begins the job's books, goes on with them, or takes them over. Refused is another owner, and another plan in any case.
    pub async fn claim(&self, claim: Claim<'_>) -> Result<Books> {
        self.see_that_creating_has_one_winner().await?;
        let ours = PlanFile {
            v: VERSION,
            job: self.job().to_owned(),
            owner: Some(claim.owner.to_owned()),
            life: Some(new_life()),
            since: Some(Timestamp::now()),
            plan: claim.plan.clone(),
        };
        let theirs = self.agree(PLAN, &ours).await?;
        let books = self.books().await?;
        let other = books.life().filter(|life| life.owner != claim.owner);
        if other.is_some() && !claim.resume {
            return Err(self.of_another(&books).await?);
        }
        if let Some(differences) = differences(&theirs.plan, claim.plan) {
            return Err(Error::OtherPlan {
                job: self.job().to_owned(),
                differences,
                standing: self.standing(&books).await?,
            });
        }
        match other {
            None => Ok(books),
            Some(_) => self.take_over(books, claim.owner).await,
        }
    }

    /// The lives that the books have had.
    pub async fn books(&self) -> Result<Books> {
        let Some(first) = self.read::<PlanFile>(PLAN).await? else {
            return Ok(Books::default());
        };
        let (Some(id), Some(owner), Some(since)) = (first.life, first.owner, first.since) else {
            return Ok(Books::default());
        };
        let mut lives = vec![Life { id, owner, since }];
        for name in self.names(OWNERS).await? {
            let found = self.read::<OwnerFile>(&name).await?;
            let OwnerFile { owner, life, since, .. } =
                found.ok_or_else(|| damaged(&self.place().address(&name), "it went away while it was read"))?;
            lives.push(Life { id: life, owner, since });
        }
        Ok(Books { lives })
    }

    /// Binds what becomes of records to the job: `plan` is everything that documents and where they go depend on. The first
    /// worker's stands, and another one is refused.
    pub async fn bind_delivery(&self, plan: &BTreeMap<String, String>) -> Result<()> {
        let ours = PlanFile {
            v: VERSION,
            job: self.job().to_owned(),
            owner: None,
            life: None,
            since: None,
            plan: plan.clone(),
        };
        let theirs = self.agree(DELIVERY, &ours).await?;
        match differences(&theirs.plan, plan) {
            None => Ok(()),
            Some(differences) => Err(Error::OtherPlan {
                job: self.job().to_owned(),
                differences,
                standing: self.standing(&self.books().await?).await?,
            }),
        }
    }

    /// Creates a document unless there is one, and gives the one that is there.
    async fn agree(&self, name: &str, ours: &PlanFile) -> Result<PlanFile> {
        let bytes = serde_json::to_vec_pretty(ours).expect("strings are always JSON");
        self.place().create(name, bytes.into()).await?;
        let theirs = self.read(name).await?;
        theirs.ok_or_else(|| damaged(&self.place().address(name), "it went away while it was read"))
    }

    async fn take_over(&self, mut books: Books, owner: &str) -> Result<Books> {
        let life = Life {
            id: new_life(),
            owner: owner.to_owned(),
            since: Timestamp::now(),
        };
        let file = OwnerFile {
            v: VERSION,
            job: self.job().to_owned(),
            owner: life.owner.clone(),
            life: life.id.clone(),
            since: life.since,
        };
        let bytes = serde_json::to_vec_pretty(&file).expect("strings are always JSON");
        // One number for each owner: of two that take over at once, one is told of the other.
        let name = format!("{OWNERS}{:06}.json", books.lives.len());
        if self.place().create(&name, bytes.into()).await? {
            books.lives.push(life);
            return Ok(books);
        }
        let books = self.books().await?;
        match books.life() {
            Some(present) if present.owner == owner => Ok(books),
            _ => Err(self.of_another(&books).await?),
        }
    }

    async fn of_another(&self, books: &Books) -> Result<Error> {
        let owner = books.life().map(|life| life.owner.clone()).unwrap_or_default();
        Ok(Error::OtherOwner {
            job: self.job().to_owned(),
            place: self.address(),
            owner,
            standing: self.standing(books).await?,
        })
    }

    /// Whose the books are, since when, and how far they came, for a person.
    async fn standing(&self, books: &Books) -> Result<String> {
        let whose = match books.life() {
            Some(life) => format!("begun by `{}` at {:.0}", life.owner, life.since),
            None => "begun by an older program".to_owned(),
        };
        let settled = self.ledger().await?.settled().len();
        Ok(match self.seal().await? {
            Some(seal) => format!("{whose}, listed to the end, {settled} of {} items settled", seal.items),
            None => format!("{whose}, not listed to the end, {settled} items settled"),
        })
    }

    /// Two discoverers must never both believe that a number is theirs, which a place that overwrites what it is only to create
    /// would let them.
    async fn see_that_creating_has_one_winner(&self) -> Result<()> {
        let probe = || Bytes::from(format!("{{\"v\":{VERSION},\"probe\":\"{}\"}}", new_life()));
        if self.place().create(PROBE, probe()).await? && self.place().create(PROBE, probe()).await? {
            return Err(Error::NoConditionalWrites { place: self.address() });
        }
        Ok(())
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(bytes) = self.place().get(name).await? else {
            return Ok(None);
        };
        document(&self.place().address(name), &bytes).map(Some)
    }
}

/// A number that no other life has.
fn new_life() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// How two plans differ, if they do.
fn differences(theirs: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) -> Option<String> {
    let mut flags: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
    flags.sort();
    flags.dedup();
    let show = |value: Option<&String>| value.map_or("not given".to_owned(), |value| format!("`{value}`"));
    let told: Vec<String> = flags
        .into_iter()
        .map(|flag| (flag, theirs.get(flag), ours.get(flag)))
        .filter(|(_, theirs, ours)| theirs != ours)
        .map(|(flag, theirs, ours)| format!("{flag} was {}, now {}", show(theirs), show(ours)))
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}
