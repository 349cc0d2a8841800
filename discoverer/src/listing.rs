//! Lists prefixes page by page, and hands on the objects that are taken.
//!
//! Memory is bounded by the channel, not by the number of keys: a listing waits while nobody takes its pages.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use pf_storage::{Error, ListPage, ListRequest, ObjectMeta, ObjectUri, Storage};
use tokio::sync::mpsc;

use crate::{
    counts::Counts,
    partitioning::{Node, Partitioning, Reading},
    selection::{Selection, Skip},
    split::{Split, Splitting},
    walk::Walk,
};

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
    /// What it is, if it is to be split.
    pub(crate) split: Option<Split>,
    /// Names the prefix whose listing showed it, in every run alike.
    pub(crate) prefix: Arc<str>,
}

/// A listing of everything below a prefix that is taken.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    /// Where objects are.
    pub(crate) storage: &'a Storage,
    /// What every key begins with.
    pub(crate) root: &'a ObjectUri,
    /// How keys are built below it.
    pub(crate) partitioning: Option<&'a Partitioning>,
    /// Which objects are taken.
    pub(crate) selection: &'a Selection,
    /// How they are split.
    pub(crate) splitting: Option<Splitting>,
    /// At most so many prefixes are listed at the same time.
    pub(crate) parallel_max: usize,
    /// By [`Found::prefix`]: keys up to this one were taken by an earlier run.
    pub(crate) cursors: &'a BTreeMap<String, String>,
    /// Whether somebody goes on behind its last keys: then they must come in the order of their bytes.
    pub(crate) in_order: bool,
    /// What is done is counted here.
    pub(crate) counts: &'a Counts,
}

impl Listing<'_> {
    /// Lists to the end, or until the receiver of the pages is gone.
    pub(crate) async fn run(&self, pages: &mpsc::Sender<Vec<Found>>) -> Result<(), Error> {
        let Some(partitioning) = self.partitioning else {
            return self.prefix(None, pages).await;
        };
        let (sender, receiver) = mpsc::channel(self.parallel_max);
        let walk = self.walk(partitioning);
        let leaves = stream::unfold(receiver, async |mut receiver| {
            let leaf = receiver.recv().await?;
            Some((leaf, receiver))
        });
        let lists = leaves.map(Ok).try_for_each_concurrent(self.parallel_max, async |leaf| {
            self.prefix(Some((partitioning, &leaf)), pages).await
        });
        futures::try_join!(walk.run(sender), lists)?;
        Ok(())
    }

    /// The walk to the prefixes.
    pub(crate) fn walk<'a>(&'a self, partitioning: &'a Partitioning) -> Walk<'a> {
        Walk {
            storage: self.storage,
            root: self.root,
            partitioning,
            selection: self.selection,
            parallel_max: self.parallel_max,
            counts: self.counts,
        }
    }

    /// Lists one prefix.
    async fn prefix(
        &self,
        leaf: Option<(&Partitioning, &Node)>,
        pages: &mpsc::Sender<Vec<Found>>,
    ) -> Result<(), Error> {
        self.counts.prefixes.fetch_add(1, Relaxed);
        let below = leaf.map_or("", |(_, node)| &node.prefix);
        let name: Arc<str> = leaf.map_or_else(String::new, |(_, node)| node.name()).into();
        let mut request = ListRequest {
            prefix: self.root.with_key(format!("{}{below}", self.root.key())),
            start_after: self.cursors.get(&*name).cloned(),
            by_folder: false,
            continuation: None,
            page_size: PAGE_KEYS_MAX,
        };
        loop {
            let page = self.page(&request, leaf.is_some()).await?;
            for lossy in &page.unnameable {
                match self.takes_key(lossy, leaf) {
                    Ok(()) => self.counts.see_unnameable(lossy),
                    Err(skip) => self.counts.skip(skip),
                }
            }
            self.counts.keys.fetch_add(page.objects.len() as u64, Relaxed);
            let take = |object| {
                self.take(object, leaf, &name)
                    .map_err(|skip| self.counts.skip(skip))
                    .ok()
            };
            let mut found: Vec<Found> = page.objects.into_iter().filter_map(take).collect();
            self.counts.matched.fetch_add(found.len() as u64, Relaxed);
            if let Some(splitting) = self.splitting {
                found = splitting.decide(self.storage, found).await?;
            }
            if !found.is_empty() && pages.send(found).await.is_err() {
                return Ok(());
            }
            match page.next {
                Some(next) => request.continuation = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Whether a listed object is taken, and with which values of its key.
    pub(crate) fn take(
        &self,
        object: ObjectMeta,
        leaf: Option<(&Partitioning, &Node)>,
        name: &Arc<str>,
    ) -> Result<Found, Skip> {
        self.selection.check(&object, self.chosen_bytes(leaf))?;
        let reading = self.reading(object.uri.key(), leaf)?;
        let partition = reading.map(|(partitioning, reading)| partitioning.partition(reading));
        Ok(Found {
            object,
            partition: partition.unwrap_or_default(),
            split: None,
            prefix: Arc::clone(name),
        })
    }

    /// Whether an object of this key may be taken.
    fn takes_key(&self, key: &str, leaf: Option<(&Partitioning, &Node)>) -> Result<(), Skip> {
        self.selection.check_key(key, self.chosen_bytes(leaf))?;
        self.reading(key, leaf).map(|_| ())
    }

    /// How much of a key was asked for as it is: prefix and partition.
    fn chosen_bytes(&self, leaf: Option<(&Partitioning, &Node)>) -> usize {
        self.root.key().len() + leaf.map_or(0, |(_, node)| node.prefix.len())
    }

    /// How a key that was listed in a partition reads.
    fn reading<'a>(
        &self,
        key: &str,
        leaf: Option<(&'a Partitioning, &Node)>,
    ) -> Result<Option<(&'a Partitioning, Reading)>, Skip> {
        let Some((partitioning, node)) = leaf else {
            return Ok(None);
        };
        let below = key.get(self.root.key().len()..).unwrap_or_default();
        let reading = partitioning.read(below).ok_or(Skip::Partitioning)?;
        if reading.belongs_to(&node.cuts) {
            Ok(Some((partitioning, reading)))
        } else {
            Err(Skip::Partitioning)
        }
    }

    /// One page of a prefix' keys.
    async fn page(&self, request: &ListRequest, may_be_missing: bool) -> Result<ListPage, Error> {
        if !self.in_order {
            return page(self.storage, request, may_be_missing, self.counts).await;
        }
        self.counts.requests.fetch_add(1, Relaxed);
        missing_is_empty(self.storage.list(request).await, request, may_be_missing)
    }
}

/// One page, in the server's own order.
pub(crate) async fn page(
    storage: &Storage,
    request: &ListRequest,
    may_be_missing: bool,
    counts: &Counts,
) -> Result<ListPage, Error> {
    counts.requests.fetch_add(1, Relaxed);
    missing_is_empty(storage.list_in_any_order(request).await, request, may_be_missing)
}

/// Of many partitions, one may well be missing: on S3 that is an empty page, and so it is here for files.
fn missing_is_empty(
    answer: Result<ListPage, Error>,
    request: &ListRequest,
    may_be_missing: bool,
) -> Result<ListPage, Error> {
    match answer {
        Err(Error::NoSuchBucket { .. }) if may_be_missing && matches!(request.prefix, ObjectUri::File { .. }) => {
            Ok(ListPage::default())
        }
        answer => answer,
    }
}
