//! A run that has begun: discovery, workers, rest, and what goes wrong.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;

use super::{
    Deed, Next, Surroundings, Turn,
    discovering::{self, Discovery},
    draft, plan, proving, told,
};
use crate::{
    controller::{
        build::{self, Children, Material},
        differ,
        facts::{Child, Course, Facts, Queue, Trouble},
        names::Place,
        status::{self, Draft},
    },
    crd::{IngestJob, Phase, QueueStatus},
    scaler::{Decision, Reason},
};

/// What a run needs now.
pub(super) fn next(job: &IngestJob, facts: &Facts, queue: &QueueStatus, surroundings: Surroundings<'_>) -> Next {
    let mut draft = draft(job, facts);
    if let Some(Trouble::ErrorBudget { said }) = &facts.trouble {
        let message = format!("more records were rejected than spec.errorBudget allows: {said}");
        draft.over(Phase::Failed, "ErrorBudgetExceeded", &message);
        return Next::Mark(Box::new(draft.status));
    }
    let children = children(job, facts, queue, surroundings);
    let mut deeds = children
        .as_ref()
        .map_or(Vec::new(), |children| of_pods(facts, children));
    let discovery = discovering::next(job, facts, children.as_ref().ok(), &mut draft, &mut deeds);
    let mut wrong = children.as_ref().err().cloned();
    let discovered = match discovery {
        Discovery::Going => false,
        Discovery::Done => true,
        Discovery::Refused(reason, message) => {
            wrong.get_or_insert((reason, message));
            false
        }
        Discovery::Failed(why) => {
            draft.over(Phase::Failed, "DiscoveryFailed", &why);
            return Next::Mark(Box::new(draft.status));
        }
    };
    let resting = job.spec.suspend == Some(true);
    draft.status.phase = Some(match (resting, discovered) {
        (true, _) => Phase::Suspended,
        (false, true) => Phase::Running,
        (false, false) => Phase::Discovering,
    });
    if resting {
        // What was to be started waits; what runs is told to rest.
        deeds = rest(facts);
    } else {
        deeds.extend(go_on(facts));
    }
    if let Ok(children) = &children {
        deeds.extend(workers(facts, children));
    }
    scale(facts, resting, &mut draft, &mut deeds);
    progress(facts, &mut draft);
    draft.status.estimated_completion_at = facts.lasts.filter(|_| discovered && !resting).map(|lasts| {
        // To the minute: it is no better known, and each other value is a write.
        let end = facts.now.as_second() + i64::try_from(lasts.as_secs()).unwrap_or(0);
        let minute = Timestamp::from_second((end + 59) / 60 * 60);
        Time(minute.expect("a month from now is a time"))
    });
    course(facts, wrong.as_ref(), resting, discovered, &mut draft);
    if discovered
        && !resting
        && let Ok(children) = &children
    {
        match proving::next(job, facts, children, &mut draft) {
            proving::Step::Wait => {}
            proving::Step::Deed(deed) => deeds.push(deed),
            proving::Step::Mark => return Next::Mark(Box::new(draft.status)),
        }
    }
    Next::Do(Box::new(Turn {
        deeds,
        status: draft.status,
        again: Some(surroundings.look_every),
    }))
}

/// The children, or why none can be made: reason and message of a stalled job. What runs is left alone then.
fn children(
    job: &IngestJob,
    facts: &Facts,
    queue: &QueueStatus,
    surroundings: Surroundings<'_>,
) -> Result<Children, (&'static str, String)> {
    let plan = plan(job, queue).map_err(|complaints| ("Invalid", told(&complaints)))?;
    if !facts.missing.is_empty() {
        return Err(("NotFound", told(&facts.missing)));
    }
    if !facts.taken.is_empty() {
        let taken = facts.taken.join(" and ");
        return Err((
            "NameTaken",
            format!("there is already a {taken} that is not this job's: delete it, or give the job another name"),
        ));
    }
    let material = Material {
        plan: &plan,
        image: surroundings.image,
        contents_hash: &facts.contents_hash,
        place: Place::of(job),
    };
    build::children(job, material).map_err(|error| ("Invalid", error.to_string()))
}

