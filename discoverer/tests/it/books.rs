//! Whose a job's books are: another owner and another plan are refused, what is taken over says so, and a job that was listed to
//! its end is gone on with only when that is asked for.

use std::fs;

use pf_state::{Delivery, Outcome, Settled};
use pf_work::{Counts, WorkItem, discovery::Discovered};

use super::{
    kept::{JOB, Place, seqs},
    program::{command, run},
};

fn three() -> Place {
    let place = Place::new();
    for number in 0..3 {
        place.put(&format!("{number}.ndjson"), 5);
    }
    place
}

#[test]
fn another_owner_is_refused_and_may_take_the_books_over_aloud() {
    let place = three();
    let first = place.run(&["--owner", "shop/logs 11"]);
    assert_eq!((first.code, first.items.len()), (0, 3), "{}", first.stderr);
    place.settle([0]);
    let refused = place.run(&["--owner", "shop/logs 22"]);
    assert_eq!((refused.code, refused.items.len()), (4, 0), "{}", refused.stderr);
    for part in ["`shop/logs 11`", "1 of 3 items settled", "--resume"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    let file = place.folder.path().join("summary.json");
    let flags = [
        "--owner",
        "shop/logs 22",
        "--resume",
        "--summary",
        file.to_str().unwrap(),
    ];
    let taken = place.run(&flags);
    assert_eq!((taken.code, seqs(&taken.items)), (0, vec![1, 2]), "{}", taken.stderr);
    assert!(
        taken.stderr.contains("taken over from `shop/logs 11`"),
        "{}",
        taken.stderr
    );
    assert_ne!(
        taken.items[0]["life"], first.items[0]["life"],
        "items are of the life that offers them"
    );
    let summary = Discovered::from_json(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(summary.owner.as_deref(), Some("shop/logs 22"));
    assert_eq!(summary.resumed_from.as_deref(), Some("shop/logs 11"));
    assert_eq!(place.run(&["--owner", "shop/logs 11"]).code, 4, "the books are gone");
    assert_eq!(
        place.run(&["--owner", "shop/logs 22"]).code,
        0,
        "a restart need not say it again"
    );
}

#[test]
fn what_decides_on_what_arrives_is_bound_and_told_where_it_differs() {
    for (flags, other, told) in [
        (
            &["--delivers", "index=one"][..],
            &["--delivers", "index=two"][..],
            "--delivers index was `one`, now `two`",
        ),
        (
            &["--delivers", "index=one"],
            &[],
            "--delivers index was `one`, now not given",
        ),
        (&[], &["--run", "2"], "--run was `1`, now `2`"),
        (&[], &["--s3-endpoint", "http://h:1"], "--s3-endpoint was not given"),
        (&[], &["--region", "eu-west-1"], "--region was not given"),
    ] {
        let place = three();
        assert_eq!(place.run(flags).code, 0);
        assert_eq!(place.run(flags).code, 0, "the same is gone on with");
        let refused = place.run(other);
        assert_eq!(
            (refused.code, refused.items.len()),
            (4, 0),
            "{other:?}: {}",
            refused.stderr
        );
        assert!(refused.stderr.contains(told), "{other:?}: {}", refused.stderr);
        let resumed = place.run(&[other, &["--resume", "--owner", "another"]].concat());
        assert_eq!(resumed.code, 4, "nor by taking it over: {}", resumed.stderr);
    }
}

#[test]
fn a_job_listed_to_its_end_says_so_and_again_adds_what_is_new() {
    let place = three();
    assert_eq!(place.run(&[]).items.len(), 3);
    place.settle(0..3);
    place.put("1.ndjson", 7);
    place.put("new.ndjson", 5);
    let second = place.run(&[]);
    assert_eq!((second.code, second.items.len()), (0, 0), "{}", second.stderr);
    assert!(
        second.stderr.contains("WARN") && second.stderr.contains("--again"),
        "{}",
        second.stderr
    );
    let again = place.run(&["--again"]);
    assert_eq!((again.code, seqs(&again.items)), (0, vec![3, 4]), "{}", again.stderr);
    let uris: Vec<&str> = again.items.iter().map(|item| item["uri"].as_str().unwrap()).collect();
    assert!(
        uris[0].ends_with("1.ndjson") && uris[1].ends_with("new.ndjson"),
        "{uris:?}"
    );
    let (items, is_sealed) = place.manifest();
    assert_eq!((items.len(), is_sealed), (5, true));
    // Verify expects all of it.
    let state = format!("file://{}/state", place.folder.path().display());
    let verify = || {
        let output = command(&["verify", "--state", &state, "--job", JOB]).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), report["superseding"].clone(), said)
    };
    assert!(
        again.stderr.contains("1 objects changed since they were listed"),
        "{}",
        again.stderr
    );
    assert_eq!(verify().0, Some(1));
    place.settle(3..5);
    let (code, superseding, said) = verify();
    assert_eq!((code, superseding), (Some(0), 1.into()));
    assert!(said.contains("in more than one version"), "{said}");
    let nothing = place.run(&["--again"]);
    assert_eq!((nothing.code, nothing.items.len()), (0, 0), "{}", nothing.stderr);
    assert!(nothing.stderr.contains("nothing is new"), "{}", nothing.stderr);
    place.put("later.ndjson", 5);
    assert_eq!(seqs(&place.run(&["--again"]).items), [5]);
}

