//! The state directories of the jobs whose items a worker has: one for each job, below the same root.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use pf_state::{Checkpoints, DeadLetterWriter, LedgerWriter, StateDir};
use pf_work::settle::Outcome;

use crate::input::reason;

/// Jobs whose writers are kept open, each with a part of its ledger that still grows. A queue mostly has items of one job; of
/// more than these, the one that was opened first is opened anew when it is needed.
const JOBS_MAX: usize = 32;

/// One worker's side of a job's state directory.
#[derive(Debug)]
pub struct JobState {
    /// What is settled.
    pub ledger: LedgerWriter,
    /// Records that were given up.
    pub letters: DeadLetterWriter,
    /// How far items were read.
    pub checkpoints: Checkpoints,
}

/// Finds the state of a job.
pub struct States {
    open: Box<dyn Fn(&str) -> StateDir + Send + Sync>,
    worker: String,
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    open: BTreeMap<String, (u64, Arc<JobState>)>,
    opened: u64,
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl States {
    /// States that `open` finds by the job's name, written in the name of `worker`.
    pub fn new(worker: impl Into<String>, open: impl Fn(&str) -> StateDir + Send + Sync + 'static) -> Self {
        Self {
            open: Box::new(open),
            worker: worker.into(),
            jobs: Mutex::default(),
        }
    }

    /// The state of `job`. Nothing is contacted yet.
    pub fn of(&self, job: &str) -> Arc<JobState> {
        let mut jobs = self.jobs.lock().expect("no one panics while opening a job's state");
        if let Some((_, state)) = jobs.open.get(job) {
            return Arc::clone(state);
        }
        if jobs.open.len() >= JOBS_MAX {
            let first = jobs.open.iter().min_by_key(|(_, (opened, _))| *opened);
            let first = first.map(|(job, _)| job.clone());
            first.and_then(|job| jobs.open.remove(&job));
        }
        let dir = (self.open)(job);
        let state = Arc::new(JobState {
            ledger: dir.write_ledger(&self.worker),
            letters: dir.write_dead_letters(&self.worker),
            checkpoints: dir.checkpoints(),
        });
        jobs.opened += 1;
        let opened = jobs.opened;
        jobs.open.insert(job.to_owned(), (opened, Arc::clone(&state)));
        state
    }
}

/// What an error of a state directory says of the items that need it.
pub fn outcome(error: &pf_state::Error) -> Outcome {
    let reason = reason(error);
    match error {
        pf_state::Error::Place(pf_storage::Error::Unavailable { .. }) => Outcome::Unavailable { reason },
        // Another try meets the same, with this item and with every other one.
        _ => Outcome::Refused { reason },
    }
}

#[cfg(test)]
mod tests {
    use pf_state::place::Memory;

    use super::*;

    #[test]
    fn a_job_keeps_its_writers_until_too_many_others_came() {
        let memory = Arc::new(Memory::new());
        let states = States::new("w", move |job| StateDir::in_memory(Arc::clone(&memory), job));
        let first = states.of("0");
        assert!(Arc::ptr_eq(&first, &states.of("0")));
        for job in 1..=JOBS_MAX {
            states.of(&job.to_string());
        }
        assert!(!Arc::ptr_eq(&first, &states.of("0")));
        assert!(states.jobs.lock().unwrap().open.len() <= JOBS_MAX);
    }
}
