//! The charts as files: what they render, what they refuse, what they say of themselves, and what their alerts are worth.
//! What a cluster does with them is in `cluster/`.

#[path = "charts/alerts.rs"]
mod alerts;
#[path = "charts/manifests.rs"]
mod manifests;
#[path = "charts/readme.rs"]
mod readme;
#[path = "charts/renders.rs"]
mod renders;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde::Deserialize as _;
use serde_json::Value;

use crate::program::text;

/// All that can be enabled, is.
pub(crate) const EVERYTHING: &str = "everything-values.yaml";

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the goldens of charts.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/chart")
        .join(name)
}

/// Runs helm in the folder of the charts, to its end.
pub(crate) fn helm(arguments: &[&str]) -> Output {
    let mut helm = Command::new(pf_e2e::tool("helm"));
    helm.args(arguments)
        .current_dir(workspace().join("charts"))
        .output()
        .unwrap()
}

/// What a chart renders, as the release `paraflow` in the namespace `paraflow`.
pub(crate) fn rendered(arguments: &[&str]) -> String {
    let output = helm(&[&["template", "paraflow", "--namespace", "paraflow"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// The chart of the operator with all that it can have.
pub(crate) fn everything() -> String {
    rendered(&["pf-operator", "--values", golden(EVERYTHING).to_str().unwrap()])
}

/// The objects of a file.
pub(crate) fn objects(yaml: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(yaml)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| !object.is_null())
        .collect()
}

/// The one object of this kind.
#[track_caller]
pub(crate) fn of_kind(objects: &[Value], kind: &str) -> Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(found.next().is_none(), "there is more than one {kind}");
    first.clone()
}
