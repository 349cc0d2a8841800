//! The contract of a storage, as clauses that every scheme passes: what callers may rely on, wherever objects lie.
//!
//! Each clause is a function over a [`World`] of its own, and panics where the contract is broken. Only tests call
//! them; they are here, not in `tests/`, because they are the written form of what [`Storage`] promises.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::{TryStreamExt as _, future::join_all};

use crate::{Error, ListPage, ListRequest, ObjectMeta, ObjectUri, PutMode, Result, Storage, read::PIECE_BYTES_MAX};

/// A place for objects, empty at first, that a test may fill.
pub trait World {
    /// What is tested.
    fn storage(&self) -> &Storage;

    /// The address of the place, ending in `/`, in a bucket or folder that exists.
    fn root(&self) -> ObjectUri;

    /// The address of a place in a bucket or folder that does not exist.
    fn nowhere(&self) -> ObjectUri;

    /// Stores an object behind the storage's back; `key` is relative to the root.
    fn put(&self, key: &str, bytes: &[u8]);
}

/// Keys that are easily listed in the wrong order or written wrongly into a URL or an XML document.
const AWKWARD_KEYS: &[&str] = &[
    "a b",
    "a%20b",
    "a&b<c>\"d'",
    "a+b",
    "a.txt",
    "a/b c/+%",
    "a/b/c",
    "a0",
    "date=2024-01-01/hour=00/x.json",
    "b#c?d=e",
    "ü/ñ,日本=語;🎈",
    "~",
];

/// A listing shows every object once, in the order of the keys' bytes, as `head` shows it.
pub async fn lists_in_the_order_of_the_keys_bytes(world: &impl World) {
    for key in AWKWARD_KEYS {
        world.put(key, key.as_bytes());
    }
    let objects = all_objects(world, request(world, "")).await;
    let mut expected = AWKWARD_KEYS.to_vec();
    expected.sort_unstable();
    assert_eq!(keys(world, &objects), expected);
    for object in objects {
        let head = world.storage().head(&object.uri).await.expect("it is listed");
        assert_eq!((&head.uri, head.size_bytes), (&object.uri, object.size_bytes));
        assert_eq!(head.etag, object.etag);
        assert_eq!(head.last_modified.as_second(), object.last_modified.as_second());
    }
}

/// Awkward keys are read as they are listed.
pub async fn reads_what_it_lists(world: &impl World) {
    for key in AWKWARD_KEYS {
        world.put(key, key.as_bytes());
    }
    for object in all_objects(world, request(world, "")).await {
        let range = 0..object.size_bytes;
        let bytes = world.storage().read_range(&object.uri, Some(&object.etag), range).await;
        let expected = below(world, object.uri.key());
        assert_eq!(bytes.expect("it is listed"), expected.as_bytes());
    }
}

/// A prefix may end within a name, and match nothing.
pub async fn a_prefix_may_end_anywhere(world: &impl World) {
    for key in [
        "logs/2024-01/a",
        "logs/2024-02/b",
        "logs/2025-01/c",
        "logs/2024",
        "logs.txt",
    ] {
        world.put(key, b"x");
    }
    for (prefix, expected) in [
        ("logs/2024", vec!["logs/2024", "logs/2024-01/a", "logs/2024-02/b"]),
        ("logs/2024-", vec!["logs/2024-01/a", "logs/2024-02/b"]),
        ("logs/2024-02/b", vec!["logs/2024-02/b"]),
        (
            "logs",
            vec![
                "logs.txt",
                "logs/2024",
                "logs/2024-01/a",
                "logs/2024-02/b",
                "logs/2025-01/c",
            ],
        ),
        ("logs/2026", vec![]),
        ("logz", vec![]),
    ] {
        let objects = all_objects(world, request(world, prefix)).await;
        assert_eq!(keys(world, &objects), expected, "below `{prefix}`");
    }
}

/// `start_after` shows only keys behind it, whether it exists or not.
pub async fn start_after_shows_only_keys_behind_it(world: &impl World) {
    let all = ["a", "b/1", "b/2", "b0", "c/d/e", "c/f"];
    for key in all {
        world.put(key, b"x");
    }
    for start in [
        "", "a", "a~", "b", "b/", "b/1", "b/11", "b/2", "b/~", "c/d/e", "c/d/z", "c/f", "z",
    ] {
        let start_key = format!("{}{start}", world.root().key());
        let request = ListRequest {
            start_after: Some(start_key),
            page_size: 2,
            ..request(world, "")
        };
        let objects = all_objects(world, request).await;
        let expected: Vec<&str> = all.into_iter().filter(|&key| key > start).collect();
        assert_eq!(keys(world, &objects), expected, "after `{start}`");
    }
}

