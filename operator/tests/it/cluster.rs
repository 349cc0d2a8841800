//! The operator on a real control plane: API server, etcd and controller manager, and a real SQS server. Nothing runs pods
//! here, so the tests say what became of them, in their status.

#[path = "cluster/crash.rs"]
mod crash;
#[path = "cluster/drift.rs"]
mod drift;
#[path = "cluster/endings.rs"]
mod endings;
#[path = "cluster/kubectl.rs"]
mod kubectl;
#[path = "cluster/leading.rs"]
mod leading;
#[path = "cluster/life.rs"]
mod life;
#[path = "cluster/memory.rs"]
mod memory;
#[path = "cluster/mutations.rs"]
mod mutations;
#[path = "cluster/program.rs"]
mod program;
#[path = "cluster/queues.rs"]
mod queues;
#[path = "cluster/releases.rs"]
mod releases;
#[path = "cluster/roles.rs"]
mod roles;
#[path = "cluster/schema.rs"]
mod schema;
#[path = "cluster/spy.rs"]
mod spy;
#[path = "cluster/traces.rs"]
mod traces;
#[path = "cluster/watching.rs"]
mod watching;
#[path = "cluster/workers.rs"]
mod workers;
#[path = "cluster/world.rs"]
mod world;
