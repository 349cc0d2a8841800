//! Records for property tests.

use proptest::{collection::vec, prelude::*, sample::select};

/// Keys of objects; one is written in two ways.
const KEYS: &[&str] = &[
    "a",
    "b",
    "c",
    "d",
    "é",
    "",
    "a long key of more than 32 bytes in all",
    "\\u0061",
];

/// JSON of any kind, written in any way, with these keys in its objects.
fn json(depth: u32, keys: &'static [&'static str]) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        6 => any::<i16>().prop_map(|number| number.to_string()),
        2 => (any::<i16>(), 0u16..1000).prop_map(|(whole, fraction)| format!("{whole}.{fraction}")),
        6 => r#""[a-zé日😀 ]{0,24}""#,
        2 => select(vec!["true", "false", "null", "null"]).prop_map(str::to_owned),
        1 => select(vec![
            "-0", "-0.0", "1E5", "1e400", "5e-324", "9223372036854775807", "9223372036854775808", "0.30000000000000004",
            "123456789012345678.25", r#""\ud800""#, r#""\ud83d\ude00\n\\\"""#, r#""\u0000""#, "{}", "[]", "1.10",
        ]).prop_map(str::to_owned),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let list = (vec(json(depth - 1, keys), 0..4), space())
        .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},{space}"))));
    prop_oneof![5 => leaf, 1 => list, 2 => object(depth - 1, keys)].boxed()
}

fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", "", " ", " ", "\t", "  "])
}

/// An object with some of these keys, each at most once.
pub(super) fn object(depth: u32, keys: &'static [&'static str]) -> BoxedStrategy<String> {
    (vec((select(keys), json(depth, keys)), 0..6), space())
        .prop_map(|(members, space)| {
            let mut text = Vec::new();
            let mut seen = Vec::new();
            for (key, value) in members {
                let name = key.replace("\\u0061", "a");
                if !seen.contains(&name) {
                    text.push(format!("\"{key}\"{space}:{space}{value}"));
                    seen.push(name);
                }
            }
            format!("{{{space}{}{space}}}", text.join(&format!("{space},{space}")))
        })
        .boxed()
}

/// A record of one shape, whose values drift now and then, or any object.
pub(super) fn record() -> impl Strategy<Value = String> {
    let steady = (
        any::<u16>(),
        "[a-z]{0,40}",
        any::<bool>(),
        json(0, KEYS),
        prop::option::of(object(0, KEYS)),
    )
        .prop_map(|(number, text, flag, any, nested)| {
            let nested = nested.map_or_else(String::new, |nested| format!(",\"nested\":{nested}"));
            let any = if number % 16 == 0 { any } else { number.to_string() };
            format!("{{\"number\":{number},\"text\":\"{text}\",\"flag\":{flag},\"drifts\":{any}{nested}}}")
        });
    prop_oneof![2 => steady, 1 => object(3, KEYS)]
}

/// A record whose keys may be missing but whose types never change: what arrow-json has an answer for.
pub(super) fn steady_record() -> impl Strategy<Value = String> {
    let float = (any::<i16>(), 0u16..1000).prop_map(|(whole, fraction)| format!("{whole}.{fraction}"));
    let text = r#""[a-zé日😀 ]{0,40}(\\n|\\u00e9|\\\\)?[a-z]{0,3}""#;
    let members = (
        prop::option::of(any::<i64>().prop_map(|number| format!("\"int\":{number}"))),
        prop::option::of(float.prop_map(|number| format!("\"float\":{number}"))),
        prop::option::of(text.prop_map(|text| format!("\"text\": {text}"))),
        prop::option::of(vec(any::<bool>(), 0..3).prop_map(|flags| format!("\"flags\":{flags:?}"))),
        prop::option::of(
            (any::<i8>(), "[a-z]{0,9}").prop_map(|(x, y)| format!("\"nested\":{{\"x\":{x},\"y\":\"{y}\"}}")),
        ),
    );
    (members, any::<bool>()).prop_map(|((int, float, text, flags, nested), reversed)| {
        let mut members: Vec<String> = [int, float, text, flags, nested].into_iter().flatten().collect();
        if reversed {
            members.reverse();
        }
        format!("{{{}}}", members.join(","))
    })
}
