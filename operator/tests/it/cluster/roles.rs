//! Roles, and what was done by them, as the API server wrote it down: nothing forbidden, and nothing allowed that nobody
//! needs.

use std::collections::BTreeSet;

use pf_e2e::kubernetes::Call;
use serde_json::Value;

/// A permission: where (empty: everywhere), group, resource, verb.
type Permission = (String, String, String, String);

/// What roles allow.
fn allowed(roles: &[Value]) -> BTreeSet<Permission> {
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().unwrap().iter();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut allowed = BTreeSet::new();
    for role in roles {
        let namespace = role["metadata"]["namespace"].as_str().unwrap_or_default();
        for rule in role["rules"].as_array().unwrap() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for verb in texts(&rule["verbs"]) {
                        allowed.insert((namespace.to_owned(), group.clone(), resource.clone(), verb));
                    }
                }
            }
        }
    }
    allowed
}

/// What a call needs. Who applies what is not there makes it.
fn needs(call: &Call) -> Vec<(&str, &str, &str)> {
    let (group, resource) = (call.group.as_str(), call.resource.as_str());
    let mut needs = vec![(group, resource, call.verb.as_str())];
    if call.verb == "patch" && call.code == 201 {
        needs.push((group, resource, "create"));
    }
    needs
}

/// Checks that no call was forbidden.
#[track_caller]
pub(crate) fn none_is_forbidden(calls: &[Call]) {
    let forbidden: Vec<_> = calls.iter().filter(|call| call.code == 403).collect();
    assert!(forbidden.is_empty(), "forbidden: {forbidden:#?}");
}

/// Checks that no call was forbidden, and returns what is allowed and was not needed.
#[track_caller]
pub(crate) fn unused(roles: &[Value], calls: &[Call]) -> BTreeSet<Permission> {
    assert!(calls.len() > 50, "a life has more calls than {}", calls.len());
    none_is_forbidden(calls);
    let mut unused = allowed(roles);
    unused.retain(|(namespace, group, resource, verb)| {
        let is_needed = calls.iter().any(|call| {
            (namespace.is_empty() || *namespace == call.namespace)
                && needs(call).contains(&(group.as_str(), resource.as_str(), verb.as_str()))
        });
        !is_needed
    });
    unused
}

#[test]
fn what_nobody_needs_is_found() {
    let role = serde_json::json!({"metadata": {"namespace": "logs"}, "rules": [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "create", "delete"]},
    ]});
    let call = |namespace: &str, verb: &str, code| Call {
        group: String::new(),
        resource: "pods".to_owned(),
        verb: verb.to_owned(),
        namespace: namespace.to_owned(),
        code,
    };
    let mut calls = vec![call("logs", "list", 200); 60];
    calls.extend([call("logs", "patch", 201), call("other", "delete", 200)]);
    let left: Vec<String> = unused(&[role], &calls)
        .into_iter()
        .map(|permission| permission.3)
        .collect();
    assert_eq!(left, ["delete"]);
}
