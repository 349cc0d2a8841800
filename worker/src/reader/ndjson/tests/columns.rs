//! Records that become columns: whatever goes in is in the columns, under the types that the design says.

use proptest::{collection::vec, prelude::*};

use super::{
    records::{record, steady_record},
    tree::Tree,
    *,
};
use crate::predicate::{Literal, Operator, Term};

/// Everything that a reader gives as columns.
#[derive(Debug, Default)]
struct Decoded {
    rows: Vec<(u64, Tree)>,
    rejects: Vec<Reject>,
    /// For each batch, its columns' names and types.
    schemas: Vec<String>,
    counts: Counts,
    input_bytes: u64,
}

pub(super) fn all_columns() -> Options {
    Options {
        columns: Some(Vec::new()),
        ..options()
    }
}

fn named(paths: &[&[&str]]) -> Options {
    let path = |parts: &&[&str]| FieldPath(parts.iter().map(ToString::to_string).collect());
    Options {
        columns: Some(paths.iter().map(path).collect()),
        ..options()
    }
}

fn decode(input: impl Read, span: Span, options: Options) -> Decoded {
    let mut reader = Reader::new(input, span, options);
    let mut decoded = Decoded::default();
    while let Some(batch) = reader
        .next_batch(&mut decoded.rejects)
        .expect("the input does not break")
    {
        let Batch::Columns(columns) = batch else {
            panic!("lines from columns")
        };
        assert_eq!(columns.ordinals.len(), columns.records.num_rows());
        decoded
            .rows
            .extend(columns.ordinals.iter().copied().zip(tree::rows(&columns.records)));
        decoded.input_bytes += columns.input_bytes;
        decoded.schemas.push(described(columns.records.schema_ref()));
        reader.recycle(Batch::Columns(columns));
    }
    decoded.counts = reader.counts();
    decoded
}

/// A schema in short: a name and a type each, `?` where nulls are absent keys.
fn described(schema: &SchemaRef) -> String {
    schema
        .fields()
        .iter()
        .map(|field| field_described(field))
        .collect::<Vec<_>>()
        .join(", ")
}

