//! Files of odd writers, and files that aren't whole.

use arrow::array::{Float64Array, ListBuilder};
use parquet::{
    arrow::{ARROW_SCHEMA_META_KEY, arrow_writer::ArrowWriterOptions, encode_arrow_schema},
    data_type::{ByteArray, ByteArrayType, DataType as PhysicalType, Int64Type as PhysicalInt64},
    file::{
        metadata::{KeyValue, ParquetMetaDataReader, ParquetMetaDataWriter},
        writer::SerializedFileWriter,
    },
    schema::parser::parse_message_type,
};

use super::*;
use crate::batch::EXTENSION;

/// A file of one required column.
pub(super) fn typed<T: PhysicalType>(column: &str, values: &[T::T]) -> Bytes {
    let schema = parse_message_type(&format!("message m {{ required {column}; }}")).unwrap();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::default()).unwrap();
    let mut row_group = writer.next_row_group().unwrap();
    let mut column = row_group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, None, None).unwrap();
    column.close().unwrap();
    row_group.close().unwrap();
    writer.close().unwrap();
    bytes.into()
}

pub(super) fn read_one(bytes: Bytes) -> RecordBatch {
    let (mut batches, _) = read(Arc::new(bytes), None, options());
    assert_eq!(batches.len(), 1);
    batches.remove(0).records
}

#[test]
fn a_file_that_begins_as_one_and_has_no_end_is_cut_short() {
    let bytes = file(&records(1000), row_groups_of(300));
    for length in [4, 8, 11, 12, 100, bytes.len() / 2, bytes.len() - 1] {
        let error = refused(bytes.slice(..length), options());
        assert!(matches!(error, Error::Truncated(_)), "{length}: {error}");
        let text = error.to_string();
        assert!(
            text.contains("Parquet") && text.contains("cut short") && text.contains("ends"),
            "{text}"
        );
    }
    let large = file(&records(100_000), row_groups_of(100_000));
    let error = refused(large.slice(..large.len() - 100), options());
    assert!(matches!(error, Error::Truncated(_)), "{error}");
}

#[test]
fn what_ends_too_early_while_it_is_decoded_is_cut_short_and_what_is_unknown_unsupported() {
    let text = |text: &str| arrow::error::ArrowError::ParquetError(text.to_owned());
    let kind = |given: &str| guard::arrow(&text(given));
    assert!(matches!(kind("EOF: Invalid page header"), Error::Truncated(_)));
    assert!(matches!(kind("NYI: BIT_PACKED"), Error::Unsupported(_)));
    assert!(matches!(kind("Parquet error: EOF: it ended"), Error::Truncated(_)));
    assert!(matches!(kind("Parquet error: no such dictionary"), Error::Corrupt(_)));
}

#[test]
fn a_panic_in_the_decoder_is_a_corrupt_file() {
    let windows = Windows::new(Arc::new(Bytes::new()));
    let error = guard::guarded(&windows, || -> Result<(), Error> { panic!("row {}", 7) }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the Parquet file is corrupt: decoding it panicked: row 7"
    );
}

#[test]
fn annotated_bytes_are_what_their_annotation_says() {
    let values: Vec<ByteArray> = vec!["a".into(), "b".into()];
    for annotation in ["ENUM", "UTF8"] {
        let records = read_one(typed::<ByteArrayType>(&format!("binary v ({annotation})"), &values));
        assert_eq!(records["v"].as_string::<i32>(), &StringArray::from(vec!["a", "b"]));
    }
    let records = read_one(typed::<ByteArrayType>("binary v (JSON)", &["{}".into()]));
    let schema = records.schema();
    let extension = schema.field(0).metadata().get(EXTENSION).map(String::as_str);
    assert_eq!(extension, Some("arrow.json"));
}

#[test]
fn an_embedded_schema_that_contradicts_the_file_is_left_aside() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let records = RecordBatch::try_from_iter([("a", column)]).unwrap();
    let nested = Field::new("x", DataType::Utf8, true);
    for wrong in [
        Schema::new(vec![Field::new(
            "a",
            DataType::Struct(vec![nested.clone()].into()),
            true,
        )]),
        Schema::new(vec![nested.clone(), nested.with_name("y")]),
    ] {
        let entry = KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&wrong));
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(vec![entry]))
            .build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new_with_options(&mut bytes, records.schema(), options).unwrap();
        writer.write(&records).unwrap();
        writer.close().unwrap();
        assert_eq!(read_one(bytes.into()).columns(), records.columns());
    }
}

