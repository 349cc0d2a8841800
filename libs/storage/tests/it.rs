//! The tests of pf-storage from outside: both schemes, a real S3 server, and connections that break.
#![allow(clippy::unwrap_used)]

#[path = "it/contract.rs"]
mod contract;
#[path = "it/worlds.rs"]
mod worlds;
