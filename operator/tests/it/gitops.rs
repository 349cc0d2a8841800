//! What a job looks like to those who apply it from a repository: Argo CD by our Lua, Flux by our expressions, and everybody
//! else by kstatus. The table of docs/gitops is made of what they say here.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use expect_test::expect_file;
use k8s_openapi::jiff::Timestamp;
use kube::core::cel::cel::{Context, Program, Value as CelValue, to_value};
use pf_operator::{
    controller::status::{self, Draft},
    crd::{IngestJob, Phase},
};
use serde_json::{Value, json};

use crate::{charts::workspace, program::outcome};

/// The job of the examples.
pub(crate) fn job() -> IngestJob {
    let file = fs::read_to_string(workspace().join("docs/gitops/jobs/access-logs.yaml")).unwrap();
    serde_yaml::from_str(&file).unwrap()
}

/// A job in its second generation, and what it is; the operator has seen `observed`.
fn seen(observed: Option<i64>, write: impl FnOnce(&mut Draft)) -> Value {
    let mut draft = Draft::new(None, observed, Timestamp::UNIX_EPOCH);
    write(&mut draft);
    let mut job = serde_json::to_value(job()).unwrap();
    job["metadata"]["generation"] = json!(2);
    job["status"] = serde_json::to_value(draft.status).unwrap();
    job
}

/// A job at work, of which nothing is over yet.
fn at_work(phase: Phase, write: impl FnOnce(&mut Draft)) -> Value {
    seen(Some(2), |draft| {
        draft.status.phase = Some(phase);
        for kind in [status::DISCOVERED, status::COMPLETE, status::FAILED, status::SUSPENDED] {
            draft.set(kind, false, "Discovering", "not yet");
        }
        draft.reconciling("Running", "all objects are known, and are being worked on");
        write(draft);
    })
}

fn over(phase: Phase, reason: &str, message: &str) -> Value {
    at_work(phase, |draft| draft.over(phase, reason, message))
}

/// All that a job can be, in the words of the documentation.
fn cases() -> Vec<(&'static str, Value)> {
    let rests = |draft: &mut Draft| {
        draft.clear(status::RECONCILING);
        draft.set(status::SUSPENDED, true, "Suspended", "spec.suspend is true");
        draft.set(status::READY, false, "Suspended", "spec.suspend is true");
    };
    vec![
        ("just applied", seen(Some(-1), |_| {})),
        (
            "changed a moment ago",
            seen(Some(1), |draft| draft.over(Phase::Complete, "Complete", "all settled")),
        ),
        ("Pending, a Secret is missing", {
            seen(Some(2), |draft| {
                draft.status.phase = Some(Phase::Pending);
                draft.stalled("NotFound", "there is no Secret elasticsearch");
            })
        }),
        ("Pending, the queue does not answer", {
            seen(Some(2), |draft| {
                draft.status.phase = Some(Phase::Pending);
                draft.reconciling("QueueUnavailable", "no answer");
            })
        }),
        ("Discovering", at_work(Phase::Discovering, |_| {})),
        ("Discovering, the books are another job's", {
            at_work(Phase::Discovering, |draft| {
                draft.stalled("StateInUse", "the books belong to another job");
            })
        }),
        ("Running", at_work(Phase::Running, |_| {})),
        ("Running, workers are refused", {
            at_work(Phase::Running, |draft| draft.stalled("WorkersRefused", "no such index"))
        }),
        ("Suspended", at_work(Phase::Suspended, rests)),
        ("Suspended before it began", {
            seen(Some(2), |draft| {
                draft.status.phase = Some(Phase::Suspended);
                rests(draft);
            })
        }),
        (
            "Complete",
            over(Phase::Complete, "Complete", "all 30 work items are settled"),
        ),
        (
            "Complete, and the sink had it all before",
            over(Phase::Complete, "OnlyDuplicates", "nothing new was written"),
        ),
        ("CompleteWithFailures, items were given up", {
            let message = "all 30 work items are settled, 2 of them were given up";
            over(Phase::CompleteWithFailures, "CompleteWithFailures", message)
        }),
        ("CompleteWithFailures, records were rejected", {
            let message = "all 30 work items are settled; of 3000 records, 12 were rejected";
            over(Phase::CompleteWithFailures, "CompleteWithFailures", message)
        }),
        ("CompleteWithFailures, nothing was found", {
            let message = "no object matches spec.source";
            over(Phase::CompleteWithFailures, "NothingMatched", message)
        }),
        (
            "Failed",
            over(Phase::Failed, "ErrorBudgetExceeded", "too many records were rejected"),
        ),
    ]
}

