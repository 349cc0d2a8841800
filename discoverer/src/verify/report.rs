//! What `verify` says, and what it follows from.

use std::{collections::BTreeMap, fmt};

use pf_state::{Ledger, Seal};
use pf_telemetry::report::table;
use pf_work::{Counts, proof};
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
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Every item is completed.
    Complete,
    /// Every item is settled, some as dead letters.
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
    pub(crate) verdict: Verdict,
    /// Whether the discovery came to its end; if not, `expected` is what it found so far.
    pub(crate) discovered: bool,
    pub(crate) objects: u64,
    pub(crate) object_bytes: u64,
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
    } = facts;
    let expected = reached.items;
    let missing = ledger.missing(expected);
    let unknown = ledger.settled().len() + missing.len() - expected;
    let verdict = if !is_sealed || !missing.is_empty() || unknown > 0 || !ledger.unbalanced.is_empty() {
        Verdict::Incomplete
    } else if ledger.dead.is_empty() {
        Verdict::Complete
    } else {
        Verdict::CompleteWithDeadLetters
    };
    let dead_letters = ledger.reasons.iter().map(|(seq, reason)| DeadItem {
        seq: *seq,
        uri: uris.remove(seq),
        reason: reason.clone(),
    });
    Report {
        job,
        verdict,
        discovered: is_sealed,
        objects: reached.objects,
        object_bytes: reached.bytes,
        expected,
        settled: ledger.settled().len(),
        completed: ledger.completed.len(),
        dead_lettered: ledger.dead.len(),
        missing: missing.len(),
        missing_ranges: runs(missing.iter()).take(TOLD_MAX).collect(),
        unknown,
        unbalanced: ledger.unbalanced.iter().take(TOLD_MAX).collect(),
        settled_again: ledger.repeats,
        counts: ledger.counts,
        dead_letters: dead_letters.collect(),
    }
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
            owner: None,
            life: None,
            resumed_from: None,
            verdict: match self.verdict {
                Verdict::Complete => proof::Verdict::Complete,
                Verdict::CompleteWithDeadLetters => proof::Verdict::CompleteWithDeadLetters,
                Verdict::Incomplete => proof::Verdict::Incomplete,
            },
            discovered: self.discovered,
            objects: self.objects,
            object_bytes: self.object_bytes,
            expected: self.expected,
            settled: self.settled,
            dead_lettered: self.dead_lettered,
            missing: self.missing,
            settled_before: 0,
            budget_spent: None,
            wrong: self.what_is_wrong(),
            counts: self.counts,
        }
    }

    /// Why the job is not complete.
    pub(crate) fn what_is_wrong(&self) -> String {
        let mut wrong = Vec::new();
        if !self.discovered {
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
            },
            is_sealed: true,
            ledger,
            uris: dead.iter().map(|seq| (*seq, format!("s3://b/{seq}"))).collect(),
        }
    }

    #[test]
    fn a_job_is_complete_when_every_item_is_completed() {
        let report = report(facts(3, &[0, 1, 2], &[]));
        assert_eq!(
            (report.verdict, report.settled, report.missing),
            (Verdict::Complete, 3, 0)
        );
        assert_eq!(super::report(facts(0, &[], &[])).verdict, Verdict::Complete);
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
