//! What a proof says of a job, in a phase, a reason and a sentence. It looks at records, not at work items alone: a job is
//! plainly complete only if each record is where it was to go. Pure.

use pf_work::{
    Counts,
    proof::{Summary, Verdict},
};

use super::discovering::{NOTHING_MATCHED, nothing_matched};
use crate::crd::{IngestJob, Phase};

/// Phase, reason and message of a job whose items are all settled.
pub(super) fn verdict(job: &IngestJob, proof: &Summary) -> (Phase, &'static str, String) {
    if proof.expected == 0 {
        return if job.spec.source.allow_empty == Some(true) {
            (Phase::Complete, "Complete", nothing_matched(job))
        } else {
            (Phase::CompleteWithFailures, NOTHING_MATCHED, nothing_matched(job))
        };
    }
    let counts = &proof.counts;
    let given_up = proof.dead_lettered;
    let mut told = vec![match given_up {
        0 => format!("all {} work items are settled", proof.expected),
        1 => format!("all {} work items are settled, 1 of them was given up", proof.expected),
        _ => format!(
            "all {} work items are settled, {given_up} of them were given up",
            proof.expected
        ),
    }];
    let astray = astray(counts);
    if !astray.is_empty() {
        told.push(format!("of {} records, {}", counts.records_in, astray.join(", ")));
    }
    let is_well = proof.verdict == Verdict::Complete && given_up == 0 && counts.records_astray() == 0;
    let only_duplicates = counts.records_out > 0 && counts.records_duplicate == counts.records_out;
    if only_duplicates {
        let records = counts.records_out;
        told.push(format!(
            "nothing new was written: the sink had all {records} records before"
        ));
    }
    if !is_well && given_up == 0 && astray.is_empty() && !proof.wrong.is_empty() {
        told.push(proof.wrong.clone());
    }
    if let Some(owner) = &proof.resumed_from {
        let before = proof.settled_before;
        told.push(format!(
            "the books were taken over from {owner}, for whom {before} of the items were settled: their records are not counted here"
        ));
    }
    let message = told.join("; ");
    match (is_well, only_duplicates) {
        (true, false) => (Phase::Complete, "Complete", message),
        (true, true) => (Phase::Complete, "OnlyDuplicates", message),
        (false, _) => (Phase::CompleteWithFailures, "CompleteWithFailures", message),
    }
}

/// What became of records that are not where they were to go, where there are any.
fn astray(counts: &Counts) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |count: u64, one: &str, many: &str| {
        if count > 0 {
            told.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    };
    let conflicting = counts.records_conflicting;
    tell(
        counts.records_rejected.saturating_sub(conflicting),
        "was rejected",
        "were rejected",
    );
    tell(
        conflicting,
        "was rejected because another record has its id",
        "were rejected because other records have their ids",
    );
    tell(
        counts.records_redirected,
        "was put into a failure store",
        "were put into a failure store",
    );
    tell(
        counts.records_dropped,
        "was dropped by an ingest pipeline",
        "were dropped by an ingest pipeline",
    );
    told
}

