//! The sink before real servers: Elasticsearch and OpenSearch.

#[path = "elasticsearch/access.rs"]
mod access;
#[path = "elasticsearch/conflicts.rs"]
mod conflicts;
#[path = "elasticsearch/delivery.rs"]
mod delivery;
#[path = "elasticsearch/meaning.rs"]
mod meaning;
#[path = "elasticsearch/pressure.rs"]
mod pressure;
#[path = "elasticsearch/rollover.rs"]
mod rollover;
#[path = "elasticsearch/start.rs"]
mod start;

use std::sync::{Arc, Once};

use clap::Parser;
use jiff::Timestamp;
use pf_e2e::{Elasticsearch as Server, OpenSearch, search::SearchApi};
use pf_work::WorkItem;
use pf_worker::{
    args::elasticsearch::EsArgs,
    batch::{Batch, Reject},
    indexer::{
        bulk::{Bulk, BulkEncoder, BulkSink as _, Delivered, End, Origin, Verdict},
        elasticsearch::{Elasticsearch, Metrics, Options, StartError},
    },
    reader::ndjson,
};
use prometheus::Registry;
use tokio::runtime::Runtime;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    elasticsearch: EsArgs,
}

/// A sink, and all that a lane has for it.
struct Sink {
    runtime: Runtime,
    elasticsearch: Arc<Elasticsearch>,
    encoder: BulkEncoder,
    registry: Registry,
}

impl Sink {
    /// Connects with these flags, which white space separates.
    fn connect(flags: &str) -> Result<Self, StartError> {
        Self::connect_with(flags, |_| {})
    }

    /// The same as a plan does it, which leaves fields out of documents that can't be in them.
    fn must_connect_leaving_out(flags: &str) -> Self {
        Self::connect_with(flags, |options| options.leave_out(&[], None))
            .unwrap_or_else(|error| panic!("{flags}: {error}"))
    }

    fn connect_with(flags: &str, change: impl FnOnce(&mut Options)) -> Result<Self, StartError> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::aws_lc_rs::default_provider()
                .install_default()
                .expect("no other test installs one");
        });
        let line = ["pf-worker"].into_iter().chain(flags.split_whitespace());
        let mut options = Options::from_args(Line::parse_from(line).elasticsearch, 1).expect("the flags are right");
        change(&mut options);
        let runtime = Runtime::new().expect("threads can be started");
        let registry = Registry::new();
        let encoder = BulkEncoder::new(options.addressing.clone());
        let elasticsearch = runtime.block_on(Elasticsearch::connect(options, Metrics::new(&registry)))?;
        Ok(Self {
            runtime,
            elasticsearch,
            encoder,
            registry,
        })
    }

    fn must_connect(flags: &str) -> Self {
        Self::connect(flags).unwrap_or_else(|error| panic!("{flags}: {error}"))
    }

    /// The reason why it can't be connected.
    fn refused(flags: &str) -> String {
        match Self::connect(flags) {
            Err(StartError::Refused(reason)) => reason,
            Err(StartError::Unreachable(reason)) => panic!("{flags}: unreachable: {reason}"),
            Ok(_) => panic!("{flags}: connected"),
        }
    }

    /// A bulk of records of an object of this name, and what was rejected on the way to it.
    fn bulk(&mut self, object: &str, records: &[String], as_columns: bool) -> (Bulk, Vec<Reject>) {
        let text = records.join("\n") + "\n";
        let options = ndjson::Options {
            columns: as_columns.then(Vec::new),
            filter: None,
            record_bytes_max: 100 << 20,
            batch_records_max: 100_000,
            batch_bytes_max: 100 << 20,
        };
        let mut reader = ndjson::Reader::new(text.as_bytes(), ndjson::Span::WHOLE, options);
        let (mut bulk, mut rejects) = (Bulk::default(), Vec::new());
        let origin = Origin::new(&item(object));
        while let Some(batch) = reader
            .next_batch(&mut rejects)
            .expect("memory is read without an error")
        {
            self.append(&mut bulk, &origin, &batch, &mut rejects);
        }
        (bulk, rejects)
    }

    fn append(&mut self, bulk: &mut Bulk, origin: &Origin, batch: &Batch, rejects: &mut Vec<Reject>) {
        self.encoder
            .append(bulk, origin, 0, batch, rejects)
            .expect("every column has a form in JSON");
    }

    fn deliver(&self, bulk: &Bulk) -> Delivered {
        self.runtime.block_on(async {
            let _room = self.elasticsearch.room(bulk.body.len()).await;
            self.elasticsearch.deliver(bulk).await
        })
    }

    /// Delivers records as lines.
    fn send(&mut self, object: &str, records: &[String]) -> Delivered {
        let (bulk, rejects) = self.bulk(object, records, false);
        assert!(rejects.is_empty(), "{rejects:?}");
        self.deliver(&bulk)
    }

    /// Delivers records once more, as those of an item that somebody began at some time.
    fn send_again(&mut self, object: &str, records: &[String]) -> Delivered {
        let (mut bulk, rejects) = self.bulk(object, records, false);
        assert!(rejects.is_empty(), "{rejects:?}");
        bulk.sent_since = vec![Some(Timestamp::now())];
        self.deliver(&bulk)
    }

    /// The value of a counter or gauge; of one with an outcome, as `name{outcome}`.
    fn metric(&self, name: &str) -> u64 {
        let (name, outcome) = match name.split_once('{') {
            Some((name, outcome)) => (name, Some(outcome.trim_end_matches('}'))),
            None => (name, None),
        };
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .expect("it is registered");
        let metric = family.get_metric().iter().find(|metric| {
            outcome.is_none_or(|outcome| metric.get_label().iter().any(|label| label.value() == outcome))
        });
        let metric = metric.expect("the outcome is registered");
        (metric.get_counter().get_value() + metric.get_gauge().get_value()) as u64
    }
}

fn item(object: &str) -> WorkItem {
    let item = format!(
        r#"{{"v":1,"job":"t","seq":0,"uri":"s3://test/{object}","etag":"1","size_bytes":1,
            "partition":{{"region":"eu"}},"enqueued_at":"2024-01-01T00:00:00Z"}}"#
    );
    WorkItem::from_json(&item).expect("it is an item")
}

/// Both kinds of server in both lines of their versions, for what must hold on each.
fn each(check: impl Fn(&str, &SearchApi)) {
    for elasticsearch in [Server::shared(), Server::shared_9()] {
        check(&elasticsearch.endpoint(), elasticsearch.api());
    }
    for opensearch in [OpenSearch::shared(), OpenSearch::shared_2()] {
        check(&opensearch.endpoint(), opensearch.api());
    }
}

/// Records `{"n": number, "@timestamp": …}`.
fn numbered(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers
        .map(|number| format!(r#"{{"n":{number},"@timestamp":"2024-02-29T12:00:00Z"}}"#))
        .collect()
}

fn all_taken() -> Delivered {
    Delivered {
        exceptions: Vec::new(),
        end: End::Done,
    }
}

/// The reasons of rejected documents, by their places; nothing else may have been said.
fn reasons(delivered: &Delivered) -> Vec<(u32, &str)> {
    assert_eq!(delivered.end, End::Done);
    let exceptions = delivered.exceptions.iter();
    exceptions
        .map(|(place, verdict)| match verdict {
            Verdict::Rejected { reason } => (*place, reason.as_str()),
            other => panic!("{place}: {other:?}"),
        })
        .collect()
}
