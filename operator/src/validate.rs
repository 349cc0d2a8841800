//! Checks a job as the API server would, without one: the schema's structure and bounds, then its CEL rules.
//!
//! The schema is the one that `pf-operator crd` prints, walked generically, so that no bound is written down twice. Fields
//! that the schema does not know are refused here, where a person waits for the answer; the API server prunes them, and a
//! newer object in the cluster must not stop an older operator, which is why serde itself does not refuse them.

use std::fmt;

use kube::core::cel;
use regex::Regex;
use serde_json::{Map, Value};

use crate::crd::{self, IngestJob};

/// How similar a known name must be (Jaro-Winkler, 0 to 1) before it is suggested.
const SUGGEST_FROM: f64 = 0.8;

/// How much of a value a message repeats, in characters.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// The largest name of a Kubernetes object that becomes a label's value and a part of its children's names.
const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// One step from a value to a value inside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// The field of a map.
    Key(String),
    /// The element of a list, from 0.
    Index(usize),
}

/// The way from the document's root to a field, shown as in `spec.source.filters[0]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldPath(pub Vec<Segment>);

impl FieldPath {
    /// Reads a path as it is shown. Names with dots in them come apart, which only makes the place less exact.
    pub fn parse(text: &str) -> Self {
        let parts = text.split(['.', '[']).filter(|part| !part.is_empty());
        Self(
            parts
                .map(
                    |part| match part.strip_suffix(']').and_then(|index| index.parse().ok()) {
                        Some(index) => Segment::Index(index),
                        None => Segment::Key(part.to_owned()),
                    },
                )
                .collect(),
        )
    }

