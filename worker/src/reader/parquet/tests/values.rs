//! Values as they leave, and filters that find them.

use arrow::array::{BinaryArray, Date32Array, FixedSizeBinaryArray, Float64Array, Int32Builder, Int64Array};
use parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType, Int96, Int96Type};

use super::{faults::typed, *};
use crate::indexer::json::Encoder;

/// The lines that a file's rows become.
fn lines(bytes: Bytes, options: Options) -> Vec<String> {
    let (batches, _) = read(Arc::new(bytes), None, options);
    let (mut out, mut places) = (Vec::new(), Vec::new());
    for batch in &batches {
        Encoder::default().write(&batch.records, &mut out, &mut places).unwrap();
    }
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn column(values: ArrayRef) -> Bytes {
    file(
        &RecordBatch::try_from_iter_with_nullable([("v", values, true)]).unwrap(),
        row_groups_of(100),
    )
}

fn with_binary(binary: Binary, filter: Option<&str>) -> Options {
    Options {
        binary,
        ..filter.map_or_else(options, filtered)
    }
}

#[test]
fn old_timestamps_have_their_nanoseconds_and_their_years() {
    let value = |nanos: u64, julian_day: i32| {
        let mut value = Int96::new();
        value.set_data(nanos as u32, (nanos >> 32) as u32, julian_day as u32);
        value
    };
    let values = [
        (value(25_445_123_456_789, 2_453_738), "2006-01-02T07:04:05.123456789"),
        (value(5_000, 2_440_588), "1970-01-01T00:00:00.000005"),
        (value(0, 5_373_484), "9999-12-31T00:00:00"),
        (value(1, 2_440_588 + 376_200), "3000-01-01T00:00:00.000000001"),
        (value(0, 0), "-4713-11-24T00:00:00"),
        (value(0, i32::MAX), "+5874898-06-03T00:00:00"),
        (value(0, i32::MIN), "-5884323-05-15T00:00:00"),
        // A nanosecond before the day.
        (value(u64::MAX, 2_440_588), "1969-12-31T23:59:59.999999999"),
    ];
    let bytes = typed::<Int96Type>("int96 t", &values.map(|(value, _)| value));
    assert_eq!(
        lines(bytes.clone(), options()),
        values.map(|(_, text)| format!("{{\"t\":\"{text}\"}}"))
    );
    for (_, text) in values {
        let found = lines(bytes.clone(), filtered(&format!("t = {text}")));
        assert_eq!(found, [format!("{{\"t\":\"{text}\"}}")]);
    }
    assert_eq!(lines(bytes.clone(), filtered("t > 9999-12-30")).len(), 2);
    assert_eq!(lines(bytes, filtered("t < 0000-01-01")).len(), 2);
}

#[test]
fn intervals_have_their_months() {
    let value = |months: u32, days: u32, millis: u32| {
        let parts = [months, days, millis].map(u32::to_le_bytes);
        FixedLenByteArray::from(parts.concat())
    };
    let values = [value(14, 3, 1500), value(0, 0, 0), value(u32::MAX, u32::MAX, u32::MAX)];
    let bytes = typed::<FixedLenByteArrayType>("fixed_len_byte_array(12) v (INTERVAL)", &values);
    let expected = ["P14M3DT1.5S", "P0D", "P4294967295M4294967295DT4294967.295S"];
    assert_eq!(
        lines(bytes.clone(), options()),
        expected.map(|text| format!("{{\"v\":\"{text}\"}}"))
    );
    assert_eq!(lines(bytes, filtered("v = P14M3DT1.5S")).len(), 1);
}

#[test]
fn dates_at_both_ends_of_their_type_have_a_text_and_are_found() {
    let days = Date32Array::from(vec![i32::MIN, -719_529, 0, 2_932_896, i32::MAX]);
    let texts = [
        "-5877641-06-23",
        "-0001-12-31",
        "1970-01-01",
        "9999-12-31",
        "+5881580-07-11",
    ];
    let bytes = column(Arc::new(days));
    assert_eq!(
        lines(bytes.clone(), options()),
        texts.map(|text| format!("{{\"v\":\"{text}\"}}"))
    );
    for (row, text) in texts.iter().enumerate() {
        assert_eq!(
            lines(bytes.clone(), filtered(&format!("v = {text}"))).len(),
            1,
            "{text}"
        );
        assert_eq!(
            lines(bytes.clone(), filtered(&format!("v < {text}"))).len(),
            row,
            "{text}"
        );
        assert_eq!(
            lines(bytes.clone(), filtered(&format!("v >= {text}"))).len(),
            5 - row,
            "{text}"
        );
    }
}

#[test]
fn bytes_are_written_as_asked_and_a_filter_compares_what_is_written() {
    let values: Vec<Option<&[u8]>> = vec![Some(b"ERROR"), Some(b"INFO"), None, Some(b"\xff\x00")];
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        values.iter().map(|value| value.map(|value| &value[..2])),
        2,
    );
    let columns: [(&str, ArrayRef); 2] = [
        ("v", Arc::new(BinaryArray::from(values))),
        ("f", Arc::new(fixed.unwrap())),
    ];
    let records = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let bytes = file(&records, row_groups_of(100));
    for (binary, texts) in [
        (Binary::Text, [["ERROR", "ER"], ["INFO", "IN"], ["/wA=", "/wA="]]),
        (
            Binary::Base64,
            [["RVJST1I=", "RVI="], ["SU5GTw==", "SU4="], ["/wA=", "/wA="]],
        ),
        (
            Binary::Hex,
            [["4552524f52", "4552"], ["494e464f", "494e"], ["ff00", "ff00"]],
        ),
    ] {
        let line = |[v, f]: [&str; 2]| format!("{{\"v\":\"{v}\",\"f\":\"{f}\"}}");
        let [error, info, other] = texts.map(line);
        let none = "{\"v\":null,\"f\":null}".to_owned();
        assert_eq!(
            lines(bytes.clone(), with_binary(binary, None)),
            [error.clone(), info.clone(), none, other.clone()]
        );
        let filter = |filter: &str| lines(bytes.clone(), with_binary(binary, Some(filter)));
        assert_eq!(filter(&format!("v = '{}'", texts[0][0])), std::slice::from_ref(&error));
        assert_eq!(filter(&format!("f != '{}'", texts[0][1])), [info, other]);
        assert!(filter(&format!("f <= '{}' and v != null", texts[0][1])).contains(&error));
    }
}

