//! What a batch holds is bounded, whatever a file's rows hold. Counted in bytes of arrays, not in time or residence.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{DictionaryArray, Int32Array};
use parquet::arrow::arrow_writer::ArrowWriterOptions;

use super::*;

/// A step's limit, and as much again for buffers that grow by doubling.
const BATCH_BYTES_LIMIT: usize = 40 << 20;

fn untyped_file(records: &RecordBatch, properties: WriterProperties) -> Bytes {
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, records.schema(), options).unwrap();
    writer.write(records).unwrap();
    writer.close().unwrap();
    bytes.into()
}

/// Rows read, and the most that a batch of them held.
fn read_all(bytes: Bytes, options: Options) -> (usize, usize) {
    let mut reader = Reader::open(Arc::new(bytes), None, options).unwrap();
    let (mut rows, mut most) = (0, 0);
    while let Some(batch) = reader.next_batch(&mut Vec::new()).unwrap() {
        rows += batch.records.num_rows();
        most = most.max(batch.records.get_array_memory_size());
    }
    (rows, most)
}

/// Bytes whose pieces are counted for as long as they are held.
struct Held {
    bytes: Bytes,
    now: Arc<AtomicUsize>,
    most: AtomicUsize,
}

struct Piece {
    bytes: Bytes,
    held: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl RangeSource for Held {
    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn fetch(&self, range: Range<u64>) -> Fetch {
        let bytes = self.bytes.slice(range.start as usize..range.end as usize);
        let now = self.now.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        self.most.fetch_max(now, Ordering::Relaxed);
        let held = self.now.clone();
        let piece = Piece { bytes, held };
        Fetch::new(move || Ok(Bytes::from_owner(piece)))
    }
}

#[test]
fn a_row_group_of_many_columns_is_held_in_small_windows() {
    const COLUMNS: usize = 64;
    const ROWS: i64 = 100_000;
    let column = |factor: usize| -> ArrayRef {
        let values = (0..ROWS).map(|row| row.wrapping_mul(factor as i64 + 0x9e37_79b9_7f4a_7c15_u64 as i64));
        Arc::new(values.collect::<Int64Array>())
    };
    let columns = (0..COLUMNS).map(|index| (format!("c{index}"), column(index)));
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(16 << 10)
        .set_write_batch_size(1024)
        .build();
    let bytes = untyped_file(&RecordBatch::try_from_iter(columns).unwrap(), properties);
    assert!(bytes.len() > 48 << 20);
    let source = Arc::new(Held {
        bytes,
        now: Arc::default(),
        most: AtomicUsize::new(0),
    });
    let mut reader = Reader::open(source.clone(), None, options()).unwrap();
    let mut rows = 0;
    while let Some(batch) = reader.next_batch(&mut Vec::new()).unwrap() {
        rows += batch.records.num_rows();
    }
    assert_eq!(rows as i64, ROWS);
    // Of each column one window is read, one is ahead, and the last page may still lie in the one before.
    let most = source.most.load(Ordering::Relaxed);
    assert!(most < 25 << 20, "{most} bytes of the file were held at once");
}

#[test]
fn long_values_of_a_dictionary_do_not_fill_memory() {
    // One of them is long, so that their mean says little.
    let long = "x".repeat(1 << 20);
    let values = StringArray::from(vec!["a", "b", "c", "d", "e", "f", "g", long.as_str()]);
    let keys: Int32Array = (0..2000)
        .map(|row| Some(if row < 1700 { row % 7 } else { 7 }))
        .collect();
    let column: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::new(values)));
    let records = RecordBatch::try_from_iter([("v", column)]).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_page_size_limit(16 << 20)
        .build();
    let bytes = untyped_file(&records, properties);
    assert!(bytes.len() < 4 << 20, "{} bytes stand for 300 MB", bytes.len());
    for options in [options(), filtered("v != a"), filtered("v = none")] {
        let (rows, most) = read_all(bytes.clone(), options);
        assert!(rows <= 100_000);
        assert!(most < BATCH_BYTES_LIMIT, "a batch held {most} bytes");
    }
}

#[test]
fn wide_rows_among_narrow_ones_do_not_fill_memory() {
    let wide = "x".repeat(1 << 20);
    let text = |row: usize| {
        if (10_000..10_100).contains(&row) {
            wide.as_str()
        } else {
            "y"
        }
    };
    let text: StringArray = (0..50_000).map(|row| Some(text(row))).collect();
    let number: Int64Array = (0..50_000).map(Some).collect();
    let columns: [(&str, ArrayRef); 2] = [("n", Arc::new(number)), ("v", Arc::new(text))];
    let records = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_write_batch_size(16)
        .set_data_page_size_limit(1 << 20)
        .build();
    let bytes = untyped_file(&records, properties);
    for (filter, expected) in [(None, 50_000), (Some("n >= 100"), 49_900), (Some("v != a"), 50_000)] {
        let options = Options {
            batch_records_max: 50_000,
            batch_bytes_max: 8 << 20,
            ..filter.map_or_else(options, filtered)
        };
        let (batches, _) = read(Arc::new(bytes.clone()), None, options.clone());
        assert_rows_match_ordinals(&batches);
        drop(batches);
        let (rows, most) = read_all(bytes.clone(), options);
        assert_eq!(rows, expected);
        assert!(most < BATCH_BYTES_LIMIT, "a batch held {most} bytes");
    }
}

#[test]
fn values_of_ten_megabytes_come_one_by_one() {
    let wide = "x".repeat(10 << 20);
    let text: StringArray = (0..12).map(|_| Some(wide.as_str())).collect();
    let records = RecordBatch::try_from_iter([("v", Arc::new(text) as ArrayRef)]).unwrap();
    for dictionary in [true, false] {
        let properties = WriterProperties::builder().set_dictionary_enabled(dictionary).build();
        let (rows, most) = read_all(untyped_file(&records, properties), options());
        assert_eq!(rows, 12);
        assert!(most < BATCH_BYTES_LIMIT, "a batch held {most} bytes");
    }
}
