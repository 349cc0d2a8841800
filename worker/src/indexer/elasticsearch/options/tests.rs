//! What of the flags is taken, and what is said of those that are not.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    elasticsearch: EsArgs,
}

/// The options of a command line.
pub(in crate::indexer) fn options(line: &[&str]) -> Result<Options, String> {
    let line = ["pf-worker"].iter().chain(line);
    let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
    Options::from_args(line.elasticsearch, 2)
}

#[test]
fn the_defaults_are_deterministic_ids_that_are_created() {
    let options = options(&["--es-url", "http://es:9200", "--es-index", "logs"]).unwrap();
    assert_eq!(options.addressing.id, IdMode::Deterministic);
    assert_eq!(options.addressing.operation, Operation::Create);
    assert_eq!(options.sign_in, SignIn::Anonymous);
    assert_eq!((options.bulk_bytes, options.in_flight_bytes_max), (4 << 20, 32 << 20));
    assert_eq!((options.timeout.as_secs(), options.patience.as_secs()), (60, 900));
}

#[test]
fn urls_are_given_together_or_one_by_one_and_may_have_a_path() {
    let options = options(&[
        "--es-url",
        "http://a:1,https://b/es",
        "--es-url",
        "http://c",
        "--es-index",
        "i",
    ])
    .unwrap();
    let urls: Vec<_> = options.urls.iter().map(Url::as_str).collect();
    assert_eq!(urls, ["http://a:1/", "https://b/es/", "http://c/"]);
}

#[test]
fn what_is_wrong_is_said_with_the_flag_and_what_would_be_right() {
    for (line, message) in [
        ("--es-index logs", "--destination elasticsearch needs --es-url"),
        (
            "--es-url http://a",
            "--destination elasticsearch needs --es-index or --es-data-stream",
        ),
        (
            "--es-url http://a --es-index a --es-data-stream b",
            "--es-index and --es-data-stream can't be given together: documents go to one of them",
        ),
        (
            "--es-url ftp://a --es-index a",
            "--es-url must begin with http:// or https://, as in https://es:9200, not `ftp://a`",
        ),
        (
            "--es-url a --es-index a",
            "--es-url must be a URL as in https://es:9200, not `a`: relative URL without a base",
        ),
        (
            "--es-url https://u:geheim@a --es-index a",
            "--es-url must have no user or password in it: use --es-username and --es-password-file",
        ),
        ("--es-url http://a --es-index A", "--es-index: `A` is not lower case"),
        (
            "--es-url http://a --es-index a --es-id x",
            "--es-id must be deterministic, auto or field:PATH, not `x`",
        ),
        (
            "--es-url http://a --es-index a --es-id field:",
            "--es-id: character 1: found the end, expected a key",
        ),
        (
            "--es-url http://a --es-data-stream a --es-op-type index",
            "--es-op-type must be create for a data stream: it takes no other",
        ),
        (
            "--es-url http://a --es-index a --es-op-type index --es-id auto",
            "--es-op-type index with --es-id auto replaces nothing: leave one of them out",
        ),
        (
            "--es-url http://a --es-index a --es-on-conflict keep",
            "--es-on-conflict is for --es-id field:PATH",
        ),
        (
            "--es-url http://a --es-index a --es-id field:x --es-op-type index --es-on-conflict keep",
            "--es-on-conflict must be replace with --es-op-type index",
        ),
        (
            "--es-url http://a --es-data-stream a --es-id field:x --es-on-conflict replace",
            "--es-on-conflict must be dead-letter or keep for a data stream",
        ),
        (
            "--es-url http://a --es-index logs-%{+yyyy.MM.dd}",
            "--es-index: `logs-%{+yyyy.MM.dd}` has a `%{` in it, as Logstash writes it: leave out the %",
        ),
        (
            "--es-url http://a --es-index a --es-username u",
            "--es-username needs --es-password-file",
        ),
        (
            "--es-url http://a --es-index a --es-password-file u",
            "--es-password-file needs --es-username",
        ),
        (
            "--es-url http://a --es-index a --es-bearer-file b --es-api-key-file k",
            "only one of --es-username, --es-api-key-file and --es-bearer-file can be given",
        ),
        (
            "--es-url https://a --es-index a --es-client-cert-file c",
            "--es-client-cert-file needs --es-client-key-file",
        ),
        (
            "--es-url http://a --es-index a --es-client-cert-file c --es-client-key-file k",
            "--es-client-cert-file needs https:// in every --es-url",
        ),
        (
            "--es-url http://a --es-index a --es-timeout 5",
            "--es-timeout must be a length of time as in 30s or 2m, not `5`",
        ),
        (
            "--es-url http://a --es-index a --es-patience 0s",
            "--es-patience must be a length of time as in 30s or 2m, not `0s`",
        ),
        (
            "--es-url http://a --es-index a --es-bulk-bytes 10",
            "--es-bulk-bytes must be 1024 or more, not 10",
        ),
        (
            "--es-url http://a --es-index a --es-max-request-bytes 2000 --es-bulk-bytes 2001",
            "--es-bulk-bytes must be 2000 or less, not 2001",
        ),
        (
            "--es-url http://a --es-index a --es-concurrency-max 0",
            "--es-concurrency-max must be 1 or more, not 0",
        ),
        (
            "--es-url http://a --es-index a --es-in-flight-mb 0",
            "--es-in-flight-mb must be 1 or more, not 0",
        ),
    ] {
        let line: Vec<_> = line.split(' ').collect();
        let error = options(&line).unwrap_err();
        assert!(error.starts_with(message), "{line:?}: {error}");
    }
}

