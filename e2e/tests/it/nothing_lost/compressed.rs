//! Hard streams: many members and frames, cut ones, corrupt ones; and Parquet files that are not whole.

use std::{fs, io::Write as _};

use super::{Case, Expected};
use crate::it::programs::generate;

const MEMBERS: usize = 10_000;

/// Records whose text does not compress to nothing.
fn text(records: u64) -> String {
    (0..records)
        .map(|n| {
            format!(
                "{{\"v\":{n},\"w\":\"{:016x}\"}}\n",
                n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            )
        })
        .collect()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A frame that decoders must step over (RFC 8878, 3.1.2).
fn skippable_frame() -> Vec<u8> {
    let content = b"{\"v\":\"not a record\"}\n";
    let mut frame = 0x184d_2a53_u32.to_le_bytes().to_vec();
    frame.extend((content.len() as u32).to_le_bytes());
    frame.extend(content);
    frame
}

/// The text in so many pieces, each compressed on its own; borders fall anywhere in a line.
fn in_pieces(text: &[u8], pieces: usize, compress: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..pieces)
        .map(|piece| {
            let border = |piece: usize| piece * text.len() / pieces;
            compress(&text[border(piece)..border(piece + 1)])
        })
        .collect()
}

fn case(name: &'static str, object: &'static str, bytes: Vec<u8>, expected: Expected) -> Case {
    Case {
        name,
        object,
        bytes,
        flags: &[],
        untouched: expected.clone(),
        columns: ("v,w", expected),
    }
}

pub(super) fn whole() -> Vec<Case> {
    let text = text(50_000);
    let bytes = text.as_bytes();
    let all = || Expected::all(bytes);
    let mut frames = in_pieces(bytes, 100, zstd);
    frames.insert(50, skippable_frame());
    frames.insert(51, zstd(b""));
    vec![
        case(
            "gzip of 10,000 members",
            "data.ndjson.gz",
            in_pieces(bytes, MEMBERS, gzip).concat(),
            all(),
        ),
        case(
            "zstd of 100 frames, an empty one and one to skip among them",
            "data.ndjson.zst",
            frames.concat(),
            all(),
        ),
        case("gzip that only its first bytes tell", "data", gzip(bytes), all()),
        case("zstd that only its first bytes tell", "data.ndjson", zstd(bytes), all()),
        case("plain text that nothing tells", "data", bytes.to_vec(), all()),
        case("gzip of nothing", "data.ndjson.gz", gzip(b""), Expected::all("")),
        case("zstd of nothing", "data.ndjson.zst", zstd(b""), Expected::all("")),
        case(
            "gzip without a final newline",
            "data.ndjson.gz",
            gzip(text.trim_end().as_bytes()),
            all(),
        ),
    ]
}

pub(super) fn broken() -> Vec<Case> {
    let text = text(50_000);
    let bytes = text.as_bytes();
    let half = |mut stream: Vec<u8>| {
        stream.truncate(stream.len() / 2);
        stream
    };
    // Ten pieces, the sixth of them with a wrong byte in its middle: the first five are whole.
    let corrupt = |mut pieces: Vec<Vec<u8>>| {
        let middle = pieces[5].len() / 2;
        pieces[5][middle] ^= 0x55;
        pieces.concat()
    };
    let start_of_half = bytes[..bytes.len() / 2]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    let broken = |at_least, reason| Expected::failed(bytes, at_least, reason);
    vec![
        case(
            "gzip cut at half",
            "data.ndjson.gz",
            half(gzip(bytes)),
            broken(1, "ends"),
        ),
        case(
            "zstd cut at half",
            "data.ndjson.zst",
            half(zstd(bytes)),
            broken(0, "ends"),
        ),
        case(
            "gzip of ten members, corrupt in the sixth",
            "data.ndjson.gz",
            corrupt(in_pieces(bytes, 10, gzip)),
            Expected::damaged(&bytes[..start_of_half], "corrupt"),
        ),
        case(
            "zstd of ten frames, corrupt in the sixth",
            "data.ndjson.zst",
            corrupt(in_pieces(bytes, 10, zstd)),
            Expected::damaged(&bytes[..start_of_half], "corrupt"),
        ),
        case(
            "gzip with bytes behind it that are no member",
            "data.ndjson.gz",
            [gzip(&bytes[..start_of_half]), b"garbage".to_vec()].concat(),
            broken(start_of_half, "corrupt"),
        ),
        case(
            "a gzip file without a byte",
            "data.ndjson.gz",
            Vec::new(),
            Expected {
                failed: Some("truncated"),
                ..Expected::all("")
            },
        ),
    ]
}

/// Generated records, as a Parquet file of several row groups or as lines.
fn generated(records: &str, format: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let sizes = ["--records", records, "--objects", "1", "--row-group-bytes", "50000"];
    generate(
        folder.path(),
        &[&["--kind", "drift", "--format", format], &sizes[..]].concat(),
    );
    let hour = folder.path().join("year=2024/month=01/day=01/hour=00");
    fs::read(hour.join(format!("part-00000.{format}"))).unwrap()
}

pub(super) fn parquet() -> Vec<Case> {
    let file = generated("5000", "parquet");
    let lines = generated("5000", "ndjson");
    let mut corrupt = file.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle..middle + 4096].fill(0xff);
    let given_up = |reason| Expected {
        failed: Some(reason),
        ..Expected::all("")
    };
    let parquet = |name, bytes, expected: Expected| Case {
        columns: ("timestamp,id,value,mixed,nested", expected.clone()),
        ..case(name, "data.parquet", bytes, expected)
    };
    vec![
        parquet("Parquet that is whole", file.clone(), Expected::all(lines.clone())),
        parquet("Parquet without rows", generated("0", "parquet"), Expected::all("")),
        parquet(
            "Parquet cut at half",
            file[..file.len() / 2].to_vec(),
            given_up("Parquet"),
        ),
        parquet("a Parquet file without a byte", Vec::new(), given_up("Parquet")),
        parquet(
            "Parquet with a corrupt page",
            corrupt,
            Expected::failed(&lines, 1, "corrupt"),
        ),
    ]
}
