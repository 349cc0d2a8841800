//! `podTemplate`: what a person adds to a pod's template, merged by the rules of a strategic merge patch.
//!
//! Rules ("Use a strategic merge patch" in Kubernetes' documentation, and the merge keys of its API types): maps are merged,
//! `null` takes a field away, lists with a merge key are merged element by element, all others are replaced; `$patch: delete`
//! and `$patch: replace` do what they say.

use serde_json::{Map, Value};

/// Lists of a pod template that are merged, and what their elements are told apart by.
const MERGE_KEYS: [(&str, &str); 10] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ports", "containerPort"),
    ("imagePullSecrets", "name"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
];

const DIRECTIVE: &str = "$patch";

/// Merges `patch` into `base`.
pub fn merge(base: &mut Value, patch: &Value) {
    let (Value::Object(fields), Value::Object(patches)) = (&mut *base, patch) else {
        *base = without_directives(patch);
        return;
    };
    if patches.get(DIRECTIVE).is_some_and(|directive| directive == "replace") {
        *base = without_directives(patch);
        return;
    }
    for (name, patch) in patches.iter().filter(|(name, _)| *name != DIRECTIVE) {
        match (patch, merge_key(name)) {
            (Value::Null, _) => {
                fields.remove(name);
            }
            (Value::Array(patches), Some(key)) => {
                let list = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    merge_list(list, patches, key);
                }
            }
            (Value::Object(directed), _) if directed.get(DIRECTIVE).is_some_and(|directive| directive == "delete") => {
                fields.remove(name);
            }
            (Value::Object(_), _) => merge(fields.entry(name).or_insert_with(|| Value::Object(Map::new())), patch),
            _ => {
                fields.insert(name.clone(), patch.clone());
            }
        }
    }
}

fn merge_key(list: &str) -> Option<&'static str> {
    MERGE_KEYS.iter().find(|(name, _)| *name == list).map(|(_, key)| *key)
}

fn merge_list(list: &mut Vec<Value>, patches: &[Value], key: &str) {
    if patches.iter().any(|patch| patch[DIRECTIVE] == "replace") {
        list.clear();
    }
    for patch in patches {
        let is_directive_alone = patch
            .as_object()
            .is_some_and(|fields| fields.len() == 1 && fields.contains_key(DIRECTIVE));
        let at = list
            .iter()
            .position(|element| !patch[key].is_null() && element[key] == patch[key]);
        match (at, patch[DIRECTIVE].as_str()) {
            _ if is_directive_alone => {}
            (Some(at), Some("delete")) => {
                list.remove(at);
            }
            (None, Some("delete")) => {}
            (Some(at), _) => merge(&mut list[at], patch),
            (None, _) => list.push(without_directives(patch)),
        }
    }
}

fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields
                .iter()
                .filter(|(name, value)| *name != DIRECTIVE && !value.is_null());
            Value::Object(
                kept.map(|(name, value)| (name.clone(), without_directives(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(without_directives).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(mut base: Value, patch: &Value) -> Value {
        merge(&mut base, patch);
        base
    }

    #[test]
    fn containers_are_merged_by_name_and_their_variables_too() {
        let base =
            json!({"spec": {"containers": [{"name": "worker", "image": "a", "env": [{"name": "A", "value": "1"}]}]}});
        let patch = json!({"spec": {"containers": [
            {"name": "worker", "env": [{"name": "B", "value": "2"}]},
            {"name": "sidecar", "image": "b"},
        ]}});
        let expected = json!({"spec": {"containers": [
            {"name": "worker", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "sidecar", "image": "b"},
        ]}});
        assert_eq!(merged(base, &patch), expected);
    }

    #[test]
    fn other_lists_are_replaced_and_null_takes_away() {
        let base = json!({"spec": {"tolerations": [{"key": "a"}], "nodeSelector": {"a": "b"}, "x": 1}});
        let patch = json!({"spec": {"tolerations": [{"key": "b"}], "nodeSelector": {"c": "d"}, "x": null}});
        let expected = json!({"spec": {"tolerations": [{"key": "b"}], "nodeSelector": {"a": "b", "c": "d"}}});
        assert_eq!(merged(base, &patch), expected);
    }

    #[test]
    fn directives_delete_and_replace() {
        let base =
            json!({"volumes": [{"name": "a"}, {"name": "b"}], "securityContext": {"fsGroup": 1}, "labels": {"a": "b"}});
        let patch = json!({
            "volumes": [{"name": "a", "$patch": "delete"}, {"name": "none", "$patch": "delete"}],
            "securityContext": {"$patch": "replace", "runAsUser": 2},
            "labels": {"$patch": "delete"},
        });
        let expected = json!({"volumes": [{"name": "b"}], "securityContext": {"runAsUser": 2}});
        assert_eq!(merged(base, &patch), expected);
        let replaced = merged(
            json!({"env": [{"name": "A"}]}),
            &json!({"env": [{"$patch": "replace"}, {"name": "B"}]}),
        );
        assert_eq!(replaced, json!({"env": [{"name": "B"}]}));
    }

    #[test]
    fn merging_nothing_or_the_same_again_changes_nothing() {
        let base = json!({"spec": {"containers": [{"name": "worker", "image": "a"}]}});
        assert_eq!(merged(base.clone(), &json!({})), base);
        assert_eq!(merged(base.clone(), &base), base);
    }
}
