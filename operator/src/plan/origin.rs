//! Where in a job each planned flag comes from, so that what a program says against a flag becomes a complaint about the
//! field that a person wrote.

use super::Settings;
use crate::{
    crd::IngestJob,
    validate::{Complaint, FieldPath},
};

/// One of the two programs of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `pf-discoverer`.
    Discoverer,
    /// `pf-worker`.
    Worker,
}

impl Program {
    /// The name of its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discoverer => "pf-discoverer",
            Self::Worker => "pf-worker",
        }
    }

    /// Each flag that a plan may give to the program, and the field that it is made of.
    pub const fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Discoverer => &[
                ("job", "metadata.name"),
                ("uri", "spec.source"),
                ("region", "spec.source.s3.region"),
                ("s3-endpoint", "spec.source.s3.endpoint"),
                ("anonymous", "spec.source.s3.anonymous"),
                ("request-payer", "spec.source.s3.requesterPays"),
                ("partitioning", "spec.source.partitioning"),
                ("filter", "spec.source.filters"),
                ("timezone", "spec.source.timezone"),
                ("pattern", "spec.source.pattern"),
                ("min-size", "spec.source.minSize"),
                ("max-size", "spec.source.maxSize"),
                ("modified-after", "spec.source.modifiedAfter"),
                ("modified-before", "spec.source.modifiedBefore"),
                ("format", "spec.source.format"),
                ("compression", "spec.source.compression"),
                ("split-bytes", "spec.source.splitBytes"),
                ("max-objects", "spec.source.maxObjects"),
                ("include-hidden", "spec.source.includeHidden"),
                ("include-archived", "spec.source.includeArchived"),
                ("allow-empty", "spec.source.allowEmpty"),
                ("destination", "spec.queue"),
                ("sqs-queue-url", "spec.queue.sqs.url"),
                ("sqs-endpoint", "spec.queue.sqs.endpoint"),
                ("state", "spec.state.uri"),
                ("resume", "spec.state.resume"),
                ("delivers", "spec"),
            ],
            Self::Worker => &[
                ("destination", "spec.sink"),
                ("source", "spec.source"),
                ("columns", "spec.columns"),
                ("filter", "spec.where"),
                ("partition-fields", "spec.source.partitionFields"),
                ("binary", "spec.source.binary"),
                ("threads", "spec.workers.threads"),
                ("batch-size", "spec.workers.batchSize"),
                ("prefetch-count", "spec.workers.prefetch.count"),
                ("prefetch-memory-mb", "spec.workers.prefetch.memoryMb"),
                ("max-record-bytes", "spec.workers.maxRecordBytes"),
                ("drain-timeout", "spec.workers.drainTimeoutSeconds"),
                ("region", "spec.source.s3.region"),
                ("s3-endpoint", "spec.source.s3.endpoint"),
                ("anonymous", "spec.source.s3.anonymous"),
                ("request-payer", "spec.source.s3.requesterPays"),
                ("input", "spec.queue"),
                ("exit-when-idle", "spec.queue"),
                ("sqs-queue-url", "spec.queue.sqs.url"),
                ("sqs-endpoint", "spec.queue.sqs.endpoint"),
                ("sqs-visibility-timeout", "spec.queue.sqs.visibilityTimeoutSeconds"),
                ("sqs-dead-letter-queue-url", "spec.queue.sqs.deadLetterQueueUrl"),
                ("state", "spec.state.uri"),
                ("max-rejected", "spec.errorBudget"),
                ("es-url", "spec.sink.elasticsearch.urls"),
                ("es-index", "spec.sink.elasticsearch.index"),
                ("es-data-stream", "spec.sink.elasticsearch.dataStream"),
                ("es-id", "spec.sink.elasticsearch.id"),
                ("es-operation", "spec.sink.elasticsearch.operation"),
                ("es-on-conflict", "spec.sink.elasticsearch.onConflict"),
                ("es-pipeline", "spec.sink.elasticsearch.pipeline"),
                ("es-compression", "spec.sink.elasticsearch.compression"),
                ("es-api-key-file", "spec.sink.elasticsearch.auth.apiKey"),
                ("es-username", "spec.sink.elasticsearch.auth.basic"),
                ("es-password-file", "spec.sink.elasticsearch.auth.basic"),
                ("es-ca-file", "spec.sink.elasticsearch.ca"),
            ],
        }
    }

    /// The field that is behind a flag, given without its dashes.
    pub fn field(self, flag: &str) -> Option<&'static str> {
        let (_, field) = self.fields().iter().find(|(name, _)| *name == flag)?;
        Some(field)
    }
}

