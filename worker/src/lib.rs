//! From work items to documents. A library only so that benches and fuzzers reach the decoders; its one user is the
//! program beside it.

pub mod args;
pub mod batch;
pub mod binding;
pub mod dead_letters;
pub mod decompress;
pub mod delivery;
pub mod ending;
pub mod indexer;
pub mod input;
pub mod lane;
pub mod metrics;
pub mod open_files;
pub mod opened;
pub mod permission;
pub mod plan;
pub mod pool;
pub mod predicate;
pub mod prefetch;
pub mod reader;
pub mod report;
pub mod run;
pub mod sightings;
pub mod sources;
pub mod values;
