//! A `_bulk` body in the making, and the contract of what takes it.
//!
//! A lane fills a [`Bulk`] through a [`BulkEncoder`], waits for [`BulkSink::room`], and has it delivered. Nothing here does
//! IO: the one real sink is [`super::elasticsearch`], the other is a simulation's.

mod addressing;
mod columns;
mod dates;
mod encode;
mod identity;
mod index_name;
mod origin;
mod room;

#[cfg(test)]
mod tests;

use std::{
    ops::{Deref, Range},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

pub use self::{
    addressing::{Addressing, IdMode, OnConflict, Operation},
    encode::BulkEncoder,
    identity::{ID_BYTES_MAX, IdPrefix},
    index_name::{IndexName, IndexNameError},
    origin::Origin,
    room::{Budget, Room},
};
use crate::batch::Reject;

/// Takes bodies to where documents are kept.
#[async_trait]
pub trait BulkSink: Send + Sync + 'static {
    /// Waits for room for a body of so many bytes. It is held until the body is delivered: the bound on bytes in flight. A
    /// body larger than all room there is gets all of it.
    async fn room(&self, bytes: usize) -> Room;

    /// Sends until every document is taken, known before, or refused, or patience is over. Never gives up silently: a
    /// document that has no exception in the answer is there. May be dropped at any time; what was sent may be taken then.
    async fn deliver(&self, bulk: &Bulk) -> Delivered;

    /// Looks at all records of a batch none of which has an address, before they are given up. If that can't be their fault,
    /// says so in words.
    fn doubt(&self, rejects: &[Reject]) -> Option<String>;
}

/// What became of a bulk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// What is to be said of documents that were not simply taken, by their place in [`Bulk::documents`], ascending, each
    /// place once.
    pub exceptions: Vec<(u32, Verdict)>,
    /// How it ended.
    pub end: End,
}

/// What is to be said of a document that was not simply taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was there before: success.
    Duplicate,
    /// It is there, and took the place of what had its `_id`: success.
    Updated,
    /// It was taken and is nowhere: an ingest pipeline dropped it.
    Dropped,
    /// It was taken and is not where it was to go: it did not fit, and the failure store has it.
    Redirected,
    /// It will never be taken: a record dead letter.
    Rejected {
        /// The sink's own reason.
        reason: String,
    },
    /// Another record has its `_id`: a record dead letter, too.
    Conflict {
        /// Which `_id`, and whose it is.
        reason: String,
    },
    /// Nothing is known of it, or it is known not to be taken yet; only with an [`End`] other than [`End::Done`].
    Pending,
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every document is taken, known before or rejected.
    Done,
    /// Out of reach or overloaded for longer than there is patience: the items are to be tried again later.
    Unavailable {
        /// What was wrong last.
        reason: String,
    },
    /// No permission, or no such index and it may not be made: nothing that a worker does will help.
    Refused {
        /// What to do about it.
        reason: String,
    },
}

/// One `_bulk` body that is being filled. It may hold documents of several items of one lane.
#[derive(Debug, Default)]
pub struct Bulk {
    /// Two lines for each document: what to do with it, and the document.
    pub body: Body,
    /// The documents, in the body's order.
    pub documents: Vec<Document>,
    /// By the number of a segment: since when its documents may be in the sink already, if somebody may have sent them before.
    /// What has no place here was never sent.
    pub sent_since: Vec<Option<Timestamp>>,
}

/// A document's place in a bulk, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Whatever the caller numbers by it: which of the bulk's items it belongs to.
    pub segment: u32,
    /// The record's ordinal in its object.
    pub ordinal: u64,
    /// Where its action line starts in the body.
    pub action: u32,
    /// Where the document itself is in the body, without its newline.
    pub source: Range<u32>,
}

impl Document {
    /// Both of its lines, with their newlines.
    pub fn lines(&self) -> Range<usize> {
        self.action as usize..self.source.end as usize + 1
    }
}

impl Bulk {
    /// A bulk whose body has room for so many bytes without growing.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            body: Body(Arc::new(Text(Vec::with_capacity(bytes)))),
            ..Self::default()
        }
    }

    /// Whether there is nothing to deliver.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The document at a place: what a dead letter keeps of it.
    pub fn source(&self, place: u32) -> &[u8] {
        let source = &self.documents[place as usize].source;
        &self.body[source.start as usize..source.end as usize]
    }

    /// Since when the document at a place may be in the sink already, if somebody may have sent it before.
    pub fn sent_since(&self, place: u32) -> Option<Timestamp> {
        let segment = self.documents[place as usize].segment;
        self.sent_since.get(segment as usize).copied().flatten()
    }

    /// The action line of the document at a place, without its newline: two documents have the same if they are to have the
    /// same address.
    pub fn action(&self, place: u32) -> &[u8] {
        let document = &self.documents[place as usize];
        &self.body[document.action as usize..document.source.start as usize - 1]
    }

    /// Empties it to be filled anew, with its memory kept where no request holds on to it.
    pub fn clear(&mut self) {
        self.documents.clear();
        self.sent_since.clear();
        match Arc::get_mut(&mut self.body.0) {
            Some(text) => text.0.clear(),
            None => self.body = Body::default(),
        }
    }
}

/// The text of a bulk: written by one, then shared with the requests that carry it, which do not copy it.
#[derive(Debug, Clone, Default)]
pub struct Body(Arc<Text>);

#[derive(Debug, Clone, Default)]
struct Text(Vec<u8>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.0
    }
}

impl Body {
    /// To be written to. Copied first if a request still holds on to it, which [`Bulk::clear`] sees to that it never does.
    pub fn text_mut(&mut self) -> &mut Vec<u8> {
        &mut Arc::make_mut(&mut self.0).0
    }

    /// The same text as what requests take.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from_owner(SharedText(self.0.clone()))
    }
}

struct SharedText(Arc<Text>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}
