//! What other programs see of this crate: the contract of its queues, and its wire format.

#![allow(clippy::unwrap_used)]

#[path = "it/memory_queue.rs"]
mod memory_queue;
#[path = "it/sqs_admin.rs"]
mod sqs_admin;
#[path = "it/sqs_faults.rs"]
mod sqs_faults;
#[path = "it/sqs_messages.rs"]
mod sqs_messages;
#[path = "it/sqs_queue.rs"]
mod sqs_queue;
#[path = "it/sqs_start.rs"]
mod sqs_start;
#[path = "it/wire.rs"]
mod wire;
