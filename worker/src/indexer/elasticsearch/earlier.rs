//! Looks for documents that an earlier attempt may have left in an index that is not written to any more.
//!
//! An `_id` is unique in one index, not in a data stream or behind an alias, which are written to one index after another. So
//! before documents go there that somebody may have sent before, they are looked for in the indices that may have been written
//! to since ("Multi get API": it reads what was taken, refreshed or not).
//!
//! An `_id` that is a value of a record proves nothing by itself: what is there is then compared with what was sent.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;

use super::{
    answer,
    cluster::in_path,
    judge::{self, Whole},
    stored,
    wire::{Attempt, Reply, Wire},
};
use crate::indexer::bulk::{Bulk, Operation};

/// Documents that are asked for at once.
const DOCUMENTS_MAX: usize = 2_000;

/// Sources that are asked for at once.
const SOURCES_BYTES_MAX: usize = 1 << 20;

/// The cluster's clock and the discoverer's may differ by this much.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(15);

/// A name is asked about again after this time: somebody may make an alias of it.
const KNOWN_FOR: Duration = Duration::from_mins(1);
/// As many names are known.
const NAMES_MAX: usize = 1_000;

/// Who looks.
#[derive(Debug)]
pub(super) struct Earlier {
    /// The name that all documents go to, if it is the same for all.
    name: Option<String>,
    operation: Operation,
    /// Names that stand for one index, and when that was found out.
    plain: Mutex<HashMap<String, Instant>>,
    is_told: AtomicBool,
    is_told_of_conflicts: AtomicBool,
}

/// What is stored by the `_id`s of documents, by their places, ascending. Of those in neither list it can't be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// It has all values of the document.
    pub(super) same: Vec<u32>,
    /// It is something else.
    pub(super) others: Vec<u32>,
}

/// What a name stands for.
#[derive(Debug)]
enum Holder {
    /// Nothing, one index, or something that we may not look at.
    One,
    /// Indices in the order in which they were made, the last of which is written to. Where an alias writes to another than the
    /// youngest, nobody knows which one it wrote to when: then they are all as young.
    Many(Vec<(Timestamp, String)>),
}

/// Why it is not known now.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) reason: String,
    pub(super) retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct Address<'a> {
    #[serde(borrow, rename = "_id")]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_index")]
    index: Option<Cow<'a, str>>,
    #[serde(borrow)]
    routing: Option<Cow<'a, str>>,
}

impl<'a> Address<'a> {
    fn of(bulk: &'a Bulk, place: u32) -> Option<Self> {
        let action: HashMap<&str, Self> = serde_json::from_slice(bulk.action(place)).ok()?;
        action.into_values().next()
    }
}

/// The `_id` of a document, as its action line has it.
pub(super) fn id(bulk: &Bulk, place: u32) -> Option<String> {
    Some(Address::of(bulk, place)?.id?.into_owned())
}

/// Documents that go by one name.
#[derive(Default)]
struct Asked {
    since: Option<Timestamp>,
    /// Their places, and what they are asked for by.
    documents: Vec<(u32, Value)>,
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow, default)]
    docs: Vec<FoundDocument<'a>>,
}

#[derive(Deserialize)]
struct FoundDocument<'a> {
    #[serde(default)]
    found: bool,
    #[serde(borrow, rename = "_source")]
    source: Option<&'a RawValue>,
    error: Option<FoundError>,
}

#[derive(Deserialize)]
struct FoundError {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: String,
}

/// What an answer to a question is good for.
enum Given {
    Value(Reply),
    /// There is no such thing.
    Nothing,
    /// We may not ask, or it can't be asked.
    Withheld(String),
}

impl Earlier {
    pub(super) fn new(name: Option<&str>, operation: Operation) -> Self {
        Self {
            name: name.map(str::to_owned),
            operation,
            plain: Mutex::default(),
            is_told: AtomicBool::new(false),
            is_told_of_conflicts: AtomicBool::new(false),
        }
    }

