//! A process that dies between any two writes, or whose answer is lost, leaves a state that can be read and gone on with.

use std::{collections::BTreeSet, sync::Arc};

use pf_state::{Result, Seal, StateDir};

use super::jobs::{JOB, QUEUE, addition, completed, in_memory, items_of, plan};

const PARTS: u64 = 4;
const PART_ITEMS: u64 = 3;

/// What a discoverer does: goes on to the end, part by part, and offers each part once it is written.
async fn discover(state: &StateDir, offered: &mut Vec<u64>) -> Result<Seal> {
    let mut writer = state.write_manifest(&plan()).await?;
    let mut reader = state.read_manifest(state.offered(QUEUE).await?).await?;
    while let Some(items) = reader.next().await? {
        offered.extend(items.iter().map(|item| item.seq));
    }
    state.set_offered(QUEUE, writer.next_seq()).await?;
    while !writer.is_sealed() && writer.next_seq() < PARTS * PART_ITEMS {
        let first = writer.next_seq();
        writer.add(addition(first..first + PART_ITEMS)).await?;
        offered.extend(first..first + PART_ITEMS);
        state.set_offered(QUEUE, first + PART_ITEMS).await?;
    }
    writer.seal().await
}

#[tokio::test]
async fn a_discoverer_killed_at_any_write_repeats_no_number_and_forgets_none() {
    for takes_effect in [false, true] {
        for writes in 0.. {
            let (memory, state) = in_memory();
            memory.fail_after(writes, takes_effect);
            let mut offered = Vec::new();
            let first = discover(&state, &mut offered).await;
            memory.heal();
            let (so_far, _) = items_of(&state).await.expect("what was written can be read");
            let listed: BTreeSet<u64> = so_far.iter().map(|item| item.seq).collect();
            assert!(
                offered.iter().all(|seq| listed.contains(seq)),
                "{writes} writes: nothing is offered that is not in the manifest"
            );
            let before = offered.len();
            let seal = discover(&state, &mut offered).await.expect("the second run finishes");
            assert_eq!(seal.items, PARTS * PART_ITEMS);
            let (items, is_sealed) = items_of(&state).await.unwrap();
            assert!(is_sealed);
            assert_eq!(
                items.iter().map(|item| item.seq).collect::<Vec<_>>(),
                (0..PARTS * PART_ITEMS).collect::<Vec<_>>()
            );
            assert_eq!(
                offered.iter().collect::<BTreeSet<_>>().len() as u64,
                PARTS * PART_ITEMS,
                "{writes} writes: all are offered"
            );
            let again = offered.len() as u64 - PARTS * PART_ITEMS;
            assert!(
                again <= PART_ITEMS,
                "{writes} writes, {before} offered before: no more than one part is offered again, not {again} items"
            );
            if first.is_ok() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_writers_own_part_is_no_contest() {
    let (memory, state) = in_memory();
    let mut writer = state.write_manifest(&plan()).await.unwrap();
    memory.fail_after(0, true);
    writer.add(addition(0..3)).await.unwrap_err();
    memory.heal();
    // As storage does by itself when an answer is lost.
    writer.add(addition(0..3)).await.unwrap();
    assert_eq!(writer.next_seq(), 3);
}

#[tokio::test]
async fn a_worker_killed_at_any_write_has_recorded_what_it_was_told_it_had() {
    for takes_effect in [false, true] {
        for writes in 0..8 {
            let (memory, state) = in_memory();
            memory.fail_after(writes, takes_effect);
            let writer = state.write_ledger("pod");
            let mut told = 0;
            for seq in 0..6 {
                if writer.record(&[completed(seq)]).await.is_ok() {
                    told += 1;
                }
            }
            memory.heal();
            let ledger = state.ledger().await.unwrap();
            assert!((0..told).all(|seq| ledger.completed.contains(seq)), "{writes} writes");
            assert!(ledger.completed.len() <= told + 1);
            // Redelivered, and settled by the same process and by another.
            writer.record(&[completed(5)]).await.unwrap();
            let other = StateDir::in_memory(Arc::clone(&memory), JOB).write_ledger("pod");
            let all: Vec<_> = (0..6).map(completed).collect();
            other.record(&all).await.unwrap();
            let ledger = state.ledger().await.unwrap();
            assert_eq!(ledger.completed.len(), 6);
            assert_eq!(ledger.counts.records_in, (100..106).sum::<u64>());
        }
    }
}