fn field_described(field: &arrow::datatypes::Field) -> String {
    use arrow::datatypes::DataType;
    let json = field.metadata().get("ARROW:extension:name").is_some();
    let kind = match field.data_type() {
        DataType::Utf8 if json => "Json".to_owned(),
        DataType::Struct(fields) => {
            format!(
                "{{{}}}",
                fields
                    .iter()
                    .map(|field| field_described(field))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        DataType::List(item) => format!("[{}]", field_described(item)),
        other => other.to_string(),
    };
    let absent = if field.metadata().get(crate::batch::NULLS).is_some() {
        "?"
    } else {
        ""
    };
    format!("{}: {kind}{absent}", field.name())
}

/// Decodes a text, checks that every record is in the rows as it was, and returns what each batch's columns were.
fn check(text: &str) -> Vec<String> {
    let decoded = decode(text.as_bytes(), Span::WHOLE, all_columns());
    assert_eq!(decoded.rejects, []);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    for ((_, row), line) in decoded.rows.iter().zip(&lines) {
        assert_eq!(*row, tree::parsed(line), "{line}");
    }
    assert_eq!(decoded.rows.len(), lines.len());
    decoded.schemas
}

#[test]
fn every_type_gets_its_column() {
    let text = r#"{"i":1,"f":1.5,"s":"ü","b":true,"n":null,"o":{"x":1,"y":{"z":"a"}},"l":[1,2],"e":{},"m":[],"k":[[{"a":1}]]}
{"i":-9223372036854775808,"f":-0.0,"s":"\u00fc\n\"","b":false,"n":null,"o":{"x":2,"y":{"z":""}},"l":[],"e":{},"m":[],"k":[]}"#;
    assert_eq!(
        check(text),
        [
            "i: Int64?, f: Float64?, s: Utf8?, b: Boolean?, n: Null, o: {x: Int64?, y: {z: Utf8?}?}?, l: [item: Int64]?, \
          e: {}?, m: [item: Null]?, k: [item: [item: {a: Int64?}]]?"
        ]
    );
}

#[test]
fn keys_may_be_missing_reordered_late_empty_and_escaped() {
    let text = r#"{"a":1,"b":"x","":true}
{"b":"y","a":2}
{"\u0061":3,"c":{"d":1}}
{}
{ "c" : { } , "a" : 4 }
{"c":{"e":[null,{"f":1},{}]},"b":"z"}"#;
    assert_eq!(
        check(text),
        ["a: Int64?, b: Utf8?, : Boolean?, c: {d: Int64?, e: [item: {f: Int64?}]?}?"]
    );
}

#[test]
fn a_key_that_first_comes_at_record_1001_or_100001_is_there() {
    for late in [1001, 100_001] {
        let mut text = "{\"a\":1}\n".repeat(late - 1);
        text.push_str("{\"a\":2,\"late\":{\"x\":\"y\"}}\n");
        let decoded = decode(
            text.as_bytes(),
            Span::WHOLE,
            Options {
                batch_records_max: 1 << 20,
                ..all_columns()
            },
        );
        assert_eq!(decoded.rows.len(), late);
        assert_eq!(
            decoded.rows.last().unwrap().1,
            tree::parsed(r#"{"a":2,"late":{"x":"y"}}"#)
        );
        assert_eq!(decoded.schemas, ["a: Int64?, late: {x: Utf8?}?"]);
    }
}

#[test]
fn a_type_that_drifts_keeps_each_value_s_text_from_there_on() {
    let text = "{\"a\":1,\"b\":1}\n{\"a\":2,\"b\":2}\n{\"a\": 2.50 ,\"b\":3}\n{\"a\":\"x\",\"b\":4}\n{\"a\":{\"y\": [ ]}}\n{\"a\":5}\n";
    assert_eq!(check(text), ["a: Int64?, b: Int64?", "a: Json?, b: Int64?"]);
    let mut reader = Reader::new(text.as_bytes(), Span::WHOLE, all_columns());
    reader.next_batch(&mut Vec::new()).unwrap();
    let Some(Batch::Columns(batch)) = reader.next_batch(&mut Vec::new()).unwrap() else {
        panic!("a second batch")
    };
    let texts: Vec<_> = arrow::array::AsArray::as_string::<i32>(batch.records.column(0))
        .iter()
        .flatten()
        .collect();
    assert_eq!(texts, ["2.50", "\"x\"", "{\"y\": [ ]}", "5"]);
    assert_eq!(batch.ordinals, [28, 47, 63, 80]);
}

#[test]
fn what_no_column_can_give_back_as_it_was_stays_text() {
    for value in [
        "-0",
        "9223372036854775808",
        "12345678901234567890123",
        "1e400",
        "-1e-400",
        "0.1234567890123456789",
        r#""\ud800""#,
        r#"{"a":1,"\udfff":2}"#,
        "[1,\"a\"]",
        "[1,1.5]",
        "[{\"a\":1},{\"a\":\"b\"}]",
        "[[1],[{}]]",
        "[{\"a\":null},{}]",
        "[{\"a\":1},{},{\"a\":null}]",
    ] {
        let schemas = check(&format!("{{\"k\":{value},\"o\":{{\"k\":{value}}}}}\n{{\"k\":1}}\n"));
        assert!(schemas[0].contains("Json"), "{value}: {schemas:?}");
    }
    assert_eq!(
        check("{\"a\":[{\"b\":1,\"c\":2},{\"b\":\"x\",\"c\":3}]}"),
        ["a: [item: {b: Json?, c: Int64?}]?"]
    );
}

#[test]
fn a_null_is_told_from_a_missing_key() {
    assert_eq!(check("{\"a\":null}\n{\"a\":1}\n"), ["a: Int64"]);
    assert_eq!(check("{}\n{\"a\":1}\n"), ["a: Int64?"]);
    assert_eq!(check("{\"a\":null}\n{\"a\":null}\n"), ["a: Null"]);
    assert_eq!(check("{\"a\":null}\n{}\n{\"a\":1}\n"), ["a: Null", "a: Json?"]);
    assert_eq!(check("{}\n{\"a\":null}\n{\"a\":1}\n{}\n"), ["", "a: Json?"]);
    assert_eq!(check("{\"o\":{\"a\":null}}\n{\"o\":{}}\n"), ["o: {a: Null}?", "o: {}?"]);
    // Where the object itself is missing or null, that says nothing of its keys.
    assert_eq!(
        check("{\"o\":null}\n{\"o\":{\"a\":null}}\n{\"o\":null}\n{\"o\":{\"a\":1}}\n"),
        ["o: {a: Int64}"]
    );
    assert_eq!(
        check("{}\n{\"o\":{\"a\":null}}\n{}\n{\"o\":{\"a\":1}}\n{}\n"),
        ["o: {a: Int64}?"]
    );
    assert_eq!(
        check("{\"l\":[null,1,null]}\n{}\n{\"l\":null}\n"),
        ["l: [item: Int64]?", "l: Json?"]
    );
}

#[test]
fn a_duplicate_key_is_refused_and_leaves_nothing_behind() {
    let text = "{\"a\":1}\n{\"b\":1,\"a\":2,\"b\":3}\n{\"a\":3,\"o\":{\"x\":1,\"\\u0078\":1}}\n{\"a\":4}\n";
    let decoded = decode(text.as_bytes(), Span::WHOLE, all_columns());
    let reasons: Vec<_> = decoded.rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["duplicate key \"b\" at byte 13", "duplicate key \"x\" at byte 18"]
    );
    assert_eq!(decoded.schemas, ["a: Int64?"]);
    assert_eq!(decoded.rows.len(), 2);
    assert_eq!(
        lines_of(text.as_bytes(), options()).lines.len(),
        4,
        "untouched lines pass as they are"
    );
}

#[test]
fn a_record_that_breaks_in_the_middle_is_cut_off_again() {
    let text = r#"{"a":1,"s":"x","o":{"p":[1,2]}}
{"a":2,"s":"y\q"}
{"a":3,"s":"z","o":{"p":[3,4,}}
{"new":1,"a":null,"o":{"p":null,"q":{}}} x
{"a":4,"s":"w","o":{"p":[5]}}
{"s":"open
{"o":{"p":[6]},"a":5}"#;
    let decoded = decode(text.as_bytes(), Span::WHOLE, all_columns());
    assert_eq!(decoded.schemas, ["a: Int64?, s: Utf8?, o: {p: [item: Int64]?}?"]);
    assert_eq!(decoded.rejects.len(), 4);
    let good: Vec<_> = [0, 4, 6]
        .map(|line| tree::parsed(text.lines().nth(line).unwrap()))
        .into();
    assert_eq!(decoded.rows.into_iter().map(|row| row.1).collect::<Vec<_>>(), good);
}

#[test]
fn only_named_fields_become_columns() {
    let text = r#"{"a":1,"b":{"c":2,"d":{"e":3,"f":4}},"g.h":5,"x":"y"}
{"b":{"d":{"e":6}},"b.d.e":7,"g":{"h":8,"i":9}}
{"x":[1,"a",{"\ud800":1e999}],"b":7,"g":null}
{"b":null}
{"b":{"d":8}}
"#;
    let decoded = decode(
        text.as_bytes(),
        Span::WHOLE,
        named(&[&["a"], &["b", "d", "e"], &["g", "h"], &["none"]]),
    );
    assert_eq!(decoded.rejects, []);
    let expected = [
        r#"{"a":1,"b":{"d":{"e":3}},"g.h":5}"#,
        r#"{"b":{"d":{"e":6}},"b.d.e":7,"g":{"h":8}}"#,
        "{}",
        "{}",
        r#"{"b":{}}"#,
    ];
    assert_eq!(
        decoded.rows.iter().map(|row| row.1.clone()).collect::<Vec<_>>(),
        expected.map(tree::parsed)
    );
    assert_eq!(
        decoded.schemas,
        ["a: Int64?, b: {d: {e: Int64?}?}?, g.h: Int64?, b.d.e: Int64?, g: {h: Int64?}?"]
    );
    let broken = decode(&b"{\"x\":tru}\n"[..], Span::WHOLE, named(&[&["a"]]));
    assert_eq!(
        (broken.rows.len(), broken.rejects.len()),
        (0, 1),
        "what is not named is checked all the same"
    );
}

#[test]
fn a_filter_decides_which_records_become_rows() {
    let text = "{\"a\":1,\"s\":\"x\"}\n{\"a\":2}\n\n{\"a\":3}\n{\"a\":bad}\n";
    let path = FieldPath(vec!["a".to_owned()]);
    let term = Term {
        path,
        operator: Operator::NotEqual,
        literal: Literal::Number("2".to_owned()),
    };
    let filter = Some(Predicate { terms: vec![term] });
    let decoded = decode(
        text.as_bytes(),
        Span::WHOLE,
        Options {
            filter,
            ..all_columns()
        },
    );
    assert_eq!(decoded.rows.iter().map(|row| row.0).collect::<Vec<_>>(), [0, 25]);
    assert_eq!(
        decoded.counts,
        Counts {
            bytes: text.len() as u64,
            records: 4,
            filtered: 1,
            rejected: 1,
            nul_bytes: 0
        }
    );
    assert_eq!(decoded.input_bytes, 16 + 8);
}

#[test]
fn objects_with_very_many_keys_are_text_and_very_many_columns_are_forgotten() {
    let object = |prefix: &str, keys: Range<usize>| {
        let members: Vec<_> = keys.map(|key| format!("\"{prefix}{key}\":{key}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let schemas = check(&format!(
        "{{\"o\":{}}}\n{{\"o\":{}}}\n",
        object("k", 0..1024),
        object("l", 0..1)
    ));
    assert_eq!(schemas.last().unwrap(), "o: Json?");

    let records: Vec<_> = (0..10)
        .map(|record| object("k", record * 1000..(record + 1) * 1000))
        .collect();
    let schemas = check(&records.join("\n"));
    assert!(schemas.len() > 1 && schemas.iter().all(|schema| schema.matches(": ").count() <= 5000));

    check(&object("k", 0..16_384));
    let decoded = decode(object("k", 0..16_385).as_bytes(), Span::WHOLE, all_columns());
    assert_eq!(
        decoded.rejects[0].reason,
        "more than 16384 keys in one record, too many for columns"
    );
}

#[test]
fn rows_that_have_little_in_common_do_not_fill_a_batch_with_nothing() {
    let records: Vec<_> = (0..40_000)
        .map(|record| format!("{{\"k{}\":{record}}}", record % 4000))
        .collect();
    let schemas = check(&records.join("\n"));
    assert!(schemas.len() > 10, "{} batches", schemas.len());

    let items: Vec<_> = (0..200_000)
        .map(|item| format!("{{\"k{}\":{item}}}", item % 1000))
        .collect();
    assert_eq!(
        check(&format!("{{\"l\":[{}]}}\n{{\"l\":[]}}", items.join(",")))
            .last()
            .unwrap(),
        "l: [item: Json]?"
    );
    // That another field is too much for columns is no reason to give more of this one than was asked for.
    let text = format!("{{\"l\":[{}],\"p\":{{\"x\":1,\"y\":2}}}}", items.join(","));
    let decoded = decode(text.as_bytes(), Span::WHOLE, named(&[&["l"], &["p", "x"]]));
    assert_eq!(decoded.schemas, ["l: [item: Json]?, p: {x: Int64?}?"]);
}

#[test]
fn rejects_do_not_pile_up() {
    let text = "{\"a\":}\n".repeat(10_000);
    let options = Options {
        batch_bytes_max: 700,
        ..all_columns()
    };
    let mut reader = Reader::new(text.as_bytes(), Span::WHOLE, options);
    let mut rejects = Vec::new();
    while reader.next_batch(&mut rejects).unwrap().is_some() {
        assert!(rejects.len() <= 101);
        rejects.clear();
    }
    assert_eq!(reader.counts().rejected, 10_000);
}

proptest! {
    #[test]
    fn every_record_is_in_the_rows_as_it_was(
        records in vec(record(), 0..40),
        sizes in vec(1usize..300, 1..6),
        batch_records_max in 1usize..50,
        broken in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut lines: Vec<Vec<u8>> = records.into_iter().map(String::into_bytes).collect();
        for (line, place, byte) in broken {
            if !lines.is_empty() {
                let line = line.index(lines.len());
                let place = place.index(lines[line].len());
                lines[line][place] = byte;
            }
        }
        let text = lines.join(&b"\n"[..]);
        let options = Options { batch_records_max, ..all_columns() };
        let decoded = decode(Pieces::new(&text, &sizes), Span::WHOLE, options);
        let untouched = lines_of(&text, self::options());
        // A key that is there twice may be found before what else is wrong with a line.
        let of_keys = |reject: &&Reject| reject.reason.contains("key") && !reject.reason.starts_with("not ");
        for reject in &untouched.rejects {
            let ours = decoded.rejects.iter().find(|ours| ours.ordinal == reject.ordinal);
            prop_assert!(ours == Some(reject) || ours.is_some_and(|ours| of_keys(&ours)), "{:?} for {:?}", ours, reject);
        }
        for reject in decoded.rejects.iter().filter(|reject| !of_keys(reject)) {
            prop_assert!(untouched.rejects.contains(reject), "{:?}", reject);
        }
        let mut rows = decoded.rows.iter();
        for (ordinal, line) in &untouched.lines {
            if decoded.rejects.iter().any(|reject| reject.ordinal == *ordinal) {
                continue;
            }
            let (place, row) = rows.next().expect("a row for each line");
            prop_assert_eq!(place, ordinal);
            prop_assert_eq!(row, &tree::parsed(std::str::from_utf8(line).unwrap()));
        }
        prop_assert!(rows.next().is_none());
    }

    #[test]
    fn columns_of_all_spans_are_the_columns_of_the_whole(
        records in vec(record(), 1..30),
        split in any::<prop::sample::Index>(),
        record_bytes_max in prop_oneof![Just(1 << 20), 20usize..200],
    ) {
        let text = records.join("\r\n");
        let border = split.index(text.len()) as u64;
        let options = Options { record_bytes_max, ..all_columns() };
        let whole = decode(text.as_bytes(), Span::WHOLE, options.clone());
        let mut parts = decode(text.as_bytes(), Span { start: 0, end: Some(border) }, options.clone());
        let rest = Span { start: border, end: None };
        let last = decode(&text.as_bytes()[border.saturating_sub(1) as usize..], rest, options);
        if border > 0 {
            parts.rows.extend(last.rows);
            parts.rejects.extend(last.rejects);
            prop_assert_eq!(parts.rows, whole.rows);
            prop_assert_eq!(parts.rejects, whole.rejects);
            prop_assert_eq!(parts.counts.bytes + last.counts.bytes, text.len() as u64);
        }
    }

    #[test]
    fn columns_are_those_that_arrow_json_makes(records in vec(steady_record(), 1..60)) {
        let text = records.join("\n");
        let mut reader = Reader::new(text.as_bytes(), Span::WHOLE, all_columns());
        let Some(Batch::Columns(ours)) = reader.next_batch(&mut Vec::new()).unwrap() else { panic!("columns") };
        prop_assert!(reader.next_batch(&mut Vec::new()).unwrap().is_none());
        let theirs = arrow::json::ReaderBuilder::new(ours.records.schema()).build(text.as_bytes()).unwrap();
        let theirs: Vec<_> = theirs.map(Result::unwrap).collect();
        prop_assert_eq!(&[ours.records][..], &theirs[..]);
    }
}
