//! What a job's documents and their destination depend on, by the flags that say it: bound in the job's state by its first worker,
//! so that no other one mixes other documents among them, or sends some of them elsewhere.
//!
//! How fast or with which credentials a worker works is none of it: that may change midway.

use std::collections::BTreeMap;

use crate::args::{Args, Destination, elasticsearch::OpType};

/// What the flags say of it.
pub fn of(args: &Args) -> BTreeMap<String, String> {
    let mut binding = BTreeMap::new();
    let mut bind = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            binding.insert(flag.to_owned(), value);
        }
    };
    let destination = match args.destination {
        Destination::Stdout => "stdout",
        Destination::Stats => "stats",
        Destination::Elasticsearch => "elasticsearch",
    };
    bind("--destination", Some(destination.to_owned()));
    bind("--columns", args.columns.clone());
    bind("--filter", args.filter.clone());
    bind("--max-record-bytes", Some(args.max_record_bytes.to_string()));
    bind("--s3-endpoint", args.s3_endpoint.clone());
    if args.destination == Destination::Elasticsearch {
        let sink = &args.elasticsearch;
        // In which order nodes are named says nothing, nor does a slash at the end.
        let mut urls: Vec<&str> = sink.es_url.iter().map(|url| url.trim_end_matches('/')).collect();
        urls.sort_unstable();
        bind("--es-url", Some(urls.join(",")));
        bind("--es-index", sink.es_index.clone());
        bind("--es-data-stream", sink.es_data_stream.clone());
        bind("--es-id", Some(sink.es_id.clone()));
        let operation = match sink.es_op_type {
            OpType::Create => "create",
            OpType::Index => "index",
        };
        bind("--es-op-type", Some(operation.to_owned()));
        bind("--es-pipeline", sink.es_pipeline.clone());
        bind("--es-routing-field", sink.es_routing_field.clone());
        bind("--es-timestamp-field", Some(sink.es_timestamp_field.clone()));
    }
    binding
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn bound(flags: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            ("--destination", "elasticsearch"),
            ("--es-index", "logs"),
            ("--es-url", "http://a:1/,http://b:2"),
        ]);
        all.extend(flags.iter().copied());
        let words = all.into_iter().flat_map(|(flag, value)| [flag, value]);
        of(&Args::try_parse_from(std::iter::once("pf-worker").chain(words)).unwrap())
    }

    #[test]
    fn what_shapes_documents_or_says_where_they_go_is_bound_and_nothing_else() {
        let plain = bound(&[]);
        for same in [
            ("--threads", "3"),
            ("--es-url", "http://b:2,http://a:1"),
            ("--worker", "w"),
            ("--es-bulk-bytes", "1000000"),
            ("--es-username", "u"),
        ] {
            assert_eq!(bound(&[same]), plain, "{same:?}");
        }
        for other in [
            ("--columns", "a"),
            ("--filter", "a = 1"),
            ("--max-record-bytes", "1000"),
            ("--s3-endpoint", "http://localhost:9000"),
            ("--es-url", "http://c:3"),
            ("--es-index", "other"),
            ("--es-data-stream", "stream"),
            ("--es-id", "auto"),
            ("--es-op-type", "index"),
            ("--es-pipeline", "p"),
            ("--es-routing-field", "tenant"),
            ("--es-timestamp-field", "time"),
            ("--destination", "stats"),
        ] {
            let differs = bound(&[other]);
            assert_ne!(differs.get(other.0), plain.get(other.0), "{other:?}");
        }
        assert!(!bound(&[("--destination", "stats")]).contains_key("--es-url"));
    }
}
