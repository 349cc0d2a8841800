//! Whether a refusal is about one object or about us.
//!
//! A server that denies one object says the same as one that lets us in nowhere: the object may be another account's, or gone
//! from a bucket that we may not list, and so one of many, or our own permission may be missing, or be taken from us midway.
//! Only other objects tell, and only what was asked for after the refusal: what was read before it says nothing of a permission
//! that was taken away in between. So an object is given up for a refusal where one that was read before can be read again.
//! Where nothing was read yet, refused items are held,
//! and judged when something is read, or when it is clear that nothing can be: then the worker stops, and none of them is
//! given up.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use pf_storage::{Error, Storage};
use pf_work::settle::{Flaw, Outcome};
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep},
};

use crate::{delivery::Leased, ending::Ending, prefetch::Object};

/// So many different objects must be refused, and none be read, before we take it that nobody lets us in.
const REFUSED_MIN: usize = 3;
/// Objects that are opened ahead of a lane get this long to prove the contrary.
const GRACE: Duration = Duration::from_secs(1);
/// Objects that were read well and can be asked for again: more than one, for each may be gone since.
const KNOWN_MAX: usize = 3;
/// How often it is looked whether held items can be judged.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is known of it, by all lanes of a worker.
#[derive(Debug)]
pub struct Permission {
    storage: Storage,
    ending: Arc<Ending>,
    /// How long items are held while nothing else is read.
    patience: Duration,
    /// When the last request began that proved that we are let in. Who holds it asks: refusals that come meanwhile share the
    /// next answer.
    asked_at: AsyncMutex<Option<Instant>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Objects that were read well, the last one last.
    known: VecDeque<Object>,
    /// Something was read, if only of an empty object, which can't be asked for again.
    is_proven: bool,
    held: Vec<Held>,
    /// When there were enough of them.
    enough_at: Option<Instant>,
    /// Lanes that read an object.
    reading: usize,
    /// Since when none does.
    idle_at: Option<Instant>,
}

/// An item whose object was refused before any other was read.
#[derive(Debug)]
struct Held {
    leased: Leased,
    reason: String,
}

/// A lane that reads an object, until this is dropped.
#[derive(Debug)]
pub struct Reading<'a>(&'a Permission);

impl Permission {
    /// Nothing is known yet. Items are held for `patience` while nothing else is read.
    pub fn new(storage: Storage, ending: Arc<Ending>, patience: Duration) -> Self {
        Self {
            storage,
            ending,
            patience,
            asked_at: AsyncMutex::default(),
            state: Mutex::default(),
        }
    }

    /// A lane begins with an object.
    pub fn reading(&self) -> Reading<'_> {
        self.state().reading += 1;
        Reading(self)
    }

    /// Something of an object was read: we are let in.
    pub fn prove(&self, object: &Object) {
        let mut state = self.state();
        state.is_proven = true;
        // Nothing can be asked for of an empty one.
        if object.size_bytes > 0 && state.known.back().is_none_or(|last| last.uri != object.uri) {
            state.known.retain(|known| known.uri != object.uri);
            if state.known.len() == KNOWN_MAX {
                state.known.pop_front();
            }
            state.known.push_back(object.clone());
        }
        state.enough_at = None;
        let held = std::mem::take(&mut state.held);
        drop(state);
        for Held { leased, reason } in held {
            leased.end(denied(&reason));
        }
    }

    /// What a refusal of an object means for its item. None: nobody knows yet, so the item is to be [held](Self::hold).
    pub async fn judge(&self, reason: &str) -> Option<Outcome> {
        let refused_at = Instant::now();
        let mut asked_at = self.asked_at.lock().await;
        if asked_at.is_some_and(|at| at >= refused_at) {
            return Some(denied(reason));
        }
        let known: Vec<Object> = self.state().known.iter().rev().cloned().collect();
        let mut trouble = None;
        for object in &known {
            let began_at = Instant::now();
            match self.storage.read_range(&object.uri, object.etag.as_deref(), 0..1).await {
                // Who is told that it changed or is gone is let in, too.
                Ok(_) | Err(Error::Changed { .. } | Error::NotFound { .. }) => {
                    *asked_at = Some(began_at);
                    self.prove(object);
                    return Some(denied(reason));
                }
                Err(Error::Denied { .. } | Error::NoSuchBucket { .. }) => {}
                Err(error) => trouble = Some(crate::input::reason(&error)),
            }
        }
        match trouble {
            Some(trouble) => Some(Outcome::Unavailable {
                reason: format!("{reason}; whether others can be read is not known: {trouble}"),
            }),
            None if known.is_empty() => None,
            None => Some(Outcome::Refused {
                reason: format!("{reason}; what could be read before can't be read any more"),
            }),
        }
    }

    /// Keeps an item until it is known what its refusal means.
    pub fn hold(&self, leased: Leased, reason: String) {
        let mut state = self.state();
        // Something may have been read since it was judged.
        if !state.known.is_empty() || state.is_proven {
            drop(state);
            leased.end(denied(&reason));
            return;
        }
        state.held.push(Held { leased, reason });
        let mut uris: Vec<&str> = state
            .held
            .iter()
            .map(|held| &*held.leased.tracked().item().uri)
            .collect();
        uris.sort_unstable();
        uris.dedup();
        if uris.len() >= REFUSED_MIN {
            state.enough_at.get_or_insert_with(Instant::now);
        }
    }

    /// Judges held items where nothing is read, for ever.
    pub async fn run(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    fn look(&self) {
        let mut state = self.state();
        if state.held.is_empty() {
            return;
        }
        let is_draining = self.ending.shutdown().is_draining();
        let is_enough = state.enough_at.is_some_and(|at| at.elapsed() >= GRACE);
        let is_idle = state.reading == 0 && state.idle_at.is_some_and(|at| at.elapsed() >= self.patience);
        if !(is_draining || is_enough || is_idle) {
            return;
        }
        state.enough_at = None;
        let held = std::mem::take(&mut state.held);
        drop(state);
        let objects = held.len();
        for Held { leased, reason } in held {
            leased.end(if is_draining {
                Outcome::Interrupted
            } else {
                Outcome::Refused {
                    reason: match objects {
                        1 => reason,
                        _ => format!("{reason}; {objects} objects were refused, and none could be read"),
                    },
                }
            });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while noting what was read")
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.reading -= 1;
        if state.reading == 0 {
            state.idle_at = Some(Instant::now());
        }
    }
}

/// An object that may not be read, while others may.
fn denied(reason: &str) -> Outcome {
    Outcome::Broken {
        flaw: Flaw::Denied,
        reason: format!("no permission, though others can be read: {reason}"),
    }
}

#[cfg(test)]
mod tests;
