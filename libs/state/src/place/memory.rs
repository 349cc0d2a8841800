//! Documents in memory, for tests and for simulations of a whole job without servers.
//!
//! It can be told to fail from some write on, before or after the write took effect, as a process that is killed or a
//! connection that breaks would have it.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use bytes::Bytes;
use pf_storage::{Error, Result};

use super::{Names, Place};

/// Names in a page, few enough that tests see several.
const PAGE_NAMES: usize = 7;

/// An empty place in memory.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<String, Bytes>,
    /// Writes until one fails.
    writes_left: Option<u64>,
    /// Whether the write that fails is done all the same, and only its answer is lost.
    takes_effect: bool,
}

impl Memory {
    /// Nothing in it, and nothing fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, `writes` more writes succeed and every one behind them fails; the first that fails may take effect.
    pub fn fail_after(&self, writes: u64, takes_effect: bool) {
        let mut state = self.state();
        state.writes_left = Some(writes);
        state.takes_effect = takes_effect;
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.state().writes_left = None;
    }

    /// All documents, by name.
    pub fn documents(&self) -> BTreeMap<String, Bytes> {
        self.state().documents.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no call panics while it holds the lock")
    }

    fn write<T>(&self, name: &str, act: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> Result<T> {
        let mut state = self.state();
        match state.writes_left {
            None => return Ok(act(&mut state.documents)),
            Some(0) => {}
            Some(left) => {
                state.writes_left = Some(left - 1);
                return Ok(act(&mut state.documents));
            }
        }
        if std::mem::take(&mut state.takes_effect) {
            act(&mut state.documents);
        }
        Err(Error::Unavailable {
            action: "write",
            uri: self.address(name),
            attempts: 1,
            source: Box::new(io::Error::from(io::ErrorKind::ConnectionReset)),
        })
    }
}

#[async_trait]
impl Place for Memory {
    fn address(&self, name: &str) -> String {
        format!("memory:{name}")
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        Ok(self.state().documents.get(name).cloned())
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.write(name, |documents| {
            documents.insert(name.to_owned(), bytes);
        })
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool> {
        self.write(name, |documents| {
            let is_new = !documents.contains_key(name);
            documents.entry(name.to_owned()).or_insert(bytes);
            is_new
        })
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.write(name, |documents| {
            documents.remove(name);
        })
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Names> {
        let state = self.state();
        let mut names = state
            .documents
            .keys()
            .filter(|name| name.starts_with(prefix) && after.is_none_or(|after| name.as_str() > after));
        let page: Vec<String> = names.by_ref().take(PAGE_NAMES).cloned().collect();
        Ok(Names {
            names: page,
            is_last: names.next().is_none(),
        })
    }
}
