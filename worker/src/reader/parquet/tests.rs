//! Files that the `parquet` crate wrote, whole, in part, filtered, and damaged.

mod faults;
mod fetches;
mod hostile;
mod memory;
mod odd_writers;
mod pruning;
mod values;

use std::{ops::Range, sync::Mutex};

use arrow::{
    array::{
        ArrayRef, AsArray, Int64Array, Int64Builder, MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray,
    },
    datatypes::{DataType, Field, Int64Type, Schema},
};
use bytes::Bytes;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding},
    file::properties::{EnabledStatistics, WriterProperties, WriterVersion},
};
use proptest::prelude::*;

use super::*;
use crate::reader::range_source::Fetch;

fn options() -> Options {
    Options {
        columns: None,
        filter: None,
        batch_records_max: 100,
        batch_bytes_max: 1 << 20,
        record_bytes_max: 16 << 20,
        binary: Binary::Text,
    }
}

fn filtered(filter: &str) -> Options {
    Options {
        filter: Some(filter.parse().unwrap()),
        ..options()
    }
}

/// `n` counts rows, `s` is text (null at every seventh), `a.b` is twice `n`, `a.c` long text.
fn records(rows: i64) -> RecordBatch {
    let numbers =
        |factor: i64| -> ArrayRef { Arc::new((0..rows).map(|row| Some(row * factor)).collect::<Int64Array>()) };
    let text: StringArray = (0..rows)
        .map(|row| (row % 7 != 0).then(|| format!("t{}", row % 10)))
        .collect();
    let long: StringArray = (0..rows).map(|row| Some(format!("{row:>200}"))).collect();
    let inner = StructArray::from(vec![
        (Arc::new(Field::new("b", DataType::Int64, true)), numbers(2)),
        (
            Arc::new(Field::new("c", DataType::Utf8, true)),
            Arc::new(long) as ArrayRef,
        ),
    ]);
    let columns: [(&str, ArrayRef); 3] = [("n", numbers(1)), ("s", Arc::new(text)), ("a", Arc::new(inner))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn file(records: &RecordBatch, properties: WriterProperties) -> Bytes {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, records.schema(), Some(properties)).unwrap();
    writer.write(records).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn row_groups_of(rows: usize) -> WriterProperties {
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(rows))
        .build()
}

fn read(source: Arc<dyn RangeSource>, range: Option<(u64, u64)>, options: Options) -> (Vec<ColumnBatch>, Counts) {
    let mut reader = Reader::open(source, range, options).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = reader.next_batch(&mut Vec::new()).unwrap() {
        assert_eq!(batch.ordinals.len(), batch.records.num_rows());
        batches.push(batch);
    }
    (batches, reader.counts())
}

fn ordinals(batches: &[ColumnBatch]) -> Vec<u64> {
    batches
        .iter()
        .flat_map(|batch| batch.ordinals.iter().copied())
        .collect()
}

/// Column `n` equals the row number, so that rows and ordinals can be held against each other.
fn assert_rows_match_ordinals(batches: &[ColumnBatch]) {
    for batch in batches {
        let numbers = batch.records["n"].as_primitive::<Int64Type>();
        assert!(
            numbers
                .values()
                .iter()
                .map(|number| *number as u64)
                .eq(batch.ordinals.iter().copied())
        );
    }
}

/// Counts what is asked for, and can fail.
struct Watched {
    bytes: Bytes,
    asked: Mutex<Vec<Range<u64>>>,
    fail_behind: usize,
}

impl Watched {
    fn new(bytes: Bytes, fail_behind: usize) -> Arc<Self> {
        let asked = Mutex::default();
        Arc::new(Self {
            bytes,
            asked,
            fail_behind,
        })
    }
}

impl RangeSource for Watched {
    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn fetch(&self, range: Range<u64>) -> Fetch {
        let mut asked = self.asked.lock().unwrap();
        asked.push(range.clone());
        if asked.len() > self.fail_behind {
            return Fetch::new(|| Err(io::Error::new(io::ErrorKind::ConnectionReset, "gone")));
        }
        self.bytes.fetch(range)
    }
}

#[test]
fn all_rows_come_in_order_with_their_numbers() {
    let records = records(1000);
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for compression in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(parquet::basic::GzipLevel::default()),
            Compression::ZSTD(parquet::basic::ZstdLevel::default()),
            Compression::LZ4_RAW,
            Compression::BROTLI(parquet::basic::BrotliLevel::default()),
        ] {
            let properties = WriterProperties::builder()
                .set_writer_version(version)
                .set_compression(compression)
                .set_max_row_group_row_count(Some(300))
                .build();
            let (batches, counts) = read(Arc::new(file(&records, properties)), None, options());
            assert_eq!(ordinals(&batches), (0..1000).collect::<Vec<_>>());
            assert!(batches.iter().all(|batch| batch.records.num_rows() <= 100));
            let read: Vec<_> = batches.iter().map(|batch| &batch.records).collect();
            let read = arrow::compute::concat_batches(&read[0].schema(), read).unwrap();
            assert_eq!(read.columns(), records.columns());
            assert_eq!((counts.rows, counts.filtered), (1000, 0));
        }
    }
}