    /// Those of the documents, each with the time since when it may be there, that are there; ascending. With `compared`, what
    /// is there must be the same.
    pub(super) async fn find<W: Wire>(
        &self,
        wire: &W,
        bulk: &Bulk,
        documents: &[(u32, Timestamp)],
        compared: bool,
    ) -> Result<Vec<u32>, Trouble> {
        let mut found = Vec::new();
        for (name, mut asked) in self.by_name(bulk, documents) {
            let Holder::Many(mut indices) = self.holder(wire, &name).await? else {
                continue;
            };
            if self.operation == Operation::Index {
                // There the document is replaced, as it is meant to be.
                indices.pop();
            }
            let since = asked.since.unwrap_or(Timestamp::MIN);
            for index in written_since(&indices, since) {
                let (there, withheld) = self
                    .in_index(wire, index, &asked.documents, compared.then_some(bulk))
                    .await?;
                if let Some(reason) = withheld {
                    self.tell(index, &reason);
                }
                let there = there.same;
                asked.documents.retain(|(place, _)| !there.contains(place));
                found.extend(there);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// What is stored where documents go to now.
    pub(super) async fn stored<W: Wire>(&self, wire: &W, bulk: &Bulk, places: &[u32]) -> Result<Stored, Trouble> {
        let documents: Vec<_> = places.iter().map(|place| (*place, Timestamp::MIN)).collect();
        let mut stored = Stored::default();
        for (name, asked) in self.by_name(bulk, &documents) {
            let index = match self.holder(wire, &name).await? {
                Holder::One => name,
                Holder::Many(mut indices) => indices.pop().map_or(name, |(_, index)| index),
            };
            let (there, withheld) = self.in_index(wire, &index, &asked.documents, Some(bulk)).await?;
            if let Some(reason) = withheld {
                self.tell_of_conflicts(&index, &reason);
            }
            stored.same.extend(there.same);
            stored.others.extend(there.others);
        }
        stored.same.sort_unstable();
        stored.others.sort_unstable();
        Ok(stored)
    }

    fn by_name(&self, bulk: &Bulk, documents: &[(u32, Timestamp)]) -> BTreeMap<String, Asked> {
        let mut names: BTreeMap<String, Asked> = BTreeMap::new();
        for (place, since) in documents {
            let Some(address) = Address::of(bulk, *place) else {
                continue;
            };
            let name = address.index.map(Cow::into_owned).or_else(|| self.name.clone());
            let (Some(name), Some(id)) = (name, address.id) else {
                continue;
            };
            let mut document = json!({"_id": id});
            if let Some(routing) = address.routing {
                document["routing"] = routing.into();
            }
            let asked = names.entry(name).or_default();
            asked.since = Some(asked.since.map_or(*since, |known| known.min(*since)));
            asked.documents.push((*place, document));
        }
        names
    }

    /// What a name stands for.
    async fn holder<W: Wire>(&self, wire: &W, name: &str) -> Result<Holder, Trouble> {
        if self.plain().get(name).is_some_and(|found| found.elapsed() < KNOWN_FOR) {
            return Ok(Holder::One);
        }
        let name_in_path = in_path(name);
        let reply = match ask(wire, &format!("/_resolve/index/{name_in_path}"), None).await? {
            Given::Value(reply) => reply,
            // It is made by the first document.
            Given::Nothing => return Ok(Holder::One),
            Given::Withheld(reason) => {
                self.tell(name, &reason);
                return Ok(Holder::One);
            }
        };
        let found: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let members = members(&found);
        if members.is_empty() {
            let mut plain = self.plain();
            if plain.len() >= NAMES_MAX {
                plain.clear();
            }
            plain.insert(name.to_owned(), Instant::now());
            return Ok(Holder::One);
        }
        let path = format!("/{name_in_path}/_settings/index.creation_date?expand_wildcards=all");
        let settings: Value = match ask(wire, &path, None).await? {
            Given::Value(reply) => serde_json::from_slice(&reply.body).unwrap_or_default(),
            Given::Nothing => return Ok(Holder::One),
            // Then all of them are looked into, in the order that they are given in.
            Given::Withheld(_) => Value::Null,
        };
        let made = |index: &str| {
            let millis = settings[index]["settings"]["index"]["creation_date"].as_str()?;
            Timestamp::from_millisecond(millis.parse().ok()?).ok()
        };
        let mut indices: Vec<_> = members
            .into_iter()
            .map(|index| (made(&index).unwrap_or(Timestamp::MAX), index))
            .collect();
        indices.sort_by_key(|(made, _)| *made);
        if found["aliases"].as_array().is_some_and(|aliases| !aliases.is_empty())
            && let Some(written) = write_index(wire, name).await?
            && indices.last().is_none_or(|(_, youngest)| *youngest != written)
        {
            indices.retain(|(_, index)| *index != written);
            indices.push((Timestamp::MAX, written));
            for (made, _) in &mut indices {
                *made = Timestamp::MAX;
            }
        }
        Ok(Holder::Many(indices))
    }

    /// Those of the documents that are in an index, and why some of them may not be looked at. Only if there is a bulk to compare
    /// with are any others than the same.
    async fn in_index<W: Wire>(
        &self,
        wire: &W,
        index: &str,
        documents: &[(u32, Value)],
        compared_with: Option<&Bulk>,
    ) -> Result<(Stored, Option<String>), Trouble> {
        let path = format!("/{}/_mget?_source={}", in_path(index), compared_with.is_some());
        let mut there = Stored::default();
        for some in questions(documents, compared_with) {
            let asked: Vec<_> = some.iter().map(|(_, document)| document).collect();
            let body = json!({"docs": asked}).to_string();
            let reply = match ask(wire, &path, Some(body.into())).await? {
                Given::Value(reply) => reply,
                Given::Nothing => return Ok((there, None)),
                Given::Withheld(reason) => return Ok((there, Some(reason))),
            };
            let found = serde_json::from_slice::<Found<'_>>(&reply.body)
                .ok()
                .filter(|found| found.docs.len() == some.len());
            let Some(Found { docs }) = found else {
                return Err(Trouble {
                    reason: format!(
                        "the answer to _mget can't be read: it begins with `{}`",
                        answer::start(&reply.body)
                    ),
                    retry_after: None,
                });
            };
            for ((place, _), document) in some.iter().zip(docs) {
                match document.error {
                    None if document.found => match (compared_with, document.source) {
                        (None, _) => there.same.push(*place),
                        (Some(bulk), Some(source)) if stored::has_all(source, bulk.source(*place)) => {
                            there.same.push(*place);
                        }
                        (Some(_), Some(_)) => there.others.push(*place),
                        // The index keeps no sources.
                        (Some(_), None) => {}
                    },
                    None => {}
                    Some(error) if error.kind == "index_not_found_exception" => {}
                    Some(error) if ["security_exception", "index_closed_exception"].contains(&error.kind.as_str()) => {
                        return Ok((there, Some(judge::words(400, &error.kind, &error.reason))));
                    }
                    Some(error) => {
                        return Err(Trouble {
                            reason: judge::words(503, &error.kind, &error.reason),
                            retry_after: None,
                        });
                    }
                }
            }
        }
        Ok((there, None))
    }

    /// Says once that something can't be looked at.
    fn tell(&self, index: &str, reason: &str) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "cannot look for what an earlier attempt left in `{index}`, so that a record that was sent before a rollover may be \
                 there twice: {reason}: grant the privileges `read` and `view_index_metadata` there"
            );
        }
    }

