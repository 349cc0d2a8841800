//! A whole job under a clock that tests move: real queue, leasing, keeper, settler, ledger, dead letters and bulks, a simulated
//! sink and simulated objects, and workers that are killed, asked to stop again and again, cut off from one thing or another, or too
//! slow for their leases; storage and sink that are down for everybody; objects that can't be read though all others can, and
//! objects that end each worker that reads them. Whatever happens, in the end every record is in the index once or a dead letter
//! with its reason, the ledger says so, and nothing is given up that is healthy.
//!
//! One seed is one run, and does the same each time. `PF_SIMULATION_SEED=17 cargo test -p pf-worker simulation` repeats one,
//! `PF_SIMULATION_SEEDS=100000` runs more than the usual number.

#[path = "simulation/check.rs"]
mod check;
#[path = "simulation/faults.rs"]
mod faults;
#[path = "simulation/lane.rs"]
mod lane;
#[path = "simulation/life.rs"]
mod life;
#[path = "simulation/objects.rs"]
mod objects;
#[path = "simulation/outages.rs"]
mod outages;
#[path = "simulation/sink.rs"]
mod sink;
#[path = "simulation/slow_sink.rs"]
mod slow_sink;
#[path = "simulation/world.rs"]
mod world;

use std::env;

use self::world::World;

/// Seeds of a usual run.
const SEEDS: u64 = 2000;

#[test]
fn whatever_happens_every_record_arrives_once_or_is_a_dead_letter_and_the_ledger_knows() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("PF_SIMULATION_SEED") {
        World::new(seed).run();
        return;
    }
    let seeds = number("PF_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let mut met = faults::Met::default();
    for seed in 0..seeds {
        let run = std::panic::catch_unwind(|| World::new(seed).run());
        match run {
            Ok(here) => met += here,
            Err(panic) => {
                eprintln!("seed {seed} failed: repeat it with PF_SIMULATION_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    // A simulation in which nothing happens proves nothing.
    assert!(met.all_kinds(), "too little happened in {seeds} seeds: {met:?}");
}

#[test]
fn a_seed_does_the_same_each_time() {
    for seed in [1, 2, 3] {
        assert_eq!(World::new(seed).run(), World::new(seed).run(), "seed {seed}");
    }
}
