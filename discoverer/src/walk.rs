//! Walks the partitioning expression over a real listing, and hands on each prefix whose keys are to be listed.
//!
//! Folders of several places are listed at the same time, the deepest first. So it holds a page of folders for each level
//! and each such listing at most, not the whole tree.

use futures::{StreamExt as _, stream::FuturesUnordered};
use pf_storage::{Error, ListPage, ListRequest, ObjectUri, Storage};
use tokio::sync::mpsc;

use crate::{
    counts::Counts,
    listing::{PAGE_KEYS_MAX, page},
    partitioning::{Node, Partitioning, Step},
    selection::Selection,
};

/// What is still to be done.
enum Open {
    Node(Node),
    /// Folders below the node, from a page of their listing on.
    Folders(Node, Option<String>),
}

/// A walk below `root`.
pub(crate) struct Walk<'a> {
    /// Where folders are.
    pub(crate) storage: &'a Storage,
    /// What every key begins with.
    pub(crate) root: &'a ObjectUri,
    /// How keys are built below it.
    pub(crate) partitioning: &'a Partitioning,
    /// Which keys are taken.
    pub(crate) selection: &'a Selection,
    /// Folders of so many places at most are listed at the same time.
    pub(crate) parallel_max: usize,
    /// What is done is counted here.
    pub(crate) counts: &'a Counts,
}

impl Walk<'_> {
    /// Sends every leaf, until all are sent or nobody takes them.
    pub(crate) async fn run(&self, leaves: mpsc::Sender<Node>) -> Result<(), Error> {
        self.see_root().await?;
        let mut open = vec![Open::Node(Partitioning::start())];
        let mut listings = FuturesUnordered::new();
        loop {
            // Go on while there is something to do without waiting.
            let mut leaf = None;
            while leaf.is_none()
                && listings.len() < self.parallel_max
                && let Some(next) = open.pop()
            {
                match next {
                    Open::Folders(node, continuation) => listings.push(self.folders(node, continuation)),
                    Open::Node(node) => match self.partitioning.step(node) {
                        Step::Children(children) => open.extend(children.into_iter().rev().map(Open::Node)),
                        Step::Leaf(node) => leaf = Some(node),
                        Step::Discover(node) => listings.push(self.folders(node, None)),
                    },
                }
            }
            // Wait for whatever comes first: a listing, which goes on being listed meanwhile, or room for the leaf.
            while let Some(node) = leaf.take() {
                tokio::select! {
                    permit = leaves.reserve() => match permit {
                        Ok(permit) => permit.send(node),
                        Err(_) => return Ok(()),
                    },
                    Some(listed) = listings.next(), if !listings.is_empty() => {
                        self.open(listed?, &mut open);
                        leaf = Some(node);
                    }
                }
            }
            if listings.len() == self.parallel_max || open.is_empty() {
                match listings.next().await {
                    Some(listed) => self.open(listed?, &mut open),
                    None if open.is_empty() => return Ok(()),
                    None => {}
                }
            }
        }
    }

    /// A partition may be missing, but not what all of them lie in. S3 tells by itself that a bucket is missing.
    async fn see_root(&self) -> Result<(), Error> {
        if matches!(self.root, ObjectUri::File { .. }) {
            let request = ListRequest {
                prefix: self.root.clone(),
                start_after: None,
                by_folder: true,
                continuation: None,
                page_size: 1,
            };
            self.storage.list_in_any_order(&request).await?;
        }
        Ok(())
    }

    /// One page of the folders below a node.
    async fn folders(&self, node: Node, continuation: Option<String>) -> Result<(Node, ListPage), Error> {
        let request = ListRequest {
            prefix: self.root.with_key(format!("{}{}", self.root.key(), node.prefix)),
            start_after: None,
            by_folder: true,
            continuation,
            page_size: PAGE_KEYS_MAX,
        };
        let listed = page(self.storage, &request, true, self.counts).await?;
        Ok((node, listed))
    }

    /// Opens what a page of folders showed.
    fn open(&self, (node, listed): (Node, ListPage), open: &mut Vec<Open>) {
        self.counts.see_beside_folders(&listed.objects);
        let mut children = Vec::with_capacity(listed.common_prefixes.len());
        // A hidden name is left out where the expression takes any; what it has as text is asked for.
        let chosen_bytes = self.root.key().len() + node.prefix.len();
        let may_be_hidden = self.partitioning.is_any_name(&node);
        for folder in &listed.common_prefixes {
            if self.selection.is_state(folder) {
                continue;
            }
            if may_be_hidden && self.selection.is_hidden(folder, chosen_bytes) {
                self.counts.skip_hidden_folder();
                continue;
            }
            let below = folder.strip_prefix(self.root.key()).unwrap_or(folder);
            match self.partitioning.folder(&node, below) {
                Ok(child) => children.push(Open::Node(child)),
                Err(kept_out) => self.counts.skip_folder(folder, kept_out),
            }
        }
        for lossy in &listed.unnameable {
            let below = lossy.strip_prefix(self.root.key()).unwrap_or(lossy);
            match self.partitioning.folder(&node, below) {
                Ok(_) => self.counts.see_unnameable(lossy),
                Err(kept_out) => self.counts.skip_folder(lossy, kept_out),
            }
        }
        if listed.next.is_some() {
            open.push(Open::Folders(node, listed.next));
        }
        open.extend(children.into_iter().rev());
    }
}
