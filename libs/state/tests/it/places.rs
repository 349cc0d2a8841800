//! What a place promises, and a whole job on each: in memory, in a folder, in a bucket of a real S3 server.

use std::sync::Arc;

use bytes::Bytes;
use pf_e2e::S3;
use pf_state::{
    Place, StateDir,
    place::{Memory, Objects},
};
use pf_storage::{ObjectUri, Options, Storage, store::AccessKey};
use pf_work::{Checkpoint, checkpoint::Position};
use tempfile::TempDir;

use super::{
    dead_letters::letter,
    jobs::{JOB, addition, completed, counts, dead, items_of, plan},
};

/// A root for state directories, and the folder that must outlive them.
pub(crate) fn in_folder() -> (ObjectUri, Storage, TempDir) {
    let folder = TempDir::new().unwrap();
    let path = format!("{}/not/made yet", folder.path().to_str().unwrap());
    (ObjectUri::File { path }, Storage::new(Options::default()), folder)
}

pub(crate) fn in_bucket() -> (ObjectUri, Storage) {
    let bucket = S3::shared().make_bucket("state");
    let key = "some state".to_owned();
    (ObjectUri::S3 { bucket, key }, Storage::new(s3_options()))
}

/// The test server and its key.
pub(crate) fn s3_options() -> Options {
    let s3 = S3::shared();
    Options {
        endpoint: Some(s3.endpoint()),
        region: Some(S3::REGION.to_owned()),
        access_key: Some(AccessKey {
            id: S3::ACCESS_KEY_ID.to_owned(),
            secret: s3.secret_access_key().to_owned(),
        }),
        ..Options::default()
    }
}

async fn holds_its_promises(place: &dyn Place) {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert_eq!(place.get("a/b").await.unwrap(), None);
    assert!(place.list("", None).await.unwrap().names.is_empty());
    place.delete("a/b").await.expect("what is missing is deleted already");

    assert!(place.create("a/b", bytes("one")).await.unwrap());
    assert!(!place.create("a/b", bytes("two")).await.unwrap());
    assert_eq!(place.get("a/b").await.unwrap(), Some(bytes("one")));
    place.put("a/b", bytes("three")).await.unwrap();
    assert_eq!(place.get("a/b").await.unwrap(), Some(bytes("three")));
    place.put("a/empty", Bytes::new()).await.unwrap();
    assert_eq!(place.get("a/empty").await.unwrap(), Some(Bytes::new()));

    for number in 0..20 {
        place.put(&format!("c/{number:03}"), bytes("x")).await.unwrap();
    }
    let mut names: Vec<String> = Vec::new();
    loop {
        let page = place.list("c/", names.last().map(String::as_str)).await.unwrap();
        names.extend(page.names);
        if page.is_last {
            break;
        }
    }
    assert_eq!(
        names,
        (0..20).map(|number| format!("c/{number:03}")).collect::<Vec<_>>()
    );
    let behind = place.list("c/", Some("c/017")).await.unwrap();
    assert_eq!(
        (&behind.names[..], behind.is_last),
        (&["c/018".to_owned(), "c/019".to_owned()][..], true)
    );

    place.delete("a/b").await.unwrap();
    assert_eq!(place.get("a/b").await.unwrap(), None);
    assert_eq!(place.list("a/", None).await.unwrap().names, ["a/empty"]);

    let tries = (0..8).map(|number| place.create("raced", Bytes::from(format!("writer {number}"))));
    let won = futures::future::join_all(tries).await;
    assert_eq!(
        won.iter().filter(|won| *won.as_ref().unwrap()).count(),
        1,
        "one of many wins"
    );
    let winner = won.iter().position(|won| *won.as_ref().unwrap()).unwrap();
    assert_eq!(
        place.get("raced").await.unwrap(),
        Some(Bytes::from(format!("writer {winner}")))
    );
}

/// A whole job, read through another handle.
async fn a_job_goes_through(state: &StateDir, reader: &StateDir) {
    assert_eq!(reader.seal().await.unwrap(), None);
    assert_eq!(reader.ledger().await.unwrap().parts, 0);
    let mut writer = state.write_manifest(&plan()).await.unwrap();
    writer.add(addition(0..20)).await.unwrap();
    let mut writer = reader.write_manifest(&plan()).await.unwrap();
    writer.add(addition(20..25)).await.unwrap();
    writer.seal().await.unwrap();
    let (items, is_sealed) = items_of(reader).await.unwrap();
    assert_eq!((items.len(), is_sealed), (25, true));

    let ledgers = [state.write_ledger("pod-1"), state.write_ledger("pod-2")];
    for seq in 0..25 {
        let settled = if seq % 5 == 0 {
            dead(seq, "gone")
        } else {
            completed(seq)
        };
        ledgers[seq as usize % 2].record(&[settled]).await.unwrap();
    }
    let ledger = reader.ledger().await.unwrap();
    assert_eq!((ledger.completed.len(), ledger.dead.len(), ledger.parts), (20, 5, 2));

    state
        .write_dead_letters("pod-1")
        .store(&[letter(1, 3, b"{")])
        .await
        .unwrap();
    let mut letters = reader.read_dead_letters().await.unwrap();
    assert_eq!(letters.next().await.unwrap(), Some(vec![letter(1, 3, b"{")]));
    assert_eq!(letters.next().await.unwrap(), None);

    let checkpoint = Checkpoint {
        v: 1,
        job: JOB.to_owned(),
        seq: 3,
        etag: "e".to_owned(),
        position: Position::Row { row_group: 1, row: 2 },
        counts: counts(2, 1),
    };
    state.checkpoints().put(&checkpoint).await.unwrap();
    assert_eq!(reader.checkpoints().get(3, "e").await.unwrap(), Some(checkpoint));
}

#[tokio::test]
async fn memory_holds_its_promises() {
    holds_its_promises(&Memory::new()).await;
    let memory = Arc::new(Memory::new());
    a_job_goes_through(
        &StateDir::in_memory(Arc::clone(&memory), JOB),
        &StateDir::in_memory(memory, JOB),
    )
    .await;
}

#[tokio::test]
async fn a_folder_holds_its_promises() {
    let (root, storage, _folder) = in_folder();
    let folder = root.with_key(format!("{}/a/", root.key()));
    holds_its_promises(&Objects::new(storage.clone(), folder)).await;
    a_job_goes_through(
        &StateDir::new(storage, &root, JOB),
        &StateDir::new(Storage::new(Options::default()), &root, JOB),
    )
    .await;
}

#[tokio::test]
async fn a_bucket_holds_its_promises() {
    let (root, storage) = in_bucket();
    let folder = root.with_key(format!("{}/a/", root.key()));
    holds_its_promises(&Objects::new(storage.clone(), folder)).await;
    a_job_goes_through(
        &StateDir::new(storage.clone(), &root, JOB),
        &StateDir::new(storage, &root, JOB),
    )
    .await;
}

#[tokio::test]
async fn a_document_that_is_written_anew_all_the_time_is_read_whole() {
    let (root, storage, _folder) = in_folder();
    let state = StateDir::new(storage, &root, JOB);
    let ledger = state.write_ledger("pod");
    let reader = state.clone();
    let writes = async {
        for seq in 0..50 {
            ledger.record(&[completed(seq)]).await.unwrap();
        }
    };
    let reads = async {
        let mut seen = 0;
        while seen < 50 {
            let found = reader.ledger().await.unwrap().completed.len();
            assert!(found >= seen, "what was there once stays there");
            seen = found;
        }
    };
    futures::join!(writes, reads);
}
