//! `pf-worker`: work items in, documents out.
fn main() {}
