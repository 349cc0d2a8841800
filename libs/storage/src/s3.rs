//! `s3://`: objects of S3 and of servers that speak its API.
//!
//! The SDK signs, refreshes credentials, retries with jittered pauses under a budget of retry tokens, and times out
//! attempts; this room asks the questions and makes sense of the answers (`client` sets the SDK up, `fault` reads its
//! errors, `obstacle` those of the way to a server). Bodies that break are resumed by `read`, not here.

mod client;
mod fault;
mod obstacle;

use std::ops::Range;

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    operation::get_object::GetObjectOutput,
    primitives::{ByteStream, DateTime},
    types::{EncodingType, Object, OptionalObjectAttributes, RequestPayer},
};
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use self::{client::Attempts, fault::Call};
use crate::{
    Error, ListPage, ListRequest, ObjectMeta, ObjectUri, Options, PutMode, Result,
    backend::{Backend, Body, BodyError, BoxError, Put, Version},
    file::too_short,
    order::Order,
    trouble::Trouble,
};

/// A bucket's objects behind the S3 API.
#[derive(Debug)]
pub(crate) struct S3 {
    options: Options,
    /// Made by the first call: `file://` alone must not look for credentials.
    client: OnceCell<Client>,
}

impl S3 {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            client: OnceCell::new(),
        }
    }

    fn payer(&self) -> Option<RequestPayer> {
        self.options.request_payer.then_some(RequestPayer::Requester)
    }

    async fn client(&self) -> &Client {
        self.client.get_or_init(|| client::connect(&self.options)).await
    }

    /// One call that is about to be made, for the messages of its failures.
    async fn call<'a>(
        &'a self,
        action: &'static str,
        uri: &'a ObjectUri,
        trouble: &Trouble,
    ) -> (Call<'a>, &'a Client, Attempts) {
        let client = self.client().await;
        let attempts = Attempts::new(action, uri, &self.options, trouble);
        let call = Call {
            action,
            uri,
            options: &self.options,
            region: client.config().region().map(|region| region.as_ref().to_owned()),
            attempts: attempts.clone(),
        };
        (call, client, attempts)
    }
}

#[async_trait]
impl Backend for S3 {
    async fn list(&self, request: &ListRequest) -> Result<ListPage> {
        let (bucket, prefix) = parts(&request.prefix);
        let (call, client, attempts) = self.call("list", &request.prefix, &Trouble::default()).await;
        let (mut order, token) = match request.continuation.as_deref() {
            None => (Order::default(), None),
            Some(ours) => {
                let (order, token) =
                    Order::of_token(ours).ok_or_else(|| call.failed("no page ended with this token"))?;
                (order, Some(token.to_owned()))
            }
        };
        let answer = client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .set_start_after(request.start_after.clone())
            .set_continuation_token(token)
            .set_delimiter(request.by_folder.then(|| "/".to_owned()))
            .max_keys(i32::from(request.page_size.clamp(1, 1000)))
            // XML has no way to write some characters that keys may have.
            .encoding_type(EncodingType::Url)
            // Archived objects that were restored can be read.
            .optional_object_attributes(OptionalObjectAttributes::RestoreStatus)
            .set_request_payer(self.payer())
            .customize()
            .config_override(attempts.watching())
            .send()
            .await
            .map_err(|error| call.failure(error))?;
        let encoded = answer.encoding_type() == Some(&EncodingType::Url);
        let next = match (answer.is_truncated(), answer.next_continuation_token) {
            (Some(true), None) => return Err(call.nonsense("a page says that more follows, and not how to ask for it")),
            (Some(true), token) => token,
            _ => None,
        };
        let mut page = ListPage::default();
        for object in answer.contents.unwrap_or_default() {
            match listed(&call, object, encoded)? {
                Ok(object) => page.objects.push(object),
                Err(lossy) => page.unnameable.push(lossy),
            }
        }
        for prefix in answer.common_prefixes.unwrap_or_default() {
            let Some(prefix) = prefix.prefix else { continue };
            match key_of(&call, prefix, encoded)? {
                Ok(prefix) => page.common_prefixes.push(prefix),
                Err(lossy) => page.unnameable.push(lossy),
            }
        }
        page.disorder = order.see(&page, request.start_after.as_deref());
        page.next = next.map(|token| order.token(&token));
        Ok(page)
    }

