//! Record dead letters come back byte for byte, each record once.

use pf_state::{Delivery, RecordDeadLetter, Stage, StateDir};
use proptest::prelude::*;

use super::jobs::in_memory;

pub(crate) fn letter(seq: u64, ordinal: u64, raw: &[u8]) -> RecordDeadLetter {
    RecordDeadLetter {
        seq,
        uri: format!("s3://logs/{seq}"),
        etag: Some("\"e\"".to_owned()),
        ordinal,
        stage: Stage::Decode,
        reason: "not a JSON object".to_owned(),
        raw: raw.to_vec(),
        record_bytes: None,
        by: Delivery::default(),
    }
}

async fn read(state: &StateDir) -> Vec<RecordDeadLetter> {
    let mut reader = state.read_dead_letters().await.unwrap();
    let mut letters = Vec::new();
    while let Some(more) = reader.next().await.unwrap() {
        letters.extend(more);
    }
    letters
}

#[tokio::test]
async fn a_record_that_was_stored_twice_is_read_once() {
    let (_, state) = in_memory();
    let letters = [letter(0, 0, b"a"), letter(0, 7, b"b"), letter(1, 0, b"c")];
    state.write_dead_letters("one").store(&letters[..2]).await.unwrap();
    state.write_dead_letters("two").store(&letters[1..]).await.unwrap();
    let mut found = read(&state).await;
    found.sort_by_key(|letter| (letter.seq, letter.ordinal));
    assert_eq!(found, letters);
}

#[tokio::test]
async fn many_small_calls_make_one_part_and_large_records_make_more() {
    let (memory, state) = in_memory();
    let writer = state.write_dead_letters("pod");
    for ordinal in 0..100 {
        writer.store(&[letter(0, ordinal, b"{")]).await.unwrap();
    }
    assert_eq!(memory.documents().len(), 2, "it, and the generation before");
    let large: Vec<_> = (0..20)
        .map(|ordinal| letter(1, ordinal, &vec![b'x'; 300_000]))
        .collect();
    writer.store(&large).await.unwrap();
    let parts = memory.documents().len();
    assert!((5..9).contains(&parts), "some megabyte each, but {parts} parts");
    assert_eq!(read(&state).await.len(), 120);
}

proptest! {
    #[test]
    fn any_bytes_survive(raw in prop::collection::vec(any::<u8>(), 0..50), reason in any::<String>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (_, state) = in_memory();
            let letter = RecordDeadLetter { reason, record_bytes: Some(1 << 30), ..letter(3, 4, &raw) };
            state.write_dead_letters("pod").store(std::slice::from_ref(&letter)).await.unwrap();
            prop_assert_eq!(read(&state).await, [letter]);
            Ok(())
        })?;
    }
}
