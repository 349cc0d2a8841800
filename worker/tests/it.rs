//! What other programs see of `pf-worker`, and whole jobs of its delivery without any other program.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "it/command_line.rs"]
mod command_line;
#[path = "it/differential.rs"]
mod differential;
#[path = "it/draining.rs"]
mod draining;
#[path = "it/elasticsearch.rs"]
mod elasticsearch;
#[path = "it/metrics_port.rs"]
mod metrics_port;
#[path = "it/settlements.rs"]
mod settlements;
#[path = "it/simulation.rs"]
mod simulation;
