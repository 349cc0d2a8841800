//! What statistics, page indexes and bloom filters save, and that they never cost a row.

use arrow::array::{Float64Array, UInt32Array};

use super::*;

fn pages_of(rows: usize) -> WriterProperties {
    WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(rows)
        .set_write_batch_size(rows)
        .build()
}

#[test]
fn pages_without_a_matching_row_are_neither_asked_nor_fetched() {
    let bytes = file(&records(100_000), pages_of(1000));
    for (filter, expected, pruned) in [
        ("n >= 99000", 99_000..100_000, 99_000),
        ("n = 51234", 51_234..51_235, 99_000),
        ("a.b < 4000 and n >= 1500", 1500..2000, 99_000),
        ("n = 4999.5", 0..0, 100_000),
    ] {
        let source = Watched::new(bytes.clone(), usize::MAX);
        let (batches, counts) = read(source.clone(), None, filtered(filter));
        assert_eq!(ordinals(&batches), expected.collect::<Vec<_>>(), "{filter}");
        assert_rows_match_ordinals(&batches);
        assert_eq!((counts.rows, counts.pruned), (100_000, pruned), "{filter}");
        assert_eq!(counts.filtered, 100_000 - ordinals(&batches).len() as u64, "{filter}");
        assert!(
            counts.fetched_bytes < 1 << 20,
            "{filter}: {} bytes of 22 MB",
            counts.fetched_bytes
        );
    }
}

#[test]
fn a_filter_without_bounds_still_saves_the_pages_of_other_columns() {
    let bytes = file(&records(100_000), pages_of(1000));
    // Every page may have it, but the long column's pages are read only where it does.
    let (batches, counts) = read(Arc::new(bytes), None, filtered("s = t3 and n >= 20000 and n < 21000"));
    assert_rows_match_ordinals(&batches);
    let expected = (20_000..21_000).filter(|row| row % 10 == 3 && row % 7 != 0);
    assert_eq!(ordinals(&batches), expected.collect::<Vec<_>>());
    assert!(counts.fetched_bytes < 2 << 20, "{} bytes", counts.fetched_bytes);
}

#[test]
fn a_bloom_filter_saves_the_row_groups_that_do_not_have_the_value() {
    let rows = 0..4000u32;
    let columns: [(&str, ArrayRef); 4] = [
        (
            "n",
            Arc::new(
                rows.clone()
                    .map(|row| i64::from(row) * 7919 % 4001)
                    .collect::<Int64Array>(),
            ),
        ),
        (
            "u",
            Arc::new(
                rows.clone()
                    .map(|row| u32::MAX - row * 7919 % 4001)
                    .collect::<UInt32Array>(),
            ),
        ),
        (
            "d",
            Arc::new(
                rows.clone()
                    .map(|row| f64::from(row * 7919 % 4001) - 2000.0)
                    .collect::<Float64Array>(),
            ),
        ),
        (
            "s",
            Arc::new(
                rows.map(|row| Some(format!("v{}", row * 7919 % 4001)))
                    .collect::<StringArray>(),
            ),
        ),
    ];
    let records = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(500))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_bloom_filter_enabled(true)
        .set_bloom_filter_fpp(0.001)
        .build();
    let bytes = file(&records, properties);
    for (filter, matching) in [
        ("n = 1234", 1),
        ("u = 4294966295", 1),
        ("d = -0.0", 1),
        ("d = 0", 1),
        ("s = v77", 1),
        ("s = no", 0),
        ("n = 99999", 0),
    ] {
        let (batches, counts) = read(Arc::new(bytes.clone()), None, filtered(filter));
        assert_eq!(ordinals(&batches).len(), matching, "{filter}");
        assert!(counts.pruned >= 3000, "{filter}: {} of 4000 pruned", counts.pruned);
    }
    let (_, counts) = read(Arc::new(bytes), None, filtered("n != 1234"));
    assert_eq!(counts.pruned, 0);
}

#[test]
fn all_equal_values_are_pruned_for_unequal_and_doubles_that_are_none_are_null() {
    let columns: [(&str, ArrayRef); 2] = [
        ("n", Arc::new(Int64Array::from(vec![Some(7), None, Some(7)]))),
        ("d", Arc::new(Float64Array::from(vec![7.0, f64::NAN, 7.0]))),
    ];
    let records = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let bytes = file(&records, row_groups_of(10));
    for (filter, expected) in [
        ("n != 7", vec![]),
        ("d != 7", vec![]),
        ("d = null", vec![1]),
        ("n != 8", vec![0, 2]),
    ] {
        let (batches, _) = read(Arc::new(bytes.clone()), None, filtered(filter));
        assert_eq!(ordinals(&batches), expected, "{filter}");
    }
    let (_, counts) = read(Arc::new(bytes), None, filtered("n != 7"));
    assert_eq!(counts.pruned, 3);
}

