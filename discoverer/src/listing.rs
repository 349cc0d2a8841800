//! Lists prefixes page by page, and hands on the objects that are taken.
//!
//! Memory is bounded by the channel, not by the number of keys: a listing waits while nobody takes its pages.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use pf_storage::{Error, ListRequest, ObjectMeta, ObjectUri, Storage};
use tokio::sync::mpsc;

use crate::{counts::Counts, selection::Selection};

/// The most that S3 gives in a page.
pub(crate) const PAGE_KEYS_MAX: u16 = 1000;

/// Pages that wait for the writer: enough to bridge a slow answer, a few MB at most.
pub(crate) const PAGES_WAITING_MAX: usize = 8;

/// An object that is taken.
#[derive(Debug)]
pub(crate) struct Found {
    /// What the listing shows of it.
    pub(crate) object: ObjectMeta,
    /// What its key tells by the partitioning expression.
    pub(crate) partition: BTreeMap<String, String>,
}

/// Lists one prefix to its end, or until the receiver of the pages is gone.
pub(crate) async fn list(
    storage: &Storage,
    prefix: ObjectUri,
    selection: &Selection,
    counts: &Counts,
    pages: &mpsc::Sender<Vec<Found>>,
) -> Result<(), Error> {
    counts.prefixes.fetch_add(1, Relaxed);
    let mut request = ListRequest {
        prefix,
        start_after: None,
        by_folder: false,
        continuation: None,
        page_size: PAGE_KEYS_MAX,
    };
    loop {
        counts.requests.fetch_add(1, Relaxed);
        let page = storage.list(&request).await?;
        counts.keys.fetch_add(page.objects.len() as u64, Relaxed);
        let found: Vec<Found> = page
            .objects
            .into_iter()
            .filter(|object| {
                let checked = selection.check(object);
                checked.map_err(|skip| counts.skip(skip)).is_ok()
            })
            .map(|object| Found {
                object,
                partition: BTreeMap::new(),
            })
            .collect();
        counts.matched.fetch_add(found.len() as u64, Relaxed);
        if !found.is_empty() && pages.send(found).await.is_err() {
            return Ok(());
        }
        match page.next {
            Some(next) => request.continuation = Some(next),
            None => return Ok(()),
        }
    }
}
