//! Lines without some of their fields: what is left stands as it stood, byte for byte. The line was checked before.

use std::ops::Range;

use super::{
    escape,
    fault::Fault,
    scan,
    selection::{RECORD, Selection, StateId},
    walk,
};
use crate::predicate::FieldPath;

/// Leaves fields out.
#[derive(Debug)]
pub(crate) struct Cut {
    selection: Selection,
    key: Vec<u8>,
    /// What is left out of the line at hand, in order.
    gaps: Vec<Range<usize>>,
}

impl Cut {
    /// Leaves these out; none if there is nothing to leave out.
    pub(crate) fn new(paths: &[FieldPath]) -> Option<Self> {
        (!paths.is_empty()).then(|| Self {
            selection: Selection::new(paths),
            key: Vec::new(),
            gaps: Vec::new(),
        })
    }

    /// Appends a record's line to `out`, without the fields, each as often as it is there, and without the commas that they
    /// leave behind. What is no object has no fields.
    pub(crate) fn copy(&mut self, text: &[u8], record: Range<usize>, out: &mut Vec<u8>) {
        self.gaps.clear();
        let at = walk::white_space(text, record.start);
        if text[at] == b'{' {
            let search = Search {
                selection: &self.selection,
                key: &mut self.key,
                gaps: &mut self.gaps,
            };
            // The text was checked, so that there is no fault.
            search.run(text, at).ok();
        }
        let mut from = record.start;
        for gap in &self.gaps {
            out.extend_from_slice(&text[from..gap.start]);
            from = gap.end;
        }
        out.extend_from_slice(&text[from..record.end]);
    }
}

struct Search<'a> {
    selection: &'a Selection,
    key: &'a mut Vec<u8>,
    gaps: &'a mut Vec<Range<usize>>,
}

impl Search<'_> {
    fn run(mut self, text: &[u8], at: usize) -> Result<(), Fault> {
        self.object(text, at, RECORD, 1).map(drop)
    }

    /// Walks an object that has named fields in it, to behind it. No deeper than the longest path.
    fn object(&mut self, text: &[u8], at: usize, state: StateId, depth: u32) -> Result<usize, Fault> {
        let mut at = walk::white_space(text, at + 1);
        if text[at] == b'}' {
            return Ok(at + 1);
        }
        // The comma behind the last member that stays.
        let mut comma: Option<usize> = None;
        let mut stays = false;
        loop {
            let member = at;
            let stop = scan::string_stop(text, at + 1);
            let (key, behind) = if text[stop] == b'"' {
                (self.selection.find(state, &text[at + 1..stop]), stop + 1)
            } else {
                self.key.clear();
                let behind = escape::string(text, at + 1, self.key, &mut true)?;
                (self.selection.find(state, self.key), behind)
            };
            let value = walk::colon(text, behind)?;
            let is_cut = key.is_some_and(|key| !key.ends.is_empty());
            let below = key.and_then(|key| key.below);
            let end = match below {
                Some(below) if !is_cut && text[value] == b'{' => self.object(text, value, below, depth + 1)?,
                _ => walk::value(text, value, depth)?,
            };
            at = walk::white_space(text, end);
            let is_last = text[at] != b',';
            let next = if is_last { at } else { walk::white_space(text, at + 1) };
            if is_cut {
                // With the comma before it, or, if nothing before it stays, with the one behind it.
                self.gaps.push(match comma.filter(|_| stays) {
                    Some(comma) => comma..end,
                    None if is_last => member..end,
                    None => member..next,
                });
            } else {
                stays = true;
            }
            if is_last {
                return Ok(at + 1);
            }
            comma = Some(at);
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn without(line: &str, paths: &[&str]) -> String {
        let paths: Vec<FieldPath> = paths.iter().map(|path| path.parse().unwrap()).collect();
        let text = format!("x{line}\n");
        let mut out = Vec::new();
        Cut::new(&paths)
            .unwrap()
            .copy(text.as_bytes(), 1..1 + line.len(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_left_out_wherever_they_stand_and_the_rest_stays_as_it_is() {
        for (line, paths, left) in [
            (r#"{"a":1,"b" : 2 , "c":3}"#, &["a"][..], r#"{"b" : 2 , "c":3}"#),
            (r#"{"a":1,"b" : 2 , "c":3}"#, &["b"], r#"{"a":1 , "c":3}"#),
            (r#"{"a":1,"b" : 2 , "c":3}"#, &["c"], r#"{"a":1,"b" : 2 }"#),
            (r#"{"a":1,"b" : 2 , "c":3}"#, &["a", "b"], r#"{"c":3}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["b", "c"], r#"{"a":1}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["a", "c"], r#"{"b":2}"#),
            (r#"{ "a":1 }"#, &["a"], r"{  }"),
            (r#"{"a":1,"a":2}"#, &["a"], "{}"),
            (r#"{"\u0061":1,"b":1}"#, &["a"], r#"{"b":1}"#),
            (
                r#"{"a":{"b":1,"c":[{"b":2}]},"a.b":3}"#,
                &["a.b"],
                r#"{"a":{"c":[{"b":2}]}}"#,
            ),
            (r#"{"_id":{"$oid":"x"},"v":1}"#, &["_id", "_id.$oid"], r#"{"v":1}"#),
            (r#"{"a":[{"b":1}]}"#, &["a.b", "z"], r#"{"a":[{"b":1}]}"#),
            ("{}", &["a"], "{}"),
        ] {
            assert_eq!(without(line, paths), left, "{line} {paths:?}");
        }
    }

    /// The tree without what a path leads to, through keys that may have its dots in them.
    fn pruned(tree: &mut Value, path: &[String]) {
        let Some(object) = tree.as_object_mut() else { return };
        for taken in 1..=path.len() {
            let key = path[..taken].join(".");
            if taken == path.len() {
                object.remove(&key);
            } else if let Some(below) = object.get_mut(&key) {
                pruned(below, &path[taken..]);
            }
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\é{},]{0,4}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::btree_map("a|b|a\\.b|\"", inner.clone(), 0..4)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
                proptest::collection::vec(inner, 0..3).prop_map(Value::from),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_tree_without_them(
            record in proptest::collection::btree_map("a|b|c|a\\.b|\"", tree(), 0..5),
            paths in proptest::collection::vec(proptest::collection::vec("a|b|\"", 1..3), 1..4),
            pretty in any::<bool>(),
        ) {
            let mut tree: Value = record.into_iter().collect::<serde_json::Map<_, _>>().into();
            let line = if pretty {
                serde_json::to_string_pretty(&tree).unwrap().replace('\n', " ")
            } else {
                tree.to_string()
            };
            let paths: Vec<FieldPath> = paths.into_iter().map(FieldPath).collect();
            let text = format!("{line}\n");
            let mut out = Vec::new();
            Cut::new(&paths).unwrap().copy(text.as_bytes(), 0..line.len(), &mut out);
            for path in &paths {
                pruned(&mut tree, &path.0);
            }
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), tree, "{}", String::from_utf8_lossy(&out));
        }
    }
}
