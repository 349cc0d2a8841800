//! Discovery: how far it is, and what its end says. That all objects are known; that there are none; that the books in the
//! state directory are somebody else's, which is no failure: nothing was done yet, and somebody must say what is meant.

use kube::ResourceExt as _;

use super::Deed;
use crate::{
    controller::{
        build::Children,
        facts::{Child, Course, EXIT_NOTHING_MATCHED, EXIT_REFUSED, Ended, Facts},
        status::{self, Draft},
    },
    crd::IngestJob,
    plan::origin::{self, Program},
};

/// The reason of a job whose books are another one's.
pub const STATE_IN_USE: &str = "StateInUse";
/// The reason of a job whose discoverer is refused by storage or queue.
const DISCOVERY_REFUSED: &str = "DiscoveryRefused";
/// The reason of a job that has nothing to read.
pub(super) const NOTHING_MATCHED: &str = "NothingMatched";

/// How far discovery is.
pub(super) enum Discovery {
    /// Not all is known.
    Going,
    /// All is known.
    Done,
    /// Somebody must do something before it goes on: reason and message.
    Refused(&'static str, String),
    /// It failed for good.
    Failed(String),
}

pub(super) fn next(
    job: &IngestJob,
    facts: &Facts,
    children: Option<&Children>,
    draft: &mut Draft,
    deeds: &mut Vec<Deed>,
) -> Discovery {
    // Once it is known it stays known, whatever becomes of the Job.
    if status::holds(&draft.status, status::DISCOVERED) {
        return Discovery::Done;
    }
    let Some(child) = &facts.discoverer else {
        if let Some(children) = children {
            deeds.push(Deed::Start(Box::new(children.discoverer.clone())));
        }
        return Discovery::Going;
    };
    match &child.course {
        Course::Running => Discovery::Going,
        Course::Succeeded => {
            known(job, facts, false, draft);
            Discovery::Done
        }
        Course::Failed { ended: Some(ended), .. } if ended.code == EXIT_NOTHING_MATCHED => {
            known(job, facts, true, draft);
            Discovery::Done
        }
        Course::Failed { ended: Some(ended), .. } if ended.code == EXIT_REFUSED => {
            if let Some(children) = children
                && Child::arguments(&children.discoverer) != Child::arguments(&child.job)
            {
                // What it was refused for may be mended by what is asked for now.
                deeds.push(Deed::DeleteJob(child.job.name_any()));
            }
            refused(child, ended, draft)
        }
        Course::Failed { why, .. } => Discovery::Failed(format!("the objects could not be discovered: {why}")),
    }
}

/// All objects are known, and none of them is missed.
fn known(job: &IngestJob, facts: &Facts, is_empty: bool, draft: &mut Draft) {
    let discovered = facts.discovered.as_ref();
    let resumed_from = discovered.and_then(|discovered| discovered.resumed_from.clone());
    if is_empty || discovered.is_some_and(|discovered| discovered.items == 0) {
        draft.set(status::DISCOVERED, true, NOTHING_MATCHED, nothing_matched(job));
    } else {
        let archived = discovered.map_or(0, |discovered| discovered.archived);
        let mut message = "all objects are known".to_owned();
        if archived > 0 {
            message = format!("{message}; {archived} are archived, and are left out");
        }
        let reason = match &resumed_from {
            Some(owner) => {
                message = format!("{message}; the books were begun by {owner}, and are gone on with");
                "Resumed"
            }
            None => "Discovered",
        };
        draft.set(status::DISCOVERED, true, reason, message);
    }
    if resumed_from.is_some()
        && let Some(run) = &mut draft.status.run
    {
        run.resumed_from = resumed_from;
    }
}

/// That there is nothing to read, and what may be wrong.
pub(super) fn nothing_matched(job: &IngestJob) -> String {
    if job.spec.source.allow_empty == Some(true) {
        "no object matches spec.source, which spec.source.allowEmpty allows".to_owned()
    } else {
        "no object matches spec.source: look at bucket, prefix, partitioning, filters and pattern, or set \
         spec.source.allowEmpty if that is well"
            .to_owned()
    }
}

fn refused(child: &Child, ended: &Ended, draft: &Draft) -> Discovery {
    let last = draft.status.conditions.iter();
    let mut last = last.filter(|condition| condition.type_ == status::STALLED);
    if ended.said.is_empty()
        && let Some(last) = last.find(|last| [STATE_IN_USE, DISCOVERY_REFUSED].contains(&last.reason.as_str()))
    {
        // Its words went with its pod, and were told.
        let reason = if last.reason == STATE_IN_USE {
            STATE_IN_USE
        } else {
            DISCOVERY_REFUSED
        };
        return Discovery::Refused(reason, last.message.clone());
    }
    let said = last_error(&ended.said);
    // Whose the books are, and what they are for, is told with the ways out.
    let reason = if said.contains("books") {
        STATE_IN_USE
    } else {
        DISCOVERY_REFUSED
    };
    let said = origin::in_fields(Program::Discoverer, said);
    let name = child.job.name_any();
    Discovery::Refused(reason, format!("{said}; delete the Job {name} to try again"))
}

/// The last error in the lines of a log, or all of them.
fn last_error(said: &str) -> &str {
    let error = said.rsplit_once(" ERROR ").map_or(said, |(_, error)| error);
    error.trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_the_last_error_is_told() {
        for (said, expected) in [
            ("the books are taken", "the books are taken"),
            (
                "2026-01-01T00:00:00Z  INFO listing\n2026-01-01T00:00:01Z ERROR the books are taken:\n  by a/b\n",
                "the books are taken:\n  by a/b",
            ),
            ("t ERROR one\nt ERROR two", "two"),
            ("", ""),
        ] {
            assert_eq!(last_error(said), expected);
        }
    }
}