    async fn head(&self, uri: &ObjectUri) -> Result<ObjectMeta> {
        let (bucket, key) = parts(uri);
        let (call, client, attempts) = self.call("read", uri, &Trouble::default()).await;
        let answer = client
            .head_object()
            .bucket(bucket)
            .key(key)
            .set_request_payer(self.payer())
            .customize()
            .config_override(attempts.watching())
            .send()
            .await
            .map_err(|error| call.failure(error))?;
        Ok(ObjectMeta {
            uri: uri.clone(),
            size_bytes: size(&call, answer.content_length)?,
            etag: answer
                .e_tag
                .ok_or_else(|| call.nonsense("an object without an entity tag"))?,
            last_modified: timestamp(&call, answer.last_modified.as_ref())?,
            archived: answer
                .storage_class
                .filter(|class| is_archive(class.as_str()))
                // `ongoing-request="false", expiry-date="…"` of one that was restored.
                .filter(|_| {
                    !answer
                        .restore
                        .is_some_and(|restore| restore.contains("ongoing-request=\"false\""))
                })
                .map(|class| class.as_str().to_owned()),
        })
    }

    async fn open(&self, uri: &ObjectUri, version: &Version, range: Range<u64>, trouble: &Trouble) -> Result<Body> {
        let (bucket, key) = parts(uri);
        let (call, client, attempts) = self.call("read", uri, trouble).await;
        let answer = client
            .get_object()
            .bucket(bucket)
            .key(key)
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .set_if_match(version.etag.as_deref().map(quoted))
            .set_request_payer(self.payer())
            .customize()
            .config_override(attempts.watching())
            .send()
            .await
            .map_err(|error| call.range_failure(error, version.is_bound(), &range))?;
        let size_bytes = check_range(&call, &answer, version.is_bound(), &range)?;
        let pieces = futures::stream::try_unfold(answer.body, |mut body| async move {
            match body.next().await {
                Some(Ok(piece)) => Ok(Some((piece, body))),
                Some(Err(error)) => Err(BodyError::Broken(BoxError::from(error))),
                None => Ok(None),
            }
        })
        .boxed();
        let version = Version {
            etag: answer.e_tag,
            size_bytes,
            last_modified: answer.last_modified.as_ref().and_then(moment),
        };
        Ok(Body { version, pieces })
    }

