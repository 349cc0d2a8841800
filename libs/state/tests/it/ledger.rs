//! The ledger: the union of what any number of workers wrote, in any order, counts each item once.

use std::collections::BTreeMap;

use pf_state::{Delivery, Outcome, Settled, StateDir};
use pf_work::Counts;
use proptest::prelude::*;

use super::{
    jobs::{JOB, completed, counts, dead, in_memory},
    places::{in_bucket, in_folder},
};

#[tokio::test]
async fn settled_items_are_covered_and_the_others_missing() {
    let (_, state) = in_memory();
    assert_eq!(state.ledger().await.unwrap().missing(3).len(), 3);
    let writer = state.write_ledger("pod-a");
    writer.record(&[completed(0), completed(2)]).await.unwrap();
    writer.record(&[dead(1, "corrupt")]).await.unwrap();
    let ledger = state.ledger().await.unwrap();
    assert_eq!(ledger.completed.iter().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(ledger.dead.iter().collect::<Vec<_>>(), [1]);
    assert_eq!(ledger.reasons[&1], "corrupt");
    assert_eq!(ledger.missing(6).iter().collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(ledger.counts.records_in, 100 + 102 + 3);
    assert!(ledger.unbalanced.is_empty());
}

#[tokio::test]
async fn many_calls_make_few_parts() {
    let (memory, state) = in_memory();
    let writer = state.write_ledger("pod-a");
    let settled: Vec<Settled> = (0..10_000).map(completed).collect();
    for batch in settled.chunks(1000) {
        writer.record(batch).await.unwrap();
    }
    assert!(
        memory.documents().len() <= 4,
        "the generation before the last may still be there"
    );
    let ledger = state.ledger().await.unwrap();
    assert_eq!(ledger.parts, 3);
    assert_eq!(ledger.completed.len(), 10_000);
    assert!(ledger.missing(10_000).is_empty());
}

#[tokio::test]
async fn an_item_that_was_given_up_and_later_completed_is_complete() {
    let (_, state) = in_memory();
    state
        .write_ledger("a")
        .record(&[dead(0, "gone"), dead(1, "gone")])
        .await
        .unwrap();
    state.write_ledger("b").record(&[completed(0)]).await.unwrap();
    let ledger = state.ledger().await.unwrap();
    assert_eq!(ledger.completed.iter().collect::<Vec<_>>(), [0]);
    assert_eq!(ledger.dead.iter().collect::<Vec<_>>(), [1]);
    assert_eq!(ledger.counts.records_in, 100 + 3);
    assert_eq!(ledger.repeats, 1);
}

#[tokio::test]
async fn records_that_are_unaccounted_for_are_told() {
    let (_, state) = in_memory();
    let lost = Settled {
        counts: Counts {
            records_in: 10,
            records_out: 9,
            ..Counts::default()
        },
        ..completed(7)
    };
    // The sums over both would balance.
    let invented = Settled {
        counts: Counts {
            records_in: 10,
            records_out: 11,
            ..Counts::default()
        },
        ..completed(8)
    };
    state
        .write_ledger("a")
        .record(&[lost, invented, completed(9)])
        .await
        .unwrap();
    let ledger = state.ledger().await.unwrap();
    assert_eq!(ledger.unbalanced.iter().collect::<Vec<_>>(), [7, 8]);
}

/// What the ledger must say, told the slow way: all settlements of each item, of which the best counts.
fn slowly(all: &[Settled]) -> (Vec<u64>, Vec<u64>, Counts) {
    let mut items: BTreeMap<u64, Vec<&Settled>> = BTreeMap::new();
    for settled in all {
        items.entry(settled.seq).or_default().push(settled);
    }
    let (mut done, mut dead, mut sums) = (vec![], vec![], Counts::default());
    for (seq, mut deliveries) in items {
        deliveries.sort_by(|one, other| {
            let by_outcome = one.outcome.cmp(&other.outcome);
            let by_rejects = one.counts.records_rejected.cmp(&other.counts.records_rejected);
            let by_duplicates = one.counts.records_duplicate.cmp(&other.counts.records_duplicate);
            by_outcome
                .then(by_rejects)
                .then(by_duplicates)
                .then(other.counts.cmp(&one.counts))
        });
        sums += deliveries[0].counts;
        match deliveries[0].outcome {
            Outcome::Completed => done.push(seq),
            Outcome::DeadLetter { .. } => dead.push(seq),
        }
    }
    (done, dead, sums)
}

fn settlement() -> impl Strategy<Value = Settled> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Completed),
        1 => "[ab]".prop_map(|reason| Outcome::DeadLetter { reason }),
    ];
    (0_u64..40, outcome, 0_u64..50, 0_u64..50, 0_u64..3).prop_map(|(seq, outcome, records, duplicates, rejects)| {
        Settled {
            seq,
            outcome,
            counts: Counts {
                records_duplicate: duplicates.min(records - rejects.min(records)),
                ..counts(records, rejects.min(records))
            },
            object_rows: None,
            by: Delivery::default(),
        }
    })
}

/// Workers, each with calls, each with settlements; workers take turns.
fn calls() -> impl Strategy<Value = Vec<(usize, Vec<Settled>)>> {
    prop::collection::vec((0_usize..4, prop::collection::vec(settlement(), 0..6)), 0..25)
}

/// Writes all of it, and compares the union with the brute force.
async fn check(state: &StateDir, calls: Vec<(usize, Vec<Settled>)>) -> Result<(), TestCaseError> {
    let writers: Vec<_> = (0..4)
        .map(|number| state.write_ledger(&format!("pod-{number}")))
        .collect();
    for (worker, settled) in &calls {
        writers[*worker].record(settled).await.unwrap();
    }
    let all: Vec<Settled> = calls.into_iter().flat_map(|(_, settled)| settled).collect();
    let (done, dead, sums) = slowly(&all);
    let ledger = state.ledger().await.unwrap();
    prop_assert_eq!(ledger.completed.iter().collect::<Vec<_>>(), done);
    prop_assert_eq!(ledger.dead.iter().collect::<Vec<_>>(), dead);
    prop_assert_eq!(
        ledger.reasons.keys().copied().collect::<Vec<_>>(),
        ledger.dead.iter().collect::<Vec<_>>()
    );
    prop_assert_eq!(ledger.counts, sums);
    prop_assert_eq!(ledger.missing(40).len() + ledger.settled().len(), 40);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_interleaving_of_workers_has_the_union_of_the_brute_force(calls in calls()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(&in_memory().1, calls))?;
    }
}

proptest! {
    // Each case is some dozen requests.
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn so_it_is_in_a_folder(calls in calls()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (root, storage, _folder) = in_folder();
        runtime.block_on(check(&StateDir::new(storage, &root, JOB), calls))?;
    }

    #[test]
    fn so_it_is_in_a_bucket(calls in calls()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (root, storage) = in_bucket();
        runtime.block_on(check(&StateDir::new(storage, &root, JOB), calls))?;
    }
}