/// `by_folder` rolls up what lies deeper, once per folder, also where pages end.
pub async fn by_folder_rolls_up_what_lies_deeper(world: &impl World) {
    for key in [
        "x/a", "x/b/1", "x/b/2", "x/b/c/3", "x/b.txt", "x/c/d/4", "x/e", "x/f/5", "y",
    ] {
        world.put(key, b"x");
    }
    for page_size in [1, 2, 3, 1000] {
        let pages = all_pages(
            world,
            ListRequest {
                by_folder: true,
                page_size,
                ..request(world, "x/")
            },
        )
        .await;
        let mut objects = Vec::new();
        let mut prefixes = Vec::new();
        for page in pages {
            assert!(page.objects.len() + page.common_prefixes.len() <= usize::from(page_size));
            objects.extend(page.objects);
            prefixes.extend(
                page.common_prefixes
                    .iter()
                    .map(|prefix| below(world, prefix).to_owned()),
            );
        }
        assert_eq!(
            keys(world, &objects),
            ["x/a", "x/b.txt", "x/e"],
            "in pages of {page_size}"
        );
        assert_eq!(prefixes, ["x/b/", "x/c/", "x/f/"], "in pages of {page_size}");
    }
}

/// Pages of any size join to the same listing, and the last one says so.
pub async fn pages_join_to_the_whole_listing(world: &impl World) {
    let all: Vec<String> = (0..23).map(|number| format!("p/{}/{number:02}", number % 5)).collect();
    for key in &all {
        world.put(key, b"x");
    }
    let whole = all_objects(world, request(world, "p/")).await;
    assert_eq!(whole.len(), all.len());
    for page_size in [1, 2, 7, 22, 23, 24] {
        let pages = all_pages(
            world,
            ListRequest {
                page_size,
                ..request(world, "p/")
            },
        )
        .await;
        assert_eq!(
            pages.len(),
            all.len().div_ceil(usize::from(page_size)),
            "pages of {page_size}"
        );
        let joined: Vec<ObjectMeta> = pages.into_iter().flat_map(|page| page.objects).collect();
        assert_eq!(joined, whole, "pages of {page_size}");
    }
}

/// Any range comes whole and in order, in pieces of a bounded size.
pub async fn a_range_comes_whole_in_pieces_of_a_bounded_size(world: &impl World) {
    let bytes = pattern(3 * PIECE_BYTES_MAX + 12_345);
    world.put("big", &bytes);
    let uri = at(world, "big");
    let etag = world.storage().head(&uri).await.expect("it was stored").etag;
    let size = bytes.len() as u64;
    for range in [0..size, 0..1, size - 1..size, 1_000_000..3_000_000, 65_535..65_537] {
        let expected = &bytes[range.start as usize..range.end as usize];
        let pieces: Vec<_> = world
            .storage()
            .read(&uri, Some(&etag), range.clone())
            .try_collect()
            .await
            .expect("it was stored");
        assert!(pieces.iter().all(|piece| (1..=PIECE_BYTES_MAX).contains(&piece.len())));
        assert!(pieces.concat() == expected, "{range:?} in pieces");
        let whole = world.storage().read_range(&uri, None, range.clone()).await;
        assert!(whole.expect("it was stored") == expected, "{range:?} in one piece");
    }
}

/// Empty objects and empty ranges have no pieces and are no errors.
pub async fn an_empty_range_has_no_pieces(world: &impl World) {
    world.put("empty", b"");
    world.put("full", b"x");
    let empty = world.storage().head(&at(world, "empty")).await.expect("it was stored");
    assert_eq!(empty.size_bytes, 0);
    for (key, range) in [("empty", 0..0), ("full", 1..1)] {
        let pieces: Vec<_> = world
            .storage()
            .read(&at(world, key), None, range.clone())
            .try_collect()
            .await
            .expect("there is nothing to read");
        assert!(pieces.is_empty());
        let whole = world.storage().read_range(&at(world, key), None, range).await;
        assert!(whole.expect("there is nothing to read").is_empty());
    }
}

/// A range that reaches beyond the object is an error, never less bytes: changed for a listed version, else failed.
pub async fn a_range_beyond_the_object_is_an_error(world: &impl World) {
    world.put("short", &pattern(1000));
    let uri = at(world, "short");
    let etag = world.storage().head(&uri).await.expect("it was stored").etag;
    for range in [0..1001, 999..2000, 1000..1001, 5000..6000] {
        let bound = world.storage().read_range(&uri, Some(&etag), range.clone()).await;
        assert!(matches!(bound, Err(Error::Changed { .. })), "{range:?}: {bound:?}");
        let free = world.storage().read_range(&uri, None, range.clone()).await;
        assert!(matches!(free, Err(Error::Failed { .. })), "{range:?}: {free:?}");
    }
}

