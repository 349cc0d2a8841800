//! What worker pods read of Secrets and ConfigMaps: those that the job names itself, and those that its pod template does. A pod
//! reads most of it once, when it starts: so who changes it wants other pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

use super::pod;
use crate::{
    crd::IngestJob,
    validate::{Complaint, FieldPath},
};

/// What has entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Secret,
    ConfigMap,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        })
    }
}

/// The entries of a Secret or a ConfigMap.
pub(crate) type Entries = BTreeMap<String, Vec<u8>>;

/// A Secret or a ConfigMap that worker pods read, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The entries that are read; none: all that there are.
    pub(crate) keys: Vec<String>,
    /// Whether pods start without it too.
    pub(crate) is_optional: bool,
    /// The field that names it.
    field: &'static str,
}

impl Content {
    /// What is read, as parts of a hash, where `entries` are there. The complaints say what is not there, and nothing of what
    /// is.
    pub(crate) fn read(&self, entries: Option<&Entries>, namespace: &str) -> Result<Vec<Vec<u8>>, Vec<Complaint>> {
        let Self {
            kind,
            name,
            keys,
            is_optional,
            field,
        } = self;
        let complain = |message| Complaint::new(FieldPath::parse(field), message);
        let Some(entries) = entries else {
            let missing = complain(format!("there is no {kind} {name} in the namespace {namespace}"));
            return if *is_optional { Ok(vec![]) } else { Err(vec![missing]) };
        };
        let missing = keys.iter().filter(|key| !entries.contains_key(*key));
        let missing: Vec<Complaint> = missing
            .map(|key| complain(format!("the {kind} {name} has no key {key}")))
            .collect();
        if !missing.is_empty() && !is_optional {
            return Err(missing);
        }
        let is_read = |key: &String| keys.is_empty() || keys.contains(key);
        let read = entries.iter().filter(|(key, _)| is_read(key));
        Ok(read
            .flat_map(|(key, value)| [name.clone().into_bytes(), key.clone().into_bytes(), value.clone()])
            .collect())
    }
}

/// All that the workers of a job read.
pub(crate) fn contents(job: &IngestJob) -> Vec<Content> {
    let of_sink = pod::secrets(job).into_iter().map(|(name, keys)| Content {
        kind: Kind::Secret,
        name: name.to_owned(),
        keys: keys.into_iter().map(str::to_owned).collect(),
        is_optional: false,
        field: "spec.sink.elasticsearch",
    });
    let workers = job.spec.workers.as_ref();
    let template = workers.and_then(|workers| workers.pod_template.as_ref());
    let mut of_template = BTreeSet::new();
    for (_, part) in template.into_iter().flatten() {
        collect(part, &mut of_template);
    }
    of_sink.chain(of_template).collect()
}

/// Finds what a part of a pod template names: in variables, in `envFrom`, and in volumes of all kinds.
fn collect(part: &Value, found: &mut BTreeSet<Content>) {
    match part {
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, found)),
        Value::Object(fields) => {
            for (field, part) in fields {
                found.extend(kind(field).and_then(|kind| of_template(kind, part)));
                collect(part, found);
            }
        }
        _ => {}
    }
}

/// What a field of a pod refers to (`EnvVarSource`, `EnvFromSource`, `Volume` and `VolumeProjection` in Kubernetes' API
/// reference; `secretRef` in volumes of some drivers too).
fn kind(field: &str) -> Option<Kind> {
    match field {
        "secret" | "secretRef" | "secretKeyRef" => Some(Kind::Secret),
        "configMap" | "configMapRef" | "configMapKeyRef" => Some(Kind::ConfigMap),
        _ => None,
    }
}

