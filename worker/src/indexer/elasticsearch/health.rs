//! Which node a request goes to: those that answer, in turn; one that did not is left alone for a time that grows, and is then
//! tried with one request. No clock, no IO.

use std::time::Duration;

use tokio::time::Instant;

/// How long a node is left alone after its first failure, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// How the nodes stand.
#[derive(Debug)]
pub(super) struct Health {
    nodes: Vec<Node>,
    next: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// Since the last success.
    failures: u32,
    /// Not to be asked before; none while it is well.
    down_until: Option<Instant>,
}

impl Node {
    fn is_well(&self) -> bool {
        self.down_until.is_none()
    }
}

impl Health {
    /// So many nodes, all well until shown otherwise.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            nodes: vec![Node::default(); nodes],
            next: 0,
        }
    }

    /// The node for the next request.
    pub(super) fn pick(&mut self, now: Instant) -> usize {
        let due = |node: &Node| node.down_until.is_some_and(|until| until <= now);
        let node = self
            .find(due)
            .or_else(|| self.find(Node::is_well))
            .unwrap_or_else(|| self.soonest());
        self.next = (node + 1) % self.nodes.len();
        if let Some(until) = &mut self.nodes[node].down_until {
            // One request finds out; the others go elsewhere meanwhile.
            *until = now + PAUSE_MAX;
        }
        node
    }

    /// Whether the last that is known of a node is that it answered.
    pub(super) fn is_well(&self, node: usize) -> bool {
        self.nodes[node].is_well()
    }

    /// Notes that a node answered.
    pub(super) fn succeeded(&mut self, node: usize) {
        self.nodes[node] = Node::default();
    }

    /// Notes that a node did not answer, or could not work. Says whether another one is well.
    pub(super) fn failed(&mut self, node: usize, now: Instant) -> bool {
        let state = &mut self.nodes[node];
        let pause = PAUSE.saturating_mul(1 << state.failures.min(16)).min(PAUSE_MAX);
        state.failures += 1;
        state.down_until = Some(now + pause);
        self.nodes.iter().any(Node::is_well)
    }

    /// In turn, so that all get their share.
    fn find(&self, wanted: impl Fn(&Node) -> bool) -> Option<usize> {
        let nodes = self.nodes.len();
        (self.next..self.next + nodes)
            .map(|number| number % nodes)
            .find(|number| wanted(&self.nodes[*number]))
    }

    fn soonest(&self) -> usize {
        let until = |number: &usize| self.nodes[*number].down_until;
        (0..self.nodes.len()).min_by_key(until).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(health: &mut Health, now: Instant, count: usize) -> Vec<usize> {
        (0..count).map(|_| health.pick(now)).collect()
    }

    #[test]
    fn requests_go_round() {
        let mut health = Health::new(3);
        assert_eq!(picks(&mut health, Instant::now(), 6), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_node_that_failed_is_left_alone_and_then_tried_once_until_it_answers() {
        let (mut health, now) = (Health::new(3), Instant::now());
        assert!(health.failed(1, now));
        assert!(!health.is_well(1) && health.is_well(0));
        assert_eq!(picks(&mut health, now, 4), [0, 2, 0, 2]);
        let later = now + PAUSE;
        assert_eq!(picks(&mut health, later, 4), [1, 2, 0, 2]);
        health.succeeded(1);
        let mut round = picks(&mut health, later, 3);
        round.sort_unstable();
        assert_eq!(round, [0, 1, 2]);
    }

    #[test]
    fn a_node_that_keeps_failing_is_left_alone_longer_each_time() {
        let (mut health, now) = (Health::new(2), Instant::now());
        health.failed(0, now);
        health.failed(0, now);
        assert_eq!(picks(&mut health, now + PAUSE, 2), [1, 1]);
        assert_eq!(picks(&mut health, now + 2 * PAUSE, 2), [0, 1]);
        for _ in 0..100 {
            health.failed(0, now);
        }
        assert_eq!(picks(&mut health, now + PAUSE_MAX, 1), [0]);
    }

    #[test]
    fn when_none_is_well_the_one_that_failed_least_is_asked() {
        let (mut health, now) = (Health::new(2), Instant::now());
        health.failed(0, now);
        health.failed(0, now);
        assert!(!health.failed(1, now));
        assert_eq!(health.pick(now), 1);
        let mut alone = Health::new(1);
        alone.failed(0, now);
        assert_eq!(picks(&mut alone, now, 2), [0, 0]);
    }
}
