//! What a job's documents and their destination depend on, by the flags that say it: bound in the job's state by its first worker,
//! so that no other one mixes other documents among them, or sends some of them elsewhere.
//!
//! How fast or with which credentials a worker works is none of it: that may change midway. Neither is where S3 is reached, which
//! the discoverer binds: an object that is not the one that was listed is found out by its entity tag.

use std::collections::BTreeMap;

use crate::args::{Args, Destination};

/// What the flags say of it, but for those of a sink that has options of its own: these say it themselves.
pub fn of(args: &Args) -> BTreeMap<String, String> {
    let destination = match args.destination {
        Destination::Stdout => "stdout",
        Destination::Stats => "stats",
        Destination::Elasticsearch => "elasticsearch",
    };
    let given = |is_given: bool| is_given.then(|| "true".to_owned());
    let flags = [
        ("--destination", Some(destination.to_owned())),
        ("--columns", args.columns.clone()),
        ("--exclude", args.exclude.clone()),
        ("--filter", args.filter.clone()),
        ("--max-record-bytes", Some(args.max_record_bytes.to_string())),
        ("--binary", Some(format!("{:?}", args.binary).to_lowercase())),
        ("--record-end", Some(format!("{:?}", args.record_end).to_lowercase())),
        ("--partition-fields", given(args.partition_fields)),
    ];
    let flags = flags.into_iter();
    flags
        .filter_map(|(flag, value)| Some((flag.to_owned(), value?)))
        .collect()
}

/// The same, where a cluster says which one it is: then its addresses say nothing, and may change.
pub fn to_cluster(mut binding: BTreeMap<String, String>, cluster_id: Option<&str>) -> BTreeMap<String, String> {
    if let Some(id) = cluster_id {
        binding.remove("--es-url");
        binding.insert("the cluster's id".to_owned(), id.to_owned());
    }
    binding
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::plan::Plan;

    fn bound(flags: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            ("--destination", "elasticsearch"),
            ("--es-index", "logs"),
            ("--es-url", "http://a:1/,http://b:2"),
        ]);
        all.extend(flags.iter().copied());
        let words = all.into_iter().flat_map(|(flag, value)| [flag, value]);
        let args = Args::try_parse_from(std::iter::once("pf-worker").chain(words)).unwrap();
        Plan::new(args).unwrap().binding
    }

    #[test]
    fn what_shapes_documents_or_says_where_they_go_is_bound_and_nothing_else() {
        let plain = bound(&[]);
        for same in [
            ("--threads", "3"),
            ("--es-url", "http://b:2,http://a:1"),
            ("--worker", "w"),
            ("--es-bulk-bytes", "1000000"),
        ] {
            assert_eq!(bound(&[same]), plain, "{same:?}");
        }
        for other in [
            ("--columns", "a"),
            ("--exclude", "a"),
            ("--binary", "hex"),
            ("--record-end", "nul"),
            ("--filter", "a = 1"),
            ("--max-record-bytes", "1000"),
            ("--es-url", "http://c:3"),
            ("--es-index", "other"),
            ("--es-id", "auto"),
            ("--es-op-type", "index"),
            ("--es-pipeline", "p"),
            ("--es-routing-field", "tenant"),
        ] {
            let differs = bound(&[other]);
            assert_ne!(differs.get(other.0), plain.get(other.0), "{other:?}");
        }
        let of_cluster = to_cluster(plain.clone(), Some("u1"));
        assert_eq!(of_cluster["the cluster's id"], "u1");
        assert!(!of_cluster.contains_key("--es-url"));
        assert_eq!(to_cluster(plain.clone(), None), plain);
        assert_eq!(plain["--es-url"], "http://a:1/,http://b:2/");
    }
}
