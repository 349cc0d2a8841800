//! Rows of Parquet files.

use ::parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::predicate::FieldPath;

fn file(values: &[(Option<i64>, Option<String>)], properties: WriterProperties) -> Bytes {
    let columns: [(&str, ArrayRef); 2] = [
        (
            "n",
            Arc::new(values.iter().map(|value| value.0).collect::<Int64Array>()),
        ),
        (
            "s",
            Arc::new(values.iter().map(|value| value.1.as_deref()).collect::<StringArray>()),
        ),
    ];
    let records = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, records.schema(), Some(properties)).unwrap();
    writer.write(&records).unwrap();
    writer.close().unwrap();
    bytes.into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn rows_that_are_left_and_gone_on_with_are_those_read_in_one_go(
        mut values in vec((prop::option::of(-3i64..3), prop::option::of("[a-c]{0,5}")), 0..200),
        is_sorted in any::<bool>(),
        filter in prop::option::of("(n|s|x) (=|!=|<|>=) (0|2|-2|b|ab|null)( and n != 1)?".prop_filter("", |filter| {
            filter.parse::<crate::predicate::Predicate>().is_ok()
        })),
        columns in select(vec![None, Some("n"), Some("s"), Some("x")]),
        (row_group, page) in (1usize..80, 1usize..30),
        batch_records_max in 1usize..40,
        parts in 1u64..4,
        stops in vec(1usize..5, 0..8),
    ) {
        if is_sorted {
            values.sort();
        }
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(row_group))
            .set_data_page_row_count_limit(page)
            .set_write_batch_size(page)
            .set_bloom_filter_enabled(true)
            .build();
        let bytes = file(&values, properties);
        let options = Records {
            columns: columns.map(|columns| FieldPath::list(columns).unwrap()),
            filter: filter.map(|filter| filter.parse().unwrap()),
            batch_records_max,
            record_bytes_max: 1 << 20,
            ..records()
        };
        let source = Memory::new(bytes.clone());
        let mut item = item(&bytes, Format::Parquet, Compression::Auto);
        let whole = read_whole(&item, &source, &options);
        let size = item.size_bytes;
        let mut all = Outcome::default();
        for part in 0..parts {
            item.range = (parts > 1).then_some(ByteRange { start: part * size / parts, end: (part + 1) * size / parts });
            let read = read_with_stops(&item, &source, &options, &stops);
            all.records.extend(read.records);
            all.count(read.counts);
        }
        prop_assert_eq!(all.counts.records, values.len() as u64);
        prop_assert_eq!(all.counts.records - all.counts.filtered, all.records.len() as u64);
        prop_assert_eq!(all, whole);
    }

    #[test]
    fn no_row_makes_a_reader_panic_or_give_anything_that_the_file_does_not_have(
        row_group in prop_oneof![0u64..6, any::<u64>()],
        row in prop_oneof![0u64..30, any::<u64>()],
        filter in select(vec![None, Some("n >= 50"), Some("n < 3"), Some("x = 1")]),
    ) {
        let values: Vec<_> = (0..100).map(|row| (Some(row), Some(format!("{row}")))).collect();
        let bytes = file(&values, WriterProperties::builder().set_max_row_group_row_count(Some(25)).build());
        let item = item(&bytes, Format::Auto, Compression::Auto);
        let options = Records { filter: filter.map(|filter| filter.parse().unwrap()), ..records() };
        let mut outcome = Outcome::default();
        let from = Some(Position::Row { row_group, row });
        match read_some(&item, &Memory::new(bytes), &options, from, usize::MAX, &mut outcome) {
            Ok(at) => {
                prop_assert!(row_group < 4 && row <= 25 && at.is_none());
                prop_assert_eq!(outcome.counts.records, 100 - row_group * 25 - row);
                let first = (row_group * 25 + row) as i64;
                let expected = (first..100).filter(|row| match filter {
                    Some("n >= 50") => *row >= 50,
                    Some("n < 3") => *row < 3,
                    Some(_) => false,
                    None => true,
                });
                prop_assert!(outcome.records.iter().map(|record| record.0 as i64).eq(expected));
            }
            Err(Error::Misfit(_)) => prop_assert!(row_group >= 4 || row > 25),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn row_groups_and_pages_before_a_position_are_not_fetched_again() {
    let values: Vec<_> = (0..60_000)
        .map(|row| (Some(row), Some(format!("{row:>200}"))))
        .collect();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(1000)
        .set_write_batch_size(1000)
        .set_max_row_group_row_count(Some(30_000))
        .build();
    let bytes = file(&values, properties);
    let item = item(&bytes, Format::Parquet, Compression::Auto);
    for (filter, from) in [
        (None, 55_000),
        (Some("n >= 0"), 55_000),
        (Some("n != 7"), 30_000),
        (None, 59_999),
    ] {
        let options = Records {
            filter: filter.map(|filter| filter.parse().unwrap()),
            ..records()
        };
        let source = Memory::new(bytes.clone());
        let position = Position::Row {
            row_group: 1,
            row: from - 30_000,
        };
        let mut outcome = Outcome::default();
        read_some(&item, &source, &options, Some(position), usize::MAX, &mut outcome).unwrap();
        assert!(outcome.records.iter().map(|record| record.0).eq(from..60_000));
        assert_eq!(outcome.counts.records, 60_000 - from);
        let fetched: u64 = source
            .fetched
            .lock()
            .unwrap()
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        let share = (60_000 - from) * item.size_bytes / 60_000;
        assert!(
            fetched < share + (1 << 20),
            "{filter:?} from {from}: {fetched} bytes of {}",
            item.size_bytes
        );
    }
}
