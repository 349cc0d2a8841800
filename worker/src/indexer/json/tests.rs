//! What rows look like as JSON, and that they always are JSON.

use std::collections::HashMap;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float64Array,
        Int32Array, Int64Array, Int64Builder, ListArray, MapBuilder, StringArray, StringBuilder, StructArray,
        TimestampMillisecondArray, TimestampMillisecondBuilder, TimestampNanosecondArray, UInt64Array,
    },
    datatypes::{Int32Type, Schema},
};
use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::*;
use crate::values::calendar;

fn lines(records: &RecordBatch) -> Vec<String> {
    let (mut out, mut rows) = (Vec::new(), Vec::new());
    Encoder::default().write(records, &mut out, &mut rows).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let placed: Vec<_> = rows.iter().map(|row| &text[row.clone()]).collect();
    assert_eq!(lines, placed, "the rows' places must be the lines");
    lines
}

fn column(field: Field, values: ArrayRef) -> Vec<String> {
    lines(&RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values]).unwrap())
}

fn plain(values: ArrayRef) -> Vec<String> {
    column(Field::new("v", values.data_type().clone(), true), values)
}

fn with(name: &str, value: &str) -> HashMap<String, String> {
    HashMap::from([(name.to_owned(), value.to_owned())])
}

#[test]
fn a_null_is_written_unless_its_field_says_that_it_is_absent() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    assert_eq!(plain(values.clone()), [r#"{"v":1}"#, r#"{"v":null}"#]);
    let absent = Field::new("v", DataType::Int64, true).with_metadata(with(NULLS, NULLS_ABSENT));
    assert_eq!(column(absent.clone(), values.clone()), [r#"{"v":1}"#, "{}"]);
    let inner: ArrayRef = Arc::new(StructArray::from(vec![(Arc::new(absent), values)]));
    assert_eq!(plain(inner), [r#"{"v":{"v":1}}"#, r#"{"v":{}}"#]);
}

#[test]
fn types_that_json_lacks_have_their_form() {
    assert_eq!(
        plain(Arc::new(UInt64Array::from(vec![u64::MAX]))),
        [r#"{"v":18446744073709551615}"#]
    );
    assert_eq!(plain(Arc::new(Float64Array::from(vec![f64::NAN]))), [r#"{"v":null}"#]);
    assert_eq!(
        plain(Arc::new(BinaryArray::from(vec![b"\x00\xff".as_slice()]))),
        [r#"{"v":"AP8="}"#]
    );
    let decimals = Decimal128Array::from(vec![-5, 12345])
        .with_precision_and_scale(20, 2)
        .unwrap();
    assert_eq!(plain(Arc::new(decimals)), [r#"{"v":-0.05}"#, r#"{"v":123.45}"#]);
    let moments = TimestampMillisecondArray::from(vec![1, i64::MAX]).with_timezone("UTC");
    assert_eq!(
        plain(Arc::new(moments)),
        [
            r#"{"v":"1970-01-01T00:00:00.001Z"}"#,
            r#"{"v":"+292278994-08-17T07:12:55.807Z"}"#
        ]
    );
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    assert_eq!(
        plain(Arc::new(lists)),
        [r#"{"v":[1,null]}"#, r#"{"v":null}"#, r#"{"v":[]}"#]
    );
    let uuid = FixedSizeBinaryArray::try_from_iter([(0..16).collect::<Vec<u8>>()].into_iter()).unwrap();
    let field = Field::new("v", DataType::FixedSizeBinary(16), true).with_metadata(with(EXTENSION, "arrow.uuid"));
    assert_eq!(
        column(field, Arc::new(uuid)),
        [r#"{"v":"00010203-0405-0607-0809-0a0b0c0d0e0f"}"#]
    );
}

#[test]
fn numbers_that_json_does_not_have_are_null_and_counted() {
    let columns: [(&str, ArrayRef); 3] = [
        ("a", Arc::new(Float64Array::from(vec![f64::NAN, 1.5]))),
        (
            "b",
            Arc::new(arrow::array::Float32Array::from(vec![f32::INFINITY, 0.1])),
        ),
        (
            "c",
            Arc::new(
                [0.1f32, f32::NEG_INFINITY]
                    .map(<Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native::from_f32)
                    .into_iter()
                    .collect::<arrow::array::Float16Array>(),
            ),
        ),
    ];
    let records = RecordBatch::try_from_iter(columns).unwrap();
    let mut encoder = Encoder::default();
    let (mut out, mut rows) = (Vec::new(), Vec::new());
    encoder.write(&records, &mut out, &mut rows).unwrap();
    let expected = "{\"a\":null,\"b\":null,\"c\":0.099975586}\n{\"a\":1.5,\"b\":0.1,\"c\":null}\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert_eq!((encoder.take_not_finite(), encoder.take_not_finite()), (3, 0));
}

#[test]
fn times_of_day_have_a_text_over_their_whole_range() {
    let times = arrow::array::Time32MillisecondArray::from(vec![1, 86_399_999, -1, i32::MAX]);
    let texts = ["00:00:00.001", "23:59:59.999", "-00:00:00.001", "596:31:23.647"];
    assert_eq!(
        plain(Arc::new(times)),
        texts.map(|text| format!("{{\"v\":\"{text}\"}}"))
    );
    let durations = arrow::array::DurationSecondArray::from(vec![i64::MIN, 0]);
    assert_eq!(
        plain(Arc::new(durations)),
        [r#"{"v":"-PT9223372036854775808S"}"#, r#"{"v":"P0D"}"#]
    );
}

#[test]
fn maps_are_objects_whatever_their_keys() {
    let mut text = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    text.keys().append_value("a\"b");
    text.values().append_null();
    text.append(true).unwrap();
    assert_eq!(plain(Arc::new(text.finish())), [r#"{"v":{"a\"b":null}}"#]);
    let mut number = MapBuilder::new(None, Int64Builder::new(), StringBuilder::new());
    number.keys().append_value(7);
    number.values().append_value("x");
    number.append(true).unwrap();
    assert_eq!(plain(Arc::new(number.finish())), [r#"{"v":{"7":"x"}}"#]);
    let moments = TimestampMillisecondBuilder::new().with_timezone("Europe/Berlin");
    let mut moment = MapBuilder::new(None, moments, Int64Builder::new());
    moment.keys().append_value(0);
    moment.values().append_value(1);
    moment.append(true).unwrap();
    assert_eq!(
        plain(Arc::new(moment.finish())),
        [r#"{"v":{"1970-01-01T00:00:00Z":1}}"#]
    );
}

#[test]
fn json_text_stays_as_it_is_and_on_its_line() {
    let field = Field::new("v", DataType::Utf8, true).with_metadata(with(EXTENSION, "arrow.json"));
    let texts = StringArray::from(vec!["{\"a\":\n1.0}", "1e400", "oops", "\"x\""]);
    let expected = [
        r#"{"v":{"a": 1.0}}"#,
        r#"{"v":1e400}"#,
        r#"{"v":"oops"}"#,
        r#"{"v":"x"}"#,
    ];
    assert_eq!(column(field, Arc::new(texts)), expected);
}

#[test]
fn batches_of_other_schemas_follow_each_other() {
    let mut encoder = Encoder::default();
    let (mut out, mut rows) = (Vec::new(), Vec::new());
    for name in ["a", "b", "b"] {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let records = RecordBatch::try_from_iter([(name, values)]).unwrap();
        encoder.write(&records, &mut out, &mut rows).unwrap();
    }
    assert_eq!(out, b"{\"a\":1}\n{\"b\":1}\n{\"b\":1}\n");
    assert_eq!(rows, [0..7, 8..15, 16..23]);
}

#[test]
fn text_of_a_slice_is_escaped_only_where_it_must_be() {
    let texts = StringArray::from(vec!["\"", "plain", "a\\b\u{1}\n\r\té\u{7f}", ""]);
    assert_eq!(plain(Arc::new(texts.slice(1, 1))), [r#"{"v":"plain"}"#]);
    let expected = [
        r#"{"v":"plain"}"#,
        "{\"v\":\"a\\\\b\\u0001\\n\\r\\té\u{7f}\"}",
        r#"{"v":""}"#,
    ];
    assert_eq!(plain(Arc::new(texts.slice(1, 3))), expected);
}

proptest! {
    #[test]
    fn moments_are_written_as_the_calendar_has_them(seconds in any::<i64>(), shift in 0u32..40, nanos in 0..1_000_000_000i64) {
        let text = |column: ArrayRef| plain(column)[0][5..].trim_end_matches('}').trim_matches('"').to_owned();
        let of = |unit: i64| TimestampMillisecondArray::from(vec![unit]);
        let millis = seconds >> shift;
        let instant = i128::from(millis) * 1_000_000;
        // What is written reads back as the same moment, and jiff writes the same where it knows the year.
        let written = text(Arc::new(of(millis).with_timezone("Asia/Tokyo")));
        prop_assert_eq!(calendar::instant(&written), Some(instant));
        prop_assert_eq!(text(Arc::new(of(millis))) + "Z", written.clone());
        if let Ok(known) = jiff::Timestamp::from_nanosecond(instant)
            && known.to_zoned(jiff::tz::TimeZone::UTC).year() >= 0
        {
            prop_assert_eq!(written, known.to_string());
        }
        let days = seconds as i32 >> (shift % 32);
        let written = text(Arc::new(Date32Array::from(vec![days])));
        prop_assert_eq!(calendar::instant(&written), Some(i128::from(days) * i128::from(calendar::DAY_NANOS)));
        let exact = jiff::Timestamp::from_nanosecond(i128::from((seconds >> shift) ^ nanos)).unwrap();
        let column = TimestampNanosecondArray::from(vec![(seconds >> shift) ^ nanos]).with_timezone("UTC");
        prop_assert_eq!(text(Arc::new(column)), exact.to_string());
    }

    #[test]
    fn every_line_is_json_with_the_values_that_went_in(
        rows in prop::collection::vec((any::<Option<String>>(), any::<Option<i32>>(), any::<Option<f64>>(), any::<bool>()), 0..20),
        name in any::<String>(),
        as_json in any::<bool>(),
    ) {
        let mut text = Field::new(format!("{name}text"), DataType::Utf8, true);
        if as_json {
            text = text.with_metadata(with(EXTENSION, "arrow.json"));
        }
        let schema = Schema::new(vec![
            text,
            Field::new("int", DataType::Int32, true),
            Field::new("double", DataType::Float64, true),
            Field::new("bool", DataType::Boolean, false),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0.as_deref()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.3)).collect::<BooleanArray>()),
        ];
        let written = lines(&RecordBatch::try_new(Arc::new(schema), columns).unwrap());
        prop_assert_eq!(written.len(), rows.len());
        for (line, row) in written.iter().zip(rows) {
            let read: Value = serde_json::from_str(line).unwrap();
            let text = match row.0 {
                Some(text) if as_json => serde_json::from_str(&text).unwrap_or(json!(text)),
                text => json!(text),
            };
            prop_assert_eq!(&read[format!("{name}text")], &text);
            prop_assert_eq!(&read["int"], &json!(row.1));
            // `serde_json` reads doubles to within a digit; `str::parse` reads them exactly.
            let raw: HashMap<String, Box<RawValue>> = serde_json::from_str(line).unwrap();
            prop_assert_eq!(raw["double"].get().parse().ok(), row.2.filter(|value| value.is_finite()));
            prop_assert_eq!(&read["bool"], &json!(row.3));
        }
    }
}
