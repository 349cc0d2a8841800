//! Reads a job file: YAML in, one checked [`IngestJob`] out, or every complaint about it with its line.
//!
//! Nothing is opened but the file itself. Whether the job can be run here is for [`crate::plan`] to say.

mod locate;

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize as _;
use serde_json::Value;
use thiserror::Error;

use crate::{
    crd::{self, IngestJob},
    validate::{self, Complaint, FieldPath},
};

pub use self::locate::locate;

/// The largest job file. The API server takes no object of more than 1.5 MiB, and etcd none of that.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

const API_VERSION: &str = "paraflow.dev/v1alpha1";
const KIND: &str = crd::KIND;

/// A job as it was read, with what is needed to speak about its file.
#[derive(Debug)]
pub struct JobFile {
    /// The job, which keeps every rule of the schema.
    pub job: IngestJob,
    /// The folder that relative paths in the job start at.
    pub folder: PathBuf,
    /// Documents of other kinds in the same file, as `kind name`.
    pub others: Vec<String>,
    origin: Origin,
}

/// The text of a job, with which complaints get their places.
#[derive(Debug)]
struct Origin {
    text: String,
    shown: String,
    /// Which of the text's documents the job is, from 0.
    document: usize,
}

/// Why a job file can't be used. All of these are the author's to mend.
#[derive(Debug, Error)]
pub enum Error {
    /// The file can't be opened or read.
    #[error("cannot read the job file {shown}")]
    Read {
        /// The file's name.
        shown: String,
        /// What the system says.
        source: io::Error,
    },
    /// The file is too large to be a job.
    #[error("the job file {shown} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// The file's name.
        shown: String,
    },
    /// The file isn't YAML.
    #[error("{shown} is not valid YAML")]
    Yaml {
        /// The file's name.
        shown: String,
        /// What is wrong, with line and column.
        source: serde_yaml::Error,
    },
    /// There is no IngestJob in the file, or more than one.
    #[error("{shown} must hold exactly one document with `apiVersion: {API_VERSION}` and `kind: {KIND}`, not {found}")]
    NotOne {
        /// The file's name.
        shown: String,
        /// What it holds.
        found: String,
    },
    /// The job breaks rules, each on a line of its own with file, line and column.
    #[error("{0}")]
    Bad(String),
}

impl JobFile {
    /// Reads the file, or standard input where the path is `-`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let from_stdin = path == Path::new("-");
        let shown = if from_stdin {
            "<stdin>".to_owned()
        } else {
            path.display().to_string()
        };
        let mut text = String::new();
        let read = |reader: &mut dyn io::Read, text: &mut String| reader.take(FILE_BYTES_MAX + 1).read_to_string(text);
        let outcome = if from_stdin {
            read(&mut io::stdin().lock(), &mut text)
        } else {
            File::open(path).and_then(|mut file| read(&mut file, &mut text))
        };
        if let Err(source) = outcome {
            return Err(Error::Read { shown, source });
        }
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(Error::TooLarge { shown });
        }
        let folder = if from_stdin { None } else { path.parent() };
        Self::parse(text, shown, folder.unwrap_or(Path::new("")).to_path_buf())
    }

    /// Checks a text that was read already. `shown` names it in messages.
    pub fn parse(text: String, shown: String, folder: PathBuf) -> Result<Self, Error> {
        let mut jobs = Vec::new();
        let mut others = Vec::new();
        for (at, document) in serde_yaml::Deserializer::from_str(&text).enumerate() {
            let yaml = |source| Error::Yaml {
                shown: shown.clone(),
                source,
            };
            let value = serde_yaml::Value::deserialize(document).map_err(yaml)?;
            if value.is_null() {
                continue;
            }
            let value = serde_json::to_value(value)
                .map_err(|error| Error::Bad(format!("{shown}: document {}: {error}", at + 1)))?;
            if value["apiVersion"] == API_VERSION && value["kind"] == KIND {
                jobs.push((at, value));
            } else {
                others.push(name_of(&value));
            }
        }
        if jobs.len() > 1 {
            let found = format!("{} of them", jobs.len());
            return Err(Error::NotOne { shown, found });
        }
        let Some((document, value)) = jobs.pop() else {
            let found = if others.is_empty() {
                "nothing".to_owned()
            } else {
                others.join(", ")
            };
            return Err(Error::NotOne { shown, found });
        };
        let origin = Origin { text, shown, document };
        Ok(Self {
            job: origin.check(value)?,
            folder,
            others,
            origin,
        })
    }

    /// The complaints as an error, each with the place of its field.
    pub fn bad(&self, complaints: &[Complaint]) -> Error {
        self.origin.bad(complaints)
    }
}

impl Origin {
    fn check(&self, mut value: Value) -> Result<IngestJob, Error> {
        if let Some(fields) = value.as_object_mut() {
            // The operator's, and dropped by the API server too when a job is applied.
            fields.remove("status");
        }
        let complaints = validate::structure(&value);
        if !complaints.is_empty() {
            return Err(self.bad(&complaints));
        }
        let job: IngestJob = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = FieldPath::parse(&error.path().to_string());
            self.bad(&[Complaint::new(path, error.inner().to_string())])
        })?;
        let complaints = validate::rules(&job);
        if complaints.is_empty() {
            Ok(job)
        } else {
            Err(self.bad(&complaints))
        }
    }

    fn bad(&self, complaints: &[Complaint]) -> Error {
        let mut message = String::new();
        for complaint in complaints {
            let separator = if message.is_empty() { "" } else { "\n" };
            let place = match locate(&self.text, self.document, &complaint.path) {
                Some((line, column)) => format!("{}:{line}:{column}", self.shown),
                None => self.shown.clone(),
            };
            write!(message, "{separator}{place}: {complaint}").expect("writing to a string can't fail");
        }
        Error::Bad(message)
    }
}

/// What a document is that is no job of ours, in a few words.
fn name_of(value: &Value) -> String {
    if !value.is_object() {
        return validate::shown(value);
    }
    match (value["kind"].as_str(), value["apiVersion"].as_str()) {
        (None, _) => "a document without `kind`".to_owned(),
        (Some(KIND), None) => format!("{KIND} without `apiVersion`"),
        (Some(KIND), Some(version)) => format!("{KIND} of apiVersion {version}"),
        (Some(kind), _) => match value["metadata"]["name"].as_str() {
            Some(name) => format!("{kind} {name}"),
            None => kind.to_owned(),
        },
    }
}