fn double() -> impl Strategy<Value = Option<f64>> {
    prop::option::of(prop::sample::select(vec![
        0.0,
        -0.0,
        1.0,
        -2.0,
        1.5,
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
    ]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_filtered_read_is_a_filtered_file(
        mut values in prop::collection::vec((prop::option::of(-3i64..3), prop::option::of("[a-cé]{0,5}"), double()), 0..200),
        sorted in any::<bool>(),
        filter in "(n|s|d) (=|!=|<|<=|>|>=) (0|-0[.]0|1[.]5|-2|a|'b'|ab|abca|'1')( and (n|s|d) (=|!=) (null|1))?",
        columns in prop::sample::select(vec![None, Some("n"), Some("s,d"), Some("d")]),
        (row_group, page) in (1usize..80, 1usize..30),
        statistics in prop::sample::select(vec![EnabledStatistics::None, EnabledStatistics::Chunk, EnabledStatistics::Page]),
        truncated in prop::option::of(1usize..4),
        (dictionary, bloom) in any::<(bool, bool)>(),
    ) {
        if sorted {
            values.sort_by(|left, right| left.0.cmp(&right.0).then_with(|| left.1.cmp(&right.1)));
        }
        let all: [(&str, ArrayRef); 3] = [
            ("n", Arc::new(values.iter().map(|value| value.0).collect::<Int64Array>())),
            ("s", Arc::new(values.iter().map(|value| value.1.as_deref()).collect::<StringArray>())),
            ("d", Arc::new(values.iter().map(|value| value.2).collect::<Float64Array>())),
        ];
        let records = RecordBatch::try_from_iter_with_nullable(all.map(|(name, column)| (name, column, true))).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(row_group))
            .set_data_page_row_count_limit(page)
            .set_write_batch_size(page)
            .set_statistics_enabled(statistics)
            .set_statistics_truncate_length(truncated)
            .set_column_index_truncate_length(truncated)
            .set_dictionary_enabled(dictionary)
            .set_bloom_filter_enabled(bloom)
            .build();
        let predicate: Predicate = filter.parse().unwrap();
        let expected: Vec<_> = predicate.evaluate(&records).values().set_indices().map(|row| row as u64).collect();
        let options = Options {
            columns: columns.map(|columns| FieldPath::list(columns).unwrap()),
            ..filtered(&filter)
        };
        let (batches, counts) = read(Arc::new(file(&records, properties)), None, options);
        prop_assert_eq!(ordinals(&batches), expected.clone());
        prop_assert_eq!((counts.rows, counts.filtered), (values.len() as u64, (values.len() - expected.len()) as u64));
        let mut place = 0;
        for batch in &batches {
            for (field, column) in batch.records.schema().fields().iter().zip(batch.records.columns()) {
                let rows = arrow::array::UInt64Array::from(expected[place..place + batch.ordinals.len()].to_vec());
                let of_file = arrow::compute::take(&records[field.name().as_str()], &rows, None).unwrap();
                // As text: NaN is not equal to itself.
                prop_assert_eq!(format!("{column:?}"), format!("{of_file:?}"));
            }
            place += batch.ordinals.len();
        }
    }
}

/// A file of 1,000 numbers in five pages, of one row group, and where its column index is.
fn five_pages(nullable: bool) -> (Vec<u8>, usize) {
    let numbers: ArrayRef = Arc::new((0..1000).collect::<Int64Array>());
    let records = RecordBatch::try_from_iter_with_nullable([("n", numbers, nullable)]).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(200)
        .set_write_batch_size(200)
        .build();
    let bytes = file(&records, properties).to_vec();
    let metadata = parquet::file::metadata::ParquetMetaDataReader::new()
        .parse_and_finish(&Bytes::from(bytes.clone()))
        .unwrap();
    let index = metadata.row_group(0).column(0).column_index_range().unwrap();
    (bytes, index.start as usize)
}

#[test]
fn a_column_index_that_contradicts_itself_is_not_believed() {
    for nullable in [true, false] {
        let (bytes, index) = five_pages(nullable);
        let (_, counts) = read(Arc::new(Bytes::from(bytes.clone())), None, filtered("n = 450"));
        assert_eq!(counts.pruned, 800, "the index is used where it is right");
        // Its first field: a list of five truth values, whether a page is all null.
        assert_eq!(&bytes[index..index + 2], [0x19, 0x52].as_slice());
        for page in 0..5 {
            let mut lying = bytes.clone();
            lying[index + 2 + page] = 1;
            for (filter, expected) in [("n >= 0", 1000), ("n = 450", 1), ("n != null", 1000), ("n = null", 0)] {
                let (batches, _) = read(Arc::new(Bytes::from(lying.clone())), None, filtered(filter));
                assert_eq!(ordinals(&batches).len(), expected, "{filter}, page {page}");
            }
        }
    }
}

#[test]
fn bounds_and_counts_that_cannot_be_say_nothing() {
    use super::super::prune::{Bounds, Nulls};
    let array =
        |values: &[Option<i64>]| -> Option<ArrayRef> { Some(Arc::new(values.iter().copied().collect::<Int64Array>())) };
    let bounds = |least: &[Option<i64>], most: &[Option<i64>], nulls: &[Nulls]| {
        Bounds {
            least: array(least),
            most: array(most),
            nulls: nulls.to_vec(),
        }
        .believable()
    };
    let right = bounds(&[Some(1), None], &[Some(2), None], &[Nulls::Some, Nulls::All]);
    assert!(right.least.is_some() && right.most.is_some());
    let crossed = bounds(&[Some(3), Some(1)], &[Some(2), Some(2)], &[Nulls::None, Nulls::None]);
    assert!(crossed.least.is_none() && crossed.most.is_none());
    let both = bounds(&[Some(1), Some(1)], &[Some(2), Some(2)], &[Nulls::None, Nulls::All]);
    assert!(both.least.is_none() && both.nulls == [Nulls::None, Nulls::Unknown]);
    for (nulls, rows, can_be_null, known) in [
        (None, 5, true, Nulls::Unknown),
        (Some(0), 5, true, Nulls::None),
        (Some(5), 5, true, Nulls::All),
        (Some(5), 5, false, Nulls::Unknown),
        (Some(1), 5, false, Nulls::Unknown),
        (Some(6), 5, true, Nulls::Unknown),
        (Some(4), 5, true, Nulls::Some),
    ] {
        assert_eq!(Nulls::new(nulls, rows, can_be_null), known);
    }
}
