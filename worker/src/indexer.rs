//! From batches to documents.

pub mod json;
