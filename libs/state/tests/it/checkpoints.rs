//! Checkpoints are bound to their item and its object's version.

use pf_state::Error;
use pf_work::{Checkpoint, checkpoint::Position};

use super::jobs::{JOB, counts, in_memory};

fn checkpoint(seq: u64, etag: &str, offset: u64) -> Checkpoint {
    Checkpoint {
        v: 1,
        job: JOB.to_owned(),
        seq,
        life: None,
        uri: "s3://b/k".to_owned(),
        range: None,
        crashes: 0,
        etag: etag.to_owned(),
        position: Position::Byte { offset },
        counts: counts(5, 1),
    }
}

#[tokio::test]
async fn the_last_checkpoint_of_an_item_is_found_until_it_is_deleted() {
    let (_, state) = in_memory();
    let checkpoints = state.checkpoints();
    assert_eq!(checkpoints.get(1, "e").await.unwrap(), None);
    for offset in [10, 20] {
        checkpoints.put(&checkpoint(1, "e", offset)).await.unwrap();
    }
    assert_eq!(checkpoints.get(1, "e").await.unwrap(), Some(checkpoint(1, "e", 20)));
    assert_eq!(checkpoints.get(2, "e").await.unwrap(), None);
    for _ in 0..2 {
        checkpoints.delete(1).await.unwrap();
        assert_eq!(checkpoints.get(1, "e").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_version_of_the_object_is_worth_nothing() {
    let (_, state) = in_memory();
    state.checkpoints().put(&checkpoint(1, "old", 10)).await.unwrap();
    assert_eq!(state.checkpoints().get(1, "new").await.unwrap(), None);
}

#[tokio::test]
async fn a_checkpoint_of_another_job_is_told() {
    let (_, state) = in_memory();
    let foreign = Checkpoint {
        job: "other".to_owned(),
        ..checkpoint(1, "e", 10)
    };
    state.checkpoints().put(&foreign).await.unwrap();
    let error = state.checkpoints().get(1, "e").await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}
