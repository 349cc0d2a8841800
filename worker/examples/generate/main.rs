//! Sample data: access logs and harder things, in every format, the same for the same seed, of any size in little memory.
//!
//! An example of the worker's and not a program of its own, because only this room knows Parquet. The records of a seed
//! (and of a number of records and objects) are the same in every format.

mod columns;
mod json;
mod kinds;
mod output;
mod record;

use std::{
    io::{self, Write as _},
    ops::Range,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Parser;

use crate::{
    json::Lines,
    kinds::Kind,
    output::{Format, Output, object_path},
    record::{Field, Row},
};

/// Makes sample data, the same for the same seed, in folders by hour: year=2024/month=01/day=01/hour=00/part-00000.ndjson
#[derive(Debug, Parser)]
#[command(name = "generate")]
struct Arguments {
    /// The folder to write to; `-` writes one object to standard output
    #[arg(long)]
    out: PathBuf,
    /// How many records in all (an access log record has about 430 bytes)
    #[arg(long, default_value_t = 100_000)]
    records: u64,
    /// How many objects the records are spread over, one an hour
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    objects: u64,
    /// How the objects are laid out and compressed
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    /// What kind of records
    #[arg(long, value_enum, default_value = "access-logs")]
    kind: Kind,
    /// Another seed, other records
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// About how many bytes a Parquet row group has, uncompressed
    #[arg(long, default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(1..))]
    row_group_bytes: u64,
    /// About how many bytes a gzip member or zstd frame has, uncompressed
    #[arg(long, default_value_t = 8 << 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    frame_bytes: u64,
}

/// 2024-01-01T00:00:00Z, in milliseconds.
const FIRST_HOUR_MS: u64 = 1_704_067_200_000;
const HOUR_MS: u64 = 3_600_000;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

impl Arguments {
    fn row(&self, index: u64) -> Row {
        // Each object's records lie in its own hour, evenly.
        let span_ms = u128::from(self.objects * HOUR_MS);
        let offset_ms = u128::from(index) * span_ms / u128::from(self.records);
        Row {
            seed: self.seed,
            index,
            total: self.records,
            time_ms: FIRST_HOUR_MS + offset_ms as u64,
        }
    }

    /// The records of an object: those whose time is in its hour.
    fn rows(&self, object: u64) -> Range<u64> {
        let first = |object: u64| (u128::from(object) * u128::from(self.records)).div_ceil(self.objects.into()) as u64;
        first(object)..first(object + 1)
    }
}

/// Tells on stderr how far it is.
struct Progress {
    started: Instant,
    told: Instant,
    records: u64,
    total: u64,
}

impl Progress {
    fn add(&mut self, records: u64) {
        self.records += records;
        if self.told.elapsed() >= PROGRESS_EVERY {
            self.told = Instant::now();
            self.tell();
        }
    }

    fn tell(&self) {
        let seconds = self.started.elapsed().as_secs_f64();
        // Nobody may be listening any more: that is no reason to stop.
        let _ = writeln!(
            io::stderr(),
            "{} of {} records, {seconds:.1} s",
            self.records,
            self.total
        );
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the pipe has had enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "generate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn run(arguments: &Arguments) -> Result<()> {
    let to_stdout = arguments.out.as_os_str() == "-";
    ensure!(
        !to_stdout || (arguments.objects == 1 && arguments.format != Format::All),
        "standard output takes one object of one format: say --objects 1 and a --format other than all"
    );
    let fields = arguments.kind.fields();
    let started = Instant::now();
    let mut progress = Progress {
        started,
        told: started,
        records: 0,
        total: arguments.records,
    };
    let (mut text_bytes, mut stored_bytes) = (0, 0);
    for object in 0..arguments.objects {
        let format = arguments.format.of_object(object);
        let mut output = if to_stdout {
            Output::stdout()
        } else {
            let hour_ms = FIRST_HOUR_MS + object * HOUR_MS;
            Output::file(&object_path(&arguments.out, hour_ms, object, format)?)?
        };
        if format == Format::Parquet {
            let row = |index| arguments.row(index);
            let mut add = |records| progress.add(records);
            let rows = arguments.rows(object);
            columns::write(&fields, rows, &row, arguments.row_group_bytes, &mut output, &mut add)?;
        } else {
            text_bytes += write_lines(arguments, &fields, object, format, &mut output, &mut progress)?;
        }
        output.flush()?;
        stored_bytes += output.bytes;
    }
    progress.tell();
    let _ = writeln!(
        io::stderr(),
        "{} objects, {stored_bytes} bytes stored, of these NDJSON before compression {text_bytes} bytes",
        arguments.objects
    );
    Ok(())
}

/// Writes the object's lines and says how many bytes they had before compression.
fn write_lines(
    arguments: &Arguments,
    fields: &[Field],
    object: u64,
    format: Format,
    output: &mut Output,
    progress: &mut Progress,
) -> Result<u64> {
    let mut lines = Lines::new(fields, arguments.kind.shuffles_keys());
    let mut frame = Vec::new();
    let mut text_bytes = 0;
    let mut records = 0;
    for index in arguments.rows(object) {
        lines.write(arguments.row(index), &mut frame);
        records += 1;
        if frame.len() as u64 >= arguments.frame_bytes {
            text_bytes += frame.len() as u64;
            format.write_frame(&frame, output)?;
            frame.clear();
            progress.add(records);
            records = 0;
        }
    }
    // An object without records is one empty frame, so that it is a valid file of its kind.
    if !frame.is_empty() || text_bytes == 0 {
        text_bytes += frame.len() as u64;
        format.write_frame(&frame, output)?;
        progress.add(records);
    }
    Ok(text_bytes)
}
