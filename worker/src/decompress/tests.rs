//! Whole streams, streams that are cut or go on where they should not, and streams that are gone on with.
#![allow(clippy::unwrap_used)] // a test says what is wrong by failing

use std::io::Write as _;

use proptest::prelude::*;

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
        .flat_map(|number| ::zstd::encode_all(format!("{number}\n").as_bytes(), 1).unwrap())
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
        (::zstd::encode_all(&text[..], 1).unwrap(), Compression::Zstd),
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
fn bytes_are_believed_before_any_name() {
    use Compression::{Auto, Gzip, None, Zstd};
    for stated in [Auto, Gzip, None, Zstd] {
        assert_eq!(choose(stated, Magic::Gzip), Ok(Gzip));
        assert_eq!(choose(stated, Magic::Zstd), Ok(Zstd));
        assert_eq!(choose(stated, Magic::Text), Ok(None));
        let error = choose(stated, Magic::Foreign("xz")).unwrap_err();
        assert_eq!(error, "unsupported: it is xz, which is not read");
    }
    assert_eq!(choose(Auto, Magic::Other), Ok(None));
    // What is neither packed nor text is damaged, where the name says that it is packed.
    assert!(choose(Gzip, Magic::Other).unwrap_err().contains("gzip"));
    assert!(choose(Zstd, Magic::Other).unwrap_err().contains("zstd"));
}

#[test]
fn zeros_behind_the_last_frame_are_padding_and_anything_else_is_corrupt() {
    let frame = ::zstd::encode_all(&b"{}\n"[..], 1).unwrap();
    for padding in [1, 3, 1000, 200_000] {
        let bytes = [frame.clone(), vec![0; padding]].concat();
        let mut stream = reader(&bytes[..], Compression::Zstd).unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"{}\n");
        assert_eq!(stream.taken_bytes(), bytes.len() as u64);
    }
    for trailer in [&b"\0\0x"[..], b"{\"a\":1}\n"] {
        let bytes = [&frame[..], trailer].concat();
        assert!(read(&bytes, Compression::Zstd).is_err(), "{trailer:?}");
    }
    // Zeros alone are no stream.
    assert!(read(&[0; 100], Compression::Zstd).is_err());
}

/// A frame with a window of two to the power of `log` bytes.
fn with_window(text: &[u8], log: u32) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder
        .set_parameter(::zstd::zstd_safe::CParameter::WindowLog(log))
        .unwrap();
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_frame_with_a_larger_window_than_allowed_is_not_read_and_the_flag_is_named() {
    let text = b"{\"a\":1}\n".repeat(1000);
    for (log, allowed, is_read) in [
        (26, 26, true),
        (27, 26, false),
        (27, 27, true),
        (21, 20, false),
        (20, 20, true),
    ] {
        let bytes = with_window(&text, log);
        let mut out = Vec::new();
        let mut stream = Stream::new(&bytes[..], Compression::Zstd, Start::default(), allowed).unwrap();
        match stream.read_to_end(&mut out) {
            Ok(_) => assert!(is_read && out == text, "{log} with {allowed}"),
            Err(error) => {
                assert!(!is_read, "{log} with {allowed}: {error}");
                assert_eq!(error.kind(), io::ErrorKind::Unsupported);
                let megabytes = format!("more than {} MiB", 1 << (allowed - 20));
                assert!(error.to_string().contains(&megabytes), "{error}");
                assert!(error.to_string().contains("--zstd-window-mb"), "{error}");
            }
        }
    }
}

#[test]
fn a_frame_with_a_dictionary_is_unsupported_and_not_corrupt() {
    // RFC 8878, section 3.1.1: a frame that names dictionary 7, with a window of 2 MiB and an empty last block.
    let bytes = [0x28, 0xb5, 0x2f, 0xfd, 0b01, 0b0101_1000, 7, 1, 0, 0];
    let error = read(&bytes, Compression::Zstd).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("dictionary"), "{error}");
}

