//! The answer to a `_bulk` request, read without a tree: an item that was taken is counted and leaves nothing behind.
//!
//! The request asks for little ([`FILTER_PATH`]) but for the status of each item, since an answer without it would leave items
//! out and with them the places of those behind, and for its result: a status of 2xx alone does not say that the document is
//! where it was to go. A good answer is then one item repeated, and is compared, not parsed.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// What answers are to have in them ("Common options: response filtering", Elasticsearch reference).
pub(super) const FILTER_PATH: &str = "errors,items.*.status,items.*.result,items.*.failure_store,\
     items.*.error.type,items.*.error.reason,items.*.error.caused_by.type,items.*.error.caused_by.reason";

/// What the cluster says of the documents of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// How many documents it speaks of.
    pub(super) items: u32,
    /// Those that were not simply taken, in order.
    pub(super) exceptions: Vec<Exception>,
}

/// A document that was not simply taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exception {
    /// Its place in the request.
    pub(super) place: u32,
    /// What is said of it.
    pub(super) said: Said,
}

/// What is said of a document that was not simply taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It took the place of another.
    Updated,
    /// It is nowhere, and that is no error: an ingest pipeline dropped it.
    Dropped,
    /// It did not fit, and a failure store has it.
    Redirected,
    /// It was not taken.
    Failed {
        /// HTTP's status, as if it had come alone.
        status: u16,
        /// What kind of error, as `document_parsing_exception`; empty if nothing was said.
        kind: String,
        /// In words, with the cause.
        reason: String,
    },
}

impl Answer {
    /// Reads an answer; an error if it is not one, or not whole.
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        if let Some(items) = all_taken(body) {
            return Ok(Self {
                items,
                exceptions: Vec::new(),
            });
        }
        let mut answer = Self::default();
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        Whole(&mut answer).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(answer)
    }
}

/// What stands in an answer for a document that was taken.
const GOOD_ITEMS: [&[u8]; 2] = [
    br#"{"create":{"result":"created","status":201}}"#,
    br#"{"index":{"result":"created","status":201}}"#,
];

/// The number of items, if the answer is nothing but one good item over and over.
fn all_taken(body: &[u8]) -> Option<u32> {
    let items = body
        .strip_prefix(br#"{"errors":false,"items":["#)?
        .strip_suffix(b"]}")?;
    let item = GOOD_ITEMS.into_iter().find(|item| items.starts_with(item))?;
    let mut others = items[item.len()..].chunks_exact(1 + item.len());
    let count = 1 + others.len() as u32;
    let alike = others.all(|other| other[0] == b',' && other[1..] == *item);
    let is_whole = (items.len() + 1).is_multiple_of(1 + item.len());
    (alike && is_whole).then_some(count)
}

/// The whole of an answer.
struct Whole<'a>(&'a mut Answer);

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer to a bulk request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_items = false;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if key == "items" {
                has_items = true;
                map.next_value_seed(Items(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if has_items {
            Ok(())
        } else {
            Err(serde::de::Error::missing_field("items"))
        }
    }
}

struct Items<'a>(&'a mut Answer);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(operation) = items.next_element::<Operation<'_>>()? {
            if let Some(said) = operation.said() {
                let place = self.0.items;
                self.0.exceptions.push(Exception { place, said });
            }
            self.0.items += 1;
        }
        Ok(())
    }
}

/// `{"create": item}`, whatever the key.
struct Operation<'a> {
    name: Cow<'a, str>,
    item: Item<'a>,
}

impl Operation<'_> {
    /// What is said of the document; nothing if it was simply taken.
    fn said(self) -> Option<Said> {
        let Item {
            status,
            result,
            failure_store,
            error,
        } = self.item;
        if !(200..300).contains(&status) {
            let (kind, reason) = error.map(Problem::in_words).unwrap_or_default();
            return Some(Said::Failed { status, kind, reason });
        }
        if failure_store.as_deref() == Some("used") {
            return Some(Said::Redirected);
        }
        match (result.as_deref(), status) {
            (Some("noop"), _) => Some(Said::Dropped),
            // A server that does not say it: what is created is answered 201.
            (None, 200) if self.name == "create" => Some(Said::Dropped),
            (Some("updated"), _) | (None, 200) => Some(Said::Updated),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Operation<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OperationVisitor)
    }
}

struct OperationVisitor;

