//! `pf-operator`: the command line in, an exit code out. What is done lies in the library beside.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser as _;
use pf_operator::{
    args::{Args, Explain, Local, Task},
    crd, explain, job_file,
    job_file::JobFile,
    local::{self, Refusal},
    plan::{self, Settings, origin},
    ready, run,
    traces::Traces,
    validate::{Complaint, FieldPath},
};
use pf_telemetry::logs;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are answers, not errors. Nobody is left to tell if writing them fails.
            error.print().ok();
            let code = if error.use_stderr() {
                local::EXIT_USAGE
            } else {
                local::EXIT_OK
            };
            return ExitCode::from(code);
        }
    };
    let traces = match traces(&args.command) {
        Ok(traces) => traces,
        Err(error) => return fail(&format!("{error:#}"), local::EXIT_USAGE),
    };
    if let Err(message) = logs::init_with(traces.as_ref().map(Traces::layer)) {
        return fail(&message, local::EXIT_USAGE);
    }
    let outcome = match args.command {
        Task::Crd => print_crd(),
        Task::Local(args) => run_local(&args).await,
        Task::Explain(args) => explain_job(&args),
        Task::Run(args) => run::run(&args).await.map(|()| local::EXIT_OK),
        Task::Ready(args) => ready::ready(&args).await.map(|()| local::EXIT_OK),
    };
    if let Some(traces) = traces {
        traces.end().await;
    }
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is::<job_file::Error>() => fail(&format!("{error:#}"), local::EXIT_USAGE),
        Err(error) => fail(&format!("{error:#}"), local::EXIT_FAILED),
    }
}

/// Where spans go, if somebody asks for them.
fn traces(task: &Task) -> anyhow::Result<Option<Traces>> {
    let Task::Run(args) = task else { return Ok(None) };
    // A variable without a value says nothing, as in all of OpenTelemetry's SDKs.
    let Some(endpoint) = args.otlp_endpoint.as_ref().filter(|endpoint| !endpoint.is_empty()) else {
        return Ok(None);
    };
    let traces = Traces::to(endpoint).with_context(|| format!("--otlp-endpoint {endpoint}"))?;
    Ok(Some(traces))
}

fn fail(message: &str, code: u8) -> ExitCode {
    // Nobody is left to tell if this fails.
    writeln!(io::stderr(), "pf-operator: {message}").ok();
    ExitCode::from(code)
}

fn print_crd() -> anyhow::Result<u8> {
    io::stdout()
        .write_all(crd::yaml().as_bytes())
        .context("cannot write to standard output")?;
    Ok(local::EXIT_OK)
}

fn explain_job(args: &Explain) -> anyhow::Result<u8> {
    let file = JobFile::read(&args.file)?;
    let text = explain::explain(&file.job, &args.image).map_err(|complaints| file.bad(&complaints))?;
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(local::EXIT_OK)
}

async fn run_local(args: &Local) -> anyhow::Result<u8> {
    let file = JobFile::read(&args.file)?;
    let mut settings = Settings {
        files_uri: None,
        threads: args.threads,
        dead_letters: args.dead_letters.as_deref(),
        secrets: args.secrets.as_deref(),
        username: None,
        cluster: None,
    };
    if let Some(folder) = &args.secrets {
        settings.username = local::username(&file.job, folder).map_err(|message| {
            let path = FieldPath::parse("spec.sink.elasticsearch.auth.basic");
            file.bad(&[Complaint { path, message }])
        })?;
    }
    if let Some(files) = &file.job.spec.source.files {
        let uri = local::files_uri(&file.folder, &files.path).map_err(|message| {
            let path = FieldPath::parse("spec.source.files.path");
            file.bad(&[Complaint { path, message }])
        })?;
        settings.files_uri = Some(uri);
    }
    let plan = plan::plan(&file.job, &settings).map_err(|complaints| file.bad(&complaints))?;
    let programs = local::Programs::find()?;
    let refusals = local::check(&programs, &plan).await?;
    let complaints = complaints(&refusals, &file, &settings)?;
    if !complaints.is_empty() {
        return Err(file.bad(&complaints).into());
    }
    let unused = plan
        .unused
        .iter()
        .copied()
        .chain(file.others.iter().map(String::as_str));
    let unused = unused.collect::<Vec<_>>().join(", ");
    if !unused.is_empty() {
        tracing::info!("not used by local: {unused}");
    }
    if args.dry_run {
        local::dry_run(&programs, &plan).await
    } else {
        local::run(&programs, &plan, file.job.spec.state.is_some()).await
    }
}

/// What the programs say, about fields of the job. What is about no field is nothing that the job's author can mend: these
/// programs are not the ones that the plan was made for.
fn complaints(refusals: &[Refusal], file: &JobFile, settings: &Settings<'_>) -> anyhow::Result<Vec<Complaint>> {
    let complaints = refusals.iter().map(|Refusal { program, said }| {
        origin::complaint(&file.job, settings, *program, said)
            .with_context(|| format!("{} does not take what was planned for it: {said}", program.name()))
    });
    complaints.collect()
}
