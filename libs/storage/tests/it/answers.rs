//! What becomes of a server's refusals, and of answers that make no sense.

use pf_e2e::{Fault, FaultProxy, S3};
use pf_storage::{Error, ListPage, ListRequest, ObjectUri, Options, Result, Storage, store::AccessKey};

use crate::worlds::{Bucket, options, said};

fn all(prefix: &ObjectUri) -> ListRequest {
    ListRequest {
        prefix: prefix.clone(),
        start_after: None,
        by_folder: false,
        continuation: None,
        page_size: 1000,
    }
}

/// The first answer to a call is this one, and no other is expected.
async fn list_answered(fault: Fault) -> (Result<ListPage>, usize) {
    let proxy = FaultProxy::new(&S3::shared().endpoint());
    proxy.then([fault]).afterwards(Fault::Reset);
    let page = Storage::new(options(&proxy.endpoint()))
        .list(&all(&"s3://bucket/".parse().unwrap()))
        .await;
    (page, proxy.requests().len())
}

async fn read_answered(fault: Fault, etag: Option<&str>) -> Error {
    let proxy = FaultProxy::new(&S3::shared().endpoint());
    proxy.then([fault]).afterwards(Fault::Reset);
    let uri = "s3://bucket/key".parse().unwrap();
    let storage = Storage::new(options(&proxy.endpoint()));
    storage.read_range(&uri, etag, 10..20).await.unwrap_err()
}

#[tokio::test]
async fn wrong_keys_are_denied_with_the_servers_reason_and_without_the_secret() {
    let bucket = Bucket::new();
    S3::shared().put(&bucket.name, "object", b"x");
    let right = options(&S3::shared().endpoint());
    for (id, secret, code) in [
        (S3::ACCESS_KEY_ID, "not-the-secret", "SignatureDoesNotMatch"),
        ("nobody", "not-the-secret", "XAdminUserNotFound"),
    ] {
        let storage = Storage::new(Options {
            access_key: Some(AccessKey {
                id: id.to_owned(),
                secret: secret.to_owned(),
            }),
            ..right.clone()
        });
        let list = storage.list(&all(&bucket.uri(""))).await.unwrap_err();
        let read = storage.read_range(&bucket.uri("object"), None, 0..1).await.unwrap_err();
        for error in [list, read] {
            assert!(matches!(error, Error::Denied { .. }), "{error:?}");
            let said = said(&error);
            assert!(said.contains(code) && said.contains(S3::REGION), "{said}");
            assert!(said.contains(&S3::shared().endpoint()), "{said}");
            assert!(!format!("{said} {error:?} {storage:?}").contains("not-the-secret"));
        }
    }
}

#[tokio::test]
async fn anonymous_calls_read_public_buckets_and_no_others() {
    let bucket = Bucket::new();
    S3::shared().put(&bucket.name, "object", b"x");
    let storage = Storage::new(Options {
        anonymous: true,
        access_key: None,
        ..options(&S3::shared().endpoint())
    });
    let error = storage.list(&all(&bucket.uri(""))).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert!(said(&error).contains("anonymously"), "{error}");
    S3::shared().allow_anonymous_reads(&bucket.name);
    let page = storage.list(&all(&bucket.uri(""))).await.unwrap();
    let object = &page.objects[0];
    let bytes = storage.read_range(&object.uri, Some(&object.etag), 0..1).await.unwrap();
    assert_eq!(bytes, "x");
}

#[tokio::test]
async fn a_bucket_in_another_region_is_denied_with_that_regions_name() {
    let here = [("x-amz-bucket-region", "ap-south-2")];
    let redirect = Fault::error(
        301,
        "PermanentRedirect",
        "The bucket must be addressed otherwise.",
        &here,
    );
    let malformed = Fault::error(
        400,
        "AuthorizationHeaderMalformed",
        "The authorization header is malformed; the region 'eu-south-2' is wrong; expecting 'ap-south-2'",
        &[],
    );
    // As an answer to HEAD, which has no body.
    let silent = |status: &str| {
        Fault::Answer(format!(
            "HTTP/1.1 {status}\r\nx-amz-bucket-region: ap-south-2\r\ncontent-length: 0\r\n\r\n"
        ))
    };
    for answer in [
        redirect,
        malformed,
        silent("301 Moved Permanently"),
        silent("400 Bad Request"),
    ] {
        let reason = "the bucket is in region ap-south-2 and was asked for in eu-south-2; use `--region ap-south-2`";
        let (page, requests) = list_answered(answer.clone()).await;
        let error = page.unwrap_err();
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        assert_eq!(said(&error), format!("cannot list s3://bucket/: {reason}"));
        assert_eq!(requests, 1);
        let error = read_answered(answer, Some("\"v1\"")).await;
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        assert_eq!(said(&error), format!("cannot read s3://bucket/key: {reason}"));
    }
}

