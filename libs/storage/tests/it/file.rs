//! What only a file system has: links, pipes, names that are no text, files that are written while they are read.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::{ffi::OsStrExt as _, fs::symlink, net::UnixListener},
    process::Command,
};

use futures::TryStreamExt as _;
use pf_storage::{Error, ListPage, ListRequest, Result, contract::World as _, read::PIECE_BYTES_MAX};

use crate::worlds::Folder;

async fn list(folder: &Folder, prefix: &str, by_folder: bool) -> Result<ListPage> {
    let request = ListRequest {
        prefix: folder.uri(prefix),
        start_after: None,
        by_folder,
        continuation: None,
        page_size: 1000,
    };
    folder.storage.list(&request).await
}

async fn keys(folder: &Folder, prefix: &str) -> Vec<String> {
    let root = folder.root().key().to_owned();
    let page = list(folder, prefix, false).await.unwrap();
    page.objects
        .iter()
        .map(|object| object.uri.key().strip_prefix(&root).unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn links_are_followed_and_never_in_circles() {
    let folder = Folder::new();
    folder.put("data/a", b"abc");
    folder.put("data/sub/b", b"x");
    symlink("a", folder.path("data/link")).unwrap();
    symlink("sub", folder.path("data/sub2")).unwrap();
    symlink("..", folder.path("data/sub/up")).unwrap();
    symlink(".", folder.path("data/here")).unwrap();
    symlink("self", folder.path("data/self")).unwrap();
    symlink("nowhere", folder.path("data/dangling")).unwrap();
    assert_eq!(
        keys(&folder, "data/").await,
        ["data/a", "data/link", "data/sub/b", "data/sub2/b"]
    );
    let link = folder.storage.head(&folder.uri("data/link")).await.unwrap();
    assert_eq!(link.size_bytes, 3);
    let bytes = folder
        .storage
        .read_range(&link.uri, Some(&link.etag), 0..3)
        .await
        .unwrap();
    assert_eq!(bytes, "abc");
}

#[tokio::test]
async fn pipes_and_sockets_are_no_objects() {
    let folder = Folder::new();
    folder.put("plain", b"x");
    let _socket = UnixListener::bind(folder.path("socket")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(folder.path("pipe"))
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(keys(&folder, "").await, ["plain"]);
    for name in ["pipe", "socket"] {
        let read = folder.storage.read_range(&folder.uri(name), None, 0..1).await;
        assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
    }
}

#[tokio::test]
async fn a_folder_without_files_is_no_common_prefix() {
    let folder = Folder::new();
    folder.put("full/deep/down/file", b"x");
    std::fs::create_dir_all(folder.path("empty/deep/down")).unwrap();
    let page = list(&folder, "", true).await.unwrap();
    assert_eq!(page.common_prefixes, [folder.uri("full/").key()]);
    assert!(list(&folder, "empty/", true).await.unwrap().common_prefixes.is_empty());
}

#[tokio::test]
async fn names_that_are_not_utf8_are_told_beside_the_others() {
    let folder = Folder::new();
    for name in ["good", "z/last", "deep/x"] {
        folder.put(name, b"x");
    }
    let path = |name: &[u8]| folder.root.path().join(OsStr::from_bytes(name));
    File::create(path(b"bad\xff")).unwrap();
    std::fs::create_dir(path(b"f\xfe")).unwrap();
    for name in [&b"f\xfe/a"[..], b"f\xfe/b", b"deep/\xff"] {
        File::create(path(name)).unwrap();
    }
    let below = |names: &[String]| -> Vec<String> {
        let root = folder.root().key().to_owned();
        names
            .iter()
            .map(|name| name.strip_prefix(&root).unwrap().to_owned())
            .collect()
    };
    assert_eq!(keys(&folder, "").await, ["deep/x", "good", "z/last"]);
    let page = list(&folder, "", false).await.unwrap();
    assert_eq!(
        below(&page.unnameable),
        ["bad\u{fffd}", "deep/\u{fffd}", "f\u{fffd}/a", "f\u{fffd}/b"]
    );
    let page = list(&folder, "", true).await.unwrap();
    assert_eq!(below(&page.common_prefixes), ["deep/", "z/"]);
    assert_eq!(below(&page.unnameable), ["bad\u{fffd}", "f\u{fffd}/"]);
    assert!(list(&folder, "go", false).await.unwrap().unnameable.is_empty());

    // Page by page each of them is told once.
    let mut request = ListRequest {
        prefix: folder.uri(""),
        start_after: None,
        by_folder: false,
        continuation: None,
        page_size: 1,
    };
    let mut told = Vec::new();
    loop {
        let page = folder.storage.list(&request).await.unwrap();
        told.extend(page.unnameable);
        request.continuation = page.next;
        if request.continuation.is_none() {
            break;
        }
    }
    assert_eq!(told.len(), 4);
}

#[tokio::test]
async fn a_file_of_a_time_that_no_calendar_has_is_listed_and_read() {
    let folder = Folder::new();
    folder.put("file", b"abc");
    let file = File::options().write(true).open(folder.path("file")).unwrap();
    let far = std::time::UNIX_EPOCH + std::time::Duration::from_hours(100_000_000);
    // Not every file system can hold such a time.
    file.set_modified(far).unwrap();
    let page = list(&folder, "", false).await.unwrap();
    let object = &page.objects[0];
    let bytes = folder
        .storage
        .read_range(&object.uri, Some(&object.etag), 0..3)
        .await
        .unwrap();
    assert_eq!(bytes, "abc");
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = Folder::new();
    folder.put("file", b"x");
    for (prefix, missing) in [("no/such/pre", "no/such/"), ("file/", "file/")] {
        let error = list(&folder, prefix, false).await.unwrap_err();
        let Error::NoSuchBucket { uri } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(uri, &folder.uri(missing).to_string());
    }
}

#[tokio::test]
async fn a_file_that_shrinks_or_changes_while_it_is_read_is_told_as_changed() {
    let size = 3 * PIECE_BYTES_MAX;
    for shrink in [true, false] {
        let folder = Folder::new();
        folder.put("file", &vec![1; size]);
        let mut stream = folder.storage.read(&folder.uri("file"), None, 0..size as u64);
        let first = stream.try_next().await.unwrap().unwrap();
        assert_eq!(first.len(), PIECE_BYTES_MAX);
        let file = File::options().write(true).open(folder.path("file")).unwrap();
        if shrink {
            file.set_len(size as u64 - 1).unwrap();
        } else {
            // Another time than any clock's tick.
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        let rest: Result<Vec<_>> = stream.try_collect().await;
        assert!(matches!(rest, Err(Error::Changed { .. })), "{rest:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_read_stays_the_one_that_was_opened() {
    let size = 2 * PIECE_BYTES_MAX;
    let folder = Folder::new();
    folder.put("file", &vec![1; size]);
    folder.put("other", &vec![2; size]);
    let mut stream = folder.storage.read(&folder.uri("file"), None, 0..size as u64);
    let first = stream.try_next().await.unwrap().unwrap();
    std::fs::rename(folder.path("other"), folder.path("file")).unwrap();
    let rest: Vec<_> = stream.try_collect().await.unwrap();
    assert!(first.iter().chain(rest.iter().flatten()).all(|&byte| byte == 1));
}
