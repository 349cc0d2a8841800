//! What a job delivers: everything in its spec that decides what documents look like and where they go, as fields and values.
//! The books of a run are bound to it, so that another job's, or an earlier one's that went elsewhere, prove nothing about this
//! one. Pure; no secret is in it, nor anything that only decides how fast it goes.
//!
//! The parts of the spec are taken apart without `..`, so that a new field can't be forgotten.

use std::collections::BTreeMap;

use super::delivery;
use crate::{
    controller::names,
    crd::{Binary, Elasticsearch, IngestJobSpec, Sink, Source},
};

/// The longest value that is told as it is: all of them are arguments of a program.
const VALUE_BYTES_MAX: usize = 512;

/// How much of a longer value is told before its hash.
const VALUE_BYTES_SHOWN: usize = 128;

/// Fields of the spec, by their path in it, and what they say. Those that say what holds unasked are left out.
pub(super) fn delivers(spec: &IngestJobSpec, run: u32) -> BTreeMap<&'static str, String> {
    let IngestJobSpec {
        source,
        columns,
        where_,
        sink,
        // Refused as long as no program knows them.
        transform: _,
        enrichment: _,
        // Bound by the discoverer itself.
        state: _,
        // How, not what.
        queue: _,
        workers: _,
        discoverer: _,
        service_account: _,
        network_policy: _,
        error_budget: _,
        suspend: _,
        ttl_seconds_after_finished: _,
        restart_nonce: _,
    } = spec;
    let mut told = Told::default();
    told.add("columns", (!columns.is_empty()).then(|| columns.join(",")));
    told.add("where", where_.clone());
    // All else of the source the discoverer binds itself: by it, it lists.
    let Source {
        partition_fields,
        binary,
        ..
    } = source;
    told.add("source.partitionFields", partition_fields.filter(|wanted| *wanted));
    told.add(
        "source.binary",
        binary.and_then(|binary| match binary {
            Binary::Text => None,
            Binary::Base64 => Some("base64"),
            Binary::Hex => Some("hex"),
        }),
    );
    let Sink {
        elasticsearch,
        stats,
        stdout,
    } = sink;
    told.add("sink.stats", stats.is_some().then_some("{}"));
    told.add("sink.stdout", stdout.is_some().then_some("{}"));
    if let Some(cluster) = elasticsearch {
        documents(cluster, run, &mut told);
    }
    told.0
}

fn documents(cluster: &Elasticsearch, run: u32, told: &mut Told) {
    let Elasticsearch {
        urls,
        index,
        data_stream,
        id,
        operation: _,
        on_conflict,
        pipeline,
        // Who it is that writes, and how, may change at any time.
        auth: _,
        ca: _,
        compression: _,
    } = cluster;
    let mut urls: Vec<String> = urls.iter().map(|url| address(url)).collect();
    urls.sort();
    urls.dedup();
    told.add("sink.elasticsearch.urls", Some(urls.join(",")));
    told.add("sink.elasticsearch.index", index.clone());
    told.add("sink.elasticsearch.dataStream", data_stream.clone());
    told.add("sink.elasticsearch.id", id.as_ref().and_then(delivery::identity));
    told.add("sink.elasticsearch.operation", delivery::operation(cluster, run));
    let on_conflict = on_conflict.map(delivery::on_conflict_name);
    told.add("sink.elasticsearch.onConflict", on_conflict);
    told.add("sink.elasticsearch.pipeline", pipeline.clone());
}

/// An address as all spell it who mean it: the host in lower case, no slash at its end, and nobody's name and password.
fn address(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let path = path.trim_end_matches('/');
    format!("{}://{}{path}", scheme.to_lowercase(), host.to_lowercase())
}

#[derive(Default)]
struct Told(BTreeMap<&'static str, String>);

impl Told {
    fn add(&mut self, field: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.insert(field, short(value.to_string()));
        }
    }
}