    fn key(&self, name: &str) -> Self {
        self.with(Segment::Key(name.to_owned()))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the job");
        }
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(name) if at == 0 => f.write_str(name)?,
                Segment::Key(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The field, or the parent of a field that is missing.
    pub path: FieldPath,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Complaint {
    pub(crate) fn new(path: FieldPath, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { path, message }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Everything that the schema does not allow in an IngestJob, in the order of the schema. The status is not looked at.
pub fn structure(job: &Value) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let root = FieldPath::default();
    let Value::Object(fields) = job else {
        complaints.push(Complaint::new(root, format!("must be a map, not {}", shown(job))));
        return complaints;
    };
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        complaints.push(unknown(&root.key(name), name, known.into_iter()));
    }
    metadata(fields.get("metadata"), &mut complaints);
    match fields.get("spec") {
        Some(spec) => walk(
            &crd::schema()["properties"]["spec"],
            spec,
            &root.key("spec"),
            &mut complaints,
        ),
        None => complaints.push(Complaint::new(root.key("spec"), "is missing")),
    }
    complaints
}

/// Everything that the schema's CEL rules say about a job, as it is created.
pub fn rules(job: &IngestJob) -> Vec<Complaint> {
    complaints(cel::validate_cel(job))
}

/// Everything that the schema's CEL rules say about the change from `old` to `job`.
pub fn update_rules(job: &IngestJob, old: &IngestJob) -> Vec<Complaint> {
    complaints(cel::validate_cel_update(job, old))
}

fn complaints(result: Result<(), cel::ValidationErrors>) -> Vec<Complaint> {
    let errors = result.err().map(cel::ValidationErrors::into_vec);
    let complaint = |error: cel::ValidationError| Complaint::new(FieldPath::parse(&error.field_path), error.message);
    errors.unwrap_or_default().into_iter().map(complaint).collect()
}

/// What Kubernetes asks of every object's metadata, as far as a job needs it.
fn metadata(metadata: Option<&Value>, complaints: &mut Vec<Complaint>) {
    let path = FieldPath::default().key("metadata").key("name");
    let complaint = match metadata.and_then(|metadata| metadata.get("name")) {
        None => "is missing: a job needs a name".to_owned(),
        Some(Value::String(name)) if matches(NAME_PATTERN, name) => return,
        Some(other) => format!(
            "must be lower-case letters, digits, `-` and `.`, as in access-logs, not {}",
            shown(other)
        ),
    };
    complaints.push(Complaint::new(path, complaint));
}

fn walk(schema: &Value, value: &Value, path: &FieldPath, complaints: &mut Vec<Complaint>) {
    let mut complain = |message: String| complaints.push(Complaint::new(path.clone(), message));
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let wanted = schema["type"].as_str().unwrap_or_default();
    let fits = match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        _ if schema["x-kubernetes-int-or-string"] == true => value.is_i64() || value.is_string(),
        _ => true,
    };
    if !fits {
        complain(format!("must be {}, not {}", kind_wanted(wanted, value), shown(value)));
        return;
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        let choices = choices.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
        complain(format!("must be one of {choices}, not {}", shown(value)));
        return;
    }
    match value {
        Value::Object(fields) => object(schema, fields, path, complaints),
        Value::Array(items) => {
            bounds(
                schema,
                ["minItems", "maxItems"],
                items.len() as i64,
                "",
                " elements",
                &mut complain,
            );
            for (at, item) in items.iter().enumerate() {
                walk(&schema["items"], item, &path.with(Segment::Index(at)), complaints);
            }
        }
        Value::String(text) => {
            let characters = text.chars().count() as i64;
            bounds(
                schema,
                ["minLength", "maxLength"],
                characters,
                "",
                " characters long",
                &mut complain,
            );
            if let Some(pattern) = schema["pattern"].as_str()
                && !matches(pattern, text)
            {
                let words = schema["title"].as_str().zip(schema["example"].as_str());
                let (words, example) = words.expect("a test finds words and an example for every pattern");
                complain(format!("must be {words}, as in `{example}`, not {}", shown(value)));
            }
        }
        Value::Number(number) => {
            if let Some(number) = number.as_i64() {
                bounds(schema, ["minimum", "maximum"], number, "", "", &mut complain);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn object(schema: &Value, fields: &Map<String, Value>, path: &FieldPath, complaints: &mut Vec<Complaint>) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    let nothing = Map::new();
    let known = schema["properties"].as_object().unwrap_or(&nothing);
    for (name, value) in fields {
        match known.get(name) {
            Some(schema) => walk(schema, value, &path.key(name), complaints),
            None if schema["additionalProperties"].is_object() => {
                walk(&schema["additionalProperties"], value, &path.key(name), complaints);
            }
            None => complaints.push(unknown(&path.key(name), name, known.keys().map(String::as_str))),
        }
    }
    for name in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !fields.contains_key(name) {
            complaints.push(Complaint::new(path.key(name), "is missing"));
        }
    }
}

/// Complains where `number` is outside of what the schema says under the two keys.
fn bounds(schema: &Value, keys: [&str; 2], number: i64, before: &str, after: &str, complain: &mut impl FnMut(String)) {
    // The definition's type holds the bounds of numbers as floats; all of ours are whole.
    let bound = |key| schema[key].as_i64().or(schema[key].as_f64().map(|bound| bound as i64));
    if let Some(least) = bound(keys[0]).filter(|least| number < *least) {
        complain(format!("must be at least {before}{least}{after}, not {number}"));
    }
    if let Some(most) = bound(keys[1]).filter(|most| number > *most) {
        complain(format!("must be at most {before}{most}{after}, not {number}"));
    }
}

fn unknown<'a>(path: &FieldPath, name: &str, known: impl Iterator<Item = &'a str>) -> Complaint {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let known: Vec<&str> = known.collect();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&plain(candidate), &plain(name)), *candidate))
        .filter(|(similarity, _)| *similarity >= SUGGEST_FROM)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let message = match nearest {
        Some((_, candidate)) => format!("is no known field, did you mean `{candidate}`?"),
        None if known.is_empty() => "is no known field: nothing can be set here, write {}".to_owned(),
        None => format!("is no known field: the fields here are {}", known.join(", ")),
    };
    Complaint::new(path.clone(), message)
}

fn kind_wanted(wanted: &str, value: &Value) -> &'static str {
    match wanted {
        "object" => "a map",
        "array" => "a list",
        "string" if value.is_number() || value.is_boolean() => "a string, in quotes",
        "string" => "a string",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "a whole number or a string, in quotes",
    }
}

pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::String(text) if text.chars().count() > SHOWN_CHARACTERS_MAX => {
            let start: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
            format!("`{start}…`")
        }
        Value::String(text) => format!("`{text}`"),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    // Patterns come from our own schema; the API server compiles them too when the CRD is installed.
    Regex::new(pattern)
        .expect("a test compiles every pattern of the schema")
        .is_match(text)
}
