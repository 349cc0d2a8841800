//! A part that is damaged, cut off, in the wrong place or gone is told by its name, and never taken for less than it was.

use std::sync::Arc;

use bytes::Bytes;
use pf_state::{Error, Place as _, Result, StateDir, place::Memory};
use proptest::prelude::*;

use super::{
    dead_letters::letter,
    jobs::{addition, completed, dead, in_memory, items_of, plan},
};

async fn whole() -> (Arc<Memory>, StateDir) {
    let (memory, state) = in_memory();
    let mut writer = state.write_manifest(&plan()).await.unwrap();
    for seqs in [0..3, 3..6, 6..9] {
        writer.add(addition(seqs)).await.unwrap();
    }
    writer.seal().await.unwrap();
    let settled: Vec<_> = (0..8).map(completed).chain([dead(8, "gone")]).collect();
    state.write_ledger("pod").record(&settled).await.unwrap();
    let letters = [letter(0, 0, b"{"), letter(0, 9, b"[]")];
    state.write_dead_letters("pod").store(&letters).await.unwrap();
    (memory, state)
}

/// Everything that can be read.
#[derive(Debug, PartialEq)]
struct Everything(Vec<u64>, bool, pf_state::Ledger, usize);

async fn read(state: &StateDir) -> Result<Everything> {
    let (items, is_sealed) = items_of(state).await?;
    let ledger = state.ledger().await?;
    let mut letters = state.read_dead_letters().await?;
    let mut count = 0;
    while let Some(more) = letters.next().await? {
        count += more.len();
    }
    let seqs = items.iter().map(|item| item.seq).collect();
    Ok(Everything(seqs, is_sealed, ledger, count))
}

fn assert_tells(error: &Error, name: &str) {
    let told = matches!(error, Error::Damaged { .. } | Error::UnsupportedVersion { .. });
    assert!(told && error.to_string().contains(name), "{name}: {error}");
}

#[tokio::test]
async fn a_part_that_is_cut_off_anywhere_is_told() {
    let (memory, state) = whole().await;
    for (name, bytes) in memory.documents() {
        if !name.contains(".zst") {
            continue;
        }
        for length in 0..bytes.len() {
            memory.put(&name, bytes.slice(..length)).await.unwrap();
            assert_tells(&read(&state).await.unwrap_err(), &name);
        }
        memory.put(&name, bytes).await.unwrap();
    }
    read(&state).await.unwrap();
}

#[tokio::test]
async fn a_part_of_the_manifest_that_is_missing_is_told_by_the_next_one() {
    let (memory, state) = whole().await;
    let names: Vec<String> = memory.documents().into_keys().collect();
    let parts: Vec<&String> = names.iter().filter(|name| name.starts_with("manifest/")).collect();
    for pair in parts.windows(2) {
        let bytes = memory.get(pair[0]).await.unwrap().unwrap();
        memory.delete(pair[0]).await.unwrap();
        assert_tells(&items_of(&state).await.unwrap_err(), pair[1]);
        assert_tells(&state.write_manifest(&plan()).await.unwrap_err(), pair[1]);
        memory.put(pair[0], bytes).await.unwrap();
    }
}

#[tokio::test]
async fn a_part_in_the_folder_of_another_kind_is_told() {
    let (memory, state) = whole().await;
    let documents = memory.documents();
    let of = |folder: &str| documents.iter().find(|(name, _)| name.starts_with(folder)).unwrap();
    for (here, there) in [
        ("manifest/", "ledger/"),
        ("ledger/", "dead-letters/"),
        ("dead-letters/", "manifest/"),
    ] {
        let (name, bytes) = of(here);
        memory.put(name, of(there).1.clone()).await.unwrap();
        assert_tells(&read(&state).await.unwrap_err(), name);
        memory.put(name, bytes.clone()).await.unwrap();
    }
}

proptest! {
    #[test]
    fn flipped_bits_are_told_or_change_nothing(
        place in any::<prop::sample::Index>(),
        part in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (memory, state) = whole().await;
            let expected = read(&state).await.unwrap();
            let parts: Vec<_> = memory.documents().into_iter().filter(|(name, _)| name.contains(".zst")).collect();
            let (name, bytes) = part.get(&parts);
            let mut bytes = bytes.to_vec();
            *place.get_mut(&mut bytes) ^= 1 << bit;
            memory.put(name, Bytes::from(bytes)).await.unwrap();
            match read(&state).await {
                Ok(same) => prop_assert_eq!(same, expected),
                Err(error) => assert_tells(&error, name),
            }
            Ok(())
        })?;
    }
}