    /// The same, where that makes conflicts.
    fn tell_of_conflicts(&self, index: &str, reason: &str) {
        if !self.is_told_of_conflicts.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "cannot look at what is in `{index}`, so that a record that is there already counts as conflicting, though it may be \
                 itself: {reason}: grant the privilege `read` there, or give --es-on-conflict keep"
            );
        }
    }

    fn plain(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.plain.lock().expect("no one panics while holding it")
    }
}

/// Documents, as many as are asked for at once. Where sources come back, that is as many as have so many bytes as they were
/// sent, or one that has more: what is there is most likely the same, and as large.
fn questions<'a>(documents: &'a [(u32, Value)], compared_with: Option<&Bulk>) -> Vec<&'a [(u32, Value)]> {
    let Some(bulk) = compared_with else {
        return documents.chunks(DOCUMENTS_MAX).collect();
    };
    let mut bytes = 0;
    let is_next = |_: &(u32, Value), (place, _): &(u32, Value)| {
        bytes += bulk.source(*place).len();
        let fits = bytes < SOURCES_BYTES_MAX;
        if !fits {
            bytes = bulk.source(*place).len();
        }
        fits
    };
    let of_a_size = documents.chunk_by(is_next);
    of_a_size.flat_map(|some| some.chunks(DOCUMENTS_MAX)).collect()
}