/// The checksum of zip and PNG, which is Parquet's of a page.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
    })
}

/// A file of one page of whole numbers, and where its values lie; its page has a checksum, which the `parquet` crate only
/// reads: the field is put into the page's header, and the footer told of its length.
fn with_checksum(values: &[i64]) -> (Vec<u8>, Range<usize>) {
    let schema = parse_message_type("message m { required int64 n; }").unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut plain = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut plain, Arc::new(schema), Arc::new(properties)).unwrap();
    let mut row_group = writer.next_row_group().unwrap();
    let mut column = row_group.next_column().unwrap().unwrap();
    column.typed::<PhysicalInt64>().write_batch(values, None, None).unwrap();
    column.close().unwrap();
    row_group.close().unwrap();
    let metadata = writer.close().unwrap();
    let chunk = metadata.row_group(0).column(0).clone();
    let (start, length) = chunk.byte_range();
    let end = (start + length) as usize;
    let page = &plain[end - values.len() * 8..end];

    // Thrift's compact protocol: each field's number is a difference to the one before; the checksum's is 4, between 3 and 5.
    let header = &plain[start as usize..end - page.len()];
    let mut rest = header;
    for _ in 0..3 {
        assert_eq!(rest[0], 0x15, "the type and both sizes come first");
        let number = rest[1..].iter().position(|byte| byte & 0x80 == 0).unwrap();
        rest = &rest[number + 2..];
    }
    assert_eq!(rest[0], 0x2c, "then the page's own header, field 5");
    let sum = crc32(page) as i32;
    let mut number = ((sum << 1) ^ (sum >> 31)) as u32;
    let mut field = vec![0x15];
    while number >= 0x80 {
        field.push(number as u8 | 0x80);
        number >>= 7;
    }
    field.push(number as u8);
    let mut bytes = plain[..end - page.len() - rest.len()].to_vec();
    bytes.extend_from_slice(&field);
    bytes.push(0x1c);
    bytes.extend_from_slice(&rest[1..]);
    let place = bytes.len()..bytes.len() + page.len();
    bytes.extend_from_slice(page);

    let more = field.len() as i64;
    let chunk = chunk
        .clone()
        .into_builder()
        .set_total_compressed_size(chunk.compressed_size() + more)
        .set_total_uncompressed_size(chunk.uncompressed_size() + more)
        .set_offset_index_offset(None)
        .set_column_index_offset(None)
        .build()
        .unwrap();
    let row_group = metadata.row_group(0).clone().into_builder();
    let row_group = row_group.set_column_metadata(vec![chunk]).build().unwrap();
    let metadata = metadata.into_builder().set_row_groups(vec![row_group]).build();
    ParquetMetaDataWriter::new(&mut bytes, &metadata).finish().unwrap();
    (bytes, place)
}

#[test]
fn a_page_that_does_not_have_its_checksum_gives_no_rows() {
    let values: Vec<_> = (0..1000).collect();
    let (bytes, place) = with_checksum(&values);
    let records = read_one_of(&bytes).unwrap();
    assert_eq!(records["n"].as_primitive::<Int64Type>().values(), values.as_slice());
    for at in [place.start, place.start + 4001, place.end - 1] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        let error = read_one_of(&flipped).unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error}");
        assert!(error.to_string().contains("checksum"), "{error}");
    }
}

fn read_one_of(bytes: &[u8]) -> Result<RecordBatch, Error> {
    let options = Options {
        batch_records_max: 10_000,
        ..options()
    };
    let mut reader = Reader::open(Arc::new(Bytes::copy_from_slice(bytes)), None, options)?;
    Ok(reader.next_batch(&mut Vec::new())?.expect("the file has rows").records)
}

