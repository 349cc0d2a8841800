//! An hour of input for a sink that takes a tenth of what the lanes could read: it is the sink that sets the pace, and nothing
//! piles up before it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fastrand::Rng;
use pf_worker::delivery::leasing::Until;
use tokio::time::Instant;

use super::{
    faults::{Link, Met},
    life::{Bodies, End, Temper},
    objects::Object,
    world::{VISIBILITY, World, paused},
};

const HOUR: Duration = Duration::from_hours(1);
const PER_DOCUMENT: Duration = Duration::from_millis(50);
const OBJECTS: u64 = 100;
const LANES: u32 = 3;

/// A batch has up to eight lines, 4.5 of them in the mean, and reading it takes half of the longest time in the mean.
const BATCH_LINES_TIMES_TWO: u32 = 9;
/// All lanes together read so many times as fast as the sink takes.
const FASTER: u32 = 10;

#[test]
fn a_sink_at_a_tenth_of_the_speed_sets_the_pace_and_nothing_piles_up_or_runs_out() {
    let lines = HOUR.as_millis() / PER_DOCUMENT.as_millis();
    let lines_each = usize::try_from(lines).unwrap() / OBJECTS as usize;
    let objects = (0..OBJECTS).map(|seq| Object::good(seq, lines_each)).collect();
    let mut world = World::of(Rng::with_seed(0), objects, 1000);
    let bodies = Bodies {
        bytes: 8 << 10,
        in_flight_bytes_max: 32 << 10,
        in_flight_bytes_peak: Arc::default(),
        turns: 1,
    };
    let temper = Temper {
        link: Link::new(world.rng.fork(), 0, Duration::from_millis(50)),
        lanes: LANES as usize,
        polls: 1,
        per_document: PER_DOCUMENT,
        bodies: bodies.clone(),
        slowest_read: PER_DOCUMENT * BATCH_LINES_TIMES_TWO * LANES / FASTER,
        read_failures_permille: 0,
        until: Until::Idle(VISIBILITY * 40),
    };
    let (met, took) = paused().block_on(async {
        world.offer().await;
        let started = Instant::now();
        let met = world.worker("only".to_owned(), temper, End::ByItself).await;
        world.check().await;
        let taken_at = world.index.lock().unwrap().taken_at.unwrap();
        (met, taken_at - started)
    });

    let peak = bodies.in_flight_bytes_peak.load(Ordering::Relaxed);
    let budget = i64::try_from(bodies.in_flight_bytes_max).unwrap();
    assert!(peak <= budget, "{peak} bytes were on their way, {budget} may be");
    // It is used, too: else the test would say nothing of it.
    assert!(peak > budget / 2, "only {peak} of {budget} bytes were on their way");
    // No lease was lost, and none ran out behind the keeper's back: then its item would have been read again.
    assert_eq!((met, world.met), (Met::default(), Met::default()));
    assert!(took >= HOUR && took <= HOUR.mul_f64(1.1), "{took:?}");
}
