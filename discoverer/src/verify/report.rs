//! What `verify` says, and what it follows from.

use std::{collections::BTreeMap, fmt};

use pf_state::{Books, Ledger, Seal};
use pf_telemetry::report::table;
use pf_work::{Counts, Limit, proof};
use serde::Serialize;

/// Ranges of missing items and numbers of unbalanced ones that are told; all are counted.
const TOLD_MAX: usize = 1000;

/// Dead letters that fit a person's screen.
const SHOWN_MAX: usize = 10;

/// What was read.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The job.
    pub(crate) job: String,
    /// What the manifest holds.
    pub(crate) reached: Seal,
    /// Whether it holds everything.
    pub(crate) is_sealed: bool,
    /// What is settled.
    pub(crate) ledger: Ledger,
    /// Addresses of dead letters whose reasons are known.
    pub(crate) uris: BTreeMap<u64, String>,
    /// Whose the books are.
    pub(crate) books: Books,
    /// Rejected records that are not kept.
    pub(crate) records_not_kept: u64,
    /// How many objects what was read does not cover.
    pub(crate) uncovered: u64,
    /// The first of these.
    pub(crate) gaps: Vec<Uncovered>,
    /// What is allowed.
    pub(crate) allowed: Allowed,
}

/// What a job may be and still be complete.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowed {
    /// How many records may be rejected; any number without a limit.
    pub(crate) rejected: Vec<Limit>,
    /// Whether nothing may belong to it.
    pub(crate) empty: bool,
}

/// An object that what was read does not cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Uncovered {
    pub(crate) uri: String,
    pub(crate) reason: String,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Every item is completed, and every record that was to arrive did.
    Complete,
    /// Every item is settled; items or records went elsewhere, or there are none at all.
    CompleteWithDeadLetters,
    /// Something is missing or doesn't add up.
    Incomplete,
}

/// An item that was given up.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DeadItem {
    pub(crate) seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uri: Option<String>,
    pub(crate) reason: String,
}

/// The report; its JSON is for programs, its `Display` for a person.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) job: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) life: Option<String>,
    /// Who had the books before, where they were taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resumed_from: Option<String>,
    pub(crate) verdict: Verdict,
    /// Whether the discovery came to its end; if not, `expected` is what it found so far.
    pub(crate) discovered: bool,
    pub(crate) objects: u64,
    pub(crate) object_bytes: u64,
    /// Objects that were left out because they are archived.
    pub(crate) archived: u64,
    /// Objects of which an earlier version belongs to the job, too: the documents of both are in the sink.
    pub(crate) superseding: u64,
    pub(crate) expected: u64,
    pub(crate) settled: u64,
    pub(crate) completed: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) missing: u64,
    /// First and last number of each run of missing items.
    pub(crate) missing_ranges: Vec<(u64, u64)>,
    /// Items in the ledger that the manifest does not have.
    pub(crate) unknown: u64,
    /// Settled items whose records are not all accounted for.
    pub(crate) unbalanced: Vec<u64>,
    /// Deliveries of items that were settled before.
    pub(crate) settled_again: u64,
    /// Items that were settled for an earlier owner of the books; their records are not in the counts.
    pub(crate) settled_before: u64,
    /// Records of these that the sink has.
    pub(crate) records_out_before: u64,
    /// Settlements of another job of this name, which do not count.
    pub(crate) settled_elsewhere: u64,
    /// Rejected records that are not kept.
    pub(crate) records_not_kept: u64,
    /// Objects that what was read of them does not cover.
    pub(crate) uncovered: u64,
    pub(crate) uncovered_objects: Vec<Uncovered>,
    /// More records were rejected than are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) budget_spent: Option<String>,
    #[serde(skip)]
    allows_empty: bool,
    #[serde(flatten)]
    pub(crate) counts: Counts,
    pub(crate) dead_letters: Vec<DeadItem>,
}

