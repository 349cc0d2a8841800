//! An object that was opened ahead of its lane: where its records are streamed, the first piece is on its way.

use std::{ops::Range, sync::Arc};

use pf_storage::{ObjectUri, Storage};
use pf_work::{WorkItem, checkpoint::Position};
use tokio::runtime::Handle;

use crate::{
    input::reason,
    metrics::Metrics,
    prefetch::{Body, Object, ObjectRanges},
    reader::{
        object::{self, Source},
        range_source::RangeSource,
    },
};

/// How objects are opened.
#[derive(Debug, Clone)]
pub struct Opener {
    /// What fetches in the background.
    pub runtime: Handle,
    /// What reads objects.
    pub storage: Storage,
    /// Pieces of a stream that are fetched ahead of its lane.
    pub pieces_ahead: usize,
    /// What counts bytes.
    pub metrics: Metrics,
}

/// An object that is ready to be read.
#[derive(Debug)]
pub struct Opened {
    opener: Opener,
    object: Object,
    /// Where reading is to go on; none: at the item's start.
    pub from: Option<Position>,
    ahead: Option<(Range<u64>, Body)>,
}

impl Opener {
    /// Opens the object of an item that is to be read from a position on. The error says what is wrong with its address.
    pub fn open(&self, item: &WorkItem, from: Option<Position>) -> Result<Opened, String> {
        let uri: ObjectUri = item.uri.parse().map_err(|error| reason(&error))?;
        let object = Object {
            uri,
            etag: item.etag.clone(),
            size_bytes: item.size_bytes,
        };
        let ahead = object::first_stream(item, from).map(|range| (range.clone(), self.body(&object, range)));
        Ok(Opened {
            opener: self.clone(),
            object,
            from,
            ahead,
        })
    }

    fn body(&self, object: &Object, range: Range<u64>) -> Body {
        let Self {
            runtime,
            storage,
            pieces_ahead,
            metrics,
        } = self;
        Body::open(runtime, storage, object, range, *pieces_ahead, metrics)
    }
}

impl Source for Opened {
    type Stream = Body;

    fn stream(&mut self, range: Range<u64>) -> Body {
        let body = match self.ahead.take() {
            Some((ahead, body)) if ahead == range => body,
            _ => self.opener.body(&self.object, range),
        };
        body.take();
        body
    }

    fn ranges(&self) -> Arc<dyn RangeSource> {
        let Opener {
            runtime,
            storage,
            pieces_ahead: _,
            metrics,
        } = self.opener.clone();
        Arc::new(ObjectRanges::new(runtime, storage, self.object.clone(), metrics))
    }
}
