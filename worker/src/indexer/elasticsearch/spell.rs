//! What is told of a time in which the cluster takes nothing: one warning when it begins, one when it is over.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

/// A cluster that is only busy is expected to be so for a while; this long is worth a word.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// The spell that we are in, if we are in one.
#[derive(Debug, Default)]
pub(super) struct Spell(Mutex<Option<Bad>>);

#[derive(Debug)]
struct Bad {
    since: Instant,
    is_told: bool,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no room now.
    Busy,
    /// Nobody answers, or nobody who can work.
    Down,
}

impl Spell {
    /// Nothing was taken, for this reason. Says whether that was told.
    pub(super) fn fail(&self, trouble: Trouble, reason: &str) -> bool {
        let mut bad = self.bad();
        let bad = bad.get_or_insert_with(|| Bad {
            since: Instant::now(),
            is_told: false,
        });
        let is_worth_a_word = trouble == Trouble::Down || bad.since.elapsed() >= BUSY_MAX;
        if bad.is_told || !is_worth_a_word {
            return false;
        }
        bad.is_told = true;
        tracing::warn!("the cluster takes no documents, which are sent again until it does: {reason}");
        true
    }

    /// Something was taken. Says whether that was told.
    pub(super) fn end(&self) -> bool {
        let Some(bad) = self.bad().take() else { return false };
        if bad.is_told {
            tracing::warn!("the cluster takes documents again, after {:.1?}", bad.since.elapsed());
        }
        bad.is_told
    }

    fn bad(&self) -> MutexGuard<'_, Option<Bad>> {
        self.0.lock().expect("no one panics while holding it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_spell_is_told_once_at_its_beginning_and_once_at_its_end() {
        let spell = Spell::default();
        assert!(!spell.end());
        assert!(spell.fail(Trouble::Down, "no answer"));
        assert!(!spell.fail(Trouble::Down, "no answer"));
        assert!(spell.end() && !spell.end());
        assert!(spell.fail(Trouble::Down, "no answer"), "another spell");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_cluster_is_told_of_when_it_stays_busy() {
        let spell = Spell::default();
        assert!(!spell.fail(Trouble::Busy, "429"));
        assert!(!spell.end(), "nobody heard of it");
        assert!(!spell.fail(Trouble::Busy, "429"));
        tokio::time::advance(BUSY_MAX).await;
        assert!(spell.fail(Trouble::Busy, "429"));
        assert!(spell.end());
    }
}
