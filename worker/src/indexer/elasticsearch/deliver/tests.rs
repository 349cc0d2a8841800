//! Deliveries to a cluster that is made up, under a clock that does not wait: it takes documents as the real one does, and
//! fails by a seed.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    sync::Mutex,
};

use async_trait::async_trait;
use fastrand::Rng;
use prometheus::Registry;
use serde_json::{Value, json};

use super::*;
use crate::indexer::{
    bulk::{Document, Operation},
    elasticsearch::part::tests::bulk,
};

mod meanings;
mod rolling;

const PATIENCE: Duration = Duration::from_mins(5);

/// What may go wrong, each with this chance per attempt.
#[derive(Clone, Copy, Default)]
struct Faults {
    busy: f64,
    unwell: f64,
    lost_before: f64,
    lost_after: f64,
    cut: f64,
    short: f64,
    item_busy: f64,
    signed_out: f64,
}

struct MadeUp {
    state: Mutex<State>,
    faults: Faults,
    body_bytes_max: usize,
    /// Documents of this size have something wrong in them.
    bad_bytes: Option<usize>,
    /// A request with a document of this size is refused whole.
    malformed_bytes: Option<usize>,
    /// A request that is larger gets no room, now and ever.
    room_bytes: Option<usize>,
    /// Everything gets this status.
    always: Option<(u16, &'static str)>,
    /// What is said of documents that nobody else says anything of, by id and size.
    says: Option<fn(u32, usize) -> Option<Value>>,
    /// It has a data stream, which rolls over before these attempts.
    rolls_before: Vec<usize>,
    /// It does not let anybody look.
    is_closed_to_looks: bool,
}

struct State {
    rng: Rng,
    documents: BTreeMap<u32, usize>,
    /// Those in indices that are not written to any more.
    older: Vec<BTreeMap<u32, usize>>,
    looks: usize,
    attempts: usize,
    busy: u32,
    busy_max: u32,
}

impl MadeUp {
    fn new(seed: u64, faults: Faults) -> Self {
        Self {
            state: Mutex::new(State {
                rng: Rng::with_seed(seed),
                documents: BTreeMap::new(),
                older: Vec::new(),
                looks: 0,
                attempts: 0,
                busy: 0,
                busy_max: 0,
            }),
            faults,
            body_bytes_max: usize::MAX,
            bad_bytes: None,
            malformed_bytes: None,
            room_bytes: None,
            always: None,
            says: None,
            rolls_before: Vec::new(),
            is_closed_to_looks: false,
        }
    }

    fn ids(&self) -> Vec<u32> {
        self.state.lock().unwrap().documents.keys().copied().collect()
    }

    fn attempts(&self) -> usize {
        self.state.lock().unwrap().attempts
    }

