//! How jobs end, and what they say of it: whose books they are, whether anything was found, what became of records.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use pf_operator::{
    controller::status::{self, holds},
    crd::{IngestJobStatus, Phase},
};
use pf_work::proof::{Summary, Verdict};
use serde_json::{Value, json};

use super::world::{ITEMS, World, discovered, summary};

/// Reason and message of a condition that holds.
fn told(status: &IngestJobStatus, kind: &str) -> Option<(String, String)> {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|condition| condition.type_ == kind && condition.status == "True")?;
    Some((found.reason.clone(), found.message.clone()))
}

fn is_stalled(status: &IngestJobStatus) -> bool {
    holds(status, status::STALLED)
}

fn is_over(status: &IngestJobStatus) -> bool {
    status.completed_at.is_some()
}

/// What a Job's program was started with.
async fn arguments(world: &World, job: &str) -> Vec<String> {
    let job = world.api::<Job>().get(job).await.unwrap();
    let pod = job.spec.unwrap().template.spec.unwrap();
    pod.containers[0].args.clone().unwrap()
}

/// What a discoverer says that finds other books than its own.
const TAKEN: &str = "2026-01-01T00:00:00Z  INFO connected\n2026-01-01T00:00:01Z ERROR the books of the job a/logs in \
                     s3://state/jobs belong to `a/logs 1234` (since 2025, 3 of 4 items settled): use another --state or \
                     another --job, or take them over with --resume\n";

/// A job whose discoverer found other books.
async fn refused(name: &str) -> (World, String) {
    let mut world = World::new(name).await;
    world.create(&world.job("logs")).await;
    world.until_pod_of("logs", "logs-discover").await;
    let first = world.api::<Job>().get("logs-discover").await.unwrap().uid().unwrap();
    world.end("logs-discover", 4, TAKEN).await;
    let stalled = world.steps_until("logs", is_stalled).await;
    let (reason, message) = told(&stalled, status::STALLED).unwrap();
    assert_eq!(reason, "StateInUse");
    assert_eq!(
        message,
        "the books of the job a/logs in s3://state/jobs belong to `a/logs 1234` (since 2025, 3 of 4 items settled): use \
         another spec.state.uri or another metadata.name, or take them over with spec.state.resume; delete the Job \
         logs-discover to try again"
    );
    assert_eq!(stalled.phase, Some(Phase::Discovering), "it is not over");
    assert!(!holds(&stalled, status::DISCOVERED) && !holds(&stalled, status::READY));
    (world, first)
}

