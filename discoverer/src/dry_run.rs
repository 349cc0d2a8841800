//! `--dry-run`: says what a run would list, and shows a sample of what it would find, without offering anything.
//!
//! Folders are discovered as a run would, but of the keys no more than one page of the first prefixes is listed.

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use pf_storage::{Error, ListRequest};
use tokio::sync::mpsc;

use crate::{
    listing::{Listing, PAGE_KEYS_MAX, page},
    partitioning::Node,
};

/// Prefixes that are counted; a run lists all of them, however many.
const PREFIXES_COUNTED_MAX: u64 = 1_000_000;

/// Prefixes and objects that are shown.
const SHOWN_MAX: usize = 10;

/// S3 Standard in us-east-1, "PUT, COPY, POST, LIST requests (per 1,000 requests)", Amazon S3 pricing.
const DOLLARS_PER_REQUEST: f64 = 0.005 / 1000.0;

/// Prefixes to list.
struct Prefixes {
    count: u64,
    first: Vec<Option<Node>>,
}

/// The report, for a person.
pub(crate) async fn report(listing: &Listing<'_>) -> Result<String, Error> {
    let prefixes = prefixes(listing).await?;
    let discovery = listing.counts.requests.load(Relaxed);
    let sample = sample(listing, &prefixes).await?;
    let more = if prefixes.count == PREFIXES_COUNTED_MAX {
        "or more "
    } else {
        ""
    };
    let requests = discovery + prefixes.count;
    let mut report = format!(
        "prefixes to list: {} {more}\nrequests: at least {requests} ({discovery} to discover folders, one for each prefix), \
         and one more for each further {PAGE_KEYS_MAX} keys of a prefix\n\
         cost: at least ${:.6} at S3's list price of $0.005 per 1,000 LIST requests (Standard, us-east-1)\n",
        prefixes.count,
        requests as f64 * DOLLARS_PER_REQUEST
    )
    .replace(" \n", "\n");
    report.push_str("first prefixes:\n");
    for node in &prefixes.first {
        writeln!(report, "  {}{}", listing.root, below(node.as_ref())).expect("writing to a string");
    }
    writeln!(
        report,
        "sample of what matches, from the first {PAGE_KEYS_MAX} keys of each of these:"
    )
    .expect("writing to a string");
    if sample.is_empty() {
        report.push_str("  nothing\n");
    }
    for (uri, bytes) in sample {
        writeln!(report, "  {uri} ({bytes} bytes)").expect("writing to a string");
    }
    Ok(report)
}

async fn prefixes(listing: &Listing<'_>) -> Result<Prefixes, Error> {
    let Some(partitioning) = listing.partitioning else {
        return Ok(Prefixes {
            count: 1,
            first: vec![None],
        });
    };
    let (sender, mut receiver) = mpsc::channel(SHOWN_MAX);
    let count = async {
        let mut found = Prefixes {
            count: 0,
            first: Vec::new(),
        };
        while found.count < PREFIXES_COUNTED_MAX
            && let Some(node) = receiver.recv().await
        {
            found.count += 1;
            if found.first.len() < SHOWN_MAX {
                found.first.push(Some(node));
            }
        }
        // The walk ends when nobody takes its leaves.
        receiver.close();
        while receiver.recv().await.is_some() {}
        found
    };
    let walk = listing.walk(partitioning);
    let (walked, found) = futures::join!(walk.run(sender), count);
    walked.map(|()| found)
}

async fn sample(listing: &Listing<'_>, prefixes: &Prefixes) -> Result<Vec<(String, u64)>, Error> {
    let mut sample = Vec::new();
    // Nobody goes on with a sample.
    let name = Arc::from("");
    for node in &prefixes.first {
        let leaf = listing.partitioning.zip(node.as_ref());
        let request = ListRequest {
            prefix: listing
                .root
                .with_key(format!("{}{}", listing.root.key(), below(node.as_ref()))),
            start_after: None,
            by_folder: false,
            continuation: None,
            page_size: PAGE_KEYS_MAX,
        };
        let page = page(listing.storage, &request, leaf.is_some(), listing.counts).await?;
        let found = page
            .objects
            .into_iter()
            .filter_map(|object| listing.take(object, leaf, &name).ok());
        let shown = found.map(|found| (found.object.uri.to_string(), found.object.size_bytes));
        sample.extend(shown.take(SHOWN_MAX - sample.len()));
        if sample.len() == SHOWN_MAX {
            break;
        }
    }
    Ok(sample)
}

fn below(node: Option<&Node>) -> &str {
    node.map_or("", |node| &node.prefix)
}
