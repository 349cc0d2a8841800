//! Whether an object is as it is wished for, so that nothing is written when nothing changed. Pure.
//!
//! The API server fills in defaults, and writes quantities its own way: an object fits when everything that is wished for is
//! in it, in whatever spelling. What others added is theirs.

use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry};
use kube::Resource;
use serde::Serialize;
use serde_json::Value;

/// Who owns the children, for server-side apply.
pub const CHILDREN_MANAGER: &str = "paraflow-operator";
/// Who owns the number of workers.
pub const SCALE_MANAGER: &str = "paraflow-scaler";

/// Whether `live` has all that `wished` has.
pub fn fits<K: Serialize + Resource>(wished: &K, live: &K) -> bool {
    let value = |object: &K| serde_json::to_value(object).expect("objects of Kubernetes are plain data");
    is_within(&value(wished), &value(live))
}

/// Whether the scaler has set the number of workers, so that it is not ours to set.
pub fn is_scaled_by_us(workers: &Deployment) -> bool {
    let managed = workers.metadata.managed_fields.as_ref();
    let owns = |entry: &ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        entry.manager.as_deref() == Some(SCALE_MANAGER)
            && fields.is_some_and(|fields| fields.pointer("/f:spec/f:replicas").is_some())
    };
    managed.into_iter().flatten().any(owns)
}

fn is_within(wished: &Value, live: &Value) -> bool {
    match (wished, live) {
        (Value::Object(wished), live) => wished.iter().all(|(name, wished)| {
            let nothing = Value::Null;
            is_within(wished, live.get(name).unwrap_or(&nothing))
        }),
        (Value::Array(wished), Value::Array(live)) => {
            wished.len() == live.len() && wished.iter().zip(live).all(|(wished, live)| is_within(wished, live))
        }
        // Nothing is what the API server keeps of nothing.
        (Value::Array(wished), Value::Null) => wished.is_empty(),
        (Value::String(wished), Value::Null) => wished.is_empty(),
        (Value::String(wished), Value::String(live)) => wished == live || is_same_quantity(wished, live),
        _ => wished == live,
    }
}

/// The path of a field that is in `given`, with something in it, and not in what was kept of it.
pub fn lost(given: &Value, kept: &Value) -> Option<String> {
    let within = |name: &str, given: &Value, kept: Option<&Value>| match kept {
        Some(kept) => lost(given, kept).map(|inner| format!("{name}.{inner}")),
        None if is_nothing(given) => None,
        None => Some(name.to_owned()),
    };
    match (given, kept) {
        (Value::Object(given), kept) => given
            .iter()
            .find_map(|(name, given)| within(name, given, kept.get(name))),
        (Value::Array(given), Value::Array(kept)) => {
            let items = given.iter().enumerate();
            items
                .into_iter()
                .find_map(|(at, given)| within(&at.to_string(), given, kept.get(at)))
        }
        _ => None,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Kubernetes' suffixes of quantities ("Resource units in Kubernetes" in its documentation), longest first.
const SUFFIXES: [(&str, f64); 16] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("", 1.0),
];

/// Whether two texts are the same quantity, as `0.5` and `500m` are.
fn is_same_quantity(one: &str, other: &str) -> bool {
    match (quantity(one), quantity(other)) {
        // Both were read from short decimals: what differs in the last bits only is the same.
        (Some(one), Some(other)) => (one - other).abs() <= one.abs().max(other.abs()) * 1e-12,
        _ => false,
    }
}

fn quantity(text: &str) -> Option<f64> {
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)))?;
    let number: f64 = number.parse().ok()?;
    number.is_finite().then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_added_and_what_was_respelt_changes_nothing() {
        let wished =
            json!({"a": {"cpu": "0.5", "memory": "1024Mi"}, "list": [{"name": "x"}], "none": null, "empty": {}});
        let live =
            json!({"a": {"cpu": "500m", "memory": "1Gi", "more": 1}, "list": [{"name": "x", "default": true}], "b": 2});
        assert!(is_within(&wished, &live));
    }

    #[test]
    fn what_is_missing_or_another_is_seen() {
        for (wished, live) in [
            (json!({"a": "1"}), json!({"a": "2"})),
            (json!({"a": "1"}), json!({})),
            (json!({"a": false}), json!({})),
            (json!({"a": [1]}), json!({"a": [1, 2]})),
            (json!({"a": "500m"}), json!({"a": "5"})),
            (json!({"a": "worker"}), json!({"a": "workers"})),
        ] {
            assert!(!is_within(&wished, &live), "{wished} {live}");
        }
    }

    #[test]
    fn a_field_that_was_not_kept_is_named_by_its_path() {
        let given = json!({"spec": {"containers": [{"name": "a", "imag": "b"}], "none": {}, "volumes": []}});
        let kept = json!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(lost(&given, &kept), Some("spec.containers.0.imag".to_owned()));
        assert_eq!(lost(&kept, &given), None);
    }

    #[test]
    fn quantities_are_compared_by_what_they_are() {
        assert!(is_same_quantity("1", "1000m") && is_same_quantity("1e3", "1k") && is_same_quantity("1.5Gi", "1536Mi"));
        assert!(!is_same_quantity("1M", "1Mi") && !is_same_quantity("x", "x1") && !is_same_quantity("", ""));
    }
}
