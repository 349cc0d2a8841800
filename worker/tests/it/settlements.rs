//! What a worker leaves behind: where it goes on, what it writes of an item into the ledger, and how it ends.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use arrow::{
    array::{Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use pf_e2e::Sqs;
use pf_state::{Settled, StateDir};
use pf_storage::{ObjectUri, Options, Storage};
use pf_work::{ByteRange, Checkpoint, Counts, WorkItem, checkpoint::Position, item::VERSION};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const JOB: &str = "ns/job";

struct Place {
    folder: TempDir,
    runtime: Runtime,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            runtime: Runtime::new().unwrap(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn state(&self) -> StateDir {
        let path = self.path("state");
        StateDir::new(Storage::new(Options::default()), &ObjectUri::File { path }, JOB)
    }

    /// The item of an object that is there, which was given back once.
    fn item(&self, name: &str) -> WorkItem {
        let uri = format!("file://{}", self.path(name));
        let storage = Storage::new(Options::default());
        let object = self.runtime.block_on(storage.head(&uri.parse().unwrap())).unwrap();
        let format = if name.ends_with(".parquet") {
            "parquet"
        } else {
            "ndjson"
        };
        let json = json!({
            "v": VERSION, "job": JOB, "seq": 0, "uri": uri, "etag": object.etag, "size_bytes": object.size_bytes,
            "format": format, "returns": 1, "enqueued_at": "2024-01-01T00:00:00Z",
        });
        WorkItem::from_json(&json.to_string()).unwrap()
    }

    /// Works on items, to standard output.
    fn work(&self, items: &[WorkItem]) -> Output {
        self.work_with(&[], items)
    }

    /// The same, with more flags.
    fn work_with(&self, flags: &[&str], items: &[WorkItem]) -> Output {
        let mut worker = Command::new(env!("CARGO_BIN_EXE_pf-worker"))
            .args(["--state", &format!("file://{}", self.path("state"))])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: String = items.iter().map(|item| item.to_json() + "\n").collect();
        worker.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = worker.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        output
    }

    /// What the ledger has of the items that are completed.
    fn settled(&self) -> BTreeMap<u64, Settled> {
        let state = self.state();
        let mut all = BTreeMap::new();
        self.runtime.block_on(async {
            let reader = state.read_ledger().await.unwrap();
            let ledger = reader.union().await.unwrap();
            let visit = |settled: Settled| {
                all.insert(settled.seq, settled);
            };
            reader.standing(&ledger.completed, visit).await.unwrap();
        });
        all
    }
}

#[test]
fn a_checkpoint_of_this_very_item_is_gone_on_from_and_a_foreign_one_is_passed_over() {
    let text = "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n";
    let counts = Counts {
        records_in: 2,
        records_out: 2,
        ..Counts::default()
    };
    let of = |item: &WorkItem| Checkpoint {
        v: VERSION,
        job: JOB.to_owned(),
        seq: item.seq,
        life: item.life.clone(),
        uri: item.uri.clone(),
        range: item.range,
        crashes: 0,
        etag: item.etag.clone().unwrap(),
        position: Position::Byte { offset: 16 },
        counts,
    };
    let foreign: [fn(&mut Checkpoint); 5] = [
        |checkpoint| checkpoint.life = Some("another".to_owned()),
        |checkpoint| checkpoint.uri.push('x'),
        |checkpoint| checkpoint.range = Some(ByteRange { start: 0, end: 16 }),
        |checkpoint| checkpoint.etag.push('x'),
        // Left by an older program, which did not say of which object.
        |checkpoint| checkpoint.uri.clear(),
    ];
    let left = |change: fn(&mut Checkpoint)| {
        let place = Place::new();
        fs::write(place.path("a.ndjson"), text).unwrap();
        let item = place.item("a.ndjson");
        let mut checkpoint = of(&item);
        change(&mut checkpoint);
        let checkpoints = place.state().checkpoints();
        place.runtime.block_on(checkpoints.put(&checkpoint)).unwrap();
        let output = place.work(&[item]);
        let settled = &place.settled()[&0];
        assert_eq!(settled.counts.records_in, 3, "the ledger has the whole item");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(left(|_| {}), "{\"n\":2}\n");
    for change in foreign {
        assert_eq!(left(change), text);
    }
}

#[test]
fn the_settlement_of_each_range_of_a_parquet_file_says_how_many_rows_the_file_has() {
    let place = Place::new();
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(10_000))
        .build();
    let file = File::create(place.path("a.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).unwrap();
    let rows = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(0..25_000))]).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    fs::write(place.path("b.ndjson"), "{}\n").unwrap();
    let whole = place.item("a.parquet");
    let middle = whole.size_bytes / 2;
    let range = |seq, start, end| WorkItem {
        seq,
        range: Some(ByteRange { start, end }),
        ..whole.clone()
    };
    let lines = WorkItem {
        seq: 2,
        ..place.item("b.ndjson")
    };
    place.work(&[range(0, 0, middle), range(1, middle, whole.size_bytes), lines]);
    let settled = place.settled();
    let rows: Vec<_> = settled.values().map(|settled| settled.object_rows).collect();
    assert_eq!(rows, [Some(25_000), Some(25_000), None]);
    let read: Vec<u64> = settled.values().map(|settled| settled.counts.records_in).collect();
    assert_eq!((read[0] + read[1], read[2]), (25_000, 1));
    assert!(read[0] > 0 && read[1] > 0, "each range has some of them: {read:?}");
}

#[test]
fn a_worker_that_ends_by_itself_ends_well_only_if_all_that_it_leased_is_settled() {
    let place = Place::new();
    fs::write(place.path("a.ndjson"), "{}\n").unwrap();
    let item = place.item("a.ndjson");
    let gone = WorkItem {
        uri: item.uri.replace("a.ndjson", "gone.ndjson"),
        seq: 1,
        ..item.clone()
    };
    let sqs = Sqs::shared();
    // Without a redrive policy, what is given up stays in the queue where nothing else keeps it.
    let url = sqs.make_plain_queue("ends-well", &json!({"VisibilityTimeout": "30"}));
    let work_on = |url: &str, more: &[&str]| {
        let mut worker = Command::new(env!("CARGO_BIN_EXE_pf-worker"));
        worker.args(["--input", "sqs", "--sqs-queue-url", url, "--exit-when-idle", "1s"]);
        worker.args(["--source", &format!("file://{}/", place.folder.path().display())]);
        worker.args(more).envs(sqs.environment()).stdin(Stdio::null());
        let output = worker.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), told)
    };
    let work = |more: &[&str]| work_on(&url, more);
    sqs.send(&url, &item.to_json());
    let (code, told) = work(&[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("is not empty"), "{told}");
    sqs.send(&url, &item.to_json());
    sqs.send(&url, &gone.to_json());
    let (code, told) = work(&[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("1 of 2 leased items are not settled"), "{told}");
    // Kept elsewhere it is settled, and a dead letter.
    sqs.send(&url, &gone.to_json());
    let (code, told) = work(&["--dead-letters", &place.path("dead.ndjson")]);
    assert_eq!(code, Some(2), "{told}");
    assert!(
        fs::read_to_string(place.path("dead.ndjson"))
            .unwrap()
            .contains("gone.ndjson")
    );
    // What others hold is theirs to settle; its end is not the job's, and is not told as if it were.
    let shared = sqs.make_plain_queue("ends-before-others", &json!({"VisibilityTimeout": "600"}));
    sqs.send(&shared, &item.to_json());
    assert_eq!(sqs.receive(&shared, Duration::from_secs(5)).len(), 1);
    let (code, told) = work_on(&shared, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("is not empty: 1 messages are leased by others"), "{told}");
}

#[test]
fn names_that_no_record_has_are_told_at_the_end() {
    let place = Place::new();
    let lines = "{\"status\":200,\"user\":{\"name\":\"a\"}}\n{\"status\":500}\n";
    fs::write(place.path("a.ndjson"), lines).unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("status", DataType::Int64, false)]));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(vec![200, 500]))]).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(place.path("b.parquet")).unwrap(), schema, None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let told = |name: &str, seq: u64, flags: &[&str]| {
        let item = WorkItem {
            job: format!("ns/{seq}"),
            ..place.item(name)
        };
        String::from_utf8(place.work_with(flags, &[item]).stderr).unwrap()
    };
    let told_of = |told: &str| told.contains("none of") || told.contains("left out all");
    for (seq, name) in ["a.ndjson", "b.parquet"].into_iter().enumerate() {
        let seq = 10 * seq as u64;
        let fine = told(name, seq, &["--columns", "status", "--filter", "status >= 500"]);
        assert!(!told_of(&fine), "{fine}");
        let columns = told(name, seq + 1, &["--columns", "status,statsu,user.nam"]);
        assert!(
            columns.contains("column statsu") && columns.contains("column user.nam"),
            "{columns}"
        );
        assert!(!columns.contains("column status "), "{columns}");
        let filter = told(name, seq + 2, &["--filter", "statsu >= 500"]);
        assert!(filter.contains("left out all 2 records"), "{filter}");
    }
}
