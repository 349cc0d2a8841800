//! Named fields as columns, against a model that parses with `serde_json` and keeps the order of keys and the text of values.

use std::fmt;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Fields},
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{columns::all_columns, records, tree::Tree, *};

/// Keys with and without dots, which paths may mean either way.
const KEYS: &[&str] = &["a", "b", "c", "a.b", "b.c", "a.b.c", "é", "\\u0061"];

/// A key of a record, and what is to be kept of its value.
#[derive(Debug)]
struct Member<'a> {
    name: String,
    kept: Kept<'a>,
}

#[derive(Debug)]
enum Kept<'a> {
    /// The text as it stands.
    Whole(&'a str),
    /// These of its keys.
    Part(Vec<Member<'a>>),
    /// Keys below it were named, and it is no object.
    Nothing,
}

/// The members of an object in order, each as often as it's there.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn members(json: &str) -> Vec<(String, &str)> {
    let Members(members) = serde_json::from_str(json).expect(json);
    members.into_iter().map(|(name, value)| (name, value.get())).collect()
}

/// What the paths (or what is left of them) name of an object; the key, if one of those is there twice.
fn project<'a>(json: &'a str, paths: &[&[String]]) -> Result<Vec<Member<'a>>, String> {
    let mut kept: Vec<Member<'a>> = Vec::new();
    for (name, value) in members(json) {
        let mut whole = false;
        let mut below = Vec::new();
        for path in paths {
            for taken in 1..=path.len() {
                if path[..taken].join(".") == name {
                    whole |= taken == path.len();
                    below.extend((taken < path.len()).then(|| &path[taken..]));
                }
            }
        }
        let value = match (whole, value.starts_with('{')) {
            (true, _) => Kept::Whole(value),
            (false, _) if below.is_empty() => continue,
            (false, true) => Kept::Part(project(value, &below)?),
            (false, false) => Kept::Nothing,
        };
        if kept.iter().any(|member| member.name == name) {
            return Err(name);
        }
        kept.push(Member { name, kept: value });
    }
    Ok(kept)
}

fn tree(members: &[Member<'_>]) -> Tree {
    let value = |kept: &Kept<'_>| match kept {
        Kept::Whole(text) => Some(tree::parsed(text)),
        Kept::Part(members) => Some(tree(members)),
        Kept::Nothing => None,
    };
    let values = members
        .iter()
        .filter_map(|member| Some((member.name.clone(), value(&member.kept)?)));
    Tree::Object(values.collect())
}

/// Checks that columns come in the order in which the rows first have their keys, and that JSON text is the text that it
/// was. Rows are the members of each object, if there is one.
fn check_order_and_text(fields: &Fields, arrays: &[ArrayRef], rows: &[Option<Vec<Member<'_>>>]) {
    let all = || rows.iter().flatten().flatten();
    let mut names: Vec<&str> = Vec::new();
    for member in all() {
        let kept = |other: &Member<'_>| other.name == member.name && !matches!(other.kept, Kept::Nothing);
        if !names.contains(&&*member.name) && all().any(kept) {
            names.push(&member.name);
        }
    }
    assert_eq!(fields.iter().map(|field| field.name()).collect::<Vec<_>>(), names);
    for (field, array) in fields.iter().zip(arrays) {
        let values = rows.iter().map(|row| {
            let members = row.iter().flatten();
            members.into_iter().find(|member| member.name == *field.name())
        });
        match field.data_type() {
            DataType::Utf8 if field.metadata().contains_key("ARROW:extension:name") => {
                let texts = array.as_string::<i32>();
                for (row, value) in values.enumerate() {
                    let found = texts.is_valid(row).then(|| texts.value(row));
                    let expected = value.map(|member| match member.kept {
                        Kept::Whole(text) => text,
                        _ => panic!("{} was to be taken apart", member.name),
                    });
                    assert_eq!(found, expected, "{}", field.name());
                }
            }
            DataType::Struct(fields) => {
                let below: Vec<_> = values.map(|value| value.and_then(below)).collect();
                check_order_and_text(fields, array.as_struct().columns(), &below);
            }
            _ => {}
        }
    }
}

/// The members of a value that is an object.
fn below<'a>(member: &Member<'a>) -> Option<Vec<Member<'a>>> {
    let whole = |(name, value)| Member {
        name,
        kept: Kept::Whole(value),
    };
    match &member.kept {
        Kept::Whole(text) => text
            .starts_with('{')
            .then(|| members(text).into_iter().map(whole).collect()),
        Kept::Part(members) => Some(members.iter().map(Member::again).collect()),
        Kept::Nothing => None,
    }
}

