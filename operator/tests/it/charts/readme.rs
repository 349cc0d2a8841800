//! The README of a chart tells every value, from the comments of values.yaml; the schema knows exactly these values.

use std::{fmt::Write as _, fs};

use expect_test::expect_file;
use serde_json::Value;

use super::workspace;

const BEGIN: &str = "<!-- Made of values.yaml by a test: UPDATE_EXPECT=1 renews it. -->\n";
const END: &str = "<!-- The end of the values. -->\n";

/// A value: its path, its default as JSON, what it means.
struct Row {
    path: String,
    default: String,
    meaning: String,
}

/// The values of a file. What has a comment is a value; what has none holds values, and a value without a comment is refused.
fn rows(file: &str) -> Vec<Row> {
    let values: Value = serde_yaml::from_str(file).unwrap();
    let (mut rows, mut comment, mut path) = (Vec::new(), Vec::<&str>::new(), Vec::<&str>::new());
    let mut within = None;
    for line in file.lines() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if text.is_empty() {
            comment.clear();
            continue;
        }
        if within.is_some_and(|of| indent > of) {
            continue;
        }
        within = None;
        if let Some(words) = text.strip_prefix('#') {
            comment.push(words.trim());
            continue;
        }
        let (key, value) = text.split_once(':').unwrap_or_else(|| panic!("{text} is no value"));
        path.truncate(indent / 2);
        path.push(key);
        if comment.is_empty() {
            assert!(value.is_empty(), "{} has no comment", path.join("."));
            continue;
        }
        let default = values.pointer(&format!("/{}", path.join("/"))).unwrap();
        rows.push(Row {
            path: path.join("."),
            default: default.to_string(),
            meaning: comment.join(" "),
        });
        comment.clear();
        within = Some(indent);
    }
    rows
}

#[test]
fn the_readme_tells_every_value() {
    let chart = workspace().join("charts/pf-operator");
    let values = fs::read_to_string(chart.join("values.yaml")).unwrap();
    let mut table = "| value | default | meaning |\n|---|---|---|\n".to_owned();
    for Row { path, default, meaning } in rows(&values) {
        assert!(
            !(default.contains('|') || meaning.contains('|')),
            "{path} breaks the table"
        );
        writeln!(table, "| `{path}` | `{default}` | {meaning} |").unwrap();
    }
    let readme = fs::read_to_string(chart.join("README.md")).unwrap();
    let (head, rest) = readme
        .split_once(BEGIN)
        .expect("the README says where the values begin");
    let (_, tail) = rest.split_once(END).expect("the README says where the values end");
    expect_file![chart.join("README.md")].assert_eq(&format!("{head}{BEGIN}{table}{END}{tail}"));
}

/// Checks that all that the schema knows is in the values.
fn check(schema: &Value, whole: &Value, values: &Value, path: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => whole.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    assert_eq!(
        schema["additionalProperties"], false,
        "{path} takes what it doesn't know"
    );
    // What is empty by default is told by its comment.
    if values.as_object().is_some_and(serde_json::Map::is_empty) {
        return;
    }
    for (name, property) in properties {
        let path = format!("{path}.{name}");
        // Helm's own, for charts of charts.
        if path == ".global" {
            continue;
        }
        assert!(!values[name].is_null(), "the schema knows {path}, values.yaml does not");
        check(property, whole, &values[name], &path);
    }
}

#[test]
fn the_schema_knows_the_values_and_nothing_else() {
    let chart = workspace().join("charts/pf-operator");
    let read = |name: &str| fs::read_to_string(chart.join(name)).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let values: Value = serde_yaml::from_str(&read("values.yaml")).unwrap();
    // The other way round holds whenever helm renders: what the schema does not know is refused.
    check(&schema, &schema, &values, "");
}

#[test]
fn a_value_without_a_comment_is_refused() {
    let told = std::panic::catch_unwind(|| rows("# Known.\na: 1\n\nb: 2\n"));
    assert!(told.is_err());
    let rows =
        rows("group:\n  # What a is,\n  # and why.\n  a: {x: 1}\n  # Inner keys need no comment.\n  b:\n    c: 2\n");
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.path.as_str(), row.default.as_str()))
        .collect();
    assert_eq!(told, [("group.a", r#"{"x":1}"#), ("group.b", r#"{"c":2}"#)]);
    assert_eq!(rows[0].meaning, "What a is, and why.");
}
