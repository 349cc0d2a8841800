//! The invariants between rooms that neither the compiler nor `cargo deny` can say.
//!
//! Which room may know which third-party crate is in deny.toml too; here it is said once more for whole families, so that
//! `arrow-schema` is no way around `arrow`. That nothing unwraps outside tests is clippy's `unwrap_used`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::programs::workspace;

/// A file aims at 400 lines; past this one it must be taken apart.
const FILE_LINES_MAX: usize = 600;

const PROGRAMS: [&str; 3] = ["pf-discoverer", "pf-operator", "pf-worker"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "utils", "util", "common", "helpers", "helper", "types", "models", "misc",
];

/// Families of crates by prefix, and the rooms that may depend on them directly.
const FAMILIES: [(&str, &[&str]); 9] = [
    ("arrow", &["pf-worker"]),
    ("parquet", &["pf-worker"]),
    ("rhai", &["pf-worker"]),
    ("elasticsearch", &["pf-worker"]),
    ("kube", &["pf-operator"]),
    ("k8s-openapi", &["pf-operator"]),
    ("aws-sdk-sqs", &["pf-work", "pf-operator"]),
    ("aws-sdk-s3", &["pf-storage"]),
    ("aws-", &["pf-storage", "pf-work", "pf-operator"]),
];

struct Member {
    folder: PathBuf,
    /// Name, and whether it is a development dependency.
    dependencies: BTreeSet<(String, bool)>,
}

fn members() -> BTreeMap<String, Member> {
    let output = pf_e2e::cargo()
        .args(["metadata", "--format-version=1", "--no-deps", "--locked"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let member = |package: &Value| Member {
        folder: Path::new(package["manifest_path"].as_str().unwrap())
            .parent()
            .unwrap()
            .to_path_buf(),
        dependencies: package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|dependency| (text(&dependency["name"]), dependency["kind"] == "dev"))
            .collect(),
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(&package["name"]), member(package)))
        .collect()
}

/// Every Rust file of the workspace, in order.
fn rust_files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = entry.file_name();
            if entry.file_type().unwrap().is_dir() {
                if name != "target" {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for member in members().values() {
        walk(&member.folder, &mut found);
    }
    found.sort();
    assert!(found.len() > 10, "the walk must have found the sources");
    found
}

/// The files for which `bad` has something to say, each with what it says.
fn complaints(bad: impl Fn(&Path, &str) -> Option<String>) -> Vec<String> {
    let workspace = workspace();
    rust_files()
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let shown = path.strip_prefix(&workspace).unwrap().display();
            bad(path, &text).map(|what| format!("{shown}: {what}"))
        })
        .collect()
}

#[test]
fn programs_do_not_depend_on_each_other() {
    for (name, member) in members() {
        for (dependency, _) in &member.dependencies {
            assert!(
                !PROGRAMS.contains(&dependency.as_str()),
                "{name} depends on the program {dependency}: what both need belongs in libs/"
            );
        }
    }
}

#[test]
fn libraries_reach_test_servers_only_in_tests() {
    for (name, member) in members() {
        assert!(
            !member.dependencies.contains(&("pf-e2e".to_owned(), false)),
            "{name} ships the test servers: pf-e2e may only be a dev-dependency"
        );
    }
}

#[test]
fn only_its_own_rooms_know_a_family_of_crates() {
    for (name, member) in members() {
        for (dependency, _) in &member.dependencies {
            let family = FAMILIES.iter().find(|(prefix, _)| dependency.starts_with(prefix));
            if let Some((_, rooms)) = family {
                assert!(
                    rooms.contains(&name.as_str()),
                    "{name} depends on {dependency}: only {rooms:?} may"
                );
            }
        }
    }
}

#[test]
fn versions_are_written_at_the_root_only() {
    for (name, member) in members() {
        let manifest = fs::read_to_string(member.folder.join("Cargo.toml")).unwrap();
        let dependencies = manifest
            .split("\n[")
            .filter(|section| section.contains("dependencies]"));
        for line in dependencies.flat_map(str::lines).filter(|line| line.contains('=')) {
            assert!(
                line.contains("workspace = true"),
                "{name}/Cargo.toml: `{line}` must take its version from the workspace"
            );
        }
    }
}

#[test]
fn no_room_has_an_empty_name() {
    let found = complaints(|path, _| {
        path.components()
            .filter_map(|component| component.as_os_str().to_str())
            .map(|name| name.trim_end_matches(".rs"))
            .find(|name| EMPTY_NAMES.contains(name))
            .map(|name| format!("`{name}` says nothing: name it by what it is for"))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let found = complaints(|_, text| {
        let opening = text.lines().find(|line| !line.is_empty());
        let says = opening.is_some_and(|line| line.starts_with("//! "));
        (!says).then(|| "opens without a `//!` that says what it is for".to_owned())
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_file_outgrows_its_reader() {
    let found = complaints(|_, text| {
        let lines = text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{lines} lines, {FILE_LINES_MAX} are the most: take it apart"))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn modules_are_named_by_their_file() {
    let found = complaints(|path, _| {
        path.ends_with("mod.rs")
            .then(|| "use `foo.rs` beside `foo/`, not `foo/mod.rs`".to_owned())
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_named_modules_are_unsafe() {
    let found = complaints(|_, text| {
        let opens_the_door = text.contains(concat!("allow(", "unsafe_code)"));
        let says_why = text.contains("SAFETY:");
        (opens_the_door && !says_why).then(|| "allows unsafe code without a SAFETY comment".to_owned())
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}
