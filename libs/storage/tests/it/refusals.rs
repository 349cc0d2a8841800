//! Whom a refusal is about: one object that is archived, somebody else's or encrypted with a key that is not ours, or
//! everybody who asks as we do.

use pf_e2e::{Fault, FaultProxy, S3};
use pf_storage::{Error, ListRequest, ObjectUri, Options, Reach, Storage};

use crate::worlds::{options, said};

fn storage(answer: Fault) -> (Storage, FaultProxy) {
    let proxy = FaultProxy::new(&S3::shared().endpoint());
    proxy.then([answer]).afterwards(Fault::Reset);
    (Storage::new(options(&proxy.endpoint())), proxy)
}

fn key() -> ObjectUri {
    "s3://bucket/key".parse().unwrap()
}

async fn read(answer: Fault) -> Error {
    let (storage, _proxy) = storage(answer);
    storage.read_range(&key(), Some("\"v1\""), 0..10).await.unwrap_err()
}

async fn list(answer: Fault) -> Error {
    let (storage, _proxy) = storage(answer);
    let request = ListRequest {
        prefix: "s3://bucket/".parse().unwrap(),
        start_after: None,
        by_folder: false,
        continuation: None,
        page_size: 1000,
    };
    storage.list(&request).await.unwrap_err()
}

