//! The tests of pf-storage from outside: both schemes, a real S3 server, and connections that break.
#![allow(clippy::unwrap_used)]

#[path = "it/answers.rs"]
mod answers;
#[path = "it/broken.rs"]
mod broken;
#[path = "it/contract.rs"]
mod contract;
#[path = "it/credentials.rs"]
mod credentials;
#[path = "it/endpoint.rs"]
mod endpoint;
#[path = "it/file.rs"]
mod file;
#[path = "it/file_model.rs"]
mod file_model;
#[path = "it/order.rs"]
mod order;
#[path = "it/paging.rs"]
mod paging;
#[path = "it/refusals.rs"]
mod refusals;
#[path = "it/versions.rs"]
mod versions;
#[path = "it/warnings.rs"]
mod warnings;
#[path = "it/worlds.rs"]
mod worlds;
#[path = "it/writes.rs"]
mod writes;