/// What follows from the facts.
pub(crate) fn report(facts: Facts) -> Report {
    let Facts {
        job,
        reached,
        is_sealed,
        ledger,
        mut uris,
        books,
        records_not_kept,
        uncovered,
        gaps,
        allowed,
    } = facts;
    let expected = reached.items;
    let missing = ledger.missing(expected);
    let unknown = ledger.settled().len() + missing.len() - expected;
    let is_unproven = !ledger.unbalanced.is_empty() || records_not_kept > 0 || uncovered > 0;
    let is_empty = expected == 0 && !allowed.empty;
    let verdict = if !is_sealed || !missing.is_empty() || unknown > 0 || is_unproven {
        Verdict::Incomplete
    } else if ledger.dead.is_empty() && ledger.counts.records_astray() == 0 && !is_empty {
        Verdict::Complete
    } else {
        Verdict::CompleteWithDeadLetters
    };
    let budget_spent = budget_spent(&allowed.rejected, &ledger.counts, verdict);
    let dead_letters = ledger.reasons.iter().map(|(seq, reason)| DeadItem {
        seq: *seq,
        uri: uris.remove(seq),
        reason: reason.clone(),
    });
    Report {
        job,
        owner: books.life().map(|life| life.owner.clone()),
        life: books.life().map(|life| life.id.clone()),
        resumed_from: books.taken_from().map(str::to_owned),
        verdict,
        discovered: is_sealed,
        objects: reached.objects,
        object_bytes: reached.bytes,
        archived: reached.archived,
        superseding: reached.superseding,
        expected,
        settled: ledger.settled().len(),
        completed: ledger.completed.len(),
        dead_lettered: ledger.dead.len(),
        missing: missing.len(),
        missing_ranges: runs(missing.iter()).take(TOLD_MAX).collect(),
        unknown,
        unbalanced: ledger.unbalanced.iter().take(TOLD_MAX).collect(),
        settled_again: ledger.repeats,
        settled_before: ledger.items_before,
        records_out_before: ledger.counts_before.records_out,
        settled_elsewhere: ledger.foreign,
        records_not_kept,
        uncovered,
        uncovered_objects: gaps,
        budget_spent,
        allows_empty: allowed.empty,
        counts: ledger.counts.without(ledger.counts_before),
        dead_letters: dead_letters.collect(),
    }
}

/// In words, how many more records were rejected than are allowed; by us, or by the sink that put them elsewhere. What a share is
/// of is only known at the end.
fn budget_spent(limits: &[Limit], counts: &Counts, verdict: Verdict) -> Option<String> {
    let read = counts.records_in;
    let rejected = counts.records_rejected.saturating_add(counts.records_redirected);
    let is_known = |limit: &&Limit| matches!(limit, Limit::Records(_)) || verdict != Verdict::Incomplete;
    let mut limits = limits.iter().filter(is_known);
    let limit = limits.find(|limit| limit.is_exceeded(read, rejected))?;
    Some(format!(
        "{rejected} of {read} records were rejected, and --max-rejected allows {limit}"
    ))
}

/// The runs of successive numbers, each as its first and last.
fn runs(numbers: impl Iterator<Item = u64>) -> impl Iterator<Item = (u64, u64)> {
    let mut numbers = numbers.peekable();
    std::iter::from_fn(move || {
        let first = numbers.next()?;
        let mut last = first;
        while let Some(next) = numbers.next_if(|next| *next == last + 1) {
            last = next;
        }
        Some((first, last))
    })
}

impl Report {
    /// The report without its lists.
    pub(crate) fn summary(&self) -> proof::Summary {
        proof::Summary {
            job: self.job.clone(),
            owner: self.owner.clone(),
            life: self.life.clone(),
            resumed_from: self.resumed_from.clone(),
            verdict: match self.verdict {
                Verdict::Complete => proof::Verdict::Complete,
                Verdict::CompleteWithDeadLetters => proof::Verdict::CompleteWithDeadLetters,
                Verdict::Incomplete => proof::Verdict::Incomplete,
            },
            discovered: self.discovered,
            objects: self.objects,
            object_bytes: self.object_bytes,
            archived: self.archived,
            expected: self.expected,
            settled: self.settled,
            dead_lettered: self.dead_lettered,
            missing: self.missing,
            settled_before: self.settled_before,
            budget_spent: self.budget_spent.clone(),
            wrong: self.what_is_wrong(),
            counts: self.counts,
        }
    }

