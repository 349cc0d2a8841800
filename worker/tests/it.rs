//! What other programs see of `pf-worker`.

#[path = "it/command_line.rs"]
mod command_line;
#[path = "it/draining.rs"]
mod draining;
#[path = "it/elasticsearch.rs"]
mod elasticsearch;
#[path = "it/metrics_port.rs"]
mod metrics_port;