/// An object that is not the listed version any more is told as changed.
pub async fn another_version_is_told_as_changed(world: &impl World) {
    world.put("versions", b"the first");
    let uri = at(world, "versions");
    let first = world.storage().head(&uri).await.expect("it was stored").etag;
    world.put("versions", b"the second");
    let read = world.storage().read_range(&uri, Some(&first), 0..9).await;
    assert!(matches!(read, Err(Error::Changed { .. })), "{read:?}");
    let now = world.storage().head(&uri).await.expect("it was stored again").etag;
    let read = world.storage().read_range(&uri, Some(&now), 4..10).await;
    assert_eq!(read.expect("it is that version"), "second");
}

/// What is missing is told as missing: an object, and a bucket or folder.
pub async fn what_is_missing_is_told_as_missing(world: &impl World) {
    world.put("folder/there", b"x");
    for key in ["gone", "folder", "folder/gone", "folder/there/below"] {
        let uri = at(world, key);
        let head = world.storage().head(&uri).await;
        assert!(matches!(head, Err(Error::NotFound { .. })), "{key}: {head:?}");
        let read = world.storage().read_range(&uri, None, 0..1).await;
        assert!(matches!(read, Err(Error::NotFound { .. })), "{key}: {read:?}");
    }
    let list = world
        .storage()
        .list(&ListRequest {
            prefix: world.nowhere(),
            ..request(world, "")
        })
        .await;
    assert!(matches!(list, Err(Error::NoSuchBucket { .. })), "{list:?}");
}

/// What is put is read and listed as it was put, whatever its key and however deep, also when it is empty.
pub async fn what_is_put_is_read_and_listed(world: &impl World) {
    let mut expected: Vec<(&str, Vec<u8>)> = AWKWARD_KEYS.iter().map(|key| (*key, key.as_bytes().to_vec())).collect();
    expected.push(("empty", Vec::new()));
    expected.push(("three/folders/down", pattern(PIECE_BYTES_MAX + 1)));
    expected.sort_unstable();
    for (index, (key, bytes)) in expected.iter().enumerate() {
        let mode = [PutMode::Overwrite, PutMode::Create][index % 2];
        put(world, key, bytes, mode).await.expect("nothing is there");
    }
    let objects = all_objects(world, request(world, "")).await;
    assert_eq!(
        keys(world, &objects),
        expected.iter().map(|(key, _)| *key).collect::<Vec<_>>()
    );
    for (object, (key, bytes)) in objects.iter().zip(&expected) {
        let range = 0..object.size_bytes;
        let read = world.storage().read_range(&object.uri, Some(&object.etag), range).await;
        assert!(read.expect("it is listed") == bytes, "{key}");
    }
}

/// Overwriting replaces all of an object, and its version.
pub async fn overwriting_replaces_all_of_an_object(world: &impl World) {
    let uri = at(world, "object");
    put(world, "object", b"the first, longer one", PutMode::Overwrite)
        .await
        .expect("nothing is there");
    let first = world.storage().head(&uri).await.expect("it was stored");
    put(world, "object", b"the second", PutMode::Overwrite)
        .await
        .expect("it is replaced");
    let second = world.storage().head(&uri).await.expect("it was stored");
    assert_eq!(second.size_bytes, 10);
    let read = world.storage().read_range(&uri, Some(&first.etag), 0..10).await;
    assert!(matches!(read, Err(Error::Changed { .. })), "{read:?}");
    let read = world.storage().read_range(&uri, Some(&second.etag), 0..10).await;
    assert_eq!(read.expect("it is that version"), "the second");
}

/// Who reads while others write gets all of one version.
pub async fn a_reader_never_sees_half_of_a_write(world: &impl World) {
    const SIZE: usize = 100_000;
    put(world, "object", &vec![0; SIZE], PutMode::Overwrite)
        .await
        .expect("nothing is there");
    let uri = at(world, "object");
    let write = async {
        for number in 1..=50 {
            put(world, "object", &vec![number; SIZE], PutMode::Overwrite)
                .await
                .expect("it is replaced");
        }
    };
    let read = async {
        for _ in 0..50 {
            let bytes = world
                .storage()
                .read_range(&uri, None, 0..SIZE as u64)
                .await
                .expect("it is there");
            assert!(bytes.iter().all(|&byte| byte == bytes[0]), "two versions in one");
        }
    };
    futures::join!(write, read);
}

