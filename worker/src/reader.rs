//! From an object's bytes to batches of records. Decoders here do no IO: bytes in, batches out.

pub mod ndjson;
pub mod object;
pub mod parquet;
pub mod range_source;