/// A value as Lua writes it.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        // These escapes are the same in both, and what is not ASCII may stand as it is.
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => format!("{{{}}}", items.iter().map(lua).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("[{name:?}] = {}", lua(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

/// What the Lua says of each job: health and message.
fn argo_cd(jobs: &[&Value]) -> Vec<(String, String)> {
    let script = fs::read_to_string(workspace().join("docs/gitops/argocd/health.lua")).unwrap();
    // As Argo CD runs it: what is not of the language itself is not there ("Custom Health Checks" in its documentation).
    let mut program = "local print = print\nio, os, require, package, debug = nil, nil, nil, nil, nil\n".to_owned();
    writeln!(program, "local function health()\n{script}\nend").unwrap();
    for job in jobs {
        writeln!(program, "obj = {}\nhs = health()", lua(job)).unwrap();
        program += "print(hs.status .. '|' .. hs.message)\n";
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), program).unwrap();
    let ran = Command::new(pf_e2e::tool("glua")).arg(file.path()).output().unwrap();
    // It ends well whatever happens, and tells on stderr.
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", outcome(&ran));
    let said = String::from_utf8(ran.stdout).unwrap();
    let said = said.lines().map(|line| line.split_once('|').unwrap());
    said.map(|(health, message)| (health.to_owned(), message.to_owned()))
        .collect()
}

/// What Flux' kustomize-controller makes of its expressions (its documentation of `healthCheckExprs`, and RFC 0009).
fn flux(job: &Value, expressions: &Value) -> &'static str {
    if job["status"]["observedGeneration"] != job["metadata"]["generation"] {
        return "InProgress";
    }
    let mut context = Context::default();
    for (name, value) in job.as_object().unwrap() {
        context.add_variable_from_value(name.as_str(), to_value(value).unwrap());
    }
    for (name, result) in [
        ("inProgress", "InProgress"),
        ("failed", "Failed"),
        ("current", "Current"),
    ] {
        let program = Program::compile(expressions[name].as_str().unwrap()).unwrap();
        match program.execute(&context) {
            Ok(CelValue::Bool(true)) => return result,
            Ok(CelValue::Bool(false)) => {}
            other => panic!("{name} is {other:?} of {job}"),
        }
    }
    "InProgress"
}

/// The rules that kstatus has for resources that it does not know ("The Ready condition" and "abnormal-true" in its README).
fn kstatus(job: &Value) -> &'static str {
    let holds = |kind: &str| {
        let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
        conditions
            .filter(|condition| condition["type"] == kind)
            .map(|condition| condition["status"] == "True")
            .next()
    };
    let observed = &job["status"]["observedGeneration"];
    if (!observed.is_null() && *observed != job["metadata"]["generation"]) || holds("Reconciling") == Some(true) {
        "InProgress"
    } else if holds("Stalled") == Some(true) {
        "Failed"
    } else if holds("Ready") == Some(false) {
        "InProgress"
    } else {
        // Also where it knows nothing at all.
        "Current"
    }
}

fn expressions() -> Value {
    let file = fs::read_to_string(workspace().join("docs/gitops/flux/jobs.yaml")).unwrap();
    let kustomization: Value = serde_yaml::from_str(&file).unwrap();
    let expressions = kustomization["spec"]["healthCheckExprs"][0].clone();
    let job = serde_json::to_value(job()).unwrap();
    assert_eq!(expressions["apiVersion"], job["apiVersion"]);
    assert_eq!(expressions["kind"], job["kind"]);
    expressions
}

const BEGIN: &str = "<!-- Made by a test: UPDATE_EXPECT=1 renews it. -->\n";
const END: &str = "<!-- The end of the table. -->\n";

#[test]
fn those_who_apply_jobs_from_a_repository_see_how_they_are() {
    let cases = cases();
    let jobs: Vec<&Value> = cases.iter().map(|(_, job)| job).collect();
    let argo_cd = argo_cd(&jobs);
    assert_eq!(argo_cd.len(), cases.len());
    let expressions = expressions();
    let mut table = "| job | Argo CD | and says | Flux | kstatus |\n|---|---|---|---|---|\n".to_owned();
    for ((name, job), (health, message)) in cases.iter().zip(&argo_cd) {
        let flux = flux(job, &expressions);
        writeln!(table, "| {name} | {health} | {message} | {flux} | {} |", kstatus(job)).unwrap();
        // They agree, but for what only Argo CD has a word for.
        let same = match health.as_str() {
            "Healthy" | "Suspended" => "Current",
            "Degraded" => "Failed",
            _ => "InProgress",
        };
        assert_eq!(flux, same, "{name}");
        if health != "Suspended" {
            assert_eq!(kstatus(job), same, "{name}");
        }
    }
    let readme = workspace().join("docs/gitops/README.md");
    let text = fs::read_to_string(&readme).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    expect_file![readme].assert_eq(&format!("{head}{BEGIN}{table}{END}{tail}"));
}

#[test]
fn every_phase_is_in_the_table() {
    let mut phases: BTreeMap<String, usize> = BTreeMap::new();
    for (_, job) in cases() {
        if let Some(phase) = job["status"]["phase"].as_str() {
            *phases.entry(phase.to_owned()).or_default() += 1;
        }
    }
    let missing = Phase::ALL
        .iter()
        .find(|phase| !phases.contains_key(&format!("{phase:?}")));
    assert_eq!(missing, None);
}

#[test]
fn what_argo_cd_is_configured_with_is_the_lua() {
    let lua = fs::read_to_string(workspace().join("docs/gitops/argocd/health.lua")).unwrap();
    let lines = lua.lines().map(|line| {
        if line.is_empty() {
            "\n".to_owned()
        } else {
            format!("    {line}\n")
        }
    });
    let text = format!(
        "# What is to be merged into the ConfigMap of Argo CD. health.lua is the same text; UPDATE_EXPECT=1 renews it.\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\n  \
         labels: {{app.kubernetes.io/part-of: argocd}}\ndata:\n  resource.customizations.health.paraflow.dev_IngestJob: |\n{}",
        lines.collect::<String>()
    );
    expect_file![workspace().join("docs/gitops/argocd/argocd-cm.yaml")].assert_eq(&text);
    let map: Value = serde_yaml::from_str(&text).unwrap();
    let key = "resource.customizations.health.paraflow.dev_IngestJob";
    assert_eq!(map["data"][key], lua.as_str());
}

#[test]
fn every_link_of_the_page_leads_somewhere() {
    let page = workspace().join("docs/gitops/README.md");
    let text = fs::read_to_string(&page).unwrap();
    let links: Vec<&str> = text
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
        .collect();
    assert!(links.len() > 5);
    for link in links {
        assert!(
            Path::new(&page).parent().unwrap().join(link).exists(),
            "{link} is nowhere"
        );
    }
}
