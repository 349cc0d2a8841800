//! Walks the partitioning expression over a real listing, and hands on each prefix whose keys are to be listed.
//!
//! It holds the open places of one path through the walk and one page of folders for each level, not the whole tree.

use pf_storage::{Error, ListRequest, ObjectUri, Storage};
use tokio::sync::mpsc;

use crate::{
    counts::Counts,
    listing::{PAGE_KEYS_MAX, page},
    partitioning::{Node, Partitioning, Step},
};

/// What is still to be done.
enum Open {
    Node(Node),
    /// Folders below the node, from a page of their listing on.
    Folders(Node, Option<String>),
}

/// Sends every leaf below `root`, until all are sent or nobody takes them.
pub(crate) async fn walk(
    storage: &Storage,
    root: &ObjectUri,
    partitioning: &Partitioning,
    counts: &Counts,
    leaves: mpsc::Sender<Node>,
) -> Result<(), Error> {
    let mut open = vec![Open::Node(Partitioning::start())];
    while let Some(next) = open.pop() {
        let (node, continuation) = match next {
            Open::Node(node) => match partitioning.step(node) {
                Step::Children(children) => {
                    open.extend(children.into_iter().rev().map(Open::Node));
                    continue;
                }
                Step::Leaf(node) => {
                    if leaves.send(node).await.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                Step::Discover(node) => (node, None),
            },
            Open::Folders(node, continuation) => (node, continuation),
        };
        let request = ListRequest {
            prefix: root.with_key(format!("{}{}", root.key(), node.prefix)),
            start_after: None,
            by_folder: true,
            continuation,
            page_size: PAGE_KEYS_MAX,
        };
        let listed = page(storage, &request, true, counts).await?;
        let mut children = Vec::with_capacity(listed.common_prefixes.len());
        for folder in &listed.common_prefixes {
            let below = folder.strip_prefix(root.key()).unwrap_or(folder);
            match partitioning.folder(&node, below) {
                Ok(child) => children.push(Open::Node(child)),
                Err(kept_out) => counts.skip_folder(kept_out),
            }
        }
        if listed.next.is_some() {
            open.push(Open::Folders(node, listed.next));
        }
        open.extend(children.into_iter().rev());
    }
    Ok(())
}
