//! Which keys lead to the named fields: field paths as a small automaton that the walks step through.
//!
//! A path `a.b.c` means the nested keys, and also a literal key that has the dots in it (`"a.b"` with `"c"` below, …). A
//! state is how far which paths have come, so that the number of states is about the number of path parts.

use std::collections::HashMap;

use crate::predicate::FieldPath;

/// The automaton.
#[derive(Debug)]
pub(super) struct Selection {
    states: Vec<State>,
}

/// A place in the automaton: an object at which named fields may be.
pub(super) type StateId = u32;
/// Where the record itself is.
pub(super) const RECORD: StateId = 0;

#[derive(Debug, Default)]
struct State {
    keys: Vec<Key>,
}

/// A key that leads on.
#[derive(Debug)]
pub(super) struct Key {
    name: Box<[u8]>,
    /// Number of this key among all keys of all states.
    pub(super) number: u32,
    /// The paths, by their place in the list, that end here.
    pub(super) ends: Vec<u32>,
    /// Where paths go on if the value is an object.
    pub(super) below: Option<StateId>,
}

/// How far paths have come: path, and the number of its parts that are behind.
type Progress = Vec<(u32, u32)>;

impl Selection {
    /// The automaton of these paths.
    pub(super) fn new(paths: &[FieldPath]) -> Self {
        let start: Progress = (0..paths.len() as u32).map(|path| (path, 0)).collect();
        let mut numbers = HashMap::from([(start.clone(), RECORD)]);
        let mut waiting = vec![start];
        let mut states = Vec::new();
        let mut keys_total = 0;
        while let Some(progress) = waiting.get(states.len()).cloned() {
            let mut state = State::default();
            for (name, ends, further) in keys_from(paths, &progress) {
                let below = (!further.is_empty()).then(|| {
                    *numbers.entry(further.clone()).or_insert_with(|| {
                        waiting.push(further);
                        waiting.len() as StateId - 1
                    })
                });
                state.keys.push(Key {
                    name: name.into_bytes().into(),
                    number: keys_total,
                    ends,
                    below,
                });
                keys_total += 1;
            }
            states.push(state);
        }
        Self { states }
    }

    /// What a key leads to at a state, if to any named field.
    #[inline]
    pub(super) fn find(&self, state: StateId, name: &[u8]) -> Option<&Key> {
        self.states[state as usize].keys.iter().find(|key| *key.name == *name)
    }

    /// How many keys there are in all states.
    pub(super) fn keys_total(&self) -> usize {
        self.states.iter().map(|state| state.keys.len()).sum()
    }
}

/// The keys that lead on from a state: each with the paths that end at it, and the paths that go on below it.
fn keys_from(paths: &[FieldPath], progress: &Progress) -> Vec<(String, Vec<u32>, Progress)> {
    let mut keys: Vec<(String, Vec<u32>, Progress)> = Vec::new();
    for (path, behind) in progress {
        let parts = &paths[*path as usize].0;
        for taken in *behind as usize + 1..=parts.len() {
            let name = parts[*behind as usize..taken].join(".");
            let index = keys.iter().position(|key| key.0 == name).unwrap_or_else(|| {
                keys.push((name, Vec::new(), Vec::new()));
                keys.len() - 1
            });
            if taken == parts.len() {
                keys[index].1.push(*path);
            } else {
                keys[index].2.push((*path, taken as u32));
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(paths: &[&[&str]]) -> Selection {
        let paths: Vec<FieldPath> = paths
            .iter()
            .map(|parts| FieldPath(parts.iter().map(ToString::to_string).collect()))
            .collect();
        Selection::new(&paths)
    }

    fn ends(selection: &Selection, keys: &[&str]) -> Vec<u32> {
        let mut state = Some(RECORD);
        let mut ends = Vec::new();
        for key in keys {
            let Some(found) = state.and_then(|state| selection.find(state, key.as_bytes())) else {
                return Vec::new();
            };
            (state, ends) = (found.below, found.ends.clone());
        }
        ends
    }

    #[test]
    fn a_path_is_found_through_nested_keys_and_through_keys_with_dots() {
        let selection = selection(&[&["a", "b", "c"], &["a"], &["x"]]);
        for keys in [&["a", "b", "c"][..], &["a.b", "c"], &["a", "b.c"], &["a.b.c"]] {
            assert_eq!(ends(&selection, keys), [0], "{keys:?}");
        }
        assert_eq!(ends(&selection, &["a"]), [1]);
        assert_eq!(ends(&selection, &["x"]), [2]);
        for keys in [&["b"][..], &["a", "c"], &["a", "b"], &["x", "a"], &["a", "b", "c", "d"]] {
            assert!(ends(&selection, keys).is_empty(), "{keys:?}");
        }
    }

    #[test]
    fn long_paths_with_repeated_parts_make_few_states() {
        let long = ["a"; 60];
        assert!(selection(&[&long, &long[..30]]).states.len() < 200);
    }
}