#[test]
fn what_is_shown_for_debugging_names_files_and_not_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    for (name, flags) in [
        ("password", &["--es-username", "me", "--es-password-file"][..]),
        ("key", &["--es-api-key-file"]),
        ("token", &["--es-bearer-file"]),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, "geheim").unwrap();
        let target = ["--es-url", "http://es:9200", "--es-index", "logs"];
        let line = [&target[..], flags, &[file.to_str().unwrap()]].concat();
        let shown = format!("{:?}", options(&line).unwrap());
        assert!(
            shown.contains(file.to_str().unwrap()) && !shown.contains("geheim"),
            "{shown}"
        );
    }
}

#[test]
fn what_becomes_of_conflicts_is_said_or_follows_from_the_operation() {
    for (line, operation, on_conflict) in [
        ("", Operation::Create, OnConflict::DeadLetter),
        (
            "--es-on-conflict dead-letter",
            Operation::Create,
            OnConflict::DeadLetter,
        ),
        ("--es-on-conflict keep", Operation::Create, OnConflict::Keep),
        ("--es-on-conflict replace", Operation::Index, OnConflict::Replace),
        ("--es-op-type index", Operation::Index, OnConflict::Replace),
        (
            "--es-operation index --es-on-conflict replace",
            Operation::Index,
            OnConflict::Replace,
        ),
    ] {
        let line = format!("--es-url http://a --es-index a --es-id field:x {line}");
        let line: Vec<_> = line.split_whitespace().collect();
        let options = options(&line).unwrap();
        assert_eq!(
            (options.addressing.operation, options.on_conflict),
            (operation, on_conflict),
            "{line:?}"
        );
    }
}

fn identity(line: &str) -> BTreeMap<String, String> {
    let line: Vec<_> = line.split_whitespace().collect();
    options(&line).unwrap().identity()
}

#[test]
fn the_identity_has_all_that_decides_where_documents_arrive() {
    let full = identity(
        "--es-url https://B:443/es,http://a --es-index logs-{+uuuu.MM}-{t} --es-id field:id --es-on-conflict keep \
         --es-pipeline p --es-routing-field r --es-timestamp-field ts",
    );
    let text: Vec<_> = full.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        text,
        [
            "--es-id=field:id",
            "--es-index=logs-{+yyyy.MM}-{t}",
            "--es-on-conflict=keep",
            "--es-op-type=create",
            "--es-pipeline=p",
            "--es-routing-field=r",
            "--es-timestamp-field=ts",
            "--es-url=http://a/,https://b/es/",
        ]
    );
}

#[test]
fn the_identity_is_the_same_for_what_means_the_same_and_another_for_what_does_not() {
    let plain = "--es-url http://a:80 --es-index logs";
    for same in [
        "--es-url http://A/ --es-index logs --es-bulk-bytes 5000 --es-patience 1m --es-timestamp-field t",
        "--es-url http://a,http://a --es-index logs --es-id deterministic --es-compression gzip",
    ] {
        assert_eq!(identity(plain), identity(same), "{same}");
    }
    let others = [
        "--es-url http://b --es-index logs",
        "--es-url http://a --es-index log",
        "--es-url http://a --es-data-stream logs",
        "--es-url http://a --es-index logs --es-id auto",
        "--es-url http://a --es-index logs --es-id field:a",
        "--es-url http://a --es-index logs --es-id field:a --es-on-conflict keep",
        "--es-url http://a --es-index logs --es-op-type index",
        "--es-url http://a --es-index logs --es-pipeline p",
        "--es-url http://a --es-index logs --es-routing-field r",
        "--es-url http://a --es-index logs-{+yyyy}",
        "--es-url http://a --es-index logs-{+yyyy} --es-timestamp-field t",
        plain,
    ];
    let distinct: std::collections::BTreeSet<_> = others.iter().map(|line| identity(line)).collect();
    assert_eq!(distinct.len(), others.len());
}