#[test]
fn ranges_of_an_object_share_its_row_groups_out() {
    let bytes = file(&records(1000), row_groups_of(90));
    let size = bytes.len() as u64;
    for parts in [1, 2, 3, 7, 100] {
        let mut seen = Vec::new();
        for part in 0..parts {
            let range = (part * size / parts, (part + 1) * size / parts);
            let (batches, _) = read(Arc::new(bytes.clone()), Some(range), options());
            assert_rows_match_ordinals(&batches);
            seen.extend(ordinals(&batches));
        }
        assert_eq!(seen, (0..1000).collect::<Vec<_>>(), "{parts} parts");
    }
}

#[test]
fn a_filter_lets_the_right_rows_through_and_counts_the_others() {
    let bytes = file(&records(1000), row_groups_of(300));
    for (filter, passes) in [
        ("n >= 990", (|row| row >= 990) as fn(u64) -> bool),
        ("s = t3 and a.b < 100", |row| row % 10 == 3 && row % 7 != 0 && row < 50),
        ("s = null", |row| row % 7 == 0),
        ("none = null and n < 3", |row| row < 3),
        ("none = null", |_| true),
        ("none = 1", |_| false),
        ("n > 5000", |_| false),
    ] {
        let (batches, counts) = read(Arc::new(bytes.clone()), None, filtered(filter));
        assert_eq!(
            ordinals(&batches),
            (0..1000).filter(|row| passes(*row)).collect::<Vec<_>>(),
            "{filter}"
        );
        assert_rows_match_ordinals(&batches);
        assert_eq!(
            (counts.rows, counts.filtered),
            (1000, 1000 - ordinals(&batches).len() as u64),
            "{filter}"
        );
    }
}

#[test]
fn row_groups_without_a_matching_row_are_not_read() {
    let bytes = file(&records(1000), row_groups_of(100));
    for (filter, pruned) in [
        ("n >= 950", 900),
        ("n < 100", 900),
        ("n = 99.5", 1000),
        ("a.b = 300", 900),
        ("n = null", 1000),
        ("s = u", 1000),
        ("s = t3", 0),
        ("n != 5", 0),
        ("none = 1", 1000),
    ] {
        let (_, counts) = read(Arc::new(bytes.clone()), None, filtered(filter));
        assert_eq!((counts.rows, counts.pruned), (1000, pruned), "{filter}");
    }
}

#[test]
fn only_the_named_columns_are_given_and_fetched() {
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        .set_max_row_group_row_count(Some(20_000))
        .build();
    let bytes = file(&records(40_000), properties);
    assert!(bytes.len() > 4 << 20, "not read whole");
    let source = Watched::new(bytes, usize::MAX);
    let options = Options {
        columns: Some(FieldPath::list("a.b,s,none").unwrap()),
        ..filtered("n < 25000")
    };
    let (batches, counts) = read(source.clone(), None, options);
    assert_eq!(ordinals(&batches), (0..25_000).collect::<Vec<_>>());
    let schema = batches[0].records.schema();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["s", "a"]);
    assert_eq!(batches[0].records["a"].as_struct().column_names(), ["b"]);
    let fetched: u64 = source
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|range| range.end - range.start)
        .sum();
    assert_eq!(fetched, counts.fetched_bytes);
    assert!(
        fetched < 2_500_000,
        "{fetched} bytes of the long column's 8 MB must not be among these"
    );
}

#[test]
fn of_columns_that_no_file_has_nothing_is_left_but_the_rows() {
    let bytes = file(&records(5000), row_groups_of(3000));
    for (filter, expected) in [
        (None, 0..5000),
        (Some("n < 3500"), 0..3500),
        (Some("x = null"), 0..5000),
        (Some("x > 1"), 0..0),
    ] {
        let options = Options {
            columns: Some(FieldPath::list("x,y.z").unwrap()),
            ..filter.map_or_else(options, filtered)
        };
        let (batches, _) = read(Arc::new(bytes.clone()), None, options);
        assert_eq!(ordinals(&batches), expected.collect::<Vec<_>>(), "{filter:?}");
        assert!(batches.iter().all(|batch| batch.records.num_columns() == 0));
    }
}

