//! A state directory that lies in what is listed: it must never be taken for data.
//!
//! Below the prefix it can be left out by its own prefix. Where it is the prefix itself, the books of other jobs, whose
//! names nobody knows here, would lie among the objects: that is refused. Above the prefix, the job's own folder may be the
//! prefix, or below it: the prefix `access/` names its job `access`, whose books are at `access/`.

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};
use pf_state::StateDir;
use pf_storage::ObjectUri;

/// What listed keys begin with that are the state directory's, or those of `job` in it; none when there can be no such.
pub(super) fn state(root: &ObjectUri, state: &ObjectUri, job: &str) -> Result<Option<String>> {
    match within(root, state)? {
        None => within(root, &StateDir::folder(state, job)),
        found => Ok(found),
    }
}

fn within(root: &ObjectUri, state: &ObjectUri) -> Result<Option<String>> {
    let (root_key, state_key) = match (root, state) {
        (
            ObjectUri::S3 { bucket, key },
            ObjectUri::S3 {
                bucket: states,
                key: state,
            },
        ) if bucket == states => (key.clone(), with_slash(state)),
        (ObjectUri::File { path }, ObjectUri::File { path: state }) => {
            let (root, state) = (resolved(path), with_slash(&resolved(state)));
            // As the listing has it, which writes keys as the prefix was written.
            return match below(&root, &state) {
                Below::No => Ok(None),
                Below::At(rest) => Ok(Some(format!("{path}{rest}"))),
                Below::Same => bail!(same(path)),
            };
        }
        _ => return Ok(None),
    };
    match below(&root_key, &state_key) {
        Below::No => Ok(None),
        Below::At(_) => Ok(Some(state_key)),
        Below::Same => bail!(same(&root.to_string())),
    }
}

enum Below<'a> {
    No,
    At(&'a str),
    Same,
}

fn below<'a>(root: &str, state: &'a str) -> Below<'a> {
    match state.strip_prefix(root) {
        None => Below::No,
        Some("" | "/") => Below::Same,
        Some(rest) => Below::At(rest),
    }
}

fn same(root: &str) -> String {
    format!(
        "--state: {root} is what is listed, and the job's state would be among the data: they need places of their own, as \
         {}state/; or give the job another name with --job",
        with_slash(root)
    )
}

fn with_slash(key: &str) -> String {
    let slash = if key.is_empty() || key.ends_with('/') { "" } else { "/" };
    format!("{key}{slash}")
}

/// The path without `.`, `..` and links, as far as it exists; its last slash, or the beginning of a name behind it, stays.
fn resolved(path: &str) -> String {
    let (folder, rest) = path.rsplit_once('/').unwrap_or(("", path));
    let mut known = PathBuf::from(format!("{folder}/"));
    let mut missing = Vec::new();
    let found = loop {
        match known.canonicalize() {
            Ok(found) => break found,
            Err(_) => match known.components().next_back() {
                Some(Component::Normal(name)) => {
                    missing.push(name.to_owned());
                    known.pop();
                }
                Some(Component::ParentDir | Component::CurDir) => return path.to_owned(),
                _ => break PathBuf::from("/"),
            },
        }
    };
    let folder = missing.iter().rev().fold(found, |folder, name| folder.join(name));
    let folder = folder.to_string_lossy().into_owned();
    match Path::new(rest) {
        rest if rest.as_os_str().is_empty() => with_slash(&folder),
        rest => format!("{}{}", with_slash(&folder), rest.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(root: &str, state_dir: &str) -> Result<Option<String>> {
        state(&root.parse().unwrap(), &state_dir.parse().unwrap(), "ns/job")
    }

    #[test]
    fn the_jobs_own_folder_is_no_data_wherever_the_state_directory_is() {
        let within =
            |root: &str, state_dir: &str, job: &str| state(&root.parse().unwrap(), &state_dir.parse().unwrap(), job);
        for (root, state_dir, job, prefix) in [
            ("s3://b/logs/", "s3://b/", "other", None),
            ("s3://b/lo", "s3://b/", "logs", Some("logs/")),
            ("s3://b/a/lo", "s3://b/a", "logs", Some("a/logs/")),
            ("file:///no-such/lo", "file:///no-such/", "logs", Some("/no-such/logs/")),
        ] {
            assert_eq!(
                within(root, state_dir, job).unwrap().as_deref(),
                prefix,
                "{root} {state_dir}"
            );
        }
        for (root, state_dir) in [
            ("s3://b/logs/", "s3://b/"),
            ("s3://b/logs", "s3://b/"),
            ("s3://b/a/logs/", "s3://b/a"),
            ("file:///no-such/logs/", "file:///no-such"),
        ] {
            let refusal = within(root, state_dir, "logs").unwrap_err().to_string();
            assert!(
                refusal.starts_with("--state: ") && refusal.contains("--job"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_state_directory_below_the_prefix_is_known_by_its_own() {
        for (root, state_dir, prefix) in [
            ("s3://b/", "s3://b/state", Some("state/")),
            ("s3://b", "s3://b/x/state/", Some("x/state/")),
            ("s3://b/logs/", "s3://b/logs/state", Some("logs/state/")),
            ("s3://b/logs", "s3://b/logs-state", Some("logs-state/")),
            ("s3://b/logs/", "s3://b/state", None),
            ("s3://b/logs/", "s3://b/logs-state", None),
            ("s3://b/logs/", "s3://b/", None),
            ("s3://b/", "s3://c/state", None),
            ("s3://b/", "file:///b/state", None),
            (
                "file:///no-such/b/",
                "file:///no-such/b/state",
                Some("/no-such/b/state/"),
            ),
            ("file:///no-such/b/", "file:///no-such/state", None),
        ] {
            let found = within(root, state_dir).unwrap();
            assert_eq!(found.as_deref(), prefix, "{root} {state_dir}");
        }
    }

    #[test]
    fn a_state_directory_that_is_the_prefix_is_refused() {
        for (root, state_dir) in [
            ("s3://b", "s3://b/"),
            ("s3://b/logs/", "s3://b/logs"),
            ("s3://b/logs", "s3://b/logs/"),
            ("file:///no-such/", "file:///no-such"),
        ] {
            let refusal = within(root, state_dir).unwrap_err().to_string();
            assert!(refusal.starts_with("--state: "), "{refusal}");
        }
    }

    #[test]
    fn links_and_dots_hide_no_state_directory() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("data/deep")).unwrap();
        std::os::unix::fs::symlink("data", folder.path().join("link")).unwrap();
        let at = |path: &str| format!("file://{}/{path}", folder.path().display());
        let data = format!("{}/data/", folder.path().display());
        for state_dir in ["link/state", "data/deep/../state", "data/./state/"] {
            let found = within(&at("data/"), &at(state_dir)).unwrap();
            assert_eq!(found, Some(format!("{data}state/")), "{state_dir}");
        }
        let found = within(&at("link/"), &at("data/state")).unwrap();
        assert_eq!(found, Some(format!("{}/link/state/", folder.path().display())));
        assert!(within(&at("link/"), &at("data")).is_err());
    }
}
