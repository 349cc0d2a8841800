//! Objects that are not what their names say, or nothing that is read: one refusal each, and never one for each line of them.

use super::*;
use crate::decompress::WINDOW_LOG;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(text, 1).unwrap()
}

/// Bytes that no line of text has, with newlines among them.
fn rubbish(start: &[u8]) -> Vec<u8> {
    let mut state = 1u64;
    let rest = (0..100_000).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    start.iter().copied().chain(rest).collect()
}

fn tar() -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..6].copy_from_slice(b"a.json");
    header[257..263].copy_from_slice(b"ustar\0");
    [header, b"{\"a\":1}\n".repeat(64)].concat()
}

/// Reads all of an item, and gives its records, the reasons of its refusals and what it ends with.
fn read(item: &WorkItem, bytes: &[u8], records: &Records) -> (usize, Vec<Reject>, Option<Error>) {
    let (mut count, mut rejects) = (0, Vec::new());
    let mut source = Memory::new(bytes.to_vec());
    let mut reader = match ObjectReader::open(item, None, records, &mut source) {
        Ok(reader) => reader,
        Err(error) => return (0, rejects, Some(error)),
    };
    loop {
        match reader.next_batch(&mut rejects) {
            Ok(Some(batch)) => count += batch.records(),
            Ok(None) => return (count, rejects, None),
            Err(error) => {
                let counts = reader.counts();
                assert_eq!(
                    counts.records,
                    (count + rejects.len()) as u64,
                    "every record is accounted for"
                );
                return (count, rejects, Some(error));
            }
        }
    }
}

const COMPRESSIONS: [Compression; 4] = [
    Compression::Auto,
    Compression::None,
    Compression::Gzip,
    Compression::Zstd,
];

#[test]
fn what_is_not_read_is_one_refusal_that_names_it() {
    let foreign = [
        (rubbish(b"BZh91AY&SY"), "bzip2"),
        (rubbish(b"\xfd7zXZ\0"), "xz"),
        (rubbish(b"PK\x03\x04"), "zip"),
        (rubbish(&[0x04, 0x22, 0x4d, 0x18]), "lz4"),
        (rubbish(b"7z\xbc\xaf\x27\x1c"), "7z"),
        (rubbish(b"\xff\x06\0\0sNaPpY"), "snappy"),
        (rubbish(b"Obj\x01"), "Avro"),
        (rubbish(b"ORC"), "ORC"),
        (tar(), "tar"),
        (b"\xff\xfe{\0\"\0a\0\"\0:\x001\0}\0\n\0".to_vec(), "UTF-16"),
    ];
    for (bytes, name) in &foreign {
        for stated in COMPRESSIONS {
            for format in [Format::Auto, Format::Ndjson, Format::Parquet] {
                let of = |bytes: &[u8]| read(&item(bytes, format, stated), bytes, &records());
                for bytes in [bytes.clone(), gzip(bytes), zstd(bytes)] {
                    let (count, rejects, error) = of(&bytes);
                    assert_eq!((count, rejects.len()), (0, 0), "{name} as {stated:?}");
                    let Some(Error::Contradiction(reason)) = error else {
                        panic!("{name} as {stated:?}: {error:?}")
                    };
                    assert!(reason.contains(name) && reason.contains("not read"), "{reason}");
                }
            }
        }
    }
}

#[test]
fn what_is_packed_twice_is_one_refusal() {
    let text = b"{\"a\":1}\n".repeat(1000);
    for bytes in [gzip(&gzip(&text)), zstd(&gzip(&text)), gzip(&zstd(&text))] {
        let (count, rejects, error) = read(&item(&bytes, Format::Auto, Compression::Auto), &bytes, &records());
        assert_eq!((count, rejects.len()), (0, 0));
        assert!(
            matches!(&error, Some(Error::Contradiction(reason)) if reason.contains("inside its compression")),
            "{error:?}"
        );
    }
}

