//! What other programs see of this crate: the contract of its queues, and its wire format.

#[path = "it/memory_queue.rs"]
mod memory_queue;
#[path = "it/wire.rs"]
mod wire;
