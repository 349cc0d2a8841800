//! The state directories of the jobs whose items a worker has: one for each job, below the same root.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use pf_state::{Checkpoints, DeadLetterWriter, Ledger, LedgerWriter, StateDir};
use pf_work::{Counts, WorkItem, settle::Outcome};

use crate::input::reason;

/// Jobs whose writers are kept open, each with a part of its ledger that still grows. A queue mostly has items of one job; of
/// more than these, the one that was opened first is opened anew when it is needed.
const JOBS_MAX: usize = 32;

/// One worker's side of a job's state directory.
#[derive(Debug)]
pub struct JobState {
    dir: StateDir,
    /// Whose books these were found to be.
    bound: tokio::sync::Mutex<Option<Bound>>,
    /// What is settled.
    pub ledger: LedgerWriter,
    /// Records that were given up.
    pub letters: DeadLetterWriter,
    /// How far items were read.
    pub checkpoints: Checkpoints,
}

/// Books that are a job's, in one life of it.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    life: Option<String>,
}

/// Finds the state of a job.
pub struct States {
    open: Box<dyn Fn(&str) -> StateDir + Send + Sync>,
    worker: String,
    /// What documents and their destination depend on.
    binding: BTreeMap<String, String>,
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
            binding: BTreeMap::new(),
            jobs: Mutex::default(),
        }
    }

    /// Binds the books of each job to what documents and their destination depend on.
    #[must_use]
    pub fn bound_to(self, binding: BTreeMap<String, String>) -> Self {
        Self { binding, ..self }
    }

    /// Makes sure that the books of the item's job are those of its life, and were begun by workers that make the same documents
    /// and send them to the same place. The first worker binds them.
    pub async fn bind(&self, item: &WorkItem) -> pf_state::Result<()> {
        let state = self.of(&item.job);
        let mut bound = state.bound.lock().await;
        if bound.as_ref().is_some_and(|bound| bound.life == item.life) {
            return Ok(());
        }
        let mut plan = self.binding.clone();
        if let Some(life) = &item.life {
            plan.insert("life of the job".to_owned(), life.clone());
        }
        state.dir.bind_delivery(&plan).await?;
        if item.life.is_some() && state.dir.books().await?.life().is_none() {
            tracing::warn!(
                job = item.job,
                "{} has no books of the job, whose items were listed into books elsewhere: what is done is noted here, and `verify` \
                 will not find it there: give the --state that the job was listed with",
                state.dir.address()
            );
        }
        *bound = Some(Bound {
            life: item.life.clone(),
        });
        Ok(())
    }

    /// Whether the books of a job can be read now.
    pub async fn can_be_read(&self, job: &str) -> bool {
        let state = self.of(job);
        // There is no such item; that there is no checkpoint of it is an answer.
        state.checkpoints.get(u64::MAX, "").await.is_ok()
    }

    /// Records read and rejected by the ledgers of all open jobs, whoever wrote them.
    pub async fn settled_counts(&self) -> pf_state::Result<Counts> {
        let open: Vec<Arc<JobState>> = {
            let jobs = self.jobs.lock().expect("no one panics while opening a job's state");
            jobs.open.values().map(|(_, state)| Arc::clone(state)).collect()
        };
        let mut sum = Counts::default();
        for state in open {
            sum += state.dir.ledger().await?.counts;
        }
        Ok(sum)
    }

    /// What the ledger of a job says, whoever wrote it.
    pub async fn ledger(&self, job: &str) -> pf_state::Result<Ledger> {
        self.of(job).dir.ledger().await
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
            bound: tokio::sync::Mutex::default(),
            dir,
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

    #[tokio::test]
    async fn books_are_bound_by_the_first_worker_and_to_one_life_of_their_job() {
        let memory = Arc::new(Memory::new());
        let worker = |columns: &str| {
            let memory = Arc::clone(&memory);
            let binding = BTreeMap::from([("--columns".to_owned(), columns.to_owned())]);
            States::new("w", move |job| StateDir::in_memory(Arc::clone(&memory), job)).bound_to(binding)
        };
        let item = |life: &str| {
            let text = format!(
                r#"{{"v":1,"job":"j","life":"{life}","seq":7,"uri":"s3://b/k","size_bytes":1,"enqueued_at":"2024-01-01T00:00:00Z"}}"#
            );
            WorkItem::from_json(&text).unwrap()
        };
        let first = worker("a");
        for _ in 0..2 {
            first.bind(&item("one")).await.unwrap();
        }
        worker("a").bind(&item("one")).await.unwrap();
        for (states, life, told) in [
            (worker("b"), "one", "--columns"),
            (worker("a"), "two", "life of the job"),
            (first, "two", "life"),
        ] {
            let error = states.bind(&item(life)).await.unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
            assert!(matches!(outcome(&error), Outcome::Refused { .. }));
        }
    }

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
