//! Where a reader that needs ranges of an object (Parquet) gets them: asked from a lane's thread, fetched elsewhere.

use std::{io, ops::Range};

use bytes::Bytes;

/// Ranged reads of one object. Fetches run in the background; only [`Fetch::wait`] blocks.
pub trait RangeSource: Send + Sync {
    /// Size of the object in bytes.
    fn size_bytes(&self) -> u64;

    /// Starts to read `range`, which must lie within the object.
    fn fetch(&self, range: Range<u64>) -> Fetch;
}

/// A range that is on its way. Dropping it gives the read up.
pub struct Fetch(Box<dyn FnOnce() -> io::Result<Bytes> + Send>);

impl Fetch {
    /// A fetch whose answer `wait` blocks for.
    pub fn new(wait: impl FnOnce() -> io::Result<Bytes> + Send + 'static) -> Self {
        Self(Box::new(wait))
    }

    /// Blocks until the range is here. The error wraps what the storage said.
    pub fn wait(self) -> io::Result<Bytes> {
        (self.0)()
    }
}

/// An object that is in memory already.
impl RangeSource for Bytes {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn fetch(&self, range: Range<u64>) -> Fetch {
        let piece = self.slice(range.start as usize..range.end as usize);
        Fetch::new(move || Ok(piece))
    }
}