#[tokio::test]
async fn a_wrong_region_whose_right_one_nobody_says_is_denied_with_advice() {
    let bucket = Bucket::new();
    S3::shared().put(&bucket.name, "object", b"x");
    let storage = Storage::new(Options {
        region: Some("eu-wrong-1".to_owned()),
        ..options(&S3::shared().endpoint())
    });
    let list = storage.list(&all(&bucket.uri(""))).await.unwrap_err();
    let read = storage.read_range(&bucket.uri("object"), None, 0..1).await.unwrap_err();
    for error in [list, read] {
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        assert!(
            said(&error).contains("region") && said(&error).contains("eu-wrong-1"),
            "{error}"
        );
    }
    let moved = Fault::error(400, "IllegalLocationConstraintException", "not here", &[]);
    let error = list_answered(moved).await.0.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert!(said(&error).contains("--region"), "{error}");
}

#[tokio::test]
async fn refusals_that_time_does_not_heal_are_not_tried_again() {
    for (status, code, expected) in [
        (400, "InvalidArgument", "Failed"),
        (403, "AccessDenied", "Denied"),
        (403, "InvalidAccessKeyId", "Denied"),
        (400, "ExpiredToken", "Denied"),
        (404, "NoSuchBucket", "NoSuchBucket"),
        (405, "MethodNotAllowed", "Failed"),
        (501, "NotImplemented", "Failed"),
    ] {
        let (page, requests) = list_answered(Fault::error(status, code, "no", &[])).await;
        let debug = format!("{:?}", page.unwrap_err());
        assert!(debug.starts_with(&format!("{expected} {{")), "{code}: {debug}");
        assert_eq!(requests, 1, "{code}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_listing_fails() {
    for body in [
        "<html>Welcome to the hotel",
        "{}",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let proxy = FaultProxy::new(&S3::shared().endpoint());
        proxy.afterwards(Fault::Answer(answer));
        let storage = Storage::new(options(&proxy.endpoint()));
        let error = storage.list(&all(&"s3://bucket/".parse().unwrap())).await.unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{body}: {error:?}");
        assert!(said(&error).contains("makes no sense"), "{body}: {}", said(&error));
    }
}

#[tokio::test]
async fn keys_of_an_encoded_listing_are_decoded() {
    let body = "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>\
        <Contents><Key>a+b%2Bc%01</Key><Size>5</Size><LastModified>2024-02-29T12:00:00.000Z</LastModified>\
        <ETag>&quot;e&quot;</ETag></Contents>\
        <CommonPrefixes><Prefix>d%25/</Prefix></CommonPrefixes></ListBucketResult>";
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (page, _) = list_answered(Fault::Answer(answer)).await;
    let page = page.unwrap();
    assert_eq!(page.objects[0].uri.key(), "a b+c\u{1}");
    assert_eq!(page.objects[0].etag, "\"e\"");
    assert_eq!(page.objects[0].last_modified.to_string(), "2024-02-29T12:00:00Z");
    assert_eq!(page.common_prefixes, ["d%/"]);
}

#[tokio::test]
async fn objects_without_entity_tags_are_listed_and_read() {
    let bucket = Bucket::new();
    std::fs::write(S3::shared().folder(&bucket.name).join("object"), "bytes").unwrap();
    let page = bucket.storage.list(&all(&bucket.uri(""))).await.unwrap();
    let object = &page.objects[0];
    assert_eq!((object.etag.as_str(), object.size_bytes), ("", 5));
    let bytes = bucket
        .storage
        .read_range(&object.uri, Some(&object.etag), 0..5)
        .await
        .unwrap();
    assert_eq!(bytes, "bytes");
}

#[tokio::test]
async fn bytes_of_another_range_or_version_are_not_taken() {
    let answer = |headers: &str| {
        Fault::Answer(format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: 10\r\n{headers}\r\n0123456789"
        ))
    };
    let other_range = answer("content-range: bytes 0-9/100\r\netag: \"v1\"\r\n");
    let error = read_answered(other_range, Some("\"v1\"")).await;
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    let no_range = answer("etag: \"v1\"\r\n");
    let error = read_answered(no_range, Some("\"v1\"")).await;
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    let other_version = answer("content-range: bytes 10-19/100\r\netag: \"v2\"\r\n");
    let error = read_answered(other_version, Some("\"v1\"")).await;
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
}

#[tokio::test]
async fn a_key_that_is_not_utf8_is_told_beside_the_others() {
    let object = |key: &str| {
        format!(
            "<Contents><Key>{key}</Key><Size>5</Size><LastModified>2024-02-29T12:00:00.000Z</LastModified></Contents>"
        )
    };
    let body = format!(
        "<ListBucketResult><EncodingType>url</EncodingType>{}{}\
         <CommonPrefixes><Prefix>f%FE/</Prefix></CommonPrefixes></ListBucketResult>",
        object("bad%ff"),
        object("good")
    );
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (page, _) = list_answered(Fault::Answer(answer)).await;
    let page = page.unwrap();
    let keys: Vec<&str> = page.objects.iter().map(|object| object.uri.key()).collect();
    assert_eq!(keys, ["good"]);
    assert_eq!(page.unnameable, ["bad\u{fffd}", "f\u{fffd}/"]);
}
