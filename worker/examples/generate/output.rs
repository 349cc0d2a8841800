//! Where objects go: their paths, their compression, and the count of what was written.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

/// How an object is laid out and compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One record a line.
    #[value(name = "ndjson")]
    Ndjson,
    /// One record a line, in gzip members of `--frame-bytes`.
    #[value(name = "ndjson.gz")]
    NdjsonGzip,
    /// One record a line, in zstd frames of `--frame-bytes`.
    #[value(name = "ndjson.zst")]
    NdjsonZstd,
    /// Columns, in row groups of `--row-group-bytes`.
    #[value(name = "parquet")]
    Parquet,
    /// Each object in another of these formats, in turn.
    #[value(name = "all")]
    All,
}

impl Format {
    /// The format of the object with this number.
    pub(crate) fn of_object(self, object: u64) -> Self {
        let in_turn = [Self::NdjsonZstd, Self::Parquet, Self::NdjsonGzip, Self::Ndjson];
        match self {
            Self::All => in_turn[(object % in_turn.len() as u64) as usize],
            one => one,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::NdjsonGzip => "ndjson.gz",
            Self::NdjsonZstd => "ndjson.zst",
            Self::Parquet => "parquet",
            Self::All => unreachable!("an object has one format"),
        }
    }

    /// One frame (or member) of the text; the text itself where nothing is compressed.
    pub(crate) fn write_frame(self, text: &[u8], out: &mut impl Write) -> Result<()> {
        match self {
            Self::NdjsonGzip => {
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(6));
                encoder.write_all(text)?;
                encoder.finish()?;
            }
            Self::NdjsonZstd => zstd::stream::copy_encode(text, out, 3)?,
            Self::Ndjson => out.write_all(text)?,
            Self::Parquet | Self::All => unreachable!("columns are no text"),
        }
        Ok(())
    }
}

/// `year=2024/month=01/day=01/hour=00/part-00000.ndjson` below the folder, for the hour that begins at `time_ms`.
pub(crate) fn object_path(folder: &Path, time_ms: u64, object: u64, format: Format) -> Result<PathBuf> {
    let hour = jiff::Timestamp::from_millisecond(time_ms as i64).context("the object's hour is out of range")?;
    let partition = hour.strftime("year=%Y/month=%m/day=%d/hour=%H").to_string();
    let name = format!("part-{object:05}.{}", format.extension());
    Ok(folder.join(partition).join(name))
}

/// A file, or standard output, that counts what goes through.
pub(crate) struct Output {
    inner: BufWriter<Box<dyn Write + Send>>,
    pub(crate) bytes: u64,
}

impl Output {
    pub(crate) fn file(path: &Path) -> Result<Self> {
        let folder = path.parent().context("an object lies in a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self::new(Box::new(file)))
    }

    pub(crate) fn stdout() -> Self {
        Self::new(Box::new(io::stdout()))
    }

    fn new(inner: Box<dyn Write + Send>) -> Self {
        Self {
            inner: BufWriter::with_capacity(1 << 20, inner),
            bytes: 0,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
