//! One prefix, listed flat.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use pf_e2e::S3;

use super::program::{command, run, run_on_s3};

fn folder_with(files: &[(&str, usize)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (key, size) in files {
        let path = folder.path().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![b'x'; *size]).unwrap();
    }
    folder
}

fn uri_of(folder: &Path) -> String {
    format!("file://{}/", folder.display())
}

#[test]
fn a_folder_is_offered_item_by_item() {
    let folder = folder_with(&[("b/c d.ndjson.gz", 5), ("a.parquet", 7), ("plain", 1)]);
    let root = uri_of(folder.path());
    let run = run(&["--uri", &root, "--job", "ns/job"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.keys_below(&root), ["a.parquet", "b/c d.ndjson.gz", "plain"]);
    let item = &run.items[1];
    assert_eq!(item["job"], "ns/job");
    assert_eq!(item["size_bytes"], 5);
    assert_eq!(item["format"], "ndjson");
    assert_eq!(item["compression"], "gzip");
    assert!(item["etag"].is_string() && item["last_modified"].is_string());
    assert_eq!(run.items[2]["format"], "auto");
    assert!(
        run.stderr.contains("items=3") && run.stderr.contains("bytes=13"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_bucket_is_listed_over_many_pages() {
    let s3 = S3::shared();
    let bucket = s3.make_bucket("flat");
    let folder = s3.folder(&bucket).join("logs");
    fs::create_dir(&folder).unwrap();
    for number in 0..2500 {
        fs::write(folder.join(format!("{number:05}.json")), "{}\n").unwrap();
    }
    s3.put(&bucket, "logs/z ü+%/x=1.pq", b"PAR1");
    s3.put(&bucket, "other", b"x");
    let run = run_on_s3(&["--bucket", &bucket, "--prefix", "logs/"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let mut expected: Vec<String> = (0..2500).map(|number| format!("{number:05}.json")).collect();
    expected.push("z ü+%/x=1.pq".to_owned());
    assert_eq!(run.keys_below(&format!("s3://{bucket}/logs/")), expected);
    assert!(run.items[2500]["etag"].is_string());
    assert!(run.stderr.contains("requests=3"), "{}", run.stderr);
}

#[test]
fn conditions_on_name_and_size_are_all_held() {
    let folder = folder_with(&[
        ("a.json", 10),
        ("b.json", 1000),
        ("c.json", 1001),
        ("d.log", 500),
        ("x/e.json", 500),
    ]);
    let root = uri_of(folder.path());
    let flags = [
        "--uri",
        &root,
        "--pattern",
        "**/*.json",
        "--min-size",
        "11",
        "--max-size",
        "1kB",
    ];
    assert_eq!(run(&flags).keys_below(&root), ["b.json", "x/e.json"]);
}

#[test]
fn nothing_that_matches_is_told_with_its_reasons_and_no_plain_success_unless_it_may_be() {
    let folder = folder_with(&[("a.json", 10), ("b.log", 10)]);
    let root = uri_of(folder.path());
    let flags = ["--uri", &root, "--pattern", "*.json", "--modified-before", "1999-01-01"];
    let allowed = run(&[&flags[..], &["--allow-empty"]].concat());
    assert_eq!((allowed.code, allowed.items.len()), (0, 0));
    let run = run(&flags);
    assert_eq!(run.code, 2);
    assert!(run.items.is_empty());
    assert!(run.stderr.contains("--allow-empty"), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("of 2 keys 1 don't match --pattern, 1 are outside --modified-after"),
        "{}",
        run.stderr
    );
}

#[test]
fn no_more_objects_are_offered_than_asked_for() {
    let folder = folder_with(&[("a", 1), ("b", 1), ("c", 1)]);
    let root = uri_of(folder.path());
    let run = run(&["--uri", &root, "--max-objects", "2"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.keys_below(&root), ["a", "b"]);
}

#[test]
fn bad_usage_ends_with_64_before_anything_is_listed() {
    for flags in [
        &["--no-such-flag"][..],
        &[],
        &["--bucket", "b", "--uri", "s3://b/"],
        &["--uri", "ftp://b/"],
        &["--bucket", "b", "--min-size", "large"],
        &["--bucket", "b", "--max-objects", "0"],
    ] {
        let run = run(flags);
        assert_eq!(run.code, 64, "{flags:?}: {}", run.stderr);
        assert!(run.items.is_empty());
    }
}

#[test]
fn an_error_begins_with_its_flag() {
    for (flags, message) in [
        (
            &["--bucket", "b", "--format", "csv"][..],
            "error: --format: `csv`: write auto or ndjson or parquet\n",
        ),
        (
            &["--bucket", "b", "--parallel-prefixes", "0"],
            "error: --parallel-prefixes: `0`: 0 is not in 1..=256\n",
        ),
        (
            &["--bucket", "b", "--max-objects", "many"],
            "error: --max-objects: `many`: invalid digit found in string\n",
        ),
        (&["--bucket", "b", "--job"], "error: --job: needs a value\n"),
        (
            &["--bucket", "b", "--job", ""],
            "error: --job: a name must not be empty\n",
        ),
    ] {
        assert_eq!(run(flags).stderr, message);
        assert_eq!(run(&[flags, &["--check"]].concat()).stderr, message);
    }
}

#[test]
fn a_check_tells_what_is_wrong_with_the_flags_and_does_nothing_else() {
    let folder = folder_with(&[("a", 1)]);
    for uri in [
        uri_of(folder.path()).as_str(),
        "file:///no/such/folder/",
        "s3://no-such-bucket/",
    ] {
        for more in [
            &[][..],
            &["--dry-run"],
            &["--partitioning", "a=${a}/", "--filter", "a=b"],
        ] {
            let output = command(&[&["--check", "--uri", uri], more].concat()).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{uri} {more:?}");
            assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{uri} {more:?}");
        }
    }
    let refused = run(&["--check", "--uri", "s3://b/", "--partitioning", "/${a}"]);
    assert_eq!(refused.code, 64);
    assert!(
        refused
            .stderr
            .starts_with("error: --partitioning: `/${a}`: begins with `/`"),
        "{}",
        refused.stderr
    );
    assert_eq!(refused.stderr.lines().count(), 1);
}

#[test]
fn a_flag_wins_over_the_environment_s_other_way_to_say_what_to_list() {
    let folder = folder_with(&[("a", 1)]);
    let uri = uri_of(folder.path());
    let code = |flags: &[&str], environment: &[(&str, &str)]| {
        let mut command = command(&[flags, &["--check"]].concat());
        command
            .envs(environment.iter().copied())
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(code(&["--bucket", "b"], &[("PF_URI", "s3://other/")]), Some(0));
    assert_eq!(
        code(&["--prefix", "p"], &[("PF_URI", "s3://other/"), ("PF_BUCKET", "b")]),
        Some(0)
    );
    assert_eq!(
        code(&["--uri", &uri], &[("PF_BUCKET", "b"), ("PF_PREFIX", "p")]),
        Some(0)
    );
    assert_eq!(code(&[], &[("PF_URI", "s3://b/"), ("PF_BUCKET", "b")]), Some(64));
    assert_eq!(code(&["--prefix", "p"], &[("PF_URI", "s3://b/")]), Some(64));

    let mut listing = command(&["--uri", &uri]);
    let listed = listing.env("PF_BUCKET", "b").output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&uri));
}

#[test]
fn what_the_worker_s_environment_says_is_not_for_the_discoverer() {
    let folder = folder_with(&[("a=1/x", 1), ("a=2/x", 1)]);
    let mut listing = command(&["--uri", &uri_of(folder.path()), "--partitioning", "a=${a}/"]);
    listing.env("PF_FILTER", "status = 500").env("PF_DESTINATION", "stats");
    listing
        .env("PF_PARTITION_FILTER", "a=2")
        .env("PF_DISCOVERER_DESTINATION", "stdout");
    let listed = listing.output().unwrap();
    assert_eq!(listed.status.code(), Some(0));
    let items = String::from_utf8_lossy(&listed.stdout);
    assert_eq!(items.lines().count(), 1);
    assert!(items.contains("a=2/x"), "{items}");
}

#[test]
fn switches_in_the_environment_are_words_or_digits() {
    let folder = folder_with(&[("a", 1)]);
    for (word, code) in [("1", 0), ("true", 0), ("no", 0), ("perhaps", 64)] {
        let mut command = command(&["--uri", &uri_of(folder.path())]);
        let output = command.env("PF_ANONYMOUS", word).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{word}");
    }
}

#[test]
fn a_folder_means_what_is_in_it_and_a_file_itself_alone() {
    let parent = folder_with(&[("logs/a.ndjson", 1), ("logs/a.ndjson.gz", 1), ("logs-old/b.ndjson", 1)]);
    let uri = uri_of(parent.path());
    let uri = uri.trim_end_matches('/');
    assert_eq!(run(&["--uri", &format!("{uri}/logs")]).items.len(), 2);
    assert_eq!(run(&["--uri", &format!("{uri}/logs/a.ndjson")]).items.len(), 1);
    assert_eq!(
        run(&["--uri", &format!("{uri}/log")]).items.len(),
        3,
        "a prefix is cut anywhere"
    );
}

#[test]
fn a_missing_folder_or_bucket_is_a_failure() {
    let gone = run(&["--uri", "file:///no/such/folder/"]);
    assert_eq!(gone.code, 1);
    assert!(gone.stderr.contains("there is no bucket or folder"), "{}", gone.stderr);
    for expression in ["${a}/", "${_time:%Y}/"] {
        let flags = ["--partitioning", expression, "--filter", "_time=2024"];
        let flags = &flags[..if expression == "${a}/" { 2 } else { 4 }];
        let gone = run(&[&["--uri", "file:///no/such/folder/"], flags].concat());
        assert_eq!(gone.code, 1, "{}", gone.stderr);
        assert!(gone.stderr.contains("there is no bucket or folder"), "{}", gone.stderr);
    }
    for flags in [&[][..], &["--dry-run"], &["--partitioning", "x=${a}/"]] {
        let folder = folder_with(&[("logs/a", 1)]);
        let typo = format!("file://{}/lgos", folder.path().display());
        let gone = run(&[&["--uri", &typo], flags].concat());
        assert_eq!(gone.code, 1, "{}", gone.stderr);
        assert!(
            gone.stderr.contains(&format!("there is no file or folder {typo}")),
            "{}",
            gone.stderr
        );
    }
    let gone = run_on_s3(&["--bucket", "no-such-bucket"]);
    assert_eq!(gone.code, 1);
    assert!(gone.stderr.contains("there is no bucket or folder"), "{}", gone.stderr);
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly() {
    let folder = folder_with(&[]);
    for number in 0..5000 {
        fs::write(folder.path().join(format!("{number}")), "x").unwrap();
    }
    let mut child = command(&["--uri", &uri_of(folder.path())])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert!(first.contains("\"seq\":0"), "{first}");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        !stderr.contains("panicked") && stderr.contains("reader of the items left"),
        "{stderr}"
    );
}