fn once(facts: &Facts) -> impl Iterator<Item = &Child> {
    [&facts.discoverer, &facts.verify, &facts.redrive].into_iter().flatten()
}

/// Lets everything rest that can.
fn rest(facts: &Facts) -> Vec<Deed> {
    let running = once(facts).filter(|child| child.course == Course::Running && !child.rests());
    let rest = running.map(|child| Deed::Rest {
        name: child.job.name_any(),
        rest: true,
    });
    rest.collect()
}

/// Lets everything go on that rests.
fn go_on(facts: &Facts) -> Vec<Deed> {
    let resting = once(facts).filter(|child| child.course == Course::Running && child.rests());
    let go_on = resting.map(|child| Deed::Rest {
        name: child.job.name_any(),
        rest: false,
    });
    go_on.collect()
}

/// What brings a child to what it is to be; absent: nothing has to.
fn mended<K: Resource + Clone + Serialize>(
    wished: Option<&K>,
    live: Option<&K>,
    make: fn(Box<K>) -> Deed,
    delete: fn(String) -> Deed,
) -> Option<Deed> {
    match (wished, live) {
        (Some(wished), live) => live
            .is_none_or(|live| !differ::fits(wished, live))
            .then(|| make(Box::new(wished.clone()))),
        (None, Some(live)) => Some(delete(live.name_any())),
        (None, None) => None,
    }
}

/// What pods need before they start, where it is not as it is to be, or not to be any more.
fn of_pods(facts: &Facts, children: &Children) -> Vec<Deed> {
    let (account, network) = (children.account.as_ref(), children.network.as_ref());
    let deeds = [
        mended(account, facts.account.as_ref(), Deed::Account, Deed::DeleteAccount),
        mended(network, facts.network.as_ref(), Deed::Network, Deed::DeleteNetwork),
    ];
    deeds.into_iter().flatten().collect()
}

/// The workers as they are to be, where they are not.
fn workers(facts: &Facts, children: &Children) -> Vec<Deed> {
    let mut wished = children.workers.clone();
    let live = facts.workers.as_ref();
    if live.is_none_or(|live| !differ::is_scaled_by_us(live))
        && let Some(spec) = &mut wished.spec
    {
        // Without this, Kubernetes would make one. From the first time that the scaler has spoken, the number is its.
        let replicas = live.and_then(|live| live.spec.as_ref()).and_then(|spec| spec.replicas);
        spec.replicas = Some(replicas.unwrap_or(0));
    }
    let budget = facts.budget.as_ref();
    let deeds = [
        mended(Some(&wished), live, Deed::Workers, Deed::DeleteWorkers),
        mended(Some(&children.budget), budget, Deed::Budget, Deed::DeleteBudget),
    ];
    deeds.into_iter().flatten().collect()
}

/// Sets the number of workers, where it is not what was decided.
fn scale(facts: &Facts, resting: bool, draft: &mut Draft, deeds: &mut Vec<Deed>) {
    let decision = if resting {
        Some(Decision {
            replicas: 0,
            reason: Reason::Idle,
        })
    } else {
        facts.decision
    };
    draft.status.workers = Some(facts.workers_running());
    draft.status.bytes_per_second = facts.fleet.bytes_per_second.map(about);
    if let Some(depth) = facts.depth {
        draft.status.backlog = Some(i64::try_from(depth.backlog()).unwrap_or(i64::MAX));
    }
    let (Some(decision), Some(live)) = (decision, &facts.workers) else {
        return;
    };
    draft.status.scaling = Some(if resting {
        "0 workers: spec.suspend is true".to_owned()
    } else {
        decision.to_string()
    });
    let (active, reason, message) = match decision.reason {
        _ if resting => (false, "Suspended", "spec.suspend is true"),
        Reason::Fixed => (false, "Fixed", "spec.workers.replicas says how many workers there are"),
        Reason::External => (
            false,
            "External",
            "who uses the scale sub-resource says how many workers there are",
        ),
        Reason::TooFew { .. } => (
            true,
            "DeadlineAtRisk",
            "spec.workers.max allows too few workers to be done in time",
        ),
        Reason::Unknown => match &facts.queue {
            Queue::Refused { why } => (false, "QueueRefused", why.as_str()),
            Queue::Unavailable { why } => (false, "QueueUnavailable", why.as_str()),
            _ => (false, "QueueUnavailable", "the queue could not be asked for its depth"),
        },
        _ => (true, "FollowsBacklog", "the number of workers follows the backlog"),
    };
    draft.set(status::SCALING_ACTIVE, active, reason, message);
    let replicas = live.spec.as_ref().and_then(|spec| spec.replicas);
    if replicas != i32::try_from(decision.replicas).ok() || !differ::is_scaled_by_us(live) {
        if replicas.unwrap_or(0) > i32::try_from(decision.replicas).unwrap_or(i32::MAX) && decision.replicas > 0 {
            deeds.extend(costs(facts));
        }
        deeds.push(Deed::Scale {
            name: live.name_any(),
            replicas: decision.replicas,
        });
    }
}