impl<'de> Visitor<'de> for OperationVisitor {
    type Value = Operation<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an operation and what became of it")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Operation<'de>, A::Error> {
        let (name, item) = map
            .next_entry::<Name<'de>, Item<'de>>()?
            .ok_or_else(|| serde::de::Error::custom("an item without its operation"))?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(Operation { name: name.0, item }),
            Some(_) => Err(serde::de::Error::custom("an item with two operations")),
        }
    }
}

/// A key, not copied where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Item<'a> {
    status: u16,
    #[serde(borrow)]
    result: Option<Cow<'a, str>>,
    #[serde(borrow)]
    failure_store: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<Problem<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Problem<'a> {
    #[serde(borrow)]
    Object(ProblemObject<'a>),
    Text(Cow<'a, str>),
}

#[derive(Deserialize)]
struct ProblemObject<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    caused_by: Option<Box<ProblemObject<'a>>>,
}

impl Problem<'_> {
    fn in_words(self) -> (String, String) {
        match self {
            Self::Text(text) => (String::new(), text.into_owned()),
            Self::Object(object) => {
                let mut reason = object.reason.unwrap_or_default().into_owned();
                if let Some(cause) = object.caused_by
                    && let Some(why) = cause.reason
                    && !reason.contains(&*why)
                {
                    reason.push_str(": ");
                    reason.push_str(&why);
                }
                (object.kind.unwrap_or_default().into_owned(), reason)
            }
        }
    }
}

/// The error of a request that was refused whole: its kind and reason, as far as the body says them.
pub(super) fn whole_problem(body: &[u8]) -> (String, String) {
    #[derive(Deserialize)]
    struct Refusal<'a> {
        #[serde(borrow)]
        error: Problem<'a>,
    }
    if let Ok(refusal) = serde_json::from_slice::<Refusal<'_>>(body) {
        return refusal.error.in_words();
    }
    (String::new(), start(body))
}

/// How a body begins that is none of Elasticsearch's, a proxy's page perhaps: as much of it as fits a log line.
pub(super) fn start(body: &[u8]) -> String {
    let start = &body[..body.len().min(PROBLEM_BYTES_MAX)];
    String::from_utf8_lossy(start).trim().replace(['\n', '\r'], " ")
}

