//! What the operator counts. No label is made of a job's name: a cluster may have thousands.

use std::time::Instant;

use pf_telemetry::metrics::registered;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::{
    controller::status::{self, STALLED},
    crd::{IngestJobStatus, Phase},
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
    leading: IntGauge,
    jobs: IntGaugeVec,
    jobs_stalled: IntGauge,
    backlog: IntGauge,
    workers: IntGauge,
}

/// The label of a job that has no phase yet.
const NEW: &str = "New";

impl Metrics {
    /// New counters, registered with `registry`.
    pub fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, label: &str, values: &[&str]| {
            let counters = registered(registry, IntCounterVec::new(Opts::new(name, help), &[label]));
            for value in values {
                // What never happened is shown as 0.
                counters.with_label_values(&[*value]);
            }
            counters
        };
        let outcomes = [outcome(true), outcome(false)];
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        Self {
            reconciles: counters(
                "pf_reconciles_total",
                "Steps taken in the lives of jobs",
                "outcome",
                &outcomes,
            ),
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
                &outcomes,
            ),
            worker_reads: counters(
                "pf_worker_reads_total",
                "Times that a worker was asked for its metrics",
                "outcome",
                &outcomes,
            ),
            decisions: counters(
                "pf_scaling_decisions_total",
                "Decisions on the number of workers",
                "direction",
                &["down", "none", "up"],
            ),
            jobs: registered(
                registry,
                IntGaugeVec::new(Opts::new("pf_jobs", "IngestJobs that there are"), &["phase"]),
            ),
            leading: gauge("pf_leading", "Whether this operator is the one at work"),
            jobs_stalled: gauge(
                "pf_jobs_stalled",
                "IngestJobs that are not over and that somebody must see to",
            ),
            backlog: gauge(
                "pf_backlog_items",
                "Work items that jobs at work have in their queues or with workers",
            ),
            workers: gauge("pf_worker_pods", "Worker pods of all jobs"),
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

    /// This operator is the one at work.
    pub fn leads(&self) {
        self.leading.set(1);
    }

    /// These jobs there are, by their statuses. Whatever phase no job is in is told as 0.
    pub fn jobs<'a>(&self, jobs: impl Iterator<Item = Option<&'a IngestJobStatus>>) {
        let mut by_phase: Vec<(String, i64)> = Phase::ALL.iter().map(|phase| (format!("{phase:?}"), 0)).collect();
        by_phase.push((NEW.to_owned(), 0));
        let (mut stalled, mut backlog, mut workers) = (0, 0, 0);
        for job in jobs {
            let phase = job.and_then(|status| status.phase);
            let name = phase.map_or_else(|| NEW.to_owned(), |phase| format!("{phase:?}"));
            for (known, count) in &mut by_phase {
                *count += i64::from(*known == name);
            }
            let Some(job) = job else { continue };
            workers += i64::from(job.workers.unwrap_or(0));
            if !status::is_over(phase) {
                stalled += i64::from(status::holds(job, STALLED));
            }
            if matches!(phase, Some(Phase::Discovering | Phase::Running)) {
                backlog += job.backlog.unwrap_or(0);
            }
        }
        for (name, count) in by_phase {
            self.jobs.with_label_values(&[name.as_str()]).set(count);
        }
        self.jobs_stalled.set(stalled);
        self.backlog.set(backlog);
        self.workers.set(workers);
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

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use prometheus::{Encoder as _, TextEncoder};

    use super::*;
    use crate::controller::status::Draft;

    fn status(phase: Phase, stalls: bool, backlog: i64, workers: i32) -> IngestJobStatus {
        let mut draft = Draft::new(None, Some(1), Timestamp::UNIX_EPOCH);
        if stalls {
            draft.stalled("NotFound", "there is no Secret es");
        }
        draft.status.phase = Some(phase);
        draft.status.backlog = Some(backlog);
        draft.status.workers = Some(workers);
        draft.status
    }

    #[test]
    fn jobs_are_counted_by_what_they_are_now() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let jobs = [
            status(Phase::Running, false, 7, 2),
            status(Phase::Discovering, true, 5, 1),
            status(Phase::Suspended, false, 100, 0),
            status(Phase::Failed, true, 50, 0),
        ];
        metrics.jobs(jobs.iter().map(Some).chain([None]));
        let told = || {
            let mut text = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let first = told();
        for line in [
            "pf_jobs{phase=\"Running\"} 1",
            "pf_jobs{phase=\"Failed\"} 1",
            "pf_jobs{phase=\"New\"} 1",
            "pf_jobs{phase=\"Complete\"} 0",
            // A failed job waits for nobody.
            "pf_jobs_stalled 1",
            // What is at rest or over is no work.
            "pf_backlog_items 12",
            "pf_worker_pods 3",
            "pf_leading 0",
        ] {
            assert!(first.lines().any(|told| told == line), "{line} is not in {first}");
        }
        metrics.leads();
        metrics.jobs(std::iter::empty());
        let second = told();
        for line in ["pf_jobs{phase=\"Running\"} 0", "pf_backlog_items 0", "pf_leading 1"] {
            assert!(second.lines().any(|told| told == line), "{line} is not in {second}");
        }
    }
}
