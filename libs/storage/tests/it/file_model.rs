//! Listings of random trees, against a model that sorts the whole tree.

use std::{collections::BTreeSet, sync::OnceLock};

use pf_storage::{ListRequest, Options, Storage, contract::World as _};
use proptest::prelude::*;

use crate::worlds::Folder;

/// One for all cases: starting threads would take longer than the listings.
static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();

/// Names that sort otherwise with a slash behind them than without.
fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "a b", "a-", "a.", "a0", "aa", "b", "b.c", "é", "~"])
}

fn key() -> impl Strategy<Value = String> {
    prop::collection::vec(name(), 1..4).prop_map(|names| names.join("/"))
}

/// Keys that can be files of one tree: none is a folder of another.
fn tree() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(key(), 0..25).prop_map(|keys| {
        let is_folder = |key: &String| keys.iter().any(|other| other.starts_with(&format!("{key}/")));
        keys.iter().filter(|key| !is_folder(key)).cloned().collect()
    })
}

/// What a bucket of these keys would show.
fn model(keys: &[String], prefix: &str, start_after: Option<&str>, by_folder: bool) -> (Vec<String>, Vec<String>) {
    let mut objects = BTreeSet::new();
    let mut prefixes = BTreeSet::new();
    for key in keys {
        if !key.starts_with(prefix) || start_after.is_some_and(|start| key.as_str() <= start) {
            continue;
        }
        match key[prefix.len()..].find('/') {
            Some(slash) if by_folder => prefixes.insert(key[..=prefix.len() + slash].to_owned()),
            _ => objects.insert(key.clone()),
        };
    }
    (objects.into_iter().collect(), prefixes.into_iter().collect())
}

proptest! {
    #[test]
    fn a_listing_is_what_the_model_says(
        keys in tree(),
        prefix in key(),
        prefix_chars in 0..6_usize,
        start in prop::option::of((key(), any::<bool>())),
        by_folder in any::<bool>(),
        page_size in 1..6_u16,
        forget in any::<bool>(),
    ) {
        let folder = Folder::new();
        for key in &keys {
            folder.put(key, key.as_bytes());
        }
        let prefix: String = prefix.chars().take(prefix_chars).collect();
        // The folder above a prefix must exist.
        if let Some((above, _)) = prefix.rsplit_once('/') {
            prop_assume!(folder.path(above).is_dir());
        }
        let start = start.map(|(key, as_folder)| if as_folder { format!("{key}/") } else { key });
        let root = folder.root();
        let mut request = ListRequest {
            prefix: folder.uri(&prefix),
            start_after: start.as_ref().map(|start| format!("{}{start}", root.key())),
            by_folder,
            continuation: None,
            page_size,
        };
        let below = |key: &str| key.strip_prefix(root.key()).unwrap().to_owned();
        let runtime = RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap());
        let mut storage = folder.storage.clone();
        let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
        let mut last = String::new();
        loop {
            let page = runtime.block_on(storage.list(&request)).unwrap();
            let mut items: Vec<String> = page.objects.iter().map(|object| object.uri.key().to_owned()).collect();
            prop_assert!(page.objects.iter().all(|object| object.size_bytes == below(object.uri.key()).len() as u64));
            items.extend(page.common_prefixes.iter().cloned());
            items.sort_unstable();
            let full = items.len() == usize::from(page_size);
            prop_assert!(full || (page.next.is_none() && items.len() < usize::from(page_size)));
            prop_assert!(items.first().is_none_or(|first| *first > last), "pages overlap");
            last = items.pop().unwrap_or_default();
            objects.extend(page.objects.iter().map(|object| below(object.uri.key())));
            prefixes.extend(page.common_prefixes.iter().map(|prefix| below(prefix)));
            request.continuation = page.next;
            if request.continuation.is_none() {
                break;
            }
            if forget {
                // Another handle has no walk to go on with, and must find the place by the token alone.
                storage = Storage::new(Options::default());
            }
        }
        let expected = model(&keys, &prefix, start.as_deref(), by_folder);
        prop_assert_eq!((objects, prefixes), expected);
    }
}
