//! The decision itself.

use std::time::Duration;

use super::{Decision, History, Inputs, Mode, Reason, Sample, Wishes};

/// In this time the number of workers may double, or grow by [`GROWTH_MIN`], whichever is more.
const GROWTH_WINDOW: Duration = Duration::from_secs(15);

/// So many workers may be added in one window however few there are.
const GROWTH_MIN: u32 = 4;

/// Fewer workers than this share would have to be enough before any is taken away.
const TOLERANCE: f64 = 0.9;

/// Between two steps down: what a worker hands back must have shown up in the queue before the next step.
const SHRINK_EVERY: Duration = Duration::from_secs(15);

/// How long SQS' counters may lag behind: leases that it told of in this time are believed in.
pub const LAG: Duration = Duration::from_secs(90);

/// The time in which it is measured how fast a worker is.
const PACE_WINDOW: Duration = Duration::from_mins(2);

/// So many workers find out how fast one is.
const MEASURERS: u32 = 4;

/// What is measured wavers: more workers than there are must be called for by this factor before any is added.
const DEADLINE_TOLERANCE: f64 = 1.1;

/// How many workers the work calls for, whatever the job's bounds, and why as many.
#[derive(Debug, Clone, Copy)]
struct Call {
    workers: u32,
    why: Reason,
}

/// How many workers there are to be. Remembers what was seen in `history`. `idle_for` is how long the queue must have looked
/// empty before the last workers go.
///
/// Whatever the queue says: not more than `wishes.max`, and a reading that failed changes nothing but that.
pub fn decide(history: &mut History, inputs: Inputs, wishes: Wishes, idle_for: Duration, now: Duration) -> Decision {
    let replicas = inputs.replicas;
    let say = |replicas, reason| Decision { replicas, reason };
    let Some(depth) = inputs.depth else {
        return set_by_others(wishes, replicas, None).unwrap_or_else(|| say(replicas.min(wishes.max), Reason::Unknown));
    };
    let items = depth.backlog();
    // Where items may still come, the fewest workers stay; they would be started again within seconds.
    let least = if items > 0 { wishes.min.max(1) } else { 0 };
    let mut sample = Sample {
        at: now,
        depth,
        wanted: 0,
        replicas,
        bytes_per_worker: inputs.bytes_per_worker,
    };
    let call = called_for(history, sample, inputs, wishes, idle_for);
    let wanted = call.workers.max(least).min(wishes.max);
    sample.wanted = wanted;
    history.add(sample);
    if let Some(decision) = set_by_others(wishes, replicas, Some(least)) {
        return decision;
    }
    if replicas > wishes.max {
        // The job's author has changed the bound, and is obeyed at once: workers hand back what they hold.
        history.shrink(now);
        return say(wishes.max, Reason::AtMost { wanted: call.workers });
    }
    if wanted > replicas {
        return grow(history, inputs, wishes, (wanted, call), now);
    }
    if wanted == replicas && wanted > 0 {
        return say(replicas, why_as_many(wanted, call, wishes));
    }
    if items == 0 {
        return without_work(history, inputs, wishes, idle_for, now);
    }
    shrink(history, wanted, replicas, inputs.busy, wishes, now)
}

/// The number that is not the scaler's to say. `least` is the fewest there must be for anything to be done, if that is known.
fn set_by_others(wishes: Wishes, replicas: u32, least: Option<u32>) -> Option<Decision> {
    let (replicas, reason) = match wishes.mode {
        Mode::Managed => return None,
        Mode::Fixed(fixed) => (fixed, Reason::Fixed),
        // An autoscaler does not begin with none: the first one is ours.
        Mode::External(None) => (replicas.max(least.unwrap_or(0)).min(wishes.max), Reason::External),
        Mode::External(Some(set)) => (set, Reason::External),
    };
    Some(Decision { replicas, reason })
}

