//! Whether what documents go to is there, or may be made, and may be written to.

use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::{Desk, StartError};
use crate::indexer::{bulk::Operation, elasticsearch::cluster::in_path};

/// What has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// An index, or an alias.
    Index,
    /// A data stream.
    DataStream,
    /// Nothing.
    Nobody,
    /// We may not look.
    Hidden,
}

/// Checks an index that documents are to go to.
pub(super) async fn index(desk: &Desk<'_>, name: &str, operation: Operation) -> Result<(), StartError> {
    let holder = holder(desk, name).await?;
    match holder {
        Holder::DataStream if operation == Operation::Index => {
            return Err(StartError::Refused(format!(
                "`{name}` is a data stream, which takes only --es-op-type create: give it with --es-data-stream"
            )));
        }
        Holder::Nobody => {
            let setting = auto_create(desk).await?;
            if setting.as_ref().is_some_and(|setting| !allows(setting, name)) {
                return Err(StartError::Refused(format!(
                    "the index `{name}` of --es-index does not exist, and the cluster's action.auto_create_index does not let \
                     documents make it: create it first"
                )));
            }
        }
        Holder::Index => {
            let path = format!("/_alias/{}", in_path(name));
            let (status, aliases) = desk.value(Method::Get, &path, None).await?;
            if status == 200 && lacks_write_index(&aliases, name) {
                return Err(StartError::Refused(format!(
                    "`{name}` of --es-index is an alias without a write index: give it one index with is_write_index"
                )));
            }
        }
        Holder::DataStream | Holder::Hidden => {}
    }
    may_write(desk, name, operation, holder == Holder::Nobody).await
}

/// Checks a data stream that documents are to go to.
pub(super) async fn data_stream(desk: &Desk<'_>, name: &str) -> Result<(), StartError> {
    let holder = holder(desk, name).await?;
    match holder {
        Holder::Index => {
            return Err(StartError::Refused(format!(
                "`{name}` is an index or an alias, no data stream: give it with --es-index"
            )));
        }
        Holder::Nobody => {
            let (status, templates) = desk
                .value(
                    Method::Get,
                    "/_index_template?filter_path=-index_templates.index_template.template",
                    None,
                )
                .await?;
            if status == 200 && !makes_data_stream(&templates, name) {
                return Err(StartError::Refused(format!(
                    "the data stream `{name}` of --es-data-stream does not exist, and the index template that matches its name, if \
                     any, has no data_stream: create the template first"
                )));
            }
        }
        Holder::DataStream | Holder::Hidden => {}
    }
    may_write(desk, name, Operation::Create, holder == Holder::Nobody).await
}

async fn holder(desk: &Desk<'_>, name: &str) -> Result<Holder, StartError> {
    let path = format!("/_resolve/index/{}", in_path(name));
    let (status, found) = desk.value(Method::Get, &path, None).await?;
    let has = |kind: &str| found[kind].as_array().is_some_and(|list| !list.is_empty());
    Ok(match status {
        200 if has("data_streams") => Holder::DataStream,
        200 if has("indices") || has("aliases") => Holder::Index,
        200 | 404 => Holder::Nobody,
        _ => Holder::Hidden,
    })
}

/// Whether nothing can be written through an alias: it stands for several indices of which none is the write index, or for one
/// that is said not to be ("Aliases: write index", Elasticsearch reference).
fn lacks_write_index(aliases: &Value, name: &str) -> bool {
    let of = |index: &Value| index["aliases"][name]["is_write_index"].as_bool();
    let indices: Vec<_> = aliases
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, index)| of(index))
        .collect();
    match indices.as_slice() {
        [] => false,
        [one] => *one == Some(false),
        many => !many.contains(&Some(true)),
    }
}

/// The cluster's setting of which indices documents may make; none if we may not look.
async fn auto_create(desk: &Desk<'_>) -> Result<Option<String>, StartError> {
    let path = "/_cluster/settings?include_defaults=true&filter_path=*.action.auto_create_index";
    let (status, settings) = desk.value(Method::Get, path, None).await?;
    if status != 200 {
        return Ok(None);
    }
    // The first that has it wins, in this order.
    let levels = ["transient", "persistent", "defaults"];
    let value = levels
        .iter()
        .find_map(|level| settings[level]["action"]["auto_create_index"].as_str());
    Ok(value.map(str::to_owned))
}

