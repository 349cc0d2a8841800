//! The tests of pf-operator as its users meet it: one binary for all of them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

#[path = "it/bad_jobs.rs"]
mod bad_jobs;
#[path = "it/charts.rs"]
mod charts;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/examples.rs"]
mod examples;
#[path = "it/explain.rs"]
mod explain;
#[path = "it/gitops.rs"]
mod gitops;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/processes.rs"]
mod processes;
#[path = "it/program.rs"]
mod program;
#[path = "it/queues.rs"]
mod queues;
#[path = "it/rules.rs"]
mod rules;