/// What `program` says against one of its flags, as a complaint about the job: the field instead of the flag, and fields
/// instead of flags in what is said. `None` where no flag is named, or none that a field is behind.
pub fn complaint(job: &IngestJob, settings: &Settings<'_>, program: Program, said: &str) -> Option<Complaint> {
    // The flag comes first, unless it was the parser of the command line that spoke.
    let (before, rest) = said.split_once("--")?;
    let (flag, after) = rest.split_at(flag_bytes(rest));
    let field = program.field(flag)?;
    if flag == "threads" && settings.threads.is_some() {
        // It was given on our own command line, not in the job.
        return None;
    }
    let message = if before.is_empty() {
        after.strip_prefix(':').unwrap_or(after).trim_start()
    } else {
        said
    };
    let mut path = FieldPath::parse(field);
    if field == "spec.source.filters" {
        let named = |filter: &String| said.contains(&format!("`{filter}`"));
        if let Some(at) = job.spec.source.filters.iter().position(named) {
            path = FieldPath::parse(&format!("{field}[{at}]"));
        }
    }
    Some(Complaint::new(path, in_fields(program, message)))
}

/// Puts fields in the place of flags, but not within quoted values.
pub fn in_fields(program: Program, text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(at, part)| {
        if at % 2 == 1 {
            return part.to_owned();
        }
        let mut pieces = part.split("--");
        let mut renamed = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (flag, after) = piece.split_at(flag_bytes(piece));
            match program.field(flag) {
                Some(field) => renamed.push_str(field),
                None => renamed.extend(["--", flag]),
            }
            renamed.push_str(after);
        }
        renamed
    });
    parts.collect::<Vec<_>>().join("`")
}

