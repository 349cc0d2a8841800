//! `--state`: what was found is kept before it is offered, and a run that was stopped is gone on with.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use pf_e2e::{S3, Sqs};
use pf_state::{Delivery, Outcome, RecordDeadLetter, Settled, Stage, StateDir};
use pf_storage::{ObjectUri, Options, Storage};
use pf_work::{
    Checkpoint, Counts, WorkItem,
    checkpoint::Position,
    discovery::Discovered,
    proof::{Summary, Verdict},
};
use serde_json::Value;
use tempfile::TempDir;

use super::program::{Run, command};

pub(crate) const JOB: &str = "kept";
const PART: u64 = 64 * 1024;

/// A folder to list, and one to keep the job in.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        Self {
            folder,
            runtime: tokio::runtime::Runtime::new().unwrap(),
        }
    }

    /// Files of so many parts each, in folders by day. They are sparse: nothing is stored.
    fn with_large_files(days: u32, parts: u64) -> Self {
        let place = Self::new();
        for number in 0..days * 2 {
            place.put(&format!("day={}/{number:02}.ndjson", number % days), parts * PART);
        }
        place
    }

    pub(crate) fn put(&self, key: &str, bytes: u64) {
        let path = self.folder.path().join("data").join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().set_len(bytes).unwrap();
    }

    fn flags(&self) -> Vec<String> {
        let folder = self.folder.path().display();
        let data = format!("file://{folder}/data/");
        let state = format!("file://{folder}/state");
        ["--uri", &data, "--state", &state, "--job", JOB]
            .map(str::to_owned)
            .to_vec()
    }

    pub(crate) fn run(&self, more: &[&str]) -> Run {
        let flags = self.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let output = {
            let mut command = command(&flags);
            if more.contains(&"sqs") {
                command.envs(Sqs::shared().environment());
            }
            command.output().unwrap()
        };
        let text = String::from_utf8(output.stdout).unwrap();
        Run {
            code: output.status.code().unwrap(),
            items: text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs until so many items were read, then kills it. Gives those that were read.
    fn run_and_kill(&self, more: &[&str], items: usize) -> Vec<Value> {
        let flags = self.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let mut child = command(&flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let read = lines
            .take(items)
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let read = read.collect();
        child.kill().unwrap();
        child.wait().unwrap();
        read
    }

    pub(crate) fn state(&self) -> StateDir {
        let path = format!("{}/state", self.folder.path().display());
        StateDir::new(Storage::new(Options::default()), &ObjectUri::File { path }, JOB)
    }

    /// The manifest, and whether it is sealed.
    pub(crate) fn manifest(&self) -> (Vec<WorkItem>, bool) {
        self.runtime.block_on(async {
            let mut reader = self.state().read_manifest(0).await.unwrap();
            let mut items = Vec::new();
            while let Some(more) = reader.next().await.unwrap() {
                items.extend(more);
            }
            (items, reader.seal().is_some())
        })
    }

    pub(crate) fn settle(&self, seqs: impl IntoIterator<Item = u64>) {
        let settled: Vec<Settled> = seqs
            .into_iter()
            .map(|seq| Settled {
                seq,
                outcome: Outcome::Completed,
                counts: Counts::default(),
                object_rows: None,
                by: Delivery::default(),
            })
            .collect();
        let ledger = self.state().write_ledger("pod");
        self.runtime.block_on(ledger.record(&settled)).unwrap();
    }
}

pub(crate) fn seqs(items: &[Value]) -> Vec<u64> {
    items.iter().map(|item| item["seq"].as_u64().unwrap()).collect()
}

/// What tells an item, beside its number: the object and where its range begins.
fn places(items: &[WorkItem]) -> BTreeSet<(&str, Option<u64>)> {
    items
        .iter()
        .map(|item| (item.uri.as_str(), item.range.map(|range| range.start)))
        .collect()
}

#[test]
fn what_is_offered_is_in_the_manifest_which_is_sealed_at_the_end() {
    let place = Place::new();
    for number in 0..7 {
        place.put(&format!("{number}.ndjson"), 5);
    }
    let run = place.run(&[]);
    assert_eq!((run.code, run.items.len()), (0, 7), "{}", run.stderr);
    let (items, is_sealed) = place.manifest();
    assert!(is_sealed);
    let offered: Vec<WorkItem> = run
        .items
        .iter()
        .map(|item| WorkItem::from_json(&item.to_string()).unwrap())
        .collect();
    assert_eq!(items, offered);
    assert!(run.stderr.contains("items=7"), "{}", run.stderr);
}

#[test]
fn a_second_run_offers_what_is_not_settled_and_lists_nothing() {
    let place = Place::new();
    for number in 0..9 {
        place.put(&format!("{number}.ndjson"), 5);
    }
    let first = place.run(&[]);
    place.settle([0, 3, 4]);
    place.put("new.ndjson", 5);
    let second = place.run(&[]);
    assert_eq!(
        (second.code, seqs(&second.items)),
        (0, vec![1, 2, 5, 6, 7, 8]),
        "{}",
        second.stderr
    );
    assert_eq!(second.items[0]["returns"], 1, "it may have been worked on");
    assert_eq!(
        but_for_returns(&second.items[0]),
        first.items[1],
        "otherwise an item stays as it was"
    );
    assert!(
        second.stderr.contains("listed to its end by an earlier run"),
        "{}",
        second.stderr
    );
    place.settle(0..9);
    assert!(place.run(&[]).items.is_empty());
}

/// An item without how often it was offered again.
fn but_for_returns(item: &Value) -> Value {
    let mut item = item.clone();
    item.as_object_mut().unwrap().remove("returns");
    item
}

/// Kills runs until one ends, and checks that the manifest is as one run would have made it.
fn kill_and_go_on(place: &Place, flags: &[&str], stops: &[usize], expected: u64) {
    let mut offered: BTreeMap<u64, Value> = BTreeMap::new();
    let mut before = 0;
    for stop in stops {
        for item in place.run_and_kill(flags, *stop) {
            let seq = item["seq"].as_u64().unwrap();
            let item = but_for_returns(&item);
            let known = offered.insert(seq, item.clone());
            assert!(known.is_none_or(|known| known == item), "a number is never given twice");
        }
        let (items, _) = place.manifest();
        assert!(items.len() >= before, "nothing is forgotten");
        assert!(
            items.len() as u64 > *offered.keys().last().unwrap(),
            "kept before it is offered"
        );
        before = items.len();
    }
    let last = place.run(flags);
    assert_eq!(last.code, 0, "{}", last.stderr);
    let (items, is_sealed) = place.manifest();
    assert!(is_sealed);
    assert_eq!(items.len() as u64, expected);
    assert!(items.iter().zip(0..).all(|(item, seq)| item.seq == seq));
    assert_eq!(places(&items).len() as u64, expected, "each part of each object once");
    for (seq, item) in offered {
        assert_eq!(
            item,
            serde_json::from_str::<Value>(&items[seq as usize].to_json()).unwrap()
        );
    }
}

const SPLIT: [&str; 6] = ["--split-bytes", "64KiB", "--format", "ndjson", "--compression", "none"];

#[test]
fn a_flat_listing_that_was_killed_goes_on_where_the_manifest_ends() {
    let place = Place::with_large_files(1, 11_000);
    kill_and_go_on(&place, &SPLIT, &[1, 12_000], 22_000);
}

#[test]
fn a_partitioned_listing_that_was_killed_goes_on_where_the_manifest_ends() {
    let place = Place::with_large_files(4, 5500);
    let flags = [
        &SPLIT[..],
        &["--partitioning", "day=${day}/", "--parallel-prefixes", "3"],
    ]
    .concat();
    kill_and_go_on(&place, &flags, &[1, 12_000, 30_000], 44_000);
}

#[test]
fn the_bound_on_objects_is_one_over_all_runs() {
    let place = Place::with_large_files(3, 5500);
    let flags = [&SPLIT[..], &["--max-objects", "4"]].concat();
    kill_and_go_on(&place, &flags, &[100], 4 * 5500);
}

#[test]
fn of_two_discoverers_at_the_same_time_one_is_told_and_no_number_is_given_twice() {
    let place = Place::with_large_files(2, 5500);
    let runs = std::thread::scope(|scope| {
        let runs = [0; 2].map(|_| scope.spawn(|| place.run(&SPLIT)));
        runs.map(|run| run.join().unwrap())
    });
    for run in runs.iter().filter(|run| run.code != 0) {
        assert!(
            run.stderr.contains("another discoverer writes the manifest"),
            "{}",
            run.stderr
        );
    }
    let last = place.run(&SPLIT);
    assert_eq!(last.code, 0, "{}", last.stderr);
    let (items, is_sealed) = place.manifest();
    assert_eq!((items.len(), is_sealed), (22_000, true));
    for item in runs.iter().flat_map(|run| &run.items) {
        let seq = item["seq"].as_u64().unwrap();
        assert_eq!(
            *item,
            serde_json::from_str::<Value>(&items[seq as usize].to_json()).unwrap()
        );
    }
}

#[test]
fn other_flags_are_refused_before_anything_is_listed() {
    let place = Place::new();
    place.put("a.ndjson", 5);
    place.run(&[]);
    let run = place.run(&["--pattern", "*.gz"]);
    assert_eq!((run.code, run.items.len()), (4, 0));
    assert!(
        run.stderr.contains("--pattern was not given, now `*.gz`"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_queue_gets_each_item_though_the_first_run_was_refused() {
    let place = Place::with_large_files(2, 500);
    let queue = Sqs::shared().make_queue("kept", 600, 3);
    let to_queue = ["--destination", "sqs", "--sqs-queue-url", &queue.url];
    let flags = [&SPLIT[..], &to_queue].concat();
    // Kept, and offered to nobody: the queue is to get them all the same.
    place.run_and_kill(&SPLIT, 1);
    let run = place.run(&flags);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let bodies = Sqs::shared().all_bodies(&queue.url);
    let items: Vec<Value> = bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    assert_eq!(items.len(), 2000, "each once");
    assert_eq!(seqs(&items).into_iter().collect::<BTreeSet<_>>(), (0..2000).collect());
    let again = place.run(&flags);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(
        Sqs::shared().all_bodies(&queue.url).is_empty(),
        "what was offered is not offered again"
    );
}

#[test]
fn the_summary_tells_of_the_whole_job_also_after_a_run_that_was_stopped() {
    let place = Place::with_large_files(2, 500);
    let file = place.folder.path().join("summary.json");
    let flags = [&SPLIT[..], &["--summary", file.to_str().unwrap()]].concat();
    place.run_and_kill(&flags, 100);
    assert!(!file.exists(), "what is not known yet is not told");
    for run in ["which goes on", "which finds all done"] {
        assert_eq!(place.run(&flags).code, 0, "{run}");
        let discovered = Discovered::from_json(&fs::read_to_string(&file).unwrap()).unwrap();
        let all = Discovered {
            job: JOB.to_owned(),
            owner: Some(JOB.to_owned()),
            life: discovered.life.clone(),
            resumed_from: None,
            items: 2000,
            objects: 4,
            object_bytes: 2000 * PART,
            archived: 0,
        };
        assert_eq!(discovered, all, "{run}");
        assert!(discovered.life.is_some(), "{run}");
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn dead_letters_of_the_queue_count_as_given_up() {
    let place = Place::new();
    for number in 0..3 {
        place.put(&format!("{number}.ndjson"), 5);
    }
    let queue = Sqs::shared().make_queue("kept-dead", 600, 3);
    let run = place.run(&["--destination", "sqs", "--sqs-queue-url", &queue.url]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    place.settle([0, 2]);
    let state = format!("file://{}/state", place.folder.path().display());
    // As if the redrive policy had moved them there.
    let flags = [
        "--state",
        &state,
        "--job",
        JOB,
        "--sqs-dead-letter-queue-url",
        &queue.url,
    ];
    let with = |name: &str, more: &[&str]| {
        let mut command = command(&[&[name], &flags[..], more].concat());
        command.envs(Sqs::shared().environment()).output().unwrap()
    };
    let summary = place.folder.path().join("summary.json");
    let verified = with("verify", &["--summary", summary.to_str().unwrap()]);
    let summary = Summary::from_json(&fs::read_to_string(summary).unwrap()).unwrap();
    assert_eq!(
        (summary.verdict, summary.dead_lettered),
        (Verdict::CompleteWithDeadLetters, 1)
    );
    assert_eq!(
        verified.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&report["missing"], &report["dead_lettered"]), (&0.into(), &1.into()));
    assert_eq!(report["dead_letters"][0]["seq"], 1);
    let redriven = with("redrive", &["--dead-items"]);
    let item = WorkItem::from_json(str::from_utf8(&redriven.stdout).unwrap().trim_end()).unwrap();
    assert_eq!(item.seq, 1, "letters that were read are still there");
}

#[test]
fn what_was_delivered_of_an_item_before_the_policy_moved_it_counts_once() {
    let place = Place::new();
    for number in 0..4 {
        place.put(&format!("{number}.ndjson"), 50);
    }
    let run = place.run(&[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let items: Vec<WorkItem> = run
        .items
        .iter()
        .map(|item| WorkItem::from_json(&item.to_string()).unwrap())
        .collect();
    let counts = |records_in: u64, records_rejected: u64| Counts {
        records_in,
        records_out: records_in - records_rejected,
        records_rejected,
        ..Counts::default()
    };
    let checkpoint = |item: &WorkItem| Checkpoint {
        v: item.v,
        job: item.job.clone(),
        seq: item.seq,
        life: item.life.clone(),
        uri: item.uri.clone(),
        range: item.range,
        crashes: 0,
        etag: item.etag.clone().unwrap(),
        position: Position::Byte { offset: 30 },
        counts: counts(7, 2),
    };
    let put = |checkpoint: &Checkpoint| {
        let checkpoints = place.state().checkpoints();
        place.runtime.block_on(checkpoints.put(checkpoint)).unwrap();
    };
    let settled = |seq, outcome, counts| Settled {
        seq,
        outcome,
        counts,
        object_rows: None,
        by: Delivery::default(),
    };
    let dead = Outcome::DeadLetter {
        reason: "gone".to_owned(),
    };
    let ledger = place.state().write_ledger("pod");
    let all = [
        settled(0, Outcome::Completed, counts(10, 0)),
        settled(1, dead, counts(3, 0)),
    ];
    place.runtime.block_on(ledger.record(&all)).unwrap();
    // What is settled, or was another job's, leaves a checkpoint that says nothing more.
    for item in &items[..3] {
        put(&checkpoint(item));
    }
    put(&Checkpoint {
        life: Some("another".to_owned()),
        ..checkpoint(&items[3])
    });
    let by = Delivery::of(&items[2], 1);
    let letter = |ordinal| RecordDeadLetter {
        seq: 2,
        uri: items[2].uri.clone(),
        etag: items[2].etag.clone(),
        ordinal,
        stage: Stage::Index,
        reason: "mapping".to_owned(),
        raw: b"{}".to_vec(),
        record_bytes: None,
        by: by.clone(),
    };
    let letters = place.state().write_dead_letters("pod");
    place.runtime.block_on(letters.store(&[letter(0), letter(9)])).unwrap();
    // All four are in the dead-letter queue, one of them twice: as delivery at least once has it.
    let sqs = Sqs::shared();
    let queue = sqs.make_plain_queue("moved", &serde_json::json!({}));
    for item in items.iter().chain([&items[2]]) {
        sqs.send(&queue, &item.to_json());
    }
    let state = format!("file://{}/state", place.folder.path().display());
    let flags = ["--state", &state, "--job", JOB];
    let with = |name: &str, more: &[&str]| {
        let mut command = command(&[&[name], &flags[..], more].concat());
        command.envs(sqs.environment()).output().unwrap()
    };
    let output = with("verify", &["--sqs-dead-letter-queue-url", &queue]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{report}");
    let number = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(
        (number("completed"), number("dead_lettered"), number("missing")),
        (1, 3, 0)
    );
    assert_eq!(
        (number("records_in"), number("records_out"), number("records_rejected")),
        (10 + 3 + 7, 10 + 3 + 5, 2)
    );
    assert_eq!(number("records_not_kept"), 0);
    let seqs: Vec<u64> = report["dead_letters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| letter["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [1, 2, 3], "each is told once");
    let records = with("redrive", &["--records"]);
    assert_eq!(records.stdout, b"{}\n{}\n", "and so are its records");
    // Without that queue nobody knows of the two.
    let output = with("verify", &[]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["missing"], &report["records_in"]), (&2.into(), &13.into()));
}

#[test]
fn a_bucket_and_a_state_directory_on_s3_work_together() {
    let s3 = S3::shared();
    let (bucket, kept) = (s3.make_bucket("kept"), s3.make_bucket("kept-state"));
    for number in 0..20 {
        s3.put(&bucket, &format!("logs/{number:02}.ndjson"), b"{}\n");
    }
    let (uri, state) = (format!("s3://{bucket}/logs/"), format!("s3://{kept}/"));
    let on_s3 = |flags: &[&str]| {
        let mut command = command(
            &[
                flags,
                &["--state", &state, "--job", "ns/j", "--s3-endpoint", &s3.endpoint()],
            ]
            .concat(),
        );
        command.envs(s3.environment()).output().unwrap()
    };
    let discovered = on_s3(&["--uri", &uri]);
    assert_eq!(
        discovered.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&discovered.stderr)
    );
    let missing = on_s3(&["redrive", "--missing"]);
    assert_eq!(String::from_utf8(missing.stdout).unwrap().lines().count(), 20);
    assert_eq!(on_s3(&["verify"]).status.code(), Some(1));
}
