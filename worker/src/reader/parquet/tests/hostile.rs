//! Files that are made to kill whoever reads them.

use arrow::array::{BinaryArray, ListBuilder};

use super::*;

/// A file that is nothing but a footer, whose one column lies in so many groups.
fn nested(depth: usize) -> Bytes {
    let mut footer = vec![0x15, 0x02, 0x19, 0xfc];
    let mut count = depth as u32 + 2;
    while count >= 0x80 {
        footer.push(count as u8 | 0x80);
        count >>= 7;
    }
    footer.push(count as u8);
    for _ in 0..=depth {
        // Required, called `a`, with one field.
        footer.extend_from_slice(&[0x35, 0x00, 0x18, 0x01, b'a', 0x15, 0x02, 0x00]);
    }
    // A required int32 called `b`; no rows, no row groups.
    footer.extend_from_slice(&[0x15, 0x02, 0x25, 0x00, 0x18, 0x01, b'b', 0x00]);
    footer.extend_from_slice(&[0x16, 0x00, 0x19, 0x0c, 0x00]);
    let mut file = b"PAR1".to_vec();
    file.extend_from_slice(&footer);
    file.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    file.extend_from_slice(b"PAR1");
    file.into()
}

#[test]
fn columns_are_nested_as_deep_as_is_read_and_deeper_ones_refused_before_anybody_follows_them() {
    for depth in [0, 5, 100] {
        let (batches, _) = read(Arc::new(nested(depth)), None, options());
        assert!(batches.is_empty());
    }
    for depth in [130, 7_000, 1_000_000] {
        let error = refused(nested(depth), options());
        assert!(matches!(error, Error::Unsupported(_)), "{depth}: {error}");
        assert!(error.to_string().contains("nested"), "{error}");
    }
}

#[test]
fn a_footer_is_no_longer_than_can_be_held() {
    let mut file = b"PAR1".to_vec();
    file.resize(100, 0);
    file.extend_from_slice(&u32::MAX.to_le_bytes());
    file.extend_from_slice(b"PAR1");
    assert!(matches!(refused(file, options()), Error::Unsupported(_)));
}

fn compressed(records: &RecordBatch, dictionary: bool, row_group: usize) -> Bytes {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(parquet::basic::ZstdLevel::default()))
        .set_dictionary_enabled(dictionary)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_write_batch_size(1)
        .set_data_page_size_limit(1 << 20)
        .set_max_row_group_row_count(Some(row_group))
        .build();
    file(records, properties)
}

/// Ordinals of the rows that were given, and of those that were refused with what was said of them.
fn read_with_rejects(bytes: &Bytes, options: Options) -> (Vec<u64>, Vec<Reject>, Counts) {
    let mut reader = Reader::open(Arc::new(bytes.clone()), None, options).unwrap();
    let (mut given, mut rejects) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next_batch(&mut rejects).unwrap() {
        assert_eq!(batch.records["n"].len(), batch.ordinals.len());
        given.extend(batch.ordinals);
    }
    let counts = reader.counts();
    assert_eq!(counts.rows, (given.len() + rejects.len()) as u64 + counts.filtered);
    assert_eq!(counts.rejected, rejects.len() as u64);
    (given, rejects, counts)
}

#[test]
fn a_value_beyond_the_limit_is_a_dead_letter_of_its_row_and_the_others_go_on() {
    let long = vec![b'x'; 40 << 20];
    for (lengths, large) in [
        (vec![10usize, 40 << 20, 10, 10], vec![1u64]),
        (vec![40 << 20], vec![0]),
        (vec![40 << 20, 5, 40 << 20, 40 << 20, 5], vec![0, 2, 3]),
        (vec![5, 5, 40 << 20], vec![2]),
    ] {
        let values: Vec<&[u8]> = lengths.iter().map(|length| &long[..*length]).collect();
        let columns: [(&str, ArrayRef); 2] = [
            ("n", Arc::new((0..lengths.len() as i64).collect::<Int64Array>())),
            ("v", Arc::new(BinaryArray::from(values))),
        ];
        let records = RecordBatch::try_from_iter(columns).unwrap();
        for (dictionary, row_group) in [(false, 100), (false, 1), (true, 1), (true, 100)] {
            let bytes = compressed(&records, dictionary, row_group);
            for filter in [None, Some("n >= 0"), Some("v != x")] {
                let options = filter.map_or_else(options, filtered);
                let (given, rejects, _) = read_with_rejects(&bytes, options);
                let refused: Vec<_> = rejects.iter().map(|reject| reject.ordinal).collect();
                assert_eq!(refused, large, "{lengths:?} {dictionary} {row_group} {filter:?}");
                assert_eq!(given.len(), lengths.len() - large.len());
                assert!(
                    rejects[0].reason.starts_with("too large: a record of "),
                    "{}",
                    rejects[0].reason
                );
                assert!(rejects[0].record_bytes >= 16 << 20);
            }
            let narrow = Options {
                columns: Some(FieldPath::list("n").unwrap()),
                ..options()
            };
            assert_eq!(
                read_with_rejects(&bytes, narrow).0.len(),
                lengths.len(),
                "nobody asks for the values"
            );
        }
    }
}

#[test]
fn a_list_of_many_pages_is_a_dead_letter_of_its_row() {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..5 {
        for _ in 0..if row == 2 { 4_000_000 } else { 3 } {
            lists.values().append_value("0123456789");
        }
        lists.append(true);
    }
    let columns: [(&str, ArrayRef); 2] = [
        ("n", Arc::new((0..5).collect::<Int64Array>())),
        ("v", Arc::new(lists.finish())),
    ];
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(1 << 20)
        .build();
    let bytes = file(&RecordBatch::try_from_iter(columns).unwrap(), properties);
    let (given, rejects, _) = read_with_rejects(&bytes, options());
    assert_eq!(given, [0, 1, 3, 4]);
    assert_eq!(rejects.iter().map(|reject| reject.ordinal).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_page_of_many_values_that_is_too_large_makes_the_object_unsupported() {
    let long = "x".repeat(8 << 20);
    let values: StringArray = (0..20).map(|_| Some(long.as_str())).collect();
    let columns: [(&str, ArrayRef); 2] = [
        ("n", Arc::new((0..20).collect::<Int64Array>())),
        ("v", Arc::new(values)),
    ];
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(parquet::basic::ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(1 << 30)
        .build();
    let bytes = file(&RecordBatch::try_from_iter(columns).unwrap(), properties);
    let mut reader = Reader::open(Arc::new(bytes), None, options()).unwrap();
    let error = loop {
        match reader.next_batch(&mut Vec::new()) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("160 MB were decompressed at once"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, Error::Unsupported(text) if text.contains("column `v`")),
        "{error}"
    );
}
