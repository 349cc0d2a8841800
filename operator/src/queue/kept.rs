//! Things that are kept as long as somebody uses them. Pure: whoever asks says what time it is.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// What nobody has used for so long is dropped.
pub(super) const IDLE_MAX: Duration = Duration::from_mins(5);

/// Values by their keys, each with the moment of its last use.
#[derive(Debug)]
pub(super) struct Kept<K, V>(HashMap<K, (V, Instant)>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    /// What is kept by this key, which is used herewith. All that is idle is dropped.
    pub(super) fn get(&mut self, key: &K, now: Instant) -> Option<V> {
        self.0.retain(|_, (_, used)| now.duration_since(*used) < IDLE_MAX);
        let (value, used) = self.0.get_mut(key)?;
        *used = now;
        Some(value.clone())
    }

    pub(super) fn keep(&mut self, key: K, value: V, now: Instant) {
        self.0.insert(key, (value, now));
    }

    /// Drops what is kept by such keys.
    pub(super) fn forget(&mut self, is_meant: impl Fn(&K) -> bool) {
        self.0.retain(|key, _| !is_meant(key));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_idle_is_dropped_whoever_asks() {
        let (start, mut kept) = (Instant::now(), Kept::default());
        let (used, idle) = (Arc::new(1), Arc::new(2));
        kept.keep("used", used.clone(), start);
        kept.keep("idle", idle.clone(), start);
        let turn = IDLE_MAX * 9 / 10;
        assert_eq!(kept.get(&"used", start + turn), Some(used.clone()));
        assert_eq!(Arc::strong_count(&idle), 2, "not idle for long enough");
        assert_eq!(kept.get(&"used", start + 2 * turn), Some(used));
        assert_eq!(Arc::strong_count(&idle), 1, "dropped, though nobody asked for it");
        assert_eq!(kept.get(&"idle", start + 2 * turn), None);
    }

    #[test]
    fn what_is_forgotten_is_dropped_at_once() {
        let (now, mut kept) = (Instant::now(), Kept::default());
        kept.keep(1, "one", now);
        kept.keep(2, "two", now);
        kept.forget(|key| *key == 1);
        assert_eq!((kept.get(&1, now), kept.get(&2, now)), (None, Some("two")));
    }
}
