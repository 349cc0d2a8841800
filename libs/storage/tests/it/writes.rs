//! Writes that servers refuse or whose answers are lost, and what only a file system has to say of them.

use bytes::Bytes;
use pf_e2e::{Fault, FaultProxy, S3};
use pf_storage::{Error, ListRequest, ObjectUri, PutMode, Result, Storage, contract::World as _};

use crate::worlds::{Bucket, Folder, options, said};

/// An answer behind which the connection is closed: the proxy hears the heads of requests only.
fn answer(status: u16, code: &str) -> Fault {
    Fault::error(status, code, "no", &[("connection", "close")])
}

/// What a write comes to that these answers meet in turn, and the heads of its requests.
async fn put_answered(uri: &ObjectUri, mode: PutMode, answers: &[Fault]) -> (Result<()>, Vec<String>) {
    let proxy = FaultProxy::new(&S3::shared().endpoint());
    proxy.then(answers.iter().cloned());
    let storage = Storage::new(options(&proxy.endpoint()));
    let outcome = storage.put(uri, Bytes::from("bytes"), mode).await;
    (outcome, proxy.requests())
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_known_by_its_bytes() {
    for (stored, is_ours) in [("bytes", true), ("other", false), ("longer", false)] {
        let bucket = Bucket::new();
        S3::shared().put(&bucket.name, "object", stored.as_bytes());
        let answers = [Fault::Reset, answer(412, "PreconditionFailed")];
        let (outcome, requests) = put_answered(&bucket.uri("object"), PutMode::Create, &answers).await;
        match outcome {
            Ok(()) => assert!(is_ours, "{stored}"),
            Err(Error::Exists { .. }) => assert!(!is_ours, "{stored}"),
            Err(error) => panic!("{error:?}"),
        }
        assert!(
            requests[..2].iter().all(|head| head.contains("if-none-match: *\r\n")),
            "{requests:?}"
        );
    }
}

#[tokio::test]
async fn a_creation_whose_object_is_gone_again_lost_its_race() {
    let answers = [Fault::Reset, answer(412, "PreconditionFailed")];
    let outcome = put_answered(&Bucket::new().uri("object"), PutMode::Create, &answers)
        .await
        .0;
    assert!(matches!(outcome, Err(Error::Exists { .. })), "{outcome:?}");
}

#[tokio::test]
async fn conflicts_of_conditional_writes_are_tried_again() {
    let conflict = answer(409, "ConditionalRequestConflict");
    let answers = [conflict.clone(), conflict.clone(), answer(403, "AccessDenied")];
    let (outcome, requests) = put_answered(&Bucket::new().uri("object"), PutMode::Create, &answers).await;
    assert!(matches!(outcome, Err(Error::Denied { .. })), "{outcome:?}");
    assert_eq!(requests.len(), 3);
    let (outcome, requests) = put_answered(&Bucket::new().uri("object"), PutMode::Create, &vec![conflict; 4]).await;
    assert!(
        matches!(outcome, Err(Error::Unavailable { attempts: 4, .. })),
        "{outcome:?}"
    );
    assert_eq!(requests.len(), 4);
}

#[tokio::test]
async fn refused_writes_are_told_by_what_a_caller_can_do() {
    for (status, code, expected) in [
        (403, "AccessDenied", "Denied"),
        (404, "NoSuchBucket", "NoSuchBucket"),
        (404, "NoSuchUpload", "Failed"),
        (412, "PreconditionFailed", "Exists"),
        (501, "NotImplemented", "Failed"),
    ] {
        let uri = "s3://bucket/key".parse().unwrap();
        let (outcome, requests) = put_answered(&uri, PutMode::Create, &[answer(status, code)]).await;
        let debug = format!("{:?}", outcome.unwrap_err());
        assert!(debug.starts_with(&format!("{expected} {{")), "{code}: {debug}");
        assert_eq!(requests.len(), 1, "{code}");
    }
}

#[tokio::test]
async fn overwriting_asks_no_condition() {
    let answers = [answer(403, "AccessDenied")];
    let (outcome, requests) = put_answered(&Bucket::new().uri("object"), PutMode::Overwrite, &answers).await;
    assert!(said(&outcome.unwrap_err()).starts_with("cannot write s3://"));
    assert!(!requests[0].contains("if-none-match"), "{requests:?}");
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_told_by_writes_and_deletions() {
    let bucket = Bucket::new();
    let uri = bucket.nowhere().with_key("object");
    for outcome in [
        bucket.storage.put(&uri, Bytes::new(), PutMode::Create).await,
        bucket.storage.delete([uri]).await,
    ] {
        assert!(matches!(outcome, Err(Error::NoSuchBucket { .. })), "{outcome:?}");
    }
}

#[tokio::test]
async fn deletions_are_tried_again_and_told_when_denied() {
    let bucket = Bucket::new();
    S3::shared().put(&bucket.name, "object", b"x");
    let proxy = FaultProxy::new(&S3::shared().endpoint());
    let storage = Storage::new(options(&proxy.endpoint()));
    proxy.then([Fault::error(403, "AccessDenied", "no", &[])]);
    let error = storage.delete([bucket.uri("object")]).await.unwrap_err();
    assert!(matches!(error, Error::Denied { action: "delete", .. }), "{error:?}");
    proxy.then([
        Fault::Reset,
        Fault::slow_down(),
        Fault::error(404, "NoSuchKey", "gone", &[]),
    ]);
    storage.delete([bucket.uri("object")]).await.unwrap();
    assert_eq!(proxy.requests().len(), 4);
}

#[tokio::test]
async fn a_file_is_not_written_where_a_folder_is_or_below_another_file() {
    let folder = Folder::new();
    folder.put("folder/file", b"x");
    for key in ["folder", "folder/", "folder/file/below"] {
        for mode in [PutMode::Create, PutMode::Overwrite] {
            let outcome = folder.storage.put(&folder.uri(key), Bytes::from("y"), mode).await;
            assert!(
                matches!(outcome, Err(Error::Failed { .. })),
                "{key} {mode:?}: {outcome:?}"
            );
        }
    }
    let names = |path: &str| std::fs::read_dir(folder.path(path)).unwrap().count();
    assert_eq!((names(""), names("folder")), (1, 1));
    assert_eq!(std::fs::read(folder.path("folder/file")).unwrap(), b"x");
}

#[tokio::test]
async fn what_a_killed_writer_left_is_not_listed() {
    let folder = Folder::new();
    folder.put("some/.paraflow-unfinished-0123456789abcdef", b"half");
    folder.put("some/object", b"whole");
    for by_folder in [false, true] {
        let request = ListRequest {
            prefix: folder.uri("some/"),
            start_after: None,
            by_folder,
            continuation: None,
            page_size: 1000,
        };
        let page = folder.storage.list(&request).await.unwrap();
        assert_eq!(page.objects.len(), 1);
        assert_eq!(page.objects[0].uri, folder.uri("some/object"));
    }
}