/// Random members and frames of numbered text, with where each began.
fn cut(text: &[u8], sizes: &[usize], compression: Compression) -> (Vec<u8>, Vec<Start>) {
    let (mut bytes, mut starts, mut at) = (Vec::new(), Vec::new(), 0usize);
    for size in sizes.iter().chain([&usize::MAX]) {
        let end = at.saturating_add(*size).min(text.len());
        starts.push(Start {
            offset: bytes.len() as u64,
            decompressed_offset: at as u64,
        });
        bytes.extend(match compression {
            Compression::Gzip => gzip(&text[at..end]),
            _ => ::zstd::encode_all(&text[at..end], 1).unwrap(),
        });
        at = end;
    }
    (bytes, starts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_stream_goes_on_at_any_start_that_it_names(
        length in 0usize..100_000,
        sizes in prop::collection::vec(prop_oneof![Just(0), 1usize..10, 1usize..50_000], 0..20),
        is_gzip in any::<bool>(),
        reads in prop::collection::vec(1usize..40_000, 0..10),
    ) {
        let text: Vec<u8> = (0..length).map(|place| (place * place / 7) as u8).collect();
        let compression = if is_gzip { Compression::Gzip } else { Compression::Zstd };
        let (bytes, starts) = cut(&text, &sizes, compression);
        let mut stream = reader(&bytes[..], compression).unwrap();
        let (mut at, mut buffer) = (0, vec![0; 40_000]);
        for size in reads {
            at += stream.read(&mut buffer[..size]).unwrap();
            let start = stream.start_before(at as u64).unwrap();
            prop_assert!(starts.contains(&start), "{start:?} of {starts:?}");
            // None that has begun since lies between.
            let between = starts.iter().filter(|other| {
                (start.decompressed_offset + 1..at as u64).contains(&other.decompressed_offset)
            });
            prop_assert_eq!(between.count(), 0);
            let rest = &bytes[start.offset as usize..];
            let mut read = Vec::new();
            Stream::new(rest, compression, start, WINDOW_LOG).unwrap().read_to_end(&mut read).unwrap();
            prop_assert_eq!(&read[..], &text[start.decompressed_offset as usize..]);
        }
        stream.read_to_end(&mut Vec::new()).unwrap();
        prop_assert_eq!(stream.taken_bytes(), bytes.len() as u64);
    }
}

#[test]
fn skippable_frames_are_skipped_and_are_starts_too() {
    let skippable = |size: u32| {
        [
            &[0x5a, 0x2a, 0x4d, 0x18],
            &size.to_le_bytes()[..],
            &vec![7; size as usize],
        ]
        .concat()
    };
    let frame = |text: &str| ::zstd::encode_all(text.as_bytes(), 1).unwrap();
    let bytes = [
        skippable(0),
        frame("ab"),
        skippable(200_000),
        frame(""),
        frame("cd"),
        skippable(9),
    ]
    .concat();
    let mut stream = reader(&bytes[..], Compression::Zstd).unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    assert_eq!(text, b"abcd");
    assert_eq!(stream.taken_bytes(), bytes.len() as u64);
    for cut in [4, 7, 8 + frame("ab").len() + 100] {
        let error = read(&bytes[..cut], Compression::Zstd).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
    }
}

#[test]
fn what_was_taken_of_a_stream_stays_taken_when_it_breaks() {
    let text: Vec<u8> = (0..40_000_u32)
        .flat_map(|number| number.to_string().into_bytes())
        .collect();
    for (bytes, compression) in [
        (gzip(&text), Compression::Gzip),
        (zstd::encode_all(&text[..], 1).unwrap(), Compression::Zstd),
    ] {
        let mut stream = Stream::new(&bytes[..bytes.len() / 2], compression, Start::default(), WINDOW_LOG).unwrap();
        let mut taken = 0;
        let mut buffer = [0; 1000];
        loop {
            let read = stream.read(&mut buffer);
            assert!(stream.taken_bytes() >= taken, "{compression:?}");
            taken = stream.taken_bytes();
            match read {
                Ok(count) => assert!(count > 0, "a stream that is cut has no good end"),
                Err(_) => break,
            }
        }
        assert!(taken > 0, "{compression:?}");
    }
}
