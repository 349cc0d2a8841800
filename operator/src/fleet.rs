//! The workers of a job as they tell of themselves: how many hold work, how fast they read, whether the sink keeps up. And its
//! discoverer: how much there is so far.
//!
//! [`Asker`] asks them; the rest is pure. Whoever does not answer is taken to be busy: what is unknown is never zero.

mod ask;

pub use self::ask::Asker;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use pf_telemetry::metrics::names;

/// More documents than one in this many that come back for lack of room are a push back.
const RETRIED_ONE_IN: u64 = 100;

/// A worker or discoverer that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The pod's name.
    pub pod: String,
    /// Where it is.
    pub ip: IpAddr,
}

/// What one worker has counted since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// Leases that it holds now.
    pub leases_held: u64,
    /// Bytes read from storage.
    pub wire_bytes: u64,
    /// Documents that the sink took.
    pub taken: u64,
    /// Documents that the sink had no room for.
    pub retried: u64,
    /// Bulk requests that the sink had no room for.
    pub refused: u64,
}

/// The samples in the text format of Prometheus: name, labels, value.
fn samples(text: &str) -> impl Iterator<Item = (&str, &str, u64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        // Nothing that is read here has a space in a label.
        let (series, value) = line.split_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some((name, labels, value.parse::<f64>().ok()? as u64))
    })
}

/// What a discoverer has found so far, earlier runs included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// Work items.
    pub items: u64,
    /// Bytes of the objects that they cover, as stored.
    pub object_bytes: u64,
}

impl Found {
    /// Reads the text format of Prometheus. Absent where it is not that of a discoverer.
    pub fn parse(text: &str) -> Option<Self> {
        let of = |wanted: &str| samples(text).find_map(|(name, _, value)| (name == wanted).then_some(value));
        Some(Self {
            items: of(names::DISCOVERED_ITEMS)?,
            object_bytes: of(names::DISCOVERED_BYTES)?,
        })
    }
}

impl Told {
    /// Reads the text format of Prometheus. Absent where it is not that of a worker.
    pub fn parse(text: &str) -> Option<Self> {
        let mut told = Self::default();
        let mut is_worker = false;
        for (name, labels, value) in samples(text) {
            let outcome = |outcome: &str| labels.contains(&format!("{}=\"{outcome}\"", names::OUTCOME));
            match name {
                names::LEASES_HELD => (told.leases_held, is_worker) = (value, true),
                names::WIRE_BYTES => told.wire_bytes = value,
                names::REFUSED => told.refused = value,
                names::DOCUMENTS if outcome(names::TAKEN) => told.taken = value,
                names::DOCUMENTS if outcome(names::RETRIED) => told.retried = value,
                _ => {}
            }
        }
        is_worker.then_some(told)
    }

    /// What came since `before`; absent where it counts anew.
    fn since(self, before: Self) -> Option<Self> {
        Some(Self {
            leases_held: self.leases_held,
            wire_bytes: self.wire_bytes.checked_sub(before.wire_bytes)?,
            taken: self.taken.checked_sub(before.taken)?,
            retried: self.retried.checked_sub(before.retried)?,
            refused: self.refused.checked_sub(before.refused)?,
        })
    }

    fn is_pushed_back(self) -> bool {
        self.refused > 0 || self.retried * RETRIED_ONE_IN > self.taken + self.retried
    }
}

/// What all workers of a job come to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// How many hold work; absent: nobody answered.
    pub busy: Option<u32>,
    /// How many leases each holds, of those that answered, by the pod's name.
    pub held: BTreeMap<String, u64>,
    /// Bytes that all of them read from storage in a second; absent: nobody has answered twice.
    pub bytes_per_second: Option<u64>,
    /// Of that, what one that has work reads.
    pub bytes_per_worker: Option<u64>,
    /// Whether the sink pushes back on most of those that write.
    pub saturated: bool,
}

/// What is remembered of a job's workers.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    last: BTreeMap<String, (Duration, Told)>,
}

