//! Listing: what is asked and what a page holds.

use jiff::Timestamp;

use crate::ObjectUri;

/// One object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its address.
    pub uri: ObjectUri,
    /// Size in bytes, as stored.
    pub size_bytes: u64,
    /// The entity tag, as the server wrote it, quotes included. For files: modification time, size and inode.
    pub etag: String,
    /// When it was last written.
    pub last_modified: Timestamp,
    /// The storage class, as `GLACIER`, of an object that can't be read before it is restored; absent where it can, as
    /// of all files. Of a class that moves objects into archives by itself (`INTELLIGENT_TIERING`) only a read tells.
    pub archived: Option<String>,
}

/// A question for one page of the objects below a prefix.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// The address that every key must begin with, character by character: `s3://bucket/logs/2024-` matches
    /// `s3://bucket/logs/2024-01/a`. The bucket must exist, or, for files, the folder up to the last `/`: else the
    /// answer is [`Error::NoSuchBucket`](crate::Error::NoSuchBucket). Who asks for prefixes that may be missing, each
    /// of many partitions, takes that for an empty page of a `file://` prefix, as S3 answers.
    pub prefix: ObjectUri,
    /// Only keys behind this one, in the order of their bytes; the whole key, prefix included.
    pub start_after: Option<String>,
    /// Roll up keys that have a `/` behind the prefix into [`ListPage::common_prefixes`]. Servers differ in whether a
    /// folder is shown that `start_after` lies within; files show it when a key behind `start_after` is in it.
    pub by_folder: bool,
    /// Continue where an earlier page ended: its [`ListPage::next`].
    pub continuation: Option<String>,
    /// At most this many objects and common prefixes together, 1..=1000; numbers beyond are taken as the nearest.
    pub page_size: u16,
}

/// One page of a listing, in the order of the keys' bytes, unless it was asked for in any order.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// The objects.
    pub objects: Vec<ObjectMeta>,
    /// With [`ListRequest::by_folder`]: the rolled-up prefixes as whole keys, each ending in `/`.
    pub common_prefixes: Vec<String>,
    /// Objects and, with [`ListRequest::by_folder`], folders whose keys are not UTF-8 and so have no address: their keys
    /// with U+FFFD in place of what is no text. They are beside [`ListRequest::page_size`].
    pub unnameable: Vec<String>,
    /// What to ask the next page with; none when this was the last.
    pub next: Option<String>,
    /// What the server did that is against the order of keys.
    pub(crate) disorder: Option<String>,
}