/// That more records were rejected than the job allows.
pub(super) fn over_budget(proof: &Summary) -> String {
    let Counts {
        records_in,
        records_rejected,
        ..
    } = proof.counts;
    let spent = proof.budget_spent.clone();
    let spent = spent.unwrap_or_else(|| format!("of {records_in} records {records_rejected} were rejected"));
    format!("more records were rejected than spec.errorBudget allows: {spent}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(patch: &serde_json::Value) -> IngestJob {
        let mut job = json!({
            "apiVersion": "paraflow.dev/v1alpha1",
            "kind": "IngestJob",
            "metadata": {"name": "logs"},
            "spec": {"source": {"s3": {"bucket": "logs"}}, "sink": {"stats": {}}},
        });
        crate::controller::merge::merge(&mut job, patch);
        serde_json::from_value(job).unwrap()
    }

    fn proof(verdict: &str, counts: Counts) -> Summary {
        let mut summary = json!({
            "job": "a/logs", "verdict": verdict, "discovered": true, "objects": 30, "object_bytes": 1, "expected": 30,
            "settled": 30, "dead_lettered": 0, "missing": 0, "wrong": "",
        });
        let counts = serde_json::to_value(counts).unwrap();
        summary
            .as_object_mut()
            .unwrap()
            .extend(counts.as_object().unwrap().clone());
        serde_json::from_value(summary).unwrap()
    }

    fn check(proof: &Summary, phase: Phase, reason: &str, message: &str) {
        let (is, why, says) = verdict(&job(&json!({})), proof);
        assert_eq!((is, why, says.as_str()), (phase, reason, message));
    }

    fn written(records: u64) -> Counts {
        Counts {
            records_in: records,
            records_out: records,
            ..Counts::default()
        }
    }

    #[test]
    fn what_is_where_it_was_to_go_is_complete() {
        let message = "all 30 work items are settled";
        check(&proof("complete", written(9)), Phase::Complete, "Complete", message);
        let filtered = Counts {
            records_in: 9,
            records_filtered: 9,
            ..Counts::default()
        };
        check(&proof("complete", filtered), Phase::Complete, "Complete", message);
        let some_again = Counts {
            records_duplicate: 8,
            ..written(9)
        };
        check(&proof("complete", some_again), Phase::Complete, "Complete", message);
    }

    #[test]
    fn records_that_went_astray_make_failures_of_a_job_whatever_the_verdict_says() {
        let astray = Counts {
            records_in: 100,
            records_out: 80,
            records_rejected: 12,
            records_conflicting: 3,
            records_redirected: 1,
            records_dropped: 7,
            ..Counts::default()
        };
        let message = "all 30 work items are settled; of 100 records, 9 were rejected, 3 were rejected because other records \
                       have their ids, 1 was put into a failure store, 7 were dropped by an ingest pipeline";
        for verdict in ["complete", "complete_with_dead_letters"] {
            let proof = proof(verdict, astray);
            check(&proof, Phase::CompleteWithFailures, "CompleteWithFailures", message);
        }
        for (kind, says) in [
            (0, "1 was rejected"),
            (1, "1 was put into a failure store"),
            (2, "1 was dropped by an ingest pipeline"),
            (3, "1 was rejected because another record has its id"),
        ] {
            let mut counts = written(9);
            counts.records_in = 10;
            match kind {
                0 => counts.records_rejected = 1,
                1 => counts.records_redirected = 1,
                2 => counts.records_dropped = 1,
                _ => (counts.records_rejected, counts.records_conflicting) = (1, 1),
            }
            let message = format!("all 30 work items are settled; of 10 records, {says}");
            let proof = proof("complete", counts);
            check(&proof, Phase::CompleteWithFailures, "CompleteWithFailures", &message);
        }
    }

    #[test]
    fn items_that_were_given_up_are_told_and_so_is_what_the_proof_says_else() {
        let mut given_up = proof("complete_with_dead_letters", written(9));
        given_up.dead_lettered = 2;
        let message = "all 30 work items are settled, 2 of them were given up";
        check(&given_up, Phase::CompleteWithFailures, "CompleteWithFailures", message);
        given_up.dead_lettered = 0;
        given_up.wrong = "something else".to_owned();
        let message = "all 30 work items are settled; something else";
        check(&given_up, Phase::CompleteWithFailures, "CompleteWithFailures", message);
    }

    #[test]
    fn a_run_of_duplicates_only_says_so() {
        let again = Counts {
            records_duplicate: 9,
            ..written(9)
        };
        let message = "all 30 work items are settled; nothing new was written: the sink had all 9 records before";
        check(&proof("complete", again), Phase::Complete, "OnlyDuplicates", message);
    }

    #[test]
    fn nothing_at_all_is_well_only_where_that_is_allowed() {
        let mut nothing = proof("complete", Counts::default());
        nothing.expected = 0;
        let (phase, reason, message) = verdict(&job(&json!({})), &nothing);
        assert_eq!((phase, reason), (Phase::CompleteWithFailures, "NothingMatched"));
        assert!(
            message.contains("prefix") && message.contains("allowEmpty"),
            "{message}"
        );
        let allowed = job(&json!({"spec": {"source": {"allowEmpty": true}}}));
        for verdict_of_proof in ["complete", "complete_with_dead_letters"] {
            nothing.verdict = serde_json::from_value(json!(verdict_of_proof)).unwrap();
            let (phase, reason, _) = verdict(&allowed, &nothing);
            assert_eq!((phase, reason), (Phase::Complete, "Complete"));
        }
    }

    #[test]
    fn books_of_another_life_are_told_and_its_records_are_not_taken_for_ours() {
        let mut resumed = proof("complete", written(9));
        resumed.resumed_from = Some("a/logs 1234".to_owned());
        resumed.settled_before = 12;
        let message = "all 30 work items are settled; the books were taken over from a/logs 1234, for whom 12 of the items were \
                       settled: their records are not counted here";
        check(&resumed, Phase::Complete, "Complete", message);
    }

    #[test]
    fn a_spent_budget_is_told_by_its_numbers() {
        let mut spent = proof(
            "complete",
            Counts {
                records_in: 4000,
                records_rejected: 4000,
                ..Counts::default()
            },
        );
        let told = "more records were rejected than spec.errorBudget allows: ";
        assert_eq!(over_budget(&spent), format!("{told}of 4000 records 4000 were rejected"));
        spent.budget_spent = Some("4000 of 4000, 2500 are allowed".to_owned());
        assert_eq!(over_budget(&spent), format!("{told}4000 of 4000, 2500 are allowed"));
    }
}
