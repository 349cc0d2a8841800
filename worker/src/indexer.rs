//! From batches to documents, and the documents to where they go.

pub mod bulk;
pub mod elasticsearch;
pub mod json;
pub mod outlet;
pub mod output;
pub mod partition;
pub mod sending;
