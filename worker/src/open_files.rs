//! How many files and connections this process may have open: as many as it may ask for, and never more than it opens.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::plan::Plan;

/// Open beside objects: standard streams, the runtime's own, dead letters, connections to queue, state directory and sink.
const OTHERS: u64 = 32;
/// Each lane has an object that it reads, and one of which it reads a range meanwhile.
const OF_A_LANE: u64 = 2;

/// Raises the limit to what the system lets us have, and gives it; none: there is no limit.
pub fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        // A system with a limit beside this one keeps what it has.
        Err(_) => current,
    }
}

/// Takes fewer objects ahead, and if need be fewer lanes, where a plan's objects could not all be open.
pub fn keep_within(limit: Option<u64>, plan: &mut Plan) {
    let Some(limit) = limit else { return };
    let (threads, objects) = fitted(limit, plan.threads as u64, plan.prefetch.objects as u64);
    if (threads, objects) != (plan.threads as u64, plan.prefetch.objects as u64) {
        tracing::warn!(
            "only {limit} files may be open: {threads} threads, each with {objects} objects ahead, and not {} with {}; `ulimit -n` allows more",
            plan.threads,
            plan.prefetch.objects
        );
        // Both only became smaller.
        plan.threads = threads as usize;
        plan.prefetch.objects = objects as usize;
    }
}

/// Threads and objects ahead of each that stay within a limit of open files; at least one of each.
fn fitted(limit: u64, threads: u64, objects: u64) -> (u64, u64) {
    let left = limit.saturating_sub(OTHERS);
    let threads = threads.min(left / (OF_A_LANE + 1)).max(1);
    let objects = objects.min((left / threads).saturating_sub(OF_A_LANE)).max(1);
    (threads, objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_opened_than_may_be() {
        assert_eq!(fitted(1024, 16, 6), (16, 6));
        assert_eq!(fitted(128, 16, 6), (16, 4));
        assert_eq!(fitted(64, 16, 6), (10, 1));
        assert_eq!(fitted(8, 16, 6), (1, 1));
        for limit in 40..3000 {
            for threads in [1, 2, 7, 64, 1024] {
                let (threads, objects) = fitted(limit, threads, 6);
                assert!(
                    OTHERS + threads * (OF_A_LANE + objects) <= limit,
                    "{limit}: {threads}, {objects}"
                );
            }
        }
    }

    #[test]
    fn the_limit_is_as_high_as_the_system_lets_it_be() {
        let limit = raise_limit();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, limit);
        assert_eq!(now.current, now.maximum);
    }
}
