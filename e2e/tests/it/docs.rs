//! What the README tells people to type, typed.

use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

use pf_e2e::{Elasticsearch, S3, Sqs};

use super::programs::{command, generate, program, workspace};

/// The README's shell examples, without the two scripts: one builds a release, the other runs this test.
fn examples() -> Vec<String> {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.filter(|block| !block.starts_with("./")).collect()
}

#[test]
fn every_example_of_the_readme_runs_and_shows_something() {
    let folder = tempfile::tempdir().unwrap();
    generate(
        &folder.path().join("data/access-logs"),
        &["--records", "12000", "--objects", "12", "--format", "all"],
    );
    fs::create_dir(folder.path().join("examples")).unwrap();
    let job = "examples/access-logs.yaml";
    fs::copy(workspace().join(job), folder.path().join(job)).unwrap();
    let server = S3::shared();
    let bucket = server.make_bucket("readme");
    server.put(&bucket, "access/a.ndjson", b"{\"status\":500}\n");

    let programs = program("pf-worker").parent().unwrap().to_path_buf();
    let path = env::join_paths(
        [programs]
            .into_iter()
            .chain(env::split_paths(&env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let examples = examples();
    assert_eq!(examples.len(), 5, "an example was added or lost: {examples:#?}");
    let queue = Sqs::shared().make_queue("readme", 60, 5);
    fs::write(folder.path().join("key"), "id:secret").unwrap();
    for example in examples {
        // The names that a person has others for.
        let script = example
            .replace("--bucket logs", &format!("--bucket {bucket}"))
            .replace("s3://logs/", &format!("s3://{bucket}/"))
            .replace("https://es:9200", &Elasticsearch::shared().endpoint())
            .replace("--exit-when-idle 1m", "--exit-when-idle 2s");
        // As a person's shell would have it, but for the settings that tests never take from outside.
        let clean = command("pf-worker", &[]);
        let mut shell = Command::new("bash");
        shell.args(["-euc", &script]).current_dir(folder.path());
        for (key, value) in clean.get_envs() {
            if value.is_none() {
                shell.env_remove(key);
            }
        }
        shell
            .envs(server.environment())
            .env("PF_S3_ENDPOINT", server.endpoint())
            .env("QUEUE", &queue.url)
            .env("PATH", &path);
        let output = shell.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{stderr}");
        assert!(!output.stdout.is_empty(), "{script} showed nothing\n{stderr}");
        assert!(!stderr.contains("panicked"), "{script}\n{stderr}");
    }
}

/// The names of all functions in the Rust sources below a folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let starts = text.split("fn ").skip(1);
            names.extend(starts.filter_map(|rest| rest.split_once('(').map(|(name, _)| name.to_owned())));
        }
    }
}

#[test]
fn every_test_that_the_guarantees_name_is_there() {
    let mut names = BTreeSet::new();
    for room in ["discoverer", "e2e", "libs", "operator", "worker"] {
        functions(&workspace().join(room), &mut names);
    }
    let page = fs::read_to_string(workspace().join("docs/guarantees.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    // Flags and fields are shorter.
    let named: Vec<&str> = quoted
        .filter(|name| {
            name.len() > 30
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
        .collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        assert!(
            names.contains(name),
            "docs/guarantees.md names {name}, which is no function"
        );
    }
}
