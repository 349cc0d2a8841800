//! Data streams that roll over before, between and during deliveries.

use super::*;

/// How often each document is in any of the indices.
fn copies(wire: &MadeUp) -> BTreeMap<u32, usize> {
    let state = wire.state.lock().unwrap();
    let mut copies = BTreeMap::new();
    for id in state.older.iter().chain([&state.documents]).flat_map(BTreeMap::keys) {
        *copies.entry(*id).or_default() += 1;
    }
    copies
}

fn again(sizes: &[usize]) -> Bulk {
    let mut bulk = bulk(sizes);
    bulk.sent_since = vec![Some(Timestamp::UNIX_EPOCH)];
    bulk
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_attempt_left_in_an_older_index_is_found_and_not_sent_again() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.rolls_before = vec![2, 3];
    let shared = shared(8);
    with(&wire, &shared, RULES, &bulk(&[1, 1])).await;
    let delivered = with(&wire, &shared, RULES, &again(&[1, 1, 1])).await;
    assert_eq!(delivered.end, End::Done);
    assert_eq!(delivered.exceptions, [(0, Verdict::Duplicate), (1, Verdict::Duplicate)]);
    let delivered = with(&wire, &shared, RULES, &again(&[1, 1, 1, 1])).await;
    assert_eq!(delivered.exceptions.len(), 3, "{delivered:?}");
    assert_eq!(copies(&wire), (0..4).map(|id| (id, 1)).collect());
}

#[tokio::test(start_paused = true)]
async fn a_first_delivery_asks_for_nothing_and_an_index_is_asked_about_once() {
    let wire = MadeUp::new(1, Faults::default());
    let shared = shared(8);
    with(&wire, &shared, RULES, &bulk(&[1])).await;
    assert_eq!(wire.state.lock().unwrap().looks, 0);
    for _ in 0..10 {
        with(&wire, &shared, RULES, &again(&[1])).await;
    }
    assert_eq!(wire.state.lock().unwrap().looks, 1);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_may_look_work_goes_on() {
    let mut wire = MadeUp::new(1, Faults::default());
    wire.is_closed_to_looks = true;
    let delivered = with(&wire, &shared(8), RULES, &again(&[1, 1])).await;
    assert_eq!((delivered.end, delivered.exceptions), (End::Done, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_and_whenever_it_rolls_over_every_document_is_there_once() {
    for seed in 0..1000 {
        let mut rng = Rng::with_seed(seed);
        let mut chance = |most: f64| if rng.bool() { rng.f64() * most } else { 0.0 };
        let faults = Faults {
            unwell: chance(0.3),
            lost_before: chance(0.3),
            lost_after: chance(0.5),
            cut: chance(0.3),
            item_busy: chance(0.4),
            ..Faults::default()
        };
        let mut wire = MadeUp::new(seed, faults);
        wire.rolls_before = (0..rng.usize(1..4)).map(|_| rng.usize(1..12)).collect();
        let shared = shared(8);
        let sizes = [1; 12];
        let first = with(&wire, &shared, RULES, &bulk(&sizes)).await;
        let second = with(&wire, &shared, RULES, &again(&sizes)).await;
        assert_eq!((first.end, second.end), (End::Done, End::Done), "seed {seed}");
        assert_eq!(copies(&wire), (0..12).map(|id| (id, 1)).collect(), "seed {seed}");
        assert_eq!(second.exceptions.len(), 12, "seed {seed}: all of them were there");
    }
}
