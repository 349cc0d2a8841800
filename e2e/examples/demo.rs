//! What `e2e/demo` runs: the whole of Paraflow on this machine, for somebody who watches. A cluster with a node, servers, the
//! operator from its charts, an IngestJob, and at its end the comparison with what DuckDB counts in the same objects.

use std::{
    env, fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use pf_e2e::{Installation, S3, oracle::counted};
use serde_json::{Value, json};

const USAGE: &str = "\
Usage: e2e/demo [--records N] [--objects N] [--keep]

  --records N  how many records are made (1000000)
  --objects N  how many objects they are spread over, in every format (200)
  --keep       leave it all running at the end, until Enter is pressed
";

const INDEX: &str = "access-logs";
const PREFIX: &str = "logs/";

struct Options {
    records: u64,
    objects: u64,
    keep: bool,
}

fn options() -> Result<Option<Options>> {
    let mut options = Options {
        records: 1_000_000,
        objects: 200,
        keep: false,
    };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64> {
            let value = words.next().with_context(|| format!("{word} needs a number"))?;
            value
                .parse()
                .with_context(|| format!("{word} needs a number, not {value}"))
        };
        match word.as_str() {
            "--records" => options.records = number()?,
            "--objects" => options.objects = number()?,
            "--keep" => options.keep = true,
            "--help" | "-h" => return Ok(None),
            _ => anyhow::bail!("there is no option {word}; --help shows those that there are"),
        }
    }
    Ok(Some(options))
}

fn main() -> ExitCode {
    match options() {
        Ok(None) => {
            eprint!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Some(options)) => match demo(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
        },
        Err(error) => fail(&error, 64),
    }
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("demo: {error:#}");
    ExitCode::from(code)
}

fn say(text: &str) {
    if io::stderr().is_terminal() {
        eprintln!("\n\x1b[1m{text}\x1b[0m");
    } else {
        eprintln!("\n{text}");
    }
}

fn demo(options: &Options) -> Result<()> {
    // Where cargo puts examples, and, one above, programs.
    let examples = env::current_exe()?
        .parent()
        .context("programs lie in folders")?
        .to_path_buf();
    let programs = ["pf-operator", "pf-discoverer", "pf-worker"].map(|name| examples.join("..").join(name));

    say("Starting Kubernetes with a node, S3, SQS and Elasticsearch");
    let whole = Installation::start(&programs.each_ref().map(PathBuf::as_path))?;
    say("helm install pf-operator-crds, pf-operator");
    whole.install()?;
    say(&format!(
        "Making {} records in {} objects, in every format",
        options.records, options.objects
    ));
    let folder = tempfile::tempdir()?;
    generate(&examples, options, folder.path())?;
    let bucket = whole.s3.make_bucket("demo");
    whole.s3.put_folder(&bucket, folder.path(), PREFIX);
    let definition = json!({
        "settings": {"number_of_replicas": 0},
        "mappings": {"properties": {"bytes": {"type": "long"}}},
    });
    whole.elasticsearch.api().create_index(INDEX, &definition);

    let job = job(&whole, &bucket)?;
    let name = job["metadata"]["name"]
        .as_str()
        .context("an example has a name")?
        .to_owned();
    say("kubectl apply -f examples/elasticsearch.yaml; kubectl get ingestjobs --watch");
    let watch = watch(&whole)?;
    whole.cluster.apply(&[job])?;
    let ended = wait(&whole, &name);
    drop(watch);
    ended?;

    say("The proof");
    prove(&whole, &name, folder.path())?;
    if options.keep {
        keep(&whole)?;
    }
    say("kubectl delete ingestjob; helm uninstall");
    whole
        .cluster
        .kubectl(["delete", "ingestjob", "--namespace", Installation::JOBS, &name])?;
    whole.uninstall()
}

fn generate(examples: &Path, options: &Options, folder: &Path) -> Result<()> {
    let mut generate = Command::new(examples.join("generate"));
    generate.arg("--out").arg(folder).args(["--format", "all"]);
    generate.args(["--records", &options.records.to_string()]);
    generate.args(["--objects", &options.objects.to_string()]);
    ensure!(generate.status()?.success(), "the records could not be made");
    Ok(())
}

/// The example's job, with workers that find room on this machine.
fn job(whole: &Installation, bucket: &str) -> Result<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/elasticsearch.yaml");
    let example = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut job = whole.job(&serde_yaml::from_str(&example)?, bucket, INDEX);
    let workers = &mut job["spec"]["workers"];
    workers["threads"] = 1.into();
    workers["resources"] = json!({
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"cpu": "500m", "memory": "1Gi"},
    });
    Ok(job)
}

/// Shows what becomes of the job, for as long as this is held.
fn watch(whole: &Installation) -> Result<Watch> {
    let mut kubectl = whole.cluster.kubectl_command();
    kubectl.args(["get", "ingestjobs", "--namespace", Installation::JOBS, "--watch"]);
    Ok(Watch(kubectl.stdin(Stdio::null()).spawn()?))
}

struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the job is over, and fails if it is not complete.
fn wait(whole: &Installation, name: &str) -> Result<()> {
    let job = format!("ingestjob/{name}");
    let is_over = "--for=jsonpath={.status.completedAt}";
    let wait = ["wait", is_over, "--timeout=1h", "--namespace", Installation::JOBS, &job];
    whole.cluster.kubectl(wait)?;
    let status = status(whole, name)?;
    ensure!(status["phase"] == "Complete", "the job is not complete: {status:#}");
    Ok(())
}

fn status(whole: &Installation, name: &str) -> Result<Value> {
    let job = ["ingestjob", "--namespace", Installation::JOBS, name];
    Ok(whole.cluster.get(job)?["status"].take())
}

/// Compares the index with what DuckDB counts in the objects, and shows both beside what the job says itself.
fn prove(whole: &Installation, name: &str, folder: &Path) -> Result<()> {
    let api = whole.elasticsearch.api();
    api.refresh(INDEX);
    let (count, sum) = counted(folder);
    let indexed = (api.count(INDEX), api.sum(INDEX, "bytes", &json!({"match_all": {}})));
    let status = status(whole, name)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{:>24} {:>12} {:>18}", "", "records", "sum of `bytes`")?;
    writeln!(out, "{:>24} {count:>12} {sum:>18}", "DuckDB, in the objects")?;
    writeln!(out, "{:>24} {:>12} {:>18}", "Elasticsearch", indexed.0, indexed.1)?;
    writeln!(
        out,
        "{:>24} {:>12}",
        "status of the job",
        status["records"]["read"].to_string()
    )?;
    ensure!(
        indexed.0 == count && (indexed.1 - sum).abs() < 0.5,
        "they are not the same"
    );
    Ok(())
}

fn keep(whole: &Installation) -> Result<()> {
    let (access, secret) = (S3::ACCESS_KEY_ID, whole.s3.secret_access_key());
    say("It runs on; press Enter to end it");
    let search = &whole.elasticsearch;
    let mut out = io::stdout().lock();
    writeln!(out, "export KUBECONFIG={}", whole.cluster.kubeconfig().display())?;
    writeln!(
        out,
        "S3              {}   key {access}, secret {secret}",
        whole.s3.endpoint()
    )?;
    writeln!(out, "SQS             {}", whole.sqs.endpoint())?;
    let (url, password) = (search.endpoint(), search.password());
    writeln!(out, "Elasticsearch   {url}   user elastic, password {password}")?;
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}