#[test]
fn what_is_written_as_null_is_null_to_a_filter() {
    let values = Float64Array::from(vec![Some(1.0), None, Some(f64::NAN), Some(f64::INFINITY), Some(-0.0)]);
    let bytes = column(Arc::new(values));
    for (filter, expected) in [
        ("v = null", vec!["null", "null", "null"]),
        ("v != null", vec!["1.0", "-0.0"]),
        ("v != 1", vec!["-0.0"]),
        ("v > 0", vec!["1.0"]),
        ("v <= 1e400", vec!["1.0", "-0.0"]),
    ] {
        let expected: Vec<_> = expected.iter().map(|value| format!("{{\"v\":{value}}}")).collect();
        assert_eq!(lines(bytes.clone(), filtered(filter)), expected, "{filter}");
    }
}

#[test]
fn a_map_is_entered_by_its_keys_as_they_are_written() {
    let mut map = MapBuilder::new(None, arrow::array::Date32Builder::new(), Int32Builder::new());
    for (day, value) in [(2_932_896, 1), (i32::MAX, 2)] {
        map.keys().append_value(day);
        map.values().append_value(value);
    }
    map.append(true).unwrap();
    let columns: [(&str, ArrayRef); 2] = [
        ("m", Arc::new(map.finish())),
        ("n", Arc::new(Int64Array::from(vec![1]))),
    ];
    let records = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let bytes = file(&records, row_groups_of(100));
    let line = r#"{"m":{"9999-12-31":1,"+5881580-07-11":2},"n":1}"#;
    assert_eq!(lines(bytes.clone(), options()), [line]);
    for filter in ["m.\"9999-12-31\" = 1", "m.\"+5881580-07-11\" > 1"] {
        assert_eq!(lines(bytes.clone(), filtered(filter)), [line], "{filter}");
    }
}
