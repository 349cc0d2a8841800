//! What an object is by its first bytes: what we read, what we know and don't read, or text.
//!
//! No line of JSON begins like any of these, so the bytes are believed before a name or a statement.

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Frames that a zstd reader skips: their first byte is 0x50 to 0x5f. LZ4 has them too.
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
/// What Parquet files begin with.
const PARQUET: &[u8] = b"PAR1";
/// What may come before text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How many first bytes tell what an object is: the mark of a tar archive lies behind its first 257 bytes.
pub const MAGIC_BYTES: usize = 512;

/// Where a tar archive (POSIX.1-1988 and GNU) has its mark.
const TAR_MARK_AT: usize = 257;
const TAR_MARK: &[u8] = b"ustar";

/// What is known by its first bytes, and not read: how it begins, and what it is called.
///
/// From each format's own description, and file(1).
const FOREIGN: &[(&[u8], &str)] = &[
    (b"BZh", "bzip2"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
    (&[0x5d, 0, 0], "lzma"),
    (b"LZIP", "lzip"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"PK\x07\x08", "a zip archive"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
    (&[0x02, 0x21, 0x4c, 0x18], "lz4"),
    (&[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c], "a 7z archive"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (&[0x1f, 0x9d], "compress'd (.Z)"),
    (b"\x89LZO\x00\r\n\x1a\n", "lzop"),
    (b"Obj\x01", "Avro"),
    (b"ORC", "ORC"),
    (b"PARE", "Parquet with an encrypted footer"),
    (b"ARROW1", "an Arrow file"),
    (b"FEA1", "a Feather file"),
    (b"SEQ", "a Hadoop sequence file"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"\x7fELF", "a program"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
    (b"{\0", "text in UTF-16"),
    (b"\0{\0", "text in UTF-16"),
    (b"[\0", "text in UTF-16"),
    (b"\0[\0", "text in UTF-16"),
];

/// What an object is by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    /// Parquet.
    Parquet,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Known, and not read: what it is called.
    Foreign(&'static str),
    /// What may be text.
    Text,
    /// Anything else.
    Other,
}

impl Magic {
    /// Looks at an object's first [`MAGIC_BYTES`] (fewer if it has no more).
    pub fn of(first: &[u8]) -> Self {
        if first.starts_with(PARQUET) {
            return Self::Parquet;
        }
        if first.starts_with(GZIP) {
            return Self::Gzip;
        }
        let is_skippable = first.len() >= 4 && first[0] & 0xf0 == 0x50 && &first[1..4] == ZSTD_SKIPPABLE;
        if first.starts_with(ZSTD) || is_skippable {
            return Self::Zstd;
        }
        // An archive of files that begin with a `{` in their names begins with one too.
        if first.get(TAR_MARK_AT..).is_some_and(|rest| rest.starts_with(TAR_MARK)) && first[..TAR_MARK_AT].contains(&0)
        {
            return Self::Foreign("a tar archive");
        }
        let foreign = FOREIGN.iter().find(|(mark, _)| first.starts_with(mark));
        if let Some((mark, name)) = foreign
            && is_no_text(mark, first)
        {
            return Self::Foreign(name);
        }
        if may_be_text(first) { Self::Text } else { Self::Other }
    }
}

/// Whether what begins with a mark is more than a line of text that happens to begin so.
fn is_no_text(mark: &[u8], first: &[u8]) -> bool {
    !mark.iter().all(|byte| (b' '..0x7f).contains(byte)) || !may_be_text(first) || mark.starts_with(b"%PDF")
}

/// Whether bytes can be the beginning of text: UTF-8 without control characters, but for white space, and for the NULs that a
/// log has where it was cut while it was written.
fn may_be_text(first: &[u8]) -> bool {
    let first = first.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first);
    let is_utf8 = match std::str::from_utf8(first) {
        Ok(_) => true,
        // The last character may be cut.
        Err(error) => error.error_len().is_none(),
    };
    is_utf8
        && first
            .iter()
            .all(|byte| *byte >= b' ' || matches!(byte, 0 | b'\t' | b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_do_not_read_is_known_by_its_first_bytes() {
        let binary = [0x80, 1, 2, 3];
        for (mark, name) in FOREIGN {
            assert_eq!(Magic::of(&[mark, &binary[..]].concat()), Magic::Foreign(name), "{name}");
        }
        let mut tar = vec![0; 512];
        tar[..6].copy_from_slice(b"a.json");
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(Magic::of(&tar), Magic::Foreign("a tar archive"));
    }

    #[test]
    fn text_is_taken_for_nothing_else() {
        let record = format!("{{\"a\":\"{}ustar\"}}\n", "x".repeat(251));
        assert_eq!(&record[257..262], "ustar");
        for text in [
            "",
            "\n",
            "{\"a\":1}\n",
            "\u{feff}{}",
            "\0\0\0{}",
            "[1]",
            "é",
            "BZh is a word\n",
            "ORC,SEQ\n",
            "FEA1 RAR! GIF8\n",
            "GIF8 ELF\n",
            &record,
        ] {
            assert_eq!(Magic::of(text.as_bytes()), Magic::Text, "{text}");
        }
        // A character that the first bytes end in.
        assert_eq!(Magic::of(&"é".as_bytes()[..1]), Magic::Text);
        assert_eq!(Magic::of(b"{\"a\":\"\xff\"}"), Magic::Other);
        assert_eq!(Magic::of(b"\x01\x02"), Magic::Other);
    }
}