/// How many workers the work calls for: by what waits, or by when it is to be done.
fn called_for(history: &History, sample: Sample, inputs: Inputs, wishes: Wishes, idle_for: Duration) -> Call {
    let (now, items) = (sample.at, sample.depth.backlog());
    let clamped = |workers: u64| u32::try_from(workers).unwrap_or(u32::MAX);
    let per_worker = wishes.items_per_worker;
    let by_items = Call {
        workers: clamped(items.div_ceil(u64::from(per_worker))),
        why: Reason::Backlog { items, per_worker },
    };
    let Some(due) = wishes.due.filter(|_| items > 0) else {
        return by_items;
    };
    // That nothing is left must be seen before it is proven, and counters lag.
    let left = due.saturating_sub(now).saturating_sub(idle_for + LAG);
    if left.as_secs() == 0 {
        return Call {
            workers: clamped(items),
            why: Reason::TooFew { wanted: None },
        };
    }
    let pace = history.bytes_per_worker(now, PACE_WINDOW).or(sample.bytes_per_worker);
    match (inputs.bytes_left, pace.filter(|pace| *pace > 0)) {
        (_, None) => Call {
            workers: by_items.workers.min(MEASURERS.max(inputs.replicas)),
            why: Reason::Measuring,
        },
        (None, Some(_)) => by_items,
        (Some(bytes), Some(pace)) => {
            let bytes_per_second = bytes.div_ceil(left.as_secs());
            let called = clamped(bytes_per_second.div_ceil(pace).min(items));
            let enough = f64::from(inputs.replicas) * DEADLINE_TOLERANCE >= f64::from(called);
            Call {
                workers: if enough { called.min(inputs.replicas) } else { called },
                why: Reason::Deadline { left, bytes_per_second },
            }
        }
    }
}

/// Why a number of workers is the right one.
fn why_as_many(wanted: u32, call: Call, wishes: Wishes) -> Reason {
    let Call { workers, why } = call;
    if workers > wishes.max {
        match why {
            Reason::Deadline { .. } => Reason::TooFew { wanted: Some(workers) },
            Reason::TooFew { .. } => why,
            _ => Reason::AtMost { wanted: workers },
        }
    } else if workers < wanted && wanted == wishes.min {
        Reason::AtLeast
    } else {
        why
    }
}

/// The queue says that nothing is left.
fn without_work(history: &mut History, inputs: Inputs, wishes: Wishes, idle_for: Duration, now: Duration) -> Decision {
    let Inputs { replicas, busy, .. } = inputs;
    let none = Decision {
        replicas: 0,
        reason: Reason::Idle,
    };
    if replicas == 0 {
        return none;
    }
    if inputs.discovering {
        let kept = replicas.min(wishes.min.max(1));
        return shrink(history, kept, replicas, busy, wishes, now);
    }
    // The last workers go when the end is likely, all at once: what looks empty for so long holds no work for half of them.
    match busy {
        Some(busy) if busy > 0 => shrink(history, busy.min(replicas), replicas, Some(busy), wishes, now),
        _ if history.is_idle(idle_for) => {
            history.shrink(now);
            none
        }
        _ => shrink(history, 1, replicas, busy, wishes, now),
    }
}

/// Goes up towards `wanted`, as far as the window allows.
fn grow(history: &History, inputs: Inputs, wishes: Wishes, wanted: (u32, Call), now: Duration) -> Decision {
    let (wanted, call) = wanted;
    let replicas = inputs.replicas;
    if inputs.saturated && replicas > 0 {
        let reason = Reason::Saturated { wanted };
        return Decision { replicas, reason };
    }
    // What was added within the window counts against it, so that asking more often is no way to grow faster.
    let base = history
        .fewest_replicas(now, GROWTH_WINDOW)
        .unwrap_or(replicas)
        .min(replicas);
    let bound = base.saturating_add(base.max(GROWTH_MIN)).max(replicas);
    // One worker finds out whether work can be done at all before others follow.
    let bound = if inputs.saturated { bound.min(1) } else { bound };
    if bound < wanted {
        let reason = Reason::Growing { wanted };
        return Decision {
            replicas: bound,
            reason,
        };
    }
    Decision {
        replicas: wanted,
        reason: why_as_many(wanted, call, wishes),
    }
}