#[test]
fn a_filter_reaches_into_maps_and_columns_are_told_that_they_cannot() {
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for row in 0..100 {
        match row % 4 {
            0 => map.append(false).unwrap(),
            1 => map.append(true).unwrap(),
            kind => {
                map.keys().append_value("k");
                map.values().append_option((kind == 2).then_some(row));
                map.keys().append_value("k.l");
                map.values().append_value(-row);
                map.append(true).unwrap();
            }
        }
    }
    let columns: [(&str, ArrayRef); 2] = [
        ("m", Arc::new(map.finish())),
        ("n", Arc::new((0..100).collect::<Int64Array>())),
    ];
    let records = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let bytes = file(&records, row_groups_of(30));
    let rows = |passes: fn(u64) -> bool| -> Vec<u64> { (0..100).filter(|row| passes(*row)).collect() };
    for (filter, expected) in [
        ("m.k >= 50", rows(|row| row >= 50 && row % 4 == 2)),
        ("m.k = null", rows(|row| row % 4 != 2)),
        ("m.k != null", rows(|row| row % 4 == 2)),
        ("m.k.l > -9", rows(|row| row < 9 && row % 4 >= 2)),
        ("m.none = null", rows(|_| true)),
        ("m.none != 1", rows(|_| false)),
        ("m.k.l.x != null", rows(|_| false)),
    ] {
        let (batches, _) = read(Arc::new(bytes.clone()), None, filtered(filter));
        assert_eq!(ordinals(&batches), expected, "{filter}");
        assert_rows_match_ordinals(&batches);
    }
    let within = Options {
        columns: Some(FieldPath::list("n,m.k").unwrap()),
        ..options()
    };
    let error = refused(bytes, within);
    assert!(matches!(error, Error::Unsupported(_)));
    assert!(error.to_string().contains("`m.k` lies within the map `m`"), "{error}");
}

#[test]
fn a_large_column_chunk_is_read_in_windows() {
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let source = Watched::new(file(&records(100_000), properties), usize::MAX);
    let (batches, _) = read(source.clone(), None, options());
    assert_rows_match_ordinals(&batches);
    assert_eq!(ordinals(&batches), (0..100_000).collect::<Vec<_>>());
    let asked = source.asked.lock().unwrap();
    assert!(
        asked.iter().all(|range| range.end - range.start <= 2 << 20),
        "{asked:?}"
    );
    assert!(asked.len() < 40, "{} reads of 22 MB", asked.len());
}

#[test]
fn the_inputs_own_error_comes_out_as_such() {
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let bytes = file(&records(40_000), properties);
    for reads in 0..6 {
        let outcome = Reader::open(Watched::new(bytes.clone(), reads), None, options()).and_then(|mut reader| {
            while reader.next_batch(&mut Vec::new())?.is_some() {}
            Ok(())
        });
        let Err(Error::Input(error)) = outcome else {
            panic!("after {reads} reads: {outcome:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

fn refused(bytes: impl Into<Bytes>, options: Options) -> Error {
    Reader::open(Arc::new(bytes.into()), None, options)
        .err()
        .expect("must be refused")
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    assert!(matches!(refused("", options()), Error::NotParquet(_)));
    assert!(matches!(
        refused("{\"a\":1}\n{\"a\":2}\n", options()),
        Error::NotParquet(_)
    ));
    assert!(matches!(refused("PAR1aaaaaaaaPARE", options()), Error::Encrypted));
}

#[test]
fn a_file_without_rows_is_an_empty_one() {
    let (batches, counts) = read(Arc::new(file(&records(0), row_groups_of(1))), None, options());
    assert!(batches.is_empty());
    assert_eq!(counts.rows, 0);
    let empty = RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)])));
    assert!(
        read(Arc::new(file(&empty, row_groups_of(1))), None, filtered("a = 1"))
            .0
            .is_empty()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_files_are_refused_or_read_but_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = file(&records(50), row_groups_of(20)).to_vec();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            let cut = cut.index(bytes.len());
            bytes.truncate(cut);
        }
        for options in [options(), filtered("n >= 7 and s != t3")] {
            if let Ok(mut reader) = Reader::open(Arc::new(Bytes::from(bytes.clone())), None, options) {
                while let Ok(Some(_)) = reader.next_batch(&mut Vec::new()) {}
            }
        }
    }
}