impl Fleet {
    /// Takes in what each worker answered at `now`, a time since some moment that the caller chose.
    pub fn hear(&mut self, now: Duration, answers: &[(Address, Option<Told>)]) -> Report {
        let answered = answers.iter().filter_map(|(address, told)| Some((address, (*told)?)));
        let held: BTreeMap<String, u64> = answered
            .clone()
            .map(|(address, told)| (address.pod.clone(), told.leases_held))
            .collect();
        let silent = answers.len() - held.len();
        let holding = held.values().filter(|held| **held > 0).count();
        let (mut rate, mut compared, mut readers, mut writers, mut pushed) = (0.0, 0_u32, 0_u32, 0_u32, 0_u32);
        let mut last = BTreeMap::new();
        for (Address { pod, .. }, told) in answered {
            let before = self.last.get(pod).copied();
            last.insert(pod.clone(), (now, told));
            let Some((at, before)) = before else { continue };
            let Some(new) = told.since(before) else { continue };
            let seconds = now.saturating_sub(at).as_secs_f64();
            if seconds <= 0.0 {
                continue;
            }
            compared += 1;
            rate += new.wire_bytes as f64 / seconds;
            readers += u32::from(new.wire_bytes > 0 && told.leases_held > 0);
            writers += u32::from(new.taken + new.retried + new.refused > 0);
            pushed += u32::from(new.is_pushed_back());
        }
        self.last = last;
        Report {
            busy: (answers.is_empty() || !held.is_empty()).then(|| u32::try_from(holding + silent).unwrap_or(u32::MAX)),
            held,
            bytes_per_second: (compared > 0 || answers.is_empty()).then_some(rate as u64),
            bytes_per_worker: (readers > 0).then(|| (rate / f64::from(readers)) as u64),
            saturated: pushed > 0 && pushed * 2 >= writers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(pod: &str) -> Address {
        Address {
            pod: pod.to_owned(),
            ip: IpAddr::from([10, 0, 0, 1]),
        }
    }

    fn told(leases_held: u64, wire_bytes: u64) -> Told {
        Told {
            leases_held,
            wire_bytes,
            ..Told::default()
        }
    }

    #[test]
    fn what_a_worker_serves_is_read() {
        let text = "# HELP pf_leases_held Leases held now\n# TYPE pf_leases_held gauge\npf_leases_held 3\n\
                    pf_bulk_documents_total{outcome=\"taken\"} 1200\npf_bulk_documents_total{outcome=\"retried\"} 7\n\
                    pf_bulk_documents_total{outcome=\"rejected\"} 9\npf_bulk_refused_total 2\npf_wire_bytes_total 1e3\n\
                    pf_ledger_lag_seconds_bucket{le=\"0.01\"} 4\nnonsense\nmore nonsense here\n";
        let expected = Told {
            leases_held: 3,
            wire_bytes: 1000,
            taken: 1200,
            retried: 7,
            refused: 2,
        };
        assert_eq!(Told::parse(text), Some(expected));
        assert_eq!(Told::parse("go_goroutines 7\n"), None, "of some other program");
        assert_eq!(Found::parse(text), None, "of a worker");
        let found = Found::parse("# TYPE pf_discovered_items gauge\npf_discovered_items 12\npf_discovered_bytes 3e4\n");
        assert_eq!(
            found,
            Some(Found {
                items: 12,
                object_bytes: 30_000
            })
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".*", series in "[a-z_]{1,9}[{}\"=a-z]{0,9}", value in ".{0,9}") {
            Told::parse(&text);
            Found::parse(&text);
            Told::parse(&format!("{series} {value}"));
        }
    }

    #[test]
    fn who_does_not_answer_is_busy_and_if_nobody_does_nothing_is_known() {
        let mut fleet = Fleet::default();
        let answers = [
            (address("a"), Some(told(2, 0))),
            (address("b"), Some(told(0, 0))),
            (address("c"), None),
        ];
        let report = fleet.hear(Duration::ZERO, &answers);
        assert_eq!((report.busy, report.held["a"], report.held["b"]), (Some(2), 2, 0));
        assert_eq!(report.bytes_per_second, None, "of one reading");
        let silent = fleet.hear(Duration::from_secs(5), &[(address("a"), None)]);
        assert_eq!((silent.busy, silent.bytes_per_second), (None, None));
        let nobody = fleet.hear(Duration::from_secs(9), &[]);
        assert_eq!((nobody.busy, nobody.bytes_per_second), (Some(0), Some(0)));
    }

    #[test]
    fn rates_are_of_those_that_answered_twice_and_did_not_start_anew() {
        let mut fleet = Fleet::default();
        let at = Duration::from_secs;
        fleet.hear(
            at(0),
            &[
                (address("a"), Some(told(1, 100))),
                (address("b"), Some(told(0, 7))),
                (address("c"), Some(told(1, 900))),
            ],
        );
        let answers = [
            (address("a"), Some(told(1, 1100))),
            (address("b"), Some(told(0, 7))),
            (address("c"), Some(told(1, 30))),
            (address("d"), Some(told(1, 5000))),
        ];
        let report = fleet.hear(at(10), &answers);
        assert_eq!(report.bytes_per_second, Some(100));
        assert_eq!(report.bytes_per_worker, Some(100), "who has no work counts for nothing");
    }

    #[test]
    fn a_sink_is_full_where_most_that_write_are_pushed_back() {
        let counted = |taken, retried, refused| {
            Some(Told {
                taken,
                retried,
                refused,
                ..Told::default()
            })
        };
        let saturated = |now: [Option<Told>; 2]| {
            let mut fleet = Fleet::default();
            let answers = |of: [Option<Told>; 2]| [(address("a"), of[0]), (address("b"), of[1])];
            fleet.hear(Duration::ZERO, &answers([counted(0, 0, 0); 2]));
            fleet.hear(Duration::from_secs(1), &answers(now)).saturated
        };
        assert!(
            !saturated([counted(1000, 1, 0), counted(1000, 0, 0)]),
            "one in a thousand"
        );
        assert!(saturated([counted(100, 50, 0), counted(1000, 0, 0)]), "half of them");
        assert!(
            saturated([counted(0, 0, 3), counted(0, 0, 0)]),
            "who writes nothing is not asked"
        );
        assert!(!saturated([counted(0, 0, 0), counted(0, 0, 0)]));
    }
}