/// What is too long for an argument, by its beginning and its hash.
fn short(value: String) -> String {
    if value.len() <= VALUE_BYTES_MAX {
        return value;
    }
    let shown = &value[..value.floor_char_boundary(VALUE_BYTES_SHOWN)];
    format!("{shown}… ({})", names::hash([value.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::job_file::JobFile;

    const JOB: &str = "\
apiVersion: paraflow.dev/v1alpha1
kind: IngestJob
metadata: {name: logs}
spec:
  source: {s3: {bucket: my-bucket, prefix: logs/}, partitioning: 'region=${region}/', partitionFields: true, binary: hex}
  columns: [a, b.c]
  where: a = 1
  workers: {threads: 2}
  sink:
    elasticsearch:
      urls: ['https://B:9200/', 'https://a:9200/es/']
      index: logs
      id: {mode: field, field: request.id}
      onConflict: keep
      auth: {apiKey: {name: secret-of-es, key: api-key}}
      pipeline: geo
";

    fn told(text: &str, run: u32) -> Vec<String> {
        let file = JobFile::parse(text.to_owned(), "job.yaml".to_owned(), PathBuf::new());
        let told = delivers(&file.expect("the jobs here are good").job.spec, run);
        told.iter().map(|(field, value)| format!("{field}={value}")).collect()
    }

    #[test]
    fn all_that_shapes_documents_is_told_and_no_secret() {
        let expected = [
            "columns=a,b.c",
            "sink.elasticsearch.id=field:request.id",
            "sink.elasticsearch.index=logs",
            "sink.elasticsearch.onConflict=keep",
            "sink.elasticsearch.pipeline=geo",
            "sink.elasticsearch.urls=https://a:9200/es,https://b:9200",
            "source.binary=hex",
            "source.partitionFields=true",
            "where=a = 1",
        ];
        assert_eq!(told(JOB, 1), expected);
    }

    #[test]
    fn another_value_of_each_of_these_is_another_delivery_and_of_others_is_not() {
        let before = told(JOB, 1);
        for (old, new) in [
            ("[a, b.c]", "[a]"),
            ("  columns: [a, b.c]\n", ""),
            ("a = 1", "a = 2"),
            ("index: logs", "index: logs2"),
            ("index: logs", "dataStream: logs"),
            ("request.id", "request"),
            (
                "{mode: field, field: request.id}\n      onConflict: keep",
                "{mode: auto}",
            ),
            ("onConflict: keep", "onConflict: replace"),
            ("onConflict: keep", "onConflict: deadLetter"),
            ("onConflict: keep", "operation: index"),
            ("geo", "geo2"),
            ("//B:9200", "//b:9201"),
            ("hex", "base64"),
            ("partitionFields: true", "partitionFields: false"),
        ] {
            assert!(JOB.contains(old), "{old}");
            assert_ne!(told(&JOB.replace(old, new), 1), before, "{old} → {new}");
        }
        for (old, new) in [
            ("threads: 2", "threads: 4"),
            ("secret-of-es", "another"),
            (
                "'https://B:9200/', 'https://a:9200/es/'",
                "'HTTPS://a:9200/es', 'https://b:9200'",
            ),
        ] {
            let new = JOB.replace(old, &new.replace("HTTPS", "https"));
            assert_eq!(told(&new, 1), before, "{old}");
        }
    }

    #[test]
    fn a_later_run_replaces_unless_its_sink_only_takes_what_is_new() {
        let operation = |text: &str, run| {
            let told = told(text, run);
            told.iter().any(|told| told == "sink.elasticsearch.operation=index")
        };
        let usual = JOB.replace("      onConflict: keep\n", "");
        assert!(!operation(&usual, 1) && operation(&usual, 2));
        let replace = JOB.replace("onConflict: keep", "onConflict: replace");
        assert!(operation(&replace, 2));
        assert!(!operation(JOB, 2), "what is there is to stay");
        let create = usual.replace("index: logs", "operation: create\n      index: logs");
        assert!(!operation(&create, 2), "asked for");
        assert!(!operation(&usual.replace("index: logs", "dataStream: logs"), 2));
        let auto = JOB.replace(
            "{mode: field, field: request.id}\n      onConflict: keep",
            "{mode: auto}",
        );
        assert!(!operation(&auto, 2));
    }

    #[test]
    fn a_long_value_is_told_by_its_hash_and_names_and_passwords_not_at_all() {
        let long = |last: &str| short(format!("{}{last}", "é".repeat(400)));
        assert!(long("a").len() < 300 && long("a").starts_with("éé"), "{}", long("a"));
        assert_ne!(long("a"), long("b"));
        assert_eq!(address("https://me:secret@ES:9200/a/"), "https://es:9200/a");
        assert_eq!(address("http://es:9200"), "http://es:9200");
    }
}
