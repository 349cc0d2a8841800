//! Lines, as they are and compressed.

use flate2::write::GzEncoder;
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const LINE_BYTES_MAX: usize = 60;

/// A line, with its ending.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let record = (any::<u8>(), "[a-zé]{0,12}").prop_map(|(number, text)| format!(r#"{{"n":{number},"s":"{text}"}}"#));
    let text = prop_oneof![
        1 => record.clone().prop_map(|record| format!("\0\0\0{record}").into_bytes()),
        8 => record.prop_map(String::into_bytes),
        1 => select(vec!["", " ", "{", "[1]", "{\"n\":1}x"]).prop_map(|text| text.as_bytes().to_vec()),
        1 => Just(b"{\"n\":\"\xff\"}".to_vec()),
        1 => (0usize..200).prop_map(|length| vec![0; length]),
        1 => (LINE_BYTES_MAX..200).prop_map(|length| vec![b'x'; length]),
    ];
    (text, select(vec![&b"\n"[..], b"\n", b"\n", b"\r\n"])).prop_map(|(text, end)| [&text, end].concat())
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), vec(line(), 0..40), any::<bool>()).prop_map(|(has_mark, lines, has_end)| {
        let mut text = if has_mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        text.extend(lines.concat());
        if !has_end && text.last() == Some(&b'\n') {
            text.pop();
        }
        text
    })
}

fn options() -> impl Strategy<Value = Records> {
    let filter = select(vec![None, Some("n < 128"), Some("s = null"), Some("n >= 0")]);
    (1usize..6, any::<bool>(), filter).prop_map(|(batch_records_max, columns, filter)| Records {
        columns: columns.then(Vec::new),
        filter: filter.map(|filter| filter.parse().unwrap()),
        batch_records_max,
        record_bytes_max: LINE_BYTES_MAX,
        ..records()
    })
}

