//! What an object's name tells about its contents.
//!
//! Names are a convention: what they leave open stays `auto`, and the worker looks at the first bytes.

use pf_work::{Compression, Format};

/// What the user said, which is stronger than any name; `Auto` where nothing was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Naming {
    /// How records are laid out.
    pub(crate) format: Format,
    /// How objects are compressed.
    pub(crate) compression: Compression,
}

impl Naming {
    /// Format and compression of the object with this key.
    pub(crate) fn of(self, key: &str) -> (Format, Compression) {
        let (stem, named_compression) = compression_of(key);
        let format = match self.format {
            Format::Auto => format_of(stem),
            said => said,
        };
        let compression = match (self.compression, format) {
            // Parquet compresses inside; the file as such is plain.
            (Compression::Auto, Format::Parquet) => Compression::None,
            (Compression::Auto, _) => named_compression,
            (said, _) => said,
        };
        (format, compression)
    }
}

/// Whether a name says that there should be something to read: an empty `.gz` or `.parquet` was cut off.
pub(crate) fn promises_bytes(key: &str) -> bool {
    let (stem, compression) = compression_of(key);
    compression != Compression::Auto || format_of(stem) != Format::Auto
}

/// The name without the ending of a compression, and that compression.
fn compression_of(key: &str) -> (&str, Compression) {
    match ending(key) {
        Some((stem, "gz" | "gzip")) => (stem, Compression::Gzip),
        Some((stem, "zst" | "zstd")) => (stem, Compression::Zstd),
        _ => (key, Compression::Auto),
    }
}

fn format_of(stem: &str) -> Format {
    match ending(stem) {
        Some((_, "ndjson" | "jsonl" | "json" | "log")) => Format::Ndjson,
        Some((_, "parquet" | "pq")) => Format::Parquet,
        _ => Format::Auto,
    }
}

/// The name up to its last dot, and the known ending behind it, whatever its case.
fn ending(key: &str) -> Option<(&str, &'static str)> {
    const KNOWN: [&str; 10] = [
        "gz", "gzip", "zst", "zstd", "ndjson", "jsonl", "json", "log", "parquet", "pq",
    ];
    let (stem, end) = key.rsplit_once('.')?;
    let known = KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(end))?;
    Some((stem, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING_SAID: Naming = Naming {
        format: Format::Auto,
        compression: Compression::Auto,
    };

    #[test]
    fn names_tell_format_and_compression() {
        for (key, format, compression) in [
            ("a/b.ndjson", Format::Ndjson, Compression::Auto),
            ("a/b.JSONL.GZ", Format::Ndjson, Compression::Gzip),
            ("b.json.zst", Format::Ndjson, Compression::Zstd),
            ("b.log.gzip", Format::Ndjson, Compression::Gzip),
            ("b.parquet", Format::Parquet, Compression::None),
            ("b.snappy.pq", Format::Parquet, Compression::None),
            ("b.gz", Format::Auto, Compression::Gzip),
            ("b", Format::Auto, Compression::Auto),
            ("a.json/b", Format::Auto, Compression::Auto),
            ("b.csv", Format::Auto, Compression::Auto),
        ] {
            assert_eq!(NOTHING_SAID.of(key), (format, compression), "{key}");
        }
    }

    #[test]
    fn what_the_user_says_is_stronger_than_the_name() {
        let said = Naming {
            format: Format::Ndjson,
            compression: Compression::None,
        };
        assert_eq!(said.of("a.parquet.gz"), (Format::Ndjson, Compression::None));
    }
}
