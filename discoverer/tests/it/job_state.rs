//! `verify` and `redrive` on state directories that the library wrote.

use std::{collections::BTreeMap, process::Output};

use pf_e2e::S3;
use pf_state::{Delivery, Outcome, RecordDeadLetter, Settled, Stage, StateDir, manifest::Addition};
use pf_storage::{ObjectUri, Options, Storage, store::AccessKey};
use pf_work::{Compression, Counts, Format, WorkItem, item::VERSION};
use serde_json::Value;
use tempfile::TempDir;

use super::program::{assert_success, command};

const JOB: &str = "ns/job";

/// A job of ten items, to be settled by the test.
struct Job {
    folder: TempDir,
    state: StateDir,
    runtime: tokio::runtime::Runtime,
}

fn item(seq: u64) -> WorkItem {
    WorkItem {
        v: VERSION,
        life: None,
        run: 1,
        returns: 0,
        tries: 0,
        crashes: 0,
        job: JOB.to_owned(),
        seq,
        uri: format!("s3://logs/{seq}.ndjson"),
        etag: Some("\"e\"".to_owned()),
        size_bytes: 10,
        last_modified: None,
        format: Format::Ndjson,
        compression: Compression::None,
        range: None,
        partition: BTreeMap::new(),
        enqueued_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn settled(seq: u64, outcome: Outcome) -> Settled {
    let counts = Counts {
        records_in: 10,
        records_out: 9,
        records_filtered: 1,
        ..Counts::default()
    };
    Settled {
        seq,
        outcome,
        counts,
        object_rows: None,
        by: Delivery::default(),
    }
}

fn gone() -> Outcome {
    Outcome::DeadLetter {
        reason: "the object is gone".to_owned(),
    }
}

impl Job {
    fn new(sealed: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let state = StateDir::new(Storage::new(Options::default()), &ObjectUri::File { path }, JOB);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(discover(&state, sealed));
        Self { folder, state, runtime }
    }

    fn settle(&self, settled: &[Settled]) {
        let ledger = self.state.write_ledger("pod");
        self.runtime.block_on(ledger.record(settled)).unwrap();
    }

    fn run(&self, name: &str, flags: &[&str]) -> Output {
        let root = format!("file://{}", self.folder.path().display());
        let mut command = command(&[name, "--state", &root, "--job", JOB]);
        command.args(flags).output().unwrap()
    }

    /// The report, and the exit code.
    fn verify(&self) -> (Value, i32) {
        let output = self.run("verify", &[]);
        (
            serde_json::from_slice(&output.stdout).unwrap(),
            output.status.code().unwrap(),
        )
    }

    /// The numbers of the items that are offered, for the first time again.
    fn redrive(&self, flag: &str) -> Vec<u64> {
        let offered = self.redriven(flag).into_iter();
        let seqs = offered.map(|(seq, returns)| {
            assert_eq!(returns, 1);
            seq
        });
        seqs.collect()
    }

    /// The numbers of the items that are offered, and how often each came back.
    fn redriven(&self, flag: &str) -> Vec<(u64, u32)> {
        let output = self.run("redrive", &[flag]);
        assert_success(&output);
        let text = String::from_utf8(output.stdout).unwrap();
        let items = text.lines().map(|line| WorkItem::from_json(line).unwrap());
        let books = self.runtime.block_on(self.state.books()).unwrap();
        items
            .map(|found| {
                let (seq, returns) = (found.seq, found.returns);
                let expected = WorkItem {
                    life: books.life().map(|life| life.id.clone()),
                    returns,
                    ..item(seq)
                };
                assert_eq!(
                    found, expected,
                    "what was sent since it was first offered is looked for, so that time stays"
                );
                (seq, returns)
            })
            .collect()
    }
}

async fn discover(state: &StateDir, sealed: bool) {
    let mut manifest = state.write_manifest(&BTreeMap::new()).await.unwrap();
    for seqs in [0..6, 6..10] {
        let items: Vec<WorkItem> = seqs.map(item).collect();
        let addition = Addition {
            objects: items.len() as u64,
            bytes: items.len() as u64 * 10,
            superseding: 0,
            cursors: BTreeMap::new(),
            items,
        };
        manifest.add(addition).await.unwrap();
    }
    if sealed {
        manifest.seal().await.unwrap();
    }
}

#[test]
fn a_job_whose_items_are_all_completed_is_verified() {
    let job = Job::new(true);
    job.settle(&(0..10).map(|seq| settled(seq, Outcome::Completed)).collect::<Vec<_>>());
    let (report, code) = job.verify();
    assert_eq!(code, 0);
    assert_eq!(report["verdict"], "complete");
    assert_eq!((&report["expected"], &report["settled"]), (&10.into(), &10.into()));
    let records = ["records_in", "records_out", "records_filtered", "records_rejected"];
    assert_eq!(records.map(|name| report[name].as_u64().unwrap()), [100, 90, 10, 0]);
    assert!(job.redrive("--missing").is_empty() && job.redrive("--dead-items").is_empty());
}

#[test]
fn dead_letters_are_told_with_their_reasons_and_redriven() {
    let job = Job::new(true);
    let all: Vec<_> = (0..10)
        .map(|seq| settled(seq, if seq % 4 == 1 { gone() } else { Outcome::Completed }))
        .collect();
    job.settle(&all);
    let (report, code) = job.verify();
    assert_eq!((code, &report["verdict"]), (2, &"complete_with_dead_letters".into()));
    assert_eq!(report["dead_letters"].as_array().unwrap().len(), 3);
    assert_eq!(
        report["dead_letters"][0],
        serde_json::json!({"seq": 1, "uri": "s3://logs/1.ndjson", "reason": "the object is gone"})
    );
    assert_eq!(job.redrive("--dead-items"), [1, 5, 9]);
    job.settle(&[1, 5, 9].map(|seq| settled(seq, Outcome::Completed)));
    assert_eq!(
        job.verify().1,
        0,
        "what was redriven and completed is no dead letter any more"
    );
}

#[test]
fn each_redrive_counts_on_from_what_settlements_and_letters_know() {
    let job = Job::new(true);
    let delivered = |seq: u64, returns: u32| Delivery::of(&WorkItem { returns, ..item(seq) }, 1);
    let dead = |seq: u64, returns: u32| Settled {
        by: delivered(seq, returns),
        ..settled(seq, gone())
    };
    job.settle(&(2..10).map(|seq| settled(seq, Outcome::Completed)).collect::<Vec<_>>());
    job.settle(&[dead(0, 0)]);
    assert_eq!(job.redriven("--dead-items"), [(0, 1)]);
    // Given back twice by workers, given up, redriven, and given up at once: the first settlement may still be the one that stands.
    job.settle(&[dead(0, 3)]);
    job.settle(&[dead(0, 4)]);
    assert_eq!(job.redriven("--dead-items"), [(0, 5)]);
    // Of what nobody settled, letters of records may know.
    let letter = |returns| RecordDeadLetter {
        by: delivered(1, returns),
        ..letter_of(1, 7)
    };
    let writer = job.state.write_dead_letters("pod");
    assert_eq!(job.redriven("--missing"), [(1, 1)]);
    job.runtime.block_on(writer.store(&[letter(1), letter(0)])).unwrap();
    assert_eq!(job.redriven("--missing"), [(1, 2)]);
}

#[test]
fn missing_items_are_told_and_redriven() {
    let job = Job::new(true);
    job.settle(&[0, 1, 2, 6, 8].map(|seq| settled(seq, Outcome::Completed)));
    let (report, code) = job.verify();
    assert_eq!((code, &report["verdict"]), (1, &"incomplete".into()));
    assert_eq!(report["missing_ranges"], serde_json::json!([[3, 5], [7, 7], [9, 9]]));
    assert_eq!(job.redrive("--missing"), [3, 4, 5, 7, 9]);
}

#[test]
fn a_discovery_that_has_not_ended_is_never_complete() {
    let job = Job::new(false);
    job.settle(&(0..10).map(|seq| settled(seq, Outcome::Completed)).collect::<Vec<_>>());
    let output = job.run("verify", &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the discovery has not ended"), "{told}");
}

#[test]
fn a_job_that_nobody_began_is_incomplete() {
    let job = Job::new(true);
    let root = format!("file://{}", job.folder.path().display());
    let output = command(&["verify", "--state", &root, "--job", "other"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn rejected_records_come_back_as_they_were() {
    let job = Job::new(true);
    let letter = |ordinal, raw: &[u8], record_bytes| RecordDeadLetter {
        seq: 3,
        uri: "s3://logs/3.ndjson".to_owned(),
        etag: None,
        ordinal,
        stage: Stage::Index,
        reason: "mapping".to_owned(),
        raw: raw.to_vec(),
        record_bytes,
        by: Delivery::default(),
    };
    let letters = [
        letter(0, b"{\"a\": 1.0}", None),
        letter(10, b"{\"cut", Some(1000)),
        letter(2000, b"{\"b\":\xff}", None),
    ];
    let writer = job.state.write_dead_letters("pod");
    job.runtime.block_on(writer.store(&letters)).unwrap();
    let output = job.run("redrive", &["--records"]);
    assert_eq!(output.stdout, b"{\"a\": 1.0}\n{\"b\":\xff}\n");
    assert_eq!(output.status.code(), Some(2), "one could not be given back whole");
    assert!(String::from_utf8(output.stderr).unwrap().contains("ordinal=10"));

    let output = job.run("redrive", &["--records", "--letters"]);
    let lines: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!((lines.len(), output.status.code()), (3, Some(0)));
    assert_eq!(
        (&lines[1]["reason"], &lines[1]["ordinal"]),
        (&"mapping".into(), &10.into())
    );
}

/// A completed item with one rejected record.
fn rejecting(seq: u64) -> Settled {
    let completed = settled(seq, Outcome::Completed);
    let counts = Counts {
        records_out: 8,
        records_rejected: 1,
        ..completed.counts
    };
    Settled { counts, ..completed }
}

fn letter_of(seq: u64, ordinal: u64) -> RecordDeadLetter {
    RecordDeadLetter {
        seq,
        uri: format!("s3://logs/{seq}.ndjson"),
        etag: None,
        ordinal,
        stage: Stage::Index,
        reason: "mapping".to_owned(),
        raw: b"{}".to_vec(),
        record_bytes: None,
        by: Delivery::default(),
    }
}

#[test]
fn rejected_records_are_no_plain_success_and_must_all_be_kept() {
    let job = Job::new(true);
    job.settle(&(0..10).map(rejecting).collect::<Vec<_>>());
    let (report, code) = job.verify();
    assert_eq!((code, &report["verdict"]), (1, &"incomplete".into()));
    assert_eq!(report["records_not_kept"], 10);

    let writer = job.state.write_dead_letters("pod");
    // One of them twice, as of an item that was delivered twice.
    let letters: Vec<_> = (0..9).map(|seq| letter_of(seq, 3)).chain([letter_of(0, 3)]).collect();
    job.runtime.block_on(writer.store(&letters)).unwrap();
    let output = job.run("verify", &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("1 rejected records are not kept"), "{told}");

    job.runtime.block_on(writer.store(&[letter_of(9, 3)])).unwrap();
    let (report, code) = job.verify();
    assert_eq!((code, &report["verdict"]), (2, &"complete_with_dead_letters".into()));
}

#[test]
fn more_rejected_records_than_the_job_may_have_are_exit_code_3_and_in_the_summary() {
    let job = Job::new(true);
    job.settle(&(0..10).map(rejecting).collect::<Vec<_>>());
    let writer = job.state.write_dead_letters("pod");
    let letters: Vec<_> = (0..10).map(|seq| letter_of(seq, 3)).collect();
    job.runtime.block_on(writer.store(&letters)).unwrap();
    let file = job.folder.path().join("summary.json");
    for (limit, code) in [("10", 2), ("10%", 2), ("9", 3), ("9.9%", 3), ("100,0%", 3)] {
        let output = job.run(
            "verify",
            &["--max-rejected", limit, "--summary", file.to_str().unwrap()],
        );
        assert_eq!(output.status.code(), Some(code), "{limit}");
        let summary = std::fs::read_to_string(&file).unwrap();
        let spent = pf_work::proof::Summary::from_json(&summary).unwrap().budget_spent;
        assert_eq!(spent.is_some(), code == 3, "{limit}: {summary}");
    }
    assert_eq!(job.run("verify", &["--max-rejected", "some"]).status.code(), Some(64));
}

#[test]
fn ranges_that_do_not_cover_their_object_are_told_by_its_name() {
    let ranged = |seq: u64| WorkItem {
        uri: "s3://logs/split.ndjson".to_owned(),
        size_bytes: 100,
        range: Some(pf_work::ByteRange {
            start: seq * 50,
            end: seq * 50 + 50,
        }),
        ..item(seq)
    };
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let state = StateDir::new(Storage::new(Options::default()), &ObjectUri::File { path }, JOB);
    let root = format!("file://{}", folder.path().display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut manifest = state.write_manifest(&BTreeMap::new()).await.unwrap();
        let addition = Addition {
            objects: 1,
            bytes: 100,
            superseding: 0,
            cursors: BTreeMap::new(),
            items: (0..2).map(ranged).collect(),
        };
        manifest.add(addition).await.unwrap();
        manifest.seal().await.unwrap();
    });
    let spans = |seq, span_bytes| {
        let completed = settled(seq, Outcome::Completed);
        let counts = Counts {
            span_bytes,
            ..completed.counts
        };
        Settled { counts, ..completed }
    };
    let verify = || command(&["verify", "--state", &root, "--job", JOB]).output().unwrap();
    let settle = |all: &[Settled]| runtime.block_on(state.write_ledger("pod").record(all)).unwrap();
    settle(&[spans(0, 55), spans(1, 44)]);
    let output = verify();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("s3://logs/split.ndjson: the lines that were read take 99 of its 100 bytes"),
        "{told}"
    );
}

#[test]
fn settlements_and_letters_of_another_life_count_for_nothing() {
    let job = Job::new(true);
    let elsewhere = |life: &str| Delivery {
        life: Some(life.to_owned()),
        ..Delivery::default()
    };
    let all: Vec<_> = (0..10)
        .map(|seq| Settled {
            by: elsewhere("another"),
            ..settled(seq, Outcome::Completed)
        })
        .collect();
    job.settle(&all);
    let (report, code) = job.verify();
    assert_eq!(
        (code, &report["settled"], &report["settled_elsewhere"]),
        (1, &0.into(), &10.into())
    );
    assert_eq!(report["records_out"], 0);
    let books = job.runtime.block_on(job.state.books()).unwrap();
    let life = &books.life().unwrap().id;
    let all: Vec<_> = (0..10)
        .map(|seq| Settled {
            by: elsewhere(life),
            ..settled(seq, Outcome::Completed)
        })
        .collect();
    job.settle(&all);
    assert_eq!(job.verify().1, 0);
}

#[test]
fn a_record_that_was_kept_in_part_is_given_back_from_its_place_in_the_object() {
    let job = Job::new(true);
    let path = job.folder.path().join("object.ndjson");
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(100_000));
    std::fs::write(&path, format!("{{}}\n{long}\n{{}}\n")).unwrap();
    let uri = format!("file://{}", path.display());
    let storage = Storage::new(Options::default());
    let etag = job.runtime.block_on(storage.head(&uri.parse().unwrap())).unwrap().etag;
    let cut = |ordinal, raw: &str, etag: &str| RecordDeadLetter {
        uri: uri.clone(),
        etag: Some(etag.to_owned()),
        raw: raw.as_bytes().to_vec(),
        record_bytes: Some(long.len() as u64),
        ..letter_of(3, ordinal)
    };
    let letters = [
        cut(3, &long[..1000], &etag),
        cut(4, "not what is there", &etag),
        cut(5, &long[2..1000], "another"),
    ];
    let writer = job.state.write_dead_letters("pod");
    job.runtime.block_on(writer.store(&letters)).unwrap();
    let output = job.run("redrive", &["--records"]);
    assert_eq!(output.stdout, format!("{long}\n").into_bytes());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("ordinal=4") && told.contains("ordinal=5"), "{told}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_state_directory_on_s3_is_verified_too() {
    let s3 = S3::shared();
    let bucket = s3.make_bucket("verify");
    let storage = Storage::new(Options {
        endpoint: Some(s3.endpoint()),
        region: Some(S3::REGION.to_owned()),
        access_key: Some(AccessKey {
            id: S3::ACCESS_KEY_ID.to_owned(),
            secret: s3.secret_access_key().to_owned(),
        }),
        ..Options::default()
    });
    let uri = format!("s3://{bucket}/state");
    let state = StateDir::new(storage, &uri.parse().unwrap(), JOB);
    let all: Vec<_> = (0..10).map(|seq| settled(seq, Outcome::Completed)).collect();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        discover(&state, true).await;
        state.write_ledger("pod").record(&all).await.unwrap();
    });
    let mut command = command(&["verify", "--state", &uri, "--job", JOB, "--s3-endpoint", &s3.endpoint()]);
    let output = command.envs(s3.environment()).output().unwrap();
    assert_success(&output);
}

#[test]
fn bad_usage_of_the_sub_commands_is_told() {
    for (flags, problem) in [
        (&["verify", "--job", "j"][..], "--state"),
        (&["verify", "--state", "file:///x"], "--job"),
        (&["verify", "--state", "/x", "--job", "j"], "error: --state: `/x`"),
        (&["verify", "--state", "file:///x", "--job", ""], "error: --job: "),
        (&["redrive", "--state", "file:///x", "--job", "j"], "--missing"),
        (
            &[
                "redrive",
                "--state",
                "file:///x",
                "--job",
                "j",
                "--missing",
                "--records",
            ],
            "cannot be used with",
        ),
        (
            &[
                "redrive",
                "--state",
                "file:///x",
                "--job",
                "j",
                "--missing",
                "--letters",
            ],
            "--records",
        ),
        (
            &["--uri", "file:///x", "verify", "--state", "file:///x", "--job", "j"],
            "verify",
        ),
    ] {
        let output = command(flags).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{flags:?}: {told}");
        assert!(told.contains(problem), "{flags:?}: {told}");
    }
}