#[test]
fn records_are_read_whatever_the_name_says_that_they_are_in() {
    let text = b"\n{\"a\":1}\nno record\n{\"a\":2}\n".repeat(100);
    for stated in COMPRESSIONS {
        for format in [Format::Auto, Format::Ndjson, Format::Parquet] {
            for bytes in [text.clone(), gzip(&text), zstd(&text)] {
                let item = item(&bytes, format, stated);
                let (count, rejects, error) = read(&item, &bytes, &records());
                assert_eq!((count, rejects.len()), (200, 100), "{format:?} {stated:?}");
                assert!(error.is_none());
                // Left anywhere and gone on with, too.
                let records = Records {
                    batch_records_max: 7,
                    ..records()
                };
                let source = Memory::new(bytes);
                let whole = read_whole(&item, &source, &records);
                assert_eq!(read_with_stops(&item, &source, &records, &[1, 3]), whole);
            }
        }
    }
}

#[test]
fn a_range_of_what_is_not_read_is_one_refusal_too() {
    for bytes in [rubbish(b"BZh91AY&SY"), gzip(&rubbish(b"{")), tar()] {
        let mut item = item(&bytes, Format::Ndjson, Compression::None);
        item.range = Some(ByteRange {
            start: bytes.len() as u64 / 2,
            end: bytes.len() as u64,
        });
        let (count, rejects, error) = read(&item, &bytes, &records());
        if bytes == tar() {
            // Its lines are lines.
            assert!(count > 0 && rejects.is_empty() && error.is_none());
            continue;
        }
        assert_eq!((count, rejects.len()), (0, 0));
        assert!(matches!(error, Some(Error::Contradiction(_))), "{error:?}");
    }
}

#[test]
fn the_first_dead_letter_of_an_object_says_what_the_object_looks_like() {
    for (text, says) in [
        ("[{\"a\":1},\n{\"a\":2}]\n", "a JSON array"),
        ("{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n", "JSON over several lines"),
        ("id,name\n1,a\n2,b\n", "CSV"),
    ] {
        for bytes in [text.as_bytes().to_vec(), gzip(text.as_bytes())] {
            let (_, rejects, error) = read(&item(&bytes, Format::Auto, Compression::Auto), &bytes, &records());
            assert!(error.is_none());
            assert!(rejects[0].reason.contains(says), "{}", rejects[0].reason);
            assert!(
                rejects
                    .iter()
                    .skip(1)
                    .all(|reject| !reject.reason.contains("the object"))
            );
        }
    }
    // One bad line among good ones says nothing of the object.
    let text = b"{\"a\":1}\n[\n{\n";
    let (_, rejects, _) = read(&item(text, Format::Auto, Compression::Auto), text, &records());
    assert!(
        rejects.iter().all(|reject| !reject.reason.contains("the object")),
        "{rejects:?}"
    );
}

#[test]
fn a_hole_of_nuls_of_any_size_loses_no_record_and_is_counted() {
    for hole in [1, 100, 4096, 300_000, 5 << 20] {
        let text = [b"{\"a\":1}\n", &vec![0; hole][..], b"{\"a\":2}\r\n{\"a\":3}\n\0\0\0"].concat();
        for columns in [None, Some(Vec::new())] {
            let records = Records {
                columns,
                record_bytes_max: 1000,
                ..records()
            };
            let item = item(&text, Format::Auto, Compression::Auto);
            let source = Memory::new(text.clone());
            let whole = read_whole(&item, &source, &records);
            let ordinals: Vec<u64> = whole.records.iter().map(|record| record.0).collect();
            assert_eq!(ordinals, [0, 8 + hole as u64, 17 + hole as u64]);
            assert_eq!(whole.records[1].1, "{\"a\":2}");
            assert_eq!(whole.rejects, []);
            assert_eq!(whole.counts.span_bytes, text.len() as u64);
            let mut reader = ObjectReader::open(&item, None, &records, &mut source.clone()).unwrap();
            while reader.next_batch(&mut Vec::new()).unwrap().is_some() {}
            assert_eq!(reader.counts().nul_bytes, hole as u64 + 3);
            // A range that ends in the hole has the record behind it, and the next one has not.
            let middle = 8 + hole as u64 / 2 + 1;
            let counts = [(0, middle), (middle, text.len() as u64)].map(|(start, end)| {
                let range = Some(ByteRange { start, end });
                let part = read_whole(&WorkItem { range, ..item.clone() }, &source, &records);
                (part.records.len(), part.counts.span_bytes)
            });
            assert_eq!(counts[0].0 + counts[1].0, 3);
            assert_eq!(counts[0].1 + counts[1].1, text.len() as u64);
        }
    }
}