/// Steps until there is another discoverer than this one, with a pod.
async fn another_discoverer(world: &mut World, first: &str) {
    loop {
        let job = world.api::<Job>().get_opt("logs-discover").await.unwrap();
        if job.is_some_and(|job| job.uid().unwrap() != first) && world.pod_of("logs-discover").await.is_some() {
            return;
        }
        world.step("logs").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn books_of_another_owner_stall_a_job_until_it_says_that_it_takes_them_over() {
    let (mut world, first) = refused("books-resumed").await;
    world.restart(super::spy::Spy::default()).await;
    let still = world.steps_until("logs", |_| true).await;
    assert_eq!(
        told(&still, status::STALLED).unwrap().0,
        "StateInUse",
        "a restart changes nothing"
    );
    assert!(
        !arguments(&world, "logs-discover")
            .await
            .contains(&"--resume".to_owned())
    );

    world
        .change("logs", &json!({"spec": {"state": {"resume": true}}}))
        .await;
    another_discoverer(&mut world, &first).await;
    assert!(
        arguments(&world, "logs-discover")
            .await
            .contains(&"--resume".to_owned())
    );
    let mut found = discovered("logs", ITEMS, 1000 * ITEMS);
    found.resumed_from = Some("a/logs 1234".to_owned());
    world.end("logs-discover", 0, &found.to_json()).await;
    let known = world
        .steps_until("logs", |status| holds(status, status::DISCOVERED))
        .await;
    assert!(!is_stalled(&known));
    let (reason, message) = told(&known, status::DISCOVERED).unwrap();
    assert_eq!(reason, "Resumed");
    assert!(message.contains("begun by a/logs 1234"), "{message}");
    world.until_pod_of("logs", "logs-verify-1").await;
    let mut proof = summary("logs", Verdict::Complete, 0);
    (proof.resumed_from, proof.settled_before) = (Some("a/logs 1234".to_owned()), 12);
    world.end("logs-verify-1", 0, &proof.to_json()).await;
    let done = world.steps_until("logs", is_over).await;
    let (_, message) = told(&done, status::COMPLETE).unwrap();
    assert!(
        message.contains("taken over from a/logs 1234, for whom 12 of"),
        "{message}"
    );
    assert_eq!(done.run.unwrap().resumed_from.as_deref(), Some("a/logs 1234"));
}

#[tokio::test(flavor = "multi_thread")]
async fn books_of_another_owner_are_left_alone_by_who_goes_to_another_place() {
    let (mut world, first) = refused("books-elsewhere").await;
    let elsewhere = |place: &str| json!({"spec": {"state": {"uri": format!("s3://state/{place}")}}});
    world.change("logs", &elsewhere("elsewhere")).await;
    another_discoverer(&mut world, &first).await;
    let arguments = arguments(&world, "logs-discover").await;
    assert!(
        arguments.contains(&"--state=s3://state/elsewhere".to_owned()),
        "{arguments:?}"
    );
    world.until_phase("logs", Phase::Running).await;
    let patch = kube::api::Patch::Merge(elsewhere("again"));
    let refused = world
        .jobs()
        .patch("logs", &kube::api::PatchParams::default(), &patch)
        .await;
    let refused = refused.expect_err("it has begun").to_string();
    assert!(refused.contains("spec.state cannot change"), "{refused}");
    world.until_phase("logs", Phase::Complete).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discoverer_that_storage_refuses_stalls_the_job_for_that() {
    let mut world = World::new("denied").await;
    world.create(&world.job("logs")).await;
    world.until_pod_of("logs", "logs-discover").await;
    world
        .end("logs-discover", 4, "cannot list s3://logs: AccessDenied")
        .await;
    let stalled = world.steps_until("logs", is_stalled).await;
    let (reason, message) = told(&stalled, status::STALLED).unwrap();
    assert_eq!(reason, "DiscoveryRefused");
    assert!(
        message.starts_with("cannot list s3://logs: AccessDenied; delete the Job"),
        "{message}"
    );

    let discover = world.api::<Job>();
    let first = discover.get("logs-discover").await.unwrap().uid().unwrap();
    let parameters = kube::api::DeleteParams::background();
    discover.delete("logs-discover", &parameters).await.unwrap();
    another_discoverer(&mut world, &first).await;
    let done = world.until_phase("logs", Phase::Complete).await.status.unwrap();
    assert!(!is_stalled(&done));
}

/// A job that found nothing, at its end.
async fn empty(name: &str, allow: bool) -> (World, IngestJobStatus) {
    let mut world = World::new(name).await;
    let mut job = world.job("logs");
    if allow {
        job["spec"]["source"]["allowEmpty"] = true.into();
    }
    world.create(&job).await;
    world.until_pod_of("logs", "logs-discover").await;
    let allows = arguments(&world, "logs-discover")
        .await
        .contains(&"--allow-empty".to_owned());
    assert_eq!(allows, allow);
    let code = if allow { 0 } else { 2 };
    world
        .end("logs-discover", code, &discovered("logs", 0, 0).to_json())
        .await;
    world.until_pod_of("logs", "logs-verify-1").await;
    let mut proof = summary("logs", Verdict::Complete, 0);
    (proof.expected, proof.settled, proof.objects) = (0, 0, 0);
    proof.counts = pf_work::Counts::default();
    world.end("logs-verify-1", code, &proof.to_json()).await;
    let status = world.steps_until("logs", is_over).await;
    (world, status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_finds_nothing_is_no_plain_success_unless_that_is_allowed() {
    let (world, status) = empty("empty", false).await;
    assert_eq!(status.phase, Some(Phase::CompleteWithFailures));
    for kind in [status::DISCOVERED, status::COMPLETE] {
        let (reason, message) = told(&status, kind).unwrap();
        assert_eq!(reason, "NothingMatched", "{kind}");
        assert!(
            message.contains("prefix") && message.contains("spec.source.allowEmpty"),
            "{message}"
        );
    }
    assert_eq!(world.discoverers.len(), 1, "nobody lists again for that");
    let (_, status) = empty("empty-allowed", true).await;
    assert_eq!(status.phase, Some(Phase::Complete));
    let (reason, message) = told(&status, status::COMPLETE).unwrap();
    assert_eq!(reason, "Complete");
    assert!(
        message.contains("no object matches") && message.contains("allows"),
        "{message}"
    );
}

/// A job whose proof ends so.
async fn proven(name: &str, spec: &Value, code: i32, proof: impl FnOnce(&mut Summary)) -> IngestJobStatus {
    let mut world = World::new(name).await;
    let mut job = world.job("logs");
    for (field, value) in spec.as_object().unwrap() {
        job["spec"][field] = value.clone();
    }
    world.create(&job).await;
    world.until_pod_of("logs", "logs-verify-1").await;
    let mut told = summary("logs", Verdict::CompleteWithDeadLetters, 0);
    told.dead_lettered = 0;
    proof(&mut told);
    world.end("logs-verify-1", code, &told.to_json()).await;
    world.steps_until("logs", is_over).await
}

#[tokio::test(flavor = "multi_thread")]
async fn given_up_items_make_a_job_complete_with_failures() {
    let status = proven("letters", &json!({}), 2, |proof| proof.dead_lettered = 1).await;
    assert_eq!(status.phase, Some(Phase::CompleteWithFailures));
    let (reason, message) = told(&status, status::COMPLETE).unwrap();
    assert_eq!(reason, "CompleteWithFailures");
    assert_eq!(message, "all 30 work items are settled, 1 of them was given up");
    assert_eq!(status.items.unwrap().dead_letters, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_not_where_they_belong_make_a_job_complete_with_failures() {
    let status = proven("astray", &json!({}), 2, |proof| {
        proof.counts.records_out -= 33;
        proof.counts.records_updated = 4;
        proof.counts.records_rejected = 20;
        proof.counts.records_conflicting = 5;
        proof.counts.records_redirected = 10;
        proof.counts.records_dropped = 3;
    })
    .await;
    assert_eq!(status.phase, Some(Phase::CompleteWithFailures));
    for kind in [status::READY, status::COMPLETE] {
        let (reason, message) = told(&status, kind).unwrap();
        assert_eq!(reason, "CompleteWithFailures");
        for part in [
            "of 3000 records, 15 were rejected",
            "5 were rejected because",
            "10 were put",
            "3 were dropped",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
    let records = status.records.unwrap();
    assert_eq!(
        (
            records.rejected,
            records.conflicting,
            records.redirected,
            records.dropped,
            records.updated
        ),
        (20, 5, 10, 3, 4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_duplicates_only_says_so() {
    let status = proven("duplicates", &json!({}), 0, |proof| {
        proof.verdict = Verdict::Complete;
        proof.counts.records_duplicate = proof.counts.records_out;
    })
    .await;
    assert_eq!(status.phase, Some(Phase::Complete));
    let (reason, message) = told(&status, status::COMPLETE).unwrap();
    assert_eq!(reason, "OnlyDuplicates");
    assert!(message.contains("nothing new was written"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_budget_that_all_workers_together_spent_fails_the_job_at_its_proof() {
    let budget = json!({"errorBudget": {"rejectedRecords": 100}});
    let status = proven("budget", &budget, 3, |proof| {
        proof.counts.records_out -= 200;
        proof.counts.records_rejected = 200;
        proof.budget_spent = Some("200 of 3000 records".to_owned());
    })
    .await;
    assert_eq!(status.phase, Some(Phase::Failed));
    let (reason, message) = told(&status, status::FAILED).unwrap();
    assert_eq!(reason, "ErrorBudgetExceeded");
    assert!(message.contains("spec.errorBudget allows: 200 of 3000"), "{message}");
    assert_eq!(status.records.unwrap().rejected, 200);
}
