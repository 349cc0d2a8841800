//! What the operator counts. No label is made of a job's name: a cluster may have thousands.

use std::time::Instant;

use pf_telemetry::metrics::registered;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::{
    crd::Phase,
    fleet::{Address, Told},
};

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 7] = [0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];

/// Counters of one operator.
#[derive(Debug, Clone)]
pub struct Metrics {
    reconciles: IntCounterVec,
    reconcile_seconds: Histogram,
    queue_reads: IntCounterVec,
    worker_reads: IntCounterVec,
    decisions: IntCounterVec,
    jobs: IntGaugeVec,
}

impl Metrics {
    /// New counters, registered with `registry`.
    pub fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, label: &str| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), &[label]))
        };
        Self {
            reconciles: counters("pf_reconciles_total", "Steps taken in the lives of jobs", "outcome"),
            reconcile_seconds: registered(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new("pf_reconcile_seconds", "How long a step took").buckets(SECONDS.to_vec()),
                ),
            ),
            queue_reads: counters(
                "pf_queue_reads_total",
                "Times that a queue was asked for its depth",
                "outcome",
            ),
            worker_reads: counters(
                "pf_worker_reads_total",
                "Times that a worker was asked for its metrics",
                "outcome",
            ),
            decisions: counters(
                "pf_scaling_decisions_total",
                "Decisions on the number of workers",
                "direction",
            ),
            jobs: registered(
                registry,
                IntGaugeVec::new(Opts::new("pf_jobs", "IngestJobs that there are"), &["phase"]),
            ),
        }
    }

    /// Begins a step.
    pub fn step(&self) -> Step<'_> {
        Step {
            metrics: self,
            began: Instant::now(),
        }
    }

    /// A queue was asked.
    pub fn asked(&self, well: bool) {
        self.queue_reads.with_label_values(&[outcome(well)]).inc();
    }

    /// Workers were asked.
    pub fn heard(&self, answers: &[(Address, Option<Told>)]) {
        for (_, told) in answers {
            self.worker_reads.with_label_values(&[outcome(told.is_some())]).inc();
        }
    }

    /// It was decided how many workers there are to be.
    pub fn decided(&self, before: u32, after: u32) {
        let direction = match after.cmp(&before) {
            std::cmp::Ordering::Less => "down",
            std::cmp::Ordering::Equal => "none",
            std::cmp::Ordering::Greater => "up",
        };
        self.decisions.with_label_values(&[direction]).inc();
    }

    /// These jobs there are.
    pub fn jobs(&self, phases: impl Iterator<Item = Option<Phase>>) {
        self.jobs.reset();
        for phase in phases {
            let name = phase.map_or_else(|| "New".to_owned(), |phase| format!("{phase:?}"));
            self.jobs.with_label_values(&[name.as_str()]).inc();
        }
    }
}

/// A step under way.
#[derive(Debug)]
pub struct Step<'a> {
    metrics: &'a Metrics,
    began: Instant,
}

impl Step<'_> {
    /// It is taken, or failed.
    pub fn done(self, well: bool) {
        self.metrics.reconciles.with_label_values(&[outcome(well)]).inc();
        self.metrics
            .reconcile_seconds
            .observe(self.began.elapsed().as_secs_f64());
    }
}

fn outcome(well: bool) -> &'static str {
    if well { "ok" } else { "error" }
}
