//! What answers mean: for the document, and for what all documents go to.

use prometheus::core::GenericCounter;

use super::*;

const BY_RECORD: Rules = Rules {
    ids: Ids::Records(OnConflict::DeadLetter),
    ..RULES
};

/// A bulk of documents with these ids, of the same size.
fn named(ids: &[u32]) -> Bulk {
    let mut bulk = Bulk::default();
    let body = bulk.body.text_mut();
    for (place, id) in ids.iter().enumerate() {
        let action = body.len() as u32;
        body.extend_from_slice(format!("{{\"create\":{{\"_id\":\"{id}\"}}}}\n").as_bytes());
        let source = body.len() as u32;
        body.extend_from_slice(format!("{{\"a\":\"{}\"}}", "x".repeat(place)).as_bytes());
        let end = body.len() as u32;
        body.push(b'\n');
        bulk.documents.push(Document {
            segment: 0,
            ordinal: place as u64 * 10,
            action,
            source: source..end,
        });
    }
    bulk
}

fn failed(status: u16, kind: &str, reason: &str) -> Value {
    json!({"create": {"status": status, "error": {"type": kind, "reason": reason}}})
}

fn all_are_pending(delivered: &Delivered, documents: u32) {
    let pending: Vec<_> = (0..documents).map(|place| (place, Verdict::Pending)).collect();
    assert_eq!(delivered.exceptions, pending);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_redirected_or_updated_is_told_apart() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.says = Some(|id, _| match id {
        1 => Some(json!({"create": {"result": "noop", "status": 200}})),
        2 => Some(json!({"create": {"result": "created", "failure_store": "used", "status": 201}})),
        3 => Some(json!({"create": {"result": "updated", "status": 200}})),
        _ => None,
    });
    let shared = shared(8);
    let delivered = with(&wire, &shared, RULES, &bulk(&[1; 5])).await;
    assert_eq!(delivered.end, End::Done);
    let verdicts = [(1, Verdict::Dropped), (2, Verdict::Redirected), (3, Verdict::Updated)];
    assert_eq!(delivered.exceptions, verdicts);
    let metrics = &shared.metrics;
    let counted = [&metrics.taken, &metrics.dropped, &metrics.redirected].map(GenericCounter::get);
    assert_eq!(counted, [3, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_there_on_a_first_delivery_is_another_records_if_it_is_a_value_of_the_record() {
    let wire = MadeUp::new(1, Faults::default());
    let first = with(&wire, &shared(8), BY_RECORD, &named(&[7])).await;
    assert_eq!(first.exceptions, []);
    let bulk = named(&[7, 8, 8]);
    let delivered = with(&wire, &shared(8), BY_RECORD, &bulk).await;
    let conflict = |place, reason: &str| {
        let reason = reason.to_owned();
        (place, Verdict::Conflict { reason })
    };
    assert_eq!(
        delivered.exceptions,
        [
            conflict(0, "another record has the _id `7`: what is there has it"),
            conflict(2, "another record has the _id `8`: the record at 10 has it"),
        ]
    );
    // Where the user means it, and where it can't be another record.
    for ids in [Ids::Records(OnConflict::Keep), Ids::Places] {
        let delivered = with(&wire, &shared(8), Rules { ids, ..RULES }, &bulk).await;
        assert_eq!(
            delivered.exceptions,
            [0, 1, 2].map(|place| (place, Verdict::Duplicate)),
            "{ids:?}"
        );
    }
}

/// The same documents as those of an item that somebody began.
fn begun(mut bulk: Bulk) -> Bulk {
    bulk.sent_since = vec![Some(Timestamp::UNIX_EPOCH)];
    bulk
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_there_on_a_later_delivery_is_the_records_own_only_if_the_same_is_stored() {
    let wire = MadeUp::new(1, Faults::default());
    let anothers = [(3, 1000), (4, 0)];
    wire.state.lock().unwrap().documents.extend(anothers);
    // The first delivery finds them there, and dies before it says so.
    let records = [0, 1, 2, 3, 4, 1];
    with(&wire, &shared(8), BY_RECORD, &named(&records[..4])).await;
    let shared = shared(8);
    let delivered = with(&wire, &shared, BY_RECORD, &begun(named(&records))).await;
    let conflict = |place, reason: &str| {
        let reason = reason.to_owned();
        (place, Verdict::Conflict { reason })
    };
    let is_else = "what is there has it, and is something else";
    assert_eq!(
        delivered.exceptions,
        [
            (0, Verdict::Duplicate),
            (1, Verdict::Duplicate),
            (2, Verdict::Duplicate),
            conflict(3, &format!("another record has the _id `3`: {is_else}")),
            conflict(4, &format!("another record has the _id `4`: {is_else}")),
            conflict(5, "another record has the _id `1`: the record at 10 has it"),
        ]
    );
    let counted = [&shared.metrics.duplicate, &shared.metrics.conflicting].map(GenericCounter::get);
    assert_eq!(counted, [3, 3]);
    // Where what is there stays, or can't be another record, nobody looks.
    let looks = || wire.state.lock().unwrap().looks;
    let before = looks();
    for ids in [Ids::Records(OnConflict::Keep), Ids::Places] {
        let delivered = with(
            &wire,
            &super::shared(8),
            Rules { ids, ..RULES },
            &begun(named(&records)),
        )
        .await;
        let duplicates: Vec<_> = (0..6).map(|place| (place, Verdict::Duplicate)).collect();
        assert_eq!(delivered.exceptions, duplicates, "{ids:?}");
    }
    assert_eq!(looks(), before + 2, "they ask only what is behind the name");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_there_and_can_t_be_looked_at_on_a_later_delivery_is_loud() {
    let mut wire = MadeUp::new(1, Faults::default());
    with(&wire, &shared(8), BY_RECORD, &named(&[7])).await;
    wire.is_closed_to_looks = true;
    let delivered = with(&wire, &shared(8), BY_RECORD, &begun(named(&[7, 8]))).await;
    let reason = "another record has the _id `7`: what is there has it, and can't be looked at: it may be this record";
    let reason = reason.to_owned();
    assert_eq!(delivered.exceptions, [(0, Verdict::Conflict { reason })]);
}

#[tokio::test(start_paused = true)]
async fn another_record_in_an_index_that_is_not_written_to_any_more_takes_no_records_place() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.rolls_before = vec![2];
    wire.state.lock().unwrap().documents.insert(1, 1000);
    with(&wire, &shared(8), BY_RECORD, &named(&[0])).await;
    let delivered = with(&wire, &shared(8), BY_RECORD, &begun(named(&[0, 1]))).await;
    assert_eq!(delivered.exceptions, [(0, Verdict::Duplicate)]);
    assert_eq!(wire.state.lock().unwrap().documents, [(1, 1)].into());
}

#[tokio::test(start_paused = true)]
async fn stored_documents_are_compared_a_few_at_a_time_and_whatever_fails_meanwhile() {
    for seed in 0..50 {
        let faults = Faults {
            unwell: 0.3,
            ..Faults::default()
        };
        let wire = MadeUp::new(seed, faults);
        let sizes = [600_000; 5];
        let whole = |bulk: &Bulk| bulk.body.len();
        let documents = bulk(&sizes);
        assert!(whole(&documents) > 2 << 20);
        with(&wire, &shared(8), BY_RECORD, &documents).await;
        wire.state.lock().unwrap().documents.insert(2, 1);
        let before = wire.state.lock().unwrap().looks;
        let delivered = with(&wire, &shared(8), BY_RECORD, &begun(bulk(&sizes))).await;
        assert_eq!(delivered.end, End::Done, "seed {seed}");
        for (place, verdict) in &delivered.exceptions {
            assert_eq!(matches!(verdict, Verdict::Conflict { .. }), *place == 2, "seed {seed}");
        }
        assert_eq!(delivered.exceptions.len(), 5, "seed {seed}");
        assert!(wire.state.lock().unwrap().looks - before >= 5, "one for each of these");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_an_answer_makes_no_conflict_of_a_record_with_itself() {
    for seed in 0..500 {
        let faults = Faults {
            // Three in a row that are refused whole are sent as halves.
            busy: 0.5,
            lost_after: 0.5,
            cut: 0.2,
            unwell: 0.2,
            item_busy: 0.2,
            ..Faults::default()
        };
        let wire = MadeUp::new(seed, faults);
        // Another record has this one, and is something else.
        wire.state.lock().unwrap().documents.insert(2, 1000);
        let bulk = named(&[0, 1, 2, 3]);
        let rules = Rules {
            patience: PATIENCE * 10,
            ..BY_RECORD
        };
        let delivered = with(&wire, &shared(8), rules, &bulk).await;
        assert_eq!(delivered.end, End::Done, "seed {seed}");
        for (place, verdict) in &delivered.exceptions {
            let is_conflict = matches!(verdict, Verdict::Conflict { .. });
            assert_eq!(is_conflict, *place == 2, "seed {seed}: {verdict:?}");
        }
        assert!(delivered.exceptions.iter().any(|(place, _)| *place == 2), "seed {seed}");
        assert_eq!(wire.ids(), [0, 1, 2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clusters_own_trouble_stops_with_what_to_do_and_gives_nothing_up() {
    type Says = fn(u32, usize) -> Option<Value>;
    let troubles: [(Says, &str); 6] = [
        (
            |_, _| {
                Some(failed(
                    400,
                    "validation_exception",
                    "this action would add [2] total shards, but this cluster currently has [1000]/[1000] maximum normal shards open",
                ))
            },
            "cluster.max_shards_per_node",
        ),
        (
            |_, _| {
                Some(failed(
                    400,
                    "illegal_argument_exception",
                    "no write index is defined for alias [x].",
                ))
            },
            "is_write_index",
        ),
        (
            |_, _| {
                Some(failed(
                    400,
                    "illegal_argument_exception",
                    "Document ID is not supported in create/index operation request",
                ))
            },
            "--es-id auto",
        ),
        (
            |_, _| {
                Some(failed(
                    400,
                    "document_parsing_exception",
                    "Limit of total fields [1000] has been exceeded",
                ))
            },
            "total_fields.limit",
        ),
        (
            |_, _| {
                Some(failed(
                    403,
                    "cluster_block_exception",
                    "index [a] blocked by: [FORBIDDEN/8/index write (api)];",
                ))
            },
            "take the block away",
        ),
        // Some of them are at fault themselves, and are not given up meanwhile.
        (
            |id, _| match id {
                0 => Some(failed(400, "document_parsing_exception", "r")),
                _ => Some(failed(400, "validation_exception", "[1]/[1] maximum shards open")),
            },
            "cluster.max_shards_per_node",
        ),
    ];
    for (says, advice) in troubles {
        let mut wire = MadeUp::new(1, Faults::default());
        wire.says = Some(says);
        let started = Instant::now();
        let delivered = with(&wire, &shared(8), RULES, &bulk(&[1; 60])).await;
        let End::Refused { reason } = &delivered.end else {
            panic!("{advice}: {delivered:?}")
        };
        assert!(reason.contains(advice), "{reason}");
        all_are_pending(&delivered, 60);
        assert!(started.elapsed() <= DOUBT_MAX);
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_that_passes_soon_costs_nothing() {
    static TRIES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let mut wire = MadeUp::new(1, Faults::default());
    wire.says = Some(|_, _| {
        let tries = TRIES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let reason = "no write index is defined for alias [x].";
        (tries < 50).then(|| failed(400, "illegal_argument_exception", reason))
    });
    let delivered = with(&wire, &shared(8), RULES, &bulk(&[1; 20])).await;
    assert_eq!((delivered.end, delivered.exceptions), (End::Done, Vec::new()));
    assert_eq!(wire.ids().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_one_record_is_its_own_dead_letter() {
    type Says = fn(u32, usize) -> Option<Value>;
    let says: [(Says, bool); 2] = [
        (|id, _| (id == 3).then(|| failed(403, "security_exception", "no")), true),
        (
            |id, _| {
                (id == 3).then(|| {
                    failed(
                        400,
                        "document_parsing_exception",
                        "Limit of total fields [10] has been exceeded",
                    )
                })
            },
            false,
        ),
    ];
    for (says, index_is_theirs) in says {
        let mut wire = MadeUp::new(1, Faults::default());
        wire.says = Some(says);
        let rules = Rules {
            index_is_theirs,
            ..RULES
        };
        let shared = shared(8);
        let delivered = with(&wire, &shared, rules, &bulk(&[1; 10])).await;
        assert_eq!(delivered.end, End::Done);
        assert!(
            matches!(delivered.exceptions.as_slice(), [(3, Verdict::Rejected { .. })]),
            "{delivered:?}"
        );
        // Also where it comes alone, when others were taken.
        let mut alone = named(&[3]);
        alone.documents[0].ordinal = 3;
        let delivered = with(&wire, &shared, rules, &alone).await;
        assert!(
            matches!(delivered.exceptions.as_slice(), [(0, Verdict::Rejected { .. })]),
            "{delivered:?}"
        );
    }
    // An index that is the same for all is nobody's own.
    let mut wire = MadeUp::new(1, Faults::default());
    wire.says = Some(says[0].0);
    let delivered = with(&wire, &shared(8), RULES, &bulk(&[1; 10])).await;
    assert!(matches!(delivered.end, End::Refused { .. }), "{delivered:?}");
}

#[tokio::test(start_paused = true)]
async fn a_doubtful_one_that_comes_first_waits_for_what_others_show() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.says = Some(|id, _| (id == 3).then(|| failed(404, "index_not_found_exception", "no")));
    let rules = Rules {
        index_is_theirs: true,
        ..RULES
    };
    let shared = shared(8);
    let (bad, good) = (named(&[3]), named(&[4, 5]));
    let later = async {
        sleep(Duration::from_secs(2)).await;
        with(&wire, &shared, rules, &good).await
    };
    let (bad, good) = tokio::join!(with(&wire, &shared, rules, &bad), later);
    assert_eq!((bad.end, good.end), (End::Done, End::Done));
    assert!(
        matches!(bad.exceptions.as_slice(), [(0, Verdict::Rejected { .. })]),
        "{:?}",
        bad.exceptions
    );
    // With nobody to show anything, it may be the index.
    let delivered = with(&wire, &super::shared(8), rules, &named(&[3])).await;
    assert!(matches!(delivered.end, End::Refused { .. }), "{delivered:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_refused_whole_are_nobodys_fault_however_small_the_bulks_are() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.always = Some((400, "no"));
    let shared = shared(8);
    for _ in 0..60 {
        let delivered = with(&wire, &shared, RULES, &bulk(&[1])).await;
        assert!(matches!(delivered.end, End::Refused { .. }), "{delivered:?}");
        all_are_pending(&delivered, 1);
    }
    // After a success, few may be at fault in a row.
    wire.always = None;
    with(&wire, &shared, RULES, &bulk(&[1])).await;
    wire.always = Some((400, "no"));
    let mut rejected = 0;
    for _ in 0..60 {
        let delivered = with(&wire, &shared, RULES, &bulk(&[1])).await;
        rejected += usize::from(delivered.end == End::Done);
    }
    assert_eq!(rejected, 32);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rejected_in_a_row_before_any_was_taken_stop_the_work() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.bad_bytes = Some(1);
    let shared = shared(8);
    let delivered = with(&wire, &shared, RULES, &bulk(&[1; 600])).await;
    assert_eq!((delivered.end, delivered.exceptions.len()), (End::Done, 600));
    let delivered = with(&wire, &shared, RULES, &bulk(&[1; 600])).await;
    all_are_pending(&delivered, 600);
    let End::Refused { reason } = delivered.end else {
        panic!("{:?}", delivered.end)
    };
    assert!(
        reason.contains("document_parsing_exception") && reason.contains("--max-rejected"),
        "{reason}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_size_that_is_refused_is_remembered_for_all_bulks() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.body_bytes_max = 10_000;
    let shared = shared(8);
    let bulk = bulk(&[1_000; 40]);
    let bytes: usize = bulk.documents.iter().map(|document| document.lines().len()).sum();
    for _ in 0..10 {
        let delivered = with(&wire, &shared, RULES, &bulk).await;
        assert_eq!(delivered.end, End::Done);
    }
    let needed = 10 * bytes.div_ceil(wire.body_bytes_max);
    assert!(wire.attempts() < 2 * needed, "{} of {needed}", wire.attempts());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_is_quoted() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.always = Some((200, "please sign in"));
    let delivered = deliver(&wire, &bulk(&[1]), 1 << 20).await;
    let End::Unavailable { reason } = delivered.end else {
        panic!("{:?}", delivered.end)
    };
    assert!(
        reason.contains("please sign in") && reason.contains("can't be read"),
        "{reason}"
    );
}
