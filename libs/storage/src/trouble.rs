//! What is told, while it lasts, of an operation that does not go well.
//!
//! Attempts that fail are tried again without their caller, who would else wait without knowing for what. One line an
//! operation is enough to know, and does not bury others when a server fails all of them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::ObjectUri;

/// The trouble of one operation: a page of a listing, or a read with all requests that it takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trouble {
    told: Arc<AtomicBool>,
}

impl Trouble {
    /// Warns that an attempt failed because of `why` and is made again, unless this operation has warned before.
    /// `place` is `at` a server or `beyond` what a read has got.
    pub(crate) fn tried_again(&self, action: &str, uri: &ObjectUri, place: &str, why: &dyn fmt::Display) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%uri, "the first attempt to {action} {place} failed and is made again: {why}");
        }
    }
}
