//! What lies beside the data and is left out, told and counted: what writers of data sets keep there, what is archived, the
//! state directory itself, names that no address can have; and servers that list in an order of their own.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use pf_e2e::{Fault, FaultProxy, S3};
use tempfile::TempDir;

use super::program::{Run, command, finished, run, run_on_s3};

fn folder_with(files: &[(&str, usize)]) -> TempDir {
    let folder = TempDir::new().unwrap();
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
fn what_spark_and_its_kin_keep_beside_the_data_is_left_alone_and_counted() {
    let folder = folder_with(&[
        ("t/_SUCCESS", 0),
        ("t/_metadata", 30),
        ("t/_common_metadata", 30),
        ("t/part-0000.parquet", 30),
        ("t/.part-0000.parquet.crc", 30),
        ("t/_delta_log/0.json", 30),
        ("t_$folder$", 0),
        ("t/empty.ndjson", 0),
    ]);
    let root = uri_of(folder.path());
    let plain = run(&["--uri", &root]);
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    assert_eq!(plain.keys_below(&root), ["t/empty.ndjson", "t/part-0000.parquet"]);
    assert!(
        plain.stderr.contains("5 are hidden by `_` or `.`, 1 are empty"),
        "{}",
        plain.stderr
    );
    let all = run(&["--uri", &root, "--include-hidden"]);
    assert_eq!(all.items.len(), 6, "{}", all.stderr);
    // Asked for by name.
    let log = run(&["--uri", &format!("{root}t/_delta_log/")]);
    assert_eq!(log.keys_below(&root), ["t/_delta_log/0.json"]);
    let by_pattern = run(&["--uri", &root, "--pattern", "_*metadata"]);
    assert_eq!(by_pattern.keys_below(&root), ["t/_common_metadata", "t/_metadata"]);
    let file = run(&["--uri", &format!("{root}t/_metadata")]);
    assert_eq!(file.keys_below(&root), ["t/_metadata"]);
}

#[test]
fn hidden_folders_are_no_partitions_unless_the_expression_spells_them_out() {
    let folder = folder_with(&[
        ("eu/a.json", 3),
        ("_temporary/a.json", 3),
        ("_y=2024/a.json", 3),
        ("eu/.x/a.json", 3),
    ]);
    let root = uri_of(folder.path());
    let discovered = run(&["--uri", &root, "--partitioning", "${region}/"]);
    // Partitions are listed at the same time.
    let mut keys = discovered.keys_below(&root);
    keys.sort_unstable();
    assert_eq!(keys, ["_y=2024/a.json", "eu/a.json"]);
    assert!(
        discovered
            .stderr
            .contains("1 are hidden by `_` or `.`, 1 folders are hidden by `_` or `.`"),
        "{}",
        discovered.stderr
    );
    let spelt = run(&["--uri", &root, "--partitioning", "_temp${rest}/"]);
    assert_eq!(spelt.keys_below(&root), ["_temporary/a.json"]);
    let named = run(&[
        "--uri",
        &root,
        "--partitioning",
        "${region}/",
        "--filter",
        "region=_temporary",
    ]);
    assert_eq!(named.keys_below(&root), ["_temporary/a.json"]);
}

#[test]
fn values_of_partitions_are_decoded_and_null_is_no_value() {
    let folder = folder_with(&[
        ("dt=2024-01-01%2012%3A00/a.ndjson", 3),
        ("dt=2024-01-01 13:00/a.ndjson", 3),
        ("dt=__HIVE_DEFAULT_PARTITION__/a.ndjson", 3),
    ]);
    let root = uri_of(folder.path());
    let flags = ["--uri", &root, "--partitioning", "dt=${dt}/"];
    let all = run(&flags);
    let mut values: Vec<_> = all.items.iter().map(|item| item["partition"]["dt"].as_str()).collect();
    values.sort_unstable();
    assert_eq!(values, [None, Some("2024-01-01 12:00"), Some("2024-01-01 13:00")]);
    for (filter, key) in [
        ("dt=2024-01-01 12:00", "dt=2024-01-01%2012%3A00/a.ndjson"),
        ("dt=2024-01-01%2012%3A00", "dt=2024-01-01%2012%3A00/a.ndjson"),
        ("dt=2024-01-01 13:00", "dt=2024-01-01 13:00/a.ndjson"),
        (
            "dt=__HIVE_DEFAULT_PARTITION__",
            "dt=__HIVE_DEFAULT_PARTITION__/a.ndjson",
        ),
    ] {
        let found = run(&[&flags[..], &["--filter", filter]].concat());
        assert_eq!(found.keys_below(&root), [key], "{filter}");
    }
}

#[test]
fn the_first_folders_that_do_not_fit_are_named() {
    let folder = folder_with(&[
        ("d=2024-01-01/a", 1),
        ("d=a/x", 1),
        ("d=b/x", 1),
        ("d=c/x", 1),
        ("d=d/x", 1),
        ("d=e/x", 1),
    ]);
    let root = uri_of(folder.path());
    let found = run(&["--uri", &root, "--partitioning", "d=${_time:%Y-%m-%d}/"]);
    let path = folder.path().display();
    let told = format!(
        "5 folders don't fit --partitioning and were not gone into: `{path}/d=a/`, `{path}/d=b/`, `{path}/d=c/` and 2 more"
    );
    assert!(found.stderr.contains(&told), "{}", found.stderr);
}

/// Two jobs, one after the other, whose state lies in what they list.
fn state_within(root: &str, run: impl Fn(&[&str]) -> Run) {
    let state = format!("{root}state");
    for job in ["one", "two"] {
        for flags in [&[][..], &["--partitioning", "${a}/"]] {
            let job = format!("{job}{}", flags.len());
            let found = run(&[&["--uri", root, "--state", &state, "--job", &job], flags].concat());
            assert_eq!(found.code, 0, "{}", found.stderr);
            assert_eq!(found.keys_below(root), ["x/a.json", "x/b.json"], "{job}");
            assert!(!found.stderr.contains("don't fit"), "{}", found.stderr);
        }
    }
    let last = run(&["--uri", root, "--state", &state, "--job", "three"]);
    assert!(last.stderr.contains(" are of the state directory"), "{}", last.stderr);
    // In one place they can't be told from each other.
    let refused = run(&["--uri", root, "--state", root, "--job", "four"]);
    assert_eq!(refused.code, 64);
    assert!(refused.stderr.contains("--state: "), "{}", refused.stderr);
}

#[test]
fn a_state_directory_below_the_prefix_is_never_listed() {
    let folder = folder_with(&[("x/a.json", 3), ("x/b.json", 3)]);
    state_within(&uri_of(folder.path()), run);
    let s3 = S3::shared();
    let bucket = s3.make_bucket("within");
    for key in ["x/a.json", "x/b.json"] {
        s3.put(&bucket, key, b"{}\n");
        s3.put(&bucket, &format!("p/{key}"), b"{}\n");
    }
    state_within(&format!("s3://{bucket}/p/"), run_on_s3);
    s3.delete(&bucket, "p/x/a.json");
    s3.delete(&bucket, "p/x/b.json");
}

#[test]
fn names_that_are_not_utf8_are_told_and_the_rest_is_listed() {
    let folder = folder_with(&[("a.json", 3), ("x/b.json", 3)]);
    for name in [&b"bad\xff.json"[..], b"x/\xfe.log"] {
        File::create(folder.path().join(OsStr::from_bytes(name))).unwrap();
    }
    let root = uri_of(folder.path());
    let all = run(&["--uri", &root]);
    assert_eq!(all.code, 2, "{}", all.stderr);
    assert_eq!(all.keys_below(&root), ["a.json", "x/b.json"]);
    assert!(
        all.stderr
            .contains("2 objects were left out because their names are not UTF-8"),
        "{}",
        all.stderr
    );
    assert!(all.stderr.contains("bad\u{fffd}.json"), "{}", all.stderr);
    // Those that nobody wants are nobody's trouble.
    let some = run(&["--uri", &root, "--pattern", "*.log"]);
    assert_eq!(some.code, 2, "{}", some.stderr);
    assert!(some.stderr.contains("1 objects were left out"), "{}", some.stderr);
    let none = run(&["--uri", &root, "--pattern", "[ab].json"]);
    assert_eq!(none.code, 0, "{}", none.stderr);
    assert!(!none.stderr.contains("UTF-8"), "{}", none.stderr);
    let partitioned = run(&["--uri", &root, "--partitioning", "${f}/"]);
    assert_eq!(partitioned.code, 2, "{}", partitioned.stderr);
    assert_eq!(partitioned.keys_below(&root), ["x/b.json"]);
}

/// A page of a listing of objects and their storage classes, as S3 writes it.
fn page(objects: &[(&str, &str)]) -> Fault {
    page_of(objects, 5)
}

fn page_of(objects: &[(&str, &str)], size_bytes: u64) -> Fault {
    let contents: Vec<String> = objects
        .iter()
        .map(|(key, class)| {
            format!(
                "<Contents><Key>{key}</Key><Size>{size_bytes}</Size><LastModified>2024-02-29T12:00:00.000Z</LastModified>\
                 <StorageClass>{class}</StorageClass></Contents>"
            )
        })
        .collect();
    let body = format!("<ListBucketResult>{}</ListBucketResult>", contents.concat());
    Fault::Answer(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A run on a server that answers each listing with one page.
fn run_on_page(objects: &[(&str, &str)], flags: &[&str]) -> (Run, FaultProxy) {
    let proxy = FaultProxy::new(&S3::shared().endpoint());
    proxy.afterwards(page(objects));
    (run_on(&proxy, flags), proxy)
}

fn run_on(proxy: &FaultProxy, flags: &[&str]) -> Run {
    let mut command = command(&[&["--uri", "s3://b/", "--s3-endpoint", &proxy.endpoint()], flags].concat());
    command.envs(S3::shared().environment());
    finished(&command.output().unwrap())
}

#[test]
fn archived_objects_are_left_out_and_counted() {
    let objects = [
        ("a.json", "STANDARD"),
        ("b.json", "GLACIER"),
        ("c.json", "GLACIER_IR"),
        ("d.json", "DEEP_ARCHIVE"),
    ];
    let (plain, proxy) = run_on_page(&objects, &[]);
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    assert_eq!(plain.keys_below("s3://b/"), ["a.json", "c.json"]);
    assert!(plain.stderr.contains("2 are archived"), "{}", plain.stderr);
    assert!(
        plain
            .stderr
            .contains("2 objects were left out because they are archived"),
        "{}",
        plain.stderr
    );
    assert!(!proxy.requests()[0].contains("x-amz-request-payer"));
    let (all, proxy) = run_on_page(&objects, &["--include-archived", "--request-payer"]);
    assert_eq!(all.items.len(), 4, "{}", all.stderr);
    assert!(proxy.requests()[0].contains("x-amz-request-payer: requester"));
}

#[test]
fn archived_objects_are_in_the_summary_and_in_the_proof_and_if_all_are_nothing_matched() {
    let verify = |state: &str, summary: &str| {
        let flags = ["verify", "--state", state, "--job", "j", "--summary", summary];
        let output = command(&flags).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), report, told)
    };
    for (objects, archived, items, code) in [
        (
            &[
                ("a.json", "STANDARD"),
                ("b.json", "GLACIER"),
                ("c.json", "DEEP_ARCHIVE"),
            ][..],
            2,
            1,
            0,
        ),
        (
            &[("b.json", "GLACIER"), ("c.json", "DEEP_ARCHIVE"), ("d.json", "GLACIER")],
            3,
            0,
            2,
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let state = uri_of(folder.path());
        let file = folder.path().join("summary.json");
        let summary = file.to_str().unwrap();
        let flags = ["--state", &state, "--job", "j", "--summary", summary];
        let proxy = FaultProxy::new(&S3::shared().endpoint());
        proxy.afterwards(page(objects));
        // Also told by a run that finds it listed to its end.
        for _ in 0..2 {
            let run = run_on(&proxy, &flags);
            assert_eq!(run.code, code, "{}", run.stderr);
            let discovered = fs::read_to_string(&file).unwrap();
            let discovered = pf_work::discovery::Discovered::from_json(&discovered).unwrap();
            assert_eq!((discovered.archived, discovered.items), (archived, items));
        }
        let allowed = run_on(&proxy, &[&flags[..], &["--allow-empty"]].concat());
        assert_eq!(allowed.code, 0, "{}", allowed.stderr);
        let (code, report, told) = verify(&state, summary);
        assert_eq!(report["archived"], archived);
        assert!(
            told.contains(&format!("{archived} objects are no part of the job")),
            "{told}"
        );
        let proof = fs::read_to_string(&file).unwrap();
        assert_eq!(pf_work::proof::Summary::from_json(&proof).unwrap().archived, archived);
        if items == 0 {
            assert_eq!(
                (code, &report["verdict"]),
                (Some(2), &"complete_with_dead_letters".into())
            );
            assert!(told.contains("as 3 are"), "{told}");
        }
    }
}

#[test]
fn a_server_that_lists_out_of_order_is_refused_only_where_somebody_would_go_on() {
    let objects = [("a/1.json", "STANDARD"), ("a b/1.json", "STANDARD")];
    let (plain, _proxy) = run_on_page(&objects, &[]);
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    assert_eq!(plain.items.len(), 2);
    let state = TempDir::new().unwrap();
    let (kept, proxy) = run_on_page(&objects, &["--state", &uri_of(state.path()), "--job", "j"]);
    assert_eq!(kept.code, 1, "{}", kept.stderr);
    assert!(kept.items.is_empty());
    assert!(
        kept.stderr.contains("shows `a b/1.json` behind `a/1.json`") && kept.stderr.contains(&proxy.endpoint()),
        "{}",
        kept.stderr
    );
}

#[test]
fn an_object_that_may_not_be_looked_at_is_left_whole_and_stops_nothing() {
    let s3 = S3::shared();
    for (status, code, left) in [
        (403, "AccessDenied", 0),
        (403, "InvalidObjectState", 0),
        (400, "KMS.DisabledException", 0),
        (403, "InvalidAccessKeyId", 1),
    ] {
        let proxy = FaultProxy::new(&s3.endpoint());
        let refusal = Fault::error(status, code, "no", &[]);
        proxy
            .then([page_of(&[("a.json", "STANDARD")], 200_000)])
            .afterwards(refusal);
        let flags = [
            "--uri",
            "s3://b/",
            "--s3-endpoint",
            &proxy.endpoint(),
            "--split-bytes",
            "64KiB",
        ];
        let mut command = command(&flags);
        command.envs(s3.environment());
        let found = finished(&command.output().unwrap());
        assert_eq!(found.code, left, "{code}: {}", found.stderr);
        if left == 0 {
            assert_eq!(found.keys_below("s3://b/"), ["a.json"], "{code}");
            assert!(found.items[0]["range"].is_null(), "{code}");
        }
    }
}
