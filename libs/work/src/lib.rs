//! Work items, the queue that leases them, and the rule for what becomes of them.
//!
//! This room holds what the programs say to each other: [`WorkItem`] is the wire format, [`queue`] the contract of
//! delivery, [`settle()`] the one place where the fate of a leased item is decided. It must not know how objects are
//! read or where documents go.

pub mod checkpoint;
pub mod contract;
pub mod counts;
pub mod discovery;
pub mod identity;
pub mod item;
pub mod limit;
pub mod memory;
pub mod proof;
pub mod queue;
pub mod settle;
pub mod sqs;

pub use checkpoint::Checkpoint;
pub use counts::Counts;
pub use item::{ByteRange, Compression, Format, WorkItem};
pub use limit::Limit;
pub use queue::{Lease, WorkSink, WorkSource};
pub use settle::{Settlement, settle};
