//! Which objects may be split into byte ranges, and into which.
//!
//! Only Parquet and uncompressed NDJSON can be read from the middle. A name is not enough to go by: a gzip file called
//! `.json` would be cut into pieces that nobody can read. So the first bytes are looked at, unless the user has said what
//! the objects are. Where they contradict the name the object is left whole, for the worker to settle.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use pf_storage::{Error, Reach, Storage};
use pf_work::{ByteRange, Compression, Format};

use crate::{listing::Found, naming::Naming};

/// The smallest part that may be asked for: below it, asking costs more than reading.
pub(crate) const PART_BYTES_MIN: u64 = 64 * 1024;

/// How much of an object is looked at: enough for every magic number, and for a line's beginning behind some blanks.
const LOOK_BYTES: u64 = 64;

/// Looks at the objects of one page that are under way at the same time.
const LOOKS_MAX: usize = 8;

/// How objects are split.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Splitting {
    /// No part is larger.
    pub(crate) part_bytes_max: u64,
    /// What the user and names say.
    pub(crate) naming: Naming,
}

/// What an object that is split consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    /// Parquet or NDJSON, never `Auto`.
    pub(crate) format: Format,
    /// No part is larger.
    pub(crate) part_bytes_max: u64,
}

/// What may be done with an object before its bytes are seen.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Whole,
    Split(Format),
    Look,
}

impl Splitting {
    /// Decides for each object of a page whether it is split.
    pub(crate) async fn decide(self, storage: &Storage, page: Vec<Found>) -> Result<Vec<Found>, Error> {
        stream::iter(page)
            .map(async |mut found| {
                found.split = self.decide_one(storage, &found).await?;
                Ok(found)
            })
            .buffered(LOOKS_MAX)
            .try_collect()
            .await
    }

    async fn decide_one(self, storage: &Storage, found: &Found) -> Result<Option<Split>, Error> {
        let object = &found.object;
        if object.size_bytes <= self.part_bytes_max {
            return Ok(None);
        }
        let (named, compression) = self.naming.of(object.uri.key());
        let format = match verdict(self.naming, named, compression) {
            Verdict::Whole => None,
            Verdict::Split(format) => Some(format),
            Verdict::Look => {
                let range = 0..object.size_bytes.min(LOOK_BYTES);
                match storage.read_range(&object.uri, Some(&object.etag), range).await {
                    Ok(bytes) => seen(&bytes).filter(|seen| named == Format::Auto || named == *seen),
                    // What becomes of an object that changed since, or that we may not read, is the worker's to say.
                    Err(
                        Error::NotFound { .. }
                        | Error::Changed { .. }
                        | Error::Archived { .. }
                        | Error::Denied {
                            reach: Reach::Object, ..
                        },
                    ) => None,
                    Err(error) => return Err(error),
                }
            }
        };
        Ok(format.map(|format| Split {
            format,
            part_bytes_max: self.part_bytes_max,
        }))
    }
}

fn verdict(said: Naming, named: Format, compression: Compression) -> Verdict {
    match (said.format, said.compression) {
        _ if matches!(compression, Compression::Gzip | Compression::Zstd) => Verdict::Whole,
        (Format::Parquet, _) => Verdict::Split(Format::Parquet),
        (Format::Ndjson, Compression::None) => Verdict::Split(named),
        _ => Verdict::Look,
    }
}

/// What can be split, by its first bytes.
fn seen(bytes: &[u8]) -> Option<Format> {
    if bytes.starts_with(b"PAR1") {
        return Some(Format::Parquet);
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    text.trim_ascii_start().starts_with(b"{").then_some(Format::Ndjson)
}

/// Cuts `size_bytes` into as few parts as fit the bound, of sizes that differ by one byte at most.
pub(crate) fn parts(size_bytes: u64, part_bytes_max: u64) -> impl Iterator<Item = ByteRange> {
    let count = size_bytes.div_ceil(part_bytes_max).max(1);
    let (length, longer) = (size_bytes / count, size_bytes % count);
    let offset = move |part: u64| part * length + part.min(longer);
    (0..count).map(move |part| ByteRange {
        start: offset(part),
        end: offset(part + 1),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_begins_as_parquet_or_as_an_object_is_split() {
        assert_eq!(seen(b"PAR1\x15\x04"), Some(Format::Parquet));
        assert_eq!(seen(b"{\"a\":1}"), Some(Format::Ndjson));
        assert_eq!(seen(b"\xEF\xBB\xBF\r\n {\"a\":1}"), Some(Format::Ndjson));
        for bytes in [&b"\x1F\x8B\x08"[..], b"\x28\xB5\x2F\xFD", b"a,b\n", b"[{}]", b""] {
            assert_eq!(seen(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn what_the_user_says_needs_no_look_and_what_is_compressed_stays_whole() {
        let verdict_of = |format, compression, key: &str| {
            let said = Naming { format, compression };
            let (named, compression) = said.of(key);
            verdict(said, named, compression)
        };
        let auto = |key| verdict_of(Format::Auto, Compression::Auto, key);
        assert_eq!(auto("a.json.gz"), Verdict::Whole);
        assert_eq!(auto("a.json"), Verdict::Look);
        assert_eq!(auto("a.parquet"), Verdict::Look);
        assert_eq!(auto("a"), Verdict::Look);
        assert_eq!(
            verdict_of(Format::Parquet, Compression::Auto, "a"),
            Verdict::Split(Format::Parquet)
        );
        assert_eq!(
            verdict_of(Format::Ndjson, Compression::None, "a.gz"),
            Verdict::Split(Format::Ndjson)
        );
        assert_eq!(verdict_of(Format::Ndjson, Compression::Auto, "a"), Verdict::Look);
        assert_eq!(verdict_of(Format::Ndjson, Compression::Gzip, "a"), Verdict::Whole);
    }

    proptest! {
        #[test]
        fn parts_cover_every_byte_once_and_are_about_equal(size in 1_u64..1 << 44, count in 1_u64..200) {
            let part_bytes_max = size.div_ceil(count);
            let parts: Vec<ByteRange> = parts(size, part_bytes_max).collect();
            let mut at = 0;
            for part in &parts {
                prop_assert_eq!(part.start, at);
                prop_assert!(part.end > at && part.end - part.start <= part_bytes_max);
                at = part.end;
            }
            prop_assert_eq!(at, size);
            let lengths = parts.iter().map(|part| part.end - part.start);
            prop_assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
        }
    }
}
