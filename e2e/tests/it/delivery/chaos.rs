//! Workers that are killed at random moments, with faults in front of every server, and what must be true in the end all the
//! same. A seed is the order of faults and kills; `PF_CHAOS_SEEDS=20` runs more of them than a usual run does, and
//! `PF_CHAOS_SEED=7` a certain one.

use std::{
    fs,
    process::Child,
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};

use pf_e2e::{Elasticsearch, FailedEntries, Fault, FaultProxy, S3, Sqs};
use serde_json::json;

use super::{definition, flow::Flow};
use crate::it::programs::{generate, run_of};

/// Seeds of a usual run.
const SEEDS: u64 = 2;
/// Workers that are killed before one is let live.
const KILLS: u32 = 4;
/// No seed takes longer; one that does has lost something.
const SEED_MAX: Duration = Duration::from_mins(4);

/// The next of a row of numbers that a seed gives (splitmix64, by Steele, Lea and Flood).
#[derive(Debug, Clone)]
struct Dice(Arc<Mutex<u64>>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    fn roll(&self, below: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// One of the faults, on every tenth request or so.
    fn fault(&self, faults: &[Fault]) -> Fault {
        if self.roll(10) == 0 {
            faults[self.roll(faults.len() as u64) as usize].clone()
        } else {
            Fault::Pass
        }
    }
}

fn faulty_s3(dice: &Dice) -> FaultProxy {
    let proxy = FaultProxy::new(&S3::shared().endpoint());
    let dice = dice.clone();
    proxy.choose(move |_| {
        let after_bytes = dice.roll(20_000);
        dice.fault(&[
            Fault::slow_down(),
            Fault::Reset,
            Fault::LoseAnswer,
            Fault::ResetBody { after_bytes },
            Fault::CutBody { after_bytes },
            Fault::Late(Duration::from_millis(500)),
        ])
    });
    proxy
}

fn faulty_sqs(dice: &Dice) -> FaultProxy {
    let proxy = FaultProxy::new(&Sqs::shared().endpoint());
    let dice = dice.clone();
    proxy.choose(move |request| {
        let entries = |applied| {
            Fault::FailEntries(FailedEntries {
                places: vec![dice.roll(10) as usize, dice.roll(10) as usize],
                code: "InternalError".to_owned(),
                sender_fault: false,
                applied,
            })
        };
        let is_batch = request.sqs_action().is_some_and(|action| action.ends_with("batch"));
        if is_batch && dice.roll(4) == 0 {
            return entries(dice.roll(2) == 0);
        }
        dice.fault(&[
            Fault::sqs_error(500, "InternalError", "simulated"),
            Fault::Reset,
            Fault::LoseAnswer,
            Fault::Twice,
            Fault::Late(Duration::from_secs(1)),
        ])
    });
    proxy
}

fn faulty_elasticsearch(dice: &Dice) -> FaultProxy {
    let proxy = FaultProxy::new(&Elasticsearch::shared().endpoint());
    let dice = dice.clone();
    let refusal = |status: u16| {
        let body = json!({"error": {"type": "es_rejected_execution_exception"}, "status": status}).to_string();
        Fault::Answer(format!(
            "HTTP/1.1 {status} Fault\r\ncontent-type: application/json\r\nx-elastic-product: Elasticsearch\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    proxy.choose(move |request| {
        if !request.head.contains("_bulk") {
            return Fault::Pass;
        }
        let after_bytes = dice.roll(300);
        dice.fault(&[
            refusal(429),
            refusal(503),
            Fault::Reset,
            Fault::LoseAnswer,
            Fault::CutBody { after_bytes },
            Fault::Late(Duration::from_secs(1)),
        ])
    });
    proxy
}

/// A worker that is killed, without a word, after a while.
fn live_and_die(mut worker: Child, after: Duration) {
    sleep(after);
    worker.kill().unwrap();
    worker.wait().unwrap();
}

fn survive(seed: u64) {
    let api = Elasticsearch::shared().api();
    let folder = tempfile::tempdir().unwrap();
    let seed_text = seed.to_string();
    let wanted = [
        "--records",
        "12000",
        "--objects",
        "40",
        "--format",
        "all",
        "--seed",
        &seed_text,
    ];
    generate(folder.path(), &wanted);
    fs::write(
        folder.path().join("bad.ndjson"),
        "{\"status\":1}\nno json\n{\"status\":\"x\"}\n",
    )
    .unwrap();
    let dice = Dice::new(seed);
    let (s3, sqs, cluster) = (faulty_s3(&dice), faulty_sqs(&dice), faulty_elasticsearch(&dice));
    // Leases that run out soon, and so many that no item is given up for its workers' deaths.
    let mut flow = Flow::of("chaos", folder.path(), api, 3, 1000);
    api.create_index(&flow.index, &definition());
    (flow.s3_endpoint, flow.sqs_endpoint) = (s3.endpoint(), sqs.endpoint());
    flow.discover(&[]);

    let small_bodies = ["--es-bulk-bytes", "20000", "--threads", "2"];
    for _ in 0..KILLS {
        let worker = flow.endless_worker(&cluster.endpoint(), &small_bodies).spawn().unwrap();
        live_and_die(worker, Duration::from_millis(500 + dice.roll(2500)));
    }
    let started = Instant::now();
    let report = loop {
        let outcome = run_of(flow.worker(&cluster.endpoint(), &small_bodies));
        assert!(
            matches!(outcome.code, Some(0..=2)),
            "{:?}: {}",
            outcome.code,
            outcome.stderr
        );
        let (code, report) = flow.verify();
        if code == Some(0) {
            break report;
        }
        assert!(
            started.elapsed() < SEED_MAX,
            "seed {seed}: {report}\n{}",
            outcome.stderr
        );
    };

    api.refresh(&flow.index);
    assert_eq!(api.count(&flow.index), 12_001, "seed {seed}");
    let told = ["records_in", "records_out", "records_rejected"].map(|count| report[count].as_u64().unwrap());
    assert_eq!(told, [12_003, 12_001, 2], "seed {seed}: {report}");
    assert_eq!(report["dead_lettered"], 0);
    let letters = flow
        .job_command("redrive", &["--records", "--letters"])
        .success()
        .records();
    assert_eq!(letters.len(), 2, "each rejected record is kept once: {letters:?}");
}

#[test]
fn whatever_fails_and_whoever_dies_every_record_arrives_once_or_is_a_dead_letter() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect("a number"))
    };
    let seeds = match number("PF_CHAOS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PF_CHAOS_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        survive(seed);
    }
}