    /// Why the job is not complete, beside dead letters.
    pub(crate) fn what_is_wrong(&self) -> String {
        let mut wrong = Vec::new();
        if !self.discovered && self.life.is_none() && self.expected == 0 {
            wrong.push(format!("no job `{}` was listed into this --state", self.job));
        } else if !self.discovered {
            wrong.push("the discovery has not ended: start it again with the same flags".to_owned());
        }
        if self.missing > 0 {
            wrong.push(format!(
                "{} of {} items are not settled ({})",
                self.missing,
                self.expected,
                self.missing_shown()
            ));
        }
        if self.unknown > 0 {
            wrong.push(format!("{} settled items are not in the manifest", self.unknown));
        }
        if !self.unbalanced.is_empty() {
            let shown: Vec<String> = self.unbalanced.iter().take(SHOWN_MAX).map(u64::to_string).collect();
            wrong.push(format!("records of items {} are unaccounted for", shown.join(", ")));
        }
        if self.records_not_kept > 0 {
            wrong.push(format!("{} rejected records are not kept", self.records_not_kept));
        }
        if self.uncovered > 0 {
            let shown = self.uncovered_objects.iter().take(SHOWN_MAX);
            let shown: Vec<String> = shown
                .map(|Uncovered { uri, reason }| format!("{uri}: {reason}"))
                .collect();
            wrong.push(format!(
                "{} objects are not covered by what was read of them ({})",
                self.uncovered,
                shown.join(", ")
            ));
        }
        if self.expected == 0 && self.discovered && !self.allows_empty {
            let archived = match self.archived {
                0 => String::new(),
                count => format!(" and is not archived, as {count} are"),
            };
            wrong.push(format!(
                "nothing belongs to the job: the discovery found no object that matches{archived}"
            ));
        }
        wrong.join("; ")
    }