fn of_template(kind: Kind, reference: &Value) -> Option<Content> {
    let names = [&reference["name"], &reference["secretName"]];
    let items = reference["items"].as_array().into_iter().flatten();
    let keys = items.chain([reference]).filter_map(|item| item["key"].as_str());
    Some(Content {
        kind,
        name: names.into_iter().find_map(Value::as_str)?.to_owned(),
        keys: keys.map(str::to_owned).collect(),
        is_optional: reference["optional"] == true,
        field: "spec.workers.podTemplate",
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(template: &Value) -> Vec<String> {
        let mut found = BTreeSet::new();
        collect(template, &mut found);
        let shown = |content: Content| {
            let Content {
                kind,
                name,
                keys,
                is_optional,
                field: _,
            } = content;
            format!("{kind} {name} {keys:?}{}", if is_optional { " or not" } else { "" })
        };
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn all_that_a_template_names_is_found_once() {
        let template = json!({"metadata": {"labels": {"secret": "no", "configMap": "no"}}, "spec": {
            "containers": [{"name": "worker",
                "env": [
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "k"}}},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "a", "key": "k"}}},
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": true}}},
                    {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "E", "$patch": "delete"},
                ],
                "envFrom": [{"configMapRef": {"name": "all"}}, {"secretRef": {"name": "all", "optional": true}}],
            }],
            "initContainers": [{"name": "first", "envFrom": [{"secretRef": {"name": "of-first"}}]}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "mounted", "items": [{"key": "x", "path": "y"}]}},
                {"name": "b", "configMap": {"name": "mounted"}},
                {"name": "c", "projected": {"sources": [
                    {"secret": {"name": "projected", "items": [{"key": "p", "path": "q"}, {"key": "r", "path": "s"}]}},
                    {"configMap": {"name": "projected"}},
                    {"serviceAccountToken": {"path": "token"}},
                ]}},
                {"name": "d", "$patch": "delete"},
            ],
        }});
        let expected = [
            r#"Secret a ["k"]"#,
            "Secret all [] or not",
            r#"Secret mounted ["x"]"#,
            "Secret of-first []",
            r#"Secret projected ["p", "r"]"#,
            "ConfigMap all []",
            r#"ConfigMap c ["k"] or not"#,
            "ConfigMap mounted []",
            "ConfigMap projected []",
        ];
        assert_eq!(named(&template), expected);
        for nothing in [
            json!({}),
            json!({"secret": null}),
            json!({"secret": {"items": 1}}),
            json!([["secret"]]),
        ] {
            assert_eq!(named(&nothing), [""; 0]);
        }
    }

    fn content(keys: &[&str], is_optional: bool) -> Content {
        Content {
            kind: Kind::ConfigMap,
            name: "settings".to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            is_optional,
            field: "spec.workers.podTemplate",
        }
    }

    fn entries(entries: &[(&str, &str)]) -> Entries {
        let entries = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
        entries.collect()
    }

    #[test]
    fn only_what_is_read_makes_a_difference() {
        let read =
            |keys: &[&str], there: &[(&str, &str)]| content(keys, false).read(Some(&entries(there)), "n").unwrap();
        let (one, other) = ([("a", "1"), ("b", "1")], [("a", "1"), ("b", "2")]);
        assert_eq!(read(&["a"], &one), read(&["a"], &other));
        assert_ne!(read(&["b"], &one), read(&["b"], &other));
        assert_ne!(read(&[], &one), read(&[], &other));
    }

    #[test]
    fn what_is_not_there_is_told_unless_pods_start_without_it() {
        let told = |keys: &[&str], there: Option<Entries>| {
            let complaints = content(keys, false).read(there.as_ref(), "logs").unwrap_err();
            complaints
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        };
        let nothing = told(&["a"], None);
        assert!(
            nothing.ends_with("there is no ConfigMap settings in the namespace logs"),
            "{nothing}"
        );
        let half = told(&["a", "b", "c"], Some(entries(&[("b", "1")])));
        assert!(
            half.contains("has no key a; ") && half.ends_with("the ConfigMap settings has no key c"),
            "{half}"
        );
        assert_eq!(content(&["a"], true).read(None, "logs").unwrap(), [[0; 0]; 0]);
        assert_eq!(
            content(&["a"], true).read(Some(&entries(&[])), "logs").unwrap(),
            [[0; 0]; 0]
        );
    }
}