    async fn put(&self, uri: &ObjectUri, bytes: Bytes, mode: PutMode) -> Result<Put> {
        let (bucket, key) = parts(uri);
        let (call, client, attempts) = self.call("write", uri, &Trouble::default()).await;
        let answer = client
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(ByteStream::from(bytes))
            .set_if_none_match((mode == PutMode::Create).then(|| "*".to_owned()))
            .set_request_payer(self.payer())
            .customize()
            .config_override(attempts.watching())
            .send()
            .await;
        match answer.map_err(|error| call.failure(error)) {
            Ok(_) => Ok(Put::Stored),
            Err(Error::Exists { .. }) => Ok(Put::Exists {
                perhaps_ours: attempts.count() > 1,
            }),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, uri: &ObjectUri) -> Result<()> {
        let (bucket, key) = parts(uri);
        let (call, client, attempts) = self.call("delete", uri, &Trouble::default()).await;
        let answer = client
            .delete_object()
            .bucket(bucket)
            .key(key)
            .set_request_payer(self.payer())
            .customize()
            .config_override(attempts.watching())
            .send()
            .await;
        match answer.map_err(|error| call.failure(error)) {
            // S3 says nothing of a missing object, some other servers do.
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// That the answer is of the range that was asked for, before its first byte is trusted. Says the object's size where
/// the server does.
fn check_range(call: &Call<'_>, answer: &GetObjectOutput, is_bound: bool, range: &Range<u64>) -> Result<Option<u64>> {
    let wanted = range.end - range.start;
    let length = answer.content_length.and_then(|length| u64::try_from(length).ok());
    let Some(content_range) = answer.content_range() else {
        // The whole object came, which is the range when it begins at zero and has the length.
        if range.start == 0 && length == Some(wanted) {
            return Ok(length);
        }
        return Err(call.nonsense("the server ignores ranges"));
    };
    let nonsense = || {
        call.nonsense(&format!(
            "`{content_range}` is not the content range that was asked for"
        ))
    };
    let (first, last, total) = parse_content_range(content_range).ok_or_else(nonsense)?;
    if first != range.start || last >= range.end {
        return Err(nonsense());
    }
    if last + 1 < range.end {
        return match (is_bound, total) {
            (true, _) => Err(call.changed()),
            (false, Some(total)) => Err(call.failed(too_short(range, total))),
            (false, None) => Err(nonsense()),
        };
    }
    Ok(total)
}

/// `bytes 0-99/1234` as first, last and total, the total being `*` when the server doesn't know (RFC 9110, 14.4).
fn parse_content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, last, total))
}

/// A key, or what can be shown of one that is no text.
type Key<T = String> = Result<T, String>;

fn listed(call: &Call<'_>, object: Object, encoded: bool) -> Result<Key<ObjectMeta>> {
    let key = object
        .key
        .ok_or_else(|| call.nonsense("a listed object without a key"))?;
    let key = match key_of(call, key, encoded)? {
        Ok(key) => key,
        Err(lossy) => return Ok(Err(lossy)),
    };
    let is_restored = object
        .restore_status
        .is_some_and(|restore| restore.restore_expiry_date.is_some() && restore.is_restore_in_progress != Some(true));
    Ok(Ok(ObjectMeta {
        uri: call.uri.with_key(key),
        size_bytes: size(call, object.size)?,
        // Kept empty where a server has none: reads of it then bind to the first answer.
        etag: object.e_tag.unwrap_or_default(),
        last_modified: timestamp(call, object.last_modified.as_ref())?,
        archived: object
            .storage_class
            .filter(|class| is_archive(class.as_str()) && !is_restored)
            .map(|class| class.as_str().to_owned()),
    }))
}

/// Whether objects of a storage class must be restored before they can be read ("Understanding and managing Amazon S3
/// storage classes"); `GLACIER_IR` is read at once.
fn is_archive(class: &str) -> bool {
    matches!(class, "GLACIER" | "DEEP_ARCHIVE")
}

/// The key as it is, of a listing that wrote it percent-encoded.
fn key_of(call: &Call<'_>, text: String, encoded: bool) -> Result<Key> {
    if !encoded {
        return Ok(Ok(text));
    }
    let bytes =
        percent_decoded(&text).ok_or_else(|| call.nonsense(&format!("`{text}` is not a percent-encoded key")))?;
    Ok(String::from_utf8(bytes).map_err(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Decodes `%20` and, as S3 writes spaces in listings, `+`.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let hex = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                // `from_str_radix` also takes a sign.
                hex.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
                u8::from_str_radix(hex, 16).ok()?
            }
            &byte => byte,
        });
    }
    Some(bytes)
}

fn size(call: &Call<'_>, bytes: Option<i64>) -> Result<u64> {
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| call.nonsense("an object without a size"))
}

fn timestamp(call: &Call<'_>, time: Option<&DateTime>) -> Result<Timestamp> {
    time.and_then(moment)
        .ok_or_else(|| call.nonsense("an object without a time of its last modification"))
}

fn moment(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), time.subsec_nanos() as i32).ok()
}

fn parts(uri: &ObjectUri) -> (&str, &str) {
    match uri {
        ObjectUri::S3 { bucket, key } => (bucket, key),
        ObjectUri::File { .. } => unreachable!("the store hands file addresses to the file backend"),
    }
}

/// If-Match wants the quotes (RFC 9110, 8.8.3), which some servers leave out of their listings.
fn quoted(etag: &str) -> String {
    if etag.starts_with('"') || etag.starts_with("W/") {
        etag.to_owned()
    } else {
        format!("\"{etag}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_or_refused() {
        assert_eq!(parse_content_range("bytes 0-99/1234"), Some((0, 99, Some(1234))));
        assert_eq!(parse_content_range("bytes 5-5/*"), Some((5, 5, None)));
        for wrong in [
            "",
            "bytes */1234",
            "bytes 9-5/10",
            "bytes 0-10/10",
            "items 0-1/2",
            "bytes 0-1",
        ] {
            assert_eq!(parse_content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn keys_of_encoded_listings_are_decoded_or_refused() {
        assert_eq!(
            percent_decoded("a+b%2Bc%25%C3%A9/%01"),
            Some("a b+c%é/\u{1}".as_bytes().to_vec())
        );
        assert_eq!(percent_decoded("a%ff"), Some(b"a\xff".to_vec()));
        for wrong in ["%", "%2", "%zz", "%+1"] {
            assert_eq!(percent_decoded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn entity_tags_are_sent_with_their_quotes() {
        assert_eq!(quoted("\"abc\""), "\"abc\"");
        assert_eq!(quoted("abc"), "\"abc\"");
    }
}
