//! Values that stand in an object's key alone, as fields of its documents: what Hive, Spark and Athena take for columns.

use std::{
    ops::Range,
    sync::{Mutex, MutexGuard},
};

use pf_work::WorkItem;

use super::json;
use crate::{plan::Records, predicate::FieldPath, reader::ndjson::fields::Fields};

/// The fields that documents of one object get.
#[derive(Debug)]
pub struct PartitionFields {
    /// Each as it is written: `"year":"2024"`.
    members: Vec<Vec<u8>>,
    /// Lanes have an item each, so nobody waits for this.
    search: Mutex<Search>,
}

/// Looks whether a document has such a field of its own.
#[derive(Debug)]
struct Search {
    fields: Fields,
    places: Vec<Option<Range<usize>>>,
}

impl PartitionFields {
    /// The fields that an item's documents get, of those that are wanted; none if there are none.
    pub fn of(item: &WorkItem, records: &Records) -> Option<Self> {
        if !records.partition_fields {
            return None;
        }
        let names = |paths: &[FieldPath], name: &str| paths.iter().any(|path| path.0 == [name]);
        let is_wanted = |name: &str| {
            let is_column = records.columns.as_ref().is_none_or(|columns| names(columns, name));
            is_column && !names(&records.exclude, name)
        };
        let wanted: Vec<(&String, &String)> = item.partition.iter().filter(|(name, _)| is_wanted(name)).collect();
        let paths: Vec<FieldPath> = wanted
            .iter()
            .map(|(name, _)| FieldPath(vec![(*name).clone()]))
            .collect();
        let member = |(name, value): &(&String, &String)| {
            let mut member = Vec::new();
            json::string(name.as_bytes(), &mut member);
            member.push(b':');
            json::string(value.as_bytes(), &mut member);
            member
        };
        (!wanted.is_empty()).then(|| Self {
            members: wanted.iter().map(member).collect(),
            search: Mutex::new(Search {
                fields: Fields::new(&paths),
                places: Vec::new(),
            }),
        })
    }

    /// Adds the fields to the document that `out` ends with and that begins at `start`. A field that it has is its own.
    pub fn add(&self, out: &mut Vec<u8>, start: usize) {
        let mut search = self.search();
        let Search { fields, places } = &mut *search;
        fields.find(out, start, places);
        let Some(end) = out[start..].iter().rposition(|byte| *byte == b'}') else {
            return;
        };
        out.truncate(start + end);
        // Nothing but the first brace is left of an empty one.
        let mut is_empty = out[start..]
            .iter()
            .filter(|byte| !byte.is_ascii_whitespace())
            .nth(1)
            .is_none();
        for (member, place) in self.members.iter().zip(places) {
            if place.is_none() {
                if !std::mem::take(&mut is_empty) {
                    out.push(b',');
                }
                out.extend_from_slice(member);
            }
        }
        out.push(b'}');
    }

    fn search(&self) -> MutexGuard<'_, Search> {
        self.search.lock().expect("nobody panics while looking for fields")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test says what is wrong by failing

    use proptest::prelude::*;

    use super::*;

    fn item(partition: &[(&str, &str)]) -> WorkItem {
        let text = r#"{"v":1,"job":"j","seq":0,"uri":"s3://b/k","size_bytes":9,"enqueued_at":"2024-01-01T00:00:00Z"}"#;
        let mut item = WorkItem::from_json(text).unwrap();
        let pairs = partition
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        item.partition = pairs.collect();
        item
    }

    fn records(columns: Option<&str>) -> Records {
        Records {
            columns: columns.map(|columns| FieldPath::list(columns).unwrap()),
            partition_fields: true,
            ..Records::default()
        }
    }

    fn with(partition: &[(&str, &str)], columns: Option<&str>, document: &str) -> String {
        let fields = PartitionFields::of(&item(partition), &records(columns));
        let mut out = b"before".to_vec();
        out.extend_from_slice(document.as_bytes());
        if let Some(fields) = fields {
            fields.add(&mut out, 6);
        }
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn values_of_the_key_become_fields_and_a_record_s_own_field_stays() {
        let partition = [("day", "2024-01-01 12:00"), ("year", "2024")];
        for (document, expected) in [
            (r#"{"a":1}"#, r#"{"a":1,"day":"2024-01-01 12:00","year":"2024"}"#),
            ("{}", r#"{"day":"2024-01-01 12:00","year":"2024"}"#),
            (" { } ", r#" { "day":"2024-01-01 12:00","year":"2024"}"#),
            (
                r#"{"a":{"year":1}} "#,
                r#"{"a":{"year":1},"day":"2024-01-01 12:00","year":"2024"}"#,
            ),
            (r#"{"a":{}}"#, r#"{"a":{},"day":"2024-01-01 12:00","year":"2024"}"#),
            (r#"{"year":1}"#, r#"{"year":1,"day":"2024-01-01 12:00"}"#),
            (r#"{"y\u0065ar":null,"day":[]}"#, r#"{"y\u0065ar":null,"day":[]}"#),
            (r#"{"a":"}"}"#, r#"{"a":"}","day":"2024-01-01 12:00","year":"2024"}"#),
        ] {
            assert_eq!(with(&partition, None, document), expected);
        }
    }

    #[test]
    fn of_columns_only_those_that_are_named_are_given() {
        let partition = [("day", "1"), ("year", "2024")];
        assert_eq!(
            with(&partition, Some("a,year"), r#"{"a":1}"#),
            r#"{"a":1,"year":"2024"}"#
        );
        assert_eq!(with(&partition, Some("a"), r#"{"a":1}"#), r#"{"a":1}"#);
        assert_eq!(with(&[], None, r#"{"a":1}"#), r#"{"a":1}"#);
        let without_year = Records {
            exclude: FieldPath::list("year,day.of").unwrap(),
            ..records(None)
        };
        let fields = PartitionFields::of(&item(&partition), &without_year).unwrap();
        assert_eq!(fields.members, [br#""day":"1""#]);
        let unasked = Records::default();
        assert!(PartitionFields::of(&item(&partition), &unasked).is_none());
    }

    proptest! {
        #[test]
        fn a_document_is_json_with_the_fields_that_it_had_and_those_that_it_lacked(
            own in prop::collection::btree_map("[a-d]", any::<i32>(), 0..4),
            partition in prop::collection::btree_map("[a-d\"\\\\é]", ".{0,6}", 0..4),
            space in "[ \t]{0,2}",
        ) {
            let document = format!("{space}{}{space}", serde_json::to_string(&own).unwrap());
            let pairs: Vec<(&str, &str)> = partition.iter().map(|(name, value)| (&**name, &**value)).collect();
            let out = with(&pairs, None, &document);
            let mut expected = serde_json::to_value(&partition).unwrap();
            for (name, value) in own {
                expected[name] = value.into();
            }
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), expected);
        }
    }
}