/// What exists is not created again, and stays as it is, also when it is the same bytes.
pub async fn what_exists_is_not_created_again(world: &impl World) {
    put(world, "object", b"first", PutMode::Create)
        .await
        .expect("nothing is there");
    for bytes in ["first", "second", ""] {
        let again = put(world, "object", bytes.as_bytes(), PutMode::Create).await;
        assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    }
    assert_eq!(
        world
            .storage()
            .read_range(&at(world, "object"), None, 0..5)
            .await
            .expect("it was stored"),
        "first"
    );
    world
        .storage()
        .delete([at(world, "object")])
        .await
        .expect("it is there");
    put(world, "object", b"third", PutMode::Create)
        .await
        .expect("nothing is there any more");
}

/// Of many that create an object at once, one wins, and the object is the winner's; nothing else is left behind.
pub async fn of_many_that_create_an_object_one_wins(world: &impl World) {
    for round in 0..4 {
        let key = format!("race {round}");
        let texts: Vec<String> = (0..16).map(|number| format!("{number:02}")).collect();
        let outcomes = join_all(
            texts
                .iter()
                .map(|text| put(world, &key, text.as_bytes(), PutMode::Create)),
        )
        .await;
        let mut winners = Vec::new();
        for (text, outcome) in texts.iter().zip(outcomes) {
            match outcome {
                Ok(()) => winners.push(text.as_str()),
                Err(Error::Exists { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        let stored = world
            .storage()
            .read_range(&at(world, &key), None, 0..2)
            .await
            .expect("one won");
        assert_eq!(winners, [str::from_utf8(&stored).expect("it is one of the texts")]);
        assert_eq!(all_objects(world, request(world, "")).await.len(), round + 1);
    }
}

/// Deleted objects are gone, others stay, and those that are missing are no error.
pub async fn deleting_what_is_missing_is_no_error(world: &impl World) {
    let gone: Vec<String> = AWKWARD_KEYS.iter().map(|key| format!("gone/{key}")).collect();
    for key in gone.iter().map(String::as_str).chain(["stays", "gone.txt"]) {
        world.put(key, b"x");
    }
    let uris: Vec<ObjectUri> = gone.iter().map(|key| at(world, key)).collect();
    for _ in 0..2 {
        world.storage().delete(uris.clone()).await.expect("they are gone then");
        let objects = all_objects(world, request(world, "")).await;
        assert_eq!(keys(world, &objects), ["gone.txt", "stays"]);
    }
    let missing = ["never/was", "gone", "stays/below"].map(|key| at(world, key));
    world.storage().delete(missing).await.expect("they are missing");
    world.storage().delete([]).await.expect("there is nothing to do");
    assert_eq!(all_objects(world, request(world, "")).await.len(), 2);
}

async fn put(world: &impl World, key: &str, bytes: &[u8], mode: PutMode) -> Result<()> {
    let bytes = Bytes::copy_from_slice(bytes);
    world.storage().put(&at(world, key), bytes, mode).await
}

/// A question for all objects below `prefix`, which is relative to the root.
fn request(world: &impl World, prefix: &str) -> ListRequest {
    ListRequest {
        prefix: at(world, prefix),
        start_after: None,
        by_folder: false,
        continuation: None,
        page_size: 1000,
    }
}

async fn all_pages(world: &impl World, mut request: ListRequest) -> Vec<ListPage> {
    let mut pages = Vec::new();
    loop {
        let page = world.storage().list(&request).await.expect("the root exists");
        let next = page.next.clone();
        pages.push(page);
        assert!(pages.len() < 1000, "the listing does not end");
        if next.is_none() {
            return pages;
        }
        request.continuation = next;
    }
}

async fn all_objects(world: &impl World, request: ListRequest) -> Vec<ObjectMeta> {
    let pages = all_pages(world, request).await;
    pages.into_iter().flat_map(|page| page.objects).collect()
}

fn at(world: &impl World, key: &str) -> ObjectUri {
    let root = world.root();
    root.with_key(format!("{}{key}", root.key()))
}

fn below<'a>(world: &impl World, key: &'a str) -> &'a str {
    let root = world.root();
    key.strip_prefix(root.key())
        .expect("every key begins with the prefix that was asked for")
}

fn keys<'a>(world: &impl World, objects: &'a [ObjectMeta]) -> Vec<&'a str> {
    let keys: Vec<&str> = objects.iter().map(|object| below(world, object.uri.key())).collect();
    let unique: BTreeSet<&str> = keys.iter().copied().collect();
    assert_eq!(unique.len(), keys.len(), "a key is listed twice");
    keys
}

/// Bytes that tell where they come from: no two places of an object look alike for long.
fn pattern(length: usize) -> Vec<u8> {
    (0..length.div_ceil(8) as u64)
        .flat_map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .take(length)
        .collect()
}
