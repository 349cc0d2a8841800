//! What people see with kubectl.

use std::{io::Write as _, process::Stdio};

use expect_test::{Expect, expect};
use pf_e2e::Kubernetes;
use pf_operator::crd::Phase;
use serde_json::{Value, json};

use super::world::World;
use crate::program::text;

/// Runs kubectl in the world's namespace, and returns what it says.
fn kubectl(world: &World, arguments: &[&str]) -> String {
    let namespace = ["--namespace", &world.namespace];
    let output = tokio::task::block_in_place(|| {
        Kubernetes::shared().kubectl(namespace.into_iter().chain(arguments.iter().copied()))
    });
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// The same, with something on its standard input.
fn given(world: &World, arguments: &[&str], object: &Value) -> String {
    tokio::task::block_in_place(|| {
        let mut command = Kubernetes::shared().kubectl_command();
        command.args(["--namespace", &world.namespace]).args(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(object.to_string().as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    })
}

/// Compares, with times and names that are others each time put in their places.
#[track_caller]
fn check(world: &World, said: &str, expected: &Expect) {
    let said = said.replace(&world.namespace, "NAMESPACE");
    let words: Vec<String> = said
        .lines()
        .map(|line| {
            let is_age = |word: &str| {
                word.ends_with('s') && word.trim_end_matches('s').bytes().all(|byte| byte.is_ascii_digit())
            };
            match line.rsplit_once(' ') {
                Some((before, last)) if is_age(last) => format!("{before} AGE"),
                _ => line.trim_end().to_owned(),
            }
        })
        .collect();
    expected.assert_eq(&(words.join("\n") + "\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_by_their_short_name_and_their_category() {
    let mut world = World::new("list").await;
    world.create(&world.job("logs")).await;
    check(
        &world,
        &kubectl(&world, &["get", "ij"]),
        &expect![[r#"
        NAME   PHASE   DISCOVERED   DONE   BACKLOG   WORKERS   ETA   AGE
        logs                                                         AGE
    "#]],
    );
    world.until_phase("logs", Phase::Complete).await;
    world
        .until("logs", |job| job.status.as_ref().unwrap().workers == Some(0))
        .await;
    check(
        &world,
        &kubectl(&world, &["get", "ij"]),
        &expect![[r#"
        NAME   PHASE      DISCOVERED   DONE   BACKLOG   WORKERS   ETA   AGE
        logs   Complete   30           30     0         0               AGE
    "#]],
    );
    check(
        &world,
        &kubectl(&world, &["get", "paraflow", "--output", "wide"]),
        &expect![[r#"
            NAME   PHASE      DISCOVERED   DONE   BACKLOG   WORKERS   ETA   DLQ   BYTES/S   AGE
            logs   Complete   30           30     0         0               0               AGE
        "#]],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_waits_for_a_condition_and_scales_a_job() {
    let mut world = World::new("wait").await;
    world.create(&world.job("logs")).await;
    let waited = kubectl(&world, &["wait", "--for=condition=Complete", "--timeout=1s", "ij/logs"]);
    check(
        &world,
        &waited,
        &expect![[r#"
        error: timed out waiting for the condition on ingestjobs/logs
    "#]],
    );
    world.until_phase("logs", Phase::Complete).await;
    let waited = kubectl(
        &world,
        &["wait", "--for=condition=Complete", "--timeout=10s", "ij/logs"],
    );
    check(
        &world,
        &waited,
        &expect![[r#"
        ingestjob.paraflow.dev/logs condition met
    "#]],
    );
    check(
        &world,
        &kubectl(&world, &["scale", "ij/logs", "--replicas=3"]),
        &expect![[r#"
            ingestjob.paraflow.dev/logs scaled
        "#]],
    );
    assert_eq!(
        world.jobs().get("logs").await.unwrap().spec.workers.unwrap().replicas,
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_explain_themselves() {
    let world = World::new("explain").await;
    check(
        &world,
        &kubectl(&world, &["explain", "ij.spec.queue.sqs.maxReceives"]),
        &expect![[r#"
            GROUP:      paraflow.dev
            KIND:       IngestJob
            VERSION:    v1alpha1

            FIELD: maxReceives <integer>


            DESCRIPTION:
                How often a work item is tried before it is moved to the dead-letter queue.
                Default: 5.


        "#]],
    );
    let all = kubectl(&world, &["explain", "ij.spec", "--recursive"]);
    assert!(all.contains("restartNonce") && all.contains("podTemplate"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn describing_a_job_answers_why_there_are_so_many_workers() {
    let mut world = World::new("describe").await;
    world.create(&world.job("logs")).await;
    world
        .until("logs", |job| {
            job.status
                .as_ref()
                .is_some_and(|status| status.workers.unwrap_or(0) > 0)
        })
        .await;
    world.until_phase("logs", Phase::Complete).await;
    let described = kubectl(&world, &["describe", "ij", "logs"]);
    let events: Vec<String> = described
        .lines()
        .skip_while(|line| !line.starts_with("Events:"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() > 4)
        // Type, reason, age, from: then the message.
        .map(|words| format!("{} {}", words[0], words[1]))
        .collect();
    for wanted in [
        "Normal Discovering",
        "Normal Running",
        "Normal Complete",
        "Normal Scaled",
    ] {
        assert!(
            events.iter().any(|event| event == wanted),
            "{wanted}: {events:?}\n{described}"
        );
    }
    // Each with its own reason, not with that of the first one.
    let scaled: Vec<&str> = described.lines().filter(|line| line.contains(" Scaled ")).collect();
    for wanted in ["2 workers for 30 work items, up to 20 each", "0 workers"] {
        assert!(
            scaled.iter().any(|event| event.contains(wanted)),
            "{wanted}: {scaled:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_a_job_again_changes_nothing_while_the_operator_works_on_it() {
    let mut world = World::new("apply").await;
    let mut job = world.job("logs");
    job["spec"]["workers"] = json!({"max": 3, "min": 0});
    check(
        &world,
        &given(&world, &["apply", "--server-side", "-f", "-"], &job),
        &expect![[r#"
            ingestjob.paraflow.dev/logs serverside-applied
        "#]],
    );
    world.until_phase("logs", Phase::Running).await;
    assert_eq!(given(&world, &["diff", "--server-side", "-f", "-"], &job), "");
    let before = world.jobs().get("logs").await.unwrap().metadata.generation;
    check(
        &world,
        &given(&world, &["apply", "--server-side", "-f", "-"], &job),
        &expect![[r#"
            ingestjob.paraflow.dev/logs serverside-applied
        "#]],
    );
    assert_eq!(world.jobs().get("logs").await.unwrap().metadata.generation, before);
}
