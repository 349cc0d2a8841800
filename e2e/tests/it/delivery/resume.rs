//! A worker that is killed near the end of one large object, and how little of it the next one reads again.
//!
//! `PF_RESUME_BYTES=2000000000` is the form of which the project promises that it is less than 5 %.

use std::{fmt::Write as _, fs, time::Instant};

use pf_e2e::{Elasticsearch, FaultProxy, S3};
use serde_json::json;

use super::{definition, flow::Flow, running::Running};

/// Decompressed bytes of the object in a usual run.
const BYTES: u64 = 160_000_000;

/// A frame's decompressed bytes, and how many there are that differ: they are repeated, since making them takes time.
const FRAME_BYTES: usize = 1 << 20;
const FRAMES: u64 = 8;

/// What of a record is text, so that it is not documents that the test spends its time with.
const TEXT_BYTES: usize = 16 << 10;

/// What a checkpoint may be behind however small the object is: the least distance between two (16 MiB), what was on its way to
/// the sink (`IN_FLIGHT`), a batch, and what was read ahead.
const BEHIND_MAX: u64 = 32 << 20;

/// In the usual form, so that what is on its way to the sink is little next to the object.
const IN_FLIGHT: [&str; 4] = ["--es-in-flight-mb", "4", "--es-bulk-bytes", "1000000"];

/// A frame of lines that zstd can do little about, and how many lines these are.
fn frame(number: u64) -> (Vec<u8>, usize, u64) {
    let mut state = number + 1;
    let mut text = String::with_capacity(FRAME_BYTES + TEXT_BYTES);
    let mut lines = 0;
    while text.len() < FRAME_BYTES {
        write!(text, r#"{{"status":{number},"text":""#).unwrap();
        for _ in 0..TEXT_BYTES / 16 {
            // xorshift64, by Marsaglia.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            write!(text, "{state:016x}").unwrap();
        }
        text.push_str("\"}\n");
        lines += 1;
    }
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    (packed, text.len(), lines)
}

#[test]
fn after_a_kill_at_nine_tenths_of_a_large_object_the_next_worker_reads_little_of_it_again() {
    let wanted = std::env::var("PF_RESUME_BYTES").map_or(BYTES, |text| text.parse().expect("a number"));
    let flags: &[&str] = if wanted > BYTES { &[] } else { &IN_FLIGHT };
    let frames: Vec<_> = (0..FRAMES).map(frame).collect();
    let (mut object, mut bytes, mut records) = (Vec::new(), 0, 0);
    for (packed, text_bytes, lines) in frames.iter().cycle() {
        if bytes >= wanted {
            break;
        }
        object.extend_from_slice(packed);
        bytes += *text_bytes as u64;
        records += lines;
    }
    let size = object.len() as u64;

    let folder = tempfile::tempdir().unwrap();
    let server = Elasticsearch::shared();
    let api = server.api();
    let nothing = folder.path().join("objects");
    fs::create_dir(&nothing).unwrap();
    let mut flow = Flow::of("large", &nothing, api, 5, 5);
    S3::shared().put(&flow.bucket, "logs/large.ndjson.zst", &object);
    drop(object);
    api.create_index(&flow.index, &definition());
    flow.discover(&[]);
    let proxies = [(); 2].map(|()| FaultProxy::new(&S3::shared().endpoint()));

    flow.s3_endpoint = proxies[0].endpoint();
    let started = Instant::now();
    let killed = flow.endless_worker(&server.endpoint(), flags);
    let mut killed = Running::start(killed, folder.path(), "killed.log");
    let nine_tenths = bytes / 10 * 9;
    killed.wait_for(|metrics| metrics.sum("pf_decompressed_bytes_total") >= nine_tenths);
    killed.kill();
    let first = started.elapsed();

    flow.s3_endpoint = proxies[1].endpoint();
    let next = flow.endless_worker(&server.endpoint(), flags);
    let mut next = Running::start(next, folder.path(), "next.log");
    let metrics = next.wait_until_settled(1);
    assert_eq!(next.stop(), Some(0), "{}", next.said());
    assert_eq!(metrics.of("pf_items_resumed_total"), 1, "{}", next.said());

    let read = proxies.each_ref().map(FaultProxy::body_bytes);
    let again = (read[0] + read[1]).saturating_sub(size);
    eprintln!(
        "{size} bytes as stored, {bytes} decompressed: killed after {:.1} s and {} bytes, the next one read {}: {again} \
         again, {:.1} %",
        first.as_secs_f64(),
        read[0],
        read[1],
        again as f64 * 100.0 / size as f64
    );
    assert!(
        read[0] >= size * 85 / 100,
        "it was killed too early: {read:?} of {size}"
    );
    let allowed = (size / 20).max(BEHIND_MAX);
    assert!(again < allowed, "{again} bytes were read again, {allowed} may be");

    api.refresh(&flow.index);
    assert_eq!(api.count(&flow.index), records);
    let (code, report) = flow.verify();
    assert_eq!(
        (code, &report["records_in"], &report["records_out"]),
        (Some(0), &json!(records), &json!(records)),
        "{report}"
    );
}