/// Goes down towards `wanted`, if that was enough for long enough, by half at most, and never below those that hold work.
fn shrink(
    history: &mut History,
    wanted: u32,
    replicas: u32,
    busy: Option<u32>,
    wishes: Wishes,
    now: Duration,
) -> Decision {
    let say = |replicas, reason| Decision { replicas, reason };
    if wanted >= replicas {
        return say(replicas, Reason::LooksEmpty);
    }
    let window = wishes.scale_down_after;
    let enough = history.most_wanted(now, window).unwrap_or(wanted).max(wanted);
    if !history.reaches_back(now, window) || f64::from(enough) >= f64::from(replicas) * TOLERANCE {
        return say(replicas, Reason::Settling { wanted });
    }
    if history.since_shrunk(now).is_some_and(|since| since < SHRINK_EVERY) {
        return say(replicas, Reason::Shrinking { wanted: enough });
    }
    // Each lease may be another worker's.
    let leases = u32::try_from(history.most_in_flight(now, LAG)).unwrap_or(u32::MAX);
    let busy = busy.unwrap_or(leases).min(replicas);
    let target = enough.max(replicas.div_ceil(2)).max(busy);
    if target >= replicas {
        return say(replicas, Reason::Busy { busy });
    }
    history.shrink(now);
    let reason = if target == busy && busy > enough {
        Reason::Busy { busy }
    } else {
        Reason::Shrinking { wanted: enough }
    };
    say(target, reason)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Depth, IDLE_TEST},
        *,
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn waiting(visible: u64, replicas: u32) -> Inputs {
        Inputs {
            depth: Some(Depth {
                visible,
                ..Depth::default()
            }),
            replicas,
            ..Inputs::default()
        }
    }

    /// What is decided when a queue says the same thing every 15 seconds, and what was decided is done.
    fn followed(inputs: Inputs, wishes: Wishes, readings: u64) -> Vec<u32> {
        let (mut history, mut inputs, mut decided) = (History::default(), inputs, Vec::new());
        for n in 0..readings {
            let decision = decide(&mut history, inputs, wishes, IDLE_TEST, seconds(15 * n));
            inputs.replicas = decision.replicas;
            decided.push(decision.replicas);
        }
        decided
    }

    #[test]
    fn the_way_up_doubles_or_adds_four_every_fifteen_seconds() {
        let wishes = Wishes {
            max: 50,
            ..Wishes::default()
        };
        assert_eq!(followed(waiting(10_000, 0), wishes, 6), [4, 8, 16, 32, 50, 50]);
        let mut history = History::default();
        let often = (0..15).fold(waiting(10_000, 2), |mut inputs, second| {
            inputs.replicas = decide(&mut history, inputs, wishes, IDLE_TEST, seconds(second)).replicas;
            inputs
        });
        assert_eq!(often.replicas, 6, "asking every second grows no faster");
    }

    #[test]
    fn the_way_down_waits_and_halves() {
        let decided = followed(
            waiting(20, 16),
            Wishes {
                max: 50,
                ..Wishes::default()
            },
            14,
        );
        assert_eq!(decided, [16, 16, 16, 16, 16, 16, 16, 16, 8, 4, 2, 1, 1, 1]);
    }

    #[test]
    fn what_is_unknown_changes_nothing() {
        let unknown = Inputs {
            depth: None,
            ..waiting(0, 7)
        };
        assert_eq!(followed(unknown, Wishes::default(), 20), [7; 20]);
        let decision = decide(
            &mut History::default(),
            unknown,
            Wishes::default(),
            IDLE_TEST,
            seconds(0),
        );
        assert_eq!(decision.reason, Reason::Unknown);
    }

    #[test]
    fn a_little_less_than_before_is_no_reason_to_go_down() {
        let wishes = Wishes {
            max: 50,
            ..Wishes::default()
        };
        assert_eq!(followed(waiting(19 * 20, 20), wishes, 20), [20; 20]);
    }

    #[test]
    fn busy_workers_stay() {
        let busy = Inputs {
            busy: Some(5),
            ..waiting(20, 8)
        };
        assert_eq!(followed(busy, Wishes::default(), 12).last(), Some(&5));
        let leased = Inputs {
            depth: Some(Depth {
                in_flight: 6,
                ..Depth::default()
            }),
            ..waiting(0, 8)
        };
        assert_eq!(
            followed(leased, Wishes::default(), 12).last(),
            Some(&6),
            "each lease may be another's"
        );
    }

    #[test]
    fn the_last_workers_go_when_the_queue_was_empty_for_long() {
        let decided = followed(waiting(0, 2), Wishes::default(), 12);
        assert_eq!(decided, [2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0]);
        let discovering = Inputs {
            discovering: true,
            ..waiting(0, 2)
        };
        assert_eq!(followed(discovering, Wishes::default(), 12).last(), Some(&1));
    }

    #[test]
    fn bounds_hold_and_are_named() {
        let wishes = Wishes {
            min: 3,
            max: 5,
            ..Wishes::default()
        };
        let at = |inputs| decide(&mut History::default(), inputs, wishes, IDLE_TEST, seconds(0));
        assert_eq!(at(waiting(1, 3)).reason, Reason::AtLeast);
        assert_eq!(at(waiting(1, 0)).replicas, 3);
        assert_eq!(at(waiting(1000, 5)).reason, Reason::AtMost { wanted: 50 });
        assert_eq!(
            at(waiting(1000, 9)).replicas,
            5,
            "a bound that was lowered is obeyed at once"
        );
        assert_eq!(at(waiting(0, 0)).replicas, 0, "without work there is no least");
        let fixed = Wishes {
            mode: Mode::Fixed(9),
            ..wishes
        };
        let decision = decide(&mut History::default(), waiting(0, 1), fixed, IDLE_TEST, seconds(0));
        assert_eq!((decision.replicas, decision.reason), (9, Reason::Fixed));
    }

    #[test]
    fn a_sink_that_takes_no_more_freezes_growth() {
        let saturated = Inputs {
            saturated: true,
            ..waiting(1000, 3)
        };
        assert_eq!(followed(saturated, Wishes::default(), 5), [3; 5]);
        let first = Inputs {
            saturated: true,
            ..waiting(1000, 0)
        };
        assert_eq!(
            followed(first, Wishes::default(), 3),
            [1; 3],
            "one worker finds out whether it is over"
        );
    }

    /// 100 GB are left, a worker reads 10 MB/s, and there are two hours, of which three and a half minutes are the proof's.
    fn in_a_hurry() -> (Inputs, Wishes) {
        let inputs = Inputs {
            bytes_left: Some(100_000_000_000),
            bytes_per_worker: Some(10_000_000),
            ..waiting(1000, 0)
        };
        let wishes = Wishes {
            max: 50,
            due: Some(Duration::from_hours(2)),
            ..Wishes::default()
        };
        (inputs, wishes)
    }

    fn at_once(inputs: Inputs, wishes: Wishes) -> Decision {
        decide(&mut History::default(), inputs, wishes, IDLE_TEST, seconds(0))
    }

    #[test]
    fn a_deadline_calls_for_as_many_as_it_takes_and_no_more() {
        let (inputs, wishes) = in_a_hurry();
        let decision = at_once(Inputs { replicas: 2, ..inputs }, wishes);
        assert_eq!(decision.replicas, 2, "100 GB in 116.5 min are 14.3 MB/s");
        assert_eq!(decision.to_string(), "2 workers to read 14 MB/s and be done in 117 min");
        let soon = Wishes {
            due: Some(Duration::from_mins(12)),
            ..wishes
        };
        let decision = at_once(Inputs { replicas: 18, ..inputs }, soon);
        assert_eq!(decision.replicas, 20);
        let many = at_once(Inputs { replicas: 18, ..inputs }, Wishes { max: 18, ..soon });
        assert_eq!(many.reason, Reason::TooFew { wanted: Some(20) });
        assert_eq!(
            at_once(Inputs { replicas: 19, ..inputs }, soon).replicas,
            19,
            "a little more is no reason to grow"
        );
        let few_items = Inputs {
            replicas: 3,
            ..waiting(3, 3)
        };
        let few_items = Inputs {
            bytes_left: inputs.bytes_left,
            bytes_per_worker: inputs.bytes_per_worker,
            ..few_items
        };
        assert_eq!(at_once(few_items, soon).replicas, 3, "an item is not shared");
    }

    #[test]
    fn until_a_worker_was_measured_a_few_work_and_when_it_is_late_all_do() {
        let (inputs, wishes) = in_a_hurry();
        let unmeasured = Inputs {
            bytes_per_worker: None,
            ..inputs
        };
        assert_eq!(
            (at_once(unmeasured, wishes).replicas, at_once(unmeasured, wishes).reason),
            (4, Reason::Measuring)
        );
        let uncounted = Inputs {
            bytes_left: None,
            replicas: 50,
            ..inputs
        };
        assert_eq!(
            at_once(uncounted, wishes).reason,
            Reason::Backlog {
                items: 1000,
                per_worker: 20
            }
        );
        let late = Wishes {
            due: Some(Duration::from_mins(2)),
            ..wishes
        };
        let decision = at_once(Inputs { replicas: 50, ..inputs }, late);
        assert_eq!(
            (decision.replicas, decision.reason),
            (50, Reason::TooFew { wanted: None })
        );
    }

    #[test]
    fn who_is_told_from_outside_does_as_told_but_for_the_first_worker() {
        let external = |set| Wishes {
            mode: Mode::External(set),
            ..Wishes::default()
        };
        let set = at_once(waiting(1000, 3), external(Some(7)));
        assert_eq!((set.replicas, set.reason), (7, Reason::External));
        assert_eq!(at_once(waiting(1000, 3), external(Some(0))).replicas, 0);
        assert_eq!(at_once(waiting(1000, 0), external(None)).replicas, 1);
        assert_eq!(at_once(waiting(1000, 3), external(None)).replicas, 3);
        assert_eq!(at_once(waiting(0, 0), external(None)).replicas, 0);
    }

    #[test]
    fn every_reason_is_a_sentence() {
        let decision = decide(
            &mut History::default(),
            waiting(45, 3),
            Wishes::default(),
            IDLE_TEST,
            seconds(0),
        );
        assert_eq!(decision.to_string(), "3 workers for 45 work items, up to 20 each");
    }
}
