//! The IngestJob: its type, its plan, and who carries it out.
//!
//! Reading and checking a job comes before any work; [`plan`] is pure. [`local`] runs what it says on this machine,
//! [`controller`] in a cluster, with as many workers as [`scaler`] decides.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments here are what `--help` and `kubectl explain` show, as plain text"
)]

pub mod args;
pub mod controller;
pub mod crd;
pub mod explain;
pub mod fleet;
pub mod job_file;
pub mod leader;
pub mod local;
pub mod metrics;
pub mod plan;
pub mod queue;
pub mod ready;
pub mod run;
pub mod scaler;
pub mod traces;
pub mod validate;