    fn missing_shown(&self) -> String {
        let show = |(first, last): &(u64, u64)| match last - first {
            0 => first.to_string(),
            _ => format!("{first}–{last}"),
        };
        let mut shown: Vec<String> = self.missing_ranges.iter().take(SHOWN_MAX).map(show).collect();
        if self.missing_ranges.len() > SHOWN_MAX {
            shown.push("…".to_owned());
        }
        shown.join(", ")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Complete => "complete",
            Verdict::CompleteWithDeadLetters => "complete, with dead letters",
            Verdict::Incomplete => "incomplete",
        };
        let mut rows = vec![
            ("job", self.job.clone()),
            ("verdict", verdict.to_owned()),
            (
                "discovery",
                if self.discovered { "ended" } else { "not ended" }.to_owned(),
            ),
            ("objects", self.objects.to_string()),
            ("items expected", self.expected.to_string()),
            ("items completed", self.completed.to_string()),
            ("items dead-lettered", self.dead_lettered.to_string()),
            ("items missing", self.missing.to_string()),
        ];
        if self.missing > 0 {
            rows.push(("missing", self.missing_shown()));
        }
        if let Some(from) = &self.resumed_from {
            rows.push(("taken over from", from.clone()));
            rows.push(("items settled before", self.settled_before.to_string()));
            rows.push(("records out before", self.records_out_before.to_string()));
        }
        for (name, count) in [
            ("objects left out, archived", self.archived),
            ("items settled for another job", self.settled_elsewhere),
            ("rejected records not kept", self.records_not_kept),
            ("objects not covered", self.uncovered),
        ] {
            if count > 0 {
                rows.push((name, count.to_string()));
            }
        }
        if let Some(spent) = &self.budget_spent {
            rows.push(("too much rejected", spent.clone()));
        }
        if self.unknown > 0 {
            rows.push(("items not in the manifest", self.unknown.to_string()));
        }
        let Counts {
            records_in,
            records_out,
            records_filtered,
            records_dropped,
            records_redirected,
            records_rejected,
            records_duplicate,
            records_updated,
            records_conflicting,
            span_bytes: _,
            wire_bytes,
            decompressed_bytes,
            output_bytes,
        } = self.counts;
        for (name, count) in [
            ("records in", records_in),
            ("records out", records_out),
            ("of these, duplicates", records_duplicate),
            ("of these, in place of others", records_updated),
            ("records filtered out", records_filtered),
            ("records dropped by the sink", records_dropped),
            ("records redirected by the sink", records_redirected),
            ("records rejected", records_rejected),
            ("of these, in conflict", records_conflicting),
            ("wire bytes", wire_bytes),
            ("decompressed bytes", decompressed_bytes),
            ("output bytes", output_bytes),
            ("items settled again", self.settled_again),
            ("items unbalanced", self.unbalanced.len() as u64),
        ] {
            rows.push((name, count.to_string()));
        }
        f.write_str(&table(rows))?;
        for DeadItem { seq, uri, reason } in self.dead_letters.iter().take(SHOWN_MAX) {
            let uri = uri.as_deref().unwrap_or("not in the manifest");
            write!(f, "\ndead letter {seq} ({uri}): {reason}")?;
        }
        if self.dead_lettered > SHOWN_MAX as u64 && self.dead_letters.len() > SHOWN_MAX {
            write!(f, "\n… and {} more", self.dead_lettered - SHOWN_MAX as u64)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(items: u64, completed: &[u64], dead: &[u64]) -> Facts {
        let mut ledger = Ledger::default();
        ledger.completed.extend(completed);
        ledger.dead.extend(dead);
        ledger.reasons = dead.iter().map(|seq| (*seq, "gone".to_owned())).collect();
        Facts {
            job: "j".to_owned(),
            reached: Seal {
                items,
                parts: 1,
                objects: items,
                bytes: items,
                archived: 0,
                superseding: 0,
            },
            is_sealed: true,
            ledger,
            uris: dead.iter().map(|seq| (*seq, format!("s3://b/{seq}"))).collect(),
            books: Books::default(),
            records_not_kept: 0,
            uncovered: 0,
            gaps: Vec::new(),
            allowed: Allowed::default(),
        }
    }

    #[test]
    fn a_job_is_complete_when_every_item_is_completed() {
        let report = report(facts(3, &[0, 1, 2], &[]));
        assert_eq!(
            (report.verdict, report.settled, report.missing),
            (Verdict::Complete, 3, 0)
        );
    }

    #[test]
    fn a_job_to_which_nothing_belongs_is_complete_only_where_that_is_allowed() {
        let told = report(facts(0, &[], &[]));
        assert_eq!(told.verdict, Verdict::CompleteWithDeadLetters);
        assert!(told.what_is_wrong().contains("no object that matches"));
        let mut allowed = facts(0, &[], &[]);
        allowed.allowed.empty = true;
        let told = report(allowed);
        assert_eq!((told.verdict, told.what_is_wrong().as_str()), (Verdict::Complete, ""));
    }

    #[test]
    fn records_that_went_astray_are_no_plain_success() {
        let astray: [fn(&mut Counts); 3] = [
            |counts| counts.records_rejected = 1,
            |counts| counts.records_redirected = 1,
            |counts| counts.records_dropped = 1,
        ];
        for astray in astray {
            let mut facts = facts(1, &[0], &[]);
            facts.ledger.counts.records_in = 1;
            astray(&mut facts.ledger.counts);
            assert_eq!(report(facts).verdict, Verdict::CompleteWithDeadLetters);
        }
        let mut filtered = facts(1, &[0], &[]);
        filtered.ledger.counts.records_filtered = 1;
        assert_eq!(report(filtered).verdict, Verdict::Complete);
    }

    #[test]
    fn what_is_not_kept_or_not_covered_is_not_proven() {
        let mut lost = facts(1, &[0], &[]);
        lost.records_not_kept = 12;
        let lost = report(lost);
        assert_eq!(lost.verdict, Verdict::Incomplete);
        assert_eq!(lost.what_is_wrong(), "12 rejected records are not kept");
        let mut gap = facts(1, &[0], &[]);
        gap.uncovered = 1;
        gap.gaps.push(Uncovered {
            uri: "s3://b/k".to_owned(),
            reason: "5 of its 8 rows were read".to_owned(),
        });
        let gap = report(gap);
        assert_eq!(gap.verdict, Verdict::Incomplete);
        assert!(gap.what_is_wrong().contains("s3://b/k: 5 of its 8 rows"));
    }

    #[test]
    fn the_budget_is_the_jobs_and_a_share_is_judged_at_the_end() {
        let spent = |limit: &str, completed: &[u64]| {
            let mut facts = facts(2, completed, &[]);
            facts.ledger.counts.records_in = 100;
            facts.ledger.counts.records_rejected = 2;
            facts.ledger.counts.records_redirected = 1;
            facts.allowed.rejected = Limit::list(limit).unwrap();
            report(facts).budget_spent
        };
        assert_eq!(spent("3", &[0, 1]), None);
        assert!(spent("2", &[0, 1]).unwrap().contains("3 of 100 records"));
        assert!(spent("2", &[0]).is_some(), "more work does not make it less");
        assert!(spent("1%", &[0, 1]).is_some());
        assert_eq!(spent("1%", &[0]), None, "what is missing may be good");
    }

    #[test]
    fn what_an_earlier_owner_settled_is_not_told_as_ones_own() {
        let mut facts = facts(2, &[0, 1], &[]);
        (facts.ledger.counts.records_in, facts.ledger.counts.records_out) = (100, 100);
        (
            facts.ledger.counts_before.records_in,
            facts.ledger.counts_before.records_out,
        ) = (60, 60);
        facts.ledger.items_before = 1;
        let report = report(facts);
        assert_eq!((report.verdict, report.settled), (Verdict::Complete, 2));
        assert_eq!((report.counts.records_out, report.records_out_before), (40, 60));
        assert_eq!(report.summary().settled_before, 1);
    }

    #[test]
    fn dead_letters_are_settled_and_told() {
        let report = report(facts(3, &[0, 2], &[1]));
        assert_eq!((report.verdict, report.settled), (Verdict::CompleteWithDeadLetters, 3));
        assert_eq!(report.dead_letters[0].uri.as_deref(), Some("s3://b/1"));
        assert!(
            report.to_string().contains("dead letter 1 (s3://b/1): gone"),
            "{report}"
        );
    }

    #[test]
    fn missing_items_are_told_as_ranges() {
        let report = report(facts(10, &[2, 4, 5], &[9]));
        assert_eq!(report.verdict, Verdict::Incomplete);
        assert_eq!((report.missing, report.settled), (6, 4));
        assert_eq!(report.missing_ranges, [(0, 1), (3, 3), (6, 8)]);
        assert_eq!(report.what_is_wrong(), "6 of 10 items are not settled (0–1, 3, 6–8)");
    }

    #[test]
    fn nothing_is_complete_before_the_discovery_has_ended() {
        let report = report(Facts {
            is_sealed: false,
            ..facts(2, &[0, 1], &[])
        });
        assert_eq!(report.verdict, Verdict::Incomplete);
        assert!(report.what_is_wrong().contains("has not ended"));
    }

    #[test]
    fn records_and_items_that_do_not_add_up_are_told() {
        let mut unbalanced = facts(2, &[0, 1], &[]);
        unbalanced.ledger.unbalanced.insert(1);
        let unbalanced = report(unbalanced);
        assert_eq!(
            (unbalanced.verdict, &unbalanced.unbalanced[..]),
            (Verdict::Incomplete, &[1][..])
        );
        let unknown = report(facts(2, &[0, 1, 7], &[8]));
        assert_eq!((unknown.verdict, unknown.unknown), (Verdict::Incomplete, 2));
    }
}
