//! `redrive --records` where only a record's beginning was kept: it comes back from its place in its object, however that is
//! stored, or is named as left out.

use std::{fs, io::Write as _, process::Output};

use flate2::{Compression, write::GzEncoder};
use pf_state::{Delivery, RecordDeadLetter, Stage, StateDir};
use pf_storage::{ObjectUri, Options, Storage};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::program::command;

const JOB: &str = "cut";

/// Bytes that are kept of each record here.
const KEPT_BYTES: usize = 1000;

fn record(number: usize) -> String {
    format!("{{\"number\":{number},\"text\":\"{}\"}}", "x".repeat(200_000 + number))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

struct Place {
    folder: TempDir,
    runtime: Runtime,
    letters: Vec<RecordDeadLetter>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            runtime: Runtime::new().unwrap(),
            letters: Vec::new(),
        }
    }

    /// Stores an object.
    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    /// Rejects the record that begins there, of which only the beginning is kept.
    fn reject(&mut self, name: &str, ordinal: usize, record: &str) {
        let uri = format!("file://{}", self.folder.path().join(name).display());
        let storage = Storage::new(Options::default());
        let etag = self.runtime.block_on(storage.head(&uri.parse().unwrap())).unwrap().etag;
        // Each object is an item.
        let known = self.letters.iter().find(|letter| letter.uri == uri);
        let seq = known.map_or(self.letters.len() as u64, |letter| letter.seq);
        self.letters.push(RecordDeadLetter {
            seq,
            uri,
            etag: Some(etag),
            ordinal: ordinal as u64,
            stage: Stage::Index,
            reason: "mapping".to_owned(),
            raw: record.as_bytes()[..KEPT_BYTES].to_vec(),
            record_bytes: Some(record.len() as u64),
            by: Delivery::default(),
        });
    }

    fn redrive(&self) -> Output {
        let path = format!("{}/state", self.folder.path().display());
        let root = format!("file://{path}");
        let state = StateDir::new(Storage::new(Options::default()), &ObjectUri::File { path }, JOB);
        let writer = state.write_dead_letters("pod");
        self.runtime.block_on(writer.store(&self.letters)).unwrap();
        let flags = ["redrive", "--records", "--state", &root, "--job", JOB];
        command(&flags).output().unwrap()
    }
}

#[test]
fn records_of_compressed_objects_come_back_whole_whatever_the_order_of_their_letters() {
    let records = [0, 1, 2, 3].map(record);
    let starts = [0, 1, 2, 3].map(|number| records[..number].iter().map(|record| record.len() + 1).sum::<usize>());
    let text = records.join("\n") + "\n";
    let (head, tail) = text.as_bytes().split_at(starts[2] + 10);
    let mut place = Place::new();
    for (name, bytes) in [
        ("plain.ndjson", text.clone().into_bytes()),
        ("one.gz", gzip(text.as_bytes())),
        ("two.gz", [gzip(head), gzip(tail)].concat()),
        ("one.zst", zstd(text.as_bytes())),
        ("two.zst", [zstd(head), zstd(tail)].concat()),
        // The bytes are believed before the name.
        ("named.ndjson", gzip(text.as_bytes())),
    ] {
        place.put(name, &bytes);
        for number in [3, 1, 2] {
            place.reject(name, starts[number], &records[number]);
        }
    }
    let output = place.redrive();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let mut lines: Vec<&str> = str::from_utf8(&output.stdout).unwrap().lines().collect();
    lines.sort_unstable();
    let expected: Vec<&str> = records[1..].iter().flat_map(|record| [record.as_str(); 6]).collect();
    assert!(lines == expected, "{} lines: {told}", lines.len());
}

#[test]
fn what_cannot_be_given_back_is_named_and_counted_and_the_letters_stay() {
    let long = record(7);
    let text = format!("{{}}\n{long}\n");
    let mut place = Place::new();
    place.put("good.gz", &gzip(text.as_bytes()));
    place.reject("good.gz", 3, &long);
    // Elsewhere in the stream, behind its end, in a stream that breaks, in another version, and in rows.
    place.reject("good.gz", 4, &long);
    place.reject("good.gz", 1 << 20, &long);
    let bytes = zstd(text.as_bytes());
    place.put("broken.zst", &bytes[..bytes.len() - 5]);
    place.reject("broken.zst", 3, &long);
    place.put("changed.gz", &gzip(text.as_bytes()));
    place.reject("changed.gz", 3, &long);
    place.put("changed.gz", &gzip(format!("{text}{{}}").as_bytes()));
    place.put("rows.parquet", b"PAR1 and so on");
    place.reject("rows.parquet", 3, &long);
    let output = place.redrive();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        output.stdout == format!("{long}\n").into_bytes(),
        "one is whole: {told}"
    );
    assert_eq!(told.matches("left out, as only").count(), 5, "{told}");
    for part in [
        "broken.zst",
        "changed.gz",
        "rows.parquet",
        "a row of a Parquet file",
        "left_out=5",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(place.redrive().status.code(), Some(2), "they are still there");
}
