//! From work items to documents. A library only so that benches and fuzzers reach the decoders; its one user is the
//! program beside it.

pub mod batch;
pub mod indexer;
pub mod predicate;
pub mod reader;
