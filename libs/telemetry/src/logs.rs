//! Structured logs on standard error: for a person on a terminal, as JSON in a pod.

use std::{env, io, str::FromStr};

use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::progress;

/// Environment variable with the filter, as in `info,pf_storage=debug`.
pub const FILTER_VARIABLE: &str = "PF_LOG";
/// Environment variable with the format, [`Format`]'s names.
pub const FORMAT_VARIABLE: &str = "PF_LOG_FORMAT";

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line for a person, without a time: who watches knows what time it is.
    Human,
    /// One JSON object a line, with time, level, target and fields.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            other => Err(format!("`{other}` is no log format: write human or json")),
        }
    }
}

impl Format {
    /// What suits the place: JSON where Kubernetes runs us, else for a person.
    pub fn for_this_place() -> Self {
        // The kubelet sets this variable in every container.
        if env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
            Self::Json
        } else {
            Self::Human
        }
    }
}

/// What else takes spans and events, with a filter of its own.
pub type Layer = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// Installs the process' log subscriber. The error says what is wrong with `PF_LOG` or `PF_LOG_FORMAT`.
pub fn init() -> Result<(), String> {
    init_with(None)
}

/// The same, with something else that listens.
pub fn init_with(other: Option<Layer>) -> Result<(), String> {
    let filter = match env::var(FILTER_VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| format!("{FILTER_VARIABLE}={text}: {error}"))?,
        Err(_) => EnvFilter::new("info"),
    };
    let format = match env::var(FORMAT_VARIABLE) {
        Ok(text) => text.parse().map_err(|error| format!("{FORMAT_VARIABLE}: {error}"))?,
        Err(_) => Format::for_this_place(),
    };
    let registry = tracing_subscriber::registry().with(other);
    let installed = match format {
        Format::Human => registry
            .with(
                fmt::layer()
                    .with_writer(|| AboveProgress)
                    .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
                    .with_target(false)
                    .without_time()
                    .with_filter(filter),
            )
            .try_init(),
        Format::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(|| AboveProgress)
                    .with_filter(filter),
            )
            .try_init(),
    };
    installed.map_err(|error| format!("cannot install the log subscriber: {error}"))
}

/// Standard error, with the progress line taken away while a log line is written.
struct AboveProgress;

impl io::Write for AboveProgress {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A reader that went away must not end the work that it watched.
        progress::suspend(|| io::stderr().write_all(bytes)).ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_named_in_lower_case_and_anything_else_is_refused_with_the_choices() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("human".parse(), Ok(Format::Human));
        assert!("JSON".parse::<Format>().unwrap_err().contains("human or json"));
    }
}
