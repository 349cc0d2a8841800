//! Listings of more keys than S3 puts on a page.

use pf_e2e::S3;
use pf_storage::{ListRequest, ObjectUri, Storage, contract::World as _};

use crate::worlds::{Bucket, Folder};

/// 2,500 keys: 25 folders of 100.
fn all_keys() -> Vec<String> {
    (0..2500)
        .map(|number| format!("many/folder={:02}/{:04}.json", number / 100, number))
        .collect()
}

/// The names of all objects and common prefixes, and the number of pages.
async fn list(storage: &Storage, root: &ObjectUri, by_folder: bool, start_after: Option<&str>) -> (Vec<String>, usize) {
    let mut request = ListRequest {
        prefix: root.with_key(format!("{}many/", root.key())),
        start_after: start_after.map(|key| format!("{}{key}", root.key())),
        by_folder,
        continuation: None,
        page_size: 1000,
    };
    let mut names = Vec::new();
    for pages in 1.. {
        let page = storage.list(&request).await.unwrap();
        names.extend(page.objects.iter().map(|object| object.uri.key().to_owned()));
        names.extend(page.common_prefixes);
        request.continuation = page.next;
        if request.continuation.is_none() {
            let below = |name: &String| name.strip_prefix(root.key()).unwrap().to_owned();
            return (names.iter().map(below).collect(), pages);
        }
    }
    unreachable!("the loop has no end but its return")
}

async fn check(storage: &Storage, root: &ObjectUri) {
    let all = all_keys();
    assert_eq!(list(storage, root, false, None).await, (all.clone(), 3));
    let behind = list(storage, root, false, Some("many/folder=12/1234.json")).await;
    assert_eq!(behind, (all[1235..].to_vec(), 2));
    let folders: Vec<String> = (0..25).map(|folder| format!("many/folder={folder:02}/")).collect();
    assert_eq!(list(storage, root, true, None).await, (folders.clone(), 1));
    let behind = list(storage, root, true, Some("many/folder=12/~")).await;
    assert_eq!(behind, (folders[13..].to_vec(), 1));
}

#[tokio::test]
async fn a_bucket_of_2500_keys_is_listed_page_by_page() {
    let bucket = Bucket::new();
    let prefix = bucket.root().key().to_owned();
    let objects: Vec<_> = all_keys()
        .into_iter()
        .map(|key| (format!("{prefix}{key}"), b"x".to_vec()))
        .collect();
    S3::shared().put_all(&bucket.name, &objects);
    check(&bucket.storage, &bucket.root()).await;
}

#[tokio::test]
async fn a_folder_of_2500_files_is_listed_page_by_page() {
    let folder = Folder::new();
    for key in all_keys() {
        folder.put(&key, b"x");
    }
    check(&folder.storage, &folder.root()).await;
}
