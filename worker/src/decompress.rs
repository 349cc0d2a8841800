//! From an object's bytes as stored to its decompressed bytes: gzip with all members, zstd with all frames.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use pf_work::Compression;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Frames that a zstd reader skips: their first byte is 0x50 to 0x5f.
const ZSTD_SKIPPABLE_MAGIC: [u8; 3] = [0x2a, 0x4d, 0x18];
/// What Parquet files begin with.
const PARQUET_MAGIC: [u8; 4] = *b"PAR1";

/// How many first bytes tell what an object is.
pub const MAGIC_BYTES: usize = 4;

/// How much is handed to a decompressor at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// What an object is by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    /// Parquet.
    Parquet,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Anything else, text among it.
    Other,
}

impl Magic {
    /// Looks at an object's first [`MAGIC_BYTES`] (fewer if it has no more).
    pub fn of(first: &[u8]) -> Self {
        if first.starts_with(&PARQUET_MAGIC) {
            Self::Parquet
        } else if first.starts_with(&GZIP_MAGIC) {
            Self::Gzip
        } else if first.starts_with(&ZSTD_MAGIC)
            || first.len() >= 4 && first[0] & 0xf0 == 0x50 && first[1..4] == ZSTD_SKIPPABLE_MAGIC
        {
            Self::Zstd
        } else {
            Self::Other
        }
    }
}

/// How to decompress an object of `magic` that is said to be of `stated` compression. The error says what does not fit.
///
/// No line of JSON begins like a compressed stream, so the bytes are believed before the name; but where the name says
/// that the object is compressed and the bytes don't, something is wrong with it.
pub fn choose(stated: Compression, magic: Magic, is_empty: bool) -> Result<Compression, String> {
    match (stated, magic) {
        (Compression::Gzip | Compression::Auto | Compression::None, Magic::Gzip) => Ok(Compression::Gzip),
        (Compression::Zstd | Compression::Auto | Compression::None, Magic::Zstd) => Ok(Compression::Zstd),
        (Compression::Gzip | Compression::Zstd, _) if is_empty => Ok(Compression::None),
        (Compression::Gzip, _) => Err("corrupt: stated to be gzip, but it does not begin like gzip".to_owned()),
        (Compression::Zstd, _) => Err("corrupt: stated to be zstd, but it does not begin like zstd".to_owned()),
        (Compression::Auto | Compression::None, Magic::Parquet | Magic::Other) => Ok(Compression::None),
    }
}

/// A reader of decompressed bytes. A stream that ends early is an [`io::ErrorKind::UnexpectedEof`].
pub fn reader<'a, R: Read + 'a>(input: R, compression: Compression) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::Gzip => Box::new(Members::new(BufReader::with_capacity(BUFFER_BYTES, input))),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(
            BUFFER_BYTES,
            input,
        ))?),
        Compression::None | Compression::Auto => Box::new(input),
    })
}

/// The members of a gzip stream, one after the other (RFC 1952, section 2.2).
///
/// flate2's own reader of several members takes a few bytes behind the last one for a member that was cut; this one tells
/// the two apart.
struct Members<R> {
    /// None once the stream has ended.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn new(input: R) -> Self {
        Self {
            member: Some(GzDecoder::new(input)),
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                self.member = Some(member);
                return Ok(count);
            }
            let mut input = member.into_inner();
            let next = input.fill_buf()?;
            if next.is_empty() {
                break;
            }
            // gzip(1) takes zeros for padding, as tapes have it.
            if next[0] == 0 {
                only_zeros(&mut input)?;
                break;
            }
            if next[0] != GZIP_MAGIC[0] {
                return Err(bytes_behind_the_last_member());
            }
            self.member = Some(GzDecoder::new(input));
        }
        Ok(0)
    }
}

/// Reads to the end, which nothing but zeros may come before.
fn only_zeros(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let rest = input.fill_buf()?;
        if rest.is_empty() {
            return Ok(());
        }
        if rest.iter().any(|byte| *byte != 0) {
            return Err(bytes_behind_the_last_member());
        }
        let count = rest.len();
        input.consume(count);
    }
}

fn bytes_behind_the_last_member() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "there are bytes behind the last gzip member",
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        reader(bytes, compression)?.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn every_member_and_every_frame_is_read() {
        let members: Vec<u8> = (0..100)
            .flat_map(|number| gzip(format!("{number}\n").as_bytes()))
            .collect();
        let frames: Vec<u8> = (0..100)
            .flat_map(|number| zstd::encode_all(format!("{number}\n").as_bytes(), 1).unwrap())
            .collect();
        let expected = (0..100).map(|number| number.to_string()).collect::<Vec<_>>().join("\n") + "\n";
        assert_eq!(read(&members, Compression::Gzip).unwrap(), expected.as_bytes());
        assert_eq!(read(&frames, Compression::Zstd).unwrap(), expected.as_bytes());
    }

    #[test]
    fn a_stream_that_ends_anywhere_early_is_an_error() {
        let text = b"{\"a\":1}\n".repeat(100);
        for (bytes, compression) in [
            (gzip(&text), Compression::Gzip),
            (zstd::encode_all(&text[..], 1).unwrap(), Compression::Zstd),
        ] {
            for end in 1..bytes.len() {
                assert!(
                    read(&bytes[..end], compression).is_err(),
                    "{compression:?} cut at {end} of {}",
                    bytes.len()
                );
            }
        }
    }

    #[test]
    fn bytes_behind_the_last_member_are_corrupt_and_not_cut() {
        for trailer in [&b"x"[..], b"\0\0x", b"{\"a\":1}\n"] {
            let bytes = [gzip(b"{}\n"), trailer.to_vec()].concat();
            let error = read(&bytes, Compression::Gzip).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }

    #[test]
    fn zeros_behind_the_last_member_are_padding() {
        let bytes = [gzip(b"{}\n"), vec![0; 1000]].concat();
        assert_eq!(read(&bytes, Compression::Gzip).unwrap(), b"{}\n");
    }

    #[test]
    fn bytes_are_believed_before_a_name_but_not_against_it() {
        assert_eq!(choose(Compression::None, Magic::Gzip, false), Ok(Compression::Gzip));
        assert_eq!(choose(Compression::Auto, Magic::Zstd, false), Ok(Compression::Zstd));
        assert_eq!(choose(Compression::Auto, Magic::Other, false), Ok(Compression::None));
        assert_eq!(choose(Compression::Gzip, Magic::Other, true), Ok(Compression::None));
        assert!(
            choose(Compression::Gzip, Magic::Zstd, false)
                .unwrap_err()
                .contains("gzip")
        );
        assert!(
            choose(Compression::Zstd, Magic::Other, false)
                .unwrap_err()
                .contains("zstd")
        );
    }
}
