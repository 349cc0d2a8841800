//! The IngestJob: its type, its plan, and who carries it out.
//!
//! Reading and checking a job comes before any work; [`plan`] is pure, and [`local`] runs what it says.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments here are what `--help` and `kubectl explain` show, as plain text"
)]

pub mod args;
pub mod crd;
pub mod job_file;
pub mod local;
pub mod plan;
pub mod validate;
