//! What an object looks like, for those who are told that its first record is none, and for names that are wrong.

use std::io;

use crate::{
    decompress::{MAGIC_BYTES, Magic},
    reader::range_source::RangeSource,
};

/// The first bytes of an object.
pub(super) fn head(ranges: &dyn RangeSource) -> io::Result<Vec<u8>> {
    let end = ranges.size_bytes().min(MAGIC_BYTES as u64);
    if end == 0 {
        return Ok(Vec::new());
    }
    Ok(ranges.fetch(0..end).wait()?.to_vec())
}

/// Whether an object that is said to be something else begins like lines of JSON, or like something that they may be in.
pub(super) fn may_be_lines(magic: Magic, first: &[u8]) -> bool {
    match magic {
        Magic::Gzip | Magic::Zstd => true,
        Magic::Text => text(first).starts_with(b"{"),
        Magic::Parquet | Magic::Foreign(_) | Magic::Other => false,
    }
}

/// What an object looks like whose first record, which this is, is none; as a clause whose subject the object is.
pub(super) fn like(first: &[u8]) -> Option<&'static str> {
    let first = text(first);
    let rest = first.get(1..).unwrap_or_default();
    Some(match first.first()? {
        b'[' if has_value(rest) => "begins with `[`: a JSON array, not one JSON object a line",
        b'{' if rest.iter().all(u8::is_ascii_whitespace) => {
            "begins with `{` alone: JSON over several lines, not one JSON object a line"
        }
        b'<' => "begins with `<`: XML or HTML, not one JSON object a line",
        _ if is_table(first) => "looks like a table (CSV), not like one JSON object a line",
        _ => return None,
    })
}

/// Text from its first character on: behind a byte order mark, NULs and white space.
fn text(first: &[u8]) -> &[u8] {
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    let start = first.iter().position(|byte| *byte != 0 && !byte.is_ascii_whitespace());
    &first[start.unwrap_or(first.len())..]
}

/// Whether what follows a `[` is an element as arrays of records have them, or nothing yet.
fn has_value(rest: &[u8]) -> bool {
    text(rest)
        .first()
        .is_none_or(|byte| matches!(byte, b'{' | b'[' | b']' | b'"'))
}

/// Whether a line has names with a separator between them.
fn is_table(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else {
        return false;
    };
    let of = |separator: char| {
        let cells: Vec<&str> = line.trim_end().split(separator).collect();
        let is_name = |cell: &&str| {
            let cell = cell.trim().trim_matches('"');
            !cell.is_empty()
                && cell
                    .chars()
                    .all(|char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.' | ' '))
        };
        cells.len() > 1 && cells.iter().all(is_name)
    };
    [',', ';', '\t'].into_iter().any(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_lines_of_json_is_known_by_its_first_line() {
        for (first, says) in [
            ("[{\"a\":1},{\"a\":2}]", Some("a JSON array")),
            ("[", Some("a JSON array")),
            ("\u{feff} [ [1]]", Some("a JSON array")),
            ("{", Some("over several lines")),
            ("{  \r", Some("over several lines")),
            ("<?xml version=\"1.0\"?>", Some("XML")),
            ("id,name,value", Some("CSV")),
            ("id\tfull name", Some("CSV")),
            ("\"id\";\"name\"", Some("CSV")),
            ("[2024-01-01 12:00:00] GET /", None),
            ("[INFO] started", None),
            ("[2024-01-01 12:00:00] GET /", None),
            ("{\"a\":}", None),
            ("GET / 200", None),
            ("", None),
        ] {
            let like = like(first.as_bytes());
            match says {
                Some(says) => assert!(like.is_some_and(|like| like.contains(says)), "{first}: {like:?}"),
                None => assert_eq!(like, None, "{first}"),
            }
        }
    }
}