/// How long the name of a flag is that a text begins with.
fn flag_bytes(text: &str) -> usize {
    let end = |byte: u8| !(byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    text.bytes().position(end).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        path::{Path, PathBuf},
        sync::LazyLock,
    };

    use proptest::prelude::*;

    use super::*;
    use crate::{crd, job_file::JobFile, plan};

    /// Everything that `local` accepts, once for each kind of source, queue, sign-in and sink.
    const EVERYTHING: [&str; 4] = [
        "\
apiVersion: paraflow.dev/v1alpha1
kind: IngestJob
metadata: {name: everything}
spec:
  source:
    s3: {bucket: my-bucket, prefix: logs/, region: eu-central-1, endpoint: 'http://localhost:9000', anonymous: true}
    partitioning: 'region=${region}/year=${_time:%Y}/'
    filters: [region=eu, _time=2024]
    timezone: Europe/Berlin
    pattern: '**/*.gz'
    minSize: 1kB
    maxSize: 1GB
    modifiedAfter: '2024-01-01'
    modifiedBefore: '2024-02-01'
    format: ndjson
    compression: gzip
    splitBytes: 64MiB
    maxObjects: 5
    includeHidden: true
    includeArchived: true
    allowEmpty: true
    partitionFields: true
    binary: base64
  columns: [a, b]
  where: a = 1
  sink: {stdout: {}}
  workers: {threads: 2, batchSize: 10, prefetch: {count: 1, memoryMb: 10}, maxRecordBytes: 4096, drainTimeoutSeconds: 10}
",
        "\
apiVersion: paraflow.dev/v1alpha1
kind: IngestJob
metadata: {name: files}
spec:
  source: {files: {path: logs}}
  sink: {stats: {}}
",
        "\
apiVersion: paraflow.dev/v1alpha1
kind: IngestJob
metadata: {name: delivery}
spec:
  source: {s3: {bucket: my-bucket, requesterPays: true}}
  queue:
    sqs:
      url: 'https://sqs.eu-central-1.amazonaws.com/1/jobs'
      deadLetterQueueUrl: 'https://sqs.eu-central-1.amazonaws.com/1/jobs-dead'
      endpoint: 'http://localhost:9324'
      visibilityTimeoutSeconds: 60
      maxReceives: 3
  state: {uri: 's3://my-bucket/state/', resume: true}
  errorBudget: {rejectedRecords: 10, rejectedPercent: 1}
  sink:
    elasticsearch:
      urls: ['https://a:9200', 'https://b:9200']
      index: logs
      id: {mode: field, field: request.id}
      operation: index
      onConflict: replace
      auth: {apiKey: {name: es, key: api-key}}
      ca: {name: es-ca, key: ca.crt}
      pipeline: geo
      compression: gzip
",
        "\
apiVersion: paraflow.dev/v1alpha1
kind: IngestJob
metadata: {name: stream}
spec:
  source: {files: {path: logs}}
  sink: {elasticsearch: {urls: ['http://a:9200'], dataStream: logs-a-b, auth: {basic: {name: es-user}}}}
",
    ];

    fn job(text: &str) -> IngestJob {
        let file = JobFile::parse(text.to_owned(), "job.yaml".to_owned(), PathBuf::new());
        file.expect("the jobs here are good").job
    }

    fn settings() -> Settings<'static> {
        Settings::default()
    }

    fn check(program: Program, said: &str, expected: &str) {
        let complaint = complaint(&job(EVERYTHING[0]), &settings(), program, said);
        let shown = complaint.map(|complaint| complaint.to_string());
        assert_eq!(shown.as_deref().unwrap_or("nothing"), expected);
    }

    #[test]
    fn every_planned_flag_has_a_field_and_every_field_a_planned_flag() {
        for program in [Program::Discoverer, Program::Worker] {
            let mut planned = BTreeSet::new();
            for text in EVERYTHING {
                let settings = Settings {
                    files_uri: text.contains("files:").then(|| "file:///logs/".to_owned()),
                    threads: None,
                    dead_letters: (!text.contains("state:")).then(|| Path::new("rejected.ndjson")),
                    secrets: Some(Path::new("secrets")),
                    username: Some("elastic".to_owned()),
                    cluster: None,
                };
                let plan = plan::plan(&job(text), &settings).expect("the jobs here can run");
                let arguments = match program {
                    Program::Discoverer => plan.discoverer,
                    Program::Worker => plan.worker,
                };
                planned.extend(arguments.iter().map(|argument| {
                    let (flag, _) = argument.split_once('=').unwrap_or((argument, ""));
                    flag.strip_prefix("--").expect("all are flags").to_owned()
                }));
            }
            // This one alone comes from our own command line, and its file is opened by the worker when it starts.
            let of_no_field = (program == Program::Worker).then(|| "dead-letters".to_owned());
            let known = program.fields().iter().map(|(flag, _)| (*flag).to_owned());
            let known: BTreeSet<String> = known.chain(of_no_field).collect();
            assert_eq!(planned, known, "{program:?}");
        }
    }

    #[test]
    fn every_field_behind_a_flag_is_one_of_the_schema() {
        for (_, field) in [Program::Discoverer, Program::Worker]
            .into_iter()
            .flat_map(Program::fields)
        {
            if *field == "metadata.name" {
                continue;
            }
            let pointer = format!("/properties/{}", field.replace('.', "/properties/"));
            assert!(crd::schema().pointer(&pointer).is_some(), "{field}");
        }
    }

    #[test]
    fn a_flag_that_begins_what_is_said_becomes_its_field() {
        use Program::{Discoverer, Worker};
        check(Worker, "--filter: expected a value", "spec.where: expected a value");
        check(
            Worker,
            "--batch-size must be 1 or more",
            "spec.workers.batchSize: must be 1 or more",
        );
        check(
            Discoverer,
            "--timezone `Mars` is not known",
            "spec.source.timezone: `Mars` is not known",
        );
        check(
            Worker,
            "invalid value '0' for '--threads <N>': too few",
            "spec.workers.threads: invalid value '0' for 'spec.workers.threads <N>': too few",
        );
    }

    #[test]
    fn the_filter_that_is_quoted_is_the_one_that_is_meant() {
        check(
            Program::Discoverer,
            "--filter: `_time=2024`: no such time",
            "spec.source.filters[1]: `_time=2024`: no such time",
        );
        check(Program::Discoverer, "--filter: no", "spec.source.filters: no");
    }

    #[test]
    fn other_flags_become_fields_too_but_not_within_a_value() {
        check(
            Program::Discoverer,
            "--timezone: needs --partitioning, not `--partitioning`, or --none-of-ours",
            "spec.source.timezone: needs spec.source.partitioning, not `--partitioning`, or --none-of-ours",
        );
    }

    #[test]
    fn what_names_no_flag_of_the_plan_is_no_complaint_about_the_job() {
        check(Program::Worker, "out of luck", "nothing");
        check(Program::Worker, "unexpected argument '--check' found", "nothing");
        let settings = Settings {
            threads: Some(3),
            ..settings()
        };
        let said = "--threads: too many";
        assert_eq!(complaint(&job(EVERYTHING[0]), &settings, Program::Worker, said), None);
    }

    proptest! {
        #[test]
        fn whatever_a_program_says_is_never_a_panic(said in "(--|`|filter|uri|é|: |\\PC){0,12}") {
            static JOB: LazyLock<IngestJob> = LazyLock::new(|| job(EVERYTHING[0]));
            for program in [Program::Discoverer, Program::Worker] {
                complaint(&JOB, &settings(), program, &said);
            }
        }
    }
}
