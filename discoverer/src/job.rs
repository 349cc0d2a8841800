//! What the sub-commands are to do, checked; the counterpart of `plan` for jobs that were discovered before.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, ensure};
use pf_state::{Ledger, StateDir};
use pf_work::sqs::{self, Letters, SqsQueue};

use crate::{
    args::{self, Command, JobArgs, RedriveArgs, VerifyArgs},
    outlet::Outlet,
    plan::{self, Destination},
    redrive::{self, Choice},
    run::Outcome,
    verify,
};

/// Dead letters that are read of a queue: more than anybody looks at.
const LETTERS_MAX: usize = 100_000;

/// A sub-command that may run.
#[derive(Debug)]
pub(crate) enum Job {
    Verify(Kept, Option<PathBuf>),
    Redrive(Kept, Choice, Destination),
}

/// What is known of a job.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its documents.
    pub(crate) state: StateDir,
    /// Where the queue's redrive policy puts items.
    dead_letter_queue: Option<Box<sqs::Options>>,
}

impl Job {
    /// Checks the flags. Errors are bad usage, and say which flag it is.
    pub(crate) fn new(command: Command) -> Result<Self> {
        match command {
            Command::Verify(VerifyArgs { job, summary }) => Ok(Self::Verify(Kept::new(job)?, summary)),
            Command::Redrive(RedriveArgs {
                job,
                choice,
                letters,
                destination,
                sqs_queue_url,
            }) => {
                ensure!(choice.records || !letters, "--letters: needs --records");
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
                    (true, _) => Choice::Missing,
                    (_, true) => Choice::DeadItems,
                    _ => Choice::Records { letters },
                };
                Ok(Self::Redrive(Kept::new(job)?, choice, destination))
            }
        }
    }

    /// Does it.
    pub(crate) async fn run(self) -> Result<Outcome> {
        match self {
            Self::Verify(job, summary) => verify::run(&job, summary.as_deref()).await,
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
        let state = plan::state_dir(&state, &job, s3_endpoint, region)?;
        Ok(Self {
            state,
            dead_letter_queue,
        })
    }

    /// The ledger, with what is in the dead-letter queue given up.
    pub(crate) async fn ledger(&self) -> Result<Ledger> {
        let mut ledger = self.state.ledger().await?;
        if let Some(options) = &self.dead_letter_queue {
            let Letters { letters, more } = SqsQueue::read_dead_letters((**options).clone(), LETTERS_MAX)
                .await
                .context("cannot read the dead-letter queue")?;
            if more {
                tracing::warn!("the dead-letter queue holds more than the {LETTERS_MAX} messages that were read");
            }
            for letter in letters {
                if let Some(item) = letter.item.filter(|item| item.job == self.state.job()) {
                    ledger.give_up(item.seq, letter.reason);
                }
            }
        }
        Ok(ledger)
    }
}
