//! Whether what is stored by an `_id` is a record that was sent: it has all values of it.
//!
//! It may have more, as an ingest pipeline may add fields, and nothing of the record is missing then. Texts are compared first:
//! the `_source` is what was sent, byte for byte, where neither a pipeline nor a synthetic source makes it anew.

use std::collections::HashMap;

use serde_json::{Number, value::RawValue};

/// Values are looked into so deep; below, only the same text is the same.
const DEPTH_MAX: u32 = 64;

/// From it on, not every integer is a double: such numbers are the same only where their texts are (IEEE 754).
const INEXACT_FROM: f64 = 9_007_199_254_740_992.0;

/// Whether what is stored has all values of what was sent.
pub(super) fn has_all(stored: &RawValue, sent: &[u8]) -> bool {
    let sent = serde_json::from_slice::<&RawValue>(sent);
    sent.is_ok_and(|sent| is_within(stored.get(), sent.get(), DEPTH_MAX))
}

fn is_within(stored: &str, sent: &str, depth: u32) -> bool {
    if stored == sent {
        return true;
    }
    let Some(below) = depth.checked_sub(1) else {
        return false;
    };
    match (stored.as_bytes().first(), sent.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => both::<HashMap<String, &RawValue>>(stored, sent).is_some_and(|(stored, sent)| {
            sent.iter().all(|(name, sent)| match stored.get(name) {
                Some(stored) => is_within(stored.get(), sent.get(), below),
                None => sent.get() == "null",
            })
        }),
        (Some(b'['), Some(b'[')) => both::<Vec<&RawValue>>(stored, sent).is_some_and(|(stored, sent)| {
            let mut pairs = stored.iter().zip(&sent);
            stored.len() == sent.len() && pairs.all(|(stored, sent)| is_within(stored.get(), sent.get(), below))
        }),
        (Some(b'"'), Some(b'"')) => both::<String>(stored, sent).is_some_and(|(stored, sent)| stored == sent),
        _ => both::<Number>(stored, sent).is_some_and(|(stored, sent)| is_same_number(&stored, &sent)),
    }
}

fn both<'a, T: serde::Deserialize<'a>>(stored: &'a str, sent: &'a str) -> Option<(T, T)> {
    Some((serde_json::from_str(stored).ok()?, serde_json::from_str(sent).ok()?))
}

fn is_same_number(stored: &Number, sent: &Number) -> bool {
    if !stored.is_f64() && !sent.is_f64() {
        return stored == sent;
    }
    let (stored, sent) = (stored.as_f64(), sent.as_f64());
    stored == sent && sent.is_some_and(|number| number.abs() < INEXACT_FROM)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn has(stored: &str, sent: &str) -> bool {
        has_all(serde_json::from_str(stored).unwrap(), sent.as_bytes())
    }

    #[test]
    fn what_has_all_values_is_the_record() {
        for (stored, sent) in [
            (r#"{"a":1,"b":{"c":[1,"x"]}}"#, r#"{"a":1,"b":{"c":[1,"x"]}}"#),
            (r#"{"b":{"c":[1,"x"]},"a":1}"#, r#"{"a":1, "b":{"c":[ 1,"x"]}}"#),
            (
                r#"{"a":1,"ingested":"2024-01-01","b":{"c":2,"d":3}}"#,
                r#"{"a":1,"b":{"c":2}}"#,
            ),
            (r#"{"a":"é\n"}"#, r#"{"a":"\u00e9\u000a"}"#),
            (r#"{"a":1000.0,"b":1.1,"c":1}"#, r#"{"a":1e3,"b":1.10,"c":1.0}"#),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            (
                r#"{"a":123456789012345678901234567890}"#,
                r#"{"a":123456789012345678901234567890}"#,
            ),
        ] {
            assert!(has(stored, sent), "{stored}, {sent}");
        }
    }

    #[test]
    fn what_lacks_a_value_or_has_another_is_not() {
        for (stored, sent) in [
            (r#"{"a":1}"#, r#"{"a":2}"#),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            (r#"{"a":"1"}"#, r#"{"a":1}"#),
            (r#"{"a":null}"#, r#"{"a":false}"#),
            (r#"{"a":[1,2]}"#, r#"{"a":[1]}"#),
            (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
            (r#"{"a":{"b":1}}"#, r#"{"a":[]}"#),
            (r#"{"a":1.5}"#, r#"{"a":1}"#),
            (r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#),
            (r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992.0}"#),
            (
                r#"{"a":123456789012345678901234567891}"#,
                r#"{"a":123456789012345678901234567890}"#,
            ),
            ("null", r#"{"a":1}"#),
        ] {
            assert!(!has(stored, sent), "{stored}, {sent}");
        }
    }

    #[test]
    fn values_within_values_without_end_end_nothing() {
        let deep = |inside: &str| format!("{{\"a\":{}{inside}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let both = |stored: &str, sent: &str| is_within(&deep(stored), &deep(sent), DEPTH_MAX);
        assert!(both("1", "1"));
        assert!(!both("1", "2"));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e15..1e15).prop_map(Value::from),
            "\\PC{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[a-d]", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_record_is_it_is_itself_also_with_another_field_or_written_otherwise(inner in value()) {
            let sent = json!({"inner": inner}).to_string();
            let stored = json!({"more": 1, "inner": inner});
            prop_assert!(has(&stored.to_string(), &sent));
            prop_assert!(has(&serde_json::to_string_pretty(&stored).unwrap(), &sent));
            prop_assert!(!has(&sent, &stored.to_string()));
        }

        #[test]
        fn whatever_two_records_are_each_has_all_of_the_other_only_if_they_are_equal(a in value(), b in value()) {
            // A value that is null may be absent.
            let (a, b) = (json!([0, a]).to_string().replace("null", "0"), json!([0, b]).to_string().replace("null", "0"));
            let equal = serde_json::from_str::<Value>(&a).unwrap() == serde_json::from_str::<Value>(&b).unwrap();
            prop_assert_eq!(has(&a, &b) && has(&b, &a), equal);
        }
    }
}