impl Member<'_> {
    fn again(&self) -> Self {
        let kept = match &self.kept {
            Kept::Whole(text) => Kept::Whole(text),
            Kept::Part(members) => Kept::Part(members.iter().map(Self::again).collect()),
            Kept::Nothing => Kept::Nothing,
        };
        Self {
            name: self.name.clone(),
            kept,
        }
    }
}

/// A record, now and then with a key put before it that it may have already.
fn record() -> impl Strategy<Value = String> {
    let before = prop::option::weighted(0.2, select(&["a", "a.b", "x"][..]));
    (records::object(3, KEYS), before).prop_map(|(record, before)| match (before, &record[1..]) {
        (Some(key), rest) if rest.trim_start() == "}" => format!("{{\"{key}\":1{rest}"),
        (Some(key), rest) => format!("{{\"{key}\":1,{rest}"),
        (None, _) => record,
    })
}

fn paths() -> impl Strategy<Value = Vec<Vec<String>>> {
    let part = select(&["a", "b", "c", "a.b", "é"][..]).prop_map(str::to_owned);
    vec(vec(part, 1..4), 1..4)
}

proptest! {
    #[test]
    fn named_fields_are_what_the_model_keeps_of_each_record(
        records in vec(record(), 1..20),
        paths in paths(),
        batch_records_max in 1usize..20,
    ) {
        let text = records.join("\n");
        let columns = Some(paths.iter().cloned().map(FieldPath).collect());
        let mut reader = Reader::new(text.as_bytes(), Span::WHOLE, Options { columns, batch_records_max, ..all_columns() });
        let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
        let mut ordinal = 0;
        let mut refused = Vec::new();
        let mut expected = Vec::new();
        for record in &records {
            match project(record, &paths) {
                Ok(members) => expected.push((ordinal, members)),
                Err(key) => refused.push((ordinal, key)),
            }
            ordinal += record.len() as u64 + 1;
        }
        let mut rejects = Vec::new();
        let mut expected = expected.into_iter();
        while let Some(batch) = reader.next_batch(&mut rejects).unwrap() {
            let Batch::Columns(batch) = batch else { panic!("lines from columns") };
            let (ordinals, rows): (Vec<_>, Vec<_>) = expected.by_ref().take(batch.ordinals.len()).unzip();
            prop_assert_eq!(&batch.ordinals, &ordinals);
            prop_assert_eq!(tree::rows(&batch.records), rows.iter().map(|row| tree(row)).collect::<Vec<_>>());
            let rows: Vec<_> = rows.into_iter().map(Some).collect();
            check_order_and_text(batch.records.schema_ref().fields(), batch.records.columns(), &rows);
            reader.recycle(Batch::Columns(batch));
        }
        prop_assert!(expected.next().is_none(), "all rows came");
        prop_assert_eq!(rejects.len(), refused.len(), "{:?}", rejects);
        for (reject, (ordinal, key)) in rejects.iter().zip(refused) {
            prop_assert_eq!(reject.ordinal, ordinal);
            let reason = format!("duplicate key {key:?} at byte ");
            prop_assert!(reject.reason.starts_with(&reason), "{:?}, not {}", reject.reason, reason);
        }
    }
}