    /// Takes what it can, and answers.
    fn take(&self, body: &[u8], state: &mut State) -> Vec<Value> {
        let mut items = Vec::new();
        for (id, size) in documents(body) {
            let item =
                |status: u16, kind: &str| json!({"create": {"status": status, "error": {"type": kind, "reason": "r"}}});
            items.push(if state.rng.f64() < self.faults.item_busy {
                item(429, "es_rejected_execution_exception")
            } else if Some(size) == self.bad_bytes {
                item(400, "document_parsing_exception")
            } else if let Some(said) = self.says.and_then(|says| says(id, size)) {
                said
            } else if let Entry::Vacant(entry) = state.documents.entry(id) {
                entry.insert(size);
                json!({"create": {"result": "created", "status": 201}})
            } else {
                item(409, "version_conflict_engine_exception")
            });
        }
        items
    }
}

/// The ids of a body's documents, and the sizes of their text.
fn documents(body: &[u8]) -> Vec<(u32, usize)> {
    let lines: Vec<Value> = serde_json::Deserializer::from_slice(body)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    let (pairs, rest) = lines.as_chunks::<2>();
    assert!(rest.is_empty());
    let document = |[action, source]: &[Value; 2]| {
        let id = action["create"]["_id"].as_str().unwrap().parse().unwrap();
        (id, source["a"].as_str().unwrap().len())
    };
    pairs.iter().map(document).collect()
}

fn answered(status: u16, body: impl Into<String>) -> Attempt {
    Attempt::Answered(Reply {
        status,
        body: body.into().into(),
        ..Reply::default()
    })
}

#[async_trait]
impl Wire for MadeUp {
    async fn attempt(&self, payload: &Payload) -> Attempt {
        {
            let mut state = self.state.lock().unwrap();
            state.attempts += 1;
            state.busy += 1;
            state.busy_max = state.busy_max.max(state.busy);
            if self.rolls_before.contains(&state.attempts) {
                let written = std::mem::take(&mut state.documents);
                state.older.push(written);
            }
        }
        sleep(Duration::from_millis(20)).await;
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        state.busy -= 1;
        if let Some((status, reason)) = self.always {
            return answered(status, json!({"error": {"type": "t", "reason": reason}}).to_string());
        }
        let body = &payload.bytes;
        if body.len() > self.body_bytes_max {
            return answered(413, "");
        }
        if documents(body)
            .iter()
            .any(|(_, size)| Some(*size) == self.malformed_bytes)
        {
            return answered(
                400,
                json!({"error": {"type": "illegal_argument_exception", "reason": "malformed"}}).to_string(),
            );
        }
        if self.room_bytes.is_some_and(|room| body.len() > room) {
            return answered(429, "");
        }
        let mut happens = |chance: f64| state.rng.f64() < chance;
        let faults = self.faults;
        let lost = Attempt::Lost {
            timed_out: true,
            reason: "no answer".to_owned(),
            another_is_well: happens(0.5),
        };
        if happens(faults.busy) {
            return answered(429, "");
        }
        if happens(faults.unwell) {
            return answered(503, "");
        }
        if happens(faults.signed_out) {
            return Attempt::Answered(Reply {
                status: 401,
                may_sign_in_again: true,
                ..Reply::default()
            });
        }
        if happens(faults.lost_before) {
            return lost;
        }
        let (lost_after, cut, short) = (happens(faults.lost_after), happens(faults.cut), happens(faults.short));
        let mut items = self.take(body, state);
        if lost_after {
            return lost;
        }
        if short {
            items.pop();
        }
        let mut answer = json!({"errors": true, "items": items}).to_string();
        if cut {
            answer.truncate(state.rng.usize(0..answer.len()));
        }
        answered(200, answer)
    }