/// What the deletion of each worker costs, where that is not written yet: those that hold least go first. What did not answer
/// is taken for the most precious.
fn costs(facts: &Facts) -> impl Iterator<Item = Deed> {
    let pods = facts.worker_pods.iter().filter(|pod| pod.address.is_some());
    pods.filter_map(|pod| {
        let held = facts.fleet.held.get(&pod.name);
        let cost = held.map_or(i32::MAX, |held| i32::try_from(*held).unwrap_or(i32::MAX));
        (pod.deletion_cost != Some(cost)).then(|| Deed::Cost {
            pod: pod.name.clone(),
            cost,
        })
    })
}

/// Two digits of a number: it is no better known, and each other value is a write.
fn about(number: u64) -> i64 {
    let unit = 10_u64.pow(number.checked_ilog10().unwrap_or(0).saturating_sub(1));
    i64::try_from(number / unit * unit).unwrap_or(i64::MAX)
}

/// How many items are done with, as far as that is known before it is proven: never fewer than were told before.
fn progress(facts: &Facts, draft: &mut Draft) {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    if let Some(discovered) = &facts.discovered {
        let items = draft.status.items.get_or_insert_default();
        items.discovered = count(discovered.items);
        items.discovered_bytes = count(discovered.object_bytes);
        items.discovered_is_final = true;
    } else if let Some(found) = facts.found {
        let items = draft.status.items.get_or_insert_default();
        if !items.discovered_is_final {
            items.discovered = count(found.items).max(items.discovered);
            items.discovered_bytes = count(found.object_bytes).max(items.discovered_bytes);
        }
    }
    if let (Some(items), Some(backlog)) = (&mut draft.status.items, facts.backlog_most)
        && items.discovered_is_final
    {
        items.settled = (items.discovered - count(backlog)).max(items.settled);
    }
}

/// Says in conditions how it goes.
fn course(facts: &Facts, wrong: Option<&(&'static str, String)>, resting: bool, discovered: bool, draft: &mut Draft) {
    let resting_message = if resting {
        "spec.suspend is true"
    } else {
        "spec.suspend is not true"
    };
    draft.set(
        status::SUSPENDED,
        resting,
        if resting { "Suspended" } else { "Resumed" },
        resting_message,
    );
    if let Some((reason, message)) = wrong {
        draft.stalled(reason, message);
        if !discovered {
            draft.set(status::DISCOVERED, false, reason, message);
        }
    } else if let Some(Trouble::Refused { said }) = &facts.trouble {
        draft.stalled("WorkersRefused", &format!("workers end as soon as they start: {said}"));
    } else if let Queue::Refused { why } = &facts.queue {
        draft.stalled("QueueRefused", why);
    } else if resting {
        draft.clear(status::STALLED);
        draft.clear(status::RECONCILING);
        draft.set(status::READY, false, "Suspended", resting_message);
    } else {
        let (reason, message) = if discovered {
            ("Running", "all objects are known, and are being worked on")
        } else {
            (
                "Discovering",
                "objects are being discovered, and worked on as they are found",
            )
        };
        draft.reconciling(reason, message);
        if !discovered {
            draft.set(status::DISCOVERED, false, reason, message);
        }
        draft.set(status::COMPLETE, false, reason, message);
    }
}