#[test]
fn a_nul_ends_a_record_where_that_is_asked_for() {
    let text = b"{\"a\":1}\0{\n  \"a\": 2\n}\0\0{\"a\":\"\n\"}\0{\"a\":3}";
    let nul = Records {
        nul_ends_record: true,
        ..records()
    };
    for bytes in [text.to_vec(), gzip(text), zstd(text)] {
        let item = item(&bytes, Format::Auto, Compression::Auto);
        let source = Memory::new(bytes);
        let whole = read_whole(&item, &source, &nul);
        let values: Vec<(u64, serde_json::Value)> = whole
            .records
            .iter()
            .map(|(ordinal, text)| {
                assert!(!text.contains('\n'));
                (
                    *ordinal,
                    serde_json::from_str::<serde_json::Value>(text).unwrap()["a"].clone(),
                )
            })
            .collect();
        assert_eq!(values, [(0, 1.into()), (8, 2.into()), (32, 3.into())]);
        assert_eq!(whole.rejects.len(), 1, "a newline in a string is none of JSON");
        let one = Records {
            batch_records_max: 1,
            ..nul.clone()
        };
        assert_eq!(read_with_stops(&item, &source, &one, &[1]), whole);
    }
}

#[test]
fn a_refused_record_below_the_limit_is_kept_whole_and_one_above_it_in_part() {
    let long = format!("{{\"a\":\"{}\"", "x".repeat(300_000));
    let text = format!("{long}\n{{}}\n");
    for (record_bytes_max, kept) in [(1 << 20, long.len()), (200_000, crate::batch::REJECT_RAW_BYTES_MAX)] {
        let records = Records {
            record_bytes_max,
            ..records()
        };
        let bytes = text.as_bytes();
        let (_, rejects, _) = read(&item(bytes, Format::Auto, Compression::Auto), bytes, &records);
        assert_eq!(rejects[0].raw.len(), kept);
        assert_eq!(rejects[0].record_bytes, long.len() as u64);
    }
}

#[test]
fn a_window_that_is_allowed_is_read() {
    let text = b"{\"a\":1}\n".repeat(1000);
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    let window = ::zstd::zstd_safe::CParameter::WindowLog(WINDOW_LOG + 1);
    encoder.set_parameter(window).unwrap();
    encoder.write_all(&text).unwrap();
    let bytes = encoder.finish().unwrap();
    let item = item(&bytes, Format::Auto, Compression::Auto);
    let (count, _, error) = read(&item, &bytes, &records());
    let outcome = pf_work::settle::Outcome::from(error.unwrap());
    assert_eq!(count, 0);
    let flaw = pf_work::settle::Flaw::Unsupported;
    assert!(
        matches!(outcome, pf_work::settle::Outcome::Broken { flaw: of, .. } if of == flaw),
        "{outcome:?}"
    );
    let larger = Records {
        zstd_window_log: WINDOW_LOG + 1,
        ..records()
    };
    assert_eq!(read(&item, &bytes, &larger).0, 1000);
}

#[test]
fn nothing_at_all_is_cut_off_where_the_name_says_that_it_is_compressed() {
    for (compression, is_cut) in [
        (Compression::Gzip, true),
        (Compression::Zstd, true),
        (Compression::None, false),
        (Compression::Auto, false),
    ] {
        let item = item(b"", Format::Ndjson, compression);
        let (count, rejects, error) = read(&item, b"", &records());
        assert_eq!((count, rejects), (0, Vec::new()), "{compression:?}");
        let told = error.map(|error| error.to_string());
        assert_eq!(
            told.as_deref().is_some_and(|told| told.contains("truncated")),
            is_cut,
            "{compression:?}: {told:?}"
        );
    }
}