/// Whether the setting lets documents make an index ("Index API: automatically create data streams and indices",
/// Elasticsearch reference): the first pattern that matches decides, and none is no.
fn allows(setting: &str, name: &str) -> bool {
    match setting {
        "true" => true,
        "false" => false,
        patterns => {
            patterns.split(',').map(str::trim).find_map(|pattern| {
                let (allowed, pattern) = match pattern.strip_prefix('-') {
                    Some(pattern) => (false, pattern),
                    None => (true, pattern.strip_prefix('+').unwrap_or(pattern)),
                };
                matches(pattern, name).then_some(allowed)
            }) == Some(true)
        }
    }
}

/// Whether the template that is used for the name makes data streams: of those that match, the one with the highest priority.
fn makes_data_stream(templates: &Value, name: &str) -> bool {
    let matching = templates["index_templates"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|template| {
            let template = &template["index_template"];
            let patterns = match &template["index_patterns"] {
                Value::Array(patterns) => patterns.as_slice(),
                one => std::slice::from_ref(one),
            };
            let mut patterns = patterns.iter().filter_map(Value::as_str);
            patterns.any(|pattern| matches(pattern, name)).then_some(template)
        });
    matching
        .max_by_key(|template| template["priority"].as_u64().unwrap_or_default())
        .is_some_and(|template| template["data_stream"].is_object())
}

/// Whether a pattern with `*` matches a whole name.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match name.find(piece) {
            Some(at) => name = &name[at + piece.len()..],
            None => return false,
        }
    }
    name.ends_with(end)
}

/// Asks whether we may write, where that can be asked: Elasticsearch with security.
async fn may_write(desk: &Desk<'_>, name: &str, operation: Operation, must_be_made: bool) -> Result<(), StartError> {
    let write = match operation {
        Operation::Create => "create_doc",
        Operation::Index => "index",
    };
    // Each of the two is enough to make an index.
    let make = ["auto_configure", "create_index"];
    let asked = json!({"index": [{"names": [name], "privileges": [write, make[0], make[1]]}]});
    let (status, answer) = desk
        .value(Method::Post, "/_security/user/_has_privileges", Some(asked))
        .await?;
    if status != 200 {
        return Ok(());
    }
    let has = |privilege: &str| answer["index"][name][privilege].as_bool().unwrap_or(true);
    let refused = |privilege: &str| {
        let user = answer["username"].as_str().unwrap_or_default();
        Err(StartError::Refused(format!(
            "`{user}` has not the privilege `{privilege}` on `{name}`: grant it, or sign in as somebody else"
        )))
    };
    if !has(write) {
        refused(write)
    } else if must_be_made && !make.into_iter().any(has) {
        refused(make[0])
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_indices_documents_may_make_is_decided_by_the_first_pattern_that_matches() {
        for (setting, allowed) in [
            ("true", true),
            ("false", false),
            ("+logs-*,-*", true),
            ("-logs-*,+*", false),
            ("logs-eu", true),
            ("logs", false),
            ("+metrics-*", false),
            ("", false),
            ("-logs-us, +logs-e*", true),
        ] {
            assert_eq!(allows(setting, "logs-eu"), allowed, "{setting}");
        }
    }

    #[test]
    fn an_alias_needs_one_index_to_write_to() {
        let index = |is_write_index: Value| json!({"aliases": {"a": {"is_write_index": is_write_index}}});
        let plain = || json!({"aliases": {"a": {}}});
        for (aliases, lacks) in [
            (json!({}), false),
            (json!({"i": plain()}), false),
            (json!({"i": index(json!(false))}), true),
            (json!({"i": plain(), "j": plain()}), true),
            (json!({"i": plain(), "j": index(json!(true))}), false),
            (json!({"i": index(json!(false)), "j": index(json!(false))}), true),
        ] {
            assert_eq!(lacks_write_index(&aliases, "a"), lacks, "{aliases}");
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("a", "ab", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_template_with_the_highest_priority_says_whether_a_data_stream_is_made() {
        let template = |pattern: &str, priority: u64, data_stream: bool| {
            let mut template = json!({"index_patterns": [pattern], "priority": priority});
            if data_stream {
                template["data_stream"] = json!({"hidden": false});
            }
            json!({"name": "t", "index_template": template})
        };
        let of = |templates: Vec<Value>| json!({"index_templates": templates});
        assert!(makes_data_stream(&of(vec![template("logs-*", 1, true)]), "logs-a"));
        assert!(!makes_data_stream(&of(vec![template("metrics-*", 1, true)]), "logs-a"));
        assert!(!makes_data_stream(
            &of(vec![template("logs-*", 1, true), template("logs-a", 2, false)]),
            "logs-a"
        ));
        assert!(!makes_data_stream(&json!({}), "logs-a"));
    }
}