/// Pieces of a text, each a member or frame of its own: lines span them, and some are empty.
fn compressed(text: &[u8], cuts: &[prop::sample::Index], compression: Compression) -> Vec<u8> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    places.sort_unstable();
    places.push(text.len());
    let (mut bytes, mut from) = (Vec::new(), 0);
    for (number, to) in places.into_iter().enumerate() {
        let piece = &text[from..to];
        from = to;
        if compression == Compression::Gzip {
            let mut encoder = GzEncoder::new(bytes, flate2::Compression::fast());
            encoder.write_all(piece).unwrap();
            bytes = encoder.finish().unwrap();
            continue;
        }
        if number % 3 == 1 {
            bytes.extend([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
        }
        bytes.extend(zstd::encode_all(piece, 1).unwrap());
    }
    bytes
}

/// Any position, some of which fit.
fn position(size: usize) -> impl Strategy<Value = Position> {
    let size = size as u64 + 3;
    let number = || prop_oneof![8 => 0..size, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    prop_oneof![
        number().prop_map(|offset| Position::Byte { offset }),
        (prop_oneof![Just(0), number()], prop_oneof![Just(0), number()], number()).prop_map(
            |(offset, decompressed_offset, skip_bytes)| Position::Frame {
                offset,
                decompressed_offset,
                skip_bytes
            }
        ),
        (0u64..3, number()).prop_map(|(row_group, row)| Position::Row { row_group, row }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn lines_that_are_left_and_gone_on_with_are_those_read_in_one_go(
        text in text(),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
        compression in select(vec![Compression::None, Compression::Gzip, Compression::Zstd]),
        options in options(),
        stops in vec(1usize..6, 0..8),
    ) {
        let bytes = match compression {
            Compression::None => text.clone(),
            _ => compressed(&text, &cuts, compression),
        };
        let item = item(&bytes, Format::Ndjson, compression);
        let source = Memory::new(bytes);
        let whole = read_whole(&item, &source, &options);
        prop_assert_eq!(whole.counts.bytes, text.len() as u64);
        let is_stored = compression == Compression::None;
        prop_assert_eq!(whole.counts.span_bytes, if is_stored { text.len() as u64 } else { 0 });
        prop_assert_eq!(&read_with_stops(&item, &source, &options, &stops), &whole);
        let plain = item_of_ranges(&text, &[]);
        let mut plain = read_whole(&plain[0], &Memory::new(text), &options);
        plain.counts.span_bytes = whole.counts.span_bytes;
        prop_assert_eq!(&plain, &whole);
    }

    #[test]
    fn ranges_that_are_left_and_gone_on_with_share_all_lines_out(
        text in text(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        options in options(),
        stops in vec(1usize..6, 0..8),
    ) {
        let source = Memory::new(text.clone());
        let whole = read_whole(&item_of_ranges(&text, &[])[0], &source, &options);
        let mut all = Outcome::default();
        for item in item_of_ranges(&text, &cuts) {
            let part = read_with_stops(&item, &source, &options, &stops);
            all.records.extend(part.records);
            all.rejects.extend(part.rejects);
            all.count(part.counts);
        }
        prop_assert_eq!(all.counts.span_bytes, text.len() as u64, "the ranges of an object cover it");
        prop_assert_eq!(all, whole);
    }

    #[test]
    fn no_position_makes_a_reader_panic_or_give_anything_that_the_item_does_not_have(
        (text, position) in text().prop_flat_map(|text| { let size = text.len(); (Just(text), position(size)) }),
        cuts in vec(any::<prop::sample::Index>(), 0..4),
        compression in select(vec![Compression::None, Compression::Gzip, Compression::Zstd]),
        format in select(vec![Format::Auto, Format::Ndjson, Format::Parquet]),
        is_stated in any::<bool>(),
        has_range in any::<bool>(),
    ) {
        let bytes = match compression {
            Compression::None => text,
            _ => compressed(&text, &cuts, compression),
        };
        let stated = if is_stated { compression } else { Compression::Auto };
        let mut item = item(&bytes, format, stated);
        let source = Memory::new(bytes.clone());
        if has_range && bytes.len() > 2 {
            item.range = Some(ByteRange { start: 1, end: bytes.len() as u64 - 1 });
        }
        let whole = (format != Format::Parquet && !has_range).then(|| read_whole(&item, &source, &records()));
        let mut outcome = Outcome::default();
        match read_some(&item, &source, &records(), Some(position), usize::MAX, &mut outcome) {
            Ok(_) => {
                // A position that is made up may be none that a reader gave, but a byte is where a line begins.
                if let (Some(whole), Position::Byte { .. }, Compression::None) = (whole, position, compression) {
                    prop_assert!(whole.records.ends_with(&outcome.records));
                    prop_assert!(whole.rejects.ends_with(&outcome.rejects));
                }
            }
            Err(Error::Misfit(_)) => prop_assert!(outcome.records.is_empty() && outcome.rejects.is_empty()),
            Err(_) => {}
        }
    }
}

/// The items of a text that is cut into ranges.
fn item_of_ranges(text: &[u8], cuts: &[prop::sample::Index]) -> Vec<WorkItem> {
    let whole = item(text, Format::Ndjson, Compression::None);
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1) as u64).collect();
    places.extend([0, text.len() as u64]);
    places.sort_unstable();
    places.dedup();
    let mut items: Vec<_> = places
        .windows(2)
        .map(|pair| WorkItem {
            range: Some(ByteRange {
                start: pair[0],
                end: pair[1],
            }),
            ..whole.clone()
        })
        .collect();
    if cuts.is_empty() || items.is_empty() {
        items = vec![whole];
    }
    items
}

/// Records of all lengths, a few MB.
fn long_text() -> Vec<u8> {
    let mut text = Vec::new();
    let mut number = 1u64;
    while text.len() < 5 << 20 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let padding = "-".repeat((number >> 33) as usize % 3000);
        writeln!(text, r#"{{"n":{},"s":"{number}{padding}"}}"#, number % 100).unwrap();
    }
    text
}

#[test]
fn what_lies_before_a_position_is_not_fetched_again() {
    let text = long_text();
    let members: Vec<_> = text.chunks(300_000).collect();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let bytes = match compression {
            Compression::None => text.clone(),
            _ => members
                .iter()
                .flat_map(|member| compressed(member, &[], compression))
                .collect(),
        };
        let item = item(&bytes, Format::Ndjson, compression);
        let source = Memory::new(bytes);
        let whole = read_whole(&item, &source, &records());
        let mut outcome = Outcome::default();
        let mut from = None;
        loop {
            source.fetched.lock().unwrap().clear();
            let before = outcome.counts.bytes;
            let at = read_some(&item, &source, &records(), from, 3, &mut outcome).unwrap();
            let fetched = source.fetched.lock().unwrap().clone();
            match from {
                Some(Position::Byte { offset }) if offset == item.size_bytes => assert_eq!(fetched, []),
                Some(Position::Byte { offset }) => {
                    assert_eq!(fetched, std::slice::from_ref(&(offset - 1..item.size_bytes)));
                }
                Some(Position::Frame { offset, skip_bytes, .. }) => {
                    assert_eq!(fetched, std::slice::from_ref(&(offset..item.size_bytes)));
                    assert!(skip_bytes <= 300_000, "{from:?}");
                }
                _ => assert!(from.is_none()),
            }
            assert!(at.is_none() || outcome.counts.bytes > before + 100_000);
            from = at;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(outcome, whole);
    }
}

#[test]
fn tens_of_thousands_of_tiny_members_and_frames_are_gone_on_with_anywhere() {
    let records = Records {
        batch_records_max: 1500,
        ..records()
    };
    let lines = (0..30_000).map(|number| format!("{{\"n\":{number},\"s\":\"{number:>9}\"}}\n"));
    let long = format!("{{\"long\":\"{}\"}}\n", "-".repeat(1_000_000));
    let text = lines.chain([long]).collect::<String>().into_bytes();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let bytes: Vec<u8> = text
            .chunks(19)
            .flat_map(|piece| compressed(piece, &[], compression))
            .collect();
        let item = item(&bytes, Format::Auto, compression);
        let source = Memory::new(bytes);
        let whole = read_whole(&item, &source, &records);
        assert_eq!(read_with_stops(&item, &source, &records, &[1, 3, 2]), whole);
        let mut reader = ObjectReader::open(&item, None, &records, &mut source.clone()).unwrap();
        while reader.next_batch(&mut Vec::new()).unwrap().is_some() {
            let Position::Frame { skip_bytes, .. } = reader.position() else {
                panic!("not compressed?")
            };
            assert!(skip_bytes < 1000, "{skip_bytes}");
        }
    }
}

#[test]
fn a_batch_without_records_is_given_while_much_is_skipped() {
    let text = long_text().repeat(30);
    let bytes = compressed(&text, &[], Compression::Zstd);
    let item = item(&bytes, Format::Ndjson, Compression::Zstd);
    let last = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() as u64 + 1;
    let from = Position::Frame {
        offset: 0,
        decompressed_offset: 0,
        skip_bytes: last,
    };
    let mut reader = ObjectReader::open(&item, Some(from), &records(), &mut Memory::new(bytes)).unwrap();
    let mut empty = 0;
    loop {
        let batch = reader.next_batch(&mut Vec::new()).unwrap().unwrap();
        let mut outcome = Outcome::default();
        outcome.add(&batch);
        if let [(ordinal, _)] = outcome.records[..] {
            assert_eq!(ordinal, last);
            break;
        }
        assert!(outcome.records.is_empty());
        assert_eq!(reader.position(), from);
        empty += 1;
    }
    assert!(empty >= 3, "{empty} steps over {last} bytes");
    assert_eq!(reader.counts().records, 1);
}

#[test]
fn after_an_error_the_position_is_that_of_the_last_batch() {
    let text = long_text();
    let members: Vec<u8> = text
        .chunks(300_000)
        .flat_map(|member| compressed(member, &[], Compression::Gzip))
        .collect();
    let item = item(&members, Format::Ndjson, Compression::Gzip);
    let source = Memory::new(members[..members.len() - 100_000].to_vec());
    let mut reader = ObjectReader::open(&item, None, &records(), &mut source.clone()).unwrap();
    let mut outcome = Outcome::default();
    let error = loop {
        match reader.next_batch(&mut outcome.rejects) {
            Ok(batch) => outcome.add(&batch.unwrap()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Stream(error) if error.kind() == io::ErrorKind::UnexpectedEof));
    outcome.count(reader.counts());
    let position = reader.position();
    read_some(
        &item,
        &Memory::new(members),
        &records(),
        Some(position),
        usize::MAX,
        &mut outcome,
    )
    .unwrap();
    let mut whole = read_whole(&item_of_ranges(&text, &[])[0], &Memory::new(text), &records());
    whole.counts.span_bytes = 0;
    assert_eq!(outcome, whole);
}
