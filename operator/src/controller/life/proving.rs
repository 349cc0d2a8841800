//! The end of the work: the queue only hints at it. Ledger and manifest are compared by a Job of the job's own, and what is
//! missing is offered again, until nothing is.

use kube::ResourceExt as _;
use pf_work::proof::{Summary, Verdict};

use super::{Deed, verdict};
use crate::{
    controller::{
        build::Children,
        facts::{Course, Facts},
        status::Draft,
    },
    crd::{IngestJob, Phase},
};

/// Proofs that may find items missing. Each is followed by their being offered again, so that more than a few mean that
/// something eats them.
const INCOMPLETE_PROOFS_MAX: u32 = 10;

/// What comes next.
pub(super) enum Step {
    /// Nothing, until something changes.
    Wait,
    /// This.
    Deed(Deed),
    /// The draft is a milestone.
    Mark,
}

pub(super) fn next(job: &IngestJob, facts: &Facts, children: &Children, draft: &mut Draft) -> Step {
    let Some(verify) = &facts.verify else {
        return if facts.idle {
            Step::Deed(Deed::Start(Box::new(children.verify.clone())))
        } else {
            Step::Wait
        };
    };
    let Some(proof) = &facts.proof else {
        return match &verify.course {
            Course::Running => Step::Wait,
            // Its last words are lost with its pod: once more.
            Course::Succeeded => Step::Deed(Deed::DeleteJob(verify.job.name_any())),
            Course::Failed { why, .. } => {
                let name = verify.job.name_any();
                let message =
                    format!("ledger and manifest could not be compared: {why}; delete the Job {name} to try again");
                draft.stalled("ProofFailed", &message);
                Step::Wait
            }
        };
    };
    draft.proven(proof);
    if facts.is_over_budget {
        // Each worker counts what it rejects itself: only here all of it is seen together.
        draft.over(Phase::Failed, "ErrorBudgetExceeded", &verdict::over_budget(proof));
        return Step::Mark;
    }
    match proof.verdict {
        Verdict::Complete | Verdict::CompleteWithDeadLetters => {
            let (phase, reason, message) = verdict::verdict(job, proof);
            draft.over(phase, reason, &message);
            Step::Mark
        }
        Verdict::Incomplete => incomplete(job, facts, proof, children, draft),
    }
}

/// Offers again what is missing, and begins the next round when that is done.
fn incomplete(job: &IngestJob, facts: &Facts, proof: &Summary, children: &Children, draft: &mut Draft) -> Step {
    let mut run = job
        .status
        .as_ref()
        .and_then(|status| status.run.clone())
        .unwrap_or_default();
    if proof.missing == 0 || run.incomplete_proofs >= INCOMPLETE_PROOFS_MAX {
        let message = format!("the books do not add up: {}", proof.wrong);
        draft.over(Phase::Failed, "NotProven", &message);
        return Step::Mark;
    }
    match facts.redrive.as_ref().map(|redrive| &redrive.course) {
        None => Step::Deed(Deed::Start(Box::new(children.redrive.clone()))),
        Some(Course::Running) => Step::Wait,
        Some(Course::Succeeded) => {
            run.incomplete_proofs += 1;
            draft.status.run = Some(run);
            Step::Mark
        }
        Some(Course::Failed { why, .. }) => {
            let name = children.redrive.name_any();
            let message = format!(
                "{} missing work items could not be offered again: {why}; delete the Job {name} to try again",
                proof.missing
            );
            draft.stalled("RedriveFailed", &message);
            Step::Wait
        }
    }
}
