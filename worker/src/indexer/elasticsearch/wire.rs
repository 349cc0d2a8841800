//! The seam between delivering a bulk and the network: one attempt at one request.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// Makes attempts.
#[async_trait]
pub(super) trait Wire: Send + Sync {
    /// Sends a body to some node that is well, once.
    async fn attempt(&self, body: &Payload) -> Attempt;

    /// Asks some node that is well what changes nothing, once: by POST if there is a body.
    async fn ask(&self, path: &str, body: Option<Bytes>) -> Attempt;
}

/// A request's body as it goes out.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    pub(super) bytes: Bytes,
    pub(super) is_gzip: bool,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    /// Some answer.
    Answered(Reply),
    /// None: what was sent may be taken or not.
    Lost {
        /// It took too long.
        timed_out: bool,
        /// What was wrong, in words.
        reason: String,
        /// Whether there is another node that is well.
        another_is_well: bool,
    },
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    /// HTTP's status.
    pub(super) status: u16,
    /// How long the server asks to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// The whole body.
    pub(super) body: Bytes,
    /// If this node can't work: whether there is another one that is well.
    pub(super) another_is_well: bool,
    /// For an answer that says we are not signed in: whether we ever were, or have something new to say by now.
    pub(super) may_sign_in_again: bool,
}
