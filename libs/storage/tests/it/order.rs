//! Servers that do not list keys in the order of their bytes, which no real server of ours does.

use pf_e2e::{Fault, FaultProxy, S3};
use pf_storage::{Error, ListPage, ListRequest, Result, Storage};

use crate::worlds::{options, said};

/// A page of a listing, as S3 writes it.
fn page(keys: &[&str], prefixes: &[&str], next: Option<&str>) -> Fault {
    let more = next.map_or_else(String::new, |next| {
        format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>")
    });
    let contents = keys.iter().map(|key| {
        format!(
            "<Contents><Key>{key}</Key><Size>5</Size><LastModified>2024-02-29T12:00:00.000Z</LastModified></Contents>"
        )
    });
    let folders = prefixes
        .iter()
        .map(|prefix| format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"));
    let listed: Vec<String> = contents.chain(folders).collect();
    let body = format!("<ListBucketResult>{more}{}</ListBucketResult>", listed.concat());
    Fault::Answer(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// Both ways to list what a server answers: in order, and in any order. Also what the server was asked.
async fn listed(
    pages: Vec<Fault>,
    start_after: Option<&str>,
) -> (Result<Vec<String>>, Result<Vec<String>>, FaultProxy) {
    let proxy = FaultProxy::new(&S3::shared().endpoint());
    proxy.then(pages.iter().cloned().chain(pages.iter().cloned()));
    let storage = Storage::new(options(&proxy.endpoint()));
    let all = async |in_order: bool| {
        let mut request = ListRequest {
            prefix: "s3://bucket/".parse().unwrap(),
            start_after: start_after.map(str::to_owned),
            by_folder: false,
            continuation: None,
            page_size: 1000,
        };
        let mut keys = Vec::new();
        loop {
            let ListPage {
                objects,
                common_prefixes,
                next,
                ..
            } = if in_order {
                storage.list(&request).await?
            } else {
                storage.list_in_any_order(&request).await?
            };
            keys.extend(objects.iter().map(|object| object.uri.key().to_owned()));
            keys.extend(common_prefixes);
            request.continuation = next;
            if request.continuation.is_none() {
                return Ok(keys);
            }
        }
    };
    let any = all(false).await;
    (all(true).await, any, proxy)
}

#[tokio::test]
async fn a_server_that_lists_out_of_order_is_refused_by_name_and_can_be_listed_in_any_order() {
    for (pages, told) in [
        // By the parts of a path: bytes have the blank before the slash.
        (vec![page(&["a/1", "a b/1"], &[], None)], "shows `a b/1` behind `a/1`"),
        (
            vec![page(&["a/1"], &[], Some("t")), page(&["a b/1"], &[], None)],
            "shows `a b/1` behind `a/1`",
        ),
        (
            vec![
                page(&["a"], &[], Some("t")),
                page(&["b"], &[], Some("u")),
                page(&["b"], &[], None),
            ],
            "shows `b` behind `b`",
        ),
        (
            vec![page(&[], &["b/"], Some("t")), page(&[], &["a/"], None)],
            "shows `a/` behind `b/`",
        ),
    ] {
        let (in_order, any, proxy) = listed(pages, None).await;
        let error = in_order.unwrap_err();
        assert!(matches!(error, Error::Unordered { .. }), "{error:?}");
        let said = said(&error);
        assert!(said.contains(told) && said.contains(&proxy.endpoint()), "{said}");
        assert!(any.is_ok(), "{any:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_begin_behind_a_key_is_refused() {
    let (in_order, any, _) = listed(vec![page(&["a", "b", "c"], &[], None)], Some("b")).await;
    let error = in_order.unwrap_err();
    assert!(matches!(error, Error::Unordered { .. }), "{error:?}");
    assert!(
        said(&error).contains("`a`, and was asked for keys behind `b`"),
        "{error}"
    );
    assert_eq!(any.unwrap(), ["a", "b", "c"]);
}

#[tokio::test]
async fn the_servers_own_token_is_what_asks_for_the_next_page() {
    let token = "1 2 x/+%";
    let pages = vec![page(&["a", "b"], &[], Some(token)), page(&["c"], &["d/"], None)];
    let (in_order, any, proxy) = listed(pages, None).await;
    assert_eq!(in_order.unwrap(), ["a", "b", "c", "d/"]);
    assert_eq!(any.unwrap(), ["a", "b", "c", "d/"]);
    let asked = proxy.requests();
    assert_eq!(asked.len(), 4);
    for request in [&asked[1], &asked[3]] {
        assert!(request.contains("continuation-token=1%202%20x%2f%2b%25"), "{request}");
    }
}

#[tokio::test]
async fn a_token_that_no_page_ended_with_is_refused() {
    let storage = Storage::new(options(&S3::shared().endpoint()));
    let request = ListRequest {
        prefix: "s3://bucket/".parse().unwrap(),
        start_after: None,
        by_folder: false,
        continuation: Some("made up".to_owned()),
        page_size: 1000,
    };
    let error = storage.list(&request).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
}