/// The indices behind a data stream or an alias; none if the name is an index'.
fn members(found: &Value) -> Vec<String> {
    let names = |value: &Value| match value {
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(name) => vec![name.clone()],
        _ => Vec::new(),
    };
    let of = |kind: &str, key: &str| -> Vec<String> {
        let holders = found[kind].as_array().into_iter().flatten();
        holders.flat_map(|holder| names(&holder[key])).collect()
    };
    let mut members = of("data_streams", "backing_indices");
    members.extend(of("aliases", "indices"));
    members
}

/// The index that an alias is written to, if it says one and we may look.
async fn write_index<W: Wire>(wire: &W, alias: &str) -> Result<Option<String>, Trouble> {
    let Given::Value(reply) = ask(wire, &format!("/_alias/{}", in_path(alias)), None).await? else {
        return Ok(None);
    };
    let aliases: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let mut indices = aliases.as_object().into_iter().flatten();
    let written = indices.find(|(_, index)| index["aliases"][alias]["is_write_index"] == true);
    Ok(written.map(|(index, _)| index.clone()))
}

/// Those of the indices, in the order in which they were made, that may have been written to since then: one is, until the
/// next is made.
fn written_since(indices: &[(Timestamp, String)], since: Timestamp) -> impl Iterator<Item = &str> {
    let since = since.checked_sub(CLOCKS_DIFFER).unwrap_or(Timestamp::MIN);
    let next = indices.iter().skip(1).map(|(made, _)| *made).chain([Timestamp::MAX]);
    let both = indices.iter().zip(next);
    both.filter(move |(_, next)| *next >= since)
        .map(|((_, index), _)| index.as_str())
}

async fn ask<W: Wire>(wire: &W, path: &str, body: Option<Bytes>) -> Result<Given, Trouble> {
    let reply = match wire.ask(path, body).await {
        Attempt::Answered(reply) => reply,
        Attempt::Lost { reason, .. } => {
            return Err(Trouble {
                reason,
                retry_after: None,
            });
        }
    };
    let words = || judge::whole_words(reply.status, &reply.body);
    match judge::request(reply.status) {
        Whole::Answered => Ok(Given::Value(reply)),
        Whole::NotSignedIn if reply.may_sign_in_again => Err(Trouble {
            reason: words(),
            retry_after: reply.retry_after,
        }),
        Whole::Busy | Whole::Unwell => Err(Trouble {
            reason: words(),
            retry_after: reply.retry_after,
        }),
        _ if reply.status == 404 => Ok(Given::Nothing),
        _ => Ok(Given::Withheld(words())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_may_have_been_written_to_until_the_next_was_made() {
        let at = |hour: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hour);
        let indices = [1, 3, 5].map(|hour| (at(hour), format!("i-{hour}")));
        let written = |hour| written_since(&indices, at(hour)).collect::<Vec<_>>();
        assert_eq!(written(0), ["i-1", "i-3", "i-5"]);
        assert_eq!(written(3), ["i-1", "i-3", "i-5"]);
        assert_eq!(written(4), ["i-3", "i-5"]);
        assert_eq!(written(6), ["i-5"]);
        // Within what clocks differ by.
        let soon = at(3) + SignedDuration::from_mins(10);
        assert_eq!(written_since(&indices, soon).count(), 3);
        assert_eq!(written_since(&indices, Timestamp::MIN).count(), 3);
    }

    #[test]
    fn what_is_behind_a_name_is_listed_in_whichever_form() {
        for (found, expected) in [
            (
                json!({"indices": [{"name": "a"}], "aliases": [], "data_streams": []}),
                &[][..],
            ),
            (
                json!({"data_streams": [{"name": "s", "backing_indices": ["a", "b"]}]}),
                &["a", "b"],
            ),
            (json!({"data_streams": [{"name": "s", "backing_indices": "a"}]}), &["a"]),
            (json!({"aliases": [{"name": "s", "indices": ["a", "b"]}]}), &["a", "b"]),
            (json!(null), &[]),
        ] {
            assert_eq!(members(&found), expected, "{found}");
        }
    }
}
