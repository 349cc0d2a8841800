//! The values of named fields in a line that was checked before: places in its text, with nothing built.

use std::ops::Range;

use super::{
    escape,
    fault::{Fault, What},
    scan,
    selection::{RECORD, Selection, StateId},
    walk,
};
use crate::predicate::FieldPath;

/// The fields to look for.
#[derive(Debug)]
pub(crate) struct Fields {
    selection: Selection,
    paths: usize,
    key: Vec<u8>,
}

impl Fields {
    /// Looks for these, whose places in the list number them.
    pub(crate) fn new(paths: &[FieldPath]) -> Self {
        Self {
            selection: Selection::new(paths),
            paths: paths.len(),
            key: Vec::new(),
        }
    }

    /// Where in the text the values of the record are that starts at `start`, in `places` by the paths' numbers. Stops when
    /// all are found: of two keys of the same name the first counts. What is no object has no fields.
    pub(crate) fn find(&mut self, text: &[u8], start: usize, places: &mut Vec<Option<Range<usize>>>) {
        places.clear();
        places.resize(self.paths, None);
        let mut search = Search {
            selection: &self.selection,
            key: &mut self.key,
            places,
            missing: self.paths,
        };
        let at = text[start..]
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
            .map_or(start, |spaces| start + spaces);
        if text.get(at) == Some(&b'{') {
            // The text was checked, so that the only fault there is is the end of the search.
            search.object(text, at, RECORD, 1).ok();
        }
    }
}

struct Search<'a> {
    selection: &'a Selection,
    key: &'a mut Vec<u8>,
    places: &'a mut [Option<Range<usize>>],
    missing: usize,
}

impl Search<'_> {
    /// Walks an object at which fields may be, to behind it, or to where the last field was found.
    fn object(&mut self, text: &[u8], at: usize, state: StateId, depth: u32) -> Result<usize, Fault> {
        let mut at = walk::white_space(text, at + 1);
        if text[at] == b'}' {
            return Ok(at + 1);
        }
        loop {
            let stop = scan::string_stop(text, at + 1);
            let (key, behind) = if text[stop] == b'"' {
                (self.selection.find(state, &text[at + 1..stop]), stop + 1)
            } else {
                self.key.clear();
                let behind = escape::string(text, at + 1, self.key, &mut true)?;
                (self.selection.find(state, self.key), behind)
            };
            let value = walk::colon(text, behind)?;
            let end = match key {
                Some(key) => {
                    let end = match key.below {
                        Some(below) if text[value] == b'{' => self.object(text, value, below, depth + 1)?,
                        _ => walk::value(text, value, depth)?,
                    };
                    for path in &key.ends {
                        let place = &mut self.places[*path as usize];
                        if place.is_none() {
                            *place = Some(value..end);
                            self.missing -= 1;
                        }
                    }
                    if self.missing == 0 {
                        return Err(Fault::new(end, What::ExpectedLineEnd));
                    }
                    end
                }
                None => walk::value(text, value, depth)?,
            };
            at = walk::white_space(text, end);
            match text[at] {
                b',' => at = walk::white_space(text, at + 1),
                _ => return Ok(at + 1),
            }
        }
    }
}

/// What a scalar's JSON text says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// `null`.
    Null,
    /// A string; what it stands for is in the buffer that was given.
    Text,
    /// A string with half of a surrogate pair in it: it stands for no text.
    NotText,
    /// A number; as it is written it is in the buffer that was given.
    Number,
    /// `true`, `false`, a list or an object.
    Other,
}

/// Reads the JSON text of a value that was checked before, into `out`, which is emptied first.
pub(crate) fn scalar(json: &[u8], out: &mut Vec<u8>) -> Scalar {
    out.clear();
    match json.first() {
        Some(b'"') => {
            let mut is_text = true;
            match escape::string(json, 1, out, &mut is_text) {
                Ok(_) if is_text => Scalar::Text,
                _ => Scalar::NotText,
            }
        }
        Some(b'-' | b'0'..=b'9') => {
            out.extend_from_slice(json);
            Scalar::Number
        }
        Some(b'n') => Scalar::Null,
        _ => Scalar::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn found(line: &str, paths: &[&str]) -> Vec<Option<String>> {
        let paths: Vec<FieldPath> = paths.iter().map(|path| path.parse().unwrap()).collect();
        let mut places = Vec::new();
        Fields::new(&paths).find(line.as_bytes(), 0, &mut places);
        places
            .into_iter()
            .map(|place| place.map(|place| line[place].to_owned()))
            .collect()
    }

    #[test]
    fn fields_are_found_nested_with_dots_in_keys_and_with_escapes_and_missing_ones_are_not() {
        let line = r#"{"z":[1,{"a":2}],"a": {"b" : {"c":"x\"y"} ,"d":null}, "e.f":1.50,"\u0067":{}}"#;
        assert_eq!(
            found(line, &["a.b.c", "a.d", "e.f", "g", "a", "h", "z.a"]),
            [
                Some(r#""x\"y""#),
                Some("null"),
                Some("1.50"),
                Some("{}"),
                Some(r#"{"b" : {"c":"x\"y"} ,"d":null}"#),
                None,
                None
            ]
            .map(|value| value.map(str::to_owned))
        );
        assert_eq!(found("{}", &["a"]), [None]);
        assert_eq!(found("[1]", &["a"]), [None]);
        assert_eq!(found(r#"{"a":1,"a":2}"#, &["a"]), [Some("1".to_owned())]);
    }

    #[test]
    fn a_scalar_is_what_it_stands_for() {
        for (json, kind, text) in [
            (r#""a\n\u00e9\"""#, Scalar::Text, "a\né\""),
            (r#""""#, Scalar::Text, ""),
            ("-1.50e3", Scalar::Number, "-1.50e3"),
            ("null", Scalar::Null, ""),
            ("true", Scalar::Other, ""),
            ("[1]", Scalar::Other, ""),
            ("{}", Scalar::Other, ""),
        ] {
            let mut out = b"before".to_vec();
            assert_eq!(scalar(json.as_bytes(), &mut out), kind, "{json}");
            assert_eq!(out, text.as_bytes(), "{json}");
        }
        assert_eq!(scalar(br#""\ud800""#, &mut Vec::new()), Scalar::NotText);
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_tree_has(
            record in proptest::collection::btree_map("[abc\"\\\\é]{1,2}", "\\PC{0,40}", 0..6),
            spaces in "[ \t]{0,3}",
        ) {
            let tree = serde_json::to_value(&record).unwrap();
            let line = format!("{spaces}{}", tree.to_string().replace(':', " : "));
            let tree: Value = serde_json::from_str(&line).unwrap();
            let paths: Vec<_> = ["a", "b", "ab", "é"].map(|key| FieldPath(vec![key.to_owned()])).into();
            let mut places = Vec::new();
            Fields::new(&paths).find(line.as_bytes(), 0, &mut places);
            for (path, place) in paths.iter().zip(places) {
                let value = place.map(|place| serde_json::from_str::<Value>(&line[place]).unwrap());
                prop_assert_eq!(value.as_ref(), tree.get(&path.0[0]));
            }
        }
    }
}
