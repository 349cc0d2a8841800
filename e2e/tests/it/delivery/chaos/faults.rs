//! What goes wrong in a seed, before each of the three servers, and how often it did.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use pf_e2e::{FailedEntries, Fault, FaultProxy, S3, Sqs, fault_proxy::Request};
use serde_json::json;

/// How long a worker's request to the cluster may take; some answers come later.
pub(super) const ES_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a lease holds. Some of SQS' answers come later, and spells are longer.
pub(super) const VISIBILITY: Duration = Duration::from_secs(3);

/// How often there is a bad spell, and how long it is: longer than a lease holds. In it no lease can be extended, and the
/// cluster is slow.
const SPELL_EVERY: Duration = Duration::from_secs(12);
const SPELL: Duration = Duration::from_secs(4);

/// The next of a row of numbers that a seed gives (splitmix64, by Steele, Lea and Flood).
#[derive(Debug, Clone)]
pub(super) struct Dice(Arc<Mutex<u64>>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    pub(super) fn roll(&self, below: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// The faults of a seed.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    dice: Dice,
    started: Instant,
    /// How often each was met.
    met: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    /// Nobody answers in the cluster's place.
    cluster_is_away: Arc<AtomicBool>,
}

impl Faults {
    pub(super) fn new(dice: &Dice) -> Self {
        Self {
            dice: dice.clone(),
            started: Instant::now(),
            met: Arc::default(),
            cluster_is_away: Arc::default(),
        }
    }

    /// How often each was met so far.
    pub(super) fn met(&self) -> BTreeMap<&'static str, u64> {
        self.met.lock().unwrap().clone()
    }

    /// From now on nobody answers in the cluster's place, or somebody does again.
    pub(super) fn take_cluster_away(&self, is_away: bool) {
        self.cluster_is_away.store(is_away, Ordering::Relaxed);
    }

    pub(super) fn before_s3(&self) -> FaultProxy {
        let faults = self.clone();
        let proxy = FaultProxy::new(&S3::shared().endpoint());
        proxy.choose(move |_| faults.of_s3());
        proxy
    }

    pub(super) fn before_sqs(&self) -> FaultProxy {
        let faults = self.clone();
        let proxy = FaultProxy::new(&Sqs::shared().endpoint());
        proxy.choose(move |request| faults.of_sqs(request));
        proxy
    }

    pub(super) fn before_cluster(&self, endpoint: &str) -> FaultProxy {
        let faults = self.clone();
        let proxy = FaultProxy::new(endpoint);
        proxy.choose(move |request| faults.of_cluster(request));
        proxy
    }

    fn of_s3(&self) -> Fault {
        let after_bytes = self.dice.roll(20_000);
        self.one_of(&[
            ("s3: 503 SlowDown", Fault::slow_down()),
            ("s3: reset", Fault::Reset),
            ("s3: answer lost", Fault::LoseAnswer),
            ("s3: reset within the body", Fault::ResetBody { after_bytes }),
            ("s3: cut within the body", Fault::CutBody { after_bytes }),
            ("s3: late", Fault::Late(Duration::from_millis(500))),
        ])
    }

    fn of_sqs(&self, request: &Request<'_>) -> Fault {
        let action = request.sqs_action().unwrap_or_default();
        let failed = Fault::sqs_error(500, "InternalError", "simulated");
        if action.starts_with("changemessagevisibility") && self.is_bad_spell() {
            return self.meet("sqs: no lease is extended", failed);
        }
        let entries = |applied| {
            Fault::FailEntries(FailedEntries {
                places: vec![self.dice.roll(10) as usize, self.dice.roll(10) as usize],
                code: "InternalError".to_owned(),
                sender_fault: false,
                applied,
            })
        };
        if action.ends_with("batch") && self.dice.roll(4) == 0 {
            return match self.dice.roll(2) {
                0 => self.meet("sqs: entries fail", entries(false)),
                _ => self.meet("sqs: entries are done and fail", entries(true)),
            };
        }
        self.one_of(&[
            ("sqs: 500", failed),
            ("sqs: reset", Fault::Reset),
            ("sqs: answer lost", Fault::LoseAnswer),
            ("sqs: asked twice", Fault::Twice),
            ("sqs: late", Fault::Late(Duration::from_secs(1))),
            // What was leased has run out when it comes.
            (
                "sqs: later than a lease holds",
                Fault::Late(VISIBILITY + Duration::from_millis(500)),
            ),
        ])
    }

    fn of_cluster(&self, request: &Request<'_>) -> Fault {
        if self.cluster_is_away.load(Ordering::Relaxed) {
            return self.meet("cluster: nobody there", Fault::Reset);
        }
        if !request.head.contains("_bulk") {
            return Fault::Pass;
        }
        let after_bytes = self.dice.roll(300);
        let fault = self.one_of(&[
            ("cluster: 429", refusal(429)),
            ("cluster: 503", refusal(503)),
            ("cluster: reset", Fault::Reset),
            ("cluster: answer lost", Fault::LoseAnswer),
            ("cluster: cut within the answer", Fault::CutBody { after_bytes }),
            (
                "cluster: taken, and answered after the timeout",
                Fault::Late(ES_TIMEOUT + Duration::from_millis(500)),
            ),
        ]);
        if fault == Fault::Pass && self.is_bad_spell() {
            return self.meet("cluster: slow", Fault::Late(Duration::from_secs(1)));
        }
        fault
    }

    fn is_bad_spell(&self) -> bool {
        self.started.elapsed().as_secs() % SPELL_EVERY.as_secs() < SPELL.as_secs()
    }

    /// One of the faults, on every tenth request or so.
    fn one_of(&self, faults: &[(&'static str, Fault)]) -> Fault {
        if self.dice.roll(10) > 0 {
            return Fault::Pass;
        }
        let (name, fault) = &faults[self.dice.roll(faults.len() as u64) as usize];
        self.meet(name, fault.clone())
    }

    fn meet(&self, name: &'static str, fault: Fault) -> Fault {
        *self.met.lock().unwrap().entry(name).or_default() += 1;
        fault
    }
}

/// A whole request that the cluster refuses.
fn refusal(status: u16) -> Fault {
    let body = json!({"error": {"type": "es_rejected_execution_exception"}, "status": status}).to_string();
    Fault::Answer(format!(
        "HTTP/1.1 {status} Fault\r\ncontent-type: application/json\r\nx-elastic-product: Elasticsearch\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    ))
}