    async fn ask(&self, path: &str, body: Option<Bytes>) -> Attempt {
        sleep(Duration::from_millis(1)).await;
        let mut state = self.state.lock().unwrap();
        state.looks += 1;
        if state.rng.f64() < self.faults.unwell {
            return answered(503, "");
        }
        if self.is_closed_to_looks {
            return answered(403, "");
        }
        if self.rolls_before.is_empty() && path.starts_with("/_resolve") {
            return answered(200, json!({"indices": [{"name": "logs"}]}).to_string());
        }
        let name = |number: usize| format!("i-{number}");
        let members = 0..=state.older.len();
        if path.starts_with("/_resolve") {
            let names: Vec<_> = members.map(name).collect();
            return answered(200, json!({"data_streams": [{"backing_indices": names}]}).to_string());
        }
        if path.contains("/_settings") {
            // Each was made just now, but for the first.
            let now = Timestamp::now().as_millisecond();
            let settings: HashMap<_, _> = members
                .map(|number| {
                    let made = if number == 0 { 0 } else { now + number as i64 };
                    let settings = json!({"settings": {"index": {"creation_date": made.to_string()}}});
                    (name(number), settings)
                })
                .collect();
            return answered(200, json!(settings).to_string());
        }
        let index = path.split('/').nth(1).unwrap();
        let documents = match index.strip_prefix("i-").map(|number| number.parse::<usize>().unwrap()) {
            Some(number) if number < state.older.len() => &state.older[number],
            _ => &state.documents,
        };
        let asked: Value = serde_json::from_slice(&body.unwrap()).unwrap();
        let found = asked["docs"].as_array().unwrap().iter().map(|document| {
            let id = document["_id"].as_str().unwrap().parse().unwrap();
            match documents.get(&id) {
                Some(size) => json!({"_id": id, "found": true, "_source": {"a": "x".repeat(*size)}}),
                None => json!({"_id": id, "found": false}),
            }
        });
        answered(200, json!({"docs": found.collect::<Vec<_>>()}).to_string())
    }
}

fn shared(concurrency_max: usize) -> Shared {
    let metrics = Metrics::new(&Registry::new());
    Shared {
        gate: Gate::new(concurrency_max, metrics.concurrency_limit.clone()),
        brake: Brake::new(true),
        spell: Spell::default(),
        size: Size::default(),
        earlier: Earlier::new(Some("logs"), Operation::Create),
        metrics,
    }
}

const RULES: Rules = Rules {
    patience: PATIENCE,
    compress: false,
    request_bytes_max: 1 << 20,
    full_bytes: 0,
    ids: Ids::Places,
    index_is_theirs: false,
};

/// Delivers with nothing learned before.
async fn deliver(wire: &MadeUp, bulk: &Bulk, request_bytes_max: usize) -> Delivered {
    let rules = Rules {
        request_bytes_max,
        ..RULES
    };
    with(wire, &shared(8), rules, bulk).await
}

async fn with(wire: &MadeUp, shared: &Shared, rules: Rules, bulk: &Bulk) -> Delivered {
    Delivery { wire, shared, rules }.deliver(bulk).await
}

/// What must hold of every delivery: each document's verdict is true, and none is left out.
fn check(wire: &MadeUp, bulk: &Bulk, delivered: &Delivered) {
    let places: Vec<u32> = delivered.exceptions.iter().map(|(place, _)| *place).collect();
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    let exceptions: HashMap<u32, &Verdict> = delivered
        .exceptions
        .iter()
        .map(|(place, verdict)| (*place, verdict))
        .collect();
    let state = wire.state.lock().unwrap();
    for place in 0..bulk.documents.len() as u32 {
        let is_there = state.documents.contains_key(&place);
        match exceptions.get(&place) {
            None | Some(Verdict::Duplicate) => assert!(is_there, "{place} is said to be there"),
            Some(Verdict::Rejected { .. }) => assert!(!is_there, "{place} is there and rejected"),
            Some(Verdict::Pending) => assert_ne!(delivered.end, End::Done),
            Some(other) => panic!("{place}: {other:?}"),
        }
    }
}

const SIZES: [usize; 12] = [10, 20, 5, 7, 300, 10, 11, 5, 5, 40, 1, 0];

#[tokio::test(start_paused = true)]
async fn whatever_fails_every_document_is_there_once_or_rejected_with_a_reason() {
    for seed in 0..2000 {
        let mut rng = Rng::with_seed(seed);
        let mut chance = |most: f64| if rng.bool() { rng.f64() * most } else { 0.0 };
        let faults = Faults {
            busy: chance(0.4),
            unwell: chance(0.3),
            lost_before: chance(0.2),
            lost_after: chance(0.2),
            cut: chance(0.2),
            short: chance(0.2),
            item_busy: chance(0.6),
            signed_out: chance(0.2),
        };
        let mut wire = MadeUp::new(seed, faults);
        wire.bad_bytes = Some(5);
        wire.malformed_bytes = rng.bool().then_some(7);
        wire.body_bytes_max = rng.usize(150..1000);
        let bulk = bulk(&SIZES);
        let delivered = deliver(&wire, &bulk, rng.usize(1..1000)).await;
        check(&wire, &bulk, &delivered);
        if delivered.end == End::Done {
            for (place, size) in SIZES.into_iter().enumerate() {
                let is_large = bulk.documents[place].lines().len() > wire.body_bytes_max;
                let is_rejected = is_large || [wire.bad_bytes, wire.malformed_bytes].contains(&Some(size));
                assert_eq!(
                    wire.ids().contains(&(place as u32)),
                    !is_rejected,
                    "seed {seed}, place {place}"
                );
            }
        }
        assert!(
            !matches!(delivered.end, End::Refused { .. }),
            "seed {seed}: {delivered:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn patience_is_over_after_its_time_with_the_last_reason_and_what_was_taken_is_said() {
    let wire = MadeUp::new(
        1,
        Faults {
            item_busy: 0.9999,
            ..Faults::default()
        },
    );
    let bulk = bulk(&[1; 200]);
    let started = Instant::now();
    let delivered = deliver(&wire, &bulk, 1 << 20).await;
    check(&wire, &bulk, &delivered);
    assert!(started.elapsed() <= PATIENCE);
    let End::Unavailable { reason } = delivered.end else {
        panic!("{:?}", delivered.end)
    };
    assert_eq!(reason, "es_rejected_execution_exception: r");
    assert_eq!(delivered.exceptions.len() + wire.ids().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_second_delivery_finds_duplicates() {
    let wire = MadeUp::new(1, Faults::default());
    let bulk = bulk(&[1, 2, 3]);
    assert_eq!(deliver(&wire, &bulk, 1 << 20).await.exceptions, []);
    let delivered = deliver(&wire, &bulk, 1 << 20).await;
    assert_eq!(delivered.exceptions, [0, 1, 2].map(|place| (place, Verdict::Duplicate)));
    assert_eq!(delivered.end, End::Done);
}

#[tokio::test(start_paused = true)]
async fn what_nothing_helps_against_is_refused_at_once() {
    for status in [401, 403, 404, 406] {
        let mut wire = MadeUp::new(1, Faults::default());
        wire.always = Some((status, "no"));
        let bulk = bulk(&[1, 2]);
        let delivered = deliver(&wire, &bulk, 1 << 20).await;
        assert_eq!(
            delivered.end,
            End::Refused {
                reason: format!("status {status}: t: no")
            }
        );
        assert_eq!(delivered.exceptions, [(0, Verdict::Pending), (1, Verdict::Pending)]);
        assert_eq!(wire.attempts(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_halved_until_a_document_stands_alone() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.body_bytes_max = 200;
    let bulk = bulk(&[10, 500, 10, 10]);
    let delivered = deliver(&wire, &bulk, 1 << 20).await;
    assert_eq!(wire.ids(), [0, 2, 3]);
    let reason = "larger than the cluster takes, even alone: status 413".to_owned();
    assert_eq!(delivered.exceptions, [(1, Verdict::Rejected { reason })]);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_which_there_is_never_room_is_halved_until_there_is() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.room_bytes = Some(100);
    let bulk = bulk(&[1; 40]);
    let delivered = deliver(&wire, &bulk, 1 << 20).await;
    assert_eq!((delivered.end, wire.ids().len()), (End::Done, 40));
}

#[tokio::test(start_paused = true)]
async fn when_every_document_is_malformed_it_is_not_the_documents() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.malformed_bytes = Some(1);
    let bulk = bulk(&[1; 500]);
    let delivered = deliver(&wire, &bulk, 1 << 20).await;
    assert!(matches!(delivered.end, End::Refused { .. }));
    check(&wire, &bulk, &delivered);
    assert!(wire.attempts() < 100, "{}", wire.attempts());
}

#[tokio::test(start_paused = true)]
async fn deliveries_at_the_same_time_keep_to_the_limit_and_hold_their_permits_while_they_wait() {
    let wire = MadeUp::new(
        3,
        Faults {
            busy: 0.5,
            ..Faults::default()
        },
    );
    let shared = shared(3);
    let delivery = Delivery {
        wire: &wire,
        shared: &shared,
        rules: RULES,
    };
    let bulks: Vec<Bulk> = (0..20).map(|_| bulk(&SIZES)).collect();
    let all = futures::future::join_all(bulks.iter().map(|bulk| delivery.deliver(bulk))).await;
    assert!(all.iter().all(|delivered| delivered.end == End::Done));
    assert!(wire.state.lock().unwrap().busy_max <= 3);
    assert!(shared.metrics.refused_whole.get() > 0 && shared.metrics.retries.get() > 0);
}