#[tokio::test]
async fn an_archived_object_is_told_with_where_it_is() {
    let answer = |more: &str| {
        let body = format!(
            "<Error><Code>InvalidObjectState</Code><Message>The operation is not valid for the object's storage class\
             </Message>{more}</Error>"
        );
        let length = body.len();
        Fault::Answer(format!(
            "HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    };
    for (more, class) in [
        ("<StorageClass>GLACIER</StorageClass>", "GLACIER"),
        ("<StorageClass>DEEP_ARCHIVE</StorageClass>", "DEEP_ARCHIVE"),
        (
            "<StorageClass>INTELLIGENT_TIERING</StorageClass><AccessTier>ARCHIVE_ACCESS</AccessTier>",
            "ARCHIVE_ACCESS",
        ),
        ("", "a storage class of archives"),
        (
            "<StorageClass>&lt;b&gt;not a class</StorageClass>",
            "a storage class of archives",
        ),
    ] {
        let error = read(answer(more)).await;
        assert!(matches!(error, Error::Archived { .. }), "{error:?}");
        assert!(!error.is_everyones());
        let expected = format!("s3://bucket/key is archived in {class}: restore it first");
        assert_eq!(said(&error), expected);
    }
}

#[tokio::test]
async fn a_refusal_says_whether_it_is_about_the_object_or_about_who_asks() {
    use Reach::{Everything, Object};
    for (status, code, of_a_read) in [
        (403, "AccessDenied", Object),
        (403, "AllAccessDisabled", Object),
        (400, "KMS.DisabledException", Object),
        (400, "KMS.NotFoundException", Object),
        (400, "KMS.KMSInvalidStateException", Object),
        (403, "SomethingNew", Object),
        (403, "InvalidAccessKeyId", Everything),
        (403, "SignatureDoesNotMatch", Everything),
        (400, "ExpiredToken", Everything),
        (400, "InvalidToken", Everything),
        (403, "RequestTimeTooSkewed", Everything),
        (403, "NotSignedUp", Everything),
        (403, "AccountProblem", Everything),
        (401, "Unauthorized", Everything),
        (301, "PermanentRedirect", Everything),
    ] {
        let error = read(Fault::error(status, code, "no", &[])).await;
        let Error::Denied { reach, .. } = &error else {
            panic!("{code}: {error:?}");
        };
        assert_eq!(*reach, of_a_read, "{code}");
        assert_eq!(error.is_everyones(), of_a_read == Everything, "{code}");
        let of_missing = said(&error).contains("a missing object is answered so too");
        assert_eq!(of_missing, of_a_read == Object, "{code}: {}", said(&error));
        // What may not be listed is the bucket.
        if code != "PermanentRedirect" {
            let error = list(Fault::error(status, code, "no", &[])).await;
            assert!(error.is_everyones(), "{code}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_head_which_has_no_words_is_about_its_object() {
    let silent = Fault::Answer("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned());
    let (storage, _proxy) = storage(silent);
    let error = storage.head(&key()).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Denied {
                reach: Reach::Object,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(said(&error).contains("missing object"), "{error}");
}

#[tokio::test]
async fn the_key_servers_own_trouble_passes() {
    for code in ["KMS.ThrottlingException", "KMS.KMSInternalException"] {
        let error = read(Fault::error(400, code, "later", &[])).await;
        assert!(matches!(error, Error::Unavailable { .. }), "{code}: {error:?}");
    }
}

#[tokio::test]
async fn a_listing_says_what_must_be_restored_before_it_can_be_read() {
    let object = |key: &str, more: &str| {
        format!(
            "<Contents><Key>{key}</Key><Size>5</Size><LastModified>2024-02-29T12:00:00.000Z</LastModified>{more}</Contents>"
        )
    };
    let class = |class: &str| format!("<StorageClass>{class}</StorageClass>");
    let restored = "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>\
        <RestoreExpiryDate>2999-01-01T00:00:00.000Z</RestoreExpiryDate></RestoreStatus>";
    let underway = "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>";
    let body = format!(
        "<ListBucketResult>{}{}{}{}{}{}{}{}</ListBucketResult>",
        object("a", ""),
        object("b", &class("STANDARD")),
        object("c", &class("GLACIER")),
        object("d", &class("DEEP_ARCHIVE")),
        object("e", &class("GLACIER_IR")),
        object("f", &class("INTELLIGENT_TIERING")),
        object("g", &format!("{}{restored}", class("GLACIER"))),
        object("h", &format!("{}{underway}", class("GLACIER"))),
    );
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (storage, proxy) = storage(Fault::Answer(answer));
    let request = ListRequest {
        prefix: "s3://bucket/".parse().unwrap(),
        start_after: None,
        by_folder: false,
        continuation: None,
        page_size: 1000,
    };
    let page = storage.list(&request).await.unwrap();
    let archived: Vec<_> = page
        .objects
        .iter()
        .filter_map(|object| Some((object.uri.key(), object.archived.as_deref()?)))
        .collect();
    assert_eq!(archived, [("c", "GLACIER"), ("d", "DEEP_ARCHIVE"), ("h", "GLACIER")]);
    let asked = &proxy.requests()[0];
    assert!(
        asked.contains("x-amz-optional-object-attributes: restorestatus"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_head_says_it_too_unless_the_object_was_restored() {
    for (headers, archived) in [
        ("x-amz-storage-class: GLACIER\r\n", Some("GLACIER")),
        (
            "x-amz-storage-class: GLACIER\r\nx-amz-restore: ongoing-request=\"true\"\r\n",
            Some("GLACIER"),
        ),
        (
            "x-amz-storage-class: GLACIER\r\nx-amz-restore: ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2999 00:00:00 GMT\"\r\n",
            None,
        ),
        ("x-amz-storage-class: STANDARD_IA\r\n", None),
        ("", None),
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"v1\"\r\nlast-modified: Thu, 29 Feb 2024 12:00:00 GMT\r\n{headers}\r\n"
        );
        let (storage, _proxy) = storage(Fault::Answer(answer));
        let object = storage.head(&key()).await.unwrap();
        assert_eq!(object.archived.as_deref(), archived, "{headers}");
    }
}

#[tokio::test]
async fn who_pays_for_requests_says_so_with_each_and_nobody_else_does() {
    for request_payer in [true, false] {
        let proxy = FaultProxy::new(&S3::shared().endpoint());
        let storage = Storage::new(Options {
            request_payer,
            ..options(&proxy.endpoint())
        });
        let bucket = S3::shared().make_bucket("payer");
        S3::shared().put(&bucket, "key", b"x");
        let uri: ObjectUri = format!("s3://{bucket}/key").parse().unwrap();
        let request = ListRequest {
            prefix: uri.clone(),
            start_after: None,
            by_folder: false,
            continuation: None,
            page_size: 1000,
        };
        storage.list(&request).await.unwrap();
        storage.head(&uri).await.unwrap();
        storage.read_range(&uri, None, 0..1).await.unwrap();
        storage
            .put(&uri, "y".into(), pf_storage::PutMode::Overwrite)
            .await
            .unwrap();
        let requests = proxy.requests();
        assert_eq!(requests.len(), 4);
        for request in requests {
            assert_eq!(
                request.contains("x-amz-request-payer: requester"),
                request_payer,
                "{request}"
            );
        }
    }
}