#[test]
fn nothing_that_matches_is_told_and_no_plain_success() {
    let place = Place::new();
    place.put("a.ndjson", 5);
    let pattern = ["--pattern", "*.jsonl"];
    for _ in ["listed", "listed by an earlier run"] {
        let empty = place.run(&pattern);
        assert_eq!(empty.code, 2, "{}", empty.stderr);
        assert!(empty.stderr.contains("--allow-empty"), "{}", empty.stderr);
        let allowed = place.run(&[&pattern[..], &["--allow-empty"]].concat());
        assert_eq!(allowed.code, 0, "{}", allowed.stderr);
    }
    let state = format!("file://{}/state", place.folder.path().display());
    let verify = |more: &[&str]| {
        let flags = [&["verify", "--state", &state, "--job", JOB][..], more].concat();
        command(&flags).output().unwrap()
    };
    let output = verify(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("no object that matches")
    );
    assert_eq!(verify(&["--allow-empty"]).status.code(), Some(0));
    let data = format!("file://{}/data/", place.folder.path().display());
    assert_eq!(
        run(&["--uri", &data, "--pattern", "*.jsonl"]).code,
        2,
        "without a state too"
    );
}

#[test]
fn an_object_that_changed_is_redriven_as_it_is() {
    let place = three();
    let before = place.run(&[]).items;
    let dead = |seq| Settled {
        seq,
        outcome: Outcome::DeadLetter {
            reason: "changed".to_owned(),
        },
        counts: Counts::default(),
        object_rows: None,
        by: Delivery::default(),
    };
    place.settle([2]);
    let ledger = place.state().write_ledger("pod");
    place.runtime.block_on(ledger.record(&[dead(0), dead(1)])).unwrap();
    place.put("0.ndjson", 9);
    fs::remove_file(place.folder.path().join("data/1.ndjson")).unwrap();
    let state = format!("file://{}/state", place.folder.path().display());
    let flags = [
        "redrive",
        "--dead-items",
        "--as-they-are",
        "--state",
        &state,
        "--job",
        JOB,
    ];
    let output = command(&flags).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "one is gone: {told}");
    let item = WorkItem::from_json(String::from_utf8(output.stdout).unwrap().trim()).unwrap();
    assert_eq!((item.seq, item.size_bytes, item.returns), (0, 9, 1));
    assert_ne!(item.etag.as_deref(), before[0]["etag"].as_str());
    let old = WorkItem::from_json(&before[0].to_string()).unwrap();
    let query = format!("STARTS_WITH(_id, \\\"{}-\\\")", pf_work::identity::prefix_text(&old));
    assert!(
        told.contains(&query) || told.contains(&query.replace('\\', "")),
        "{told}"
    );
}

#[test]
fn bad_usage_of_the_flags_of_books_is_told() {
    for (flags, problem) in [
        (&["--resume"][..], "--resume: needs --state"),
        (&["--again"], "--again: needs --state"),
        (&["--owner", ""], "--owner: "),
        (&["--delivers", "index"], "--delivers: `index` must be NAME=VALUE"),
        (
            &["--delivers", "a=1", "--delivers", "a=2"],
            "--delivers: `a` is given twice",
        ),
        (&["--run", "0"], "--run: "),
    ] {
        let output = command(&[&["--uri", "file:///x"], flags].concat()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{flags:?}: {told}");
        assert!(told.contains(problem), "{flags:?}: {told}");
    }
}

#[test]
fn a_job_that_is_not_in_the_books_is_told_and_nothing_of_it_is_given_back() {
    let place = three();
    place.run(&[]);
    let state = format!("file://{}/state", place.folder.path().display());
    for arguments in [
        &["verify"][..],
        &["redrive", "--missing"],
        &["redrive", "--dead-items"],
        &["redrive", "--records"],
    ] {
        let more = ["--state", &state, "--job", "typo"];
        let output = command(&[arguments, &more].concat()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("no job `typo`"), "{arguments:?}: {said}");
    }
}
