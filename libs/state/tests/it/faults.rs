//! A whole job over a connection that breaks, loses answers and says things twice.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use pf_e2e::{Fault, FaultProxy, S3};
use pf_state::StateDir;
use pf_storage::{Options, Patience, Storage};
use proptest::prelude::*;

use super::{
    dead_letters::letter,
    jobs::{JOB, QUEUE, addition, completed, dead, items_of, plan},
    places::{in_bucket, s3_options},
};

/// Attempts that outlast any row of faults.
const ATTEMPTS_MAX: u32 = 20;

fn through(proxy: &FaultProxy) -> Storage {
    Storage::new(Options {
        endpoint: Some(proxy.endpoint()),
        patience: Patience {
            attempts_max: ATTEMPTS_MAX,
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(4),
            ..Patience::default()
        },
        ..s3_options()
    })
}

/// Two of three requests go well.
fn fault(random: &mut fastrand::Rng) -> Fault {
    match random.u8(..12) {
        0 => Fault::Reset,
        1 => Fault::LoseAnswer,
        2 => Fault::Twice,
        3 => Fault::slow_down(),
        _ => Fault::Pass,
    }
}

async fn a_job(state: &StateDir) -> pf_state::Result<()> {
    let mut writer = state.write_manifest(&plan()).await?;
    for part in 0..4 {
        writer.add(addition(part * 5..part * 5 + 5)).await?;
        state.set_offered(QUEUE, part * 5 + 5).await?;
        if part == 1 {
            writer = state.write_manifest(&plan()).await?;
        }
    }
    writer.seal().await?;
    let ledgers = [state.write_ledger("pod-1"), state.write_ledger("pod-2")];
    let letters = state.write_dead_letters("pod-1");
    for seq in 0..20 {
        let settled = if seq % 7 == 3 {
            dead(seq, "gone")
        } else {
            // Its counts speak of one rejected record.
            letters.store(&[letter(seq, 0, b"{")]).await?;
            completed(seq)
        };
        ledgers[seq as usize % 2].record(&[settled]).await?;
    }
    state.ledger().await?;
    Ok(())
}

async fn check(seed: u64) {
    let (root, direct) = in_bucket();
    let proxy = FaultProxy::new(&S3::shared().endpoint());
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    proxy.choose(move |_| fault(&mut random.lock().unwrap_or_else(PoisonError::into_inner)));
    a_job(&StateDir::new(through(&proxy), &root, JOB)).await.unwrap();

    let state = StateDir::new(direct, &root, JOB);
    let (items, is_sealed) = items_of(&state).await.unwrap();
    assert_eq!((items.len(), is_sealed), (20, true));
    let ledger = state.ledger().await.unwrap();
    assert_eq!(ledger.dead.iter().collect::<Vec<_>>(), [3, 10, 17]);
    assert!(ledger.missing(20).is_empty());
    assert_eq!(state.offered(QUEUE).await.unwrap(), 20);
    let mut reader = state.read_dead_letters().await.unwrap();
    let mut seqs = BTreeSet::new();
    while let Some(letters) = reader.next().await.unwrap() {
        seqs.extend(letters.iter().map(|letter| letter.seq));
    }
    assert_eq!(seqs, (0..20).filter(|seq| seq % 7 != 3).collect());
}

proptest! {
    // Each case is some hundred requests.
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_bad_connection_neither_repeats_nor_forgets(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(check(seed));
    }
}