#[test]
fn row_numbers_do_not_depend_on_what_row_groups_say_of_their_place() {
    let bytes = file(&records(1000), row_groups_of(100));
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
    let mut builder = metadata.into_builder();
    let row_groups = builder.take_row_groups().into_iter();
    let row_groups = row_groups.map(|row_group| row_group.into_builder().set_ordinal(0).build().unwrap());
    let metadata = builder.set_row_groups(row_groups.collect()).build();
    let mut changed = bytes.to_vec();
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
    changed.truncate(bytes.len() - 8 - footer as usize);
    ParquetMetaDataWriter::new(&mut changed, &metadata).finish().unwrap();
    let (batches, _) = read(Arc::new(Bytes::from(changed)), None, filtered("n >= 250"));
    assert_rows_match_ordinals(&batches);
    assert_eq!(ordinals(&batches), (250..1000).collect::<Vec<_>>());
}

#[test]
fn a_struct_is_narrowed_to_what_was_asked_for_when_a_filter_reads_more_of_it() {
    let columns: [(&str, ArrayRef); 2] = [
        ("f", Arc::new(Float64Array::from(vec![1.0, f64::NAN, 3.0]))),
        ("n", Arc::new(Int64Array::from(vec![0, 1, 2]))),
    ];
    let inner = RecordBatch::try_from_iter(columns).unwrap();
    let column: ArrayRef = Arc::new(StructArray::from(inner));
    let records = RecordBatch::try_from_iter([("a", column)]).unwrap();
    let wanted = Options {
        columns: Some(FieldPath::list("a.n").unwrap()),
        ..filtered("a.f > 1 and a.n > 0")
    };
    let (batches, _) = read(Arc::new(file(&records, row_groups_of(10))), None, wanted);
    assert_eq!(ordinals(&batches), [2]);
    assert_eq!(batches[0].records["a"].as_struct().column_names(), ["n"]);
}

#[test]
fn lists_and_maps_come_whole_whichever_way_a_row_group_is_read() {
    let mut lists = ListBuilder::new(Int64Builder::new());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), ListBuilder::new(Int64Builder::new()));
    for row in 0..100 {
        lists.append_option((row % 3 > 0).then(|| (0..row % 5).map(Some).collect::<Vec<_>>()));
        maps.keys().append_value(format!("k{row}"));
        maps.values().append_value([Some(row), None]);
        maps.append(row % 2 == 0).unwrap();
    }
    let columns: [(&str, ArrayRef); 3] = [
        ("l", Arc::new(lists.finish())),
        ("m", Arc::new(maps.finish())),
        ("n", Arc::new((0..100).map(Some).collect::<Int64Array>())),
    ];
    let records = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let bytes = file(&records, row_groups_of(30));
    let rows: arrow::array::UInt64Array = (0..100).filter(|row| row % 3 > 0 && row % 2 == 0).collect();
    for columns in ["l,m", "l,m,n", "n"] {
        let wanted = Options {
            columns: Some(FieldPath::list(columns).unwrap()),
            ..filtered("l != null and m != null")
        };
        let (batches, _) = read(Arc::new(bytes.clone()), None, wanted);
        assert_eq!(ordinals(&batches), rows.values().to_vec());
        for name in columns.split(',') {
            let expected = arrow::compute::take(&records[name], &rows, None).unwrap();
            assert_eq!(&batches[0].records[name], &expected, "{name}");
        }
    }
}

#[test]
fn dictionaries_that_have_no_room_for_each_other_stay_apart() {
    let keys = arrow::array::Int8Array::from_iter_values((0..120).map(|row| (row % 60) as i8));
    let column = |offset: usize| -> ArrayRef {
        let values: StringArray = (0..60).map(|value| Some(format!("v{}", value + offset))).collect();
        Arc::new(arrow::array::DictionaryArray::new(keys.clone(), Arc::new(values)))
    };
    let mut bytes = Vec::new();
    let batches: Vec<_> = (0..4)
        .map(|part| RecordBatch::try_from_iter([("d", column(part * 60))]).unwrap())
        .collect();
    let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), Some(row_groups_of(120))).unwrap();
    for batch in &batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    let options = Options {
        batch_records_max: 10_000,
        ..filtered("d != v0")
    };
    let (batches, _) = read(Arc::new(Bytes::from(bytes)), None, options);
    assert_eq!(
        ordinals(&batches),
        (0..480).filter(|row| row % 60 > 0 || *row >= 120).collect::<Vec<_>>()
    );
}