/// As much of a body that is no error of Elasticsearch's is quoted.
const PROBLEM_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exception(place: u32, status: u16, kind: &str, reason: &str) -> Exception {
        Exception {
            place,
            said: Said::Failed {
                status,
                kind: kind.to_owned(),
                reason: reason.to_owned(),
            },
        }
    }

    fn good(item: &str, items: usize) -> String {
        format!(r#"{{"errors":false,"items":[{}]}}"#, vec![item; items].join(","))
    }

    #[test]
    fn a_good_answer_is_compared_and_gives_what_parsing_gives() {
        for item in [
            r#"{"create":{"result":"created","status":201}}"#,
            r#"{"index":{"result":"created","status":201}}"#,
        ] {
            for items in 1..20 {
                let body = good(item, items);
                let answer = Answer::read(body.as_bytes()).unwrap();
                assert_eq!((answer.items as usize, answer.exceptions.len()), (items, 0), "{body}");
                let spaced = body.replace(',', ", ");
                assert_eq!(Answer::read(spaced.as_bytes()).unwrap(), answer);
                assert_eq!(all_taken(body.as_bytes()), Some(items as u32), "{body}");
            }
        }
    }

    #[test]
    fn items_that_were_not_taken_have_their_places_and_reasons() {
        let body = br#"{"took":3,"errors":true,"items":[
            {"create":{"status":201}},
            {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[a]: exists"}}},
            {"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"failed to parse field [n]",
                "caused_by":{"type":"illegal_argument_exception","reason":"For input string: \"x\"","caused_by":{"a":1}}}}},
            {"index":{"status":201,"_id":"x"}},
            {"create":{"status":429,"error":"plain"}},
            {"create":{"status":503}}]}"#;
        assert_eq!(
            Answer::read(body).unwrap(),
            Answer {
                items: 6,
                exceptions: vec![
                    exception(1, 409, "version_conflict_engine_exception", "[a]: exists"),
                    exception(
                        2,
                        400,
                        "document_parsing_exception",
                        "failed to parse field [n]: For input string: \"x\""
                    ),
                    exception(4, 429, "", "plain"),
                    exception(5, 503, "", ""),
                ]
            }
        );
    }

    #[test]
    fn a_status_of_success_is_not_the_whole_of_what_is_said() {
        let said = |item: &str| {
            let body = format!(r#"{{"errors":false,"items":[{item}]}}"#);
            let answer = Answer::read(body.as_bytes()).unwrap();
            assert_eq!(answer.items, 1);
            answer.exceptions.into_iter().next().map(|exception| exception.said)
        };
        for (item, expected) in [
            (r#"{"create":{"result":"created","status":201}}"#, None),
            (
                r#"{"create":{"result":"created","failure_store":"not_applicable_or_unknown","status":201}}"#,
                None,
            ),
            (
                r#"{"create":{"result":"created","failure_store":"used","status":201}}"#,
                Some(Said::Redirected),
            ),
            (r#"{"create":{"result":"noop","status":200}}"#, Some(Said::Dropped)),
            (r#"{"index":{"result":"noop","status":200}}"#, Some(Said::Dropped)),
            (r#"{"index":{"result":"updated","status":200}}"#, Some(Said::Updated)),
            (r#"{"index":{"result":"created","status":201}}"#, None),
            // Of servers that do not know `result`.
            (r#"{"create":{"status":201}}"#, None),
            (r#"{"create":{"status":200}}"#, Some(Said::Dropped)),
            (r#"{"index":{"status":200}}"#, Some(Said::Updated)),
            (
                r#"{"create":{"failure_store":"failed","status":400,"error":{"type":"t","reason":"r"}}}"#,
                Some(Said::Failed {
                    status: 400,
                    kind: "t".to_owned(),
                    reason: "r".to_owned(),
                }),
            ),
        ] {
            assert_eq!(said(item), expected, "{item}");
        }
    }

    #[test]
    fn what_is_cut_or_no_answer_is_an_error() {
        let whole = good(r#"{"create":{"status":201}}"#, 3);
        for end in 0..whole.len() {
            assert!(Answer::read(&whole.as_bytes()[..end]).is_err(), "{}", &whole[..end]);
        }
        for body in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"errors":false}"#,
            r#"{"items":{}}"#,
            r#"{"items":[{}]}"#,
            r#"{"items":[{"create":{}}]}"#,
            r#"{"items":[{"create":{"status":201},"x":{"status":201}}]}"#,
            r#"{"items":[]} x"#,
            "<html>",
        ] {
            assert!(Answer::read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn the_error_of_a_whole_request_is_read_as_far_as_it_is_one() {
        let problem = |body: &str| whole_problem(body.as_bytes());
        assert_eq!(
            problem(r#"{"error":{"root_cause":[],"type":"security_exception","reason":"no"},"status":403}"#),
            ("security_exception".to_owned(), "no".to_owned())
        );
        assert_eq!(
            problem(r#"{"error":"no handler"}"#),
            (String::new(), "no handler".to_owned())
        );
        assert_eq!(problem(" <html>\n"), (String::new(), "<html>".to_owned()));
        assert_eq!(problem(&"é".repeat(500)).1.chars().count(), 100);
    }

    proptest! {
        #[test]
        fn no_answer_however_broken_makes_it_panic_or_lose_its_count(
            statuses in proptest::collection::vec(prop_oneof![Just(201u16), Just(409), Just(429), Just(400)], 0..20),
            at in 0.0..1.0f64,
            change in proptest::option::of(any::<u8>()),
        ) {
            let items: Vec<_> = statuses
                .iter()
                .map(|status| match status {
                    201 => r#"{"create":{"status":201}}"#.to_owned(),
                    other => format!(r#"{{"create":{{"status":{other},"error":{{"type":"t","reason":"r"}}}}}}"#),
                })
                .collect();
            let errors = statuses.iter().any(|status| *status != 201);
            let mut body = format!(r#"{{"errors":{errors},"items":[{}]}}"#, items.join(",")).into_bytes();
            let answer = Answer::read(&body).unwrap();
            prop_assert_eq!(answer.items as usize, statuses.len());
            prop_assert_eq!(answer.exceptions.len(), statuses.iter().filter(|status| **status != 201).count());
            let at = (at * body.len() as f64) as usize;
            match change {
                Some(byte) => body[at] = byte,
                None => body.truncate(at),
            }
            Answer::read(&body).ok();
            whole_problem(&body);
        }
    }
}
