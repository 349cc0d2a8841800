//! What the sub-commands are to do, checked; the counterpart of `plan` for jobs that were discovered before.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, ensure};
use pf_state::{Books, StateDir};
use pf_storage::{Options, Storage};
use pf_work::{
    Limit,
    sqs::{self, SqsQueue},
};

use crate::{
    args::{self, Command, JobArgs, RedriveArgs, VerifyArgs},
    given_up::GivenUp,
    outlet::Outlet,
    plan::{self, Destination},
    redrive::{self, Choice},
    run::Outcome,
    verify::{self, Allowed},
};

/// A sub-command that may run.
#[derive(Debug)]
pub(crate) enum Job {
    Verify(Kept, Allowed, Option<PathBuf>),
    Redrive(Kept, Choice, Destination),
}

/// What is known of a job.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its documents.
    pub(crate) state: StateDir,
    /// Its objects.
    pub(crate) storage: Storage,
    /// Where the queue's redrive policy puts items.
    dead_letter_queue: Option<Box<sqs::Options>>,
}

impl Job {
    /// Checks the flags. Errors are bad usage, and say which flag it is.
    pub(crate) fn new(command: Command) -> Result<Self> {
        match command {
            Command::Verify(VerifyArgs {
                job,
                summary,
                max_rejected,
                allow_empty,
            }) => {
                let limits = max_rejected.map(|text| Limit::list(&text)).transpose();
                let allowed = Allowed {
                    rejected: limits
                        .map_err(|problem| anyhow!("--max-rejected: {problem}"))?
                        .unwrap_or_default(),
                    empty: allow_empty,
                };
                Ok(Self::Verify(Kept::new(job)?, allowed, summary))
            }
            Command::Redrive(RedriveArgs {
                job,
                choice,
                as_they_are,
                letters,
                destination,
                sqs_queue_url,
            }) => {
                ensure!(choice.records || !letters, "--letters: needs --records");
                ensure!(
                    !choice.records || !as_they_are,
                    "--as-they-are: is of items, and --records gives back records"
                );
                ensure!(
                    !choice.records || destination == args::Destination::Stdout,
                    "--records: goes to standard output only, as it is records and not items"
                );
                // What the environment says of a queue may be meant for others.
                let is_queue = destination == args::Destination::Sqs;
                let url = sqs_queue_url.filter(|_| is_queue);
                let endpoint = job.sqs_endpoint.clone().filter(|_| is_queue);
                let destination = plan::destination(destination, url, endpoint, job.region.as_ref())?;
                let choice = match (choice.missing, choice.dead_items) {
                    (true, _) => Choice::Missing { as_they_are },
                    (_, true) => Choice::DeadItems { as_they_are },
                    _ => Choice::Records { letters },
                };
                Ok(Self::Redrive(Kept::new(job)?, choice, destination))
            }
        }
    }

    /// Does it.
    pub(crate) async fn run(self) -> Result<Outcome> {
        match self {
            Self::Verify(job, allowed, summary) => verify::run(&job, &allowed, summary.as_deref()).await,
            Self::Redrive(job, choice, destination) => {
                redrive::run(&job, choice, &Outlet::open(destination).await?).await
            }
        }
    }
}

impl Kept {
    fn new(args: JobArgs) -> Result<Self> {
        let JobArgs {
            state,
            job,
            s3_endpoint,
            region,
            request_payer,
            sqs_dead_letter_queue_url,
            sqs_endpoint,
        } = args;
        let dead_letter_queue = match sqs_dead_letter_queue_url {
            None => None,
            Some(url) => {
                let options = sqs::Options {
                    endpoint: sqs_endpoint,
                    region: region.clone(),
                    ..sqs::Options::new(url)
                };
                let checked = options.check();
                checked.map_err(|problem| anyhow!("--sqs-dead-letter-queue-url: {problem}"))?;
                Some(Box::new(options))
            }
        };
        let storage = Options {
            endpoint: s3_endpoint,
            region,
            request_payer,
            ..Options::default()
        };
        Ok(Self {
            state: plan::state_dir(&state, &job, storage.clone())?,
            storage: Storage::new(storage),
            dead_letter_queue,
        })
    }

    /// What is in the dead-letter queue, as far as it is of these books. All of it is read, because an item that is in it and
    /// was not read would look missing.
    pub(crate) async fn given_up(&self, books: &Books) -> Result<GivenUp> {
        let Some(options) = &self.dead_letter_queue else {
            return Ok(GivenUp::default());
        };
        let letters = SqsQueue::read_dead_letters((**options).clone(), usize::MAX)
            .await
            .context("cannot read the dead-letter queue")?;
        Ok(GivenUp::of(self.state.job(), books, letters))
    }
}
